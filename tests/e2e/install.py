#!/usr/bin/env python3
"""What is installed works: the manual tells of every verb and option, a program builds on the library through
pkg-config and runs, and mount(8) finds its helpers, from the command line and from fstab."""
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import ROOT, SCRATCH, case, equal, finish, have_fuse, skip

BUILD = os.environ.get("BUILD_DIR") or os.path.join(ROOT, "build")
DEST = os.path.join(SCRATCH, "dest")
PREFIX = "/usr/local"

PROGRAM = r"""
#include <scalefs/error.h>
#include <scalefs/fs.h>
#include <scalefs/pool.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct scalefs_error_info info;
    struct scalefs_create_options make = {.struct_bytes = sizeof make, .name = "little", .failover = 1,
                                          .file_bytes = 64 << 20};
    struct scalefs_open_options open = {.struct_bytes = sizeof open};
    const char *const *disks = (const char *const *)argv + 1;
    size_t count = (size_t)argc - 1, done;
    struct scalefs_pool *pool;
    struct scalefs_fs *fs;
    struct scalefs_attr attr;
    struct scalefs_owner me = {1000, 1000};
    char text[32] = "";
    int error = scalefs_pool_create(&make, disks, count, NULL, &info);
    for (int round = 0; !error && round < 2; round++) {
        error = scalefs_pool_open(&open, disks[0], disks, count, &pool, &info);
        if (error)
            break;
        error = scalefs_fs_get(pool, &fs);
        if (!error && round == 0)
            error = scalefs_mknod(fs, SCALEFS_ROOT, "file", 4, SCALEFS_S_IFREG | 0644, 0, 0, me, &attr);
        if (!error && round == 0)
            error = scalefs_write(fs, attr.ino, 0, "written and read", 16);
        if (!error && round == 1)
            error = scalefs_lookup(fs, SCALEFS_ROOT, "file", 4, &attr);
        if (!error && round == 1)
            error = scalefs_read(fs, attr.ino, 0, text, sizeof text - 1, &done);
        int closed = scalefs_pool_close(pool, false);
        error = error ? error : closed;
    }
    printf("%s: %s\n", scalefs_version(), error ? scalefs_error_text(error) : text);
    return error ? 1 : 0;
}
"""


def at(*parts):
    return os.path.join(DEST, *parts)


def run(*words, **kwargs):
    r = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL, **kwargs)
    if r.returncode:
        raise AssertionError(f"{' '.join(words)}: status {r.returncode}\n{r.stdout}{r.stderr}")
    return r.stdout


def libraries():
    """What else of the build is installed: build/scalefs alone may have been made."""
    plan = json.loads(run("meson", "introspect", "--installed", BUILD))
    return [os.path.relpath(p, BUILD) for p in plan if re.search(r"/libscalefs\.(a|so\.[0-9.]+)$", p)]


def installed():
    run("ninja", "-C", BUILD, "scalefs", *libraries())
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", env=dict(os.environ, DESTDIR=DEST))
    for path in ("sbin/scalefs", "include/scalefs/fs.h", "include/scalefs/pool.h", "include/scalefs/error.h",
                 "share/man/man8/scalefs.8", "share/man/man8/mount.fuse.scalefs.8", "share/bash-completion/completions/scalefs"):
        if not os.path.isfile(at(PREFIX[1:], path)):
            raise AssertionError(f"{path} was not installed")
    version = run(at(PREFIX[1:], "sbin/scalefs"), "version").split()[1].rstrip(",")
    for helper in ("mount", "umount"):
        for kind in ("scalefs", "fuse.scalefs"):
            equal(os.readlink(at("sbin", f"{helper}.{kind}")), PREFIX + "/sbin/scalefs")
    pc, = (os.path.join(top, n) for top, _, names in os.walk(DEST) for n in names if n == "scalefs.pc")
    with open(pc, encoding="ascii") as f:
        equal(f"Version: {version}\n" in f.read(), True, "the version pkg-config tells")


def the_manual_is_complete():
    text = ""
    for page in ("scalefs.8", "mount.fuse.scalefs.8"):
        path = at(PREFIX[1:], "share/man/man8", page)
        with open(path, encoding="utf-8") as f:
            text += re.sub(r"\\f.|\\", "", f.read())
        if shutil.which("groff"):
            r = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", path], capture_output=True, text=True, timeout=60, check=False)
            equal((r.returncode, r.stderr), (0, ""), f"groff on {page}")
    command = at(PREFIX[1:], "sbin/scalefs")
    verbs = re.findall(r"^  (\w+) ", run(command, "help"), re.M)
    if len(verbs) < 10:
        raise AssertionError(verbs)
    missing = []
    for verb in verbs:
        usage = run(command, verb, "--help")
        for option in sorted(set(re.findall(r"--[a-z-]+", usage))):
            if option not in text:
                missing.append(f"{option} of {verb}")
        if not re.search(rf"\b{verb}\b", text):
            missing.append(verb)
    equal(missing, [], "not in the manual")
    with open(at(PREFIX[1:], "share/bash-completion/completions/scalefs"), encoding="utf-8") as f:
        completion = f.read()
    equal([v for v in verbs if not re.search(rf"\b{v}\b", completion)], [], "verbs that are not completed")


