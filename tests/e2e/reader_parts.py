#!/usr/bin/env python3
"""The independent reader's own parts: XXH3, the field, and rows that are encoded here by FORMAT.md."""
import ctypes
import ctypes.util
import itertools
import os
import random
import struct
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lib_pool import case, equal, finish
from lib_reader import scalefs_reader
import gf256
import rows
from blocks import H
from xxh3 import xxh3_64

LENGTHS = [0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 96, 97, 127, 128, 129, 143, 144, 200, 239, 240,
           241, 256, 511, 512, 1023, 1024, 1025, 1087, 1088, 1089, 2048, 4096, 16384, 100001]


def hash_known():
    """Values that other implementations give."""
    data = bytes((i * 131 + (i >> 8) * 7) & 255 for i in range(4096))
    for length, seed, value in KNOWN:
        equal(hex(xxh3_64(data[:length], seed)), hex(value), f"{length} bytes, seed {seed:#x}")


def hash_beside_the_library():
    """Bit for bit as libxxhash, where it is installed."""
    name = ctypes.util.find_library("xxhash")
    if not name:
        return
    theirs = ctypes.CDLL(name).XXH3_64bits_withSeed
    theirs.restype, theirs.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    r = random.Random(1)
    for length in LENGTHS:
        for seed in (0, 1, 2**64 - 1, r.getrandbits(64)):
            data = r.randbytes(length)
            equal(xxh3_64(data, seed), theirs(data, length, seed), f"{length} bytes, seed {seed:#x}")


def field():
    equal([gf256.coefficient(*p) for p in ((1, 1), (2, 3), (30, 63))], [0xE8, 0x20, 0x8B], "check values")
    for i in range(31):
        equal(gf256.coefficient(i, 0), 1, "first column")
    for j in range(64):
        equal(gf256.coefficient(0, j), 1, "first row")
    for a in range(1, 256):
        equal(gf256.mul(a, gf256.div(1, a)), 1, "inverse")


def rebuilding():
    r = random.Random(2)
    for _ in range(80):
        k, m = r.randint(1, 12), r.randint(1, 6)
        full = dict(enumerate(r.randbytes(48) for _ in range(k)))
        full.update(gf256.rebuild(full, k, range(k, k + m)))
        equal(full[k], gf256.add([full[c] for c in range(k)], 48), "the first parity")
        lost = r.sample(range(k + m), m)
        left = {c: u for c, u in full.items() if c not in lost}
        equal(gf256.rebuild(left, k, lost), {c: full[c] for c in lost}, f"{k}+{m} without {lost}")


class FakePool:
    """A group of units in memory; `stale`: columns that are owed."""

    def __init__(self, units, stale=()):
        self.units, self.stale = units, stale

    def owed(self, _g, _row, c):
        return c in self.stale

    def unit(self, _g, _row, c):
        return self.units.get(c)


