"""What a change of the configuration costs: both systems change in the same way what they hold, on loop devices, which count.

The least that a change must move stands beside it, per live byte: what a column, or a copy, holds, for each that has to stand
elsewhere; all of it and its parity where the width has to change. Everything is read and compared afterwards.
"""
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time

from systems import Btrfs, ScaleFs, run
from workloads import MIB, Data, sequential_read, sequential_write

LIMIT = 150 * MIB  # bytes a second of each disk, read and written each, where the disks are limited
MOST_SECONDS = 120  # a change that has not ended by then has failed
SHARED_PERCENT = 40  # full, where somebody reads or writes beside the change: he needs room, too
GROUP = "/sys/fs/cgroup/blkio"


class Change:
    """What is measured: `disks` of which `failover` may fail, data in k + m (what `optimize` makes of it) here, in `profile` there."""

    def __init__(self, profile, disks, km, optimize, verb, read, written, goal, after=None):
        self.profile, self.disks, self.k, self.failover, self.optimize = profile, disks, km[0], km[1], optimize
        self.verb = verb
        self.after = after or km
        self.least = (read, written)  # per live byte
        self.goal = goal  # our speed by btrfs's

    def mib(self, size, percent):
        """So much of the room is filled that there is all the time; where a disk goes both have to find room on those that stay."""
        disks = self.disks - (self.verb in ("remove", "rebuild"))
        share = min(k / (k + m) for k, m in ((self.k, self.failover), self.after))
        return int(size * disks / MIB * share * percent / 100)


NARROW, WIDE, CONVERT = 3, 1.2, 1.5
CHANGES = {
    "replace, 3+1 on 4": Change("raid5", 4, (3, 1), 0, "replace", 1 / 3, 1 / 3, WIDE),
    "replace, 3+1 on 6": Change("raid5", 6, (3, 1), 33, "replace", 2 / 9, 2 / 9, NARROW),
    "replace, 2+2 on 6": Change("raid6", 6, (2, 2), 50, "replace", 1 / 3, 1 / 3, NARROW),
    "rebuild, 3+1 on 6 to 5": Change("raid5", 6, (3, 1), 33, "rebuild", 2 / 3, 2 / 9, NARROW),
    "remove, 3+1 on 6": Change("raid5", 6, (3, 1), 33, "remove", 2 / 9, 2 / 9, NARROW),
    "remove, 2+2 on 6": Change("raid6", 6, (2, 2), 50, "remove", 1 / 3, 1 / 3, NARROW),
    "remove, copies on 4": Change("raid1", 4, (1, 1), 100, "remove", 1 / 2, 1 / 2, WIDE),
    "remove, 3+1 on 4 to 2+1": Change("raid5", 4, (3, 1), 0, "remove", 1, 3 / 2, WIDE, after=(2, 1)),
    "add + re-spread, 3+1 on 6": Change("raid5", 6, (3, 1), 33, "add", 4 / 21, 4 / 21, NARROW),
    "add + re-spread, copies on 4": Change("raid1", 4, (1, 1), 100, "add", 2 / 5, 2 / 5, NARROW),
    "add + re-spread, 3+1 to 4+1": Change("raid5", 4, (3, 1), 0, "add", 1, 5 / 4, WIDE),
    "copies to 3+1": Change("raid1", 4, (1, 1), 100, "raid5", 1, 4 / 3, CONVERT),
    "3+1 to copies": Change("raid5", 4, (3, 1), 0, "raid1", 1, 2, CONVERT, after=(1, 1)),
    "3+1 to 2+2": Change("raid5", 4, (3, 1), 0, "raid6", 1, 2, CONVERT, after=(2, 2)),
    "2+1 to 2+2 on 4": Change("raid5", 4, (2, 1), 50, "raid6", 1, 1 / 2, CONVERT, after=(2, 2)),
    "3+1 to 3+2 on 6": Change("raid5", 6, (3, 1), 33, "raid6", 1, 1 / 3, CONVERT, after=(3, 2)),
    "2+2 to 2+1 on 4": Change("raid6", 4, (2, 2), 50, "raid6to5", 0, 0, CONVERT),
}


