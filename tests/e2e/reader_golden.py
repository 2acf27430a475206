#!/usr/bin/env python3
"""Golden images: an independent reader, and the library, find in them what was once written."""
import json
import os
import shutil
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import SCRATCH, case, equal, finish
from lib_reader import BUILD, READER, golden, must_agree, must_read, scalefs_reader


def fresh(name):
    """The images of a golden pool, in a folder of their own."""
    folder = os.path.join(SCRATCH, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    disks, manifest = golden.unpack(name, folder)
    return disks, manifest["files"], manifest["missing"]


def without(disks, missing):
    return [d for i, d in enumerate(disks) if i not in missing]


def whole(name):
    disks, files, _ = fresh(name)
    must_read(disks, files)


def lost_disks(name):
    disks, files, missing = fresh(name)
    must_read(without(disks, missing), files)


def each_disk_lost(name):
    disks, files, _ = fresh(name)
    for i in range(len(disks)):
        must_read(without(disks, [i]), files)


def too_many_lost(name):
    """One more than the parity bears: refused or reported, never something wrong."""
    disks, files, missing = fresh(name)
    left = without(disks, missing)[1:]
    if not left:
        return
    try:
        must_read(left, files)
    except (scalefs_reader.Bad, AssertionError):
        return
    raise AssertionError("all was read from too few disks")


def command_list(name):
    """The reader's own command: list."""
    disks, files, missing = fresh(name)
    done = subprocess.run([sys.executable, READER, "list", *without(disks, missing)], capture_output=True,
                          text=True, check=True, timeout=300)
    listed = {golden.readable(os.fsencode(f["path"])): f for f in json.loads(done.stdout)}
    equal(sorted(listed), sorted(files), "the paths")
    for path, f in files.items():
        if f.get("size", golden.WHOLE_MAX + 1) <= golden.WHOLE_MAX:
            equal(listed[path]["sha256"], f["sum"], path)
        equal(listed[path]["mode"], f["mode"][-4:], path)


def command_extract(name):
    """The reader's own command: extract; then everything is compared as files."""
    disks, files, missing = fresh(name)
    to = os.path.join(SCRATCH, name, "out")
    subprocess.run([sys.executable, READER, "extract", to, *without(disks, missing)], check=True, timeout=300)
    raw_to, found = os.fsencode(to), {}
    for folder, folders, others in os.walk(raw_to):
        for entry in [b""] * (folder == raw_to) + folders + others:
            path = os.path.join(folder, entry)
            relative = os.path.relpath(path, raw_to)
            st = os.lstat(path)
            d = {"type": stat.S_IFMT(st.st_mode)}
            if stat.S_ISREG(st.st_mode):
                d.update(size=st.st_size, sum=golden.content_sum(st.st_size, golden.pieces_of_file(path)))
            elif stat.S_ISLNK(st.st_mode):
                d["target"] = os.readlink(path).hex()
            found["" if relative == b"." else golden.readable(relative)] = d
    wanted = {}
    for path, f in files.items():
        kind = stat.S_IFMT(int(f["mode"], 8))
        if kind in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO):
            wanted[path] = {"type": kind, **{n: f[n] for n in ("size", "sum", "target") if n in f}}
    must_agree(wanted, found)


def library_reads(name, missing_too):
    """The library opens the images, read-only, and finds the same."""
    disks, files, missing = fresh(name)
    out = os.path.join(SCRATCH, name, "out")
    os.mkdir(out)
    left = without(disks, missing) if missing_too else disks
    for path in set(disks) - set(left):
        os.unlink(path)
    must_agree(files, golden.listing_of_tool(TOOL, left, out))


def library_writes(name):
    """The library opens the images for writing, changes them, and the reader reads the result."""
    disks, files, _ = fresh(name)
    content = os.path.join(SCRATCH, name, "content")
    with open(content, "wb") as f:
        f.write(golden.pattern(300000, 99))
    golden.run_tool(TOOL, "run", *disks, script=f"put new 0 {content}\nunlink big\n")
    files = {p: f for p, f in files.items() if p != "big"}
    files["new"] = {"size": 300000, "sum": golden.sum_of(golden.pattern(300000, 99))}
    must_read(disks, files)


def library_checks(name):
    """The library's own complete check. In `stale` it says that one disk was away, and nothing else."""
    disks, _, _ = fresh(name)
    last = golden.run_tool(TOOL, "check", *disks).splitlines()[-1].split()
    wrong = "1" if name == "stale" else "0"
    equal(last[:4], [wrong, "problems,", wrong, "repairable,"], "the library's check")



TOOL = golden.build_tool(BUILD, SCRATCH)
for NAME in golden.names():
    case(whole, NAME, name=f"{NAME}: whole")
    case(lost_disks, NAME, name=f"{NAME}: as many disks lost as it bears")
    if NAME != "single":
        case(each_disk_lost, NAME, name=f"{NAME}: each disk lost")
        case(too_many_lost, NAME, name=f"{NAME}: one disk too many lost")
    case(command_list, NAME, name=f"{NAME}: the reader's list")
    case(command_extract, NAME, name=f"{NAME}: the reader's extract")
    case(library_reads, NAME, False, name=f"{NAME}: the library reads it")
    case(library_reads, NAME, True, name=f"{NAME}: the library reads it with disks lost")
    case(library_writes, NAME, name=f"{NAME}: the library writes to it")
    case(library_checks, NAME, name=f"{NAME}: the library's check")
finish()
