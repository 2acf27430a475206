#!/usr/bin/env python3
"""A pool moves in the middle of changes: exported, its disks under other names in another folder, imported, and the work goes on."""
import hashlib
import os
import random
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import KIB, MIB, Pool, case, drop_caches, equal, finish, have_fuse, note, skip


def verify(pool, sums):
    drop_caches()
    for name, digest in sums.items():
        with open(pool.path(name), "rb") as f:
            if hashlib.sha256(f.read()).hexdigest() != digest:
                raise AssertionError(f"{name} is not what was written")


def move_to(pool, name):
    """All disks go to another folder, under other names and in another order."""
    before, pool.folder = pool.folder, os.path.join(pool.folder, name)
    os.mkdir(pool.folder)
    there = sorted(f for f in os.listdir(before) if os.path.isfile(os.path.join(before, f)))
    pool.disks = [os.path.join(pool.folder, f"{9 - i}-{name}") for i in range(len(there))]
    for f, path in zip(there, pool.disks):
        os.rename(os.path.join(before, f), path)
    return before


def travels():
    pool = Pool("travel", [160 * MIB] * 5, 1)
    new, home = pool.new_disk(224 * MIB, "new"), pool.folder
    pool.mount()
    r, sums = random.Random(3), {}
    for i in range(40):
        data = r.randbytes(r.choice((5 * KIB, 200 * KIB, 4 * MIB)))
        sums[f"file{i}"] = hashlib.sha256(data).hexdigest()
        with open(pool.path(f"file{i}"), "wb") as f:
            f.write(data)
    pool.sync()
    pool.cli("set", pool.name, "rate=256K")
    pool.cli("remove", pool.name, "2")
    pool.cli("set", pool.name, "failover=2")
    pool.cli("replace", pool.name, "4", new)
    kinds = {t["kind"] for t in pool.status()["tasks"]}
    equal(kinds >= {"remove", "replace", "convert"}, True, f"what is going on: {kinds}")
    pool.cli("export", pool.name)
    for place in ("elsewhere", "further"):
        move_to(pool, place)
        found = pool.cli("list")
        if "exported" not in found:
            raise AssertionError(found)
        pool.cli("import", pool.name)
        pool.mount()
        status = pool.status()
        kinds = {t["kind"] for t in status["tasks"]}
        equal(kinds >= {"remove", "replace", "convert"}, True, f"what goes on in {place}: {kinds}")
        equal(sorted(d["path"] for d in status["disks"]), sorted(pool.disks), "disks")
        equal([d["state"] for d in sorted(status["disks"], key=lambda d: d["id"])],
              ["online", "leaving", "online", "leaving", "online", "joining"], "states of the disks")
        verify(pool, sums)
        pool.cli("export", pool.name)
    pool.cli("import", pool.name)
    pool.mount()
    pool.cli("set", pool.name, "rate=off")
    pool.cli("wait", pool.name)
    status = pool.status()
    equal((status["pool"]["state"], status["tasks"], status["config"]["failover"]), ("healthy", [], 2), "at the end")
    equal(sorted(d["id"] for d in status["disks"]), [1, 3, 5, 6], "disks at the end")
    verify(pool, sums)
    pool.unmount()
    left = {d["path"] for d in status["disks"]}
    for path in set(pool.disks) - left:
        os.unlink(path)  # what has left is not needed
    pool.disks = sorted(left)
    pool.check()
    note(f"{len(sums)} files, moved twice")
    pool.folder = home
    pool.destroy()


if __name__ == "__main__":
    if not have_fuse():
        skip("mount_travel", "no FUSE here")
    else:
        case(travels, timeout=120)
    sys.exit(finish())
