#!/usr/bin/env python3
"""The pool is filled to the last byte, half is deleted, it is filled again; and what it says about its
space is true: `free` within 3 %, `check` and `status` agree, a full pool can always delete.

E2E_ROUNDS (default 5), E2E_SEED choose.
"""
import errno
import json
import os
import random
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import MIB, Pool, case, drop_caches, equal, finish, have_fuse, noise, note, sha256, skip


def fill(pool, seed, names):
    """Files of 1 MiB until the pool is full. Bytes written."""
    os.makedirs(pool.path("data"), exist_ok=True)
    written = 0
    for number in range(100_000):
        path = pool.path("data", f"{seed}-{number}")
        data = noise(MIB, seed * 1_000_000 + number)
        try:
            with open(path, "xb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
        except OSError as e:
            equal(errno.errorcode[e.errno], "ENOSPC", "how a full pool says so")
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            return written
        names[path] = (seed * 1_000_000 + number)
        written += MIB
    raise AssertionError("the pool is never full")


def verify(names):
    drop_caches()
    for path, seed in names.items():
        with open(path, "rb") as f:
            if f.read() != noise(MIB, seed):
                raise AssertionError(f"{path} has other content")


def near(a, b, what, slack=2 * MIB):
    """Within 3 %, and what one file and a few blocks of metadata come to on so small a pool."""
    note(f"{what}: {a / MIB:.1f} and {b / MIB:.1f} MiB")
    if abs(a - b) > 0.03 * max(a, b) + slack:
        raise AssertionError(f"{what}: {a} and {b}")


def settle(pool):
    """Everything written and freed counts in `status`."""
    fd = os.open(pool.mount_point, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)
    pool.cli("wait", pool.name, ok=(0, 3), timeout=120)


def full_and_half(sizes, failover, seed):
    pool = Pool(f"full{seed}", sizes, failover)
    r = random.Random(seed)
    note(f"disks {[s // MIB for s in sizes]} MiB, failover {failover}")
    try:
        pool.mount()
        names = {}
        free = pool.status()["capacity"]["free"]
        st = os.statvfs(pool.mount_point)
        near(st.f_bavail * st.f_frsize, free, "df and status", slack=MIB)
        near(fill(pool, 1, names), free, "written to an empty pool and promised")
        verify(names)
        for path in r.sample(sorted(names), len(names) // 2):
            os.unlink(path)
            del names[path]
        settle(pool)
        free = pool.status()["capacity"]["free"]
        near(fill(pool, 2, names), free, "written after deleting half and promised")
        verify(names)
        # Full: small things and overwriting in place of nothing may fail, deleting and truncating may not.
        victims = r.sample(sorted(names), 3)
        os.truncate(victims[0], 1000)
        os.unlink(victims[1])
        os.rename(victims[2], victims[2] + ".renamed")
        for v in victims:
            del names[v]
        verify(names)
        settle(pool)
        used = pool.status()["capacity"]["used"]
        pool.unmount()
        report = json.loads(pool.cli("check", *pool.disks, "--json", timeout=200))["check"]
        equal(report["problems"], 0, f"problems that check found: {report['messages'][:5]}")
        near(report["live_bytes"], used, "used by check and by status", slack=MIB)
        pool.mount()
        verify(names)
        for path in names:
            os.unlink(path)
        settle(pool)
        near(pool.status()["capacity"]["free"], st.f_bavail * st.f_frsize, "free when emptied and at first",
             slack=3 * MIB)
        pool.unmount()
        pool.check()
    finally:
        pool.destroy()


def accepted_is_kept(sizes, failover):
    """Filled without a single fsync: what write and close have accepted can be made durable, and is there after
    remounting. An accepted write has its space."""
    pool = Pool(f"accepted{len(sizes)}", sizes, failover)
    try:
        pool.mount()
        names = {}
        try:
            for number in range(100_000):
                path = pool.path(str(number))
                with open(path, "xb") as f:
                    f.write(noise(MIB, number))
                names[path] = number
        except OSError as e:
            equal(errno.errorcode[e.errno], "ENOSPC", "how a full pool says so")
            os.unlink(path)
        note(f"{len(names)} files were accepted")
        for path in names:
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        pool.unmount()
        pool.mount()
        verify(names)
        pool.unmount()
        pool.check()
    finally:
        pool.destroy()


def main():
    if not have_fuse():
        skip("mount_full", "no /dev/fuse")
        finish()
    case(accepted_is_kept, [96 * MIB], 0, timeout=120, name="accepted_is_kept_on_1_disk")
    case(accepted_is_kept, [96 * MIB, 128 * MIB, 192 * MIB], 1, timeout=120, name="accepted_is_kept_on_3_disks")
    first = int(os.environ.get("E2E_SEED", "1"))
    for seed in range(first, first + int(os.environ.get("E2E_ROUNDS", "5"))):
        r = random.Random(seed)
        failover = (1, 0, 2, 1, 3)[seed % 5]
        count = failover + r.randrange(1, 4)
        sizes = [r.randrange(64, 321) * MIB for _ in range(count)]
        case(full_and_half, sizes, failover, seed, timeout=300, name=f"filled_round_{seed}")
    finish()


if __name__ == "__main__":
    main()
