#!/usr/bin/env python3
"""Builds everything and runs every test, stage by stage; while the last programs of one stage run, the next one builds.

Each stage is bounded in time; what it starts is ended with it, what it mounts is detached. Programs
print TAP (`ok …`, `not ok …`, `# SKIP`); a program that ends badly without saying so counts as one
failed case. The last line printed is `N passed, N failed`. Usage: run.py [--list | STAGE…]

Environment: SCALEFS_BUILD (build folder, default build; the other builds stand beside it),
TMPDIR (scratch), JOBS (how much at once; default: the number of processors).
"""
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid

from seeds import Seeds

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
BUILD = os.path.join(ROOT, os.environ.get("SCALEFS_BUILD", "build"))
JOBS = int(os.environ.get("JOBS", "0")) or os.cpu_count() or 1
MARK = "SCALEFS_TEST_RUN"  # what we start carries this in its environment
RUN_ID = uuid.uuid4().hex
STOPPED = threading.Event()
BUILD_TIMEOUT = 1200
# gcc's own word: with sanitizers this warning is wrong too often.
NO_GUESSES = "-Wno-maybe-uninitialized"

TAP = re.compile(r"^(not )?ok\b(.*)")
WANTED = re.compile(r"#\s*SKIP\b", re.I)


def telling(output):
    """The end of what a program printed, without the cases that passed."""
    return [line for line in output.split("\n") if line and not line.startswith("ok ")][-60:]


class Suite:
    """The counts of one stage."""

    def __init__(self, name):
        self.name = name
        self.passed = self.failed = self.skipped = 0
        self.notes = []
        self.times = []  # (seconds, name) of what was run
        self.all_begun = threading.Event()  # nothing of it waits for a processor: the next stage may begin

    def fail(self, what, output=""):
        self.failed += 1
        print(f"not ok {self.name}: {what}")
        for line in telling(output):
            print("  |", line)
        sys.stdout.flush()

    def skip(self, what):
        self.skipped += 1
        self.notes.append(what)

    def take(self, name, output, status, seconds_allowed):
        """Counts the TAP lines of one program. `status` is None when its time ran out."""
        bad, count = [], 0
        for line in output.split("\n"):
            found = TAP.match(line)
            if not found:
                continue
            count += 1
            if WANTED.search(line):
                self.skip(f"{name}: {found.group(2).strip(' -')}")
            elif found.group(1):
                bad.append(found.group(2).strip(" -"))
            else:
                self.passed += 1
        self.failed += len(bad)
        if status is None:
            self.fail(f"{name}: not done after {seconds_allowed} s", output)
        elif bad:
            print(f"not ok {self.name}: {name}: {', '.join(bad)}")
            print("  | " + "\n  | ".join(telling(output)), flush=True)
        elif status != 0:
            self.fail(f"{name}: ended with status {status}", output)
        elif not count:
            self.fail(f"{name}: ran no case", output)


def run(command, timeout, env=None, cwd=ROOT, mark=RUN_ID):
    """(output, status); status None when the time ran out. Ends the whole process group then."""
    full = dict(os.environ, **(env or {}))
    full[MARK] = mark
    if STOPPED.is_set():
        return "", 143
    with tempfile.TemporaryFile() as out:
        try:
            p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, env=full, cwd=cwd,
                                 start_new_session=True)
        except OSError as e:
            return str(e), 127
        try:
            status = p.wait(timeout)
        except subprocess.TimeoutExpired:
            status = None
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
        out.seek(0)
        return out.read().decode("utf-8", "replace"), status


def our_processes(mark):
    """Processes that carry a mark of this run: daemons that left their process group as well."""
    start = f"{MARK}={mark}".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if any(word.startswith(start) for word in f.read().split(b"\0")):
                    yield int(pid)
        except OSError:
            pass


def stop(*_):
    """Asked to end: what was started ends now, nothing more is started, and the cleaning up follows."""
    STOPPED.set()
    for pid in our_processes(RUN_ID):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    sys.exit(143)


