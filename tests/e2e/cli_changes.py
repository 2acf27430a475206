#!/usr/bin/env python3
"""Changes that are refused, and what they say; and those that a full pool does not refuse."""
import errno
import hashlib
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from lib_cli import Folder, Mounted
from lib_pool import MIB, case, drop_caches, equal, finish, have_fuse, noise, note, skip


def steady(s):
    """A status without what goes on by itself."""
    for d in s["disks"]:
        d["used"] = d["errors"] = 0
    for t in s["tasks"]:
        t["bytes_done"] = t["bytes_total"] = t["rate"] = t["eta_seconds"] = 0
    return {**s, "capacity": s["capacity"]["usable"]}


def refused(f, args, *words):
    """Exit status 1, a sentence with these words, an error document, and neither pool nor folder is changed."""
    def look():
        return steady(json.loads(f.run("status", args[1], "--json").stdout)), sorted(os.listdir(f.path))
    before = look()
    r = f.run(*args)
    told = f"scalefs {' '.join(args)}: status {r.returncode}\n{r.stdout}{r.stderr}"
    equal((r.returncode, r.stdout), (1, ""), told)
    for word in words:
        if not re.search(word, r.stderr):
            raise AssertionError(f"{told}\ndoes not say: {word}")
    r = f.run(*args, "--json")
    equal((r.returncode, set(json.loads(r.stdout)), r.stderr.count("\n")), (1, {"error"}, 1), f"{told} --json")
    equal(look(), before, f"{told}\nchanged")


CHANGES = (["set", "tank", "failover=0"], ["set", "tank", "verify=parity"], ["add", "tank", "NEW", "--size", "64M"],
           ["remove", "tank", "3"], ["replace", "tank", "3", "NEW", "--size", "96M"], ["resize", "tank", "3", "80M"],
           ["scrub", "tank"], ["cancel", "tank"])


def of_a_pool_that_is_mounted_for_reading_only():
    f = Folder("readonly")
    f.pool("tank", 3, 1, size=96 * MIB)
    with Mounted(f, "tank") as m:
        m.write("file", noise(3 * MIB, 1))
    with Mounted(f, "tank", "--read-only"):
        for args in (*CHANGES, ["set", "tank", "rate=1M"], ["offline", "tank", "1"], ["online", "tank", "1"], ["pause", "tank"],
                     ["resume", "tank"]):
            refused(f, [f.at("new") if a == "NEW" else a for a in args], '"tank" is open for reading only', "without --read-only")


def of_a_pool_that_is_suspended():
    f = Folder("suspended")
    disks = f.pool("tank", 3, 1, size=96 * MIB)
    data, kept = noise(12 * MIB, 2), {}
    with Mounted(f, "tank") as m:
        m.write("file", data)
    with Mounted(f, "tank") as m:
        for d in disks[:2]:  # as if pulled
            with open(d, "rb") as g:
                kept[d] = g.read()
            os.truncate(d, 0)
        drop_caches()
        try:
            m.read("file")
        except OSError as e:
            equal(e.errno, errno.EIO, "errno")
        end = time.monotonic() + 30
        while json.loads(f.run("status", "tank", "--json").stdout)["pool"]["state"] != "suspended":
            if time.monotonic() > end:
                raise AssertionError("it is not suspended")
            time.sleep(0.1)
        for args in CHANGES:
            refused(f, [f.at("new") if a == "NEW" else a for a in args], "[Tt]oo many disks are absent")
        f.run("unmount", m.point)
        equal(os.path.ismount(m.point), False, "mounted")
        for d, content in kept.items():
            with open(d, "r+b") as g:
                g.write(content)
    with Mounted(f, "tank") as m:
        equal(m.read("file") == data, True, "the file when the disks are back")


def too_little_room_and_by_how_much():
    f = Folder("room")
    f.pool("tank", 3, 1, size=96 * MIB)
    new = f.image("new", 40 * MIB)
    with Mounted(f, "tank") as m:
        m.write("file", noise(110 * MIB, 3))
        refused(f, ["replace", "tank", "2", new], "new cannot replace disk 2", r"It is \d+ MiB too small")
        refused(f, ["remove", "tank", "2"], r"The files take \d+ MiB", r"room for \d+ MiB", r"\d+ MiB are missing", "add a disk")
        refused(f, ["set", "tank", "failover=2"], r"\d+ MiB are missing")
        refused(f, ["resize", "tank", "2", "40M"], r"\d+ MiB are missing")
        refused(f, ["remove", "tank", "2", "--failover", "2"], "2 disks can bear the loss of 1 at most", "--failover 1")
        refused(f, ["set", "tank", "failover=3"], "Add disks first, or ask for less with failover=2")


