#!/usr/bin/env python3
"""What `scalefs` refuses: the sentence, the exit status, and that nothing has changed."""
import json
import os
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lib_cli import Folder, change_blocks, gpt, have_root, mbr, wrong_usage
from lib_pool import MIB, case, equal, finish, have_fuse, noise, skip


def tool(*args):
    subprocess.run(args, check=True, capture_output=True, timeout=60)


# --- usage ---

def wrong_usage_shows_the_usage():
    f = Folder("usage")
    disks = f.images(2)
    for args in ([], ["explode"], ["create"], ["create", "tank"], ["create", "tank", *disks, "--failover", "many"],
                 ["create", "tank", *disks, "--failover", "32"], ["create", "tank", *disks, "--failover", "-1"],
                 ["create", "tank", *disks, "--optimize", "101"], ["create", "tank", *disks, "--optimize", "fast"],
                 ["create", "tank", *disks, "--size", "large"], ["create", "tank", *disks, "--station", "left"],
                 ["create", "tank", *disks, "--colour", "red"], ["create", "tank", *disks, "--force=1"],
                 ["mount", "tank"], ["unmount"], ["unmount", "a", "b"], ["status", "a", "b"], ["status", "tank", "--watch", "--json"],
                 ["set", "tank"], ["set", "tank", "verify"], ["set", "tank", "=x"], ["replace", "tank", "1"],
                 ["replace", "tank", "1", "x", "--size", "0"], ["offline", "tank"], ["online", "tank", "1", "2"], ["scrub"],
                 ["scrub", "tank", "harder"], ["wait"], ["check"], ["export"], ["import"], ["import", "tank", "--keep"],
                 ["version", "now"], ["help", "explode"]):
        wrong_usage_or_json(f, args)


def wrong_usage_or_json(f, args):
    if "--json" in args:
        r = f.run(*args)
        equal(r.returncode, 2, f"status of {args}")
        if '"INVAL"' not in r.stdout:
            raise AssertionError(r.stdout)
    else:
        wrong_usage(f, *args)


def verbs_that_come_later():
    """What is documented to come is refused with a sentence of its own, not taken for a slip of the finger."""
    f = Folder("later")
    f.pool("tank", 2, 1)
    for verb in ("recover", "snapshot"):
        f.refuses([verb, "tank", "1"], "NOTSUP", verb, "version")
        f.refuses(["help", verb], "NOTSUP", verb, "version")


# --- create ---

def a_disk_too_small():
    f = Folder("small")
    f.refuses(["create", "tank", *f.images(2), f.image("tiny", 16 * MIB)], "TOO_SMALL", "tiny", "32 MiB")


def a_disk_given_twice():
    f = Folder("twice")
    a, b = f.images(2)
    f.refuses(["create", "tank", a, b, a], ("INVAL", "EXIST", "BUSY"), "disk0", "twice|same")
    f.refuses(["create", "tank", a, b, f.at("./../twice/disk0")], ("INVAL", "EXIST", "BUSY"), "twice|same")
    os.symlink(a, f.at("link"))
    f.refuses(["create", "tank", a, f.at("link")], ("INVAL", "EXIST", "BUSY"), "twice|same")
    os.link(a, f.at("hard"))
    f.refuses(["create", "tank", a, f.at("hard")], ("INVAL", "EXIST", "BUSY"), "twice|same")


def a_disk_of_a_pool():
    f = Folder("member")
    old = f.pool("first", 2, 1)
    new = f.images(1, start=5)
    f.refuses(["create", "second", new[0], old[1]], "FOREIGN", "disk1", "first|pool", "--force|force")
    f.good("create", "second", new[0], old[1], "--force")


def a_disk_that_does_not_exist():
    f = Folder("absent")
    f.refuses(["create", "tank", f.images(1)[0], f.at("nothing")], "NOENT", "nothing", "--size|size")
    f.refuses(["create", "tank", f.at("a"), f.at("no/where"), "--size", "64M"], ("NOENT", "IO"), "no/where")


def a_folder_as_a_disk():
    f = Folder("folder")
    os.mkdir(f.at("dir"))
    f.refuses(["create", "tank", f.images(1)[0], f.at("dir")], ("INVAL", "ISDIR", "NOTSUP"), "dir")


