#!/usr/bin/env python3
"""The pool is filled to the last byte, half is deleted, it is filled again; and what it says about its
space is true: `free` within 3 %, `check` and `status` agree, a full pool can always delete.

E2E_ROUNDS (default 5), E2E_SEED choose. E2E_FULL=SIZES:FAILOVER:ROUNDS (sizes in MiB, with commas): one pool of such
disks instead, filled and half emptied so many times, with large and with small files in turn.
"""
import errno
import json
import os
import random
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import KIB, MIB, Pool, bulk, case, drop_caches, equal, finish, have_fuse, noise, note, skip

EVEN, LARGE, MIXED = "files of 1 MiB", "files of 1 to 8 MiB", "small and large files"


def size_of(kind, r):
    if kind == LARGE:
        return r.randrange(MIB, 8 * MIB)
    if kind == MIXED and r.random() < 0.9:
        return r.randrange(16 * KIB)
    return MIB


class Full:
    """A pool that is filled again and again, and what must be in it: path -> (size, seed)."""

    def __init__(self, name, sizes, failover, seed):
        self.random = random.Random(seed)
        self.pool = Pool(name, sizes, failover)
        self.files = {}
        self.number = 0
        self.off = []  # promises that were not kept

    def new_file(self, size, sync):
        """False when there is no room for it. What was accepted must be taken by fsync, too."""
        self.number += 1
        path = self.pool.path(f"data{self.number // 5000}", str(self.number))
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb", buffering=0) as f:
                view = memoryview(bulk(size, self.number))
                while view:
                    view = view[f.write(view):]
        except OSError as e:
            equal(errno.errorcode[e.errno], "ENOSPC", "how a full pool says so")
            if os.path.exists(path):
                os.unlink(path)
            return False
        if sync:
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        self.files[path] = (size, self.number)
        return True

    def fill(self, kind):
        """Bytes written. The last files are of 1 MiB: what is left is less."""
        before = sum(size for size, _ in self.files.values())
        sync_every = 1 if kind == EVEN else 16
        while self.new_file(size_of(kind, self.random), self.number % sync_every == 0):
            pass
        while kind != EVEN and self.new_file(MIB, True):
            pass
        return sum(size for size, _ in self.files.values()) - before

    def delete_half(self):
        for path in self.random.sample(sorted(self.files), len(self.files) // 2):
            os.unlink(path)
            del self.files[path]

    def verify(self):
        drop_caches()
        for path, (size, seed) in self.files.items():
            with open(path, "rb") as f:
                if f.read() != bulk(size, seed):
                    raise AssertionError(f"{path} has other content")

    def settle(self):
        """Everything written and freed counts in `status`."""
        self.pool.sync()
        self.pool.cli("wait", self.pool.name, ok=(0, 3), timeout=120)

    def capacity(self, what):
        return self.pool.status()["capacity"][what]

    def fill_as_promised(self, kind, when):
        """Fills it. Within 3 % of what was promised, and what one file and a few blocks of metadata come to on small pools;
        small files need more metadata than a promise can know."""
        free = self.capacity("free")
        written = self.fill(kind)
        part = (written - free) / max(free, 1)
        note(f"row: {when} | {kind} | {free / MIB:.1f} | {written / MIB:.1f} | {part:+.1%}")
        if kind != MIXED and abs(written - free) > 0.03 * max(written, free) + 2 * MIB:
            self.off.append(f"{when}: {free / MIB:.1f} MiB were promised and {written / MIB:.1f} written")

    def check(self):
        """Unmounts, checks, mounts: no problem found, and as much used as status says."""
        used = self.capacity("used")
        self.pool.unmount()
        report = json.loads(self.pool.cli("check", *self.pool.disks, "--json", timeout=200))["check"]
        equal(report["problems"], 0, f"problems that check found: {report['messages'][:5]}")
        near(report["live_bytes"], used, "used by check and by status", slack=MIB)
        self.pool.mount()

    def kept(self):
        if self.off:
            raise AssertionError("; ".join(self.off))


def near(a, b, what, slack):
    """Within 3 % and the slack."""
    note(f"{what}: {a / MIB:.1f} and {b / MIB:.1f} MiB")
    if abs(a - b) > 0.03 * max(a, b) + slack:
        raise AssertionError(f"{what}: {a} and {b}")


def full_and_half(sizes, failover, seed, rounds=1, kinds=(EVEN,)):
    note(f"disks {[s // MIB for s in sizes]} MiB, failover {failover}")
    full = Full(f"full{seed}", sizes, failover, seed)
    pool = full.pool
    try:
        pool.mount()
        st = os.statvfs(pool.mount_point)
        at_first = st.f_bavail * st.f_frsize
        near(at_first, full.capacity("free"), "df and status", slack=MIB)
        full.fill_as_promised(kinds[0], "empty")
        full.verify()
        for n in range(1, rounds + 1):
            full.delete_half()
            full.settle()
            full.fill_as_promised(kinds[n % len(kinds)], f"round {n}")
            full.verify()
            if n < rounds:
                full.check()
        # Full: new things may fail; names and attributes of what there is, deleting and truncating may not.
        for old in full.random.sample(sorted(full.files), min(100, len(full.files))):
            os.rename(old, old + ".renamed")
            os.chmod(old + ".renamed", 0o640)
            full.files[old + ".renamed"] = full.files.pop(old)
        victims = full.random.sample(sorted(full.files), 2)
        os.truncate(victims[0], 1000)
        os.unlink(victims[1])
        for v in victims:
            del full.files[v]
        full.verify()
        full.settle()
        full.check()
        full.verify()
        for path in full.files:
            os.unlink(path)
        full.settle()
        near(full.capacity("free"), at_first, "free when emptied and at first", slack=3 * MIB)
        pool.unmount()
        pool.check()
        full.kept()
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
        drop_caches()
        for path, number in names.items():
            with open(path, "rb") as f:
                if f.read() != noise(MIB, number):
                    raise AssertionError(f"{path} has other content")
        pool.unmount()
        pool.check()
    finally:
        pool.destroy()


def full_of(kind):
    """Filled by what is small: whatever has taken all room, what was accepted can be made durable; what exists can be renamed, also to
    longer names, changed, and deleted at once, without anything else being deleted first."""
    pool = Pool(f"full_of_{kind}", [40 * MIB, 40 * MIB], 1)
    make = {
        "links": lambda path, n: os.symlink("x" * 4000, path),
        "xattrs": lambda path, n: (write_file(path, b""), os.setxattr(path, "user.x", noise(3000, n))),
    }[kind]

    def write_file(path, content):
        with open(path, "xb") as f:
            f.write(content)

    try:
        pool.mount()
        number = 0
        try:
            while True:
                os.makedirs(pool.path(f"d{number // 1000}"), exist_ok=True)
                make(pool.path(f"d{number // 1000}/a{number}"), number)
                number += 1
        except OSError as e:
            equal(errno.errorcode[e.errno], "ENOSPC", "how a full pool says so")
        note(f"{number} {kind}")
        pool.sync()
        for n in range(0, 600, 6):
            one, other, third = (pool.path(f"d0/a{n + i}") for i in range(3))
            os.rename(one, pool.path(f"d0/{'long' * 50}{n}"))
            os.lchown(other, 1, 1)
            os.rename(other, pool.path(f"b{n}"))
            if kind == "xattrs":
                os.removexattr(third, "user.x")
            os.unlink(third)
            if n % 60 == 0:
                pool.sync()
        pool.unmount()
        pool.check()
        pool.mount()
        names = {name for _, _, files in os.walk(pool.mount_point) for name in files}
        new = {f"b{n}" for n in range(0, 600, 6)} | {f"{'long' * 50}{n}" for n in range(0, 600, 6)}
        equal(new <= names, True, "the new names are there")
        left = len(names) - (number - 100)
        equal(left in (0, kind == "xattrs"), True, f"all others are there: {left} too many")  # one may have got no attribute any more
        equal(any(f"a{n + i}" in names for n in range(0, 600, 6) for i in range(3)), False, "the old ones are not")
        for folder, folders, files in os.walk(pool.mount_point, topdown=False):
            for name in files:
                os.unlink(os.path.join(folder, name))
            for name in folders:
                os.rmdir(os.path.join(folder, name))
        equal(os.listdir(pool.mount_point), [], "what is left")
        pool.unmount()
        pool.check()
    finally:
        pool.destroy()


def main():
    if not have_fuse():
        skip("mount_full", "no /dev/fuse")
        finish()
    if os.environ.get("E2E_FULL"):
        sizes, failover, rounds = os.environ["E2E_FULL"].split(":")
        case(full_and_half, [int(s) * MIB for s in sizes.split(",")], int(failover), int(os.environ.get("E2E_SEED", "1")),
             int(rounds), (LARGE, MIXED), timeout=3600, name="filled_again_and_again")
        finish()
    case(accepted_is_kept, [96 * MIB], 0, timeout=120, name="accepted_is_kept_on_1_disk")
    case(accepted_is_kept, [96 * MIB, 128 * MIB, 192 * MIB], 1, timeout=120, name="accepted_is_kept_on_3_disks")
    for kind in ("links", "xattrs"):
        case(full_of, kind, timeout=120, name=f"full_of_{kind}")
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
