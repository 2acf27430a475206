#!/usr/bin/env python3
"""Random operations on files through the mount, each compared with a model in memory.

E2E_SEED (default 1) and E2E_OPS (default 1500 per run) choose; a failure prints the seed and the last
operations. Reading goes through read, mmap and O_DIRECT-free paths alike; every so often the caches
are dropped, the files reopened, or the pool is unmounted and mounted again.
"""
import collections
import ctypes
import mmap
import os
import random
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import KIB, MIB, case, drop_caches, equal, finish, have_fuse, mounted_pool, note, skip

LIBC = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
MAX_SIZE = 3 * MIB


def fallocate(fd, mode, offset, length):
    if LIBC.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)) < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


class File:
    """A file and what must be in it."""

    def __init__(self, path):
        self.path = path
        self.model = bytearray()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT)

    def reopen(self):
        os.close(self.fd)
        self.fd = os.open(self.path, os.O_RDWR)


class Run:
    def __init__(self, pool, seed):
        self.random = random.Random(seed)
        self.pool = pool
        self.log = collections.deque(maxlen=40)
        self.files = [File(pool.path(f"fsx-{seed}-{i}")) for i in range(3)]

    def span(self, limit=MAX_SIZE):
        """An offset and a length; often at or near the boundaries that matter below."""
        r = self.random
        offset = r.randrange(limit)
        if r.random() < 0.4:
            grain = r.choice((4 * KIB, 16 * KIB, 128 * KIB))
            offset = min(limit - 1, max(0, offset // grain * grain + r.choice((-1, 0, 0, 1))))
        length = r.choice((1, r.randrange(1, 5000), r.randrange(1, 300_000), 128 * KIB, 16 * KIB))
        return offset, max(1, min(length, limit - offset))

    def data(self, n):
        return self.random.randbytes(n) if self.random.random() < 0.7 else bytes([self.random.randrange(256)]) * n

    def put(self, f, offset, data):
        if len(f.model) < offset:
            f.model.extend(bytes(offset - len(f.model)))
        f.model[offset:offset + len(data)] = data

    # --- operations: each does the same to the file and the model ---

    def op_write(self, f):
        offset, n = self.span()
        data = self.data(n)
        done = 0
        while done < n:
            done += os.pwrite(f.fd, data[done:], offset + done)
        self.put(f, offset, data)
        return offset, n

    def op_append(self, f):
        n = min(self.random.randrange(1, 100_000), MAX_SIZE - len(f.model))
        if n <= 0:
            return "full"
        data = self.data(n)
        fd = os.open(f.path, os.O_WRONLY | os.O_APPEND)
        os.write(fd, data)
        os.close(fd)
        f.model.extend(data)
        return n

    def op_read(self, f):
        offset, n = self.span()
        equal(os.pread(f.fd, n, offset), bytes(f.model[offset:offset + n]), f"read {offset}+{n}")
        return offset, n

    def op_truncate(self, f):
        n = self.random.randrange(MAX_SIZE) if self.random.random() < 0.7 else 0
        os.ftruncate(f.fd, n)
        del f.model[n:]
        f.model.extend(bytes(n - len(f.model)))
        return n

    def op_punch(self, f):
        offset, n = self.span()
        fallocate(f.fd, PUNCH_HOLE | KEEP_SIZE, offset, n)
        end = min(offset + n, len(f.model))
        if end > offset:
            f.model[offset:end] = bytes(end - offset)
        return offset, n

    def op_zero(self, f):
        offset, n = self.span()
        keep = self.random.random() < 0.5
        fallocate(f.fd, ZERO_RANGE | (KEEP_SIZE if keep else 0), offset, n)
        end = min(offset + n, len(f.model)) if keep else offset + n
        if end > offset:
            self.put(f, offset, bytes(end - offset))
        return offset, n, keep

    def op_allocate(self, f):
        offset, n = self.span()
        fallocate(f.fd, 0, offset, n)
        f.model.extend(bytes(max(0, offset + n - len(f.model))))
        return offset, n

    def op_map_write(self, f):
        if not f.model:
            return "empty"
        offset, n = self.span(len(f.model))
        data = self.data(n)
        with mmap.mmap(f.fd, len(f.model)) as m:
            m[offset:offset + n] = data
            if self.random.random() < 0.5:
                m.flush()
        self.put(f, offset, data)
        return offset, n

    def op_map_read(self, f):
        if not f.model:
            return "empty"
        offset, n = self.span(len(f.model))
        with mmap.mmap(f.fd, len(f.model), prot=mmap.PROT_READ) as m:
            equal(m[offset:offset + n], bytes(f.model[offset:offset + n]), f"mapped {offset}+{n}")
        return offset, n

    def op_copy(self, f):
        g = self.random.choice(self.files)
        src, n = self.span()
        if self.random.random() < 0.4:  # whole records can be shared
            src, n = src // (128 * KIB) * 128 * KIB, 256 * KIB
        dst = self.span()[0] if self.random.random() < 0.5 else src
        dst = min(dst, MAX_SIZE - 1)
        n = min(n, MAX_SIZE - dst, max(0, len(f.model) - src))
        if n <= 0 or (f is g and src < dst + n and dst < src + n):
            return "nothing"
        data = bytes(f.model[src:src + n])
        done = 0
        while done < n:
            step = os.copy_file_range(f.fd, g.fd, n - done, src + done, dst + done)
            if step == 0:
                raise AssertionError(f"copy_file_range stopped after {done} of {n}")
            done += step
        self.put(g, dst, data)
        return self.files.index(g), src, dst, n

    def op_fsync(self, f):
        os.fsync(f.fd)

    def op_reopen(self, f):
        f.reopen()

    def op_forget(self, f):
        os.posix_fadvise(f.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        if self.random.random() < 0.2:
            drop_caches()

    def op_seek(self, f):
        """Holes must read as zeroes in the model; data may be anything."""
        offset = 0
        while offset < len(f.model):
            try:
                start = os.lseek(f.fd, offset, os.SEEK_DATA)
            except OSError:
                start = len(f.model)
            if any(f.model[offset:start]):
                raise AssertionError(f"data in what is said to be a hole: {offset}–{start}")
            if start >= len(f.model):
                break
            offset = os.lseek(f.fd, start, os.SEEK_HOLE)
            if offset <= start:
                raise AssertionError(f"no data at {start}, where SEEK_DATA found some")

    def op_replace(self, f):
        """Renamed over by a copy, as editors save."""
        path = f.path + ".new"
        with open(path, "wb") as new:
            new.write(f.model)
        os.rename(path, f.path)
        f.reopen()

    OPS = ([op_write] * 10 + [op_append] * 3 + [op_read] * 8 + [op_truncate] * 3 + [op_punch] * 3 + [op_zero] * 2
           + [op_allocate] + [op_map_write] * 3 + [op_map_read] * 2 + [op_copy] * 5 + [op_fsync] * 2
           + [op_reopen] * 2 + [op_forget] * 2 + [op_seek] + [op_replace])

    def step(self, number):
        op = self.random.choice(self.OPS)
        f = self.random.choice(self.files)
        self.log.append(f"{number} {op.__name__} file {self.files.index(f)} size {len(f.model)}")
        result = op(self, f)
        self.log[-1] += f" -> {result}"
        equal(os.fstat(f.fd).st_size, len(f.model), "size")

    def compare(self):
        for f in self.files:
            with open(f.path, "rb") as g:
                found = g.read()
            if found != f.model:
                where = next((i for i, (a, b) in enumerate(zip(found, f.model)) if a != b), min(len(found), len(f.model)))
                raise AssertionError(f"{f.path} differs from byte {where} on ({len(found)} and {len(f.model)} bytes)")

    def remount(self):
        if not hasattr(self.pool, "unmount"):
            return
        for f in self.files:
            os.close(f.fd)
        self.pool.unmount()
        self.pool.mount()
        for f in self.files:
            f.fd = os.open(f.path, os.O_RDWR)


def random_operations(pool, seed, count):
    run = Run(pool, seed)
    try:
        for i in range(count):
            run.step(i)
            if i % 500 == 499:
                run.compare()
                run.remount()
                run.compare()
        run.compare()
        drop_caches()
        run.compare()
        for f in run.files:
            os.close(f.fd)
            os.unlink(f.path)
    except BaseException:
        note(f"seed {seed}; the last operations:")
        for line in run.log:
            note("  " + line)
        raise


def main():
    if not os.environ.get("E2E_MOUNT") and not have_fuse():
        skip("mount_fsx", "no /dev/fuse")
        finish()
    first = int(os.environ.get("E2E_SEED", "1"))
    count = int(os.environ.get("E2E_OPS", "1500"))
    pool = mounted_pool("fsx", [256 * MIB] * 3, failover=1)
    for seed in range(first, first + int(os.environ.get("E2E_SEEDS", "2"))):
        case(random_operations, pool, seed, count, timeout=240, name=f"random_operations_seed_{seed}")
    if hasattr(pool, "unmount"):
        pool.unmount()
        case(pool.check, name="check_after_unmount", timeout=120)
    finish()


if __name__ == "__main__":
    main()
