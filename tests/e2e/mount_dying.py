#!/usr/bin/env python3
"""A disk that is dying leaves, though some of it can be read no more: what is lost is told by the names of the files, the rest is right.
"""
import errno
import os
import random
import re
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import KIB, MIB, Pool, case, drop_caches, equal, finish, have_fuse, noise, note, skip


def fill(pool, count, seed):
    """Files of all sizes in a few folders; {name: content}."""
    r, files = random.Random(seed), {}
    for folder in ("", "photos", "a folder"):
        os.makedirs(pool.path(folder), exist_ok=True)
    for i in range(count):
        name = os.path.join(r.choice(("", "photos", "a folder")), f"file {i}")
        files[name] = noise(r.choice((3 * KIB, 90 * KIB, 700 * KIB, 3 * MIB)), seed * 1000 + i)
        with open(pool.path(name), "wb") as f:
            f.write(files[name])
    pool.sync()
    return files


def read(path):
    """As much as can be had, 4 KiB at a time; and how many bytes cannot."""
    got, lost = bytearray(), 0
    fd = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        for at in range(0, size, 4096):
            length = min(4096, size - at)
            try:
                got += os.pread(fd, length, at)
            except OSError as e:
                equal(e.errno, errno.EIO, "errno of what is lost")
                got += bytes(length)
                lost += length
    finally:
        os.close(fd)
    return bytes(got), lost


def lost_files(pool, files):
    """{name: bytes that cannot be read}; what can be read is right."""
    drop_caches()
    found = {}
    for name, content in files.items():
        got, lost = read(pool.path(name))
        wrong = [at for at in range(0, len(content), 4096) if got[at:at + 4096] not in (content[at:at + 4096], bytes(4096)[:len(content) - at])]
        equal((len(got), wrong), (len(content), []), f"{name}: size, and where it is wrong")
        if lost:
            found["/" + name] = lost
    return found


def hurt(path, seed, share):
    """Noise over single blocks of all that was written."""
    r, hits = random.Random(seed), 0
    with open(path, "r+b") as f:
        for at in range(6 * MIB, os.path.getsize(path) - MIB, 4096):
            if r.random() >= share:
                continue
            f.seek(at)
            if any(f.read(4096)):
                f.seek(at)
                f.write(noise(4096, at))
                hits += 1
    return hits


def named_in(text):
    return {m[1] for m in re.finditer(r"^  (/.*)  \(.*\)$", text, re.M)}


def leaves(kind, sizes, failover, sick):
    pool = Pool(f"dying-{kind}", sizes, failover)
    pool.mount()
    files = fill(pool, 60, len(sizes))
    pool.unmount()
    hits = sum(hurt(pool.disks[i], i, 0.02) for i in sick)
    if kind == "rebuilt":  # from disks of which one is sick
        os.unlink(pool.disks[0])
    pool.mount()
    if kind == "removed":
        told = pool.cli("remove", pool.name, pool.disks[0], "--wait", ok=(3,))
    else:
        told = pool.cli("replace", pool.name, "1", pool.new_disk(sizes[0], "new"), "--wait", ok=(3,))
        pool.disks.append(os.path.join(pool.folder, "new"))
    if kind != "rebuilt":
        os.unlink(pool.disks[0])
    pool.disks.pop(0)
    status = pool.status()
    equal((status["tasks"], status["pool"]["state"], len(status["disks"])), ([], "damaged", len(pool.disks)), "afterwards")
    lost = lost_files(pool, files)
    note(f"{hits} blocks of noise, {len(lost)} of {len(files)} files have lost {sum(lost.values()) // 1024} KiB")
    if not 0 < len(lost) < len(files):
        raise AssertionError("too much or nothing is lost: that tells nothing")
    named = status["lost_files"]
    equal(({f["path"] for f in named["files"]}, named["count"]), (set(lost), len(lost)), "files that status names")
    if not all(lost[f["path"]] <= f["bytes"] for f in named["files"]):
        raise AssertionError((named, lost))
    equal(named_in(told), set(lost), "files named when it is done")
    if "have lost something" not in pool.cli("status", pool.name, ok=(3,)):
        raise AssertionError("status for people")

    # Another opening: the check names them, and so does a scrub; when they are restored, all is well.
    pool.unmount()
    checked = pool.cli("check", *pool.disks, ok=(3,), timeout=300)
    equal({m[1] for m in re.finditer(r"^The file (/.*) has lost \d+ bytes", checked, re.M)}, set(lost), "files that check names")
    pool.mount()
    status = pool.status()
    if status["pool"]["state"] != "damaged" or "scalefs scrub" not in status["pool"]["action"]:
        raise AssertionError(status["pool"])
    equal(named_in(pool.cli("scrub", pool.name, "--wait", ok=(3,))), set(lost), "files that scrub names")
    for path in lost:
        with open(pool.path(path[1:]), "wb") as f:
            f.write(files[path[1:]])
    pool.sync()
    pool.cli("scrub", pool.name, "--wait")
    status = pool.status()
    equal((status["pool"]["state"], status["lost_files"]), ("healthy", {"count": 0, "files": []}), "when they are restored")
    equal(lost_files(pool, files), {}, "lost")
    pool.unmount()
    pool.check()
    pool.destroy()


if __name__ == "__main__":
    if not have_fuse():
        skip("mount_dying", "no FUSE here")
    else:
        case(leaves, "removed", [128 * MIB] * 3, 0, (0,), timeout=180, name="a_sick_disk_is_removed")
        case(leaves, "replaced", [128 * MIB] * 3, 0, (0,), timeout=180, name="a_sick_disk_is_replaced")
        case(leaves, "rebuilt", [128 * MIB] * 4, 1, (2,), timeout=180, name="a_lost_disk_is_replaced_and_another_is_sick")
    sys.exit(finish())
