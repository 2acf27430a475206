#!/usr/bin/env python3
"""What takes hours: many seeds of the simulations, full pools, many kills, all pairs of lost disks, memory and mounting.

usage: nightly.py [--list] [--keep] [--small] [STAGE[=N]…]
All stages by default. N: how much of it (seeds, kills, rounds) instead of the usual amount. Each is bounded in time and cleaned up after. Results are gathered in BUILD/nightly.json, a line for
each stage with the commit it ran on, and shown as a table; --keep writes that to docs/NIGHTLY.md. --small runs a
small part of each stage, to see that they work.
Environment: as for run.py.
"""
import argparse
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import run
from run import BUILD, JOBS, ROOT, Suite
from seeds import Seeds

RESULTS = os.path.join(BUILD, "nightly.json")
BROKEN = {"no_flush": "cut", "reuse_at_once": "cut", "no_parity": "fault"}


class Stage(Suite):
    """Counts, and what is told of it: `many` (how much was done) and `rows` (of a table of its own)."""

    def __init__(self, name, small, wanted):
        super().__init__(name)
        self.small = small
        self.wanted = wanted
        self.many = ""
        self.rows = []
        self.failures = []

    def fail(self, what, output=""):
        self.failures.append(what)
        super().fail(what, output)

    def so_much(self, much, little):
        return little if self.small else much

    def number(self, much, little):
        return self.wanted or self.so_much(much, little)


def program(name):
    return os.path.join(BUILD, "tests", "test_" + name)


def built(stage):
    return run.build(stage, BUILD, ["-Dbroken=true"])


# --- simulations ---

def seeds(stage, count, arguments, before=(), env=None, seconds=600):
    start = time.monotonic()

    def progress(done, failed):
        which = f" ({', '.join(str(seed) for seed, _ in work.bad)})" if failed else ""
        print(f"   {done} of {count} seeds, {failed} failed{which}, {(time.monotonic() - start) / 60:.1f} min", flush=True)

    work = Seeds(lambda words, limit: run.run([*before, *words], limit, env), arguments, seconds)
    work.go(1, count, JOBS, progress)
    stage.passed += work.good
    for seed, output in work.bad:
        stage.fail(" ".join(arguments(seed, 1)).replace(BUILD + "/", ""), output)
    stage.many = f"{count:,} seeds: {work.summary()}"


def sim_fs(mode, path, *more):
    return lambda first, n: [path, "--mode", mode, "--first", str(first), "--seeds", str(n), *more]


def stage_cut(stage, _scratch):
    if built(stage):
        seeds(stage, stage.number(1000, 10), sim_fs("cut", program("sim_fs")))


def stage_fault(stage, _scratch):
    if built(stage):
        seeds(stage, stage.number(1000, 10), sim_fs("fault", program("sim_fs")))


