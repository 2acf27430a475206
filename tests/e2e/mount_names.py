#!/usr/bin/env python3
"""A directory of very many names: created, listed, looked up cold, half of them deleted, checked; the process of the mount stays small.

E2E_NAMES (default 20000): how many. Times are told, never judged.
"""
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import MIB, Pool, case, drop_caches, equal, finish, have_fuse, note, skip

LIMIT = 300 * MIB  # resident, at its peak
COLD = 2000        # names looked up after a new mount


def name_of(number):
    return f"{number * 2654435761 % 2**32:08x}-a-name-of-usual-length-{number}"


class Steps:
    """What each step took, and the most memory that the server had until then."""

    def __init__(self, pool):
        self.pool = pool

    def __call__(self, what, work, *args):
        start = time.monotonic()
        result = work(*args)
        took, peak = time.monotonic() - start, self.pool.peak_memory()
        note(f"row: {what} | {took:.1f} s | {peak / MIB:.0f} MiB")
        if not 0 < peak < LIMIT:
            raise AssertionError(f"the process of the mount had {peak / MIB:.0f} MiB after: {what}")
        return result


def create(pool, folder, count):
    os.mkdir(folder)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(count):
        os.close(os.open(name_of(number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=fd))
    os.close(fd)
    pool.sync()


def listed(folder):
    with os.scandir(folder) as entries:
        names = [e.name for e in entries]
    found = set(names)
    equal(len(names), len(found), "names, each told once")
    return found


def look_up(folder, numbers, there):
    for number in numbers:
        equal(os.path.exists(os.path.join(folder, name_of(number))), there(number), f"{name_of(number)} is there")
    equal(os.path.exists(os.path.join(folder, "no such name")), False, "a name that nobody made")


def delete_half(pool, folder, count):
    for number in range(0, count, 2):
        os.unlink(os.path.join(folder, name_of(number)))
    pool.sync()


def again(pool):
    pool.unmount()
    drop_caches()
    pool.mount()


def names(count):
    pool = Pool("names", [256 * MIB + count * 2048] * 3, failover=1)
    folder = pool.path("many")
    some = random.Random(1).sample(range(count), min(COLD, count))
    try:
        pool.mount()
        step = Steps(pool)
        step(f"{count:,} names created", create, pool, folder, count)
        equal(step("listed", listed, folder), {name_of(n) for n in range(count)}, "the names")
        again(pool)
        step(f"{len(some):,} looked up cold", look_up, folder, some, lambda number: True)
        step("half of them deleted", delete_half, pool, folder, count)
        again(pool)
        equal(step("the others listed cold", listed, folder), {name_of(n) for n in range(1, count, 2)}, "the names that are left")
        look_up(folder, some, lambda number: number % 2 == 1)
        pool.unmount()
        start = time.monotonic()
        pool.check()
        note(f"row: checked | {time.monotonic() - start:.1f} s | ")
    finally:
        pool.destroy()


def main():
    if not have_fuse():
        skip("mount_names", "no /dev/fuse")
        finish()
    count = int(os.environ.get("E2E_NAMES", "20000"))
    case(names, count, timeout=300, name=f"{count}_names_in_one_directory")
    finish()


if __name__ == "__main__":
    main()
