"""What the end-to-end tests of the mount share: cases that print TAP, and pools of file-backed disks.

Every case runs in a process of its own with a time limit. A test that hangs in the kernel can't be
ended from outside, so when the time is up the server is killed first: that fails what waits for it.

Environment: SCALEFS (the command), SCRATCH (a folder of this run's own).
E2E_MOUNT=DIR runs the cases that only need files in that directory, on any file system.
E2E_PATIENCE=N multiplies all time limits, for larger versions of the tests.
"""
import fcntl
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
SCALEFS = os.environ.get("SCALEFS") or os.path.join(ROOT, "build", "scalefs")
PATIENCE = int(os.environ.get("E2E_PATIENCE", "1"))
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

_own_scratch = not os.environ.get("SCRATCH")
SCRATCH = os.environ.get("SCRATCH") or tempfile.mkdtemp(prefix="scalefs-e2e.")
_pools = []
_failed = 0
_number = 0


def have_fuse():
    return os.path.exists("/dev/fuse") and os.environ.get("HAVE_FUSE", "1") == "1"


def note(text):
    for line in str(text).rstrip().split("\n"):
        print("#", line)
    sys.stdout.flush()


def _report(good, name, more=""):
    global _failed, _number
    _number += 1
    _failed += not good
    print(f"{'' if good else 'not '}ok {_number} - {name}{more}", flush=True)


def wait_for_end(pid):
    """Until a process that was told to end holds nothing any more: it is gone, or a zombie without further threads."""
    try:
        while True:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
                state = f.read().rpartition(")")[2].split()[0]
            if state in "ZX" and len(os.listdir(f"/proc/{pid}/task")) <= 1:
                return
            time.sleep(0.005)
    except (FileNotFoundError, ProcessLookupError):
        pass


def wait_until_free(*files):
    """Until nobody has a lock on these disks: the kernel ends the transfers of a killed server a moment after it is gone."""
    for path in files:
        with open(path, "rb") as f:
            fcntl.flock(f, fcntl.LOCK_EX)


def skip(name, why):
    _report(True, name, f" # SKIP {why}")


def case(function, *args, timeout=60, name=None):
    """Runs function(*args) in a child; reports it; True when it passed."""
    name = name or function.__name__
    timeout *= PATIENCE
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function(*args)
            status = 0
        except BaseException:
            note(traceback.format_exc())
        sys.stdout.flush()
        os._exit(status)
    good = _wait(pid, timeout)
    if good is None:
        note(f"{name}: not done after {timeout} s")
        for pool in _pools:
            pool.kill_server()
        os.kill(pid, signal.SIGKILL)
        _wait(pid, 20)
    _report(bool(good), name)
    return bool(good)


def _wait(pid, timeout):
    """True or False when the child has ended, None when it hasn't in time."""
    end = time.monotonic() + timeout
    pause = 0.002
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
    return None


def finish():
    """Cleans up and ends the script."""
    for pool in list(_pools):
        pool.destroy()
    if _own_scratch:
        shutil.rmtree(SCRATCH, ignore_errors=True)
    if not _number:
        print("not ok - nothing was run")
    print(f"1..{_number}")
    sys.exit(1 if _failed or not _number else 0)


def equal(a, b, what=""):
    if a != b:
        raise AssertionError(f"{what}: {str(a)[:300]} is not {str(b)[:300]}")


def refused(errno_wanted, function, *args, **kwargs):
    """`errno_wanted`: one, or several of which any will do."""
    wanted = errno_wanted if isinstance(errno_wanted, tuple) else (errno_wanted,)
    try:
        function(*args, **kwargs)
    except OSError as e:
        if e.errno not in wanted:
            raise AssertionError(f"{function}: {e}, not {' or '.join(os.strerror(n) for n in wanted)}") from e
        return
    raise AssertionError(f"{function} {args} was not refused")


def sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(MIB):
            h.update(block)
    return h.hexdigest()


def noise(length, seed):
    """Repeatable bytes that do not compress."""
    return random.Random(seed).randbytes(length)


_bulk = b""


def bulk(length, seed):
    """As noise(), for gigabytes: little more than copying. Different seeds give different bytes."""
    global _bulk
    _bulk = _bulk or noise(16 * MIB, 4711)
    stamp = seed.to_bytes(16, "little")
    at = random.Random(seed).randrange(len(_bulk))
    whole = stamp + _bulk[at:at + length]
    while len(whole) < length:
        whole += stamp + _bulk[:length - len(whole)]
    return whole[:length]


