#!/usr/bin/env python3
"""Disks for metadata join, change and leave while files are in use, and while the server is killed."""
import errno
import json
import multiprocessing
import os
import random
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import MIB, SCRATCH, Pool, case, equal, finish, have_fuse, note, skip
from mount_change import Tour, load, refused, sha

SIZES = [192 * MIB, 256 * MIB, 160 * MIB, 224 * MIB]
SMALL = 96 * MIB


def used(t):
    """What is used of each disk, by short id, with its role."""
    return {d["id"]: (d["role"], d["used"]) for d in t.pool.status()["disks"]}


def metadata_alone(t, ids):
    """Metadata stands on these disks, and it alone: there is little of it."""
    now = used(t)
    equal([now[i][0] for i in ids], ["metadata"] * len(ids), "roles")
    here, all_of_it = [now[i][1] for i in ids], sum(u for _, u in now.values())
    if not sum(here) or sum(here) > all_of_it / 4:
        raise AssertionError(f"metadata disks {ids}: {now}")


def they_come_and_go():
    t = Tour("roles", SIZES)
    t.step("add", *t.more)
    t.step("set", "failover=1")
    os.mkdir(t.pool.path("many"))
    for i in range(1500):
        with open(t.pool.path("many", f"a file with a long name {i}"), "w") as f:
            f.write(str(i))
    t.pool.sync()
    fast = [t.pool.new_disk(SMALL, f"fast{i}") for i in range(2)]
    stop, end = multiprocessing.Event(), multiprocessing.Queue()
    client = multiprocessing.Process(target=load, args=(t.pool.path("c"), 7, stop, end))
    client.start()
    try:
        usable = t.pool.status()["capacity"]["usable"]
        plan = json.loads(t.pool.cli("plan", t.pool.name, "add", *fast, "--role", "metadata", "--json"))
        equal((plan["possible"], plan["before"]["usable"], plan["after"]["usable"], plan["after"]["disks"]), (True, usable, usable, 6), "plan")
        t.step("add", *fast, "--role", "metadata")
        metadata_alone(t, (5, 6))
        t.step("role", "1", "metadata")
        metadata_alone(t, (1, 5, 6))
        t.step("role", "1", "data")
        equal(t.pool.status()["capacity"]["usable"], usable, "usable after the role came back")
        t.step("remove", "5")
        t.step("remove", "6")
        equal([role for role, _ in used(t).values()], ["data"] * 4, "roles at the end")
    finally:
        stop.set()
        wrong, longest = end.get(timeout=60)
        client.join()
    equal(wrong, None, "what the client says")
    note(f"longest wait of the client: {longest:.2f} s")
    equal(len(os.listdir(t.pool.path("many"))), 1500, "names")
    t.end([*t.pool.disks, *t.more])


def kills_in_the_middle():
    t = Tour("killed", SIZES)
    t.step("add", *t.more)
    t.step("set", "failover=1")
    data = os.urandom(MIB) * 60
    with open(t.pool.path("large"), "wb") as f:
        f.write(data)
    t.kept[t.pool.path("large")] = sha(data)
    t.pool.sync()
    fast = [t.pool.new_disk(SMALL, f"fast{i}") for i in range(2)]
    kills, middle, r = int(os.environ.get("E2E_KILLS", "3")), 0, random.Random(os.environ.get("E2E_SEED", "1"))
    for verb, *rest in (("add", *fast, "--role", "metadata"), ("role", "2", "metadata"), ("remove", "5"), ("role", "2", "data"), ("remove", "6")):
        t.pool.cli(verb, t.pool.name, *rest)
        middle += t.killed(kills, r)
        t.pool.cli("wait", t.pool.name, timeout=120)
        s = t.pool.status()
        equal((s["pool"]["state"], s["tasks"]), ("healthy", []), f"after {verb} {rest}")
        ids = [d["id"] for d in s["disks"] if d["role"] == "metadata"]
        if ids:
            metadata_alone(t, ids)
        t.verify()
    note(f"killed {5 * kills} times, {middle} of them with something left to do")
    if not middle:
        raise AssertionError("the kills came too late to tell anything")
    t.end([*t.pool.disks, *t.more])


