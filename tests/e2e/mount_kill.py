#!/usr/bin/env python3
"""kill -9 of the server under load: what was acknowledged by fsync is there afterwards, whole.

E2E_KILLS (default 5): how often. E2E_SEED chooses the load and the moments.
"""
import hashlib
import json
import multiprocessing
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import KIB, MIB, Pool, case, drop_caches, finish, have_fuse, note, skip


def fsync_path(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def writer(folder, log_path, seed):
    """Works until the mount is gone. Every acknowledged fact goes to the log outside the pool first
    as an intention, then as a promise that the pool must keep."""
    r = random.Random(seed)
    os.makedirs(folder, exist_ok=True)
    with open(log_path, "a", encoding="ascii") as log:
        def tell(*fact):
            log.write(json.dumps(fact) + "\n")
            log.flush()

        try:
            number = 0
            while True:
                number += 1
                kind = r.random()
                path = os.path.join(folder, f"{seed}-{number}")
                data = r.randbytes(r.choice((100, 5000, 70_000, r.randrange(1, 900 * KIB))))
                digest = hashlib.sha256(data).hexdigest()
                if kind < 0.55:  # a new file
                    with open(path, "wb") as f:
                        f.write(data)
                        f.flush()
                        os.fsync(f.fileno())
                    fsync_path(folder)
                    tell("is", path, digest)
                elif kind < 0.8:  # replaced as editors do: the old or the new content, nothing else
                    path = os.path.join(folder, f"{seed}-replaced-{r.randrange(4)}")
                    tell("may", path, digest)
                    with open(path + ".new", "wb") as f:
                        f.write(data)
                        f.flush()
                        os.fsync(f.fileno())
                    os.rename(path + ".new", path)
                    fsync_path(folder)
                    tell("is", path, digest)
                elif kind < 0.9:  # appended to, synced each time
                    path = os.path.join(folder, f"{seed}-log")
                    line = f"{number:010d}\n".encode()
                    with open(path, "ab") as f:
                        f.write(line)
                        f.flush()
                        os.fsync(f.fileno())
                    tell("line", path, number)
                else:  # unsynced noise, and removing
                    for i in range(r.randrange(8)):
                        with open(f"{path}.{i}", "wb") as f:
                            f.write(data)
                    for i in range(r.randrange(8)):
                        try:
                            os.unlink(f"{path}.{i}")
                        except FileNotFoundError:
                            pass
        except OSError:
            return  # the server is gone


def promises(log_path):
    """What must hold after the kill: path -> set of allowed digests; path -> lines."""
    allowed, lines = {}, {}
    with open(log_path, encoding="ascii") as f:
        for text in f:
            try:
                kind, path, what = json.loads(text)
            except ValueError:
                continue  # the last line, cut
            if kind == "is":
                allowed[path] = {what}
            elif kind == "may":
                if path in allowed:
                    allowed[path].add(what)
            else:
                lines.setdefault(path, []).append(what)
    return allowed, lines


def verify(logs):
    drop_caches()
    wrong, count = [], 0
    for log in logs:
        allowed, lines = promises(log)
        for path, digests in allowed.items():
            count += 1
            try:
                with open(path, "rb") as f:
                    found = hashlib.sha256(f.read()).hexdigest()
            except OSError as e:
                wrong.append(f"{path}: {e}")
                continue
            if found not in digests:
                wrong.append(f"{path}: other content ({os.path.getsize(path)} bytes)")
        for path, numbers in lines.items():
            count += 1
            try:
                with open(path, "rb") as f:
                    found = f.read().split(b"\n")
            except OSError as e:
                wrong.append(f"{path}: {e}")
                continue
            missing = {f"{n:010d}".encode() for n in numbers} - set(found)
            if missing:
                wrong.append(f"{path}: {len(missing)} of {len(numbers)} lines are missing")
    note(f"{count} promises looked at")
    if wrong:
        raise AssertionError("\n".join(wrong[:20]))
    if not count:
        raise AssertionError("nothing had been promised")


def one_round(pool, number, seed, logs):
    r = random.Random(seed)
    workers = []
    for i in range(3):
        log = os.path.join(pool.folder, f"log-{number}-{i}")
        logs.append(log)
        p = multiprocessing.Process(target=writer, args=(pool.path(f"w{number}-{i}"), log, seed * 10 + i))
        p.start()
        workers.append(p)
    time.sleep(r.uniform(0.4, 2.5))
    if not pool.kill_server():
        raise AssertionError("there was no server to kill")
    for p in workers:
        p.join(30)
        if p.is_alive():
            p.kill()
            raise AssertionError("a writer hangs")


def checked_and_right(pool, logs):
    pool.check()
    pool.mount()
    verify(logs)


def synced_by_the_root(pool):
    """fsync of the root folder stands for sync(2), which no FUSE server hears of: all that was handed over is durable."""
    data = {pool.path(f"synced-{i}"): random.Random(i).randbytes(1000 * i + 1) for i in range(50)}
    for path, content in data.items():
        with open(path, "wb") as f:
            f.write(content)
    os.sync()
    fsync_path(pool.mount_point)
    if not pool.kill_server():
        raise AssertionError("there was no server to kill")
    pool.check()
    pool.mount()
    for path, content in data.items():
        with open(path, "rb") as f:
            if f.read() != content:
                raise AssertionError(f"{path} is not what it was")
        os.unlink(path)


def main():
    if not have_fuse():
        skip("mount_kill", "no /dev/fuse")
        finish()
    seed = int(os.environ.get("E2E_SEED", "1"))
    pool = Pool("kill", [384 * MIB, 384 * MIB, 512 * MIB], failover=1)
    pool.mount()
    case(synced_by_the_root, pool, timeout=120)
    logs = []
    for number in range(int(os.environ.get("E2E_KILLS", "5"))):
        # In this process: the list of logs grows.
        one_round(pool, number, seed + number, logs)
        if not case(checked_and_right, pool, logs, timeout=120, name=f"after_kill_{number + 1}"):
            break
        if number % 2:  # the space of older rounds is used again
            for name in os.listdir(pool.mount_point):
                for n in os.listdir(pool.path(name)):
                    os.unlink(pool.path(name, n))
            logs.clear()
    if pool.mounted():
        pool.unmount()
    case(pool.check, name="check_at_the_end", timeout=120)
    finish()


if __name__ == "__main__":
    main()
