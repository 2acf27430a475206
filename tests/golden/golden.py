"""Golden images: pools that were written once and must stay readable for ever.

NAME.xz holds the blocks of a pool's disks that are not zero, NAME.json what is in the pool. make.py makes
them; they are never made anew for a format version that has been released.
"""
import hashlib
import json
import lzma
import os
import random
import stat
import struct
import subprocess

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.realpath(os.path.join(HERE, "..", ".."))
BLOCK = 4096
ZERO = bytes(BLOCK)
WHOLE_MAX = 64 << 20  # larger files are summed by their blocks that are not zero
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 64 << 20}]


def names():
    return sorted(n[:-5] for n in os.listdir(HERE) if n.endswith(".json"))


def pack(name, disks, manifest):
    """Writes NAME.xz and NAME.json out of the images at the paths `disks`."""
    parts, heads = [], []
    for path in disks:
        blocks = []
        with open(path, "rb") as f:
            size = f.seek(0, 2)
            for number in _data_blocks(f, size):
                f.seek(number * BLOCK)
                data = f.read(BLOCK)
                if data != ZERO[:len(data)]:
                    blocks.append(number)
                    parts.append(data)
        heads.append({"size": size, "blocks": _ranges(blocks)})
    head = json.dumps(heads).encode()
    raw = struct.pack("<I", len(head)) + head + b"".join(parts)
    with open(os.path.join(HERE, name + ".xz"), "wb") as f:
        f.write(lzma.compress(raw, check=lzma.CHECK_CRC64, filters=FILTERS))
    with open(os.path.join(HERE, name + ".json"), "w", encoding="ascii") as f:
        json.dump(manifest, f, indent=0, sort_keys=True)
        f.write("\n")