def clean_up(folder, mark=RUN_ID):
    """Detaches what is mounted below the folder, ends what was started with the mark (with any that begins so), frees loop
    devices."""
    folder = os.path.realpath(folder)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as f:
        points = [line.split()[4].encode().decode("unicode_escape") for line in f]
    for point in reversed(points):
        if point.startswith(folder + "/"):
            subprocess.run(["umount", "-l", point], capture_output=True, timeout=20, check=False)
            subprocess.run(["fusermount3", "-uz", point], capture_output=True, timeout=20,
                           check=False) if os.path.ismount(point) else None
    for sig in (signal.SIGTERM, signal.SIGKILL):
        for pid in our_processes(mark):
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass
        for _ in range(20):
            if not list(our_processes(mark)):
                break
            time.sleep(0.1)
    if shutil.which("losetup") and os.geteuid() == 0:
        loops = subprocess.run(["losetup", "-n", "-O", "NAME,BACK-FILE"], capture_output=True,
                               text=True, timeout=20, check=False).stdout
        for line in loops.splitlines():
            name, _, back = line.partition(" ")
            if back.strip().startswith(folder + "/"):
                subprocess.run(["losetup", "-d", name], timeout=20, check=False)


def read(path):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read()
    except FileNotFoundError:
        return None


def build(suite, folder, options, env=None, only=None):
    """Sets up and builds everything, or only the test programs with the labels; what built is tested even when something did
    not."""
    known, wanted = os.path.join(folder, "options-of-tests"), "\n".join(options)
    there = os.path.exists(os.path.join(folder, "build.ninja"))
    if there and read(known) != wanted:  # set up by hand, by scripts/build, or by an older version of this
        values = [o for o in options if o.startswith("-D")]
        there = run(["meson", "configure", folder, *values], BUILD_TIMEOUT, env)[1] == 0
    if not there:
        shutil.rmtree(folder, ignore_errors=True)
        out, status = run(["meson", "setup", folder, *options], BUILD_TIMEOUT, env)
        if status != 0:
            suite.fail("meson setup", out)
            return False
    with open(known, "w", encoding="utf-8") as f:
        f.write(wanted)
    targets = {os.path.relpath(command[0], folder) for _, command, _ in programs(folder, only or [])}
    out, status = run(["ninja", "-C", folder, f"-j{JOBS}", "-k0", *sorted(targets)], BUILD_TIMEOUT, env)
    if status != 0:
        failed = [line for line in out.split("\n") if not line.startswith("[")]
        suite.fail("build", "\n".join(failed))
    return True


def programs(folder, labels):
    """The test programs of a build that carry one of the labels: (name, command, timeout)."""
    out = subprocess.run(["meson", "introspect", "--tests", folder], capture_output=True, text=True,
                         check=True, cwd=ROOT).stdout
    for t in json.loads(out):
        if set(labels) & {s.split(":")[-1] for s in t["suite"]}:
            yield t["name"], t["cmd"], t["timeout"]


def run_programs(suite, folder, labels, env=None, before=(), patience=1, jobs=None):
    # Those that may take longest first, so that no processor is idle at the end.
    ordered = sorted(programs(folder, labels), key=lambda p: -p[2])
    last = ordered[-1][0] if ordered else None

    def one(name, command, timeout):
        if name == last:
            suite.all_begun.set()
        allowed = timeout * patience
        if not os.path.exists(command[0]):
            return name, "it was not built\n", 127, allowed
        start = time.monotonic()
        output, status = run([*before, *command], allowed, env)
        suite.times.append((time.monotonic() - start, name))
        return name, output, status, allowed

    with concurrent.futures.ThreadPoolExecutor(jobs or JOBS) as pool:
        todo = [pool.submit(one, *p) for p in ordered]
        for done in todo:
            suite.take(*done.result())


ALL = ("unit", "property", "sim")


def stage_gcc(suite, _scratch):
    # The other stages run as few seeds of the simulations as the programs do by themselves. Nor would it tell more if they
    # ran what is broken on purpose.
    labels = (*ALL, "broken", "once")
    if build(suite, BUILD, ["-Dbroken=true"]):
        for mode, count in (("cut", 100), ("fault", 100), ("tiny", 40), ("change", 40), ("tour", 20), ("full", 10)):
            run_seeds(suite, mode, count)
        run_programs(suite, BUILD, labels)


