"""What the tests of the command share: refusals that must leave everything as it was."""
import ctypes
import ctypes.util
import hashlib
import json
import os
import re
import signal
import struct
import subprocess
import zlib

from lib_pool import MIB, SCALEFS, SCRATCH, equal, wait_for_end

NOBODY = 65534


def have_root():
    return os.geteuid() == 0


def fingerprint(path):
    """Of a file's size and content; holes, which most of a disk image is, are skipped."""
    h = hashlib.sha256()
    with open(path, "rb") as f:
        end = os.fstat(f.fileno()).st_size
        at = 0
        while at < end:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA) // 65536 * 65536
            except OSError:
                break
            stop = os.lseek(f.fileno(), at, os.SEEK_HOLE) if at < end else end
            f.seek(at)
            while at < max(stop, at + 1) and (block := f.read(65536)):
                if block.count(0) != len(block):
                    h.update(struct.pack("<Q", at) + block)
                at += len(block)
    return end, h.hexdigest()


class Folder:
    """A folder with disk images that `scalefs` sees, and no other."""

    def __init__(self, name):
        self.path = os.path.join(SCRATCH, name)
        os.makedirs(self.path)
        self.seen = self.path  # SCALEFS_PATH
        self.sockets = self.path + ".run"  # SCALEFS_RUN; other tests' mounts are not seen

    def at(self, name):
        return os.path.join(self.path, name)

    def image(self, name, size=64 * MIB, content=b""):
        with open(self.at(name), "xb") as f:
            f.write(content)
            f.truncate(size)
        return self.at(name)

    def images(self, count, size=64 * MIB, start=0):
        return [self.image(f"disk{start + i}", size) for i in range(count)]

    def run(self, *args, timeout=60, env=None, before=()):
        return subprocess.run([*before, SCALEFS, *args], capture_output=True, text=True, timeout=timeout, check=False,
                              stdin=subprocess.DEVNULL, env=self.env(env))

    def env(self, more=None):
        return {**os.environ, "SCALEFS_PATH": self.seen, "SCALEFS_RUN": self.sockets, **(more or {})}

    def good(self, *args, status=0, **kwargs):
        r = self.run(*args, **kwargs)
        if r.returncode != status:
            raise AssertionError(f"scalefs {' '.join(args)}: status {r.returncode}, not {status}\n{r.stdout}{r.stderr}")
        return r.stdout

    def json(self, *args, status=0, **kwargs):
        return json.loads(self.good(*args, "--json", status=status, **kwargs))

    def pools(self, **kwargs):
        """What `list` shows of this folder; block devices of others may be seen besides."""
        return [p for p in self.json("list", **kwargs)["pools"] if any(x.startswith(self.path + "/") for x in p["paths"])]

    def pool(self, name, count=3, failover=1, size=64 * MIB, start=0):
        disks = self.images(count, size, start)
        self.good("create", name, *disks, "--failover", str(failover))
        return disks

    def state(self):
        """Everything below the folder: names, sizes, contents, modes."""
        found = {}
        for top, folders, files in os.walk(self.path):
            for name in folders + files:
                path = os.path.join(top, name)
                st = os.lstat(path)
                regular = os.path.isfile(path) and not os.path.islink(path)
                found[path] = st.st_mode, fingerprint(path) if regular else None
        return found

    def seen_by_status(self, disks):
        """What a pool says of itself, and the rest of the folder. Opening a pool for writing notes on its disks that it was
        opened, so their bytes are not compared."""
        return self.good("status", disks[0], "--json"), {p: v for p, v in self.state().items() if p not in disks}

    def refuses(self, args, code, *words, opened=(), **kwargs):
        """Exit status 1, one sentence or more that hold the words, the code; and nothing has changed. `opened`: the disks of
        a pool that the command must open for writing before it can tell."""
        look = (lambda: self.seen_by_status(opened)) if opened else self.state
        before = look()
        r = self.run(*args, **kwargs)
        told = f"scalefs {' '.join(args)}: status {r.returncode}\nstdout: {r.stdout}\nstderr: {r.stderr}"
        if r.returncode != 1:
            raise AssertionError(told + "\nwas not refused")
        sentence = r.stderr.strip().split("\n")[-1]
        if not re.match(r"scalefs: \S.{15,}\S$", sentence):
            raise AssertionError(told + "\nis no sentence")
        if r.stdout:
            raise AssertionError(told + "\nsays something on standard output")
        for word in words:
            if not re.search(word, sentence, re.I):
                raise AssertionError(told + f"\ndoes not say: {word}")
        r = self.run(*args, "--json", **kwargs)
        equal(r.returncode, 1, "status with --json")
        error = json.loads(r.stdout)["error"]
        codes = code if isinstance(code, tuple) else (code,)
        if error["code"] not in codes:
            raise AssertionError(told + f"\ncode {error['code']}, not {' or '.join(codes)}")
        if set(error) != {"code", "number", "text"} or "scalefs: " + error["text"] not in r.stderr:
            raise AssertionError(f"error document: {error}, stderr: {r.stderr}")
        after = look()
        if after != before:
            changed = [p for p in set(after) | set(before) if after.get(p) != before.get(p)] if not opened else (before, after)
            raise AssertionError(told + f"\nchanged {changed}")
        return error["text"]