def _data_blocks(f, size):
    at = 0
    while at < size:
        try:
            at = os.lseek(f.fileno(), at, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(f.fileno(), at, os.SEEK_HOLE)
        yield from range(at // BLOCK, -(-end // BLOCK))
        at = -(-end // BLOCK) * BLOCK


def _ranges(numbers):
    """[first, count] of each run."""
    runs = []
    for n in numbers:
        if runs and n == sum(runs[-1]):
            runs[-1][1] += 1
        else:
            runs.append([n, 1])
    return runs


def unpack(name, folder):
    """The images as sparse files in `folder`, and the manifest."""
    with open(os.path.join(HERE, name + ".xz"), "rb") as f:
        raw = lzma.decompress(f.read())
    length, = struct.unpack_from("<I", raw)
    at, paths = 4 + length, []
    for i, head in enumerate(json.loads(raw[4:at])):
        path = os.path.join(folder, f"disk{i}")
        with open(path, "xb") as f:
            for first, count in head["blocks"]:
                f.seek(first * BLOCK)
                f.write(raw[at:at + count * BLOCK])
                at += count * BLOCK
            f.truncate(head["size"])
        paths.append(path)
    with open(os.path.join(HERE, name + ".json"), encoding="ascii") as f:
        return paths, json.load(f)


def content_sum(size, pieces):
    """What a manifest says of a file: sha256 of its bytes, given (offset, bytes), ascending; of a file above
    64 MiB: of each 4 KiB block that is not zero, with its number in front."""
    digest, at = hashlib.sha256(), 0
    if size > WHOLE_MAX:
        blocks = {}
        for offset, data in pieces:
            for i in range(offset // BLOCK, -(-(offset + len(data)) // BLOCK)):
                begin, end = max(offset, i * BLOCK), min(offset + len(data), (i + 1) * BLOCK)
                block = blocks.setdefault(i, bytearray(BLOCK))
                block[begin - i * BLOCK:end - i * BLOCK] = data[begin - offset:end - offset]
        for i in sorted(blocks):
            if bytes(blocks[i]) != ZERO:
                digest.update(struct.pack("<Q", i) + blocks[i])
        return digest.hexdigest()
    for offset, data in pieces:
        digest.update(bytes(offset - at) + data)
        at = offset + len(data)
    digest.update(bytes(size - at))
    return digest.hexdigest()


def pieces_of_file(path):
    """(offset, bytes) of a file's data, without its holes."""
    with open(path, "rb") as f:
        size, at = f.seek(0, 2), 0
        while at < size:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            end = min(os.lseek(f.fileno(), at, os.SEEK_HOLE), at + (1 << 20))
            f.seek(at)
            yield at, f.read(end - at)
            at = end


def differences(wanted, found):
    """Sentences: where two listings (path -> description) differ in what the manifest says."""
    result = [f"{p} is missing" for p in sorted(set(wanted) - set(found))]
    result += [f"{p} should not be there" for p in sorted(set(found) - set(wanted))]
    for path in sorted(set(wanted) & set(found)):
        result += [f"{path}: {key} is {found[path].get(key)!r}, not {value!r}"
                   for key, value in wanted[path].items() if found[path].get(key) != value]
    return result


def build_tool(build, folder):
    """Compiles golden_tool against the shared library of a build; its path."""
    tool = os.path.join(folder, "golden_tool")
    library = os.path.join(build, "src")
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-D_FILE_OFFSET_BITS=64", "-D_GNU_SOURCE", "-Wall",
                    "-Wextra", "-Werror", "-O1", "-I" + os.path.join(ROOT, "include"),
                    os.path.join(HERE, "golden_tool.c"), "-o", tool,
                    os.path.join(library, "libscalefs.so"), "-Wl,-rpath," + os.path.realpath(library)], check=True, timeout=120)
    return tool


def run_tool(tool, *arguments, script=None, timeout=120):
    """Its output; an error carries what it said."""
    # The scan for members is kept to the folder of the images.
    folder = os.path.dirname(next(a for a in arguments[::-1] if os.path.isabs(a)))
    done = subprocess.run([tool, *arguments], input=script, capture_output=True, text=True, timeout=timeout,
                          env=dict(os.environ, SCALEFS_PATH=folder), check=False)
    if done.returncode:
        raise AssertionError(f"golden_tool {arguments[0]}: {done.stdout}{done.stderr}")
    return done.stdout


def listing_of_tool(tool, disks, folder):
    """What the C library finds in a pool: path -> description, as a manifest has it."""
    found = {}
    for line in run_tool(tool, "dump", folder, *disks).splitlines():
        path, inode, mode, links, uid, gid, size, s, ns, major, minor, target, *xattrs = line.split("\t")
        mode = int(mode, 8)
        d = description(mode, int(uid), int(gid), int(links))
        d["mtime"] = int(s) * 10**9 + int(ns)
        if stat.S_ISREG(mode):
            d.update(size=int(size), sum=content_sum(int(size), pieces_of_file(os.path.join(folder, inode))))
        elif stat.S_ISLNK(mode):
            d["target"] = target
        elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            d["device"] = [int(major), int(minor)]
        if xattrs:
            d["xattrs"] = {bytes.fromhex(n).decode(): sum_of(bytes.fromhex(v))
                           for n, v in (x.split("=") for x in xattrs)}
        found[readable(bytes.fromhex(path))] = d
    return found


def description(mode, uid, gid, links):
    return {"mode": f"{mode:06o}", "uid": uid, "gid": gid, "links": links}


def readable(path):
    """A path as a manifest has it: ASCII, with \\xNN for any other byte."""
    return "".join(chr(b) if 32 <= b < 127 and b != 92 else f"\\x{b:02x}" for b in path)


def sum_of(data):
    return hashlib.sha256(data).hexdigest()


def pattern(length, seed):
    """Bytes in which no two places of a row look the same to a checksum, but which xz packs well."""
    unit = random.Random(seed).randbytes(997)
    return (unit * (length // 997 + 1))[:length]
