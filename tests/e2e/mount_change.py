#!/usr/bin/env python3
"""Every change of the configuration while files are in use: nothing is ever wrong, nothing is refused, and it goes on after a kill.

E2E_KILLS (default 3): how often the server is killed in each step of the tour.
"""
import hashlib
import json
import multiprocessing
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import KIB, MIB, Pool, case, drop_caches, equal, finish, have_fuse, note, skip

SIZES = [192 * MIB, 256 * MIB, 160 * MIB, 224 * MIB]


def sha(data):
    return hashlib.sha256(data).hexdigest()


def load(folder, seed, stop, end):
    """Writes, appends, renames, removes and reads back until it is told to stop; says what went wrong, and the longest wait."""
    r, known, longest = random.Random(seed), {}, 0.0
    try:
        os.makedirs(folder, exist_ok=True)
        while not stop.is_set():
            path = os.path.join(folder, str(r.randrange(40)))
            kind, begun = r.random(), time.monotonic()
            if path not in known or kind < 0.3:
                known[path] = r.randbytes(r.choice((100, 5000, 70_000, r.randrange(1, 600 * KIB))))
                with open(path, "wb") as f:
                    f.write(known[path])
                    if r.random() < 0.2:
                        f.flush()
                        os.fsync(f.fileno())
            elif kind < 0.4:
                more = r.randbytes(r.randrange(1, 9000))
                with open(path, "ab") as f:
                    f.write(more)
                known[path] += more
            elif kind < 0.5:
                other = os.path.join(folder, str(r.randrange(40)))
                os.rename(path, other)
                data = known.pop(path)
                known[other] = data
            elif kind < 0.55:
                os.unlink(path)
                del known[path]
            else:
                fd = os.open(path, os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                with os.fdopen(fd, "rb") as f:
                    if sha(f.read()) != sha(known[path]):
                        raise AssertionError(f"{path} is not what was written")
            longest = max(longest, time.monotonic() - begun)
        for path, data in known.items():
            with open(path, "rb") as f:
                if f.read() != data:
                    raise AssertionError(f"{path} is not what was written, at the end")
        end.put((None, longest))
    except Exception as e:  # told to the test, which fails with it
        end.put((f"{type(e).__name__}: {e}", longest))


class Tour:
    def __init__(self, name, sizes, failover=0):
        self.pool = Pool(name, sizes[:1], failover)
        self.more = [self.pool.new_disk(size, f"more{i}") for i, size in enumerate(sizes[1:])]
        self.pool.mount()
        self.kept = {}
        os.mkdir(self.pool.path("kept"))
        r = random.Random(name)
        for i in range(60):
            data = r.randbytes(r.choice((3000, 40_000, 900 * KIB)))
            self.kept[self.pool.path("kept", str(i))] = sha(data)
            with open(self.pool.path("kept", str(i)), "wb") as f:
                f.write(data)
        self.pool.sync()

    def verify(self):
        drop_caches()
        for path, digest in self.kept.items():
            with open(path, "rb") as f:
                if sha(f.read()) != digest:
                    raise AssertionError(f"{path} is not what was written")

    def kill(self):
        self.pool.kill_server()
        self.pool.mount()

    def killed(self, times, r):
        """As soon as it is asked for, and when some of it is done, again and again; slowly, or nothing would be left to do after the
        first. How often there was something left."""
        self.pool.cli("set", self.pool.name, "rate=8M")
        middle = 0
        for i in range(times):
            done, end = 0 if i == 0 else r.randrange(1, 2 * MIB), time.monotonic() + 2
            tasks = self.pool.status()["tasks"]
            while i and tasks and sum(t["bytes_done"] for t in tasks) < done and time.monotonic() < end:
                time.sleep(0.02)
                tasks = self.pool.status()["tasks"]
            middle += bool(tasks)
            self.kill()
        self.pool.cli("set", self.pool.name, "rate=off")
        return middle

    def step(self, *words, kill=False):
        verb, *rest = words
        if kill:
            self.pool.cli(verb, self.pool.name, *rest)
            time.sleep(0.3)
            self.kill()
            self.pool.cli("wait", self.pool.name, timeout=120)
        else:
            self.pool.cli(verb, self.pool.name, *rest, "--wait", timeout=120)
        s = self.pool.status()
        equal((s["pool"]["state"], s["tasks"]), ("healthy", []), f"after {' '.join(words)}")
        self.verify()
        return s

    def end(self, disks):
        self.pool.unmount()
        self.pool.cli("check", *disks, timeout=300)
        self.pool.destroy()


def steps(t):
    """One disk to many, more and less protection, wider and narrower, and back to one."""
    bigger = t.pool.new_disk(320 * MIB, "bigger")
    return [("add", *t.more), ("set", "failover=1"), ("set", "failover=2"), ("set", "failover=1"), ("set", "optimize=performance"),
            ("set", "optimize=space"), ("remove", "2"), ("remove", "4"), ("replace", "1", bigger), ("remove", "3", "--failover", "0")], bigger


def the_grand_tour():
    t = Tour("tour", SIZES)
    stop, end = multiprocessing.Event(), multiprocessing.Queue()
    clients = [multiprocessing.Process(target=load, args=(t.pool.path(f"c{i}"), i, stop, end)) for i in range(2)]
    for c in clients:
        c.start()
    plan, last = steps(t)
    try:
        for words in plan:
            s = t.step(*words)
    finally:
        stop.set()
        said = [end.get(timeout=60) for _ in clients]
        for c in clients:
            c.join()
    for wrong, longest in said:
        equal(wrong, None, "what the client says")
        note(f"longest wait of a client: {longest:.2f} s")
    equal(len(s["disks"]), 1, "disks at the end")
    t.end([last])


def kills_in_the_middle():
    t = Tour("killed", SIZES)
    plan, last = steps(t)
    kills, middle = int(os.environ.get("E2E_KILLS", "3")), 0
    r = random.Random(os.environ.get("E2E_SEED", "1"))
    for verb, *rest in plan:
        t.pool.cli(verb, t.pool.name, *rest)
        middle += t.killed(kills, r)
        t.pool.cli("wait", t.pool.name, timeout=120)
        s = t.pool.status()
        equal((s["pool"]["state"], s["tasks"]), ("healthy", []), f"after {verb} {rest}")
        t.verify()
    note(f"killed {kills * len(plan)} times, {middle} of them with something left to do")
    if middle < kills * len(plan) / 2:
        raise AssertionError("the kills came too late to tell anything")
    t.end([last])


def refused(t, word, *args):
    """Refused with a sentence that has this word in it, and nothing has changed."""
    before = t.pool.status()
    r = t.pool.run(args[0], t.pool.name, *args[1:])
    equal(r.returncode, 1, f"status of {args}: {r.stdout}{r.stderr}")
    if word not in r.stderr:
        raise AssertionError(f"no \"{word}\" in: {r.stderr}")
    after = t.pool.status()
    for s in (before, after):
        s["capacity"] = s["capacity"]["usable"]
        for d in s["disks"]:
            d["used"] = 0
    equal(after, before, f"status after {args} was refused")


def refusals():
    t = Tour("no", SIZES[:3])
    refused(t, "at least one disk", "remove", "1")
    refused(t, "Add disks", "set", "failover=1")
    refused(t, "not \"many\"", "set", "failover=many")
    refused(t, "not \"fast\"", "set", "optimize=fast")
    refused(t, "no disk", "remove", "7")
    refused(t, "already", "add", t.pool.disks[0])
    small = t.pool.new_disk(8 * MIB, "small")
    refused(t, "too small", "add", t.more[0], small)
    t.step("add", *t.more)
    t.step("set", "failover=2")
    refused(t, "--failover 1", "remove", "3")
    t.pool.cli("set", t.pool.name, "failover=0", "--wait")
    with open(t.pool.path("large"), "wb") as f:
        f.write(os.urandom(4 * MIB) * 75)
    t.pool.sync()
    refused(t, "missing", "remove", "2")
    refused(t, "missing", "set", "failover=2")
    t.pool.destroy()


def paused_taken_back_and_slow():
    t = Tour("steer", SIZES[:3])
    t.step("add", *t.more)
    refused(t, "No change", "cancel")
    refused(t, "no task 4001", "pause", "4001")
    refused(t, "64K or more", "set", "rate=fast")
    equal(t.pool.run("pause", t.pool.name, "all").returncode, 2, "pause all")
    t.pool.cli("pause", t.pool.name)
    t.pool.cli("remove", t.pool.name, "2")
    t.pool.unmount()
    t.pool.mount()
    s = t.pool.status()
    equal([(x["kind"], x["state"], x["disk"], x["bytes_done"]) for x in s["tasks"]], [("remove", "paused", 2, 0)], "tasks")
    if not 0 < s["tasks"][0]["bytes_total"] <= sum(d["used"] for d in s["disks"]):
        raise AssertionError(s["tasks"])
    task = str(s["tasks"][0]["id"])
    refused(t, "scalefs resume", "resume", task)
    t.pool.cli("wait", t.pool.name, ok=(3,))
    t.pool.cli("cancel", t.pool.name, task, "--wait")
    s = t.pool.status()
    equal(([d["state"] for d in s["disks"]], s["tasks"]), (["online"] * 3, []), "after cancel")
    t.pool.cli("resume", t.pool.name)
    t.pool.cli("set", t.pool.name, "rate=128K")
    if "rate 128 KiB/s" not in t.pool.cli("status", t.pool.name):
        raise AssertionError(t.pool.cli("status", t.pool.name))
    t.pool.cli("remove", t.pool.name, "2")
    end = time.monotonic() + 60
    while not any(x["rate"] and x["bytes_done"] for x in t.pool.status()["tasks"]):
        if time.monotonic() > end:
            raise AssertionError(t.pool.status()["tasks"])
        time.sleep(0.2)
    task = t.pool.status()["tasks"][0]
    if not (task["bytes_done"] < task["bytes_total"] and task["eta_seconds"] > 0 and task["rate"] < 2 * MIB):
        raise AssertionError(task)
    t.pool.cli("set", t.pool.name, "rate=off")
    equal("remove:" in t.pool.cli("wait", t.pool.name), True, "what wait shows")
    equal(len(t.pool.status()["disks"]), 2, "disks")
    t.verify()
    t.pool.unmount()
    t.pool.cli("pause", t.pool.name)
    r = t.pool.run("remove", t.pool.name, "3")
    equal(r.returncode, 3, f"remove of a paused pool: {r.stdout}{r.stderr}")
    t.pool.cli("resume", t.pool.name)
    equal(len(t.pool.status()["disks"]), 1, "disks")
    t.pool.cli("check", t.pool.disks[0])
    t.pool.destroy()


def larger_and_smaller():
    t = Tour("sizes", SIZES[:2])
    t.step("add", *t.more)
    before = t.pool.status()["capacity"]
    disk = t.pool.disks[0]
    os.truncate(disk, 400 * MIB)
    t.pool.cli("resize", t.pool.name, "1")
    s = t.pool.status()
    equal(s["disks"][0]["size"], 400 * MIB, "size")
    if s["capacity"]["free"] < before["free"] + 180 * MIB:
        raise AssertionError((before, s["capacity"]))
    refused(t, "100 MiB too small", "resize", "1", "500M")
    refused(t, "32 MiB", "resize", "1", "8M")
    with open(t.pool.path("large"), "wb") as f:
        f.write(os.urandom(4 * MIB) * 80)
    t.pool.sync()
    with open(t.pool.path("large"), "rb") as f:
        t.kept[t.pool.path("large")] = sha(f.read())
    refused(t, "missing", "resize", "1", "40M")
    s = t.step("resize", "1", "150M", kill=True)
    equal(s["disks"][0]["size"], 150 * MIB, "size")
    os.truncate(disk, 150 * MIB)
    s = t.step("scrub")
    equal((s["disks"][0]["errors"], s["repairs"]["lost_extents"]), ({"read": 0, "write": 0, "checksum": 0}, 0), "after the cut")
    t.pool.unmount()
    t.pool.cli("check", *t.pool.disks, *t.more)
    os.truncate(disk, 200 * MIB)
    t.pool.mount()
    t.pool.cli("wait", t.pool.name)
    equal(t.pool.status()["disks"][0]["size"], 200 * MIB, "size found at mounting")
    os.truncate(disk, 220 * MIB)
    t.pool.cli("online", t.pool.name, "1")
    equal(t.pool.status()["disks"][0]["size"], 220 * MIB, "size found by online")
    t.verify()
    t.end([*t.pool.disks, *t.more])


def plans():
    t = Tour("plans", SIZES[:3])

    def plan(*words, ok=(0,)):
        before = t.pool.status()
        p = json.loads(t.pool.cli("plan", t.pool.name, *words, "--json", ok=ok))
        after = t.pool.status()
        equal([after[k] for k in ("config", "tasks", "pool")], [before[k] for k in ("config", "tasks", "pool")], f"after plan {words}")
        equal(len(after["disks"]), len(before["disks"]), "disks")
        return p

    p = plan("add", "256M", t.more[1])
    equal((p["possible"], p["refusal"], p["before"]["disks"], p["after"]["disks"]), (True, None, 1, 3), "add")
    if not (p["after"]["usable"] > p["before"]["usable"] + 350 * MIB and p["bytes_to_move"] > 0 and p["seconds"] is not None):
        raise AssertionError(p)
    t.step("add", *t.more)
    equal(t.pool.status()["capacity"]["usable"], p["after"]["usable"], "what was planned")
    p = plan("remove", "2", "--failover", "0")
    equal((p["possible"], p["after"]["disks"], p["during"]["failures"]), (True, 2, 0), "remove")
    p = plan("set", "failover=2", "optimize=performance")
    equal((p["possible"], p["before"]["failures"], p["during"]["failures"], p["after"]["failures"]), (True, 0, 0, 2), "set")
    for words, why in ((("remove", "9"), "no disk"), (("set", "failover=3"), "Add disks"), (("replace", "1", "8M"), "32 MiB"),
                       (("add", t.pool.disks[0]), "already"), (("resize", "1", "8M"), "32 MiB")):
        p = plan(*words, ok=(1,))
        if p["possible"] or why not in p["refusal"]:
            raise AssertionError(p)
        if why not in t.pool.cli("plan", t.pool.name, *words, ok=(1,)):
            raise AssertionError(words)
    for words in (("eat", "1"), ("set", "verify=parity"), ("remove", "1", "2"), ("resize", "1", "much"), ("add",)):
        equal(t.pool.run("plan", t.pool.name, *words).returncode, 2, f"plan {words}")
    t.pool.unmount()
    p = plan("replace", "1", "1G")
    equal((p["possible"], p["after"]["disks"]), (True, 3), "on a pool that is not mounted")
    p = json.loads(t.pool.cli("plan", "--disks", "8T,4T,4T", "--failover", "1", "--json"))
    if not 7.9 * 2**40 * 0.98 < p["after"]["usable"] < 8 * 2**40:
        raise AssertionError(p)
    if "refused" not in t.pool.cli("plan", "--disks", "8T,4T", "--failover", "2", ok=(1,)):
        raise AssertionError("failover 2 of two disks")
    equal(t.pool.run("plan", "--disks", "8T,many").returncode, 2, "sizes that are none")
    t.pool.mount()
    t.end([*t.pool.disks, *t.more])


def several_are_replaced():
    t = Tour("pairs", SIZES[:3])
    t.step("add", *t.more)
    t.step("set", "failover=1")
    new = [t.pool.new_disk(size, f"new{size // MIB}") for size in (400 * MIB, 300 * MIB)]
    small = t.pool.new_disk(32 * MIB, "small")
    with open(t.pool.path("large"), "wb") as f:
        f.write(os.urandom(4 * MIB) * 40)
    t.pool.sync()
    before = t.pool.status()["capacity"]
    equal(t.pool.run("replace", t.pool.name, "1", new[0], "2").returncode, 2, "half a pair")
    refused(t, "too small", "replace", "1", new[0], "2", small)
    refused(t, "named twice", "replace", "1", new[0], "1", new[1])
    s = t.step("replace", "1", new[0], "2", new[1])
    equal(sorted(d["size"] for d in s["disks"]), [SIZES[2], 300 * MIB, 400 * MIB], "sizes")
    if s["capacity"]["usable"] < before["usable"] + 50 * MIB or s["capacity"]["free"] < before["free"] + 50 * MIB:
        raise AssertionError((before, s["capacity"]))
    t.end([*new, t.more[1]])


def stations():
    pool = Pool("boxes", [96 * MIB] * 2, 1, options=())
    pool.mount()
    box = [pool.new_disk(96 * MIB, f"box{i}") for i in range(2)]
    pool.cli("add", pool.name, *box, "--station", "box", "--wait")
    with open(pool.path("file"), "wb") as f:
        f.write(os.urandom(20 * MIB))
    pool.sync()
    losses = pool.status()["losses"]
    equal([(x.get("disk"), x.get("station"), x["loss"]) for x in losses],
          [(1, None, "degraded"), (2, None, "degraded"), (3, None, "degraded"), (4, None, "degraded"), (None, "box", "suspended")], "losses")
    if "station box, if it went:" not in pool.cli("status", pool.name):
        raise AssertionError(pool.cli("status", pool.name))
    pool.cli("set", pool.name, "failover=0", "--wait")
    losses = pool.status()["losses"]
    if not all(x["loss"] == "suspended" for x in losses) or not sum(x["bytes"] for x in losses):
        raise AssertionError(losses)
    pool.destroy()


def a_pool_that_is_not_mounted():
    pool = Pool("closed", [128 * MIB])
    pool.mount()
    with open(pool.path("file"), "wb") as f:
        f.write(os.urandom(20 * MIB))
    with open(pool.path("file"), "rb") as f:
        digest = sha(f.read())
    pool.unmount()
    more = [pool.new_disk(96 * MIB, f"more{i}") for i in range(2)]
    pool.cli("add", pool.name, *more)
    pool.cli("set", pool.name, "failover=1")
    s = pool.status()
    equal((s["pool"]["state"], s["config"]["failover"], s["tasks"]), ("healthy", 1, []), "status")
    pool.cli("remove", pool.name, "1")
    os.unlink(pool.disks.pop(0))
    pool.mount()
    with open(pool.path("file"), "rb") as f:
        equal(sha(f.read()), digest, "the file")
    pool.unmount()
    pool.cli("check", *more)
    pool.destroy()


if __name__ == "__main__":
    if not have_fuse():
        skip("mount_change", "no FUSE here")
    else:
        case(the_grand_tour, timeout=240)
        case(kills_in_the_middle, timeout=240)
        case(refusals, timeout=120)
        case(paused_taken_back_and_slow, timeout=180)
        case(larger_and_smaller, timeout=180)
        case(plans, timeout=120)
        case(stations, timeout=120)
        case(several_are_replaced, timeout=120)
        case(a_pool_that_is_not_mounted, timeout=120)
    sys.exit(finish())