def a_program_on_the_library():
    """Dynamically and statically linked, with nothing but what pkg-config says."""
    libraries = os.path.dirname(next(os.path.join(top, n) for top, _, names in os.walk(DEST) for n in names if n == "libscalefs.so"))
    env = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=DEST, PKG_CONFIG_PATH=os.path.join(libraries, "pkgconfig"))
    source = os.path.join(SCRATCH, "little.c")
    with open(source, "w", encoding="ascii") as f:
        f.write(PROGRAM)
    flags = run("pkg-config", "--cflags", "--libs", "scalefs", env=env).split()
    own = [w for w in flags if not w.startswith("-L") or w.startswith("-L" + DEST)]  # the others are not under the root
    run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-o", source + ".shared", source, *own)
    flags = run("pkg-config", "--cflags", "--static", "--libs", "scalefs", env=env).split()
    static = [w.replace("-lscalefs", os.path.join(libraries, "libscalefs.a")) for w in flags
              if not w.startswith("-L" + DEST + "/usr/lib")]
    run("cc", "-std=c11", "-o", source + ".static", source, *static)
    for kind in ("shared", "static"):
        folder = os.path.join(SCRATCH, kind)
        os.mkdir(folder)
        disks = [os.path.join(folder, f"disk{i}") for i in range(3)]
        said = run(f"{source}.{kind}", *disks, env=dict(os.environ, LD_LIBRARY_PATH=libraries))
        equal(said.split(": ", 1)[1], "written and read\n", kind)
    if shutil.which("c++"):  # the headers alone
        run("c++", "-fsyntax-only", "-Wall", "-Werror", "-x", "c++", *[w for w in own if w.startswith("-I")], "-include", "scalefs/fs.h",
            "/dev/null")


# /sbin, fstab and all, in a mount namespace of its own.
MOUNTING = r"""
set -e
dest=$1 base=$2
sbin=$(readlink -f /sbin)
mkdir "$base/sbin" "$base/mnt" "$base/pool"
cp -a "$sbin/." "$base/sbin/"
cp -a "$dest/sbin/." "$base/sbin/"
mount --bind "$base/sbin" "$sbin"
mount --bind "$dest/usr/local/sbin" /usr/local/sbin
echo "installed $base/mnt fuse.scalefs noauto,nofail,nodev,commit=7,x-systemd.device-timeout=3 0 0" > "$base/fstab"
mount --bind "$base/fstab" /etc/fstab
scalefs create installed "$base/pool/a" "$base/pool/b" --size 64M --failover 1 > /dev/null
export SCALEFS_PATH="$base/pool"
mount "$base/mnt"                       # the line of fstab
grep " $base/mnt fuse.scalefs rw,nodev" /proc/mounts
echo one > "$base/mnt/file"
umount "$base/mnt"
scalefs check "$base/pool/a" > /dev/null # at once: umount has waited for the pool to be closed
mount -t fuse.scalefs -o ro "$base/pool/b" "$base/mnt"
cat "$base/mnt/file"
! touch "$base/mnt/x" 2> /dev/null
umount "$base/mnt"
mount -t scalefs installed "$base/mnt"
cat "$base/mnt/file"
mount -o remount,ro "$base/mnt"
! touch "$base/mnt/x" 2> /dev/null
umount "$base/mnt"
! mount -t fuse.scalefs nothing "$base/mnt" 2> "$base/said"
grep "There is no pool" "$base/said"
"""


def mount_finds_its_helpers():
    base = os.path.join(SCRATCH, "mounting")
    os.mkdir(base)
    said = run("unshare", "-m", "sh", "-c", MOUNTING, "sh", DEST, base)
    equal(said.count("one\n"), 2, said)


def main():
    if case(installed, timeout=150):
        case(the_manual_is_complete)
        if shutil.which("pkg-config") and shutil.which("cc"):
            case(a_program_on_the_library, timeout=150)
        else:
            skip("a_program_on_the_library", "needs pkg-config and cc")
        if have_fuse() and os.geteuid() == 0:
            case(mount_finds_its_helpers, timeout=120)
        else:
            skip("mount_finds_its_helpers", "needs root and FUSE")
    finish()


if __name__ == "__main__":
    main()