def made_files_are_removed_again():
    f = Folder("remade")
    f.image("tiny", 8 * MIB)
    f.refuses(["create", "tank", f.at("new1"), f.at("new2"), f.at("tiny"), "--size", "64M"], "TOO_SMALL", "tiny")
    f.refuses(["create", "tank", f.at("new1"), f.at("new2"), "--size", "64M", "--failover", "2"], "TOO_FEW", "3")


def what_other_systems_wrote():
    f = Folder("foreign")
    tool("mkfs.ext4", "-q", f.image("ext4"))
    tool("mkswap", f.image("swap"))
    words = {"ext4": "ext4", "swap": "swap"}
    if shutil.which("mkfs.ntfs"):
        tool("mkfs.ntfs", "-q", "-F", f.image("ntfs"))
        words["ntfs"] = "ntfs"
    if shutil.which("mkfs.vfat"):
        tool("mkfs.vfat", f.image("vfat"))
        words["vfat"] = "vfat|fat"
    f.image("dos", content=mbr())
    f.image("gpt", content=gpt(64 * MIB))
    words.update(dos="partition", gpt="partition|gpt")
    spare = f.image("spare")
    for name, word in words.items():
        f.refuses(["create", "tank", spare, f.at(name)], "FOREIGN", name, word, "force")
    f.good("create", "tank", spare, f.at("ext4"), "--force")


def what_is_in_use():
    f = Folder("used")
    image, spare = f.image("ext4"), f.image("spare")
    tool("mkfs.ext4", "-q", image)
    loop = subprocess.run(["losetup", "-f", "--show", image], check=True, capture_output=True, text=True, timeout=20).stdout.strip()
    os.mkdir(f.at("mnt"))
    try:
        tool("mount", "-o", "ro", loop, f.at("mnt"))
        try:
            f.seen = ""
            for force in ([], ["--force"]):
                f.refuses(["create", "tank", spare, loop, *force], ("BUSY", "FOREIGN"), loop, "use|mounted|ext4")
        finally:
            tool("umount", f.at("mnt"))
    finally:
        tool("losetup", "-d", loop)


def too_few_disks():
    f = Folder("few")
    disks = f.images(3)
    f.refuses(["create", "tank", *disks, "--failover", "3"], "TOO_FEW", "4 disks", "3 were given", "failover of 2")
    f.refuses(["create", "tank", disks[0], "--failover", "1"], "TOO_FEW", "2 disks")


def impossible_names():
    f = Folder("names")
    disks = f.images(2)
    for name in ("a/b", "", "x" * 64, "tab\there", "01234567-89ab-4cde-8fed-0123456789ab"):
        f.refuses(["create", name, *disks], "INVAL", "name")
    f.good("create", "x" * 63, *disks)


# --- opening ---

def too_many_disks_missing():
    f = Folder("missing")
    disks = f.pool("tank", 3, 1)
    for path in disks[1:]:
        os.rename(path, path + ".away")
    shelf = f.at("shelf")
    os.mkdir(shelf)
    for path in disks[1:]:
        os.rename(path + ".away", os.path.join(shelf, os.path.basename(path)))
    for args in (["set", "tank", "verify=parity"], ["import", "tank"], ["scrub", "tank", "--wait"], ["export", "tank"],
                 ["mount", "tank", shelf], ["replace", "tank", "2", f.at("new"), "--size", "64M"]):
        if args[0] != "mount" or have_fuse():
            f.refuses(args, ("MISSING", "CORRUPT"), "tank", "missing", "attach|degraded")


def one_disk_missing_is_no_reason():
    f = Folder("degraded")
    disks = f.pool("tank", 3, 1)
    os.unlink(disks[1])
    r = f.json("status", "tank", status=3)
    equal(r["pool"]["state"], "degraded")
    equal([d["state"] for d in r["disks"]], ["online", "absent", "online"])
    f.good("set", "tank", "verify=parity")


def a_name_that_two_pools_have():
    f = Folder("namesakes")
    first = f.pool("tank", 2, 1)
    f.pool("tank", 2, 1, start=2)
    pools = f.pools()
    equal(len(pools), 2)
    for args in (["set", "tank", "verify=parity"], ["status", "tank"], ["export", "tank"]):
        f.refuses(args, "AMBIGUOUS", "tank", "UUID")
    f.good("set", pools[0]["uuid"], "verify=parity")
    f.good("set", first[0], "verify=checksum")


