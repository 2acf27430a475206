"""Arithmetic of parity code 1 (FORMAT.md, section 5): GF(2^8) with 0x11d, in plain Python.

Units are byte strings of equal length; a unit times a number is one bytes.translate.
"""
import functools

EXP = [0] * 512
LOG = [0] * 256
_x = 1
for _i in range(255):
    EXP[_i] = EXP[_i + 255] = _x
    LOG[_x] = _i
    _x = _x << 1 ^ (0x11D if _x & 0x80 else 0)


def mul(a, b):
    return EXP[LOG[a] + LOG[b]] if a and b else 0


def div(a, b):
    return EXP[LOG[a] + 255 - LOG[b]] if a else 0


def coefficient(i, j):
    """c(i, j): what data unit j is multiplied with in parity unit i."""
    return div(mul(32 + j, 32 + i), mul(i ^ (32 + j), 32))


@functools.lru_cache(maxsize=None)
def _times(c):
    return bytes(mul(c, v) for v in range(256))


def scale(unit, c):
    return unit if c == 1 else unit.translate(_times(c))


def add(units, length):
    """The sum (exclusive or) of units of the same length."""
    total = 0
    for u in units:
        total ^= int.from_bytes(u, "little")
    return total.to_bytes(length, "little")


def row_of_column(c, k):
    """How column c of a row follows from its k data units: k factors."""
    if c < k:
        return [int(j == c) for j in range(k)]
    return [coefficient(c - k, j) for j in range(k)]


def invert(matrix):
    """The inverse of a square matrix, by elimination; None when it has none."""
    n = len(matrix)
    m = [list(r) + [int(i == j) for j in range(n)] for i, r in enumerate(matrix)]
    for p in range(n):
        pivot = next((r for r in range(p, n) if m[r][p]), None)
        if pivot is None:
            return None
        m[p], m[pivot] = m[pivot], m[p]
        f = m[p][p]
        m[p] = [div(v, f) for v in m[p]]
        for r in range(n):
            f = m[r][p]
            if r != p and f:
                m[r] = [v ^ mul(f, w) for v, w in zip(m[r], m[p])]
    return [r[n:] for r in m]


def rebuild(known, k, wanted):
    """The units `wanted` (column numbers) out of `known` (column -> unit, at least k of them)."""
    chosen = sorted(known)[:k]
    length = len(known[chosen[0]])
    back = invert([row_of_column(c, k) for c in chosen])
    result = {}
    for w in wanted:
        row = row_of_column(w, k)
        factors = [0] * k
        for j in range(k):
            for s in range(k):
                factors[s] ^= mul(row[j], back[j][s])
        result[w] = add([scale(known[c], f) for c, f in zip(chosen, factors) if f], length)
    return result
