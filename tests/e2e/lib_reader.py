"""What the tests of the independent reader share."""
import ctypes
import ctypes.util
import os
import stat
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.realpath(os.path.join(HERE, "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "tests", "golden"), os.path.join(ROOT, "tests", "reader")]
import blocks
import golden
import scalefs_reader

READER = os.path.join(ROOT, "tests", "reader", "scalefs_reader.py")
BUILD = os.environ.get("BUILD_DIR") or os.path.join(ROOT, "build")


def hash_by_the_library():
    """From here on the reader's hash is libxxhash's where that is installed: the same (reader_parts.py), and much quicker for large images."""
    name = ctypes.util.find_library("xxhash")
    if not name:
        return
    theirs = ctypes.CDLL(name).XXH3_64bits_withSeed
    theirs.restype, theirs.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    blocks.xxh3_64 = lambda data, seed=0: theirs(bytes(data), len(data), seed)


def listing(volume):
    """What the reader finds: path -> description, as a manifest has it."""
    found = {}
    for path, number in volume.tree():
        i = volume.inodes[number]
        mode = i["mode"]
        d = golden.description(mode, i["uid"], i["gid"], i["links"])
        d["mtime"] = i["mtime"]
        if stat.S_ISREG(mode):
            d.update(size=i["size"], sum=golden.content_sum(i["size"], volume.pieces(number)))
        elif stat.S_ISLNK(mode):
            d["target"] = volume.links[number].hex()
        elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            d["device"] = [i["device"] >> 32, i["device"] & 0xFFFFFFFF]
        if number in volume.xattrs:
            d["xattrs"] = {n.decode(): golden.sum_of(volume.xattr(number, n)) for n in volume.xattrs[number]}
        found[golden.readable(path)] = d
    return found


def must_agree(wanted, found):
    wrong = golden.differences(wanted, found)
    if wrong:
        raise AssertionError(f"{len(wrong)} differences: " + "; ".join(wrong[:8]))


def must_read(disks, wanted):
    """The reader reads everything and finds nothing wrong; returns what it read."""
    pool, trees, volume = scalefs_reader.open_pool(disks)
    must_agree(wanted, listing(volume))
    problems = scalefs_reader.Check(pool, trees, volume).problems
    if problems:
        raise AssertionError(f"{len(problems)} problems: " + "; ".join(problems[:8]))
    return pool, trees, volume


def must_find(disks):
    """The reader's check must find something wrong; returns its sentences."""
    problems = scalefs_reader.Check(*scalefs_reader.open_pool(disks)).problems
    if not problems:
        raise AssertionError("no problem was found")
    return problems