def disks_that_others_use():
    f, g = Folder("ours"), Folder("theirs")
    disks = f.pool("tank", 2, 1)
    theirs = g.pool("other", 2, 1)
    with Mounted(f, "tank"), Mounted(g, "other"):
        for force in ([], ["--force"]):
            refused(f, ["add", "tank", theirs[0], *force], "disk0", "in use|belongs to")
            refused(f, ["replace", "tank", "1", theirs[0], *force], "disk0", "in use|belongs to")
            refused(f, ["add", "tank", disks[1], *force], "disk 2 of this pool already", "not in it")


def what_cannot_be_taken_back():
    f = Folder("back")
    f.pool("tank", 4, 1, size=96 * MIB)
    with Mounted(f, "tank") as m:
        m.write("file", noise(20 * MIB, 4))
        refused(f, ["cancel", "tank"], "No change is going on")
        f.good("pause", "tank")  # else there may be nothing left to take back
        f.good("offline", "tank", "2")
        f.good("remove", "tank", "2")
        refused(f, ["cancel", "tank"], "counts as failed", "cannot be taken back", "scalefs pause tank")
        refused(f, ["remove", "tank", "2"], "Disk 2 is leaving already")
        task, = [t for t in f.json("status", "tank", status=3)["tasks"] if t["kind"] == "remove"]
        refused(f, ["cancel", "tank", str(task["id"])], "cannot be taken back")
        f.good("resume", "tank", "--wait")
        equal([d["id"] for d in f.json("status", "tank")["disks"]], [1, 3, 4], "disks")
        equal(m.read("file") == noise(20 * MIB, 4), True, "the file")


def fill(m, prefix, sums):
    """Files of 3 MiB, and at last of 64 KiB, until there is no room; how many bytes were taken."""
    taken = number = 0
    for size in (3 * MIB, 64 * 1024):
        try:
            while True:
                number += 1
                name, data = f"{prefix}-{number}", noise(size, number)
                m.write(name, data)
                sums[name] = hashlib.sha256(data).digest()
                taken += size
        except OSError as e:
            equal(e.errno, errno.ENOSPC, "errno of a writer")
            os.unlink(os.path.join(m.point, name))
    return taken


def on_a_full_pool():
    f = Folder("full")
    disks = f.pool("tank", 3, 1, size=96 * MIB)
    sums, gained = {}, {}
    with Mounted(f, "tank") as m:
        fill(m, "first", sums)
        refused(f, ["remove", "tank", "1"], "missing")
        refused(f, ["set", "tank", "failover=2"], "missing")
        f.good("set", "tank", "failover=0", "--wait")
        gained["failover"] = fill(m, "failover", sums)
        os.truncate(disks[0], 160 * MIB)
        f.good("resize", "tank", "1", "--wait")
        gained["resize"] = fill(m, "resize", sums)
        f.good("replace", "tank", "2", f.image("larger", 160 * MIB), "--wait")
        gained["replace"] = fill(m, "replace", sums)
        f.good("add", "tank", f.at("one more"), "--size", "96M", "--wait")
        gained["add"] = fill(m, "add", sums)
        f.good("set", "tank", "compression=zstd", "verify=parity")
        f.good("scrub", "tank", "--wait")
        note("room gained: " + ", ".join(f"{k} {v // MIB} MiB" for k, v in gained.items()))
        for what, least in (("failover", 30), ("resize", 40), ("replace", 40), ("add", 60)):
            if gained[what] < least * MIB:
                raise AssertionError(f"{what} on a full pool gave room for {gained[what] // MIB} MiB, not for {least}")
        drop_caches()
        for name, digest in sums.items():
            equal(hashlib.sha256(m.read(name)).digest() == digest, True, name)
        for name in sums:
            os.unlink(os.path.join(m.point, name))
    f.good("check", disks[0], disks[2], f.at("larger"), f.at("one more"))


def main():
    if not have_fuse():
        skip("cli_changes", "no FUSE here")
    else:
        for function in (of_a_pool_that_is_mounted_for_reading_only, of_a_pool_that_is_suspended, too_little_room_and_by_how_much,
                         disks_that_others_use, what_cannot_be_taken_back, on_a_full_pool):
            case(function, timeout=150)
    finish()


if __name__ == "__main__":
    main()