def encoded_row(k, m, entries, seed, txn=9):
    """A data row by FORMAT.md, section 6: its group, its units, its data."""
    r = random.Random(seed)
    unit, number, pool = 32768, 3, r.randbytes(16)
    g = {"group": 77, "generation": 5, "k": k, "m": m, "unit": unit}
    header = 72 + 8 * (k + m) + 64 * entries
    s = -(-header // 4096)
    data = bytearray(r.randbytes(k * unit - s * 4096))
    packed = b"".join(struct.pack("<QQIIIBBHQIIQQ", 100 + i, 9, 16 * i, 16, 16, 0, 0, 1,
                                  H(struct.pack("<Q", i)), 16, 0, 1, 0) for i in range(entries))
    units = {c: bytes(data[c * unit:(c + 1) * unit]) for c in range(k)}
    bodies = gf256.rebuild({c: u.ljust(unit, b"\0") for c, u in units.items()}, k, range(k, k + m))
    bodies.update(units)
    sums = []
    for c in range(k + m):
        body = bodies[c] if c < k - 1 else bodies[c][:unit - s * 4096]
        sums.append(H(body, 77, number, c))
    summary = bytearray(struct.pack("<IHBBQ16sIIQQQIHH", 0x53534653, 1, 0, s, 0, pool, 77, entries,
                                    number * k * unit, 5, txn, len(data), k + m, header))
    summary += struct.pack(f"<{k + m}Q", *sums) + packed
    summary += bytes(s * 4096 - len(summary))
    struct.pack_into("<Q", summary, 8, H(summary, 77, number * k * unit, 5))
    units[k - 1] += bytes(summary)
    units.update(gf256.rebuild(units, k, range(k, k + m)))
    return g, number, units, bytes(data + summary), s


def row_survives(k, m, entries):
    """Every combination of missing and wrong columns that the parity bears."""
    g, number, units, data, s = encoded_row(k, m, entries, k * 100 + m)
    for lost in itertools.chain.from_iterable(itertools.combinations(range(k + m), n) for n in range(m + 1)):
        for wrong_from in range(len(lost) + 1):
            left = {c: u for c, u in units.items() if c not in lost[wrong_from:]}
            for c in lost[:wrong_from]:
                at = (c * 5077 + 11) % (g["unit"] - s * 4096)
                left[c] = left[c][:at] + bytes([left[c][at] ^ 1]) + left[c][at + 1:]
            row = rows.Row(FakePool(left), g, number)
            equal(row.data() == data, True, f"data without {lost}")
            equal((row.missing, row.wrong), (list(lost[wrong_from:]), list(lost[:wrong_from])), "what was wrong")
            equal(len(row.summary.entries), entries, "entries")


def row_with_a_wrong_end():
    """The end of the last data unit and of parity has no sum; wrong bytes there are found nevertheless."""
    g, number, units, data, _ = encoded_row(4, 2, 3, 1)
    for c in (3, 4, 5):
        left = dict(units)
        left[c] = left[c][:-5] + bytes([left[c][-5] ^ 64]) + left[c][-4:]
        row = rows.Row(FakePool(left), g, number)
        equal((row.data() == data, row.wrong), (True, [c]), f"column {c}")


def row_with_stale_columns():
    """A disk that was away holds an older row, whose summary is valid at this very place."""
    g, number, units, data, _ = encoded_row(3, 2, 3, 7, txn=20)
    _, _, older, _, _ = encoded_row(3, 2, 4, 8, txn=10)
    for stale in itertools.chain(itertools.combinations(range(5), 1), itertools.combinations(range(5), 2)):
        mixed = {c: older[c] if c in stale else u for c, u in units.items()}
        row = rows.Row(FakePool(mixed, stale), g, number)
        equal((row.data() == data, row.wrong), (True, list(stale)), f"stale {stale}")
    # A disk that catches up counts as owed, but has the row already: it is needed, and is right.
    left = {c: u for c, u in units.items() if c not in (1, 3)}
    equal(rows.Row(FakePool(left, (2,)), g, number).data() == data, True, "needed although owed")


def row_beyond_parity():
    g, number, units, _, _ = encoded_row(3, 2, 3, 2)
    for lost in itertools.combinations(range(5), 3):
        left = {c: u for c, u in units.items() if c not in lost}
        try:
            rows.Row(FakePool(left), g, number)
        except scalefs_reader.Bad:
            continue
        raise AssertionError(f"a row was made out of nothing, without {lost}")


KNOWN = [  # length, seed, value
    (0, 0x0, 0x2d06800538d394c2),
    (0, 0x123456789abcdef, 0xcc1ca35a1b089c5c),
    (1, 0x0, 0xc44bdff4074eecdb),
    (1, 0x123456789abcdef, 0xd5dd68911c7f195d),
    (3, 0x0, 0x6811538b444fc6dc),
    (3, 0x123456789abcdef, 0x343dbd4b9b572b8e),
    (4, 0x0, 0xed503340c589a28b),
    (4, 0x123456789abcdef, 0x27fc0e776c757324),
    (8, 0x0, 0xe5b43ab074c9c13b),
    (8, 0x123456789abcdef, 0x4f99ee67ff93e698),
    (9, 0x0, 0x089b8d25b20fb877),
    (9, 0x123456789abcdef, 0xa703151b2543398e),
    (16, 0x0, 0x0a0ec5ae8679cb7f),
    (16, 0x123456789abcdef, 0x2eb982afb5716ba9),
    (17, 0x0, 0x57c52d21ce492c1e),
    (17, 0x123456789abcdef, 0x0cd78a4269e05cfc),
    (96, 0x0, 0x7f316343f379455b),
    (96, 0x123456789abcdef, 0xfcbf5245d5c13c62),
    (128, 0x0, 0x696069c4f1e6a91a),
    (128, 0x123456789abcdef, 0xb03707457c59dc50),
    (129, 0x0, 0xb1ada52285757beb),
    (129, 0x123456789abcdef, 0x642fc6ae6a6706fd),
    (240, 0x0, 0xb80284837259eee4),
    (240, 0x123456789abcdef, 0x4133dbedc32fbb41),
    (241, 0x0, 0x44dbd3180a664e27),
    (241, 0x123456789abcdef, 0x461de164de799bf3),
    (1024, 0x0, 0xd1abb5dbd52032f9),
    (1024, 0x123456789abcdef, 0xbe433c41df77f758),
    (1025, 0x0, 0xa3908b116ddf0191),
    (1025, 0x123456789abcdef, 0xc88d6dd674f541a7),
    (4096, 0x0, 0x9f544112e3e91bb5),
    (4096, 0x123456789abcdef, 0xd8b6388653d17795),
]

case(hash_known)
case(hash_beside_the_library)
case(field)
case(rebuilding)
for SHAPE in ((1, 0, 2), (1, 2, 3), (2, 1, 1), (4, 2, 5), (4, 3, 130)):
    case(row_survives, *SHAPE, name="row_survives %d+%d, %d extents" % SHAPE)
case(row_with_a_wrong_end)
case(row_with_stale_columns)
case(row_beyond_parity)
finish()
