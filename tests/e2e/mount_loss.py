#!/usr/bin/env python3
"""Disks are lost: with as many gone as the pool allows, every byte is right, work goes on, and new disks
bring the protection back. And noise on disks: found, repaired, and then gone.

Arguments: parts of the names of the cases to run. E2E_ALL=1: all sets of disks that may be lost, not one of each pool;
noise on all pairs. E2E_SEED chooses.
"""
import errno
import itertools
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import MIB, Pool, case, drop_caches, equal, finish, have_fuse, noise, note, sha256, skip

KINDS = ("noise", "removed", "emptied", "zeroed")


def fill(pool, folder, seed, total=24 * MIB):
    """Files of many sizes; their checksums by path."""
    r = random.Random(seed)
    sums, written = {}, 0
    os.makedirs(pool.path(folder))
    number = 0
    while written < total:
        size = r.choice((0, 1, 100, 4096, 60_000, 131_072, 700_001, 3 * MIB + 5))
        path = pool.path(folder, f"f{number}")
        with open(path, "wb") as f:
            f.write(noise(size, seed * 1000 + number))
        sums[path] = sha256(path)
        written += size
        number += 1
    return sums


def verify(sums):
    drop_caches()
    wrong = []
    for path, wanted in sums.items():
        try:
            found = sha256(path)
        except OSError as e:
            wrong.append(f"{path}: {e}")
            continue
        if found != wanted:
            wrong.append(f"{path}: wrong content")
    if wrong:
        raise AssertionError(f"{len(wrong)} of {len(sums)} files: " + "; ".join(wrong[:5]))


def destroy(path, kind, seed):
    """What happens to a disk. It stays destroyed: the pool may not get it back by reopening."""
    size = os.path.getsize(path)
    if kind == "removed":
        os.rename(path, path + ".gone")
        os.unlink(path + ".gone")
    elif kind == "emptied":
        os.truncate(path, 0)
    else:
        block = noise(4 * MIB, seed) if kind == "noise" else bytes(4 * MIB)
        with open(path, "r+b") as f:
            for offset in range(0, size, len(block)):
                f.write(block[:min(len(block), size - offset)])


def mount_what_is_left(pool):
    """A mount that says what is missing must work with --degraded."""
    r = pool.run("mount", pool.name, pool.mount_point)
    if r.returncode == 0:
        return
    equal(r.returncode, 1, "status of a mount with too few disks to be sure")
    if "degraded" not in r.stderr:
        raise AssertionError(f"it does not say how to go on: {r.stderr}")
    pool.mount("--degraded")


def wait_until_healthy(pool):
    pool.cli("wait", pool.name, ok=(0, 3), timeout=120)
    for _ in range(100):
        status = pool.status()
        if status["pool"]["state"] == "healthy":
            return
        time.sleep(0.1)
    raise AssertionError(f"the pool is {status['pool']['state']}: {status['pool']['action']}")


def lose_and_replace(sizes, failover, while_mounted, seed, victims):
    name = f"loss{len(sizes)}-{failover}-{'on' if while_mounted else 'off'}"
    pool = Pool(name, sizes, failover)
    r = random.Random(seed)
    try:
        pool.mount()
        sums = fill(pool, "before", seed)
        if not while_mounted:
            pool.unmount()
        else:
            pool.sync()
        kinds = r.sample(KINDS, len(KINDS)) * 2
        if while_mounted:  # an open file can't be taken away by its name
            kinds = [k for k in kinds if k != "removed"]
        for v, kind in zip(victims, kinds):
            note(f"{os.path.basename(pool.disks[v])} is {kind}")
            destroy(pool.disks[v], kind, seed + v)
        if not while_mounted:
            mount_what_is_left(pool)
        verify(sums)
        sums |= fill(pool, "degraded", seed + 1, 4 * MIB)
        verify(sums)
        pool.unmount()  # nothing of the lost disks is left in memory
        mount_what_is_left(pool)
        verify(sums)
        ids = {os.path.basename(d["path"]): d["id"] for d in pool.status()["disks"]}
        for v in victims:
            old = pool.disks[v]
            new = pool.new_disk(sizes[v], f"new{v}")
            # 3: others are still missing
            pool.cli("replace", pool.name, str(ids[os.path.basename(old)]), new, "--wait", ok=(0, 3), timeout=200)
            pool.disks[v] = new
        if victims:
            wait_until_healthy(pool)
        verify(sums)
        for name in os.listdir(pool.folder):  # what was destroyed is not needed any more
            path = os.path.join(pool.folder, name)
            if name.startswith("disk") and path not in pool.disks:
                os.unlink(path)
        pool.cli("scrub", pool.name, "--wait", timeout=200)
        pool.unmount()
        pool.check()
        pool.mount()
        verify(sums)
        # The protection is back: the same number of other disks may go.
        if victims:
            pool.unmount()
            others = [i for i in range(len(sizes)) if i not in victims][:failover] or victims[:failover]
            others = (others + list(victims))[:failover]
            for v in others:
                destroy(pool.disks[v], "removed", seed)
            mount_what_is_left(pool)
            verify(sums)
        pool.unmount()
    finally:
        pool.destroy()


