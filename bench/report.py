"""What was measured, as tables: on the terminal, and as a page of the documentation."""
import os
import statistics
import subprocess
import sys
import time

from workloads import METRICS

MIB = 1 << 20
HERE = os.path.dirname(os.path.realpath(__file__))


def median_of(results, metric):
    values = [r[metric] for r in results if metric in r]
    return statistics.median(values) if values else None


def number(value):
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio_of(ours, theirs, more):
    return (ours / theirs if more else theirs / ours) if ours and theirs else None


def rows_of(results):
    """(name, unit, ours, theirs, the files' own, ratio of the medians, ratios of the rounds) of all that was measured."""
    for metric, (unit, more) in METRICS.items():
        ours, theirs = (median_of(results[n], metric) for n in ("scalefs", "btrfs"))
        if ours is None and theirs is None:
            continue
        pairs = [(a.get(metric), b.get(metric)) for a, b in zip(results["scalefs"], results["btrfs"])]
        rounds = [ratio_of(a, b, more) for a, b in pairs if a and b]
        yield metric, unit, ours, theirs, median_of(results["limit"], metric), ratio_of(ours, theirs, more), rounds


def print_table(title, results):
    print(f"\n{title}")
    print(f"{'':30} {'unit':>6} {'scalefs':>9} {'btrfs':>9} {'limit':>9} {'ratio':>6}   single ratios")
    for metric, unit, ours, theirs, limit, ratio, rounds in rows_of(results):
        print(f"{metric:30} {unit:>6} {number(ours):>9} {number(theirs):>9} {'' if limit is None else number(limit):>9} "
              f"{'' if ratio is None else f'{ratio:.2f}':>6}   {' '.join(f'{r:.2f}' for r in rounds)}")
    sys.stdout.flush()


def print_device_bytes(moved):
    """Device bytes do not drift with the machine's load: read and written per workload, in MiB."""
    names = {w for per_round in moved.values() for d in per_round for w in d}
    if not names:
        return
    print(f"{'device MiB read/written':30} {'scalefs':>16} {'btrfs':>16}")
    for w in sorted(names):
        line = f"{w:30}"
        for n in ("scalefs", "btrfs"):
            got = [d[w] for d in moved[n] if w in d]
            cell = "–" if not got else "/".join(f"{statistics.median(g[i] for g in got) / MIB:.0f}" for i in (0, 1))
            line += f" {cell:>16}"
        print(line)


def bytes_rows(per_byte):
    for work in dict.fromkeys(w for found in per_byte.values() for w in found):
        yield work, *("–" if work not in per_byte.get(n, {}) else "/".join(f"{v:.2f}" for v in per_byte[n][work])
                      for n in ("scalefs", "btrfs"))


def print_bytes(per_byte):
    print(f"{'device bytes read/written per live byte':40} {'scalefs':>12} {'btrfs':>12}")
    for work, ours, theirs in bytes_rows(per_byte):
        print(f"{work:40} {ours:>12} {theirs:>12}")
    sys.stdout.flush()


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        return next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown")


def commit():
    r = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return r.stdout.strip() or "unknown"


CHANGES = "# What a change costs"


def moved_cell(found):
    return "–" if not found else "/".join(f"{v:.2f}" for v in found["moved"])


def change_table(where, rows):
    """Lines of Markdown."""
    lines = [f"## Changes, {where}", "",
             "| change | full | live MiB | ScaleFS MiB/s | btrfs | ratio | goal | ScaleFS read/written | btrfs | least | "
             "time at 150 MiB/s | reading beside it | writing | add usable, s |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- | --- | ---: | ---: | ---: | ---: |"]
    for r in rows:
        ours, theirs = r.get("scalefs"), r.get("btrfs")
        more = [r.get("limited"), r.get("reading"), r.get("writing"), ours and ours["usable"]]
        lines.append(f"| {r['change']} | {r['percent']} % | {r.get('mib', '–')} | {number(ours and ours['rate'])} | "
                     f"{number(theirs and theirs['rate'])} | "
                     f"{number(ratio_of(ours and ours['rate'], theirs and theirs['rate'], True))} | {r['goal']} | {moved_cell(ours)} | "
                     f"{moved_cell(theirs)} | {r['least'][0]:.2f}/{r['least'][1]:.2f} | "
                     + " | ".join("" if m is None else f"{m:.2f}" for m in more) + " |")
    return lines


