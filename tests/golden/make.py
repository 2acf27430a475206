#!/usr/bin/env python3
"""Makes golden images: make.py BUILD_FOLDER [NAME...]. See golden.py.

The content is modelled here: the manifest says what was asked for, not what the library made of it.
"""
import os
import random
import shutil
import stat
import sys
import tempfile

import golden
from golden import pattern, readable, sum_of

MIB = 1 << 20


class Script:
    """Commands for golden_tool and, at the same time, what the pool must hold after them."""

    def __init__(self, folder):
        self.folder, self.lines, self.files = folder, [], 0
        self.nodes = {}  # path -> node; hard links share one
        self.nodes[b"."] = self._node(stat.S_IFDIR | 0o755)

    @staticmethod
    def _node(mode):
        return {"mode": mode, "uid": 0, "gid": 0, "data": bytearray(), "size": 0, "xattrs": {}}

    def do(self, *words):
        encoded = []
        for w in words:
            w = w if isinstance(w, bytes) else str(w).encode()
            encoded.append("".join(chr(b) if 33 <= b < 127 and b != 37 else f"%{b:02x}" for b in w))
        self.lines.append(" ".join(encoded))

    def take(self):
        text = "\n".join(self.lines) + "\n"
        self.lines = []
        return text

    def _host_file(self, data):
        path = os.path.join(self.folder, f"content{self.files}")
        self.files += 1
        with open(path, "wb") as f:
            f.write(data)
        return path

    def put(self, path, data, offset=0):
        """Small offsets are modelled by bytes; far pieces by a dictionary beside them."""
        node = self.nodes.setdefault(path, self._node(stat.S_IFREG | 0o644))
        if offset > golden.WHOLE_MAX:
            node.setdefault("far", {})[offset] = data
        else:
            old = node["data"]
            old.extend(bytes(max(0, offset + len(data) - len(old))))
            old[offset:offset + len(data)] = data
        node["size"] = max(node["size"], offset + len(data))
        self.do("put", path, offset, self._host_file(data))

    def node(self, path, mode, major=0, minor=0):
        self.nodes[path] = dict(self._node(mode), device=[major, minor])
        self.do("node", path, f"{mode:o}", major, minor)

    def folder_at(self, path):
        self.nodes[os.path.dirname(path) or b"."].pop("mtime", None)
        self.node(path, stat.S_IFDIR | 0o755)

    def symlink(self, path, target):
        self.nodes[path] = dict(self._node(stat.S_IFLNK | 0o777), target=target)
        self.do("symlink", path, target)

    def link(self, old, new):
        self.nodes[new] = self.nodes[old]
        self.do("link", old, new)

    def rename(self, old, new):
        for path in [p for p in self.nodes if p == old or p.startswith(old + b"/")]:
            self.nodes[new + path[len(old):]] = self.nodes.pop(path)
        self.do("rename", old, new)

    def unlink(self, path):
        del self.nodes[path]
        self.do("unlink", path)

    def xattr(self, path, name, value):
        self.nodes[path]["xattrs"][name] = value
        self.do("xattr", path, name, self._host_file(value))

    def attr(self, path, mode, uid, gid, mtime):
        node = self.nodes[path]
        node.update(mode=stat.S_IFMT(node["mode"]) | mode, uid=uid, gid=gid, mtime=mtime)
        self.do("attr", path, f"{mode:o}", uid, gid, mtime // 10**9, mtime % 10**9)

    def clone(self, old, new):
        self.nodes[new] = dict(self._node(stat.S_IFREG | 0o644), data=bytearray(self.nodes[old]["data"]),
                               size=self.nodes[old]["size"])
        self.do("clone", old, new)

    def punch(self, path, offset, length):
        self.nodes[path]["data"][offset:offset + length] = bytes(length)
        self.do("punch", path, offset, length)

    def resize(self, path, size):
        node = self.nodes[path]
        del node["data"][size:]
        node["data"].extend(bytes(size - len(node["data"])))
        node["size"] = size
        self.do("size", path, size)

    def manifest(self):
        result = {}
        for path, node in self.nodes.items():
            kind = stat.S_IFMT(node["mode"])
            d = golden.description(node["mode"], node["uid"], node["gid"],
                                   sum(n is node for n in self.nodes.values()))
            if kind == stat.S_IFDIR:
                d["links"] = 2 + sum(stat.S_ISDIR(n["mode"]) and p != b"." and
                                     (os.path.dirname(p) or b".") == path for p, n in self.nodes.items())
            if kind == stat.S_IFREG:
                pieces = [(0, bytes(node["data"]))] + sorted(node.get("far", {}).items())
                d.update(size=node["size"], sum=golden.content_sum(node["size"], pieces))
            elif kind == stat.S_IFLNK:
                d["target"] = node["target"].hex()
            elif kind in (stat.S_IFCHR, stat.S_IFBLK):
                d["device"] = node["device"]
            if node["xattrs"]:
                d["xattrs"] = {n: sum_of(v) for n, v in node["xattrs"].items()}
            if "mtime" in node:
                d["mtime"] = node["mtime"]
            result["" if path == b"." else readable(path)] = d
        return result


def fill(s, big):
    """Everything that a volume can hold, in two commits; `big`: bytes of the largest file."""
    s.put(b"hello.txt", b"Hello, reader.\n")
    s.put(b"empty", b"")
    s.put(b"one", b"1")
    s.put(b"big", pattern(big, 1))
    s.put(b"cut in pieces", pattern(1234567, 2))
    s.folder_at(b"d")
    s.folder_at(b"d/e")
    s.folder_at(b"d/e/f")
    s.put(b"d/e/f/deep", pattern(70001, 3))
    s.folder_at(b"names")
    s.put(b"names/" + "größer, 日本語, 🐘".encode(), pattern(20, 4))
    s.put(b"names/not\xff\xfeUTF-8\nin two lines", pattern(21, 5))
    s.put(b"names/" + b"n" * 255, pattern(22, 6))
    s.folder_at(b"many")
    for i in range(400):
        s.put(b"many/%03d" % i, pattern(i * 37 % 3001, 1000 + i) if i % 5 == 0 else b"")
    s.put(b"gone", pattern(300000, 7))
    s.do("sync")
    s.put(b"cut in pieces", pattern(5000, 8), 100)
    s.put(b"cut in pieces", pattern(140000, 9), 260000)
    s.put(b"cut in pieces", pattern(1, 10), 1234567)
    s.unlink(b"gone")
    s.put(b"holes", pattern(4096, 11))
    s.put(b"holes", pattern(65536, 12), 3 * MIB)
    s.resize(b"holes", 4 * MIB + 77)
    s.put(b"far", pattern(10000, 13))
    s.put(b"far", pattern(30000, 14), (5 << 40) + 123)
    s.put(b"punched", pattern(400000, 15))
    s.punch(b"punched", 33333, 200000)
    s.put(b"shorter", pattern(300000, 16))
    s.resize(b"shorter", 150001)
    s.clone(b"punched", b"clone")
    s.put(b"clone", pattern(700, 17), 5000)
    s.link(b"hello.txt", b"d/hello again")
    s.link(b"hello.txt", b"d/e/and again")
    s.symlink(b"short link", b"d/e/f/deep")
    s.symlink(b"long link", b"x/" * 1500 + b"y")
    s.node(b"d/fifo", stat.S_IFIFO | 0o600)
    s.node(b"d/socket", stat.S_IFSOCK | 0o755)
    s.node(b"d/null", stat.S_IFCHR | 0o666, 1, 3)
    s.node(b"d/disk", stat.S_IFBLK | 0o660, 259, 1048575)
    s.xattr(b"one", "user.colour", b"blue")
    s.xattr(b"one", "user.nothing", b"")
    s.xattr(b"one", "user.large", pattern(20000, 18))
    s.xattr(b"d", "user.\u00e4", pattern(4000, 19))
    s.rename(b"d/e/f", b"f has moved")
    s.attr(b"one", 0o4755, 1000, 65534, 1_600_000_000 * 10**9 + 123456789)
    s.attr(b"d", 0o1777, 4_000_000_000, 7, -86400 * 10**9 + 5)
    s.attr(b"empty", 0, 0, 0, 4_294_967_296 * 10**9)


def more(s):
    """What is written while a disk is away."""
    s.put(b"late", pattern(900000, 30))
    s.put(b"hello.txt", b"Goodbye", 0)
    s.put(b"big", pattern(100000, 31), 50000)
    s.folder_at(b"d/late too")
    s.put(b"d/late too/small", pattern(100, 32))
    s.unlink(b"shorter")


POOLS = {  # disks, failover, optimize, MiB of each disk, disks that the tests leave away
    "plain": (5, 2, 0, 40, [1, 3]),
    "zstd": (3, 1, 0, 48, [2]),
    "stale": (4, 1, 50, 32, [0]),
    "single": (1, 0, 0, 64, []),
}


def make(name, tool, scratch, end=""):
    """Builds one pool in `scratch`; returns its disks and what the test must know. `end`: a last command."""
    disks, failover, optimize, size, missing = POOLS[name]
    paths = [os.path.join(scratch, f"{name}{i}") for i in range(disks)]
    golden.run_tool(tool, "make", name, str(failover), str(optimize), str(size * MIB), *paths)
    s = Script(scratch)
    if name == "zstd":
        s.do("set", "compression", "zstd:3")
    fill(s, {"plain": 3 * MIB, "zstd": 2 * MIB + 5, "stale": MIB, "single": MIB}[name])
    if name == "zstd":
        s.put(b"noise", random.Random(40).randbytes(50000))
        s.put(b"zeros", bytes(600000))
        s.put(b"half noise", random.Random(41).randbytes(300000).hex().encode())
    golden.run_tool(tool, "run", *paths, script=s.take() + end)
    if name == "stale":
        away = os.path.join(scratch, "away")
        os.mkdir(away)
        os.rename(paths[2], os.path.join(away, "disk"))
        more(s)
        golden.run_tool(tool, "run", *paths[:2], paths[3], script=s.take() + end)
        os.rename(os.path.join(away, "disk"), paths[2])
    return paths, {"files": s.manifest(), "failover": failover, "missing": missing}


def main(arguments):
    build, wanted = arguments[0], arguments[1:] or list(POOLS)
    scratch = tempfile.mkdtemp(prefix="scalefs-golden.")
    try:
        tool = golden.build_tool(build, scratch)
        for name in wanted:
            here = os.path.join(scratch, name)
            os.mkdir(here)
            paths, manifest = make(name, tool, here)
            golden.pack(name, paths, manifest)
            print(name, os.path.getsize(os.path.join(golden.HERE, name + ".xz")), "bytes")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
