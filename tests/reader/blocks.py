"""The blocks and records of FORMAT.md, sections 1 to 3, decoded: labels, commit records, the table.

Every decoder takes bytes, checks checksum and bounds, and raises Bad when anything is wrong.
"""
import struct
import uuid

from xxh3 import xxh3_64

BLOCK = 4096
ATOM = 4 << 20
MAGIC = 0x31534653
LABEL, COMMIT, TABLE_PAGE, DIRECTORY, COLUMN = 1, 2, 3, 4, 5
RING_AT, RING_SLOTS = 64 << 10, 64
SLOTS_AT = 1 << 20
FANOUT = 248
NONE32 = 0xFFFFFFFF
NONE16 = 0xFFFF
PRESENCES = ("online", "absent")
WISHES = ("stay", "failed", "leave", "join")
CLASSES = ("system", "metadata", "landing", "data")


class Bad(Exception):
    """Something on a disk is not what it should be."""


def siphash(key, data):
    """SipHash-2-4 with a key of 16 bytes."""
    mask = (1 << 64) - 1
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotate(x, by):
        return (x << by | x >> 64 - by) & mask

    def rounds(count):
        for _ in range(count):
            for a, b, by in (0, 1, 13), (2, 3, 16):
                v[a] = v[a] + v[b] & mask
                v[b] = rotate(v[b], by) ^ v[a]
            v[0] = rotate(v[0], 32)
            for a, b, by in (2, 1, 17), (0, 3, 21):
                v[a] = v[a] + v[b] & mask
                v[b] = rotate(v[b], by) ^ v[a]
            v[2] = rotate(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 255])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 255
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def H(data, *identity):
    """The identity hash; without identity, seed 0."""
    if not identity:
        return xxh3_64(data)
    return xxh3_64(data, xxh3_64(struct.pack("<3Q", *identity)))


class Cursor:
    """Reads fields one after another and never beyond the end."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def raw(self, n):
        if self.at + n > len(self.data):
            raise Bad("a structure is longer than its place")
        self.at += n
        return bytes(self.data[self.at - n:self.at])

    def take(self, layout):
        """Fields by struct's letters, little-endian, unpadded; one field alone comes bare."""
        found = struct.unpack("<" + layout, self.raw(struct.calcsize("<" + layout)))
        return found[0] if len(found) == 1 else found

    def named(self, **fields):
        return {name: self.take(layout) for name, layout in fields.items()}

    def padded_text(self):
        """u8 length and 63 bytes."""
        n = self.take("B")
        text = self.raw(63)
        if n > 63:
            raise Bad("a text is longer than its place")
        return text[:n].decode("utf-8", "surrogateescape")


def block(data, kind, self_number):
    """Checks the header of a 4 KiB block; returns a cursor behind it and the pool's UUID."""
    if len(data) != BLOCK:
        raise Bad("short block")
    magic, found, version, checksum, self_field = struct.unpack_from("<IHHQQ", data)
    pool = data[24:40]
    if magic != MAGIC or found != kind:
        raise Bad("not a block of this type")
    if version != 1:
        raise Bad(f"version {version} of block type {kind}")
    bare = data[:8] + bytes(8) + data[16:]
    if checksum != H(bare, kind, self_field, int.from_bytes(pool[:8], "little")):
        raise Bad("checksum of a block")
    if self_number is not None and self_field != self_number:
        raise Bad("a block stands where another one should")
    return Cursor(data, 40), pool


def block_checksum(data):
    return struct.unpack_from("<Q", data, 8)[0]


def label(data, offset):
    c, pool = block(data, LABEL, offset)
    found = c.named(refuse="Q", read_only="Q", ignore="Q", uuid="16s", index="H", role="B", layout="B",
                    sector="I", size="Q", data_offset="Q", atoms="I", table_slots="I", joined="q")
    found.update(pool=pool, name=c.padded_text(), station=c.padded_text())
    found["atom_bytes"], found["number"] = c.take("I4xQ")
    if found["refuse"]:
        raise Bad("the label has unknown refuse bits")
    if found["layout"] or found["atom_bytes"] != ATOM:
        raise Bad("a zoned disk, or the size of its atoms")
    if found["data_offset"] % ATOM or \
            SLOTS_AT + found["table_slots"] * BLOCK > found["data_offset"] or \
            found["data_offset"] + found["atoms"] * ATOM > found["size"]:
        raise Bad("the label's geometry")
    return found


def node_pointer(c):
    group, level, _, offset, node, checksum = c.take("IB3sQQQ")
    return None if group == NONE32 else \
        {"group": group, "level": level, "offset": offset, "id": node, "checksum": checksum}


