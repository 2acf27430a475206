"""A pool's disks, its newest state, and the rows of its groups (FORMAT.md, sections 2 to 6).

Pool.open finds the newest commit record of the images given and reads the table. What a row holds is
given by reading it, and where a disk is missing or wrong by rebuilding it from the other columns.
"""
import itertools
import struct

import blocks
import gf256
from blocks import BLOCK, Bad, Cursor, H

SUMMARY_MAGIC = 0x53534653
PIECE = 4 << 10  # an uncompressed extent has a checksum for each


class Disk:
    """One image, known by its label. `at(offset, length)`: bytes, or None beyond the end."""

    def __init__(self, path):
        self.path = path
        self.file = open(path, "rb")
        self.bytes = self.file.seek(0, 2)
        self.label = self._label()

    def at(self, offset, length):
        self.file.seek(offset)
        data = self.file.read(length)
        return data if len(data) == length else None

    def _label(self):
        found = None
        for offset in (4 << 10, 512 << 10, self.bytes // BLOCK * BLOCK - BLOCK):
            try:
                copy = blocks.label(self.at(offset, BLOCK) or b"", offset)
            except Bad:
                continue
            if not found or copy["uuid"] == found["uuid"] and copy["number"] > found["number"]:
                found = copy
        if not found:
            raise Bad(f"{self.path}: no label")
        return found

    def records(self):
        for slot in range(blocks.RING_SLOTS):
            try:
                yield blocks.commit(self.at(blocks.RING_AT + slot * BLOCK, BLOCK) or b"\0" * BLOCK, slot)
            except Bad:
                pass


class Pool:
    """What the newest record says: config, disks, tenures, groups, counts, bitmaps."""

    def __init__(self, images, record):
        self.images = images  # by disk UUID
        self.record = record
        self.config = None
        self.disks, self.groups, self.counts, self.bitmaps, self.tenures = {}, {}, {}, {}, []
        self.tasks = []
        self._rows = {}
        self.space = {}  # (group, row) -> (live bytes, txn): given by whoever has read the space tree
        self._load_table()

    @staticmethod
    def open(paths):
        """The pool of these images. Damaged or foreign images are an error: they were named."""
        if not paths:
            raise Bad("no images")
        images = {}
        for path in paths:
            disk = Disk(path)
            images[disk.label["uuid"]] = disk
        if len({d.label["pool"] for d in images.values()}) != 1:
            raise Bad("the images belong to different pools")
        pool_uuid = next(iter(images.values())).label["pool"]
        found = {}
        for disk in images.values():
            for r in disk.records():
                if r["pool"] == pool_uuid:
                    found[r["txn"], r["seq"], r["tenure"]] = r
        why = "no commit record"
        for key in sorted(found, reverse=True)[:3]:
            if found[key]["refuse"]:
                raise Bad("the pool uses features that this reader does not know")
            try:
                return Pool(images, found[key])
            except Bad as e:
                why = f"record {key}: {e}"
        raise Bad(why)

    # The table.

    def _slot(self, slot, checksum):
        """The page in a table slot: the first copy with this checksum."""
        for disk in self.images.values():
            if slot < disk.label["table_slots"]:
                data = disk.at(blocks.SLOTS_AT + slot * BLOCK, BLOCK)
                if data and blocks.block_checksum(data) == checksum:
                    yield data

    def _page(self, slot, checksum, decode, number):
        why = Bad(f"table slot {slot}: no copy of page {number}")
        for data in self._slot(slot, checksum):
            try:
                return list(decode(data, slot, number))
            except Bad as e:
                why = e
        raise why

    def _load_table(self):
        for d, (slot, checksum) in enumerate(self.record["directory"]):
            for page in self._page(slot, checksum, blocks.directory_page, d * blocks.FANOUT):
                number, slot_of_page, sum_of_page = page
                if slot_of_page != blocks.NONE32:
                    for kind, payload in self._page(slot_of_page, sum_of_page, blocks.table_page, number):
                        self._take(kind, payload)
        if not self.config:
            raise Bad("the table has no configuration")

    def _take(self, kind, payload):
        if kind == 1:
            self.config = blocks.record_config(payload)
        elif kind == 2:
            d = blocks.record_disk(payload)
            self.disks[d["index"]] = d
        elif kind == 3:
            self.tenures.append(blocks.record_tenure(payload))
        elif kind == 4:
            g = blocks.record_group(payload)
            self.groups[g["group"]] = g
        elif kind == 5:
            n = blocks.record_count(payload)
            self.counts[n["group"]] = n
        elif kind == 6:
            group, first, bits = blocks.record_bitmap(payload)
            rows = self.bitmaps.setdefault(group, set())
            rows.update(first + i for i in range(len(bits) * 8) if bits[i // 8] >> i % 8 & 1)
        elif kind == 7:
            self.tasks.append(payload)

    def owed(self, g, row, c):
        """What stands in this unit of a live row may be of an older row, with valid sums of its own."""
        d = self.disks.get(g["columns"][c][0])
        return d is not None and self.space.get((g["group"], row), (0, 0))[1] > d["flushed_txn"]

    # Columns and rows.

    def column(self, g, c):
        """(image, byte offset) of a column; None when its disk is not here."""
        index, atom = g["columns"][c]
        d = self.disks.get(index)
        image = self.images.get(d["uuid"]) if d else None
        return (image, d["data_offset"] + atom * blocks.ATOM) if image else None

    def unit(self, g, row, c, start=0, length=None):
        """Bytes of a unit as they lie on the disk, unverified, or None."""
        place = self.column(g, c)
        if not place or row >= g["rows"]:
            return None
        length = g["unit"] - start if length is None else length
        return place[0].at(place[1] + BLOCK + row * g["unit"] + start, length)

    def straight(self, g, offset, length):
        """Bytes of the data space from the data columns alone; None where one is missing."""
        parts = []
        while length:
            row, in_row = divmod(offset, g["k"] * g["unit"])
            c, start = divmod(in_row, g["unit"])
            n = min(length, g["unit"] - start)
            part = self.unit(g, row, c, start, n)
            if part is None:
                return None
            parts.append(part)
            offset, length = offset + n, length - n
        return b"".join(parts)

    def candidates(self, number, offset, length):
        """What the bytes at a place may be, likeliest first; the caller knows their checksum."""
        g = self.groups.get(number)
        if not g:
            raise Bad(f"there is no group {number}")
        row_bytes = g["k"] * g["unit"]
        data = self.straight(g, offset, length)
        if data is not None:
            yield data
        if g["k"] == 1:
            for c in range(1, 1 + g["m"]):
                copy = dict(g, columns=[g["columns"][c]], m=0)
                data = self.straight(copy, offset, length)
                if data is not None:
                    yield data
        elif offset // row_bytes == (offset + length - 1) // row_bytes:
            row = self.row(g, offset // row_bytes)
            if row:
                yield row.data()[offset % row_bytes:offset % row_bytes + length]

    def row(self, g, number):
        """The verified row of a data group, rebuilt where needed; None when that can't be."""
        key = g["group"], number
        if key not in self._rows:
            try:
                self._rows[key] = Row(self, g, number)
            except Bad:
                self._rows[key] = None
        return self._rows[key]


class Summary:
    """Section 6: a summary block or batch header, decoded and verified."""

    def __init__(self, data, g, offset):
        c = Cursor(data)
        magic, version, self.kind, self.blocks, checksum, self.pool, group, count, at, generation, self.txn, \
            self.length, sums, self.header = c.take("IHBBQ16sIIQQQIHH")
        if magic != SUMMARY_MAGIC or version != 1 or len(data) < self.blocks * BLOCK or not self.blocks or \
                not 72 <= self.header <= self.blocks * BLOCK:
            raise Bad("not a summary")
        covered = data[:self.header] if self.kind else data[:self.blocks * BLOCK]
        if checksum != H(covered[:8] + bytes(8) + covered[16:], group, at, generation):
            raise Bad("checksum of a summary")
        if group != g["group"] or at != offset or generation != g["generation"]:
            raise Bad("the summary of another place")
        self.sums = [c.take("Q") for _ in range(sums)]
        self.entries = [c.named(id="Q", birth="Q", offset="I", stored="I", raw="I", compression="B",
                                _reserved="B", checksums="H", hash="Q", volume="I", _reserved2="I",
                                inode="Q", file_offset="Q") for _ in range(count)]
        if c.at != self.header:
            raise Bad("a summary's length")


def summary_of_row(last_unit, g, number):
    """The summary at the end of data unit k-1: where it begins is found by trying each length."""
    for s in range(1, min(16, len(last_unit) // BLOCK) + 1):
        try:
            found = Summary(last_unit[-s * BLOCK:], g, number * g["k"] * g["unit"])
        except Bad:
            continue
        if found.blocks == s and found.kind == 0:
            return found
    raise Bad("no summary")


class Row:
    """All columns of one row of a data group. `wrong`: columns that are here and not right.

    Units that are owed are taken only when it can't be done without: then of several summaries that are
    found, which may be of older rows, the latest counts.

    A sum speaks for each whole data unit but the last; for the last and for parity it leaves out the
    end, for which the summary's own checksum and the parity equation speak.
    """

    def __init__(self, pool, g, number):
        self.g, self.number = g, number
        self.name = f"group {g['group']} row {number}"
        columns = range(g["k"] + g["m"])
        read = {c: pool.unit(g, number, c) for c in columns}
        read = {c: u for c, u in read.items() if u is not None}
        self.missing = [c for c in columns if c not in read]
        self.owed = {c for c in read if pool.owed(g, number, c)}
        sure = {c: u for c, u in read.items() if c not in self.owed}
        try:
            self._solve(sure)
        except Bad:
            if len(sure) == len(read):
                raise
            self._solve(read)
        self.wrong = [c for c, u in read.items() if u != self.units[c]]

    def _solve(self, read):
        k, g = self.g["k"], self.g
        self.summary, end = self._find_summary(read)
        data = {c: u for c, u in read.items() if c < k and self.sum_ok(c, u)}
        need = [c for c in range(k) if c not in data]
        if need:
            data.update(self._rebuild(data, read, need))
        data[k - 1] = data[k - 1][:-len(end)] + end
        self.units = {**data, **gf256.rebuild(data, k, range(k, k + g["m"]))}

    def _find_summary(self, read):
        """The latest summary and its bytes, from the last data unit or from what gives that unit."""
        k, g, best = self.g["k"], self.g, None
        others = sorted(set(read) - {k - 1})
        for chosen in itertools.chain([None], itertools.combinations(others, k)):
            if chosen is None:
                unit = read.get(k - 1, b"")
            else:
                unit = gf256.rebuild({c: read[c] for c in chosen}, k, [k - 1])[k - 1]
            try:
                found = summary_of_row(unit, g, self.number)
            except Bad:
                continue
            if not best or found.txn > best[0].txn:
                best = found, unit[-found.blocks * BLOCK:]
            if not self.owed & set(read):
                break
        if not best:
            raise Bad(f"{self.name}: no summary")
        return best

    def _rebuild(self, data, read, need):
        """The data units in `need`, with whichever parity units give what the sums say."""
        k = self.g["k"]
        parity = [c for c in sorted(read) if c >= k and self.sum_ok(c, read[c])]
        for chosen in itertools.combinations(parity, len(need)):
            found = gf256.rebuild({**data, **{c: read[c] for c in chosen}}, k, need)
            if all(self.sum_ok(c, u) for c, u in found.items()):
                return found
        raise Bad(f"{self.name}: {len(data) + len(parity)} of {k} units are right")

    def sum_ok(self, c, unit):
        if c >= len(self.summary.sums):
            return True  # a column that the row did not have when it was written
        if c >= self.g["k"] - 1:
            unit = unit[:-self.summary.blocks * BLOCK]
        return H(unit, self.g["group"], self.number, c) == self.summary.sums[c]

    def data(self):
        return b"".join(self.units[c] for c in range(self.g["k"]))


def batches(pool, g):
    """The batches of a landing group up to its write pointer: (offset, Summary)."""
    offset, end = 0, pool.counts[g["group"]]["write_pointer"] * g["unit"]
    while offset < end:
        found = None
        for data in pool.candidates(g["group"], offset, min(16 * BLOCK, end - offset)):
            try:
                found = Summary(data, g, offset)
                break
            except Bad:
                continue
        if found and found.kind:
            yield offset, found
        # Where no batch begins one could not be written: the next may begin at any later block.
        offset += -(-found.length // BLOCK) * BLOCK if found and found.kind else BLOCK


def hash_of_sums(sums):
    return H(struct.pack(f"<{len(sums)}Q", *sums))
