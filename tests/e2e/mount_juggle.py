#!/usr/bin/env python3
"""Random verbs on a mounted pool while its files are written, changed and read: each verb is done or refused with a sentence, no byte
is ever wrong, and at the end the pool becomes healthy and sound.

E2E_SEEDS (default 1): how many runs; E2E_SEED (default 1): the first; E2E_STEPS (default 14): verbs in each.
"""
import os
import random
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import KIB, MIB, Pool, case, drop_caches, equal, finish, have_fuse, note, skip

MOST = 20 * MIB  # in all files: no verb is to fail for want of room that files take
FILES = 24


class Juggler:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.pool = Pool(f"juggle{seed}", [self.size() for _ in range(self.r.randrange(3, 5))], failover=self.r.randrange(2))
        self.files = {}
        self.done = {}
        self.story = []

    def size(self):
        return self.r.choice([96, 128, 192]) * MIB

    def new_disk(self):
        path = self.pool.new_disk(self.size(), f"disk{len(self.pool.disks)}")
        self.pool.disks.append(path)
        return path

    # --- files ---

    def content(self):
        n = self.r.choice([self.r.randrange(100), self.r.randrange(20 * KIB), self.r.randrange(2 * MIB)])
        return self.r.randbytes(n) if self.r.random() < 0.6 else bytes([self.r.randrange(256)]) * n

    def path(self, name):
        return self.pool.path(name)

    def change_file(self):
        name = f"file{self.r.randrange(FILES)}"
        old = self.files.get(name)
        what = self.r.random()
        if old is None or what < 0.4:
            data = self.content()
            if sum(map(len, self.files.values())) + len(data) > MOST:
                return
            with open(self.path(name), "wb") as f:
                f.write(data)
            self.files[name] = data
        elif what < 0.6:
            at, data = self.r.randrange(len(old) + 1), self.content()[:100 * KIB]
            with open(self.path(name), "r+b") as f:
                f.seek(at)
                f.write(data)
            self.files[name] = old[:at] + data + old[at + len(data):]
        elif what < 0.75:
            n = self.r.randrange(len(old) + 1)
            os.truncate(self.path(name), n)
            self.files[name] = old[:n]
        elif what < 0.9:
            other = f"file{self.r.randrange(FILES)}"
            os.rename(self.path(name), self.path(other))
            self.files[other] = self.files.pop(name)
        else:
            os.unlink(self.path(name))
            del self.files[name]

    def verify(self):
        if self.r.random() < 0.5:
            drop_caches()
        equal(sorted(os.listdir(self.pool.mount_point)), sorted(self.files), "the names")
        for name, data in self.files.items():
            with open(self.path(name), "rb") as f:
                if f.read() != data:
                    raise AssertionError(f"{name} has other content")

    # --- verbs ---

    def members(self):
        return self.pool.status()["disks"]

    def verb(self, *words):
        """Done, or refused with a sentence."""
        r = self.pool.run(words[0], self.pool.name, *words[1:])
        self.story.append(f"{' '.join(map(os.path.basename, words))}: {r.returncode}")
        if r.returncode not in (0, 1, 3) or r.returncode == 1 and not (r.stderr.startswith("scalefs: ") and len(r.stderr) > 30):
            raise AssertionError(f"{words}: {r.returncode} {r.stdout}{r.stderr}")
        self.done[words[0]] = self.done.get(words[0], 0) + (r.returncode != 1)

    def one_disk(self, state="online"):
        fit = [d for d in self.members() if d["state"] == state]
        return self.r.choice(fit) if fit else None

    def kill(self):
        self.pool.sync()
        self.story.append("kill -9")
        self.pool.kill_server()
        self.pool.mount()

    def remount(self):
        self.story.append("remount")
        self.pool.unmount()
        self.pool.mount()

    def bring_back(self):
        for d in self.members():
            if d["state"] == "absent":
                self.verb("online", d["path"])

    def step(self):
        r, disk = self.r, self.one_disk()
        choices = {
            "add": lambda: self.verb("add", *[self.new_disk() for _ in range(r.randrange(1, 3))]),
            "remove": lambda: self.verb("remove", str(disk["id"]), *r.choice([[], ["--failover", "0"]])),
            "replace": lambda: self.verb("replace", str(disk["id"]), self.new_disk()),
            "offline": lambda: self.verb("offline", str(disk["id"])),
            "online": self.bring_back,
            "failover": lambda: self.verb("set", f"failover={r.randrange(3)}"),
            "optimize": lambda: self.verb("set", "optimize=" + r.choice(["space", "balanced", "performance"])),
            "verify": lambda: self.verb("set", "verify=" + r.choice(["checksum", "parity"])),
            "compression": lambda: self.verb("set", "compression=" + r.choice(["off", "zstd"])),
            "rate": lambda: self.verb("set", "rate=" + r.choice(["off", "20M"])),
            "scrub": lambda: self.verb("scrub", *r.choice([[], [], ["pause"], ["resume"], ["stop"]])),
            "pause": lambda: self.verb("pause"),
            "resume": lambda: self.verb("resume"),
            "cancel": lambda: self.verb("cancel"),
            "kill": self.kill,
            "remount": self.remount,
        }
        name = r.choice(list(choices))
        if len(self.pool.disks) > 12 and name in ("add", "replace"):
            name = "online"
        choices[name]()

    def settle(self):
        """Everything that was asked for is done, and the pool has what it wants."""
        for words in (("set", "rate=off"), ("resume",), ("set", "failover=1")):
            self.verb(*words)
        self.bring_back()
        self.pool.cli("wait", self.pool.name, ok=(0, 3), timeout=100)
        self.bring_back()
        self.pool.cli("wait", self.pool.name, ok=(0, 3), timeout=100)
        self.verify()
        self.verb("scrub", "stop")
        self.pool.cli("scrub", self.pool.name, "--wait", ok=(0, 3), timeout=100)
        s = self.pool.status()
        equal(s["repairs"]["lost_extents"], 0, "lost")
        equal([t for t in s["tasks"] if t["state"] == "running"], [], "tasks that are left")
        if len([d for d in s["disks"] if d["state"] == "online"]) > 1 and not s["tasks"]:
            equal((s["pool"]["state"], s["pool"]["action"]), ("healthy", None), "in the end")
        self.verify()
        members = [d["path"] for d in s["disks"]]
        self.pool.unmount()
        self.pool.cli("check", *members, timeout=100)

    def go(self, steps):
        try:
            self.pool.mount()
            for _ in range(steps):
                for _ in range(self.r.randrange(12)):
                    self.change_file()
                self.step()
                if self.r.random() < 0.5:
                    self.verify()
            self.settle()
            note("verbs: " + ", ".join(f"{name} {count}" for name, count in sorted(self.done.items())))
        except BaseException:
            note("\n".join(self.story))
            raise
        finally:
            self.pool.destroy()


def juggle(seed, steps):
    Juggler(seed).go(steps)


def main():
    if not have_fuse():
        skip("mount_juggle", "no /dev/fuse")
        finish()
    first, seeds = int(os.environ.get("E2E_SEED", "1")), int(os.environ.get("E2E_SEEDS", "1"))
    for seed in range(first, first + seeds):
        case(juggle, seed, int(os.environ.get("E2E_STEPS", "14")), timeout=200, name=f"seed_{seed}")
    finish()


if __name__ == "__main__":
    main()