def no_pool_of_that_name():
    f = Folder("nobody")
    f.pool("tank", 2, 1)
    f.image("empty")
    for args in (["status", "tonk"], ["set", "tonk", "verify=parity"], ["wait", "tonk"], ["check", "tonk"], ["export", "tonk"],
                 ["import", "tonk"], ["scrub", "tonk"], ["unmount", "tonk"]):
        f.refuses(args, "NOENT", "tonk")
    f.refuses(["status", f.at("empty")], ("NOT_A_POOL", "NOENT"), "empty")
    f.refuses(["status", f.at("nothing")], "NOENT", "nothing", "No such file")
    f.refuses(["list", f.at("nothing")], "NOENT", "nothing", "No such file")


def damaged_images():
    """Of a pool without redundancy nothing can be opened; nothing crashes, either."""
    def cut(path):
        os.truncate(path, 20 * MIB)

    def cut_odd(path):
        os.truncate(path, 5000)

    def empty(path):
        os.truncate(path, 0)

    def head(path):
        with open(path, "r+b") as g:
            g.write(bytes(2 * MIB))

    def noisy(path):
        with open(path, "r+b") as g:
            g.write(noise(os.path.getsize(path), 5))

    def noisy_records(path):
        with open(path, "r+b") as g:
            g.seek(65536)
            g.write(noise(256 * 1024, 6))

    for damage in (cut, cut_odd, empty, head, noisy, noisy_records):
        f = Folder("damaged-" + damage.__name__)
        disk, = f.pool("tank", 1, 0)
        damage(disk)
        for args in (["set", disk, "verify=parity"], ["mount", disk, f.path]):
            if args[0] != "mount" or have_fuse():
                f.refuses(args, ("NOT_A_POOL", "NOENT", "CORRUPT", "MISSING", "TOO_SMALL", "GONE"), "disk0|tank|disk")
        before = f.state()
        for verb in ("check", "status"):  # they may get far enough to tell what is wrong
            r = f.run(verb, disk)
            if r.returncode not in (1, 3):
                raise AssertionError(f"{verb} after {damage.__name__}: {r.returncode}\n{r.stdout}{r.stderr}")
            equal(f.state(), before, f"after {verb}")
        # In a pool with redundancy such a disk is missing at worst (with its last label it may be put right).
        g = Folder("survives-" + damage.__name__)
        disks = g.pool("tank", 3, 1)
        damage(disks[2])
        g.good("set", "tank", "verify=parity")
        state = json.loads(g.run("status", "tank", "--json").stdout)
        equal((state["pool"]["state"] in ("healthy", "degraded"), state["config"]["verify"]), (True, "parity"), damage.__name__)
        found = json.loads(g.run("check", *disks, "--json").stdout)["check"]
        equal(found["repairable"], found["problems"], f"{damage.__name__}: {found}")


def halves_written_apart():
    f = Folder("apart")
    a, b = f.pool("tank", 2, 1)
    shelf = Folder("apart-shelf")
    moved = shelf.at("disk")
    os.rename(b, moved)
    f.refuses(["import", a], "MISSING", "tank", "missing", "degraded")
    f.good("import", a, "--degraded")
    f.good("set", a, "verify=parity")
    os.rename(a, shelf.at("disk0"))
    os.rename(moved, b)
    f.good("import", b, "--degraded")
    os.rename(shelf.at("disk0"), a)
    for args in (["set", "tank", "verify=checksum"], ["import", "tank"], ["import", a]):
        f.refuses(args, "DIVERGED", "tank", "apart", "keep")
    f.refuses(["import", "tank", "--keep", f.at("nothing")], ("NOENT", "WRONG_DISK", "INVAL"), "disk")
    f.good("import", "tank", "--keep", a)
    status = f.json("status", "tank", status=3)
    equal(status["config"]["verify"], "parity", "the setting of the half that was kept")


def another_format():
    for what, where in (("refuse", 40), ("read-only", 48), ("ignore", 56)):
        f = Folder("future-" + what)
        disks = f.pool("tank", 2, 1)
        for d in disks:
            def mark(block, place=where):
                struct.pack_into("<Q", block, place, 1 << 40)
            if change_blocks(d, mark) < 4:
                raise AssertionError("the labels and records were not found")
        if what == "refuse":
            for args in (["set", disks[0], "verify=parity"], ["status", disks[0]], ["check", disks[0]]):
                f.refuses(args, "VERSION", "newer")
        elif what == "read-only":
            f.refuses(["set", disks[0], "verify=parity"], ("VERSION", "ROFS"), "newer", "reading")
            f.json("status", disks[0])
        else:
            f.good("set", disks[0], "verify=parity")


