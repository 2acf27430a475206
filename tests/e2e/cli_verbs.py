#!/usr/bin/env python3
"""The verbs at work, on pools that are mounted and on pools that are not: what they do, say and answer."""
import json
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from lib_cli import NOBODY, Folder, Mounted, have_root, holders
from lib_pool import MIB, SCALEFS, case, equal, finish, have_fuse, noise, skip, wait_for_end, wait_until_free

KINDS = {"rebuild", "remove", "replace", "rebalance", "convert", "resize", "compact", "scrub"}


def keys(value, *wanted):
    equal(sorted(value), sorted(wanted), "members")


def contract(s):
    """The document of `status --json`, member by member."""
    def is_size(*values):
        for v in values:
            if type(v) is not int or v < 0:
                raise AssertionError(f"{v!r} is no number of bytes")

    keys(s, "pool", "config", "capacity", "disks", "tasks", "repairs", "lost_files", "losses", "changes")
    keys(s["pool"], "name", "uuid", "state", "mounted", "action")
    if s["pool"]["state"] not in ("healthy", "degraded", "suspended", "damaged"):
        raise AssertionError(s["pool"])
    keys(s["config"], "failover", "optimize", "verify")
    keys(s["capacity"], "raw", "usable", "used", "free")
    is_size(*s["capacity"].values())
    for d in s["disks"]:
        keys(d, "id", "uuid", "path", "station", "role", "size", "used", "state", "errors")
        is_size(d["id"], d["size"], d["used"])
        keys(d["errors"], "read", "write", "checksum")
        is_size(*d["errors"].values())
        if d["state"] not in ("online", "absent", "failed", "leaving", "joining") or d["role"] not in ("data", "metadata"):
            raise AssertionError(d)
    for t in s["tasks"]:
        keys({k: v for k, v in t.items() if k != "reason"}, "id", "kind", "state", "bytes_done", "bytes_total", "rate",
             "eta_seconds", "disk")
        equal("reason" in t, t["state"] == "blocked", "a reason")
        if t["kind"] not in KINDS or t["state"] not in ("running", "paused", "blocked"):
            raise AssertionError(t)
    keys(s["repairs"], "extents", "lost_extents")
    return s


# --- without a mount ---

def help_and_version():
    f = Folder("help")
    text = f.good("help")
    for verb in re.findall(r"^  (\w+) ", text, re.M):
        told = f.good("help", verb)
        equal(told, f.good(verb, "--help"), verb)
        equal(told, f.good(verb, "-h"), verb)
        if not told.startswith(f"scalefs {verb}") or not re.search(rf"^For example:\n  scalefs {verb}\b", told, re.M):
            raise AssertionError(told)
        entry, = f.json("help", verb)["verbs"]
        equal((entry["verb"], entry["usage"] + "\n" in told, entry["example"] in told), (verb, True, True), "help as JSON")
    equal(f.good("--help"), text)
    v = f.json("version")
    equal(v["version"] in f.good("version"), True)
    equal(v["format"], 1)


def create_says_what_it_made():
    f = Folder("create")
    made = f.json("create", "tank", f.at("a"), f.at("b"), f.at("c"), "--size", "64MiB", "--failover", "1", "--optimize", "balanced")
    equal(made["pool"]["name"], "tank")
    equal([os.path.getsize(f.at(n)) for n in "abc"], [64 * MIB] * 3)
    s = contract(f.json("status", "tank"))
    equal(s["pool"], {"name": "tank", "uuid": made["pool"]["uuid"], "state": "healthy", "mounted": None, "action": None})
    equal(s["config"], {"failover": 1, "optimize": 50, "verify": "checksum"})
    equal([d["path"] for d in s["disks"]], [f.at(n) for n in "abc"])
    equal([d["size"] for d in s["disks"]], [64 * MIB] * 3)
    equal(s["tasks"], [])
    for name in ("tank", made["pool"]["uuid"], f.at("b")):
        equal(f.json("status", name)["pool"]["uuid"], made["pool"]["uuid"])


def stations_are_kept():
    f = Folder("stations")
    a, b, c, d = f.images(4)
    f.good("create", "tank", a, b, "--station", f"left={a},{c}", "--station", f"right={d}", "--failover", "1")
    stations = {x["path"]: x["station"] for x in f.json("status", "tank")["disks"]}
    equal(stations, {a: "left", b: None, c: "left", d: "right"})


