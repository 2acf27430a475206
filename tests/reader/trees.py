"""Trees and extents (FORMAT.md, sections 6 to 8): nodes, the extent map, the contents of extents."""
import ctypes
import ctypes.util
import struct

from blocks import Bad, Cursor
from rows import PIECE, H

NODE = 16 << 10
NODE_MAGIC = 0x4E534653
MAP, SPACE, POOL_TREE, FIRST_VOLUME = 1, 2, 3, 16


def node(data, tree, number, checksum, place):
    """The items of a node: (level, [(key, value)]). It must be the node that was asked for."""
    c = Cursor(data)
    magic, version, level, _, found, own_id, birth, own_tree, group, offset, items, heap = \
        c.take("IHBBQQQIIQHH")
    if magic != NODE_MAGIC or version != 1 or own_id != number or found != checksum or \
            (tree < FIRST_VOLUME and own_tree != tree) or (group, offset) != place:
        raise Bad(f"tree {tree}: not node {number}")
    if found != H(data[:8] + bytes(8) + data[16:], own_id, birth, own_tree):
        raise Bad(f"tree {tree}: checksum of node {number}")
    c.raw(12)
    result = []
    for _ in range(items):
        a, kind, b, at, length = c.take("QBQHH")
        if at < max(heap, 64 + items * 21) or at + length > NODE:
            raise Bad(f"tree {tree}: a value of node {number}")
        if result and level == 0 and (a, kind, b) <= result[-1][0]:
            raise Bad(f"tree {tree}: order of node {number}")
        result.append(((a, kind, b), data[at:at + length]))
    return level, result


class Trees:
    """The trees of an open pool. The extent map is read whole: `extents`, by id."""

    def __init__(self, pool):
        self.pool = pool
        self.nodes_read = 0
        self.system_nodes = set()  # (group, row) of each node of trees 1 and 2
        self.extents = {key[0]: self._map_entry(value)
                        for key, value in self._walk_placed(MAP, pool.record["extent_map"])}
        for (group, _, chunk), value in self._walk_placed(SPACE, pool.record["space"]):
            for i in range(len(value) // 12):
                pool.space[group, 64 * chunk + i] = struct.unpack_from("<IQ", value, 12 * i)

    def _node(self, tree, number, checksum, group, offset):
        why = Bad(f"tree {tree}: node {number} can't be read")
        for data in self.pool.candidates(group, offset, NODE):
            try:
                found = node(data, tree, number, checksum, (group, offset))
                self.nodes_read += 1
                return found
            except Bad as e:
                why = e
        raise why

    def _walk_placed(self, tree, pointer):
        """All (key, value) of tree 1 or 2, whose nodes are addressed by place."""
        if not pointer:
            return
        level, items = self._node(tree, pointer["id"], pointer["checksum"], pointer["group"],
                                  pointer["offset"])
        if level != pointer["level"]:
            raise Bad(f"tree {tree}: level of node {pointer['id']}")
        self.system_nodes.add((pointer["group"], pointer["offset"] // NODE))
        for key, value in items:
            if level:
                c = Cursor(value)
                group, child_level, _, offset, number, checksum = c.take("IB3sQQQ")
                if child_level != level - 1:
                    raise Bad(f"tree {tree}: level below node {pointer['id']}")
                yield from self._walk_placed(tree, {"group": group, "level": child_level, "offset": offset,
                                                    "id": number, "checksum": checksum})
            else:
                yield key, value

    def walk(self, tree, root, level=None):
        """All (key, value) of any other tree, whose nodes are found through the extent map."""
        entry = self.extents.get(root)
        if not entry or entry["kind"] != 1:
            raise Bad(f"tree {tree}: node {root} is not in the extent map")
        found, items = self._node(tree, root, entry["sums"][0], entry["group"], entry["offset"])
        entry["seen"] = entry.get("seen", 0) + 1
        if level is not None and found != level:
            raise Bad(f"tree {tree}: level of node {root}")
        for key, value in items:
            if found:
                yield from self.walk(tree, Cursor(value).take("Q"), found - 1)
            else:
                yield key, value

    @staticmethod
    def _map_entry(value):
        c = Cursor(value)
        e = c.named(birth="Q", group="I", offset="Q", stored="I", raw="I", compression="B", kind="B",
                    count="H", references="I", _reserved="I", referenced="Q")
        e["sums"] = [c.take("Q") for _ in range(e["count"])]
        wanted = 1 if e["kind"] or e["compression"] else -(-e["stored"] // PIECE)
        if e["kind"] > 1 or e["compression"] > 1 or e["count"] != wanted or \
                (not e["compression"] and e["stored"] != e["raw"]):
            raise Bad("an entry of the extent map")
        return e

    def extent(self, number):
        """The raw bytes of an extent, verified."""
        e = self.extents.get(number)
        if not e or e["kind"]:
            raise Bad(f"extent {number} is not in the map")
        if e["compression"]:
            stored = self._piece(number, e, 0, 0, e["stored"])
            return decompress(stored, e["raw"])
        return b"".join(self._piece(number, e, i, i * PIECE, min(PIECE, e["stored"] - i * PIECE))
                        for i in range(len(e["sums"])))

    def _piece(self, number, e, index, start, length):
        for data in self.pool.candidates(e["group"], e["offset"] + start, length):
            if H(data, number, e["birth"], index) == e["sums"][index]:
                return data
        raise Bad(f"extent {number} piece {index}: nothing here has the right checksum")


_zstd = None


def decompress(stored, raw_length):
    """One zstd frame, by the system's library."""
    global _zstd
    if _zstd is None:
        _zstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
        _zstd.ZSTD_decompress.restype = ctypes.c_size_t
        _zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t] * 2
    out = ctypes.create_string_buffer(max(raw_length, 1))
    if _zstd.ZSTD_decompress(out, raw_length, stored, len(stored)) != raw_length:
        raise Bad("a compressed extent has another length")
    return out.raw[:raw_length]