def run_seeds(suite, mode, count):
    program = os.path.join(BUILD, "tests", "test_sim_fs")
    start = time.monotonic()
    seeds = Seeds(run, lambda first, n: [program, "--mode", mode, "--first", str(first), "--seeds", str(n)], 300)
    seeds.go(1, count, JOBS)
    suite.passed += seeds.good
    for seed, output in seeds.bad:
        suite.fail(f"sim_fs --mode {mode} --seed {seed}", output)
    suite.times.append((time.monotonic() - start, f"{count} seeds of {mode}"))


def stage_rooms(suite, _scratch):
    out, status = run([sys.executable, "tests/check_rooms.py"], 60)
    suite.take("check_rooms", out, status, 60)


def stage_exports(suite, _scratch):
    library = os.path.join(BUILD, "src", "libscalefs.so")
    out, status = run([sys.executable, "tests/check_exports.py", ROOT, library], 60)
    suite.take("check_exports", out, status, 60)


def stage_asan(suite, _scratch):
    folder = BUILD + "-asan"
    options = ["-Db_sanitize=address,undefined",
               "-Dc_args=-fno-sanitize-recover=undefined",
               "-Dc_link_args=-fno-sanitize-recover=undefined", "-Db_lundef=false"]
    # The core allocates through its environment: two frames more than that name the place.
    env = {"ASAN_OPTIONS": "detect_stack_use_after_return=0:detect_leaks=1:malloc_context_size=8:quarantine_size_mb=32",
           "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}
    if build(suite, folder, options, {"CC": "clang"}):
        run_programs(suite, folder, ALL, env, patience=4)


def stage_tsan(suite, _scratch):
    folder = BUILD + "-tsan"
    # Without a fixed layout the sanitizer refuses kernels that randomise more bits than it knows.
    if build(suite, folder, ["-Db_sanitize=thread", f"-Dc_args={NO_GUESSES}"], only=["threads"]):
        run_programs(suite, folder, ["threads"], {"TSAN_OPTIONS": "halt_on_error=0:exitcode=66"},
                     before=["setarch", os.uname().machine, "-R"], patience=6)


def find_program(*names):
    return next((p for p in map(shutil.which, names) if p), None)


def windows_build(suite):
    """The folder of the cross build, or None."""
    folder = BUILD + "-windows"
    out, status = run(["scripts/windows-deps"], BUILD_TIMEOUT)
    if status != 0:
        suite.fail("scripts/windows-deps", out)
        return None
    prefix = out.strip().split("\n")[-1]
    options = ["--cross-file", "scripts/mingw.ini", "--cross-file", prefix + "/cross.ini"]
    if read(os.path.join(folder, "options-of-tests")) != "\n".join(options):  # made with other libraries
        shutil.rmtree(folder, ignore_errors=True)
    return folder if build(suite, folder, options) else None


@contextlib.contextmanager
def windows(suite, scratch):
    """Wine with a fresh prefix: state of an earlier run must not matter. (what stands before a command, environment), or
    None."""
    wine = find_program("wine64", "wine", "/usr/lib/wine/wine64")
    server = find_program("wineserver", "/usr/lib/wine/wineserver")
    if not wine or not server:
        suite.fail("Wine is not installed")
        yield None
        return
    env = {"WINEPREFIX": os.path.join(scratch, "wine"), "WINEDEBUG": "-all", "WINEARCH": "win64",
           "WINEDLLOVERRIDES": "mscoree=;mshtml=;winemenubuilder.exe=", "LC_ALL": "C.UTF-8"}
    try:
        for command in (["wineboot", "--init"],
                        ["reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f"]):
            out, status = run([wine, *command], 300, env)
            if status != 0:
                suite.fail(f"wine {command[0]}", out)
                yield None
                return
        yield [wine], env
    finally:
        run([server, "-k"], 60, env)


def stage_windows(suite, scratch):
    folder = windows_build(suite)
    if not folder:
        return
    with windows(suite, scratch) as how:
        if how:
            run_programs(suite, folder, ALL, how[1], before=how[0], patience=6)


def run_script(name, scratch, timeout=600, env=None, args=()):
    """One of tests/e2e in a folder of its own ($SCRATCH), cleaned up after it: (output, status)."""
    here = os.path.join(scratch, name)
    mark = f"{RUN_ID}.{name}"
    os.makedirs(here)
    full = {"SCALEFS": os.path.join(BUILD, "scalefs"), "SCRATCH": here, "ROOT": ROOT, "BUILD_DIR": BUILD,
            "HAVE_FUSE": "1" if os.path.exists("/dev/fuse") else "0", **(env or {})}
    command = [sys.executable if name.endswith(".py") else "bash", os.path.join(ROOT, "tests", "e2e", name), *args]
    try:
        return run(command, timeout, full, here, mark)
    finally:
        clean_up(here, mark)
        shutil.rmtree(here, ignore_errors=True)


def stage_e2e(suite, scratch):
    """tests/e2e/*.sh and *.py, two at a time: they wait for disks and daemons more than they compute, so the next stage goes on
    beside them."""
    suite.all_begun.set()
    folder = os.path.join(ROOT, "tests", "e2e")
    scripts = [n for n in sorted(os.listdir(folder)) if n.endswith((".sh", ".py"))] \
        if os.path.isdir(folder) else []
    scripts = [n for n in scripts if not n.startswith(("lib", "_"))]
    if scripts and not os.path.exists(os.path.join(BUILD, "scalefs")):
        suite.fail("there is no build/scalefs")
        return
    if not os.path.exists("/dev/fuse"):
        print("# /dev/fuse is not here: what needs a mount is skipped")

    def one(name):
        start = time.monotonic()
        output, status = run_script(name, scratch)
        suite.times.append((time.monotonic() - start, name))
        return name, output, status, 600

    with concurrent.futures.ThreadPoolExecutor(min(JOBS, 2)) as pool:
        for done in [pool.submit(one, name) for name in scripts]:
            suite.take(*done.result())


STAGES = {  # name: (what it is, the function)
    "gcc": ("unit, property and simulation tests, gcc", stage_gcc),
    "rooms": ("which room uses which", stage_rooms),
    "exports": ("what the shared library exports", stage_exports),
    "e2e": ("end to end: the command and mounts", stage_e2e),
    "asan": ("the same with clang, address and undefined-behaviour sanitizers", stage_asan),
    "tsan": ("concurrent tests, thread sanitizer", stage_tsan),
    "windows": ("the same tests, mingw-w64 under Wine", stage_windows),
}


def run_stage(suite, scratch):
    what, function = STAGES[suite.name]
    print(f"== {suite.name}: {what}", flush=True)
    start = time.monotonic()
    try:
        function(suite, scratch)
    except Exception as e:  # a stage that breaks must not hide the others
        suite.fail(f"the stage itself: {type(e).__name__}: {e}")
    suite.all_begun.set()
    for note in suite.notes:
        print(f"  skipped {note}")
    slowest = ", ".join(f"{name} {seconds:.0f} s" for seconds, name in sorted(suite.times, reverse=True)[:4])
    print(f"{suite.name}: {suite.passed} passed, {suite.failed} failed, {suite.skipped} skipped "
          f"({time.monotonic() - start:.1f} s{'; slowest: ' + slowest if slowest else ''})", flush=True)


def main():
    if sys.argv[1:] == ["--list"]:
        for name, (what, _) in STAGES.items():
            print(f"{name:8} {what}")
        return 0
    chosen = sys.argv[1:] or list(STAGES)
    for name in chosen:
        if name not in STAGES:
            sys.exit(f"there is no stage {name}; --list names them")
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, stop)
    scratch = tempfile.mkdtemp(prefix="scalefs-test.")
    os.chmod(scratch, 0o711)  # some tests act as another user below it
    os.environ["TMPDIR"] = os.path.join(scratch, "tmp")  # what is started leaves nothing elsewhere
    os.mkdir(os.environ["TMPDIR"])
    suites = [Suite(name) for name in chosen]
    threads = [threading.Thread(target=run_stage, args=(suite, scratch)) for suite in suites]
    try:
        for suite, thread in zip(suites, threads):
            thread.start()
            suite.all_begun.wait()  # set at the stage's end at the latest
        for thread in threads:
            thread.join()
    finally:
        clean_up(scratch)
        shutil.rmtree(scratch, ignore_errors=True)
    failed = sum(s.failed for s in suites)
    print(f"{sum(s.passed for s in suites)} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