def list_shows_every_pool():
    f = Folder("list")
    equal(f.pools(), [])
    f.pool("tank", 2, 1)
    disks = f.pool("attic", 3, 1, start=2)
    os.unlink(disks[0])
    pools = f.pools()
    equal([(p["name"], p["mounted"], p["disks_found"], p["disks_expected"]) for p in pools],
          [("attic", None, 2, 3), ("tank", None, 2, 2)])
    equal(sorted(pools[0]["paths"]), disks[1:])
    table = [line.split()[0] for line in f.good("list").split("\n") if line]
    equal([w for w in table if w in ("POOL", "attic", "tank")], ["POOL", "attic", "tank"])


def looking_changes_nothing():
    f = Folder("looking")
    disks = f.pool("tank", 3, 1)
    before = f.state()
    for args in (["status", "tank"], ["list"], ["check", *disks]):
        f.good(*args)
        equal(f.state(), before, f"after {args}")


def settings_last():
    f = Folder("set")
    f.pool("tank", 2, 1)
    f.good("set", "tank", "verify=parity", "compression=zstd:7", "record=256K")
    text = f.good("status", "tank")
    for word in ("verify parity", "compression zstd:7", "record 256 KiB"):
        if word not in text:
            raise AssertionError(text)
    f.good("set", "tank", "compression=off")
    if "compression off" not in f.good("status", "tank"):
        raise AssertionError("compression")


def work_on_a_pool_that_is_not_mounted():
    f = Folder("unmounted")
    disks = f.pool("tank", 3, 1)
    s = f.json("scrub", "tank")
    equal(s["tasks"], [])
    new = f.image("new")
    s = f.json("replace", "tank", disks[1], new, "--wait")
    equal(sorted(d["path"] for d in s["disks"]), sorted([disks[0], disks[2], new]))
    equal(contract(s)["pool"]["state"], "healthy")
    f.good("wait", "tank")
    f.good("check", disks[0], disks[2], new)
    # Offline is what a disk in use goes; opened again, the pool uses every disk that is there.
    f.refuses(["offline", "tank", "1"], "INVAL", "tank", "not mounted", "unplug")
    f.good("online", "tank", "1")  # it is
    equal(f.json("status", "tank")["pool"]["state"], "healthy")
    # the old disk is free for another pool
    f.good("create", "other", disks[1], "--force")


def export_and_import():
    f = Folder("travel")
    f.pool("tank", 2, 1)
    equal([p["exported"] for p in f.pools()], [False], "as it was made")
    equal(f.json("export", "tank")["pool"]["exported"], True)
    equal([p["exported"] for p in f.pools()], [True])
    equal(f.json("import", "tank")["pool"]["imported"], True)
    equal([p["exported"] for p in f.pools()], [False])


def another_computer():
    """The disks of a computer that failed, under another machine-id: asks first."""
    f = Folder("abroad")
    f.pool("tank", 2, 1)
    with open(f.at("machine-id"), "w", encoding="ascii") as g:
        g.write("0123456789abcdef0123456789abcdef\n")
    there = ["unshare", "-m", "sh", "-c", f"mount --bind {f.at('machine-id')} /etc/machine-id && exec \"$@\"", "sh"]

    def crash(before=()):
        f.good("mount", "tank", f.at("mnt"), before=before)
        Mounted(f, "tank").crash()

    os.mkdir(f.at("mnt"))
    crash()
    f.refuses(["set", "tank", "verify=checksum"], "OTHER_HOST", "tank", "another computer", before=there)
    f.refuses(["import", "tank"], "OTHER_HOST", "tank", "import", before=there)
    equal(f.pools(before=there)[0]["other_host"], True)
    f.json("status", "tank", before=there)
    f.good("import", "tank", "--from-other-computer", before=there)
    equal(f.pools(before=there)[0]["other_host"], False)
    f.good("set", "tank", "verify=parity", before=there)
    f.good("export", "tank", before=there)
    f.good("set", "tank", "verify=checksum")


# --- with one ---

