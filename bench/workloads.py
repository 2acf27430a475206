"""What is measured. Each workload gets a mounted, otherwise idle system and returns numbers by name.

Every byte that is read is compared with what was written; a wrong one ends the run. Rates are in the unit
that stands in METRICS; `more` says whether more is better.
"""
import os
import random
import shutil
import subprocess
import time

MIB = 1 << 20

# name: (unit, more is better, what it is)
METRICS = {
    "sequential write": ("MiB/s", True),
    "sequential cold read": ("MiB/s", True),
    "random 4 KiB read": ("k/s", True),
    "4 KiB overwrite + fsync": ("k/s", True),
    "4 KiB append, each fsynced": ("1/s", True),
    "small files: create + sync": ("k/s", True),
    "small files: cold read": ("k/s", True),
    "small files: cold stat": ("k/s", True),
    "small files: delete": ("k/s", True),
    "tree copy + sync": ("MiB/s", True),
    "mount": ("ms", False),
    "scrub": ("MiB/s", True),
    "degraded cold read": ("MiB/s", True),
    "rebuild of a disk": ("MiB/s", True),
    "memory of the server": ("MiB", False),
    "free of an empty one": ("% raw", True),
}


class Data:
    """1 MiB blocks that do not compress, each told from the others by its number."""

    def __init__(self):
        self.base = random.Random(7).randbytes(MIB)
        self.numbered = bytearray(self.base)

    def block(self, number):
        """Valid until the next one is asked for: making a copy of each would be measured, too."""
        self.numbered[:8] = number.to_bytes(8, "little")
        return self.numbered


def pwrite_all(fd, data, offset):
    done = os.pwrite(fd, data, offset)
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)


def sequential_write(system, sizes, data):
    fd = os.open(os.path.join(system.mount_point, "big"), os.O_WRONLY | os.O_CREAT)
    start = time.monotonic()
    for i in range(sizes["mib"]):
        pwrite_all(fd, data.block(i), i * MIB)
    os.fsync(fd)
    seconds = time.monotonic() - start
    os.close(fd)
    return {"sequential write": sizes["mib"] / seconds}


def sequential_read(system, sizes, data, name="sequential cold read"):
    fd = os.open(os.path.join(system.mount_point, "big"), os.O_RDONLY)
    buffer = bytearray(MIB)
    start = time.monotonic()
    for i in range(sizes["mib"]):
        if os.readv(fd, [buffer]) != MIB or buffer != data.block(i):
            raise RuntimeError(f"{system.name}: wrong data in block {i}")
    seconds = time.monotonic() - start
    os.close(fd)
    return {name: sizes["mib"] / seconds}