class Limited:
    """Programs started within have their requests to these devices held to LIMIT. Nothing without the kernel's controller."""

    def __init__(self, devices):
        self.folder = os.path.join(GROUP, f"scalefs-bench-{os.getpid()}")
        self.devices = devices

    @staticmethod
    def possible():
        return os.path.exists(os.path.join(GROUP, "blkio.throttle.read_bps_device"))

    def __enter__(self):
        os.mkdir(self.folder)
        for device in self.devices:
            number = os.stat(device).st_rdev
            for way in ("read", "write"):
                with open(os.path.join(self.folder, f"blkio.throttle.{way}_bps_device"), "w", encoding="ascii") as f:
                    f.write(f"{os.major(number)}:{os.minor(number)} {LIMIT}")
        self.move(self.folder)
        return self

    @staticmethod
    def move(folder):
        with open(os.path.join(folder, "cgroup.procs"), "w", encoding="ascii") as f:
            f.write(str(os.getpid()))

    def __exit__(self, *_):
        self.move(GROUP)
        for _ in range(50):  # the server has to end first
            try:
                os.rmdir(self.folder)
                return
            except OSError:
                time.sleep(0.1)


def devices_of(system):
    return [system.loops.of[f] for f in system.files]


def fullest(system):
    """The number of the disk to which most was written: one that holds something."""
    each = system.loops.each()
    return max(range(len(system.files)), key=lambda i: each[system.files[i]][1])


def change_scalefs(system, what, old, new):
    cli = lambda *words: system.cli(*words, timeout=MOST_SECONDS)
    if what == "replace":
        cli("replace", system.pool, devices_of(system)[old], new, "--wait")
        system.disks[old] = new
    elif what == "remove":
        cli("remove", system.pool, devices_of(system)[old], "--wait")
        del system.disks[old]
    elif what == "rebuild":
        cli("remove", system.pool, str(system.lost), "--wait")
        del system.disks[old]
    elif what == "add":
        start = time.monotonic()
        cli("add", system.pool, new)
        system.usable = time.monotonic() - start
        system.disks.append(new)
    else:
        wish = {"raid5": "optimize=0", "raid1": "optimize=100", "raid6": "failover=2", "raid6to5": "failover=1"}[what]
        cli("set", system.pool, wish, "--wait")
    cli("wait", system.pool)


METADATA = {"raid6": "raid1c3", "raid6to5": "raid1"}  # where it changes


def change_btrfs(system, what, old, new):
    place = system.mount_point
    btrfs = lambda *words: run("btrfs", *words, timeout=MOST_SECONDS)
    if what == "replace":
        btrfs("replace", "start", "-B", "-f", system.devices[old], new, place)
        system.devices[old] = new
    elif what in ("remove", "rebuild"):
        btrfs("device", "remove", system.devices[old] or "missing", place)
        del system.devices[old]
    elif what == "add":
        btrfs("device", "add", "-f", new, place)
        btrfs("balance", "start", "--full-balance", place)
        system.devices.append(new)
    else:
        to = "raid5" if what == "raid6to5" else what
        # Without -f it waits for ten seconds, in which one may think better of raid5.
        nodes = [f"-mconvert={METADATA[what]}"] if what in METADATA else []
        btrfs("balance", "start", "-f", f"-dconvert={to}", *nodes, place)


class User(threading.Thread):
    """Reads the big file, or writes another, over and over until it is told to stop; nothing stays in the kernel's cache."""

    def __init__(self, system, writes):
        super().__init__()
        self.path, self.writes = os.path.join(system.mount_point, "beside" if writes else "big"), writes
        self.stop, self.bytes, self.seconds, self.error = False, 0, 0.0, None

    def part(self, fd, at, block):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED) if at == 0 else None
        return os.pwrite(fd, block, at % (BESIDE_MIB * MIB)) if self.writes else len(os.pread(fd, MIB, at))

    def run(self):
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT)
        block = Data().block(0)
        start = time.monotonic()
        try:
            at = 0
            while not self.stop:
                n = self.part(fd, at, block)
                self.bytes += n
                at = at + n if n else 0
                if self.writes and at % (BESIDE_MIB * MIB) == 0:
                    os.fsync(fd)
        except OSError as e:
            self.error = e
        self.seconds = time.monotonic() - start
        os.close(fd)

    def rate(self):
        self.stop = True
        self.join()
        if self.error:
            raise RuntimeError(f"beside the change: {self.error}")
        return self.bytes / self.seconds