def check_finds_what_is_wrong():
    f = Folder("check")
    disks = f.pool("tank", 3, 1)
    with Mounted(f, "tank") as m:
        m.write("file", noise(12 * MIB, 4))
    clean = f.json("check", *disks)["check"]
    equal((clean["problems"], clean["files"], clean["messages"]), (0, 1, []))
    # Wherever the bytes of the file stand on one disk, others stand in the end.
    with open(disks[1], "r+b") as g:
        for at in range(5 * MIB, 63 * MIB, 65536):
            g.seek(at)
            block = g.read(65536)
            if any(block[32768:]):
                g.seek(at + 32768)
                g.write(bytes(b ^ 0x55 for b in block[32768:33280]))
    before = f.state()
    found = f.json("check", *disks, status=3)["check"]
    if not found["problems"] or found["repairable"] != found["problems"] or not found["messages"]:
        raise AssertionError(found)
    equal(f.state(), before, "after check")
    r = f.run("scrub", "tank", "--wait")
    repaired = int(re.search(r"(\d+) extents repaired, 0 lost", r.stdout)[1])
    if repaired < 1:
        raise AssertionError(r.stdout)
    equal(f.json("check", *disks)["check"]["problems"], 0)
    with Mounted(f, "tank") as m:
        equal(m.read("file") == noise(12 * MIB, 4), True, "the file")


def status_of_a_mounted_pool():
    f = Folder("mounted")
    disks = f.pool("tank", 3, 1)
    with Mounted(f, "tank") as m:
        m.write("file", noise(8 * MIB, 1))
        for name in ("tank", m.point, disks[2], "./mnt"):
            r = subprocess.run([SCALEFS, "status", name, "--json"], capture_output=True, text=True, cwd=f.path, check=True,
                               env=f.env(), timeout=60)
            s = contract(json.loads(r.stdout))
            equal((s["pool"]["name"], s["pool"]["mounted"], s["pool"]["state"]), ("tank", m.point, "healthy"))
        if s["capacity"]["used"] < 8 * MIB:
            raise AssertionError(s["capacity"])
        st = os.statvfs(m.point)
        df = st.f_bavail * st.f_frsize
        if abs(df - f.json("status", "tank")["capacity"]["free"]) > df // 50 + MIB:
            raise AssertionError(f"df says {df}, status {s['capacity']}")
        with open(os.path.join(m.point, "waiting"), "wb") as g:  # not told to be durable: it waits in memory for a while
            g.write(noise(3 * MIB, 3))
        used = f.json("status", "tank")["capacity"]["used"]
        if not s["capacity"]["used"] + 3 * MIB <= used <= s["capacity"]["used"] + 4 * MIB:
            raise AssertionError(f"{used} after {s['capacity']}")
        listed = f.pools()
        equal([(p["mounted"], p["state"], p["disks_found"]) for p in listed], [(m.point, "healthy", 3)])
        text = f.good("status", "tank")
        if f"mounted    {m.point}" not in text or "GiB" not in text and "MiB" not in text:
            raise AssertionError(text)
    equal(f.json("status", "tank")["pool"]["mounted"], None)
    f.pool("attic", 2, 1, start=5)
    equal(sorted(contract(p)["pool"]["name"] for p in json.loads(f.run("status", "--json").stdout)["pools"] if p["pool"]["name"] in ("attic", "tank")),
          ["attic", "tank"], "pools that status shows when none is named")


