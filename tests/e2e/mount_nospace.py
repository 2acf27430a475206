#!/usr/bin/env python3
"""What programs hear that write into a full pool, and when: from write(2), although the kernel caches writes."""
import errno
import os
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import MIB, Pool, case, drop_caches, equal, finish, have_fuse, noise, note, skip


def write_is_told(sizes, failover):
    """A program that only writes, through the cache of the kernel, hears of the full pool from write(2): not after all it
    has to write was swallowed."""
    pool = Pool("told", sizes, failover)
    limit = 3 << 30  # what a kernel may hold back is a part of the memory; the pool is much smaller
    with open("/proc/meminfo", encoding="ascii") as f:
        limit = max(limit, int(f.readline().split()[1]) * 1024 // 4)

    def fill_file(path, block):
        written = 0
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        try:
            while written < limit:
                written += os.write(fd, block)
            raise AssertionError(f"{written} bytes were taken by a pool of {sum(sizes)}")
        except OSError as e:
            equal(errno.errorcode[e.errno], "ENOSPC", "how a full pool says so")
        for last in (os.fsync, os.close):  # what was in the cache is lost, and they say so
            try:
                last(fd)
            except OSError as e:
                equal(errno.errorcode[e.errno], "ENOSPC", f"how {last.__name__} says so")
        note(f"{written / MIB:.1f} MiB in pieces of {len(block)} were taken before write said so")

    def size_is_soon_true(path):
        """Once it is closed, the size shown is not what the kernel had taken but what is stored."""
        at_first = os.stat(path).st_size
        end = time.monotonic() + 5
        while os.stat(path).st_size == at_first and time.monotonic() < end:
            time.sleep(0.05)
        shown = os.stat(path).st_size
        drop_caches()
        equal(shown, os.stat(path).st_size, f"size shown ({at_first} at first), and size")

    try:
        pool.mount()
        for size in (MIB, 4096, 1000):
            fill_file(pool.path("big"), noise(size, size))
            size_is_soon_true(pool.path("big"))
            # Whoever makes room can write at once, into the same file or another.
            os.truncate(pool.path("big"), MIB)
            with open(pool.path("big"), "wb"):
                pass
            with open(pool.path("big"), "r+b") as f:
                f.write(noise(MIB, 5))
                f.flush()
                os.fsync(f.fileno())
            with open(pool.path("small"), "wb") as f:
                f.write(noise(MIB, 6))
                f.flush()
                os.fsync(f.fileno())
            drop_caches()
            for name, seed in (("big", 5), ("small", 6)):
                with open(pool.path(name), "rb") as f:
                    equal(f.read() == noise(MIB, seed), True, name)
            os.unlink(pool.path("big"))
        pool.unmount()
        pool.check()
    finally:
        pool.destroy()


def main():
    if not have_fuse():
        skip("mount_nospace", "no /dev/fuse")
        finish()
    case(write_is_told, [96 * MIB, 96 * MIB], 1, timeout=120)
    finish()


if __name__ == "__main__":
    main()