# --- changing ---

def unknown_settings():
    f = Folder("settings")
    disks = f.pool("tank", 2, 1)
    f.good("wait", "tank")  # the first opening for writing makes the root folder
    for setting in ("colour=red", "verify=sometimes", "compression=lzma", "compression=zstd:99", "record=1000", "record=1T", "record=",
                    "failover=", "failover=two", "failover=32", "optimize=fast", "optimize=101"):
        f.refuses(["set", "tank", setting], ("INVAL", "NOTSUP"), setting.split("=")[0], opened=disks)
    f.run("set", "tank", "verify=parity", "compression=off", "colour=red")
    status = f.json("status", "tank")
    equal(status["config"]["verify"], "checksum", "of several settings the first, when the last is refused")


def impossible_replacements():
    f = Folder("replacements")
    disks = f.pool("tank", 3, 1)
    f.good("wait", "tank")  # the first opening for writing makes the root folder
    other = f.pool("other", 2, 1, start=5)
    tiny = f.image("tiny", 8 * MIB)
    ext4 = f.image("ext4")
    tool("mkfs.ext4", "-q", ext4)
    f.refuses(["replace", "tank", "1", other[0]], ("FOREIGN", "WRONG_DISK"), "disk5", "other|pool", opened=disks)
    f.refuses(["replace", "tank", "1", disks[1]], "EXIST", "disk1", "disk 2 of this pool", opened=disks)
    f.refuses(["replace", "tank", "1", tiny], ("TOO_SMALL", "NOSPC"), "tiny", "small", opened=disks)
    f.refuses(["replace", "tank", "1", ext4], "FOREIGN", "ext4", "force", opened=disks)
    new = f.image("new")
    f.refuses(["replace", "tank", "9", new], "NOENT", "9", opened=disks)
    f.refuses(["replace", "tank", "1", f.at("nothing")], "NOENT", "nothing", "size", opened=disks)


def the_last_redundancy():
    f = Folder("offline")
    disks = f.pool("tank", 3, 1)
    f.good("wait", "tank")  # the first opening for writing makes the root folder
    f.refuses(["offline", "tank", "1"], "INVAL", "not mounted", "unplug")
    f.refuses(["online", "tank", "9"], "NOENT", "9", "status", opened=disks)
    stranger = f.image("stranger")
    f.refuses(["online", "tank", stranger], ("NOENT", "WRONG_DISK", "NOT_A_POOL", "FOREIGN"), "stranger|disk", opened=disks)
    if not have_fuse():
        return
    os.mkdir(f.at("mnt"))
    f.good("mount", "tank", f.at("mnt"))
    try:
        for disk in ("9", stranger):
            r = f.run("offline", "tank", disk)
            equal((r.returncode, "no disk" in r.stderr), (1, True), r.stderr)
        f.good("offline", "tank", disks[0])
        r = f.run("offline", "tank", disks[1])
        equal((r.returncode, "cannot go offline" in r.stderr), (1, True), r.stderr)
        f.good("online", "tank", disks[0])
        f.good("online", "tank", "1")
    finally:
        f.good("unmount", "tank")


# --- mount points ---

def impossible_mount_points():
    f = Folder("places")
    disks = f.pool("tank", 2, 1)
    os.mkdir(f.at("mnt"))
    f.refuses(["mount", "tank", f.at("nowhere")], "NOENT", "nowhere", "not exist", "mkdir")
    f.refuses(["mount", "tank", disks[0]], "NOTDIR", "disk0", "not a directory")
    f.refuses(["mount", "tank", f.at("mnt"), "-o", "colour=red"], "INVAL", "colour", "known")
    f.good("mount", "tank", f.at("mnt"))
    try:
        other = Folder("places2")
        other.pool("other", 2, 1)
        other.refuses(["mount", "other", f.at("mnt")], "BUSY", "mnt", "tank", "mounted")
        os.mkdir(other.at("mnt"))
        r = f.run("mount", "tank", other.at("mnt"))
        equal(r.returncode, 1, r.stdout + r.stderr)
        for args in (["check", *disks], ["create", "new", *disks, "--force"], ["import", "tank"]):
            r = f.run(*args)
            equal(r.returncode, 1, f"{args}: {r.stdout}{r.stderr}")
        with open(os.path.join(f.at("mnt"), "file"), "wb") as g:
            r = f.run("unmount", f.at("mnt"))
            equal(r.returncode, 1, "unmount while a file is open")
            if "in use" not in r.stderr:
                raise AssertionError(r.stderr)
            g.write(b"still here")
    finally:
        f.good("unmount", "tank")
    f.good("check", *disks)