def refusals():
    t = Tour("no", SIZES[:3])
    t.step("add", *t.more)
    t.step("set", "failover=1")
    t.step("role", "3", "metadata")
    refused(t, "1 disk would be left for data", "role", "2", "metadata")
    refused(t, "1 disk would be left for data", "remove", "2")
    refused(t, "2 disks would be left for data", "set", "failover=2")
    refused(t, "no disk", "role", "9", "data")
    for words in (("role", "1", "fast"), ("role", "1"), ("add", "x", "--role", "cache")):
        equal(t.pool.run(words[0], t.pool.name, *words[1:]).returncode, 2, f"{words}")
    plan = json.loads(t.pool.cli("plan", t.pool.name, "role", "1", "metadata", "--json", ok=(1,)))
    if plan["possible"] or "1 disk would be left for data" not in plan["refusal"]:
        raise AssertionError(plan)
    t.step("replace", "3", t.pool.new_disk(SMALL, "fast"))
    equal(sorted(role for role, _ in used(t).values()), ["data", "data", "metadata"], "roles after replace")
    t.pool.destroy()


def made_so():
    paths = [os.path.join(SCRATCH, "made", f"disk{i}") for i in (3, 4)]
    pool = Pool("made", [128 * MIB] * 5, 1, options=("--role", "metadata=" + ",".join(paths)))
    pool.mount()
    data = os.urandom(20 * MIB)
    with open(pool.path("file"), "wb") as f:
        f.write(data)
    pool.sync()
    s = pool.status()
    equal([d["role"] for d in s["disks"]], ["data"] * 3 + ["metadata"] * 2, "roles")
    if not all(0 < d["used"] < 20 * MIB for d in s["disks"][3:]) or s["capacity"]["usable"] > 2 * 128 * MIB:
        raise AssertionError(s)
    pool.unmount()
    pool.mount()
    with open(pool.path("file"), "rb") as f:
        equal(sha(f.read()), sha(data), "the file")
    pool.unmount()
    pool.cli("check", *pool.disks)
    pool.destroy()


def what_is_free_can_be_written():
    paths = [os.path.join(SCRATCH, "full", f"disk{i}") for i in (3, 4)]
    pool = Pool("full", [256 * MIB, 192 * MIB, 256 * MIB, 96 * MIB, 96 * MIB], 1, options=("--role", "metadata=" + ",".join(paths)))
    pool.mount()
    free, data, written = pool.status()["capacity"]["free"], os.urandom(MIB), 0
    try:
        while written < 2 * free:
            with open(pool.path(f"f{written // MIB}"), "wb") as f:
                f.write(data)
            written += MIB
    except OSError as e:
        equal(e.errno, errno.ENOSPC, "what a full pool says")
    pool.sync()
    note(f"{free / MIB:.0f} MiB were free, {written / MIB:.0f} MiB could be written")
    if abs(written - free) > 0.03 * free + 4 * MIB:
        raise AssertionError((free, written))
    metadata = [d["used"] for d in pool.status()["disks"] if d["role"] == "metadata"]
    if not all(0 < used <= 32 * MIB for used in metadata):
        raise AssertionError(metadata)
    for name in os.listdir(pool.mount_point)[: written // MIB // 2]:
        os.unlink(pool.path(name))
    pool.sync()
    pool.unmount()
    pool.cli("check", *pool.disks)
    pool.destroy()


if __name__ == "__main__":
    if not have_fuse():
        skip("mount_roles", "no FUSE here")
    else:
        case(they_come_and_go, timeout=240)
        case(kills_in_the_middle, timeout=240)
        case(refusals, timeout=120)
        case(made_so, timeout=120)
        case(what_is_free_can_be_written, timeout=120)
    sys.exit(finish())