class Pool:
    """A pool of file-backed disks of the given sizes, with a mount point."""

    def __init__(self, name, sizes, failover=0, options=()):
        self.name = f"{name}-{os.getpid()}"  # two runs of the tests at a time do not disturb each other
        self.folder = os.path.join(SCRATCH, name)
        self.mount_point = os.path.join(self.folder, "mnt")
        os.makedirs(self.mount_point)
        self.failover = failover
        self.disks = []
        for i, size in enumerate(sizes):
            self.disks.append(self.new_disk(size, f"disk{i}"))
        _pools.append(self)
        self.cli("create", self.name, *self.disks, "--failover", str(failover), *options)

    def new_disk(self, size, name):
        path = os.path.join(self.folder, name)
        with open(path, "xb") as f:
            f.truncate(size)
        return path

    def run(self, *args, timeout=120, input_text=None):
        """The completed command; output as text."""
        env = dict(os.environ, SCALEFS_PATH=self.folder)
        return subprocess.run([SCALEFS, *args], capture_output=True, text=True, timeout=timeout * PATIENCE, env=env,
                              check=False, input=input_text, stdin=None if input_text else subprocess.DEVNULL)

    def cli(self, *args, ok=(0,), timeout=120):
        r = self.run(*args, timeout=timeout)
        if r.returncode not in ok:
            raise AssertionError(f"scalefs {' '.join(args)}: status {r.returncode}\n{r.stdout[:1500]}{r.stderr}")
        return r.stdout

    def path(self, *parts):
        return os.path.join(self.mount_point, *parts)

    def mounted(self):
        return os.path.ismount(self.mount_point)

    def mount(self, *args):
        self.cli("mount", self.name, self.mount_point, *args)
        if not self.mounted():
            raise AssertionError("mount said that it was done, but nothing is mounted")

    def unmount(self):
        self.cli("unmount", self.mount_point)
        if self.mounted():
            raise AssertionError("unmount said that it was done, but it is still mounted")

    def status(self):
        return json.loads(self.cli("status", self.name, "--json", ok=(0, 3)))

    def check(self):
        """A complete check of the unmounted pool: raises when there is anything wrong."""
        return self.cli("check", *self.disks, timeout=300)

    def servers(self):
        """Processes that serve this mount point."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
                if os.fsencode(self.mount_point) in words and \
                        os.path.samefile(f"/proc/{pid}/exe", SCALEFS):
                    yield int(pid)
            except OSError:
                pass

    def peak_memory(self):
        """The most resident memory, in bytes, that the process of this mount has had."""
        most = 0
        for pid in self.servers():
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
                most = max([most] + [int(line.split()[1]) * KIB for line in f if line.startswith("VmHWM:")])
        return most

    def sync(self):
        fd = os.open(self.mount_point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def kill_server(self):
        """kill -9, and the dead mount taken away. True when there was one."""
        pids = list(self.servers())
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for pid in pids:
            wait_for_end(pid)
        if subprocess.run(["mountpoint", "-q", self.mount_point], check=False).returncode == 0 or pids:
            if os.geteuid() == 0:
                subprocess.run(["umount", "-l", self.mount_point], capture_output=True, check=False)
            else:
                subprocess.run(["fusermount3", "-uz", self.mount_point], capture_output=True, check=False)
        return bool(pids)

    def destroy(self):
        if self in _pools:
            _pools.remove(self)
        try:
            if self.mounted():
                self.run("unmount", self.mount_point, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            pass
        self.kill_server()
        shutil.rmtree(self.folder, ignore_errors=True)


class Directory:
    """The same face as a mounted pool for the cases that only need files (E2E_MOUNT)."""

    def __init__(self, path):
        self.mount_point = path

    def path(self, *parts):
        return os.path.join(self.mount_point, *parts)

    def destroy(self):
        pass


def mounted_pool(name, sizes, failover=0):
    """A new, mounted pool; or the directory of E2E_MOUNT."""
    if os.environ.get("E2E_MOUNT"):
        return Directory(os.environ["E2E_MOUNT"])
    pool = Pool(name, sizes, failover)
    pool.mount()
    return pool


def drop_caches():
    """Forgets what the kernel has cached, where we may."""
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
            f.write("3")
    except OSError:
        pass
