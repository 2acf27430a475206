#!/usr/bin/env python3
"""The control socket of a mounted pool: closed to others, unharmed by anything that is sent to it."""
import json
import os
import random
import socket
import stat
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from lib_cli import NOBODY, Folder, have_root
from lib_pool import MIB, case, equal, finish, have_fuse, noise, skip

CONNECT = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'{"scalefs": 1, "verb": "unmount"}\\n')
sys.stdout.write(s.makefile().readline())
"""


WRITE = """
import os, sys
with open(sys.argv[1], "wb") as f:
    f.write(os.urandom(1 << 20))
    f.flush()
    os.fsync(f.fileno())
"""


class Served:
    """A mounted pool whose socket is in a folder of the test's own, or in the usual one."""

    def __init__(self, name, usual=False):
        self.f = Folder(name)
        self.disks = self.f.pool("tank", 3, 1)
        self.point = self.f.at("mnt")
        if usual:
            self.f.sockets = ""
        self.run_folder = self.f.sockets or "/run/scalefs"
        os.mkdir(self.point)

    def __enter__(self):
        self.f.good("mount", "tank", self.point)
        self.socket = os.path.join(self.run_folder, self.status()["pool"]["uuid"] + ".sock")
        with open(os.path.join(self.point, "file"), "wb") as g:
            g.write(noise(MIB, 1))
        return self

    def __exit__(self, *why):
        if os.path.ismount(self.point):
            self.f.good("unmount", self.point)

    def status(self):
        return self.f.json("status", self.point)

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.socket)
        s.settimeout(30)
        return s

    def alive(self):
        """The pool is still managed and its files are still there."""
        equal(self.status()["pool"]["mounted"], self.point)
        with open(os.path.join(self.point, "file"), "rb") as g:
            equal(g.read() == noise(MIB, 1), True, "the file")


def answers(s):
    """What comes until the connection ends."""
    data = b""
    try:
        while block := s.recv(65536):
            data += block
    except ConnectionResetError:
        pass
    return [json.loads(line) for line in data.split(b"\n") if line]


def only_the_owner_can_reach_it():
    with Served("owner", usual=True) as t:
        for path, mode in ((t.run_folder, 0o40700), (t.socket, 0o140600)):
            st = os.lstat(path)
            equal((oct(st.st_mode), st.st_uid), (oct(mode), os.geteuid()), path)
        equal(stat.S_ISSOCK(os.lstat(t.socket).st_mode), True)


def another_user_is_not_heard():
    with Served("stranger", usual=True) as t:
        as_user = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]

        python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable

        def knock():
            return subprocess.run([*as_user, python, "-c", CONNECT, t.socket], capture_output=True, text=True, timeout=30, check=False)
        r = knock()
        if "PermissionError" not in r.stderr:
            raise AssertionError(r.stdout + r.stderr)
        # And if folder and socket were open to all, the server would still ask who it is.
        os.chmod(t.run_folder, 0o711)
        os.chmod(t.socket, 0o666)
        try:
            r = knock()
        finally:
            os.chmod(t.run_folder, 0o700)
        equal(json.loads(r.stdout)["error"]["code"], "ACCESS", r.stderr)
        for args in (["status", "tank"], ["unmount", "tank"], ["unmount", t.point], ["set", "tank", "verify=parity"]):
            r = t.f.run(*args, before=as_user)
            equal(r.returncode, 1, f"{args}: {r.stdout}{r.stderr}")
        t.alive()
        equal(t.status()["config"]["verify"], "checksum")


def a_folder_prepared_by_another():
    """A link or an open folder where the sockets should be is refused: mounting says so, and mounts nothing."""
    f = Folder("prepared")
    f.pool("tank", 2, 1)
    os.mkdir(f.at("mnt"))
    os.mkdir(f.at("real"))
    os.symlink("real", f.at("link"))
    os.mkdir(f.at("open"))
    os.chmod(f.at("open"), 0o755)
    os.mkdir(f.at("theirs"), 0o700)
    os.chown(f.at("theirs"), NOBODY, NOBODY)
    os.chmod(f.at("real"), 0o700)
    for name in ("link", "open", "theirs"):
        r = f.run("mount", "tank", f.at("mnt"), env={"SCALEFS_RUN": f.at(name)})
        equal((r.returncode, os.path.ismount(f.at("mnt"))), (1, False), r.stderr)
        if f.at(name) not in r.stderr:
            raise AssertionError(r.stderr)
    equal(os.listdir(f.at("real")), [])


def malformed_requests():
    with Served("malformed") as t:
        for line in (b"", b"hello", b"{", b"[1,2", b"\xff\xfe\x00", b"{}", b"[]", b"null", b"7", b'"x"', b'{"verb":"status"}',
                     b'{"scalefs":2,"verb":"status"}', b'{"scalefs":0,"verb":"status"}', b'{"scalefs":1}', b'{"scalefs":1,"verb":["status"]}',
                     b"[" * 10000, b'{"a":' * 10000, b"GET / HTTP/1.0\r"):
            s = t.connect()
            s.sendall(line + b"\n" + b'{"scalefs":1,"verb":"status"}\n')
            got = answers(s)
            equal([a["type"] for a in got], ["error"], line[:50])
            equal(got[0]["error"]["code"], "PROTOCOL", line[:50])
        for line in (b'{"scalefs":1,"verb":"explode"}', b'{"scalefs":1,"verb":"set","settings":"all"}', b'{"scalefs":1,"verb":"replace"}',
                     b'{"scalefs":1,"verb":"offline","disk":null}', b'{"scalefs":1,"verb":"set","settings":[' + b'{"key":"verify","value":"parity"},' * 20 +
                     b'{"key":"verify","value":"parity"}]}'):
            s = t.connect()
            s.sendall(line + b"\n" + b'{"scalefs":1,"verb":"status"}\n')
            s.shutdown(socket.SHUT_WR)
            equal([a["type"] for a in answers(s)], ["error", "done"], line[:50])
        t.alive()
        equal(t.status()["config"]["verify"], "checksum")


