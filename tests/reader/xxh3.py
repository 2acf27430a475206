"""XXH3, 64 bits, with a seed, from libxxhash."""
import ctypes
import ctypes.util

_lib = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
_lib.XXH3_64bits_withSeed.restype = ctypes.c_uint64
_lib.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]


def xxh3_64(data, seed=0):
    return _lib.XXH3_64bits_withSeed(bytes(data), len(data), seed)
