#!/usr/bin/env python3
"""The work of scripts/demo. usage: demo.py SCALEFS"""
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

MIB, GIB = 1 << 20, 1 << 30
SCALEFS = sys.argv[1]
ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
SMALL = bool(os.environ.get("SCALEFS_DEMO_SMALL"))
UNIT = GIB // 8 if SMALL else GIB
SIZES = [UNIT, UNIT * 5 // 4, UNIT * 3 // 2, UNIT * 2, UNIT * 5 // 2]
NEED = 5 * UNIT
TERMINAL = sys.stdout.isatty()
START = time.monotonic()


def bold(text):
    return f"\033[1m{text}\033[0m" if TERMINAL else text


def step(text):
    print(f"\n{bold('== ' + text)}  [{time.monotonic() - START:.0f} s]", flush=True)


def size_text(n):
    return f"{n / GIB:.2f} GiB" if n >= GIB else f"{n / MIB:.1f} MiB"


class Bar:
    """A progress bar on a terminal, one line at the end elsewhere."""

    def __init__(self, what, total):
        self.what, self.total, self.done = what, max(total, 1), 0
        self.start, self.shown = time.monotonic(), 0.0

    def add(self, n):
        self.done += n
        now = time.monotonic()
        if TERMINAL and now - self.shown > 0.1:
            self.shown = now
            part = min(1.0, self.done / self.total)
            rate = self.done / max(now - self.start, 0.01)
            print(f"\r{self.what:32} [{'#' * int(part * 30):30}] {part:4.0%}  {size_text(rate)}/s ", end="", flush=True)

    def end(self):
        seconds = max(time.monotonic() - self.start, 0.01)
        if TERMINAL:
            print("\r" + " " * 90 + "\r", end="")
        print(f"{self.what:32} {size_text(self.done)} in {seconds:.1f} s, {size_text(self.done / seconds)}/s", flush=True)


def run(*command, quiet=False, cwd=None, ok=(0,)):
    if not quiet:
        print(f"$ {' '.join(shown(c) for c in command)}", flush=True)
    status = subprocess.run(command, check=False, cwd=cwd, stdout=subprocess.DEVNULL if quiet else None).returncode
    if status not in ok:
        raise subprocess.CalledProcessError(status, command)


def shown(word):
    """A word of a command as the reader would type it."""
    return word.replace(SCALEFS, "scalefs").replace(FOLDER + "/", "") or word


def scalefs(*args, ok=(0,)):
    run(SCALEFS, *args, ok=ok)


def regular_files(folder):
    for where, dirs, names in os.walk(folder):
        dirs.sort()
        for n in sorted(names):
            path = os.path.join(where, n)
            if os.path.isfile(path) and not os.path.islink(path) and os.access(path, os.R_OK):
                yield path


def copy_tree(source, target):
    """Copies a tree; what every file's SHA-256 is, taken from the original."""
    files = list(regular_files(source))
    bar = Bar(f"copying {source}", sum(os.path.getsize(f) for f in files))
    sums = {}
    for path in files:
        to = os.path.join(target, os.path.relpath(path, source))
        os.makedirs(os.path.dirname(to), exist_ok=True)
        digest = hashlib.sha256()
        with open(path, "rb") as a, open(to, "wb") as b:
            while block := a.read(MIB):
                digest.update(block)
                b.write(block)
                bar.add(len(block))
        sums[to] = digest.digest()
    bar.end()
    return sums


def make_big_file(path, size):
    bar = Bar("one file that does not compress", size)
    digest = hashlib.sha256()
    source = random.Random(1)
    with open(path, "wb") as f:
        for _ in range(size // MIB):
            block = source.randbytes(MIB)
            digest.update(block)
            f.write(block)
            bar.add(MIB)
        f.flush()
        os.fsync(f.fileno())
    bar.end()
    return {path: digest.digest()}


def work_with_git(folder):
    """A clone of this project's repository (a new one where there is none), worked in."""
    env = ("-c", "user.name=demo", "-c", "user.email=demo@example.com", "-c", "commit.gpgsign=false")
    if os.path.isdir(os.path.join(ROOT, ".git")):
        run("git", "clone", "-q", "--no-hardlinks", ROOT, folder, quiet=True)
    else:
        run("git", "init", "-q", folder, quiet=True)
        shutil.copytree(os.path.join(ROOT, "src"), os.path.join(folder, "src"))
    for i in range(5):
        with open(os.path.join(folder, f"notes-{i}.txt"), "w", encoding="ascii") as f:
            f.write(f"written inside the pool, number {i}\n" * 1000)
        run("git", "add", "-A", quiet=True, cwd=folder)
        run("git", *env, "commit", "-qm", f"demo: commit {i}", quiet=True, cwd=folder)
    run("git", "gc", "-q", quiet=True, cwd=folder)
    run("git", "fsck", "--strict", "--no-progress", quiet=True, cwd=folder)
    print("git: cloned, five commits, gc, fsck: fine")
    sums = {}
    for path in regular_files(folder):
        with open(path, "rb") as f:
            sums[path] = hashlib.sha256(f.read()).digest()
    return sums


def sync(mount_point):
    fd = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


def verify(sums):
    """Every byte, read from the disks and not from a cache."""
    bar = Bar("reading and comparing SHA-256", sum(os.path.getsize(p) for p in sums))
    wrong = []
    for path, wanted in sums.items():
        digest = hashlib.sha256()
        try:
            with open(path, "rb") as f:
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                while block := f.read(MIB):
                    digest.update(block)
                    bar.add(len(block))
        except OSError as e:
            print(f"{path}: {e.strerror}")
        if digest.digest() != wanted:
            wrong.append(path)
    bar.end()
    if wrong:
        raise SystemExit(f"WRONG: {len(wrong)} of {len(sums)} files, the first is {wrong[0]}")
    print(bold(f"all {len(sums)} files are right"))


def overwrite_with_noise(path):
    size = os.path.getsize(path)
    print(f"writing noise over all of {shown(path)} ({size_text(size)})")
    bar = Bar("noise", size)
    with open(path, "r+b") as f, open("/dev/urandom", "rb") as noise:
        block = noise.read(4 * MIB)
        for offset in range(0, size, len(block)):
            f.write(block[:size - offset])
            bar.add(min(len(block), size - offset))
    bar.end()


def pull_out(path):
    print(f"pulling out {shown(path)}: emptied and removed")
    os.truncate(path, 0)
    os.unlink(path)


def check_place(base):
    if not os.path.exists("/dev/fuse"):
        raise SystemExit("demo: there is no /dev/fuse here, so nothing can be mounted. Load it with: modprobe fuse")
    if not os.path.isdir(base):
        raise SystemExit(f"demo: there is no folder {base}. Set SCALEFS_DEMO_DIR to one that exists.")
    free = shutil.disk_usage(base).free
    if free < NEED:
        raise SystemExit(f"demo: {base} has {size_text(free)} free, and {size_text(NEED)} are needed. Set SCALEFS_DEMO_DIR "
                         "to a folder with more room, or SCALEFS_DEMO_SMALL=1 for a demo of an eighth of the size.")


def clean_up(folder, mount_point):
    if os.path.ismount(mount_point):
        done = subprocess.run([SCALEFS, "unmount", mount_point], capture_output=True, check=False).returncode == 0
        if not done:
            subprocess.run(["fusermount3", "-uz", mount_point], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def demo(folder, mount_point):
    disks = [os.path.join(folder, f"disk{i}") for i in range(1, 6)]
    for path, size in zip(disks, SIZES):
        with open(path, "xb") as f:
            f.truncate(size)

    step("A pool of five disks of different sizes, of which any two may fail")
    print("disks:", ", ".join(f"{shown(d)} {size_text(s)}" for d, s in zip(disks, SIZES)))
    scalefs("create", "demo", *disks, "--failover", "2")
    scalefs("mount", "demo", *disks, mount_point)
    scalefs("status", "demo")

    step("Filling it with real files")
    sums = {}
    for source in ("/usr/include", "/usr/share/doc"):
        if os.path.isdir(source):
            sums |= copy_tree(source, os.path.join(mount_point, os.path.basename(source)))
    sums |= work_with_git(os.path.join(mount_point, "repository"))
    sums |= make_big_file(os.path.join(mount_point, "big"), UNIT)
    sync(mount_point)
    scalefs("status", "demo")

    step("Two of the five disks are destroyed, while the pool is in use")
    overwrite_with_noise(disks[1])
    pull_out(disks[3])
    verify(sums)
    scalefs("status", "demo", ok=(3,))  # done, but the pool needs attention

    step("Two new disks take their places")
    new = [os.path.join(folder, f"new{i}") for i in (2, 4)]
    for number, path, size in ((2, new[0], SIZES[1]), (4, new[1], SIZES[3])):
        with open(path, "xb") as f:
            f.truncate(size)
        scalefs("replace", "demo", str(number), path, "--wait", ok=(0, 3))
    scalefs("wait", "demo", ok=(0, 3))
    scalefs("status", "demo")

    step("Everything once more, after unmounting and mounting again")
    scalefs("unmount", mount_point)
    members = [disks[0], new[0], disks[2], new[1], disks[4]]
    scalefs("mount", "demo", *members, mount_point)
    verify(sums)
    run("git", "fsck", "--strict", "--no-progress", quiet=True, cwd=os.path.join(mount_point, "repository"))
    scalefs("status", "demo")
    scalefs("unmount", mount_point)


def stop(number, _frame):
    raise SystemExit(128 + number)


def main():
    global FOLDER
    base = os.environ.get("SCALEFS_DEMO_DIR", "/tmp")
    check_place(base)
    FOLDER = folder = tempfile.mkdtemp(prefix="scalefs-demo.", dir=base)
    mount_point = os.path.join(folder, "mnt")
    os.mkdir(mount_point)
    os.environ["SCALEFS_PATH"] = folder
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        demo(folder, mount_point)
    except subprocess.CalledProcessError as e:
        raise SystemExit(f"demo: {shown(e.cmd[0])} {e.cmd[1] if len(e.cmd) > 1 else ''} ended with status {e.returncode}")
    finally:
        clean_up(folder, mount_point)
    step("Done: two disks lost, not one byte; everything is cleaned up again")


FOLDER = ""

if __name__ == "__main__":
    main()