def requests_without_end():
    with Served("endless") as t:
        s = t.connect()
        try:
            for _ in range(64):
                s.sendall(b" " * 65536)
        except (BrokenPipeError, ConnectionResetError):
            pass
        got = answers(s)
        if got:  # it may have been lost on the way when the server hung up
            equal(got[0]["error"]["code"], "TOOBIG")
        t.alive()
        s = t.connect()
        s.sendall(b'{"scalefs":1,"verb":"sta')
        s.close()
        t.alive()


def noise_from_many():
    with Served("noise") as t:
        def rude(seed):
            r = random.Random(seed)
            for _ in range(30):
                try:
                    s = t.connect()
                    s.sendall(r.randbytes(r.randrange(3000)) + b"\n" * r.randrange(2))
                    if r.randrange(2):
                        s.shutdown(socket.SHUT_WR)
                        answers_or_noise(s)
                    s.close()
                except (BrokenPipeError, ConnectionResetError):
                    pass
        threads = [threading.Thread(target=rude, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until_alive(t)
        t.alive()


def answers_or_noise(s):
    for answer in answers(s):
        equal(answer["type"], "error")


def wait_until_alive(t):
    """Connections that were dropped take a moment to be given back."""
    while t.f.run("status", "tank").returncode:
        pass


def idle_connections_keep_nobody_out():
    with Served("idle") as t:
        held = [t.connect() for _ in range(40)]
        t.alive()
        t.f.good("unmount", t.point)
        for s in held:
            s.close()


def pull(loop, image):
    """As when a disk is unplugged: its size becomes 0, and every request fails."""
    os.truncate(image, 0)
    subprocess.run(["losetup", "-c", loop], check=True, timeout=20)


def a_suspended_pool_answers():
    """Too many disks are gone: status and unmount are answered all the same, and nothing that was durable is lost."""
    f = Folder("suspended")
    images = f.images(2)
    loops, copies = [], []
    os.mkdir(f.at("mnt"))
    f.seen = ""
    writer = None
    try:
        for image in images:
            loops.append(subprocess.run(["losetup", "-f", "--show", image], check=True, capture_output=True, text=True,
                                        timeout=20).stdout.strip())
        f.good("create", "tank-suspended", *loops, "--failover", "1")
        f.good("mount", loops[0], f.at("mnt"))
        with open(os.path.join(f.at("mnt"), "durable"), "wb") as g:
            g.write(noise(MIB, 3))
            g.flush()
            os.fsync(g.fileno())
        for image in images:
            copies.append(image + ".copy")
            subprocess.run(["cp", "--sparse=always", image, copies[-1]], check=True, timeout=60)
        for loop, image in zip(loops, images):
            pull(loop, image)
        # Somebody must use the disks for their absence to be noticed; whether it hears an error or waits is not asked here.
        writer = subprocess.Popen([sys.executable, "-c", WRITE, os.path.join(f.at("mnt"), "late")], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        state = None
        for _ in range(600):
            r = f.run("status", f.at("mnt"), "--json", timeout=20)
            state = json.loads(r.stdout)["pool"]["state"]
            if state == "suspended":
                break
            time.sleep(0.05)
        equal((state, r.returncode), ("suspended", 3))
        equal(bool(json.loads(r.stdout)["pool"]["action"]), True, "an action")
        r = f.run("unmount", f.at("mnt"), timeout=50)
        if os.path.ismount(f.at("mnt")):  # the writer still has its file open
            if "in use" not in r.stderr:
                raise AssertionError(r.stdout + r.stderr)
            writer.kill()
            r = f.run("unmount", f.at("mnt"), timeout=50)
        equal(os.path.ismount(f.at("mnt")), False, r.stderr)
        for copy, image in zip(copies, images):
            os.rename(copy, image)
        for loop in loops:
            subprocess.run(["losetup", "-d", loop], check=True, timeout=20)
        loops.clear()
        f.seen = f.path
        f.good("mount", images[0], f.at("mnt"))
        with open(os.path.join(f.at("mnt"), "durable"), "rb") as g:
            equal(g.read() == noise(MIB, 3), True, "what was durable")
        f.good("unmount", f.at("mnt"))
    finally:
        if writer:
            writer.kill()
        subprocess.run(["umount", "-l", f.at("mnt")], capture_output=True, check=False)
        for loop in loops:
            subprocess.run(["losetup", "-d", loop], check=False, timeout=20)


def main():
    cases = (malformed_requests, requests_without_end, noise_from_many, idle_connections_keep_nobody_out)
    for function in cases if have_fuse() else ():
        case(function)
    for function in (only_the_owner_can_reach_it, another_user_is_not_heard, a_folder_prepared_by_another, a_suspended_pool_answers):
        if have_fuse() and have_root():
            case(function, timeout=180)
        else:
            skip(function.__name__, "needs root and FUSE")
    finish()


if __name__ == "__main__":
    main()
