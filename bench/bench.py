#!/usr/bin/env python3
"""Measures ScaleFS and btrfs of the same protection, alternating in one run, and prints medians and ratios.

Absolute figures of a shared machine drift by a factor of two; only the ratios of one run mean anything.
A ratio above 1 is in favour of ScaleFS. See scripts/bench.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import change
from limit import Limit
from systems import Btrfs, ScaleFs
from report import change_table, print_bytes, print_device_bytes, print_table, write_changes, write_page
from workloads import Data, device_bytes, everything

MIB, GIB = 1 << 20, 1 << 30
PROFILES = {"raid5": (4, 1), "raid6": (6, 2), "raid1": (2, 1), "single": (1, 0)}


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--scalefs", default="scalefs", help="the command to measure")
    p.add_argument("--quick", action="store_true", help="memory only, one profile, small: a few minutes")
    p.add_argument("--media", default="", help="ram,disk: on what the backing files lie (default both)")
    p.add_argument("--profiles", default="", help=f"of {', '.join(PROFILES)} (default raid5,raid6)")
    p.add_argument("--rounds", type=int, default=3, help="medians of so many (default 3)")
    p.add_argument("--mib", type=int, default=0, help="size of the big file (default 1024; quick 256)")
    p.add_argument("--files", type=int, default=0, help="number of small files (default 20000; quick 4000)")
    p.add_argument("--dir", default=os.environ.get("SCALEFS_BENCH_DIR", "/var/tmp"), help="for media disk")
    p.add_argument("--tree", default="/usr/include", help="what tree copy copies")
    p.add_argument("--loop", action="store_true", help="ScaleFS on loop devices, too; counts device bytes")
    p.add_argument("--only", choices=("scalefs", "btrfs"), help="one of the two alone")
    p.add_argument("--what", choices=("use", "change", "all"), default="use", help="work with files, changes of the configuration")
    p.add_argument("--change-mib", type=int, default=512, help="changes: size of each disk (default 512)")
    p.add_argument("--only-change", default="", help="changes: those whose name has this in it")
    p.add_argument("--brief", action="store_true", help="changes: speed and bytes alone")
    p.add_argument("--percents", default="10,60", help="changes: how full (default 10,60)")
    p.add_argument("--table", metavar="FILE", help="the medians as a page in Markdown (docs/BENCH.md)")
    p.add_argument("--json", metavar="FILE", help="all single results, for other programs")
    a = p.parse_args()
    a.media = (a.media or ("ram" if a.quick else "ram,disk")).split(",")
    a.profiles = (a.profiles or ("raid5" if a.quick else "raid5,raid6")).split(",")
    a.mib = a.mib or (256 if a.quick else 1024)
    a.files = a.files or (4000 if a.quick else 20000)
    for profile in a.profiles:
        if profile not in PROFILES:
            p.error(f"no profile {profile}")
    return a


class Memory:
    """A folder in memory; not kept beyond the run."""

    def __init__(self, size):
        self.folder = tempfile.mkdtemp(prefix="scalefs-bench.", dir="/tmp")
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "scalefs-bench", self.folder], check=True)

    def close(self):
        subprocess.run(["umount", "-l", self.folder], check=False)
        os.rmdir(self.folder)


class Disk:
    def __init__(self, base):
        self.folder = tempfile.mkdtemp(prefix="scalefs-bench.", dir=base)

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def make(name, args, folder, profile, size, direct, loop):
    count, failover = PROFILES[profile]
    if name == "scalefs":
        return ScaleFs(folder, count, failover, size, direct, args.scalefs, loop)
    return Btrfs(folder, count, failover, size, direct, mirror=profile == "raid1")


def with_system(name, args, place, profile, tag, size, direct, loop, work):
    """Makes the system, does the work with it, and leaves nothing behind."""
    folder = os.path.join(place.folder, f"{name}.{tag}")
    system = None
    try:
        system = make(name, args, folder, profile, size, direct, loop)
        return work(system)
    finally:
        if system:
            system.destroy()
        shutil.rmtree(folder, ignore_errors=True)


def one(name, args, place, profile, round_number, direct):
    count, failover = PROFILES[profile]
    data_disks = max(1, count - failover)
    # Room for the big file twice, small files and copies, and btrfs's chunks of 1 GiB.
    size = max(2 * GIB if not args.quick else GIB, (args.mib * 3 // data_disks + 256) * MIB)
    sizes = {"mib": args.mib, "files": args.files, "random": 2000 if args.quick else 10000,
             "appends": 100 if args.quick else 300, "tree": args.tree}
    return with_system(name, args, place, profile, round_number, size, direct, args.loop,
                       lambda system: everything(system, sizes, Data()))


def limit(args, place, profile, round_number):
    """What the files themselves give, for the works of which that can be said."""
    count, failover = PROFILES[profile]
    folder = os.path.join(place.folder, f"limit.{round_number}")
    try:
        return Limit(folder, count, failover, args.mib, Data().block(0)).everything(2000)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def bytes_moved(args, place, profile, direct):
    """{system: {work: (read, written) per live byte}}: on loop devices, which count. Once: it does not drift."""
    found = {}
    for name in ("scalefs", "btrfs"):
        if not args.only or name == args.only:
            try:
                found[name] = with_system(name, args, place, profile, "bytes", 2 * GIB, direct, True,
                                          lambda system: device_bytes(system, {"mib": 256}, Data()))
            except (RuntimeError, OSError, subprocess.SubprocessError) as e:
                print(f"{profile}: {name}, bytes: {e}", file=sys.stderr)
    return found


def compare(args, medium, profile):
    count, failover = PROFILES[profile]
    title = f"{profile}: {count} disks of which {failover} may fail, {'in memory' if medium == 'ram' else 'files on ' + args.dir}"
    place = Memory("90%") if medium == "ram" else Disk(args.dir)
    results, moved = {"scalefs": [], "btrfs": [], "limit": []}, {"scalefs": [], "btrfs": []}
    try:
        for i in range(args.rounds):
            order = ["scalefs", "btrfs"] if i % 2 == 0 else ["btrfs", "scalefs"]
            for name in order:
                if args.only and name != args.only:
                    continue
                start = time.monotonic()
                try:
                    found, device = one(name, args, place, profile, i, direct=medium == "disk")
                    results[name].append(found)
                    moved[name].append(device)
                except (RuntimeError, OSError, subprocess.SubprocessError) as e:
                    print(f"{title}: {name}, round {i + 1}: {e}", file=sys.stderr)
                print(f"  {profile} {medium} round {i + 1} {name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
            results["limit"].append(limit(args, place, profile, i))
        print_table(title, results)
        print_device_bytes(moved)
        per_byte = bytes_moved(args, place, profile, direct=medium == "disk")
        print_bytes(per_byte)
    finally:
        place.close()
    return {"medium": medium, "profile": profile, "title": title, "results": results, "device_bytes": moved,
            "per_live_byte": per_byte}


def changes(args, medium):
    """All changes on this medium, at 10 % and at 60 % of the room."""
    place = Memory("90%") if medium == "ram" else Disk(args.dir)
    where = "in memory" if medium == "ram" else f"files on {args.dir}"
    found = []
    try:
        for percent in map(int, args.percents.split(",")):
            for row in change.rows(args, place, medium == "disk", percent):
                found.append(row)
                print("\n".join(change_table(where, [row])[-1:]), flush=True)
    finally:
        place.close()
    return {"where": where, "rows": found}


def all_changes(args):
    done = []
    print("\n".join(change_table("", [])[2:]))
    for medium in args.media:
        done.append(changes(args, medium))
        if args.table:
            write_changes(args, done)
    return 0 if all(r.get("scalefs") for d in done for r in d["rows"]) else 1


def main():
    args = arguments()
    if not os.path.exists("/dev/fuse"):
        sys.exit("bench: there is no /dev/fuse here")
    print(f"ScaleFS {subprocess.run([args.scalefs, 'version'], capture_output=True, text=True, check=False).stdout.strip()}; "
          f"kernel {os.uname().release}; {os.cpu_count()} processors; {args.rounds} rounds, "
          f"{args.mib} MiB, {args.files} small files")
    if args.what == "change":
        return all_changes(args)
    runs = []
    for medium, profile in ((m, p) for m in args.media for p in args.profiles):
        runs.append(compare(args, medium, profile))
        if args.json:  # after each, so that a long run may be ended early
            with open(args.json, "w", encoding="utf-8") as f:
                json.dump(runs, f, indent=1)
        if args.table:
            write_page(args, runs)
    # Nothing is worth showing when one side never ran to its end.
    wanted = [args.only] if args.only else ["scalefs", "btrfs"]
    if args.what == "all" and all_changes(args):
        return 1
    return 0 if all(r["results"][n] for r in runs for n in wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