def work_on_a_mounted_pool():
    f = Folder("live")
    disks = f.pool("tank", 3, 1)
    data = noise(16 * MIB, 2)
    with Mounted(f, "tank") as m:
        m.write("file", data)
        f.good("set", "tank", "verify=parity")
        equal(f.json("status", "tank")["config"]["verify"], "parity")
        equal(contract(f.json("scrub", "tank", "--wait"))["repairs"], {"extents": 0, "lost_extents": 0})
        r = subprocess.run([SCALEFS, "replace", "tank", "disk1", "new", "--size", "64M", "--wait"], capture_output=True, text=True,
                           cwd=f.path, env=f.env(), timeout=60, check=False)
        equal(r.returncode, 0, r.stdout + r.stderr)
        s = f.json("status", "tank")
        equal(sorted(d["path"] for d in s["disks"]), sorted([disks[0], disks[2], f.at("new")]))
        gone = next(d["id"] for d in s["disks"] if d["path"] == disks[2])
        f.good("offline", "tank", str(gone))
        s = f.json("status", "tank", status=3)
        equal((s["pool"]["state"], [d["state"] for d in s["disks"] if d["id"] == gone]), ("degraded", ["absent"]))
        m.write("meanwhile", data[:MIB])
        f.good("online", "tank", disks[2])
        f.good("wait", "tank")
        equal(f.json("status", "tank")["pool"]["state"], "healthy")
        equal(m.read("file") == data and m.read("meanwhile") == data[:MIB], True, "files")
        time.sleep(2)  # the speed of work is not what it is from the last work on
        told = f.good("scrub", "tank", "--wait")
        if re.search(r"\d (min|h|days) .*left|Scrubbed: [^0]", told) or "Scrubbed: 0" not in told:
            raise AssertionError(told)
        f.good("offline", "tank", disks[2])
        m.write("meanwhile", data[MIB:2 * MIB])
    # Not mounted, the command does the work itself before it says so.
    told = f.good("online", "tank", disks[2])
    equal(told.strip().split("\n")[-1], "The disk is online, and has what it missed.")
    equal(f.json("status", "tank")["tasks"], [])
    f.good("check", disks[0], disks[2], f.at("new"))


def a_scrub_can_be_led():
    f = Folder("scrub")
    f.pool("tank", 3, 1)
    with Mounted(f, "tank") as m:
        m.write("file", noise(16 * MIB, 2))
        for action in ([], ["pause"], ["resume"], ["stop"]):
            r = f.run("scrub", "tank", *action)  # it may have come to its end before
            if r.returncode not in (0, 1) or r.returncode == 1 and not r.stderr.startswith("scalefs: "):
                raise AssertionError(r.stdout + r.stderr)
        equal(f.json("wait", "tank")["tasks"], [])


def a_scrub_tells_what_it_has_not_read():
    f = Folder("unread")
    disks = f.pool("tank", 3, 1)
    with Mounted(f, "tank") as m:
        m.write("file", noise(16 * MIB, 2))
        f.good("offline", "tank", "2")
        r = f.run("scrub", "tank", "--wait")
        equal(r.returncode, 3, r.stdout + r.stderr)
        if not re.search(r"Scrubbed, but not all: .*\n[0-9.]+ MiB of disk 2, which is absent, could not be read; all else is", r.stdout):
            raise AssertionError(r.stdout)
        task, = f.json("status", "tank", status=3)["tasks"]
        equal((task["kind"], task["state"], "of disk 2, which is absent" in task["reason"]), ("scrub", "blocked", True))
        f.good("online", "tank", disks[1])
        equal(f.json("wait", "tank")["tasks"], [])
        if not re.search(r"^Scrubbed: 0 extents repaired, 0 lost.$", f.good("scrub", "tank", "--wait"), re.M):
            raise AssertionError


def unmounting_frees_the_disks():
    f = Folder("free")
    disks = f.pool("tank", 3, 1)
    for i in range(4):
        with Mounted(f, "tank") as m:
            m.write(f"file{i}", noise(4 * MIB, i))
            for d in disks:
                equal(len(holders(d)) > 0, True, f"while mounted, somebody has {d}")
            f.good("unmount", m.point if i % 2 else "tank")
            equal(os.path.ismount(m.point), False)
            for d in disks:  # nobody holds them: neither open nor locked
                equal(holders(d), [], d)
            f.good("check", *disks)


def umount_by_the_kernel_is_as_good():
    f = Folder("umount")
    disks = f.pool("tank", 2, 1)
    with Mounted(f, "tank") as m:
        m.write("file", b"content")
        server = m.server()
        subprocess.run(["umount", m.point], check=True, timeout=60)
        wait_for_end(server)
    equal(json.loads(f.good("check", *disks, "--json"))["check"]["files"], 1)


