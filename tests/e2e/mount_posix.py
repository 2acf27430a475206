#!/usr/bin/env python3
"""Files through the mount: what POSIX and Linux promise to programs."""
import ctypes
import errno
import mmap
import os
import shutil
import stat
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import MIB, case, drop_caches, equal, finish, have_fuse, mounted_pool, noise, refused, skip

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
NOBODY = 65534


def sub(name):
    """A fresh directory of the case's own; the case works inside it."""
    path = os.path.join(POOL.mount_point, name)
    os.mkdir(path)
    os.chdir(path)
    return path


def put(name, data=b""):
    with open(name, "wb") as f:
        f.write(data)


def get(name):
    with open(name, "rb") as f:
        return f.read()


def check_libc(result):
    if result < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))
    return result


def rename2(a, b, flags):
    check_libc(LIBC.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), flags))


def fallocate(fd, mode, offset, length):
    check_libc(LIBC.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)))


def link_open(fd, name):
    """Gives an open file a name."""
    check_libc(LIBC.linkat(AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, name.encode(), 0x400))


def as_user(function, uid=NOBODY, gid=NOBODY, groups=()):
    """Runs function as that user in a child; its OSError comes back as an errno, 0 for success. It uses
    relative names: the folders above may be closed to others."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.setgroups(list(groups))
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            function()
            code = 0
        except OSError as e:
            code = e.errno
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def rename():
    sub("rename")
    put("a", b"1")
    put("b", b"2")
    os.rename("a", "b")
    equal(get("b"), b"1")
    equal(os.listdir("."), ["b"])
    put("c", b"3")
    refused(errno.EEXIST, rename2, "b", "c", RENAME_NOREPLACE)
    equal((get("b"), get("c")), (b"1", b"3"), "a refused rename changes nothing")
    os.mkdir("d")
    put("d/inner", b"4")
    rename2("b", "d", RENAME_EXCHANGE)
    equal(get("d"), b"1")
    equal(get("b/inner"), b"4")
    os.rename("d", "b/moved")
    equal(get("b/moved"), b"1")
    refused(errno.EINVAL, os.rename, "b", "b/below")
    os.mkdir("full")
    put("full/x")
    refused(errno.ENOTEMPTY, os.rename, "b", "full")
    refused(errno.EISDIR, os.rename, "c", "full")
    refused(errno.ENOTDIR, os.rename, "full", "c")
    os.mkdir("empty")
    os.rename("b", "empty")
    equal(sorted(os.listdir("empty")), ["inner", "moved"])
    refused(errno.ENOENT, os.rename, "nothing", "x")


def links():
    sub("links")
    put("a", b"data")
    os.link("a", "b")
    equal(os.stat("a").st_nlink, 2)
    equal(os.stat("a").st_ino, os.stat("b").st_ino)
    os.unlink("a")
    equal((get("b"), os.stat("b").st_nlink), (b"data", 1))
    os.mkdir("dir")
    before = os.stat(".").st_nlink
    os.mkdir("dir2")
    equal(os.stat(".").st_nlink, before + 1, "links of a directory")
    os.rmdir("dir2")
    equal(os.stat(".").st_nlink, before)
    refused(errno.EPERM, os.link, "dir", "hard")
    refused(errno.EEXIST, os.link, "b", "dir")
    os.symlink("b", "sym")
    equal((os.readlink("sym"), get("sym")), ("b", b"data"))
    long = "x" * 255 + "/" + "y" * 255
    os.symlink(long * 7, "long")
    equal(os.readlink("long"), long * 7)
    equal(os.lstat("long").st_size, len(long) * 7)
    os.symlink("loop", "loop")
    refused(errno.ELOOP, open, "loop", "rb")
    refused(errno.ENOTEMPTY, os.rmdir, "..")
    refused(errno.EISDIR, os.unlink, "dir")
    refused(errno.ENOTDIR, os.rmdir, "b")


def names():
    sub("names")
    odd = [b"a" * 255, "Grüße-日本語-🎉".encode(), b"\xff\xfe not utf-8", b"new\nline", b" ", b"-rf", b"a\\b", b"..."]
    for n in odd:
        put(n, n)
    equal(sorted(os.listdir(b".")), sorted(odd))
    for n in odd:
        equal(get(n), n)
    refused(errno.ENAMETOOLONG, put, b"a" * 256)
    refused(errno.ENAMETOOLONG, os.mkdir, b"a" * 256)
    refused(errno.ENAMETOOLONG, os.rename, odd[0], b"a" * 256)
    put("case", b"l")
    put("CASE", b"u")
    equal((get("case"), get("CASE")), (b"l", b"u"))


def big_directory():
    sub("big")
    count = 6000
    for i in range(count):
        os.close(os.open(f"file-with-a-longer-name-{i}", os.O_CREAT | os.O_EXCL))
    drop_caches()
    wanted = {f"file-with-a-longer-name-{i}" for i in range(count)}
    listed = os.listdir(".")
    equal(len(listed), count)
    equal(set(listed), wanted)
    # Removing while listing: what stays is seen exactly once.
    seen = []
    with os.scandir(".") as it:
        for e in it:
            seen.append(e.name)
            if int(e.name.rsplit("-", 1)[1]) % 2:
                os.unlink(e.name)
    equal(len(seen), len(set(seen)), "names listed twice")
    even = {n for n in wanted if int(n.rsplit("-", 1)[1]) % 2 == 0}
    equal(even - set(seen), set(), "names that stayed but were not listed")
    drop_caches()
    equal(set(os.listdir(".")), even)
    os.chdir("..")
    shutil.rmtree("big")
    refused(errno.ENOENT, os.stat, "big")


def deep_directory():
    path = sub("deep")
    for i in range(300):
        os.mkdir("d")
        os.chdir("d")
    put("bottom", b"here")
    os.chdir(path)
    drop_caches()
    equal(get("d/" * 300 + "bottom"), b"here")
    os.chdir("d/d/d")
    equal(os.stat("../../..").st_ino, os.stat(path).st_ino)
    os.chdir("..")
    equal(os.path.realpath("."), os.path.join(path, "d/d"))
    os.chdir(path)
    subprocess.run(["rm", "-r", "d"], check=True)


def unlink_while_open():
    sub("open")
    data = noise(3 * MIB, 1)
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    os.write(fd, data)
    os.unlink("f")
    refused(errno.ENOENT, os.stat, "f")
    equal(os.fstat(fd).st_nlink, 0)
    os.fsync(fd)
    drop_caches()
    equal(os.pread(fd, len(data), 0), data)
    os.pwrite(fd, b"more", len(data))
    equal(os.fstat(fd).st_size, len(data) + 4)
    os.ftruncate(fd, 10)
    equal(os.pread(fd, 100, 0), data[:10])
    other = os.open("f", os.O_RDWR | os.O_CREAT | os.O_EXCL)
    equal(os.fstat(other).st_size, 0)
    if os.fstat(other).st_ino == os.fstat(fd).st_ino:
        raise AssertionError("an inode number was used twice")
    os.close(fd)
    os.close(other)
    # A file that was renamed over stays readable for who has it open.
    put("old", b"old")
    put("new", b"new")
    with open("old", "rb") as f:
        os.rename("new", "old")
        equal(f.read(), b"old")
    equal(get("old"), b"new")


def tmpfile():
    path = sub("tmpfile")
    fd = os.open(path, os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"anonymous")
    equal((os.fstat(fd).st_nlink, os.listdir(path)), (0, []))
    link_open(fd, "named")
    equal((os.fstat(fd).st_nlink, get("named")), (1, b"anonymous"))
    equal(stat.S_IMODE(os.stat("named").st_mode), 0o640)
    os.close(fd)
    fd = os.open(path, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"x" * MIB)
    os.close(fd)
    equal(os.listdir(path), ["named"])


def sizes_and_holes():
    sub("holes")
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    refused(errno.ENXIO, os.lseek, fd, 0, os.SEEK_DATA)
    os.pwrite(fd, b"x" * 10000, 4 * MIB)
    # Without a sync in between: what the kernel still holds counts.
    start = os.lseek(fd, 0, os.SEEK_DATA)
    if not 0 < start <= 4 * MIB:
        raise AssertionError(f"SEEK_DATA says {start}")
    equal(os.lseek(fd, 0, os.SEEK_HOLE), 0)
    equal(os.lseek(fd, 4 * MIB, os.SEEK_DATA), 4 * MIB)
    refused(errno.ENXIO, os.lseek, fd, 4 * MIB + 10000, os.SEEK_DATA)
    equal(os.lseek(fd, 4 * MIB + 5000, os.SEEK_HOLE), 4 * MIB + 10000)
    equal(os.pread(fd, 4 * MIB, 0), bytes(4 * MIB), "a hole reads as zeroes")
    os.fsync(fd)
    if os.fstat(fd).st_blocks * 512 > MIB:
        raise AssertionError(f"a hole takes {os.fstat(fd).st_blocks} blocks")
    os.ftruncate(fd, 4 * MIB + 5000)
    os.ftruncate(fd, 4 * MIB + 10000)
    equal(os.pread(fd, 10000, 4 * MIB), b"x" * 5000 + bytes(5000), "cut and grown again")
    os.ftruncate(fd, 1 << 40)
    equal(os.fstat(fd).st_size, 1 << 40)
    os.pwrite(fd, b"end", (1 << 40) - 3)
    equal(os.pread(fd, 10, (1 << 40) - 3), b"end")
    os.close(fd)
    os.truncate("f", 0)
    equal(os.stat("f").st_blocks, 0)


def fallocates():
    sub("fallocate")
    data = noise(MIB, 2)
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    os.write(fd, data)
    fallocate(fd, KEEP_SIZE | PUNCH_HOLE, 100_000, 300_000)
    wanted = data[:100_000] + bytes(300_000) + data[400_000:]
    equal(os.pread(fd, MIB, 0), wanted, "after punching a hole")
    os.fsync(fd)
    drop_caches()
    equal(os.pread(fd, MIB, 0), wanted, "the same after a sync")
    hole = os.lseek(fd, 0, os.SEEK_HOLE)
    if not 100_000 <= hole < 300_000:
        raise AssertionError(f"no hole where it was punched: {hole}")
    fallocate(fd, ZERO_RANGE, MIB - 1000, 5000)
    wanted = wanted[:-1000] + bytes(5000)
    equal(get("f"), wanted, "after zeroing over the end")
    fallocate(fd, ZERO_RANGE | KEEP_SIZE, 0, 10)
    wanted = bytes(10) + wanted[10:]
    equal(get("f"), wanted)
    fallocate(fd, 0, 0, 2 * MIB)
    equal(get("f"), wanted + bytes(2 * MIB - len(wanted)), "after growing by fallocate")
    fallocate(fd, KEEP_SIZE, 0, 3 * MIB)
    equal(os.fstat(fd).st_size, 2 * MIB)
    refused(errno.EOPNOTSUPP, fallocate, fd, 8, 0, 4096)  # collapse
    os.close(fd)


def copying():
    sub("copy")
    data = noise(5 * MIB + 77, 3)
    put("a", data)
    a = os.open("a", os.O_RDONLY)
    b = os.open("b", os.O_RDWR | os.O_CREAT)
    done = 0
    while n := os.copy_file_range(a, b, 2 * MIB):
        done += n
    equal((done, get("b")), (len(data), data))
    equal(os.copy_file_range(a, b, 50_000, 12_345, 1_000_001), 50_000)
    wanted = data[:1_000_001] + data[12_345:62_345] + data[1_050_001:]
    equal(get("b"), wanted, "a copy into the middle")
    os.pwrite(b, b"own", 0)
    equal(get("a"), data, "the source after the copy was written")
    equal(os.copy_file_range(a, b, MIB, len(data), 0), 0)
    os.fsync(b)
    os.unlink("a")
    os.close(a)
    drop_caches()
    equal(get("b"), b"own" + wanted[3:], "the copy without its source")
    subprocess.run(["cp", "--reflink=auto", "b", "c"], check=True)
    equal(get("c"), b"own" + wanted[3:])


def appending():
    sub("append")
    writers, each = 6, 200

    def work(i):
        fd = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for n in range(each):
            os.write(fd, f"{i:03} {n:06} {'x' * 40}\n".encode())
        os.close(fd)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(writers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    lines = get("log").split(b"\n")
    equal(len(lines), writers * each + 1)
    for i in range(writers):
        mine = [x for x in lines if x.startswith(f"{i:03} ".encode())]
        equal([int(x.split()[1]) for x in mine], list(range(each)))


def direct_and_sync():
    sub("direct")
    block = mmap.mmap(-1, MIB)
    block.write(noise(MIB, 4))
    fd = os.open("d", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    os.pwritev(fd, [block], 0)
    back = mmap.mmap(-1, MIB)
    equal(os.preadv(fd, [back], 0), MIB)
    equal(back[:], block[:])
    with open("d", "rb") as f:
        equal(f.read(), block[:], "the cache after a direct write")
    os.pwritev(fd, [memoryview(block)[4096:8192]], 0)
    equal(get("d")[:4096], block[4096:8192], "the cache after another direct write")
    os.close(fd)
    for flag in (os.O_SYNC, os.O_DSYNC):
        fd = os.open("s", os.O_RDWR | os.O_CREAT | flag)
        os.write(fd, b"synchronous")
        os.close(fd)
        equal(get("s"), b"synchronous")
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


def mapping():
    sub("mmap")
    data = noise(MIB, 5)
    put("f", data)
    fd = os.open("f", os.O_RDWR)
    with mmap.mmap(fd, MIB) as m:
        equal(m[:], data)
        m[5000:5010] = b"0123456789"
        equal(os.pread(fd, 10, 5000), b"0123456789")
        os.pwrite(fd, b"written", 9000)
        equal(m[9000:9007], b"written")
        m.flush()
    os.close(fd)
    wanted = bytearray(data)
    wanted[5000:5010] = b"0123456789"
    wanted[9000:9007] = b"written"
    drop_caches()
    equal(get("f"), bytes(wanted))
    # An executable is mapped, too.
    shutil.copy("/bin/true", "true")
    subprocess.run(["./true"], check=True)


def times():
    sub("times")
    put("f", b"1")
    for t in (0, 1_234_567_890_123_456_789, -5_000_000_001, 5_000_000_000_000_000_001):
        os.utime("f", ns=(t, t + 7))
        drop_caches()
        st = os.stat("f")
        equal((st.st_atime_ns, st.st_mtime_ns), (t, t + 7))
    before = time.time()
    os.utime("f")  # UTIME_NOW
    st = os.stat("f")
    if not before - 5 < st.st_mtime < time.time() + 5 or st.st_mtime_ns % 1000_000_000 == 0:
        raise AssertionError(f"now is not {st.st_mtime}")
    os.utime("f", ns=(1, 1))
    old_ctime = os.stat("f").st_ctime_ns
    time.sleep(0.02)
    with open("f", "ab") as f:
        f.write(b"2")
    st = os.stat("f")
    if st.st_mtime < before - 5 or st.st_ctime_ns <= old_ctime:
        raise AssertionError("a write did not change the times")
    drop_caches()
    equal(os.stat("f").st_mtime_ns, st.st_mtime_ns, "the time after the cache was dropped")
    m = os.stat(".").st_mtime_ns
    time.sleep(0.02)
    put("g")
    if os.stat(".").st_mtime_ns <= m:
        raise AssertionError("a new name did not change the directory's time")
    c = os.stat("g").st_ctime_ns
    time.sleep(0.02)
    os.chmod("g", 0o600)
    if os.stat("g").st_ctime_ns <= c:
        raise AssertionError("chmod did not change the time of change")
    os.symlink("f", "s")
    os.utime("s", ns=(5, 6), follow_symlinks=False)
    equal(os.lstat("s").st_mtime_ns, 6)
    out = subprocess.run(["stat", "-c", "%W", "f"], capture_output=True, text=True, check=True).stdout
    if abs(int(out) - before) > 60:
        raise AssertionError(f"time of birth {out}")


def special_files():
    sub("special")
    os.mkfifo("fifo", 0o644)
    if not stat.S_ISFIFO(os.stat("fifo").st_mode):
        raise AssertionError("no FIFO")
    import socket
    s = socket.socket(socket.AF_UNIX)
    s.bind("sock")
    if not stat.S_ISSOCK(os.stat("sock").st_mode):
        raise AssertionError("no socket")
    s.close()
    if os.geteuid() == 0:
        for major, minor in ((1, 3), (255, 70_000), (4000, 255)):
            os.mknod(f"c{major}", 0o666 | stat.S_IFCHR, os.makedev(major, minor))
            drop_caches()
            st = os.stat(f"c{major}")
            equal((os.major(st.st_rdev), os.minor(st.st_rdev)), (major, minor))
        with open("c1", "wb") as f:  # /dev/null's numbers
            f.write(b"gone")


def xattrs():
    sub("xattr")
    put("f", b"data")
    os.setxattr("f", "user.a", b"1")
    os.setxattr("f", "user.empty", b"")
    big = noise(65_536, 6)
    os.setxattr("f", "user.big", big)
    drop_caches()
    equal(sorted(os.listxattr("f")), ["user.a", "user.big", "user.empty"])
    equal((os.getxattr("f", "user.a"), os.getxattr("f", "user.empty")), (b"1", b""))
    equal(os.getxattr("f", "user.big"), big)
    refused(errno.EEXIST, os.setxattr, "f", "user.a", b"2", os.XATTR_CREATE)
    refused(errno.ENODATA, os.setxattr, "f", "user.b", b"2", os.XATTR_REPLACE)
    os.setxattr("f", "user.a", b"2", os.XATTR_REPLACE)
    equal(os.getxattr("f", "user.a"), b"2")
    refused(errno.ENODATA, os.getxattr, "f", "user.none")
    os.removexattr("f", "user.big")
    refused(errno.ENODATA, os.removexattr, "f", "user.big")
    equal(sorted(os.listxattr("f")), ["user.a", "user.empty"])
    os.mkdir("d")
    os.setxattr("d", "user.dir", b"d")
    equal(os.getxattr("d", "user.dir"), b"d")
    if os.geteuid() == 0:
        os.setxattr("f", "trusted.t", b"t")
        equal(os.getxattr("f", "trusted.t"), b"t")
    os.rename("f", "g")
    equal(os.getxattr("g", "user.a"), b"2")
    equal(get("g"), b"data")


def permissions():
    if os.geteuid() != 0:
        return
    sub("perm")
    os.chmod(".", 0o777)
    os.umask(0o022)
    equal(as_user(lambda: put("mine", b"x")), 0)
    st = os.stat("mine")
    equal((st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)), (NOBODY, NOBODY, 0o644), "owner of a new file")
    put("roots", b"x")
    os.chmod("roots", 0o640)
    equal(as_user(lambda: get("roots")), errno.EACCES)
    os.chown("roots", 0, 4242)
    equal(as_user(lambda: get("roots"), groups=[4242]), 0)
    equal(as_user(lambda: os.chmod("roots", 0o777)), errno.EPERM)
    os.mkdir("sticky")
    os.chmod("sticky", 0o1777)
    put("sticky/f")
    equal(as_user(lambda: os.unlink("sticky/f")), errno.EPERM)
    os.mkdir("shared")
    os.chown("shared", 0, 4242)
    os.chmod("shared", 0o2775)
    os.mkdir("shared/d")
    put("shared/f")
    equal((os.stat("shared/d").st_gid, os.stat("shared/f").st_gid), (4242, 4242))
    equal(stat.S_IMODE(os.stat("shared/d").st_mode) & 0o2000, 0o2000, "set-gid is inherited")


def set_id_bits():
    if os.geteuid() != 0:
        return
    sub("setid")
    os.chmod(".", 0o777)

    def fresh(mode=0o6777):
        put("f", b"x" * 10_000)
        os.chown("f", NOBODY, NOBODY)
        os.chmod("f", mode)
        equal(stat.S_IMODE(os.stat("f").st_mode), mode)

    def mode():
        return stat.S_IMODE(os.stat("f").st_mode)

    def user_writes():
        with open("f", "r+b") as f:
            f.write(b"y")

    def user_direct():
        fd = os.open("f", os.O_RDWR | os.O_DIRECT)
        os.pwritev(fd, [mmap.mmap(-1, 4096)], 0)

    def user_falloc():
        fd = os.open("f", os.O_RDWR)
        fallocate(fd, KEEP_SIZE | PUNCH_HOLE, 0, 4096)

    for what, f in (("write", user_writes), ("truncate", lambda: os.truncate("f", 5)),
                    ("O_TRUNC", lambda: put("f")), ("chown", lambda: os.chown("f", -1, NOBODY)),
                    ("direct write", user_direct), ("fallocate", user_falloc)):
        fresh()
        equal(as_user(f), 0, what)
        equal(oct(mode()), oct(0o777), "set-id bits after " + what)
        drop_caches()
        equal(oct(mode()), oct(0o777), "set-id bits after " + what + ", from the disk")
    fresh()
    os.chown("f", 0, 0)
    equal(oct(mode()), oct(0o777), "set-id bits after a chown by root")
    for what, f in (("write", user_writes), ("truncate", lambda: os.truncate("f", 5)), ("direct write", user_direct),
                    ("fallocate", user_falloc)):
        fresh()
        f()
        drop_caches()
        equal(oct(mode()), oct(0o6777), f"set-id bits after a {what} by root, who may keep them")
    os.mkfifo("fifo")
    os.chmod("fifo", 0o6755)
    os.chown("fifo", NOBODY, NOBODY)
    equal(oct(stat.S_IMODE(os.stat("fifo").st_mode)), oct(0o755), "set-id bits of a FIFO after chown")


def acl_text(path, *options):
    out = subprocess.run(["getfacl", "-cEn", *options, path], capture_output=True, text=True, check=True).stdout
    return [line for line in out.split("\n") if line]


def acls():
    if os.geteuid() != 0 or not shutil.which("setfacl"):
        return
    sub("acl")
    os.chmod(".", 0o755)
    os.umask(0o022)
    put("f", b"secret")
    os.chmod("f", 0o600)
    equal(as_user(lambda: get("f")), errno.EACCES)
    subprocess.run(["setfacl", "-m", f"u:{NOBODY}:r", "f"], check=True)
    equal(as_user(lambda: get("f")), 0)
    equal(as_user(lambda: put("f")), errno.EACCES)
    equal(oct(os.stat("f").st_mode & 0o777), oct(0o640), "the mask shows in the mode")
    os.chmod("f", 0o600)  # takes the mask's rights
    equal(as_user(lambda: get("f")), errno.EACCES)
    equal(acl_text("f"), ["user::rw-", f"user:{NOBODY}:r--", "group::---", "mask::---", "other::---"])
    os.chmod("f", 0o640)
    equal(as_user(lambda: get("f")), 0)
    subprocess.run(["setfacl", "-b", "f"], check=True)
    equal(as_user(lambda: get("f")), errno.EACCES)
    equal("system.posix_acl_access" in os.listxattr("f"), False, "no list is left")
    os.mkdir("d")
    subprocess.run(["setfacl", "-d", "-m", f"u::rwx,u:{NOBODY}:rw,g::rx,o::-", "d"], check=True)
    put("d/new", b"x")
    equal(acl_text("d/new"), ["user::rw-", f"user:{NOBODY}:rw-", "group::r-x", "mask::rw-", "other::---"])
    equal(as_user(lambda: put("d/new", b"y")), 0)
    os.mkdir("d/sub")
    equal(acl_text("d/sub", "-d"), acl_text("d", "-d"), "directories inherit the default list")
    fd = os.open("d", os.O_TMPFILE | os.O_RDWR, 0o666)
    link_open(fd, "d/tmp")
    os.close(fd)
    equal(acl_text("d/tmp"), acl_text("d/new"), "also files without a name")
    drop_caches()
    equal(acl_text("d/new")[1], f"user:{NOBODY}:rw-")


def file_handles():
    """open_by_handle_at, as an NFS server does."""
    if os.geteuid() != 0:
        return
    sub("handles")
    put("f", b"by handle")
    os.mkdir("dir")

    def handle_of(name):
        buf = ctypes.create_string_buffer(8 + 128)
        struct.pack_into("Ii", buf, 0, 128, 0)
        mount_id = ctypes.c_int()
        check_libc(LIBC.name_to_handle_at(AT_FDCWD, name.encode(), buf, ctypes.byref(mount_id), 0))
        return buf

    def open_handle(buf, flags):
        fd = os.open(POOL.mount_point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return check_libc(LIBC.open_by_handle_at(fd, buf, flags))
        finally:
            os.close(fd)

    f, d = handle_of("f"), handle_of("dir")
    os.rename("f", "dir/g")
    drop_caches()
    fd = open_handle(f, os.O_RDONLY)
    equal(os.read(fd, 100), b"by handle")
    os.close(fd)
    fd = open_handle(d, os.O_RDONLY | os.O_DIRECTORY)
    equal(os.listdir(fd), ["g"])
    os.close(fd)
    os.unlink("dir/g")
    drop_caches()
    refused(errno.ESTALE, open_handle, f, os.O_RDONLY)


def locking():
    import fcntl
    sub("locks")
    put("f")
    a, b = open("f", "r+b"), open("f", "r+b")
    fcntl.flock(a, fcntl.LOCK_EX)
    refused(errno.EAGAIN, fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(a, fcntl.LOCK_UN)
    fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    a.close()
    b.close()


def file_system_status():
    st = os.statvfs(POOL.mount_point)
    equal(st.f_namemax, 255)
    if not 0 < st.f_bavail <= st.f_blocks:
        raise AssertionError(f"{st.f_bavail} of {st.f_blocks} blocks are free")
    if st.f_ffree <= 0:
        raise AssertionError("no inodes are free")


def many_threads():
    sub("threads")
    wrong = []

    def work(i):
        try:
            mine = f"t{i}"
            os.mkdir(mine)
            for n in range(60):
                data = noise(3000 + 997 * n % 9000, i * 1000 + n)
                put(f"{mine}/{n}", data)
                if n % 3 == 0:
                    os.rename(f"{mine}/{n}", f"{mine}/r{n}")
                    equal(get(f"{mine}/r{n}"), data)
                elif n % 3 == 1:
                    os.unlink(f"{mine}/{n}")
                elif n % 20 == 2:
                    fd = os.open(f"{mine}/{n}", os.O_RDONLY)
                    os.fsync(fd)
                    os.close(fd)
            equal(len(os.listdir(mine)), 40)
        except BaseException as e:
            wrong.append(f"thread {i}: {e!r}")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(wrong, [])


POOL = None
CASES = [rename, links, names, big_directory, deep_directory, unlink_while_open, tmpfile, sizes_and_holes,
         fallocates, copying, appending, direct_and_sync, mapping, times, special_files, xattrs, permissions,
         set_id_bits, acls, file_handles, locking, file_system_status, many_threads]


def still_there_after_remount(before):
    equal(tree(), before)


def tree():
    """Names, types, sizes, modes, owners, times of everything: what must survive."""
    found = []
    for folder, dirs, files in os.walk(POOL.mount_point):
        dirs.sort()
        for n in sorted(dirs + files):
            path = os.path.join(folder, n)
            st = os.lstat(path)
            data = None
            if stat.S_ISREG(st.st_mode) and st.st_size < 8 * MIB:
                data = get(path)
            found.append((path, st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_ino, st.st_mtime_ns,
                          st.st_ctime_ns, st.st_rdev, None if stat.S_ISDIR(st.st_mode) else st.st_size, data))
    return found


def main():
    global POOL
    if not os.environ.get("E2E_MOUNT") and not have_fuse():
        skip("mount_posix", "no /dev/fuse")
        finish()
    POOL = mounted_pool("posix", [512 * MIB] * 3, failover=1)
    wanted = sys.argv[1:]
    for c in CASES:
        if not wanted or c.__name__ in wanted:
            case(c)
    if hasattr(POOL, "unmount") and not wanted:
        before = tree()
        POOL.unmount()
        case(POOL.check, name="check_after_unmount", timeout=120)
        POOL.mount()
        case(still_there_after_remount, before)
    finish()


if __name__ == "__main__":
    main()
