#!/usr/bin/env python3
"""Programs at work inside the mount: git, tar, cp, rsync-like trees, a compiler, SQLite."""
import filecmp
import os
import shutil
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import MIB, ROOT, case, drop_caches, equal, finish, have_fuse, mounted_pool, skip


def sh(*command, cwd=None):
    r = subprocess.run(command, cwd=cwd or POOL.mount_point, capture_output=True, text=True, timeout=100, check=False,
                       env=dict(os.environ, GIT_AUTHOR_NAME="t", GIT_AUTHOR_EMAIL="t@t", GIT_COMMITTER_NAME="t",
                                GIT_COMMITTER_EMAIL="t@t", GIT_CONFIG_NOSYSTEM="1", HOME=POOL.mount_point))
    if r.returncode:
        raise AssertionError(f"{' '.join(command)}: status {r.returncode}\n{r.stdout}{r.stderr}")
    return r.stdout


def source_repository():
    """The project's own repository; a small one made here where there is none (an unpacked release)."""
    if os.path.exists(os.path.join(ROOT, ".git")):
        return ROOT
    path = POOL.path("origin")
    sh("git", "init", "-q", path)
    shutil.copytree(os.path.join(ROOT, "tests"), os.path.join(path, "tests"))
    sh("git", "add", "-A", cwd=path)
    sh("git", "commit", "-qm", "first", cwd=path)
    return path


def git():
    origin = source_repository()
    work = POOL.path("work")
    sh("git", "clone", "-q", "--no-hardlinks", origin, work)
    sh("git", "fsck", "--strict", cwd=work)
    head = sh("git", "rev-parse", "HEAD", cwd=work)
    for i in range(12):
        with open(os.path.join(work, f"file{i}.txt"), "w", encoding="ascii") as f:
            f.write(f"line {i}\n" * (i * 400))
        sh("git", "add", "-A", cwd=work)
        sh("git", "commit", "-qm", f"commit {i}", cwd=work)
    sh("git", "checkout", "-q", "-b", "other", head.strip(), cwd=work)
    sh("git", "merge", "-q", "--no-edit", "-", cwd=work)
    sh("git", "gc", "-q", "--prune=now", cwd=work)
    drop_caches()
    sh("git", "fsck", "--strict", "--full", cwd=work)
    equal(sh("git", "status", "--porcelain", cwd=work), "", "git status after everything")
    again = POOL.path("again")
    sh("git", "clone", "-q", work, again)  # hard links
    sh("git", "fsck", cwd=again)


def trees():
    source = "/usr/include" if os.path.isdir("/usr/include/linux") else os.path.join(ROOT, "src")
    sh("cp", "-a", source, "copy")
    sh("tar", "-cf", "copy.tar", "copy")
    os.mkdir(POOL.path("unpacked"))
    sh("tar", "-xf", "copy.tar", "-C", "unpacked")
    drop_caches()
    sh("diff", "-r", "--no-dereference", source, "unpacked/copy")
    sh("rm", "-r", "copy")
    os.rename(POOL.path("unpacked/copy"), POOL.path("moved"))
    drop_caches()
    sh("diff", "-r", "--no-dereference", source, "moved")


def sparse_copies():
    with open(POOL.path("sparse"), "wb") as f:
        f.write(b"start")
        f.seek(50 * MIB)
        f.write(b"middle" * 1000)
        f.truncate(100 * MIB)
        f.flush()
        # While it is still open: what the kernel has not written yet must be copied, too.
        sh("cp", "--sparse=auto", "sparse", "copied-open")
    if not filecmp.cmp(POOL.path("sparse"), POOL.path("copied-open"), shallow=False):
        raise AssertionError("the sparse copy differs")
    os.sync()
    if os.stat(POOL.path("copied-open")).st_blocks * 512 > 10 * MIB:
        raise AssertionError("the copy is not sparse")


def compiling():
    with open(POOL.path("hello.c"), "w", encoding="ascii") as f:
        f.write('#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n')
    sh("cc", "-o", "hello", "hello.c")
    equal(sh(POOL.path("hello")), "hello\n")


def databases():
    path = POOL.path("db.sqlite")
    for mode in ("DELETE", "WAL"):
        db = sqlite3.connect(path)
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY, v TEXT)")
        for i in range(60):
            with db:
                db.execute("INSERT INTO t (v) VALUES (?)", (f"value {mode} {i}" * 20,))
        with db:
            db.execute("DELETE FROM t WHERE k % 3 = 0")
        equal(db.execute("PRAGMA integrity_check").fetchone()[0], "ok")
        db.close()


POOL = None


def main():
    global POOL
    if not os.environ.get("E2E_MOUNT") and not have_fuse():
        skip("mount_git", "no /dev/fuse")
        finish()
    POOL = mounted_pool("git", [512 * MIB] * 3, failover=1)
    if shutil.which("git"):
        case(git, timeout=150)
    case(trees, timeout=150)
    case(sparse_copies)
    if shutil.which("cc"):
        case(compiling)
    case(databases, timeout=120)
    if hasattr(POOL, "unmount"):
        POOL.unmount()
        case(POOL.check, name="check_after_unmount", timeout=120)
    finish()


if __name__ == "__main__":
    main()
