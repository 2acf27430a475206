#!/usr/bin/env python3
"""Pools of random shapes under random changes, killed and degraded in between; after each round the
independent reader must find exactly what was written, and every count and sum in order.

A case is a seed: `reader_churn.py SEED...` runs others than the usual ones.
"""
import os
import random
import shutil
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import SCRATCH, case, finish, note
from lib_reader import BUILD, golden, hash_by_the_library, must_read
import make as golden_make

MIB = 1 << 20
ROUNDS = 4

hash_by_the_library()


class Churn:
    """One pool, what it must hold, and which of its disks are away."""

    def __init__(self, seed):
        self.random = r = random.Random(seed)
        self.folder = os.path.join(SCRATCH, f"churn{seed}")
        os.mkdir(self.folder)
        self.count = r.randint(1, 6)
        self.failover = r.randint(0, min(self.count - 1, 3))
        self.optimize, self.size = r.choice([0, 0, 30, 50, 100]), r.choice([80, 96, 128])
        self.paths = [os.path.join(self.folder, f"disk{i}") for i in range(self.count)]
        self.away = set()
        self.script = golden_make.Script(self.folder)
        # Far from full: what is asked for must succeed. A small disk keeps much of itself in reserve.
        self.budget = min(self.count * self.size * MIB // (self.failover + 1) // 24, 5 * MIB)
        note(f"seed {seed}: {self.count} disks of {self.size} MiB, failover {self.failover}, "
             f"optimize {self.optimize}")
        golden.run_tool(TOOL, "make", f"churn{seed}", str(self.failover), str(self.optimize),
                        str(self.size * MIB), *self.paths)
        if r.random() < 0.4:
            self.script.do("set", "compression", "zstd")
        if r.random() < 0.3:
            self.script.do("set", "record", r.choice(["16K", "64K", "256K"]))

    def file(self):
        """A regular file that is there, or None."""
        paths = sorted(p for p, n in self.script.nodes.items() if n["mode"] >> 12 == 8)
        return self.random.choice(paths) if paths else None

    def put(self, room):
        r = self.random
        offset = r.choice([0, 0, r.randint(0, 300000)])
        length = r.choice([r.randint(1, 100), r.randint(1, 20000), r.randint(1, 600000)])
        if offset + length <= room:
            data = golden.pattern(length, r.random()) if r.random() < 0.6 else r.randbytes(length)
            self.script.put(b"f%d" % r.randint(0, 40), data, offset)

    def change(self):
        """One random operation that must succeed."""
        r, s = self.random, self.script
        what, path = r.random(), self.file()
        room = self.budget - sum(len(n["data"]) for n in s.nodes.values())
        size = s.nodes[path]["size"] if path else 0
        if what < 0.45 or not path:
            self.put(room)
        elif what < 0.6:
            s.unlink(path)
        elif what < 0.7:
            s.resize(path, r.randint(0, size + min(5000, max(0, room))))
        elif what < 0.8 and size > 10:
            at = r.randint(0, size - 2)
            s.punch(path, at, r.randint(1, size - at))
        elif what < 0.85 and size < room:
            name = b"clone%d" % r.randint(0, 1000)
            if name not in s.nodes:
                s.clone(path, name)
        elif what < 0.9:
            s.xattr(path, f"user.x{r.randint(0, 3)}", r.randbytes(r.choice([3, 500, 6000])))
        elif what < 0.95:
            s.do("sync")
        else:
            s.do("fsync", path)

    def place(self, i):
        return self.paths[i] + "-away/disk" if i in self.away else self.paths[i]

    def move_disks(self):
        """Takes disks away, or brings them all back; what the library must do first."""
        r = self.random
        if self.away and r.random() < 0.6:
            for i in sorted(self.away):
                os.rename(self.place(i), self.paths[i])
            self.away = set()
            return "wait\n"  # only then may others go
        if not self.away and self.failover and r.random() < 0.6:
            gone = r.sample(range(self.count), r.randint(1, self.failover))
            for i in gone:
                os.makedirs(self.paths[i] + "-away", exist_ok=True)
                os.rename(self.paths[i], self.paths[i] + "-away/disk")
            self.away = set(gone)
        return ""

    def round(self):
        for _ in range(self.random.randint(1, 60)):
            self.change()
        first = self.move_disks()
        last = "" if self.random.random() < 0.6 else "sync\ncrash\n"
        here = [self.paths[i] for i in range(self.count) if i not in self.away]
        note(f"away {sorted(self.away)}{', killed' if last else ''}")
        golden.run_tool(TOOL, "run", *here, script=first + self.script.take() + last)
        files = self.script.manifest()
        must_read(here, files)
        if self.away:
            must_read([self.place(i) for i in range(self.count)], files)


def churn(seed):
    c = Churn(seed)
    for _ in range(ROUNDS):
        c.round()
    shutil.rmtree(c.folder)


TOOL = golden.build_tool(BUILD, SCRATCH)
for SEED in map(int, sys.argv[1:] or ("3", "4", "9", "12", "17")):
    case(churn, SEED, name=f"seed {SEED}", timeout=120)
finish()