def commit(data, slot):
    seq = struct.unpack_from("<Q", data, 16)[0]
    c, pool = block(data, COMMIT, None)
    if seq % RING_SLOTS != slot:
        raise Bad("a commit record in another's slot")
    found = c.named(refuse="Q", read_only="Q", ignore="Q", txn="Q", seq="Q", time="q", tenure="Q", host="Q",
                    flags="B", _reserved="7s", next_id="Q")
    found.update(pool=pool, extent_map=node_pointer(c), space=node_pointer(c), pool_tree=c.take("Q"))
    count = c.take("H")
    c.raw(70)
    if count > 236:
        raise Bad("too many directory pages")
    found["directory"] = [c.take("I4xQ") for _ in range(count)]
    if found["seq"] != seq:
        raise Bad("the record's number")
    return found


def directory_page(data, slot, first):
    c, _ = block(data, DIRECTORY, slot)
    number, count = c.take("II")
    if number != first or count > FANOUT:
        raise Bad("a directory page of other numbers")
    return [(first + i, *c.take("I4xQ")) for i in range(count)]


def table_page(data, slot, number):
    """The records of a page: (type, payload)."""
    c, _ = block(data, TABLE_PAGE, slot)
    found, used = c.take("IH2x")
    if found != number or used > BLOCK - 48:
        raise Bad("another table page")
    end = c.at + used
    while c.at < end:
        kind, length = c.take("HH")
        payload = c.raw(length)
        if c.at > end:
            raise Bad("a record crosses the end of its page")
        yield kind, payload


def record_config(payload):
    c = Cursor(payload)
    name = c.padded_text()
    found = c.named(failover="B", optimize="B", verify="B", compression="B", level="b", width_cap="B",
                    quorum="B", settle="B", record_bytes="I", next_disk="I", created="q", repaired="Q",
                    lost="Q", generation="Q")
    later = c.named(rate="Q", paused="B", was_failover="B", was_optimize="B") if c.at < len(payload) else \
        dict(rate=0, paused=0, was_failover=found["failover"], was_optimize=found["optimize"])
    return dict(found, name=name, **later)


def record_disk(payload):
    c = Cursor(payload)
    found = c.named(index="H", uuid="16s", presence="B", wish="B", role="B", layout="B", size="Q", data_offset="Q", atoms="I",
                    table_slots="I", sector="I", atom_bytes="I", flushed_txn="Q", last_tenure="Q", last_txn="Q",
                    errors="3Q", replaced_by="H")
    found["station"] = c.raw(c.take("B")).decode("utf-8", "surrogateescape")
    found["path"] = c.raw(c.take("H")).decode("utf-8", "surrogateescape")
    later = c.named(wanted_size="Q", device_size="Q", paused="B") if c.at < len(payload) else \
        dict(wanted_size=found["size"], device_size=found["size"], paused=0)
    return dict(found, **later)


def record_tenure(payload):
    return Cursor(payload).named(id="Q", base_txn="Q", first_txn="Q", host="Q", time="q")


def record_group(payload):
    c = Cursor(payload)
    g = c.named(group="I", generation="Q", klass="B", state="B", k="B", m="B", unit="B", column="B",
                flags="B", code="B", rows="I", birth="Q")
    g["unit"], g["column"] = 1 << g["unit"], 1 << g["column"]
    g["columns"] = [c.take("H2xI") for _ in range(g["k"] + g["m"])]
    if not 1 <= g["k"] <= g["k"] + g["m"] <= 64 or g["klass"] >= len(CLASSES) or g["column"] < ATOM or \
            g["rows"] > (g["column"] - BLOCK) // g["unit"] or (g["klass"] != 3 and g["k"] != 1) or g["code"] != 1:
        raise Bad(f"group {g['group']}: its shape")
    return g


def record_count(payload):
    return Cursor(payload).named(group="I", live="Q", write_pointer="I", rows_used="I", last_txn="Q")


def record_bitmap(payload):
    c = Cursor(payload)
    group, first, length = c.take("IIH")
    return group, first, c.raw(length)


def column_header(data, offset):
    c, pool = block(data, COLUMN, offset)
    found = c.named(group="I", column="B", k="B", m="B", klass="B", generation="Q", unit="I", rows="I",
                    column_bytes="Q", code="H", disk="H", _reserved="I", txn="Q", disk_uuid="16s")
    return dict(found, pool=pool)


def uuid_text(raw):
    return str(uuid.UUID(bytes=bytes(raw)))