def a_server_that_was_killed():
    """What it leaves behind: a dead mount and a socket. unmount takes the first away, anyone the second."""
    f = Folder("killed")
    disks = f.pool("tank", 2, 1)
    point = f.at("mnt")
    os.mkdir(point)
    f.good("mount", "tank", point)
    equal(len(os.listdir(f.sockets)), 1)
    m = Mounted(f, "tank")
    m.write("file", b"durable")
    server = m.server()
    os.kill(server, signal.SIGKILL)
    wait_for_end(server)
    wait_until_free(*disks)
    equal(len(os.listdir(f.sockets)), 1, "sockets")
    f.good("unmount", point)
    equal(os.listdir(f.sockets), [])
    equal(os.path.ismount(point), False)
    f.refuses(["unmount", point], "NOENT", "mnt", "mounted")
    f.good("check", *disks)
    f.good("mount", "tank", point)
    equal(m.read("file"), b"durable")
    f.good("unmount", "tank")
    equal(os.listdir(f.sockets), [])


def what_is_not_ours_stays_mounted():
    f = Folder("notours")
    os.mkdir(f.at("mnt"))
    subprocess.run(["mount", "-t", "tmpfs", "none", f.at("mnt")], check=True, timeout=20)
    try:
        r = f.run("unmount", f.at("mnt"))
        equal((r.returncode, os.path.ismount(f.at("mnt"))), (1, True), r.stderr)
    finally:
        subprocess.run(["umount", f.at("mnt")], check=True, timeout=20)


def export_of_a_mounted_pool():
    f = Folder("exportlive")
    f.pool("tank", 2, 1)
    with Mounted(f, "tank") as m:
        m.write("file", b"x")
        with open(os.path.join(m.point, "file"), "rb"):
            r = f.run("export", "tank")
            equal((r.returncode, os.path.ismount(m.point)), (1, True), r.stderr)
        f.good("export", "tank")
        equal(os.path.ismount(m.point), False)
    equal([p["exported"] for p in f.pools()], [True])


def read_only_and_foreground():
    f = Folder("modes")
    f.pool("tank", 2, 1)
    with Mounted(f, "tank") as m:
        m.write("file", b"x")
    before = {p: v for p, v in f.state().items() if "disk" in p}
    with Mounted(f, "tank", "--read-only") as m:
        equal(m.read("file"), b"x")
        try:
            m.write("other", b"y")
            raise AssertionError("could write")
        except OSError as e:
            equal(e.errno, 30)
        f.run("set", "tank", "verify=parity")
    equal({p: v for p, v in f.state().items() if "disk" in p}, before, "disks after looking")
    p = subprocess.Popen([SCALEFS, "mount", "tank", f.at("mnt"), "--foreground"], env=f.env(),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    while not os.path.ismount(f.at("mnt")) and p.poll() is None:
        time.sleep(0.01)
    while f.run("status", f.at("mnt")).returncode and p.poll() is None:
        time.sleep(0.01)
    f.good("unmount", "tank")
    equal(p.wait(20), 0)


def an_ordinary_user():
    """Makes and looks after a pool of files without being root."""
    f = Folder("user")
    os.chmod(f.path, 0o777)
    os.chmod(os.path.dirname(f.path), 0o755)
    as_user = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    f.good("create", "own", f.at("a"), f.at("b"), "--size", "64M", "--failover", "1", before=as_user)
    equal(os.stat(f.at("a")).st_uid, NOBODY)
    equal(f.json("status", "own", before=as_user)["pool"]["state"], "healthy")
    f.good("check", f.at("a"), f.at("b"), before=as_user)


def main():
    for function in (help_and_version, create_says_what_it_made, stations_are_kept, list_shows_every_pool, looking_changes_nothing,
                     settings_last, work_on_a_pool_that_is_not_mounted, export_and_import):
        case(function)
    for function in (what_is_not_ours_stays_mounted, an_ordinary_user, another_computer):
        if have_root() and (function is not another_computer or have_fuse()):
            case(function)
        else:
            skip(function.__name__, "needs root and FUSE")
    for function in (check_finds_what_is_wrong, status_of_a_mounted_pool, work_on_a_mounted_pool, a_scrub_can_be_led,
                     a_scrub_tells_what_it_has_not_read,
                     unmounting_frees_the_disks, umount_by_the_kernel_is_as_good, a_server_that_was_killed, export_of_a_mounted_pool,
                     read_only_and_foreground):
        if have_fuse():
            case(function)
        else:
            skip(function.__name__, "needs FUSE")
    finish()


if __name__ == "__main__":
    main()