def noise_on_two_disks(while_mounted, victims):
    """32 MiB of noise on each of two disks: files right, one scrub repairs, the next finds nothing."""
    pool = Pool(f"noise-{'on' if while_mounted else 'off'}", [96 * MIB] * 5, failover=2)
    try:
        pool.mount()
        sums = fill(pool, "files", 77, 110 * MIB)
        if while_mounted:
            pool.sync()
        else:
            pool.unmount()
        for v in victims:
            with open(pool.disks[v], "r+b") as f:
                f.seek(random.Random(v).randrange(MIB, 40 * MIB))
                f.write(noise(32 * MIB, v))
                f.flush()
        if not while_mounted:
            pool.mount()
        verify(sums)
        first = pool.run("scrub", pool.name, "--wait", timeout=200)
        if first.returncode not in (0, 3):
            raise AssertionError(f"scrub: {first.returncode} {first.stdout}{first.stderr}")
        status = pool.status()
        errors = [d["errors"]["checksum"] for d in status["disks"]]
        note(f"checksum errors by disk {errors}, repaired extents {status['repairs']['extents']}")
        if not status["repairs"]["extents"] and not any(errors):
            raise AssertionError("the noise was not even noticed")
        equal(status["repairs"]["lost_extents"], 0, "lost extents")
        second = pool.run("scrub", pool.name, "--wait", timeout=200)
        equal(second.returncode, 0, f"status of the second scrub ({second.stdout}{second.stderr})")
        again = pool.status()
        equal([d["errors"]["checksum"] for d in again["disks"]], errors, "errors that the second scrub found")
        equal(again["repairs"]["extents"], status["repairs"]["extents"], "repairs by the second scrub")
        verify(sums)
        pool.unmount()
        pool.check()
    finally:
        pool.destroy()


def too_many_lost():
    """More disks gone than the pool can bear: errors, never wrong data, never a hang; it can still be looked
    at and unmounted, and what is there when the disks are back is right."""
    pool = Pool("toomany", [96 * MIB] * 4, failover=1)
    try:
        pool.mount()
        sums = fill(pool, "files", 5)
        pool.unmount()
        pool.mount()
        kept = {}
        for v in (0, 2):  # "pulled": what the server has open is emptied, the content comes back later
            with open(pool.disks[v], "rb") as f:
                kept[v] = f.read()
            os.truncate(pool.disks[v], 0)
        drop_caches()
        errors = 0
        for path, wanted in sums.items():
            try:
                if sha256(path) != wanted:
                    raise AssertionError(f"{path}: wrong data instead of an error")
            except OSError as e:
                errors += 1
                equal(e.errno, errno.EIO, "errno of what can't be read")
        if not errors:
            raise AssertionError("everything could be read from too few disks")
        try:
            with open(pool.path("new"), "wb") as f:
                f.write(noise(8 * MIB, 1))
                os.fsync(f.fileno())
            raise AssertionError("a write to a pool with too few disks was acknowledged")
        except OSError as e:
            note(f"writing: {e.strerror}; {errors} of {len(sums)} files can't be read")
        status = pool.status()
        if status["pool"]["state"] not in ("suspended", "damaged"):
            raise AssertionError(f"the pool says that it is {status['pool']['state']}")
        if not status["pool"]["action"]:
            raise AssertionError("it does not say what to do")
        r = pool.run("unmount", pool.mount_point, timeout=60)
        note(f"unmount: {r.returncode} {r.stderr.strip()}")
        if pool.mounted():
            raise AssertionError("a suspended pool can't be unmounted")
        for v, content in kept.items():
            with open(pool.disks[v], "r+b") as f:
                f.write(content)
        pool.mount()
        verify(sums)
        pool.unmount()
        pool.check()
    finally:
        pool.destroy()


def when(while_mounted):
    return "mounted" if while_mounted else "unmounted"


def named(victims):
    return "_and_".join(str(v) for v in victims) or "none"


PROFILES = (
    ([96 * MIB], 0),
    ([96 * MIB] * 2, 1),
    ([128 * MIB] * 4, 3),
    ([96 * MIB] * 6, 2),
    ([64 * MIB, 96 * MIB, 128 * MIB, 192 * MIB, 320 * MIB], 2),
)


def main():
    if not have_fuse():
        skip("mount_loss", "no /dev/fuse")
        finish()
    seed = int(os.environ.get("E2E_SEED", "1"))
    everything = bool(os.environ.get("E2E_ALL"))
    wanted = sys.argv[1:]  # parts of names; all when there are none
    todo = []
    for sizes, failover in PROFILES:
        for while_mounted in (False, True):
            if failover or not while_mounted:
                sets = list(itertools.combinations(range(len(sizes)), failover))
                for victims in sets if everything else random.Random(seed).sample(sets, 1):
                    name = f"failover_{failover}_on_{len(sizes)}_disks_without_{named(victims)}_{when(while_mounted)}"
                    # Each set meets other kinds of loss.
                    todo.append((name, lose_and_replace, (sizes, failover, while_mounted, seed + len(todo), victims)))
    todo.append(("too_many_lost", too_many_lost, ()))
    for while_mounted in (False, True):
        for victims in itertools.combinations(range(5), 2) if everything else [(1, 3)]:
            todo.append((f"noise_on_{named(victims)}_{when(while_mounted)}", noise_on_two_disks, (while_mounted, victims)))
    for name, function, args in todo:
        if not wanted or any(w in name for w in wanted):
            case(function, *args, timeout=240, name=name)
    finish()


if __name__ == "__main__":
    main()
