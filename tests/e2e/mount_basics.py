#!/usr/bin/env python3
"""Mounting and unmounting themselves: options, signals, helpers, dead servers, ordinary users."""
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import MIB, SCALEFS, SCRATCH, Pool, case, equal, finish, have_fuse, noise, refused, skip

POOL = None


def put(name, data):
    with open(POOL.path(name), "wb") as f:
        f.write(data)


def get(name):
    with open(POOL.path(name), "rb") as f:
        return f.read()


def mount_entry():
    """(source, type, options) in the kernel's table."""
    with open("/proc/self/mounts", encoding="utf-8") as f:
        for line in f:
            source, point, kind, options, *_ = line.split()
            if point == POOL.mount_point:
                return source, kind, options.split(",")
    raise AssertionError("not in the table of mounts")


def gone(what, seconds=20):
    """Waits until there is no server any more."""
    for _ in range(seconds * 50):
        if not list(POOL.servers()):
            return
        time.sleep(0.02)
    raise AssertionError(f"the server is still there after {what}")


def survives_remounting():
    POOL.mount()
    source, kind, options = mount_entry()
    equal((source, kind), (POOL.name, "fuse.scalefs"))
    equal("rw" in options, True)
    data = noise(3 * MIB, 1)
    put("f", data)
    POOL.unmount()
    gone("unmount")
    POOL.mount()
    equal(get("f"), data)
    POOL.unmount()


def plain_umount():
    POOL.mount()
    put("umounted", b"by umount(8)")
    subprocess.run(["umount", POOL.mount_point] if os.geteuid() == 0 else ["fusermount3", "-u", POOL.mount_point],
                   check=True)
    gone("umount(8)")
    POOL.mount()
    equal(get("umounted"), b"by umount(8)")
    POOL.unmount()


def busy_unmount():
    POOL.mount()
    with open(POOL.path("held"), "wb") as f:
        f.write(b"x")
        r = POOL.run("unmount", POOL.mount_point)
        equal(r.returncode, 1, "status of unmounting what is in use")
        if "in use" not in r.stderr:
            raise AssertionError(f"it does not say why: {r.stderr}")
        f.write(b"y")
    equal(get("held"), b"xy")
    POOL.unmount()


def signals():
    for number in (signal.SIGTERM, signal.SIGINT):
        POOL.mount()
        data = noise(MIB, number)
        f = open(POOL.path("open"), "wb")
        f.write(data)
        f.flush()  # to the kernel only; the file stays open
        for pid in POOL.servers():
            os.kill(pid, number)
        gone("a signal")
        equal(POOL.mounted(), False, "still mounted after a signal")
        try:
            f.close()
        except OSError:
            pass
        POOL.mount()
        equal(get("open"), data)
        POOL.unmount()


