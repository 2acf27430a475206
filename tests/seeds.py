"""Many seeds of a simulation, in pieces that run side by side, and what they come to together.

The programs print a line for each seed, `ok - MODE seed N: …; 4 lives, 2 cuts, …; digest …`. A piece whose program ends in
the middle (an assert, no time left) is taken up again after the seed that ended it. The time is for a piece, and for one seed.
"""
import collections
import concurrent.futures
import re

SEED = re.compile(r"^(?:# )?(not )?ok - (?:\w+ )?seed (\d+)\b(.*)$", re.M)
COUNT = re.compile(r"(\d+) (lives|cuts|kills|operations|checkpoints|rows reused|transactions|extents|"
                   r"disks pulled|returned|replaced|scrubs)\b")
PIECE = 20


class Seeds:
    """What came of many seeds. `run` is called with (arguments, seconds) and gives (output, status)."""

    def __init__(self, run, arguments, piece_seconds):
        self.run = run
        self.arguments = arguments  # function: (first, count) -> list of words
        self.piece_seconds = piece_seconds
        self.good = 0
        self.bad = []  # (seed, the end of what was printed)
        self.totals = collections.Counter()

    def take(self, output):
        """Counts the lines; the last seed that has one, or None."""
        last = None
        for wrong, number, rest in SEED.findall(output):
            last = int(number)
            if wrong:
                self.bad.append((last, tail(output, last)))
            else:
                self.good += 1
            self.totals.update({what: int(n) for n, what in COUNT.findall(rest)})
        return last

    def piece(self, first, end):
        results = []
        while first < end:
            output, status = self.run(self.arguments(first, end - first), self.piece_seconds)
            done = [int(number) for _, number, _ in SEED.findall(output)]
            first = max(done, default=first - 1) + 1
            # Out of time in the middle: the seed at which it was gets all the time for itself.
            culprit = first < end and not (status is None and done)
            results.append((output, first if culprit else None, status))
            first += culprit
        return results

    def go(self, first, count, jobs, progress=None):
        """All seeds from `first` on. progress(done, failed) is called now and then."""
        pieces = [(n, min(n + PIECE, first + count)) for n in range(first, first + count, PIECE)]
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for done in concurrent.futures.as_completed([pool.submit(self.piece, *p) for p in pieces]):
                for output, ended_by, status in done.result():
                    self.take(output)
                    if ended_by is not None:
                        how = f"not done after {self.piece_seconds} s" if status is None else f"ended with status {status}"
                        self.bad.append((ended_by, f"{how}\n{tail(output)}"))
                if progress:
                    progress(self.good + len(self.bad), len(self.bad))
        self.bad.sort()

    def summary(self):
        return ", ".join(f"{n:,} {what}" for what, n in self.totals.items())


def tail(output, seed=None):
    """The last lines; of those that stand before a seed's own."""
    if seed is not None:
        at = re.search(rf"^(# )?not ok - (\w+ )?seed {seed}\b.*$", output, re.M)
        output = output[:at.end()] if at else output
        lines = output.split("\n")
        start = max((i for i, line in enumerate(lines[:-1]) if SEED.match(line)), default=-1) + 1
        return "\n".join(lines[start:][-30:])
    return "\n".join(output.rstrip().split("\n")[-30:])