def processes():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        yield int(pid)


def holders(path):
    """Processes that have the file open."""
    found = []
    for pid in processes():
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") == path:
                    found.append(pid)
        except OSError:
            pass
    return found


def servers(mount_point):
    """The processes of the command that serve this mount point."""
    found = []
    for pid in processes():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as g:
                words = g.read().split(b"\0")
            if os.fsencode(mount_point) in words and os.path.samefile(f"/proc/{pid}/exe", SCALEFS):
                found.append(pid)
        except OSError:
            pass
    return found


class Mounted:
    """A pool that is mounted while the body runs."""

    def __init__(self, folder, name, *options):
        self.folder, self.name, self.options = folder, name, options
        self.point = folder.at("mnt")

    def __enter__(self):
        os.makedirs(self.point, exist_ok=True)
        self.folder.good("mount", self.name, self.point, *self.options)
        return self

    def __exit__(self, *why):
        if os.path.ismount(self.point):
            self.folder.good("unmount", self.point)

    def write(self, name, data):
        with open(os.path.join(self.point, name), "wb") as g:
            g.write(data)
            g.flush()
            os.fsync(g.fileno())

    def read(self, name):
        with open(os.path.join(self.point, name), "rb") as g:
            return g.read()

    def server(self):
        pid, = servers(self.point)
        return pid

    def crash(self):
        """kill -9, and the mount taken away as after a start of the computer."""
        server = self.server()
        os.kill(server, signal.SIGKILL)
        wait_for_end(server)
        self.folder.good("unmount", self.point)


def wrong_usage(folder, *args):
    before = folder.state()
    r = folder.run(*args)
    if r.returncode != 2 or not re.search(r"^usage: scalefs ", r.stderr, re.M) or r.stdout:
        raise AssertionError(f"scalefs {' '.join(args)}: status {r.returncode}\n{r.stdout}{r.stderr}")
    equal(folder.state(), before, "the folder")


# --- partition tables, made by hand ---

def mbr():
    entry = struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0x83, 0, 3, 0, 2048, 16384)
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


def gpt(size):
    """A table with one partition: protective MBR, header, entries; without the copy at the end."""
    entries = (bytes(range(16)) + bytes(range(16, 32)) + struct.pack("<QQQ", 2048, 18431, 0) + "data".encode("utf-16-le")).ljust(128, b"\0")
    entries = entries.ljust(128 * 128, b"\0")

    def header(crc):
        return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, 1, size // 512 - 1, 34, size // 512 - 34,
                           bytes(range(32, 48)), 2, 128, 128, zlib.crc32(entries))
    protective = bytes(446) + struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xee, 255, 255, 255, 1, size // 512 - 1) + bytes(48) + b"\x55\xaa"
    return protective + header(zlib.crc32(header(0))).ljust(512, b"\0") + entries


# --- the format, as far as a future version of it must be made up ---

_xxhash = None


def _hash(data, seed=0):
    global _xxhash
    if not _xxhash:
        _xxhash = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
        _xxhash.XXH3_64bits_withSeed.restype = ctypes.c_uint64
        _xxhash.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    return _xxhash.XXH3_64bits_withSeed(bytes(data), len(data), seed)


def block_hash(block):
    """The checksum of a 4 KiB block (docs/FORMAT.md, block header)."""
    kind, self_number = struct.unpack_from("<H", block, 4)[0], struct.unpack_from("<Q", block, 16)[0]
    blank = bytes(block[:8]) + bytes(8) + bytes(block[16:])
    return _hash(blank, _hash(struct.pack("<QQ", kind, self_number) + bytes(block[24:32])))


def change_blocks(path, change):
    """Calls change(block) for every label and record of the disk, and signs what it made. Returns how many there were."""
    size = os.path.getsize(path)
    places = [4096, 512 * 1024, size // 4096 * 4096 - 4096] + [65536 + 4096 * i for i in range(64)]
    count = 0
    with open(path, "r+b") as f:
        for place in places:
            f.seek(place)
            block = bytearray(f.read(4096))
            if block[:4] != b"SFS1" or struct.unpack_from("<Q", block, 8)[0] != block_hash(block):
                continue
            change(block)
            struct.pack_into("<Q", block, 8, block_hash(block))
            f.seek(place)
            f.write(block)
            count += 1
    return count
