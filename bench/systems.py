"""The file systems that are compared: made on backing files, mounted, degraded, rebuilt, taken away.

Both get the same files in the same folder: ScaleFS as they are (or as loop devices, --loop), btrfs
through loop devices, since it knows nothing else.
"""
import json
import os
import shutil
import subprocess
import time


def run(*command, timeout=600, env=None, ok=(0,)):
    r = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False,
                       stdin=subprocess.DEVNULL, env=dict(os.environ, **(env or {})))
    if r.returncode not in ok:
        raise RuntimeError(f"{' '.join(command)}: status {r.returncode}: {(r.stdout + r.stderr)[:500]}")
    return r.stdout


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("3")


class Loops:
    """Loop devices on files, with what they have read and written."""

    def __init__(self, direct):
        self.direct = direct
        self.of = {}
        self.before = {}  # what a device counted before the file was attached to it

    def attach(self, path):
        options = ["--direct-io=on"] if self.direct else []
        self.of[path] = run("losetup", "-f", "--show", *options, path).strip()
        self.before[path] = self.counted(path)
        return self.of[path]

    def detach(self, path):
        device = self.of.pop(path, None)
        if device:
            subprocess.run(["losetup", "-d", device], capture_output=True, check=False)

    def detach_all(self):
        for path in list(self.of):
            self.detach(path)

    def counted(self, path):
        with open(f"/sys/block/{os.path.basename(self.of[path])}/stat", encoding="ascii") as f:
            words = f.read().split()
        return int(words[2]) * 512, int(words[6]) * 512

    def each(self):
        """{file: (read, written)}: bytes since it was attached."""
        return {p: tuple(n - b for n, b in zip(self.counted(p), self.before[p])) for p in self.of}

    def moved(self):
        """Bytes read and written so far on all of them."""
        each = self.each().values()
        return sum(e[0] for e in each), sum(e[1] for e in each)


class System:
    """One file system on `count` files of `size` bytes in `folder`."""

    def __init__(self, folder, count, failover, size, direct):
        self.folder = folder
        self.failover = failover
        self.size = size
        self.mount_point = os.path.join(folder, "mnt")
        self.loops = Loops(direct)
        os.makedirs(self.mount_point)
        self.files = [self.new_file(f"disk{i}") for i in range(count)]

    def new_file(self, name):
        path = os.path.join(self.folder, name)
        with open(path, "xb") as f:
            f.truncate(self.size)
        return path

    def sync(self):
        """Everything is durable afterwards: sync(2) hands over what the kernel holds, fsync of a directory
        commits what FUSE's server has been given; the file systems in the kernel have done so at sync(2)."""
        os.sync()
        fd = os.open(self.mount_point, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(fd)
        os.close(fd)

    def cold(self):
        """Nothing of it is in memory."""
        self.unmount()
        drop_caches()
        self.mount()

    def moved(self):
        return self.loops.moved() if self.loops.of else None

    def destroy(self):
        subprocess.run(["umount", self.mount_point], capture_output=True, check=False)
        self.end()
        self.loops.detach_all()
        shutil.rmtree(self.folder, ignore_errors=True)

    def end(self):
        pass


class ScaleFs(System):
    name = "scalefs"

    def __init__(self, folder, count, failover, size, direct, command="scalefs", loop=False, optimize=0):
        super().__init__(folder, count, failover, size, direct)
        self.command = command
        self.loop = loop
        self.pool = "bench" + os.path.basename(folder).replace(".", "")
        self.disks = [self.loops.attach(f) if loop else f for f in self.files]
        self.cli("create", self.pool, *self.disks, "--failover", str(failover), "--optimize", str(optimize))
        self.mount()

    def cli(self, *args, ok=(0,), timeout=600):
        return run(self.command, *args, env={"SCALEFS_PATH": self.folder}, ok=ok, timeout=timeout)

    def mount(self, degraded=False):
        self.cli("mount", *(d for d in self.disks if d), self.mount_point, *(["--degraded"] if degraded else []))

    def unmount(self):
        self.cli("unmount", self.mount_point)

    def lose_disk(self, index):
        self.unmount()
        status_id = index + 1
        if self.loop:
            self.loops.detach(self.files[index])
        os.unlink(self.files[index])
        self.disks[index] = None
        drop_caches()
        self.mount(degraded=True)
        self.lost = status_id

    def add_replacement(self):
        path = self.new_file("replacement")
        self.replacement = self.loops.attach(path) if self.loop else path

    def rebuild(self):
        """Onto the replacement; the seconds it took."""
        disk = self.replacement
        self.disks = [disk if d is None else d for d in self.disks]
        lost = [d for d in json.loads(self.cli("status", self.pool, "--json", ok=(0, 3)))["disks"] if d["state"] != "online"]
        start = time.monotonic()
        self.cli("replace", self.pool, str(lost[0]["id"]), disk, "--wait")
        return time.monotonic() - start

    def scrub(self):
        start = time.monotonic()
        self.cli("scrub", self.pool, "--wait")
        return time.monotonic() - start

    def memory(self):
        """Resident bytes of the server."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if os.fsencode(self.mount_point) not in f.read().split(b"\0"):
                        continue
                with open(f"/proc/{pid}/status", encoding="ascii") as f:
                    for line in f:
                        if line.startswith("VmHWM"):
                            return int(line.split()[1]) * 1024
            except OSError:
                pass
        return None

    def end(self):
        subprocess.run([self.command, "unmount", self.mount_point], capture_output=True, check=False, timeout=60)


class Btrfs(System):
    name = "btrfs"
    PROFILES = {0: ("single", "dup"), 1: ("raid5", "raid1"), 2: ("raid6", "raid1c3")}

    def __init__(self, folder, count, failover, size, direct, mirror=False):
        super().__init__(folder, count, failover, size, direct)
        data, metadata = self.PROFILES[failover]
        if mirror or (failover == 1 and count == 2):
            data = "raid1"
        if failover == 0 and count > 1:
            data, metadata = "raid0", "raid1"
        self.devices = [self.loops.attach(f) for f in self.files]
        run("mkfs.btrfs", "-q", "-f", "-d", data, "-m", metadata, *self.devices)
        self.mount()

    def mount(self, degraded=False):
        present = [d for d in self.devices if d]
        run("btrfs", "device", "scan", *present)
        run("mount", "-t", "btrfs", *(["-o", "degraded"] if degraded else []), present[0], self.mount_point)

    def unmount(self):
        run("umount", self.mount_point)

    def lose_disk(self, index):
        self.unmount()
        self.lost = index + 1
        run("btrfs", "device", "scan", "--forget")
        self.loops.detach(self.files[index])
        os.unlink(self.files[index])
        self.devices[index] = None
        drop_caches()
        self.mount(degraded=True)

    def add_replacement(self):
        self.replacement = self.loops.attach(self.new_file("replacement"))

    def rebuild(self):
        device = self.replacement
        start = time.monotonic()
        run("btrfs", "replace", "start", "-B", "-f", str(self.lost), device, self.mount_point)
        seconds = time.monotonic() - start
        self.devices = [device if d is None else d for d in self.devices]
        return seconds

    def scrub(self):
        start = time.monotonic()
        run("btrfs", "scrub", "start", "-B", self.mount_point)
        return time.monotonic() - start

    def memory(self):
        return None

    def end(self):
        subprocess.run(["btrfs", "device", "scan", "--forget"], capture_output=True, check=False)