def a_kernel_without_fuse():
    f = Folder("nofuse")
    f.pool("tank", 2, 1)
    os.mkdir(f.at("mnt"))
    f.refuses(["mount", "tank", f.at("mnt")], ("NOENT", "NOTSUP"), "/dev/fuse", "modprobe",
              before=["unshare", "-m", "sh", "-c", "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && exec \"$@\"", "sh"])


def a_user_who_may_not_mount():
    f = Folder("maynot")
    f.pool("tank", 2, 1)
    os.mkdir(f.at("mnt"))

    def with_device(mode, how):
        return ["unshare", "-m", "sh", "-c",
                f"mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m {mode} /dev/fuse c 10 229 && exec {how} \"$@\"", "sh"]
    f.refuses(["mount", "tank", f.at("mnt")], "ACCESS", "/dev/fuse", "root", "chmod 666",
              before=with_device("000", "setpriv --inh-caps=-all --bounding-set=-all"))
    f.refuses(["mount", "tank", f.at("mnt")], "NOENT", "fusermount3", "package fuse3",
              before=with_device("666", "env PATH=/nowhere /usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups "
                                 "--inh-caps=+dac_override --ambient-caps=+dac_override"))


def the_disk_below_is_full():
    """Files on a full file system: writers hear ENOSPC, and all is well once there is room again."""
    f = Folder("full")
    image = f.image("below", 160 * MIB)
    tool("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", image)
    os.mkdir(f.at("below.mnt"))
    os.mkdir(f.at("mnt"))
    tool("mount", "-o", "loop", image, f.at("below.mnt"))
    f.seen = f.at("below.mnt")
    try:
        filler = os.path.join(f.seen, "filler")
        disks = [os.path.join(f.seen, f"d{i}") for i in range(2)]
        f.good("create", "tank", *disks, "--size", "128M", "--failover", "1")
        with open(filler, "wb") as g:
            os.posix_fallocate(g.fileno(), 0, 90 * MIB)
        f.good("mount", "tank", f.at("mnt"))
        path = os.path.join(f.at("mnt"), "file")
        kept = os.path.join(f.at("mnt"), "kept")
        try:
            with open(kept, "wb") as g:
                g.write(noise(2 * MIB, 1))
                g.flush()
                os.fsync(g.fileno())
            error = None
            try:
                with open(path, "wb", buffering=0) as g:
                    for i in range(64):
                        g.write(noise(MIB, i))
                        os.fsync(g.fileno())
            except OSError as e:
                error = e.errno
            equal(error, 28, "errno of a writer")
            with open(kept, "rb") as g:
                equal(g.read() == noise(2 * MIB, 1), True, "what was there before")
            os.unlink(filler)
            with open(os.path.join(f.at("mnt"), "after"), "wb") as g:
                g.write(noise(4 * MIB, 3))
                g.flush()
                os.fsync(g.fileno())
        finally:
            f.run("unmount", "tank")
        f.good("check", *disks)
    finally:
        subprocess.run(["umount", f.at("mnt")], capture_output=True, check=False)
        tool("umount", f.at("below.mnt"))


def main():
    plain = [wrong_usage_shows_the_usage, verbs_that_come_later, a_disk_too_small, a_disk_given_twice, a_disk_of_a_pool, a_disk_that_does_not_exist,
             a_folder_as_a_disk, made_files_are_removed_again, what_other_systems_wrote, too_few_disks, impossible_names,
             too_many_disks_missing, one_disk_missing_is_no_reason, a_name_that_two_pools_have, no_pool_of_that_name,
             damaged_images, halves_written_apart, another_format, unknown_settings, impossible_replacements, the_last_redundancy]
    for function in plain:
        case(function)
    for function in (what_is_in_use, a_kernel_without_fuse, a_user_who_may_not_mount, the_disk_below_is_full):
        if have_root() and (function is what_is_in_use or have_fuse()):
            case(function)
        else:
            skip(function.__name__, "needs root and FUSE")
    if have_fuse():
        case(impossible_mount_points)
    else:
        skip("impossible_mount_points", "needs FUSE")
    finish()


if __name__ == "__main__":
    main()
