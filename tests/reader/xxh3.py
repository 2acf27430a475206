"""XXH3, 64 bits, with a seed: in plain Python, from the published specification of the algorithm.

xxh3_64(data, seed) is all there is to call. Inputs above 240 bytes go through the striped path, whose
inner loop works on whole blocks of 1 KiB so that Python is fast enough for images of some MiB.
"""
import functools
import operator
import struct

M32 = 0xFFFFFFFF
M64 = 0xFFFFFFFFFFFFFFFF
P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
MIX_1, MIX_2 = 0x165667919E3779F9, 0x9FB21C651E98DF25

SECRET = bytes.fromhex(  # the published default secret, 192 bytes
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")

STRIPES = 16  # in a block: (192 - 64) / 8
BLOCK = STRIPES * 64


def _u32(b, at):
    return int.from_bytes(b[at:at + 4], "little")


def _u64(b, at):
    return int.from_bytes(b[at:at + 8], "little")


def _fold(a, b):
    p = a * b
    return (p & M64) ^ (p >> 64)


def _swap64(v):
    return int.from_bytes(v.to_bytes(8, "little"), "big")


def _avalanche(h):
    h ^= h >> 37
    h = h * MIX_1 & M64
    return h ^ h >> 32


def _avalanche_xxh64(h):
    h ^= h >> 33
    h = h * P64_2 & M64
    h ^= h >> 29
    h = h * P64_3 & M64
    return h ^ h >> 32


def _mix16(data, at, secret_at, seed):
    return _fold(_u64(data, at) ^ (_u64(SECRET, secret_at) + seed & M64),
                 _u64(data, at + 8) ^ (_u64(SECRET, secret_at + 8) - seed & M64))


def _rotl(v, n):
    return (v << n | v >> 64 - n) & M64


def _to_16(data, n, seed):
    if n > 8:
        lo = _u64(data, 0) ^ ((_u64(SECRET, 24) ^ _u64(SECRET, 32)) + seed & M64)
        hi = _u64(data, n - 8) ^ ((_u64(SECRET, 40) ^ _u64(SECRET, 48)) - seed & M64)
        return _avalanche(n + _swap64(lo) + hi + _fold(lo, hi) & M64)
    if n >= 4:
        seed ^= int.from_bytes((seed & M32).to_bytes(4, "little"), "big") << 32
        both = _u32(data, n - 4) + (_u32(data, 0) << 32) & M64
        h = both ^ ((_u64(SECRET, 8) ^ _u64(SECRET, 16)) - seed & M64)
        h ^= _rotl(h, 49) ^ _rotl(h, 24)
        h = h * MIX_2 & M64
        h ^= (h >> 35) + n
        h = h * MIX_2 & M64
        return h ^ h >> 28
    if n:
        both = data[0] << 16 | data[n >> 1] << 24 | data[n - 1] | n << 8
        return _avalanche_xxh64(both ^ ((_u32(SECRET, 0) ^ _u32(SECRET, 4)) + seed & M64))
    return _avalanche_xxh64(seed ^ _u64(SECRET, 56) ^ _u64(SECRET, 64))


def _to_128(data, n, seed):
    acc = n * P64_1
    for i in range((n - 1) // 32, -1, -1):
        acc += _mix16(data, 16 * i, 32 * i, seed)
        acc += _mix16(data, n - 16 * (i + 1), 32 * i + 16, seed)
    return _avalanche(acc & M64)


def _to_240(data, n, seed):
    acc = n * P64_1
    for i in range(8):
        acc += _mix16(data, 16 * i, 16 * i, seed)
    acc = _avalanche(acc & M64)
    for i in range(8, n // 16):
        acc += _mix16(data, 16 * i, 16 * (i - 8) + 3, seed)
    acc += _mix16(data, n - 16, 136 - 17, seed)
    return _avalanche(acc & M64)


@functools.lru_cache(maxsize=64)
def _keys(seed):
    """The seed's own secret, and the keys of the 16 stripes of a block, one after another."""
    words = list(struct.unpack("<24Q", SECRET))
    for i in range(0, 24, 2):
        words[i] = words[i] + seed & M64
        words[i + 1] = words[i + 1] - seed & M64
    secret = struct.pack("<24Q", *words)
    keys = [w for s in range(STRIPES) for w in words[s:s + 8]]
    return secret, words, keys


def _accumulate(acc, words, keys):
    """Adds whole stripes: each lane the product of its keyed halves and its neighbour's word."""
    keyed = list(map(operator.xor, words, keys))
    products = [(v & M32) * (v >> 32) for v in keyed]
    for i in range(8):
        acc[i] = acc[i] + sum(products[i::8]) + sum(words[i ^ 1::8]) & M64


def _long(data, n, seed):
    secret, words, keys = _keys(seed)
    acc = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1]
    view = memoryview(data)
    blocks = (n - 1) // BLOCK
    for b in range(blocks):
        _accumulate(acc, struct.unpack_from("<128Q", view, b * BLOCK), keys)
        for i in range(8):
            v = acc[i]
            acc[i] = ((v ^ v >> 47) ^ words[16 + i]) * P32_1 & M64
    at = blocks * BLOCK
    stripes = (n - 1 - at) // 64
    if stripes:
        _accumulate(acc, struct.unpack_from(f"<{stripes * 8}Q", view, at), keys[:stripes * 8])
    _accumulate(acc, struct.unpack_from("<8Q", view, n - 64),
                struct.unpack_from("<8Q", secret, 192 - 64 - 7))
    h = n * P64_1 & M64
    for i in range(4):
        h += _fold(acc[2 * i] ^ _u64(secret, 11 + 16 * i), acc[2 * i + 1] ^ _u64(secret, 19 + 16 * i))
    return _avalanche(h & M64)


def xxh3_64(data, seed=0):
    n = len(data)
    if n <= 16:
        return _to_16(data, n, seed)
    if n <= 128:
        return _to_128(data, n, seed)
    if n <= 240:
        return _to_240(data, n, seed)
    return _long(data, n, seed)
