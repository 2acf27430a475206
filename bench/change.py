"""What a change of the configuration costs: both systems change in the same way what they hold, on loop devices, which count.

The least that a change must move stands beside it, per live byte: what a column, or a copy, holds, for each that has to stand
elsewhere; all of it and its parity where the width has to change. Everything is read and compared afterwards.
"""
import os
import shutil
import statistics
import sys
import threading
import time

from systems import Btrfs, ScaleFs, run
from workloads import MIB, Data, sequential_read, sequential_write

LIMIT = 150 * MIB  # bytes a second of each disk, read and written each, where the disks are limited
GROUP = "/sys/fs/cgroup/blkio"
# name: (profile of btrfs, disks, failover, optimize, change, least read, least written per live byte); None: btrfs has no such thing
CHANGES = {
    "replace, 3+1": ("raid5", 4, 1, 0, "replace", 1 / 3, 1 / 3),
    "remove, 3+1 on 4 to 2+1": ("raid5", 4, 1, 0, "remove", 1, 3 / 2),
    "remove, copies on 4": ("raid1", 4, 1, 100, "remove", 2 / 4, 2 / 4),
    "add + re-spread, copies on 4": ("raid1", 4, 1, 100, "add", 2 / 5, 2 / 5),
    "add + re-spread, 3+1 to 4+1": ("raid5", 4, 1, 0, "add", 1, 5 / 4),
    "copies to 3+1": ("raid1", 4, 1, 100, "raid5", 1, 4 / 3),
    "3+1 to copies": ("raid5", 4, 1, 0, "raid1", 1, 2),
    "3+1 to 2+2": ("raid5", 4, 1, 0, "raid6", 1, 2),
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


def change_scalefs(system, what, new):
    if what == "replace":
        system.cli("replace", system.pool, devices_of(system)[1], new, "--wait")
    elif what == "remove":
        system.cli("remove", system.pool, devices_of(system)[1], "--wait")
    elif what == "add":
        start = time.monotonic()
        system.cli("add", system.pool, new)
        system.usable = time.monotonic() - start
    else:
        wish = {"raid5": "optimize=0", "raid1": "optimize=100", "raid6": "failover=2"}[what]
        system.cli("set", system.pool, wish, "--wait")
    system.cli("wait", system.pool)
    if what == "replace":
        system.disks[1] = new
    elif what == "remove":
        del system.disks[1]
    elif what == "add":
        system.disks.append(new)


def change_btrfs(system, what, new):
    devices, place = devices_of(system), system.mount_point
    if what == "replace":
        run("btrfs", "replace", "start", "-B", "-f", devices[1], new, place)
        system.devices[1] = new
    elif what == "remove":
        run("btrfs", "device", "remove", devices[1], place)
        del system.devices[1]
    elif what == "add":
        run("btrfs", "device", "add", "-f", new, place)
        run("btrfs", "balance", "start", "--full-balance", place)
        system.devices.append(new)
    else:
        run("btrfs", "balance", "start", f"-dconvert={what}", place)


class Reader(threading.Thread):
    """Reads the big file over and over, past the kernel's cache, until it is told to stop."""

    def __init__(self, path):
        super().__init__()
        self.path, self.stop, self.bytes, self.seconds = path, False, 0, 0.0

    def run(self):
        fd = os.open(self.path, os.O_RDONLY)
        start = time.monotonic()
        while not self.stop:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.lseek(fd, 0, os.SEEK_SET)
            while not self.stop and (part := len(os.read(fd, MIB))):
                self.bytes += part
        self.seconds = time.monotonic() - start
        os.close(fd)

    def rate(self):
        self.stop = True
        self.join()
        return self.bytes / self.seconds


def read_rate(system, work):
    reader = Reader(os.path.join(system.mount_point, "big"))
    reader.start()
    work()
    return reader.rate()


def make(name, args, folder, change, size, direct):
    profile, disks, failover, optimize = CHANGES[change][:4]
    if name == "btrfs":
        return Btrfs(folder, disks, failover, size, direct, mirror=profile == "raid1")
    return ScaleFs(folder, disks, failover, size, direct, args.scalefs, True, optimize)


def measured(system, what, mib, shared):
    """Fills it, changes it, reads it: seconds, (read, written) per live byte, and what else is asked for."""
    sizes, data, found = {"mib": mib}, Data(), {}
    sequential_write(system, sizes, data)
    system.cold()
    new = system.loops.attach(system.new_file("new")) if what in ("replace", "add") else None
    change = change_scalefs if system.name == "scalefs" else change_btrfs
    before, each, start = system.moved(), system.loops.each(), time.monotonic()
    if shared:
        idle = read_rate(system, lambda: time.sleep(2))
        found["shared"] = read_rate(system, lambda: change(system, what, new)) / idle
    else:
        change(system, what, new)
        system.sync()
        found["seconds"] = time.monotonic() - start
        found["moved"] = [(b - a) / (mib * MIB) for a, b in zip(before, system.moved())]
        found["busiest"] = max(max(r - each[d][0], w - each[d][1]) for d, (r, w) in system.loops.each().items())
    found["usable"] = getattr(system, "usable", None)
    system.cold()
    sequential_read(system, sizes, data)
    return found


def one(name, args, place, change, size, percent, direct, way):
    profile, disks, failover, optimize = CHANGES[change][:4]
    width = disks if optimize == 0 else 2
    mib = int(size * disks / MIB * (width - failover) / width * percent / 100)
    folder = os.path.join(place.folder, f"{name}.change")
    system = None
    try:
        system = make(name, args, folder, change, size, direct)
        if way != "limited":
            return mib, measured(system, CHANGES[change][4], mib, way == "shared")
        system.unmount()
        with Limited(devices_of(system)):
            system.mount()
            try:
                return mib, measured(system, CHANGES[change][4], mib, False)
            finally:
                system.destroy()
    finally:
        if system:
            system.destroy()
        shutil.rmtree(folder, ignore_errors=True)


def try_one(*arguments):
    try:
        return one(*arguments)
    except (RuntimeError, OSError) as e:
        print(f"{arguments[3]}: {arguments[0]}: {e}", file=sys.stderr)
        return None


def rows(args, place, direct, percent):
    """One dictionary for each change: medians of the rounds."""
    size = args.change_mib * MIB
    for change in CHANGES:
        if args.only_change and args.only_change not in change:
            continue
        row = {"change": change, "percent": percent, "least": CHANGES[change][5:]}
        for name in ("scalefs", "btrfs"):
            got = [try_one(name, args, place, change, size, percent, direct, "alone") for _ in range(args.rounds)]
            got = [g for g in got if g]
            if got:
                row["mib"] = got[0][0]
                row[name] = {"rate": got[0][0] / statistics.median(g[1]["seconds"] for g in got), "moved": got[0][1]["moved"],
                             "usable": got[0][1]["usable"]}
        if percent > 30:
            shared = try_one("scalefs", args, place, change, size, percent, direct, "shared")
            row["shared"] = shared and shared[1]["shared"]
            limited = try_one("scalefs", args, place, change, size, percent, direct, "limited") if Limited.possible() else None
            row["limited"] = limited and limited[1]["seconds"] / (limited[1]["busiest"] / LIMIT)
        yield row