def stage_tiny(stage, _scratch):
    if built(stage):
        seeds(stage, stage.number(1000, 10), sim_fs("tiny", program("sim_fs")))
        cuts = stage.many
        seeds(stage, stage.number(1000, 10) // 5, sim_fs("full", program("sim_fs")))
        faults = stage.many
        seeds(stage, stage.number(1000, 10) // 10, sim_fs("full", program("sim_fs"), "--zoned", "all"))
        stage.many = f"{cuts}; with faults, {faults}; these on zoned disks, {stage.many}"


def stage_change(stage, _scratch):
    if built(stage):
        seeds(stage, stage.number(1000, 10), sim_fs("change", program("sim_fs")))
        changes = stage.many
        seeds(stage, stage.number(1000, 10) // 2, sim_fs("tour", program("sim_fs")))
        stage.many = f"{changes}; the grand tour, {stage.many}"


def stage_store(stage, _scratch):
    if built(stage):
        seeds(stage, stage.number(500, 10), lambda first, n: [program("sim_store"), str(n), str(first)])


def stage_broken(stage, _scratch):
    if not built(stage):
        return
    found = []
    for what, mode in BROKEN.items():
        output, status = run.run([program("sim_fs_" + what), "--mode", mode, "--seeds", "200", "--until-failure"], 1200)
        tried = re.findall(r"^# (not )?ok - \w+ seed (\d+)", output, re.M)
        if status != 0 or "ok - caught" not in output:
            stage.fail(f"{what} is not caught by 200 seeds", output)
            continue
        stage.passed += 1
        # An assert ends the program before the seed has its line.
        wrong, last = tried[-1] if tried else ("", "0")
        found.append(f"{what} by {mode} seed {int(last) + (not wrong)}")
    stage.many = f"{len(BROKEN)} builds: " + ", ".join(found)


def stage_wine(stage, scratch):
    folder = run.windows_build(stage)
    if not folder:
        return
    told = []
    with run.windows(stage, scratch) as how:
        for mode in ("cut", "fault", "tiny", "change") if how else ():
            path = os.path.join(folder, "tests", "test_sim_fs.exe")
            seeds(stage, stage.number(100, 5), sim_fs(mode, path), *how, seconds=1200)
            told.append(f"{mode}, {stage.many}")
    stage.many = "; ".join(told)


# --- mounts ---

def script(stage, scratch, name, minutes, args=(), **env):
    """Runs one of tests/e2e, its lines told as they come in `rows`: those that begin with `# WORD: a | b …`."""
    if not built(stage):
        return ""
    env.setdefault("E2E_PATIENCE", "10")
    output, status = run.run_script(name, scratch, minutes * 60, env, args)
    with open(os.path.join(BUILD, f"nightly-{stage.name}.log"), "w", encoding="utf-8") as f:
        f.write(output)
    stage.take(name, output, status, minutes * 60)
    if status != 0:
        stage.failures += [line for line in output.split("\n") if line.startswith("not ok") or "Error: " in line]
    for line in re.findall(r"^# (?:row|memory|mount): (.*)$", output, re.M):
        stage.rows.append([cell.strip() for cell in line.split("|")])
    return output


def stage_kill(stage, scratch):
    kills = stage.number(50, 3)
    output = script(stage, scratch, "mount_kill.py", 60, E2E_KILLS=str(kills), E2E_SEED="1000", E2E_PATIENCE="3")
    promises = sum(map(int, re.findall(r"(\d+) promises looked at", output)))
    done = len(re.findall(r"^ok \d+ - after_kill_", output, re.M))
    stage.many = f"kill -9 under load {done} times, {promises:,} promises looked at"


def stage_verbs(stage, scratch):
    output = script(stage, scratch, "mount_change.py", 60, E2E_KILLS=str(stage.number(30, 3)))
    for kills, middle in re.findall(r"killed (\d+) times, (\d+) of them", output):
        stage.many = f"kill -9 {kills} times in ten changes of the configuration, {middle} of them with something left to do"


def stage_full(stage, scratch):
    full = stage.so_much("1024,2048,3072,5120:1", "128,256,384,640:1") + f":{stage.number(20, 3)}"
    output = script(stage, scratch, "mount_full.py", 180, E2E_FULL=full)
    sizes, failover, rounds = full.split(":")
    stage.many = f"disks of {sizes.replace(',', ', ')} MiB, failover {failover}, {rounds} rounds"
    stage.rows.insert(0, ["when", "with", "promised, MiB", "written, MiB", "off by"])
    stage.notes += re.findall(r"AssertionError: .*", output)


def stage_large(stage, scratch):
    mib, files = stage.so_much((10240, 200_000), (512, 3000))
    script(stage, scratch, "mount_large.py", 120, E2E_MIB=str(mib), E2E_FILES=str(files))
    stage.many = f"{mib:,} MiB and {files:,} small files; limit 300 MiB"
    stage.rows.insert(0, ["peak memory of the mount, and time to mount", "figure"])


def stage_mount(stage, scratch):
    files = stage.number(20_000, 1000)
    script(stage, scratch, "mount_large.py", 60, E2E_MIB="512", E2E_FILES=str(files))
    stage.many = f"{files:,} small files; goal 100 ms"
    stage.rows = [["time to mount, median of 5", "figure"]] + [r for r in stage.rows if "files" in r[0]]


def stage_loss(stage, scratch):
    output = script(stage, scratch, "mount_loss.py", 180, E2E_ALL=stage.so_much("1", ""), E2E_PATIENCE="3",
                    args=stage.so_much(["failover"], ["failover_1"]))
    done = re.findall(r"^ok \d+ - failover_(\d+)_on_(\d+)", output, re.M)
    stage.many = f"{len(done)} sets of disks lost and replaced, on {len(set(done))} shapes of pools"


def stage_noise(stage, scratch):
    output = script(stage, scratch, "mount_loss.py", 90, E2E_ALL=stage.so_much("1", ""), E2E_PATIENCE="3",
                    args=["noise", "too_many"])
    stage.many = f"32 MiB of noise on each of two disks of five, {len(re.findall(r'^ok [0-9]+ - noise', output, re.M))} pairs"


def stage_names(stage, scratch):
    names = stage.number(1_000_000, 5000)
    script(stage, scratch, "mount_names.py", 120, E2E_NAMES=str(names), E2E_PATIENCE="20")
    stage.many = f"{names:,} names in one directory; limit of the memory 300 MiB"
    stage.rows.insert(0, ["step", "time", "peak memory of the mount"])


def stage_mutate(stage, _scratch):
    """Images damaged at random, in pieces so that what fails is near."""
    if not built(stage):
        return
    each, told = stage.number(3000, 40), []
    for name in ("mutate", "mutate_trusted"):
        for first in range(1, each + 1, 100):
            count = min(100, each + 1 - first)
            output, status = run.run([program(name), "--first", str(first), "--seeds", str(count)], 1200)
            bad = re.findall(r"^not ok \d+ - (.*)", output, re.M)
            if status and not bad:
                bad = [f"from seed {first} on: status {status}"]
            stage.passed += count - len(bad)
            for what in bad:
                stage.fail(f"{name} {what}", output)
        told.append(f"{each:,} of {name}")
    stage.many = " and ".join(told)


def stage_juggle(stage, scratch):
    seeds, steps = stage.number(40, 2), stage.so_much(40, 10)
    output = script(stage, scratch, "mount_juggle.py", 180, E2E_SEED="100", E2E_SEEDS=str(seeds), E2E_STEPS=str(steps), E2E_PATIENCE="5")
    done = {}
    for name, count in re.findall(r"(\w+) (\d+)", " ".join(re.findall(r"^# verbs: (.*)", output, re.M))):
        done[name] = done.get(name, 0) + int(count)
    stage.many = f"{seeds} seeds of {steps} verbs; done: " + ", ".join(f"{name} {count}" for name, count in sorted(done.items()))


STAGES = {  # name: (what it is, the function)
    "cut": ("simulation: power cuts and kills", stage_cut),
    "fault": ("simulation: faults, disks pulled, returned, replaced", stage_fault),
    "tiny": ("simulation: pools so small that they are often full, without and with faults", stage_tiny),
    "change": ("simulation: the configuration changes while files are in use", stage_change),
    "store": ("simulation: the store alone under power cuts", stage_store),
    "broken": ("builds that are broken on purpose are caught", stage_broken),
    "wine": ("simulation: the Windows build under Wine", stage_wine),
    "kill": ("kill -9 of the mount: what fsync acknowledged is there", stage_kill),
    "verbs": ("kill -9 in the middle of changes of the configuration: they go on and end right", stage_verbs),
    "full": ("filled, half emptied, filled again: space is promised right and never leaks", stage_full),
    "large": ("many bytes and many files: memory, time to mount", stage_large),
    "mount": ("time to mount", stage_mount),
    "loss": ("all sets of disks that may be lost are lost, and replaced", stage_loss),
    "noise": ("noise on all pairs of disks, found and repaired", stage_noise),
    "names": ("a directory of very many names: time and memory", stage_names),
    "juggle": ("random verbs on a mounted pool whose files are in use", stage_juggle),
    "mutate": ("damaged images: no crash, no hang, no wrong data; the same with checksums that are believed", stage_mutate),
}


# --- results ---

def commit():
    def git(*args):
        return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "include", "tests", "meson.build")
    return (git("rev-parse", "--short=10", "HEAD") or "unknown") + (" and changes" if changed else "")


def load():
    try:
        with open(RESULTS, encoding="utf-8") as f:
            return json.load(f)
    except (OSError, ValueError):
        return {}


def save(results):
    with open(RESULTS + ".new", "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1)
    os.replace(RESULTS + ".new", RESULTS)


def table(rows):
    head, *rest = [[str(cell).replace("|", "/").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rest])


def report(results):
    rows = [["stage", "what", "how many", "result", "minutes", "commit"]]
    for name, (what, _) in STAGES.items():
        if r := results.get(name):
            rows.append([name, what, r["many"], r["result"], f"{r['minutes']:.1f}", r["commit"]])
    text = table(rows) + "\n"
    for name, r in results.items():
        if r["failures"]:
            text += f"\nFailed in `{name}`:\n\n" + "".join(f"* {line[:400]}\n" for line in r["failures"])
    for name in STAGES:
        if len(results.get(name, {}).get("rows", [])) > 1:
            text += f"\n## {name}\n\n{table(results[name]['rows'])}\n"
    return text


HEAD = """# The nightly run

Written by `scripts/nightly --keep`; what the stages are and how to replay a failure: [TESTING.md](TESTING.md). A seed counts
only with at least 200 operations, 3 checkpoints and one reuse of freed rows; one that did less is a failure. Minutes are
those of a shared machine with {cpus} processors.

"""


def run_stage(name, wanted, small, scratch, results):
    stage = Stage(name, small, wanted)
    print(f"== {name}: {STAGES[name][0]}", flush=True)
    start, when, what = time.monotonic(), datetime.datetime.now(datetime.timezone.utc), commit()
    try:
        STAGES[name][1](stage, scratch)
    except Exception as e:  # the others must run all the same
        stage.fail(f"the stage itself: {type(e).__name__}: {e}")
    minutes = (time.monotonic() - start) / 60
    good = not stage.failed and stage.passed
    result = f"{stage.passed} passed" if good else f"**{stage.failed} failed**, {stage.passed} passed"
    print(f"{name}: {stage.many}: {result} ({minutes:.1f} min)", flush=True)
    results[name] = {"many": stage.many, "result": result, "minutes": minutes, "commit": what, "rows": stage.rows,
                     "failures": stage.failures, "date": when.isoformat(timespec="minutes")}
    return bool(good)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--list", action="store_true", help="names the stages")
    p.add_argument("--keep", action="store_true", help="writes docs/NIGHTLY.md")
    p.add_argument("--small", action="store_true", help="a small part of each stage; never kept")
    p.add_argument("stages", nargs="*", metavar="STAGE[=N]")
    a = p.parse_args()
    if a.list:
        for name, (what, _) in STAGES.items():
            print(f"{name:8} {what}")
        return 0
    chosen = {}
    for word in a.stages or STAGES:
        name, _, wanted = word.partition("=")
        if name not in STAGES or not (wanted or "1").isdigit():
            p.error(f"there is no stage {word}; --list names them")
        chosen[name] = int(wanted or 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scratch = tempfile.mkdtemp(prefix="scalefs-nightly.")
    os.chmod(scratch, 0o711)
    os.environ["TMPDIR"] = os.path.join(scratch, "tmp")
    os.mkdir(os.environ["TMPDIR"])
    good, results = True, {}
    try:
        for name, wanted in chosen.items():
            good = run_stage(name, wanted, a.small, scratch, results) and good
            if not a.small:
                save({**load(), name: results[name]})
    finally:
        run.clean_up(scratch)
        shutil.rmtree(scratch, ignore_errors=True)
    results = results if a.small else load()
    print("\n" + report(results), flush=True)
    if a.keep and not a.small:
        with open(os.path.join(ROOT, "docs", "NIGHTLY.md"), "w", encoding="utf-8") as f:
            f.write(HEAD.format(cpus=os.cpu_count()) + report(results))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
