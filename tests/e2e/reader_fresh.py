#!/usr/bin/env python3
"""Pools made just now, read by the independent reader: FORMAT.md and the library say the same.

Also pools whose owner was killed, and pools whose disks lie: the reader must be told the truth by sums.
"""
import os
import random
import shutil
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import SCRATCH, case, equal, finish
from lib_reader import BUILD, golden, hash_by_the_library, listing, must_agree, must_find, must_read, scalefs_reader
import make as golden_make

hash_by_the_library()


def made(name, end=""):
    """A new pool of one of the golden kinds: its disks, its files."""
    folder = os.path.join(SCRATCH, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    disks, manifest = golden_make.make(name, TOOL, folder, end)
    return disks, manifest["files"]


def closed(name):
    disks, files = made(name)
    must_read(disks, files)


def killed(name):
    """Killed right after a sync: what the sync promised is there."""
    disks, files = made(name, "sync\ncrash\n")
    pool, _, _ = must_read(disks, files)
    equal(pool.record["flags"] & 1, 0, "the clean flag")


def killed_without_sync(name):
    """Killed in the middle: everything that lies there fits, whatever it is."""
    disks, files = made(name, "crash\n")
    pool, trees, volume = scalefs_reader.open_pool(disks)
    equal(scalefs_reader.Check(pool, trees, volume).problems, [], "problems")
    if not set(listing(volume)) <= set(files) | {"gone", "d/e/f", "d/e/f/deep"}:
        raise AssertionError("names that were never made")


def live_units(pool, trees):
    """(path, offset, length) of what live extents occupy in data units, whole blocks of 16 bytes."""
    for e in trees.extents.values():
        g = pool.groups[e["group"]]
        if g["klass"] != 3:
            continue
        at, left = e["offset"], e["stored"]
        while left:
            row, inside = divmod(at, g["k"] * g["unit"])
            c, start = divmod(inside, g["unit"])
            n = min(left, g["unit"] - start)
            image, base = pool.column(g, c)
            yield image.path, base + 4096 + row * g["unit"] + start, n
            at, left = at + n, left - n


def replaced():
    """A disk's columns went to a new one: the new one is read, the old one is no member any more."""
    folder = os.path.join(SCRATCH, "plain")
    disks, files = made("plain")
    new = os.path.join(folder, "new")
    golden.run_tool(TOOL, "run", *disks, script=f"replace 2 {new} {40 << 20}\nwait\n")
    now = [new if i == 1 else d for i, d in enumerate(disks)]
    pool, _, _ = must_read(now, files)
    equal(len(pool.disks), len(disks), "members")
    must_read([new] + disks[3:], files)
    try:
        scalefs_reader.open_pool([disks[1]])
    except scalefs_reader.Bad:
        return
    raise AssertionError("the old disk still says that it is a member")


def flip(path, offset):
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 0x10]))


def wrong_bytes(name):
    """One wrong byte in live data: everything still reads right, and the check names a column."""
    disks, files = made(name)
    pool, trees, _ = scalefs_reader.open_pool(disks)
    places = sorted(live_units(pool, trees))
    path, offset, length = random.Random(5).choice(places)
    flip(path, offset + length // 2)
    pool, trees, volume = scalefs_reader.open_pool(disks)
    must_agree(files, listing(volume))
    problems = scalefs_reader.Check(pool, trees, volume).problems
    equal(len(problems), 1, f"problems: {problems}")
    if "is wrong" not in problems[0]:
        raise AssertionError(problems[0])


def a_disk_of_noise(name):
    """All of one disk's data area overwritten: as good as lost, and seen."""
    disks, files = made(name)
    pool, _, _ = scalefs_reader.open_pool(disks)
    image = next(i for i in pool.images.values() if i.path == disks[0])
    noise = random.Random(6)
    with open(disks[0], "r+b") as f:
        f.seek(image.label["data_offset"])
        for _ in range(image.label["atoms"] * 4):
            f.write(noise.randbytes(1 << 20))
    _, _, volume = scalefs_reader.open_pool(disks)
    must_agree(files, listing(volume))
    must_find(disks)


def a_torn_record(name):
    """The newest record torn at 512 bytes on every disk at once: the state before it opens."""
    disks, _ = made(name)
    pool, _, _ = scalefs_reader.open_pool(disks)
    newest = pool.record
    for path in disks:
        with open(path, "r+b") as f:
            f.seek((64 << 10) + newest["seq"] % 64 * 4096 + 1024)
            f.write(b"\xA5" * 512)
    pool, trees, volume = scalefs_reader.open_pool(disks)
    equal(pool.record["seq"], newest["seq"] - 1, "the record before")
    equal(scalefs_reader.Check(pool, trees, volume).problems, [], "problems")


def labels(name):
    """Any one copy of the label is enough."""
    disks, files = made(name)
    size = os.path.getsize(disks[0])
    for kept in range(3):
        with open(disks[0], "rb") as f:
            original = f.read()
        with open(disks[0], "r+b") as f:
            for i, offset in enumerate((4 << 10, 512 << 10, size // 4096 * 4096 - 4096)):
                if i != kept:
                    f.seek(offset)
                    f.write(bytes(4096))
        _, _, volume = scalefs_reader.open_pool(disks)
        must_agree(files, listing(volume))
        with open(disks[0], "r+b") as f:
            f.write(original)


TOOL = golden.build_tool(BUILD, SCRATCH)
for NAME in golden_make.POOLS:
    case(closed, NAME, name=f"{NAME}: closed")
    case(killed, NAME, name=f"{NAME}: killed after a sync")
case(killed_without_sync, "plain")
for NAME in ("plain", "zstd"):
    case(wrong_bytes, NAME, name=f"{NAME}: a wrong byte")
case(replaced)
case(a_disk_of_noise, "plain")
case(a_torn_record, "plain")
case(labels, "plain")
finish()