def interrupted_while_mounting():
    """Ctrl-C, kill -9 of the command alone or of it and its server, at any moment of mounting: the pool can be mounted
    afterwards, and who interrupted the command has no mount."""
    r = random.Random(5)
    env = dict(os.environ, SCALEFS_PATH=POOL.folder)
    for number in range(18):
        p = subprocess.Popen([SCALEFS, "mount", POOL.name, POOL.mount_point], env=env, start_new_session=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(r.random() * 0.12)
        how = (signal.SIGINT, signal.SIGKILL, "all")[number % 3]
        if how == "all":
            for pid in {p.pid, *POOL.servers()}:
                os.kill(pid, signal.SIGKILL)
        else:
            os.kill(p.pid, how)  # SIGINT of the terminal reaches only this one: the server has a session of its own
        status = p.wait(30)
        if how != "all":
            if status and how == signal.SIGINT:
                gone("SIGINT of the command")
                equal(POOL.mounted(), False, "mounted after an interruption")
            elif status:  # killed, it may have taken the answer and not have come to say so
                while list(POOL.servers()):
                    POOL.run("unmount", POOL.mount_point)
            else:
                POOL.unmount()
        else:
            for pid in POOL.servers():  # one that had just begun
                os.kill(pid, signal.SIGKILL)
            gone("SIGKILL")
        POOL.mount()
        put("mounted", str(number).encode())
        POOL.unmount()
    POOL.mount()
    equal(get("mounted"), b"17")
    POOL.unmount()


def killed():
    POOL.mount()
    put("synced", b"kept")
    fd = os.open(POOL.path("synced"), os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    for pid in POOL.servers():
        os.kill(pid, signal.SIGKILL)
    gone("SIGKILL")
    refused((errno.ENOTCONN, errno.ECONNABORTED), os.listdir, POOL.mount_point)  # the second while the kernel notices
    POOL.mount()  # over the dead mount
    equal(get("synced"), b"kept")
    POOL.unmount()


def read_only():
    POOL.mount("--read-only")
    equal("ro" in mount_entry()[2], True)
    refused(errno.EROFS, put, "new", b"")
    equal(get("synced"), b"kept")
    POOL.unmount()


def options():
    POOL.mount("-o", "noatime,nosuid,nodev,noexec,commit=1,cache=32M,dirty=16M,x-test,nofail")
    words = mount_entry()[2]
    for w in ("noatime", "nosuid", "nodev", "noexec"):
        equal(w in words, True, w)
    POOL.unmount()
    r = POOL.run("mount", POOL.name, POOL.mount_point, "-o", "nonsense")
    equal(r.returncode in (1, 2), True, f"status {r.returncode}")
    if "nonsense" not in r.stderr:
        raise AssertionError(f"it does not say what is wrong: {r.stderr}")
    equal(POOL.mounted(), False)


def write_behind():
    """The kernel may hold more that is not written yet than it lets FUSE mounts usually."""
    POOL.mount()
    device = os.stat(POOL.mount_point).st_dev
    path = f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/max_bytes"
    with open("/proc/meminfo", encoding="ascii") as f:
        available = next(int(line.split()[1]) * 1024 for line in f if line.startswith("MemAvailable"))
    with open("/proc/sys/vm/dirty_ratio", encoding="ascii") as f:
        limit = available * int(f.read()) // 100
    if os.geteuid() == 0 and os.path.exists(path) and limit > 512 * MIB:
        with open(path, encoding="ascii") as f:
            found = int(f.read())
        equal(found > 100 * MIB, True, f"{found} bytes")
    POOL.unmount()


def foreground():
    p = subprocess.Popen([SCALEFS, "mount", POOL.name, POOL.mount_point, "--foreground"],
                         env=dict(os.environ, SCALEFS_PATH=POOL.folder), stderr=subprocess.PIPE, text=True)
    for _ in range(500):
        if POOL.mounted():
            break
        time.sleep(0.02)
    put("fg", b"foreground")
    p.send_signal(signal.SIGINT)
    equal(p.wait(30), 0, f"status after SIGINT: {p.stderr.read()}")
    equal(POOL.mounted(), False)


def helpers():
    """As mount(8) calls them, from fstab: mount -t scalefs POOL DIRECTORY."""
    for kind in ("scalefs", "fuse.scalefs"):
        mount, umount = (os.path.join(SCRATCH, f"{m}.{kind}") for m in ("mount", "umount"))
        os.symlink(SCALEFS, mount)
        os.symlink(SCALEFS, umount)
        env = dict(os.environ, SCALEFS_PATH=POOL.folder)
        subprocess.run([mount, POOL.name, POOL.mount_point, "-o", "rw,nodev,x-systemd.requires=x"], check=True, env=env)
        equal("nodev" in mount_entry()[2], True)
        put("helper", kind.encode())
        if os.geteuid() == 0:
            subprocess.run([mount, POOL.name, POOL.mount_point, "-o", "remount,ro," + ",".join(
                o for o in mount_entry()[2] if o != "rw")], check=True, env=env)
            equal("ro" in mount_entry()[2], True, "remounted")
            refused(errno.EROFS, put, "x", b"")
        subprocess.run([umount, POOL.mount_point], check=True, env=env)
        POOL.mount()  # at once: the helper has waited until the pool was closed
        POOL.unmount()
        r = subprocess.run([mount, "no-such-pool", POOL.mount_point], capture_output=True, text=True, env=env, check=False)
        equal(r.returncode, 32)
        equal("no-such-pool" in r.stderr, True, r.stderr)


def twice():
    POOL.mount()
    other = os.path.join(POOL.folder, "other")
    os.makedirs(other, exist_ok=True)
    r = POOL.run("mount", POOL.name, other)
    equal(r.returncode, 1, "mounting a mounted pool")
    r = POOL.run("mount", POOL.disks[0], POOL.mount_point)
    equal(r.returncode, 1, "mounting over a mount")
    put("still", b"works")
    equal(get("still"), b"works")
    POOL.unmount()


ORDINARY = r"""
set -eu
mount --bind "$1/fuse-device" /dev/fuse
exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all env HOME="$1/user" XDG_RUNTIME_DIR="$1/user" \
    SCALEFS_PATH="$1/user" sh -eu -c '
cd "$1/user"
mkdir mnt
"$2" create mine a b c --size 96M --failover 1 >/dev/null
"$2" mount mine mnt
echo "my own pool" >mnt/file
cp -r /usr/include/linux/usb mnt/usb
diff -r /usr/include/linux/usb mnt/usb
"$2" status mine >/dev/null
"$2" unmount mnt
"$2" mount mine mnt
test "$(cat mnt/file)" = "my own pool"
fusermount3 -u mnt
' sh "$1" "$2"
"""


def ordinary_user():
    """Pools of files, without any right: in a mount namespace of its own, with a /dev/fuse for all."""
    if os.geteuid() != 0 or not shutil.which("fusermount3") or not os.path.isdir("/usr/include/linux/usb"):
        return
    base = os.path.join(SCRATCH, "ordinary")
    os.makedirs(os.path.join(base, "user"), mode=0o755)
    os.mknod(os.path.join(base, "fuse-device"), 0o666 | 0o020000, os.stat("/dev/fuse").st_rdev)
    os.chmod(os.path.join(base, "fuse-device"), 0o666)
    os.chown(os.path.join(base, "user"), 65534, 65534)
    opened = []
    here = base  # the folders above must let others through
    while here != "/":
        mode = os.stat(here).st_mode & 0o7777
        if not mode & 0o001:
            opened.append((here, mode))
            os.chmod(here, mode | 0o001)
        here = os.path.dirname(here)
    command = os.path.join(base, "scalefs")  # the build folder may be closed, too
    shutil.copy(SCALEFS, command)
    try:
        r = subprocess.run(["unshare", "-m", "sh", "-c", ORDINARY, "sh", base, command], capture_output=True, text=True,
                           timeout=60, check=False)
        equal(r.returncode, 0, f"status of an ordinary user's mount: {r.stdout}{r.stderr}")
    finally:
        for path, mode in opened:
            os.chmod(path, mode)


def main():
    global POOL
    if not have_fuse():
        skip("mount_basics", "no /dev/fuse")
        finish()
    POOL = Pool("basics", [96 * MIB] * 2, failover=1)
    wanted = sys.argv[1:]
    for c in (survives_remounting, plain_umount, busy_unmount, signals, interrupted_while_mounting, killed, read_only, options, write_behind,
              foreground, helpers, twice, ordinary_user):
        if not wanted or c.__name__ in wanted:
            case(c)
        if POOL.mounted():
            POOL.run("unmount", POOL.mount_point)
    case(POOL.check, name="check_at_the_end", timeout=120)
    finish()


if __name__ == "__main__":
    main()