def random_read(system, sizes, data):
    fd = os.open(os.path.join(system.mount_point, "big"), os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    r = random.Random(3)
    places = [r.randrange(sizes["mib"] * 256) for _ in range(sizes["random"])]
    start = time.monotonic()
    for place in places:
        at = place % 256 * 4096
        found = os.pread(fd, 4096, place * 4096)
        if found != (data.base[at:at + 4096] if at else data.block(place // 256)[:4096]):
            raise RuntimeError(f"{system.name}: wrong data in page {place}")
    seconds = time.monotonic() - start
    os.close(fd)
    return {"random 4 KiB read": len(places) / seconds / 1000}


def overwrite(system, sizes, data):
    fd = os.open(os.path.join(system.mount_point, "over"), os.O_RDWR | os.O_CREAT)
    pages = sizes["mib"] // 4 * 256
    for i in range(pages // 256):
        pwrite_all(fd, data.block(i), i * MIB)
    os.fsync(fd)
    r = random.Random(4)
    places = [r.randrange(pages) for _ in range(sizes["random"] * 4)]
    page = data.base[:4096]
    start = time.monotonic()
    for place in places:
        os.pwrite(fd, page, place * 4096)
    os.fsync(fd)
    seconds = time.monotonic() - start
    os.close(fd)
    system.cold()
    check_overwritten(system, data, set(places), pages)
    os.unlink(os.path.join(system.mount_point, "over"))
    return {"4 KiB overwrite + fsync": len(places) / seconds / 1000}


def check_overwritten(system, data, places, pages):
    page = data.base[:4096]
    with open(os.path.join(system.mount_point, "over"), "rb") as f:
        for i in range(pages // 256):
            wanted = bytearray(data.block(i))
            for at in range(256):
                if i * 256 + at in places:
                    wanted[at * 4096:(at + 1) * 4096] = page
            if f.read(MIB) != wanted:
                raise RuntimeError(f"{system.name}: wrong data in block {i} of what was overwritten")
        if f.read(1):
            raise RuntimeError(f"{system.name}: the overwritten file grew")


def append(system, sizes, data):
    path = os.path.join(system.mount_point, "log")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    start = time.monotonic()
    for _ in range(sizes["appends"]):
        os.write(fd, data.base[:4096])
        os.fsync(fd)
    seconds = time.monotonic() - start
    os.close(fd)
    os.unlink(path)
    return {"4 KiB append, each fsynced": sizes["appends"] / seconds}


def small_paths(system, sizes):
    for i in range(sizes["files"]):
        yield i, os.path.join(system.mount_point, f"small/{i // 200}/{i}")


def small_size(i):
    return 1024 + i * 7919 % (15 * 1024)


def small_create(system, sizes, data):
    os.mkdir(os.path.join(system.mount_point, "small"))
    for d in range((sizes["files"] + 199) // 200):
        os.mkdir(os.path.join(system.mount_point, f"small/{d}"))
    start = time.monotonic()
    for i, path in small_paths(system, sizes):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, memoryview(data.base)[i % 1000:i % 1000 + small_size(i)])
        os.close(fd)
    system.sync()
    return {"small files: create + sync": sizes["files"] / (time.monotonic() - start) / 1000}


def small_read(system, sizes, data):
    start = time.monotonic()
    for i, path in small_paths(system, sizes):
        fd = os.open(path, os.O_RDONLY)
        if os.read(fd, 32768) != data.base[i % 1000:i % 1000 + small_size(i)]:
            raise RuntimeError(f"{system.name}: wrong data in {path}")
        os.close(fd)
    return {"small files: cold read": sizes["files"] / (time.monotonic() - start) / 1000}


def small_stat(system, sizes, _data):
    count = 0
    start = time.monotonic()
    for folder in os.scandir(os.path.join(system.mount_point, "small")):
        for entry in os.scandir(folder.path):
            count += 1
            entry.stat(follow_symlinks=False)
    seconds = time.monotonic() - start
    if count != sizes["files"]:
        raise RuntimeError(f"{system.name}: {count} of {sizes['files']} files are listed")
    return {"small files: cold stat": count / seconds / 1000}


def small_delete(system, sizes, _data):
    start = time.monotonic()
    for _, path in small_paths(system, sizes):
        os.unlink(path)
    system.sync()
    seconds = time.monotonic() - start
    shutil.rmtree(os.path.join(system.mount_point, "small"))
    return {"small files: delete": sizes["files"] / seconds / 1000}


def tree_copy(system, sizes, _data):
    source = sizes["tree"]
    total = int(subprocess.run(["du", "-sb", source], capture_output=True, text=True, check=True).stdout.split()[0])
    subprocess.run(["tar", "-cf", "/dev/null", "--checkpoint=100000", source], capture_output=True, check=False)  # warms it
    target = os.path.join(system.mount_point, "tree")
    start = time.monotonic()
    subprocess.run(["cp", "-a", source, target], check=True)
    system.sync()
    seconds = time.monotonic() - start
    shutil.rmtree(target)
    return {"tree copy + sync": total / MIB / seconds}


def mount_time(system, _sizes, _data):
    from systems import drop_caches
    system.unmount()
    drop_caches()
    start = time.monotonic()
    system.mount()
    os.stat(system.mount_point)
    return {"mount": (time.monotonic() - start) * 1000}


def free_share(system):
    """What is said to be free, of all bytes of all disks."""
    st = os.statvfs(system.mount_point)
    return st.f_bavail * st.f_frsize * 100 / (system.size * len(system.files))


def device_bytes(system, sizes, data):
    """What a scrub and a rebuild read from and write to the disks, per byte of live data: {name: (read, written)}."""
    live = sizes["mib"] * MIB
    found = {}

    def per_byte(name, work):
        before = system.moved()
        work()
        found[name] = [(b - a) / live for a, b in zip(before, system.moved())]

    sequential_write(system, sizes, data)
    system.cold()
    per_byte("scrub", system.scrub)
    if system.failover:
        system.lose_disk(1)
        system.add_replacement()
        per_byte("rebuild of a disk", system.rebuild)
        system.cold()
        sequential_read(system, sizes, data)
    return found


def everything(system, sizes, data):
    """All workloads on one fresh system, in an order in which none spoils the next."""
    found = {"free of an empty one": free_share(system)}
    device = {}

    def measure(workload, *more):
        before = system.moved()
        found.update(workload(system, sizes, data, *more))
        memory = system.memory()
        if memory:
            found["memory of the server"] = max(found.get("memory of the server", 0), memory / MIB)
        after = system.moved()
        if before and after and len(before) == len(after):
            device[more[0] if more else workload.__name__] = [b - a for a, b in zip(before, after)]

    measure(sequential_write)
    system.cold()
    measure(sequential_read)
    system.cold()
    measure(random_read)
    measure(overwrite)
    measure(append)
    measure(small_create)
    measure(mount_time)
    measure(small_read)
    system.cold()
    measure(small_stat)
    measure(small_delete)
    measure(tree_copy)
    found["scrub"] = sizes["mib"] / system.scrub()
    if system.failover:
        system.lose_disk(1)
        measure(sequential_read, "degraded cold read")
        system.add_replacement()
        found["rebuild of a disk"] = sizes["mib"] / system.rebuild()
        system.cold()
        sequential_read(system, sizes, data)  # compared, not counted
    return found, device