BESIDE_MIB = 32  # a file that is written over and over


def rate_beside(system, writes, work):
    user = User(system, writes)
    user.start()
    try:
        work()
    finally:
        rate = user.rate()
    return rate


def make(name, args, folder, change, size, direct):
    if name == "btrfs":
        return Btrfs(folder, change.disks, change.failover, size, direct, mirror=change.profile == "raid1")
    return ScaleFs(folder, change.disks, change.failover, size, direct, args.scalefs, True, change.optimize)


def measured(system, what, mib, new, beside):
    """Fills it, changes it, reads it: seconds, (read, written) per live byte, and what else is asked for."""
    sizes, data, found = {"mib": mib}, Data(), {}
    sequential_write(system, sizes, data)
    system.cold()
    old = fullest(system)
    if what == "rebuild":
        system.lose_disk(old)
    change = change_scalefs if system.name == "scalefs" else change_btrfs
    if beside:
        idle = rate_beside(system, beside == "writing", lambda: time.sleep(2))
        found["beside"] = rate_beside(system, beside == "writing", lambda: change(system, what, old, new)) / idle
    else:
        before, each, start = system.moved(), system.loops.each(), time.monotonic()
        change(system, what, old, new)
        system.sync()
        found["seconds"] = time.monotonic() - start
        found["moved"] = [(b - a) / (mib * MIB) for a, b in zip(before, system.moved())]
        found["busiest"] = max(max(r - each[d][0], w - each[d][1]) for d, (r, w) in system.loops.each().items())
    found["usable"] = getattr(system, "usable", None)
    system.cold()
    sequential_read(system, sizes, data)
    return found


def one(name, args, place, change, size, percent, direct, way):
    """`way`: alone, limited, reading, writing."""
    mib = change.mib(size, percent)
    folder = os.path.join(place.folder, f"{name}.change")
    system = None
    try:
        system = make(name, args, folder, change, size, direct)
        new = system.loops.attach(system.new_file("new")) if change.verb in ("replace", "add") else None
        if way != "limited":
            return mib, measured(system, change.verb, mib, new, way if way != "alone" else None)
        system.unmount()
        with Limited(system.loops.of.values()):
            system.mount()
            try:
                return mib, measured(system, change.verb, mib, new, None)
            finally:
                system.destroy()
    finally:
        if system:
            system.destroy()
        shutil.rmtree(folder, ignore_errors=True)


def try_one(title, name, args, place, change, size, percent, direct, way):
    try:
        return one(name, args, place, change, size, percent, direct, way)
    except subprocess.TimeoutExpired as e:
        print(f"{title}, {percent} %, {way}: {name}: not ended after {e.timeout:.0f} s", file=sys.stderr)
    except (RuntimeError, OSError) as e:
        said = [line for line in str(e).splitlines() if "ERROR" in line] or [str(e)]
        print(f"{title}, {percent} %, {way}: {name}: {said[0]}", file=sys.stderr)
    return None


def rows(args, place, direct, percent):
    """One dictionary for each change: medians of the rounds."""
    size = args.change_mib * MIB
    for title, change in CHANGES.items():
        if args.only_change and args.only_change not in title:
            continue

        def tried(name, way, full=percent):
            return try_one(title, name, args, place, change, size, full, direct, way)

        row = {"change": title, "percent": percent, "least": change.least, "goal": change.goal}
        names = [n for n in ("scalefs", "btrfs") if not args.only or n == args.only]
        got = {n: [] for n in names}
        for i in range(args.rounds):
            for name in names if i % 2 == 0 else names[::-1]:
                found = tried(name, "alone")
                got[name] += [found] if found else []
        for name in names:
            if got[name]:
                mib, found = got[name][0]
                row["mib"] = mib
                row[name] = {"rate": mib / statistics.median(g[1]["seconds"] for g in got[name]), "moved": found["moved"],
                             "usable": found["usable"]}
        if percent > 30 and not args.brief and "scalefs" in names:
            for way in ("reading", "writing"):
                beside = tried("scalefs", way, SHARED_PERCENT)
                row[way] = beside and beside[1]["beside"]
            limited = tried("scalefs", "limited") if Limited.possible() else None
            row["limited"] = limited and limited[1]["seconds"] / (limited[1]["busiest"] / LIMIT)
        yield row
