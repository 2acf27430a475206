"""What the backing files themselves give: the bytes that a work must move, with plain large direct requests and no file
system in between. Measured in the same rounds as the file systems, on files of the same kind in the same place.
"""
import mmap
import os
import random
import threading
import time

from workloads import MIB

THREADS_PER_FILE = 2


def open_direct(path, flags):
    try:
        return os.open(path, flags | os.O_DIRECT, 0o600)
    except OSError:  # some file systems refuse it
        return os.open(path, flags, 0o600)


class Stripe:
    """A part of a file, read or written block after block by a thread of its own."""

    def __init__(self, path, first, count, write, block):
        self.fd = open_direct(path, os.O_RDWR)
        self.range = range(first, first + count)
        self.write = write
        self.buffer = mmap.mmap(-1, MIB)
        self.buffer.write(block)
        self.thread = threading.Thread(target=self.run)
        self.error = None

    def run(self):
        try:
            for number in self.range:
                move = os.pwritev if self.write else os.preadv
                if move(self.fd, [self.buffer], number * MIB) != MIB:
                    raise OSError("a short transfer")
            if self.write:
                os.fdatasync(self.fd)
        except OSError as e:
            self.error = e

    def end(self):
        self.thread.join()
        os.close(self.fd)
        if self.error:
            raise self.error


class Limit:
    """`count` files, of which `failover` are parity, with as much data on them as the big file takes."""

    def __init__(self, folder, count, failover, mib, block):
        os.makedirs(folder)
        self.block = bytes(block)
        self.mib = mib
        self.data = max(1, count - failover)
        self.each = mib // self.data
        self.files = [self.new_file(os.path.join(folder, f"disk{i}")) for i in range(count)]
        self.replacement = self.new_file(os.path.join(folder, "replacement"))

    def new_file(self, path):
        with open(path, "xb") as f:
            f.truncate(self.each * MIB)
        return path

    def seconds(self, reads, writes):
        """To read these files and write those, all at once."""
        part = (self.each + THREADS_PER_FILE - 1) // THREADS_PER_FILE
        stripes = [Stripe(path, at, min(part, self.each - at), write, self.block)
                   for write, paths in ((False, reads), (True, writes)) for path in paths
                   for at in range(0, self.each, part)]
        start = time.monotonic()
        for s in stripes:
            s.thread.start()
        for s in stripes:
            s.end()
        return time.monotonic() - start

    def random_read(self, reads):
        fds = [open_direct(path, os.O_RDONLY) for path in self.files[:self.data]]
        buffer = mmap.mmap(-1, 4096)
        r = random.Random(3)
        places = [(r.choice(fds), r.randrange(self.each * 256) * 4096) for _ in range(reads)]
        start = time.monotonic()
        for fd, place in places:
            os.preadv(fd, [buffer], place)
        seconds = time.monotonic() - start
        for fd in fds:
            os.close(fd)
        return reads / seconds / 1000

    def everything(self, reads):
        data = self.files[:self.data]
        found = {"sequential write": self.mib / self.seconds([], self.files),
                 "sequential cold read": self.mib / self.seconds(data, []),
                 "random 4 KiB read": self.random_read(reads),
                 "scrub": self.mib / self.seconds(self.files, [])}
        if len(self.files) > self.data:
            found["rebuild of a disk"] = self.mib / self.seconds(data, [self.replacement])
        return found