def page_parts(args):
    """What the page has of each part: [files, changes]; an empty text for one that it lacks."""
    text = ""
    if os.path.exists(args.table):
        with open(args.table, encoding="utf-8") as f:
            text = f.read()
    files, mark, changes = text.partition(CHANGES)
    return [files, mark + changes]


def write_changes(args, done):
    """The part of the page about changes; the other one stays."""
    before = page_parts(args)[0].rstrip() + "\n\n"
    lines = [CHANGES, "",
             "Written by `scripts/bench --what change --table docs/BENCH.md`: both systems hold the same, on the same loop devices, and are",
             "changed; *MiB/s* are of live data, *read/written* device bytes per live byte, *least* what the change requires. A dash: refused",
             "or failed (see the run). *Time at 150 MiB/s*: with every disk held to that, how often the time that the busiest one needs for",
             "its bytes; *reading beside it*, *writing*: throughput of who does so during the change (40 % full), of that before; *add usable*:",
             "until the verb returns. *Full*: of the room that is there before and after. The disk that goes is the one to which most had been",
             "written. *Rebuild*: a disk is lost, and no other takes its place.", "",
             f"Commit {commit()}, {time.strftime('%Y-%m-%d', time.gmtime())}; {processor()}, {os.cpu_count()} processors, "
             f"Linux {os.uname().release}; {args.rounds} rounds, disks of {args.change_mib} MiB; load average at the end "
             f"{os.getloadavg()[1]:.1f}.", ""]
    for d in done:
        lines += change_table(d["where"], d["rows"]) + [""]
    with open(args.table, "w", encoding="utf-8") as f:
        f.write(before + "\n".join(lines))


def write_page(args, runs):
    """The part of the page about files; the one about changes stays."""
    lines = ["# ScaleFS and btrfs, measured", "",
             "Written by `scripts/bench --table docs/BENCH.md`: medians, both systems taking turns in one run, on backing files",
             "in the same place, all data compared. A ratio above 1 is in favour of ScaleFS. Absolute figures are this machine's,",
             "at that hour; ratios travel better, device bytes best. *Limit* is what the backing files gave in the same rounds: the",
             "bytes that the work must move, by plain large requests on all files at once, with no file system in between.", "",
             f"Commit {commit()}, {time.strftime('%Y-%m-%d', time.gmtime())}; {processor()}, {os.cpu_count()} processors, "
             f"Linux {os.uname().release}; {args.rounds} rounds of {args.mib} MiB and {args.files} small files; "
             f"load average at the end {os.getloadavg()[1]:.1f}.", ""]
    for run in runs:
        lines += [f"## {run['title'][0].upper()}{run['title'][1:]}", "",
                  "| | unit | ScaleFS | btrfs | limit | ratio | of the rounds |",
                  "| --- | --- | ---: | ---: | ---: | ---: | --- |"]
        for metric, unit, ours, theirs, limit, ratio, rounds in rows_of(run["results"]):
            lines.append(f"| {metric} | {unit} | {number(ours)} | {number(theirs)} | "
                         f"{'' if limit is None else number(limit)} | "
                         f"{'' if ratio is None else f'{ratio:.2f}'} | {' '.join(f'{r:.2f}' for r in rounds)} |")
        lines += ["", "| device bytes read/written per live byte | ScaleFS | btrfs |", "| --- | ---: | ---: |"]
        lines += [f"| {work} | {ours} | {theirs} |" for work, ours, theirs in bytes_rows(run["per_live_byte"])]
        lines.append("")
    changes = page_parts(args)[1]
    with open(args.table, "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + ("\n" + changes if changes else ""))
