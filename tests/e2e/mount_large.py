#!/usr/bin/env python3
"""Many bytes and many files: the process of the mount stays small, everything is right, and opening does not
take long because there is much.

E2E_MIB (default 512) and E2E_FILES (default 3000): how much is written. Times are told, never judged.
"""
import os
import random
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import KIB, MIB, Pool, bulk, case, drop_caches, finish, have_fuse, note, skip

LIMIT = 300 * MIB  # resident, at its peak
BIG = 64 * MIB     # of each large file, but the last


def write(path, data):
    with open(path, "xb", buffering=0) as f:
        view = memoryview(data)
        while view:
            view = view[f.write(view):]


def write_files(pool, total, count):
    """`count` files of at most 16 KiB, and large ones up to `total` bytes: path -> (size, seed)."""
    r = random.Random(1)
    files, written = {}, 0
    for number in range(count):
        folder = pool.path(f"small{number // 1000}")
        if number % 1000 == 0:
            os.mkdir(folder)
        path = os.path.join(folder, f"a-file-with-a-name-{number}")
        size = r.randrange(16 * KIB)
        write(path, bulk(size, number))
        files[path] = (size, number)
        written += size
    os.mkdir(pool.path("large"))
    while written < total:
        number, size = len(files), min(BIG, total - written)
        path = pool.path("large", str(number))
        write(path, bulk(size, number))
        files[path] = (size, number)
        written += size
    pool.sync()
    return files


def verify(files):
    drop_caches()
    for path, (size, seed) in files.items():
        with open(path, "rb") as f:
            if f.read() != bulk(size, seed):
                raise AssertionError(f"{path} has other content")


def memory(pool, when):
    peak = pool.peak_memory()
    note(f"memory: {when} | {peak / MIB:.0f} MiB")
    if not 0 < peak < LIMIT:
        raise AssertionError(f"the process of the mount had {peak / MIB:.0f} MiB {when}")


def mount_times(pool, files):
    times = []
    for _ in range(5):
        drop_caches()
        start = time.monotonic()
        pool.mount()
        times.append((time.monotonic() - start) * 1000)
        if not os.path.exists(next(iter(files))):
            raise AssertionError("nothing is there")
        pool.unmount()
    note(f"mount: {len(files)} files | {statistics.median(times):.0f} ms, {min(times):.0f} to {max(times):.0f}")


def large(total, count):
    pool = Pool("large", [total * 3 // 4 + count * 8 * KIB + 128 * MIB] * 3, failover=1)
    try:
        pool.mount()
        files = write_files(pool, total, count)
        memory(pool, "after writing")
        verify(files)
        memory(pool, "after reading")
        pool.unmount()
        mount_times(pool, files)
        pool.mount()
        for top, _, names in os.walk(pool.mount_point):
            for name in names:
                os.stat(os.path.join(top, name))
        memory(pool, "after looking at everything")
        for path in list(files)[::2]:
            os.unlink(path)
            del files[path]
        pool.sync()
        memory(pool, "after deleting half")
        verify(files)
        pool.unmount()
        pool.check()
    finally:
        pool.destroy()


def main():
    if not have_fuse():
        skip("mount_large", "no /dev/fuse")
        finish()
    total, count = int(os.environ.get("E2E_MIB", "512")) * MIB, int(os.environ.get("E2E_FILES", "3000"))
    case(large, total, count, timeout=300, name=f"{total // MIB}_mib_in_{count}_small_files_and_large_ones")
    finish()


if __name__ == "__main__":
    main()
