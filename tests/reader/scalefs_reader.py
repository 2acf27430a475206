#!/usr/bin/env python3
"""Reads a ScaleFS pool from images of its disks, by docs/FORMAT.md alone: no code of the library.

    scalefs_reader.py info IMAGE...            the pool, its disks and groups, as JSON
    scalefs_reader.py list IMAGE...            every file with its metadata and sha256 (not of files
                                               above 1 GiB), as JSON
    scalefs_reader.py extract FOLDER IMAGE...  every file, below FOLDER
    scalefs_reader.py check IMAGE...           verifies all that lies on the images and how it fits

Images may be missing as far as the parity goes. Nothing is written to the images. Only the standard
library is used, and libzstd (through ctypes) for compressed extents. It reads whole trees into memory:
it is meant for images of some MiB, and as a second opinion on the format, not for rescue.
"""
import hashlib
import json
import os
import stat
import sys

import blocks
from blocks import Bad, Cursor, siphash
from rows import BLOCK, Pool, batches, hash_of_sums
from trees import FIRST_VOLUME, NODE, POOL_TREE, Trees

INODE, ENTRY, EXTENT, XATTR, SYMLINK, ORPHAN, COUNTS = 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x61
ROOT_INODE = 1
TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
         stat.S_IFSOCK: "socket", stat.S_IFCHR: "character", stat.S_IFBLK: "block"}


def text(raw):
    return raw.decode("utf-8", "surrogateescape")


class Volume:
    """One volume's inodes, each with what hangs on it."""

    def __init__(self, trees, number=FIRST_VOLUME):
        self.trees = trees
        self.inodes, self.entries, self.items, self.xattrs, self.links, self.orphans = {}, {}, {}, {}, {}, {}
        self.count = 0
        pool_tree = trees.pool.record["pool_tree"]
        self.volumes = {}
        for key, value in trees.walk(POOL_TREE, pool_tree) if pool_tree else ():
            if key[:2] == (1, 1):
                c = Cursor(value)
                root, flags, created, salt, length = c.take("QIq16sB")
                self.volumes[key[2]] = {"root": root, "flags": flags, "created": created, "salt": salt,
                                        "name": text(c.raw(length))}
        if number in self.volumes:
            self.salt = self.volumes[number]["salt"]
            for (a, kind, b), value in trees.walk(number, self.volumes[number]["root"]):
                self._take(a, kind, b, value)

    def _take(self, a, kind, b, value):
        c = Cursor(value)
        if kind == INODE:
            self.inodes[a] = self._inode(c)
        elif kind == ENTRY:
            inode, mode_type, length = c.take("QBH")
            name = c.raw(length)
            self._check_cookie(b, name)
            self.entries.setdefault(a, []).append((name, inode, mode_type))
        elif kind == EXTENT:
            item_kind, extent, start, length = c.take("B3xQII")
            if item_kind != 1:
                raise Bad(f"inode {a}: a file item of kind {item_kind}")
            self.items.setdefault(a, []).append((b, extent, start, length))
        elif kind == XATTR:
            value_kind, length = c.take("BH")
            name = c.raw(length)
            self._check_cookie(b, name)
            if value_kind:
                length, extent = c.take("IQ")
                found = (extent, length)
            else:
                found = value[c.at:]
            self.xattrs.setdefault(a, {})[name] = found
        elif kind == SYMLINK:
            self.links[a] = value
        elif kind == ORPHAN:
            self.orphans[b] = c.take("Q")
        elif kind == COUNTS:
            self.count = c.take("Q")

    @staticmethod
    def _inode(c):
        i = c.named(mode="I", links="I", uid="I", gid="I", size="Q", allocated="Q", device="Q")
        for name in ("atime", "mtime", "ctime", "btime"):
            seconds, ns = c.take("qI")
            i[name] = seconds * 10**9 + ns
        i.update(c.named(parent="Q", flags="I", windows="I", entries="Q", _reserved="16s"))
        return i

    def _check_cookie(self, cookie, name):
        if cookie >> 16 != (siphash(self.salt, name) & (1 << 47) - 1 or 1):
            raise Bad(f"the cookie of {name!r}")

    def xattr(self, inode, name):
        found = self.xattrs[inode][name]
        if isinstance(found, tuple):
            data = self.trees.extent(found[0])
            if len(data) < found[1]:
                raise Bad(f"inode {inode}: an attribute's extent is short")
            return data[:found[1]]
        return found

    def pieces(self, inode):
        """The data of a file that is no hole: (offset, bytes), ascending, cut at its size."""
        size, end = self.inodes[inode]["size"], 0
        for offset, extent, start, length in self.items.get(inode, ()):
            if offset < end:
                raise Bad(f"inode {inode}: items overlap at {offset}")
            end = offset + length
            data = self.trees.extent(extent)
            if start + length > len(data):
                raise Bad(f"inode {inode}: an item goes beyond its extent")
            if offset < size:
                yield offset, data[start:start + min(length, size - offset)]

    def sha256(self, inode):
        digest, at = hashlib.sha256(), 0
        for offset, data in self.pieces(inode):
            _zeros(digest, offset - at)
            digest.update(data)
            at = offset + len(data)
        _zeros(digest, self.inodes[inode]["size"] - at)
        return digest.hexdigest()

    def tree(self):
        """Every name below the root, parents first: (path, inode). The root's path is empty."""
        todo = [(b"", ROOT_INODE)] if ROOT_INODE in self.inodes else []
        while todo:
            path, inode = todo.pop(0)
            yield path, inode
            for name, child, mode_type in sorted(self.entries.get(inode, ())):
                if child not in self.inodes or self.inodes[child]["mode"] >> 12 != mode_type:
                    raise Bad(f"{path + b'/' + name!r}: its inode {child}")
                todo.append((path + b"/" + name if path else name, child))

    def describe(self, path, inode):
        i = self.inodes[inode]
        kind = TYPES[stat.S_IFMT(i["mode"])]
        found = {"path": text(path), "inode": inode, "type": kind, "mode": f"{i['mode'] & 0o7777:04o}",
                 "links": i["links"], "uid": i["uid"], "gid": i["gid"], "mtime": i["mtime"]}
        if kind == "file":
            found.update(size=i["size"], sha256=self.sha256(inode) if i["size"] <= 1 << 30 else None)
        elif kind == "symlink":
            found["target"] = text(self.links[inode])
        elif kind in ("character", "block"):
            found["device"] = [i["device"] >> 32, i["device"] & 0xFFFFFFFF]
        if inode in self.xattrs:
            found["xattrs"] = {text(n): hashlib.sha256(self.xattr(inode, n)).hexdigest()
                               for n in sorted(self.xattrs[inode])}
        return found


def _zeros(digest, count):
    block = bytes(1 << 20)
    while count > 0:
        digest.update(block[:count])
        count -= len(block)


def info(pool):
    groups = [dict({n: g[n] for n in ("group", "k", "m", "unit", "column", "rows", "state")},
                   klass=blocks.CLASSES[g["klass"]],
                   **{n: v for n, v in pool.counts.get(g["group"], {}).items() if n != "group"},
                   disks=[index for index, _ in g["columns"]]) for g in pool.groups.values()]
    disks = [{"index": d["index"], "uuid": blocks.uuid_text(d["uuid"]), "presence": blocks.PRESENCES[d["presence"]],
              "wish": blocks.WISHES[d["wish"]],
              "size": d["size"], "flushed_txn": d["flushed_txn"], "here": d["uuid"] in pool.images}
             for d in pool.disks.values()]
    config = {n: v for n, v in pool.config.items() if not n.startswith("_")}
    return {"pool": blocks.uuid_text(pool.record["pool"]), "txn": pool.record["txn"], "seq": pool.record["seq"],
            "flags": pool.record["flags"], "config": config, "disks": disks, "groups": groups}


def extract(volume, folder):
    seen = {}
    for path, inode in volume.tree():
        target = os.path.join(os.fsencode(folder), path) if path else os.fsencode(folder)
        i, kind = volume.inodes[inode], TYPES[stat.S_IFMT(volume.inodes[inode]["mode"])]
        if inode in seen and kind != "directory":
            os.link(seen[inode], target, follow_symlinks=False)
            continue
        seen[inode] = target
        if kind == "directory":
            os.makedirs(target, exist_ok=True)
        elif kind == "symlink":
            os.symlink(volume.links[inode], target)
        elif kind == "file":
            with open(target, "xb") as f:
                for offset, data in volume.pieces(inode):
                    f.seek(offset)
                    f.write(data)
                f.truncate(i["size"])
            os.chmod(target, i["mode"] & 0o777)
            os.utime(target, ns=(i["atime"], i["mtime"]))
        elif kind == "fifo":
            os.mkfifo(target)


class Check:
    """Everything the format says about how the parts fit. `problems`: sentences."""

    def __init__(self, pool, trees, volume):
        self.pool, self.trees, self.volume = pool, trees, volume
        self.problems, self.owed = [], 0
        self.rows_checked = self.units_wrong = 0
        self.columns()
        self.references()
        self.rows()
        self.landing()
        self.names()

    def say(self, problem):
        self.problems.append(problem)

    def columns(self):
        """Headers: what never changes while a group lives (its m may)."""
        for g in self.pool.groups.values():
            for c in range(g["k"] + g["m"]):
                place = self.pool.column(g, c)
                if not place:
                    continue
                try:
                    h = blocks.column_header(place[0].at(place[1], BLOCK) or b"", place[1])
                except Bad as e:
                    self.say(f"group {g['group']} column {c}: {e}")
                    continue
                if (h["group"], h["column"], h["k"], h["generation"], h["unit"], h["rows"], h["klass"]) != \
                        (g["group"], c, g["k"], g["generation"], g["unit"], g["rows"], g["klass"]):
                    self.say(f"group {g['group']} column {c}: the header of another column")
                if h["disk"] != g["columns"][c][0] or h["disk_uuid"] != place[0].label["uuid"]:
                    self.say(f"group {g['group']} column {c}: the header names another disk")

    def references(self):
        """The map's reference counts against the items and nodes that were seen."""
        counts, used = {}, {}
        for items in self.volume.items.values():
            for _, extent, start, length in items:
                counts[extent] = counts.get(extent, 0) + 1
                used[extent] = used.get(extent, 0) + length
        for attributes in self.volume.xattrs.values():
            for found in attributes.values():
                if isinstance(found, tuple):
                    counts[found[0]] = counts.get(found[0], 0) + 1
                    used[found[0]] = used.get(found[0], 0) + found[1]
        for number, e in self.trees.extents.items():
            if number >= self.pool.record["next_id"]:
                self.say(f"extent {number} is not below next_id")
            seen = e.get("seen", 0) if e["kind"] else counts.get(number, 0)
            if seen != e["references"]:
                self.say(f"extent {number}: {e['references']} references in the map, {seen} found")
            if not e["kind"] and used.get(number, 0) != e["referenced"]:
                self.say(f"extent {number}: {e['referenced']} referenced bytes in the map, "
                         f"{used.get(number, 0)} found")

    def rows(self):
        """Live rows of data and metadata groups: liveness, summaries, sums, parity."""
        lying = {}  # (group, row) -> extents there
        landing = {}
        for number, e in self.trees.extents.items():
            g = self.pool.groups[e["group"]]
            if g["klass"] == 2:
                landing.setdefault(e["group"], {})[number] = e
            else:
                lying.setdefault((e["group"], e["offset"] // (g["k"] * g["unit"])), {})[number] = e
        self.landing_extents = landing
        live = {place: v for place, v in self.pool.space.items() if v[0]}
        for place in set(live) ^ set(lying):
            self.say(f"group {place[0]} row {place[1]}: the space tree and the extent map disagree")
        for place in sorted(set(live) & set(lying)):
            stored = sum(e["stored"] for e in lying[place].values())
            if live[place][0] != stored:
                self.say(f"group {place[0]} row {place[1]}: {live[place][0]} live bytes, {stored} stored")
            g = self.pool.groups[place[0]]
            if g["klass"] == 3:
                self.data_row(g, place[1], live[place][1], lying[place])
        self.counts(lying, landing)
        for group in {g for g, _ in self.trees.system_nodes} | set(self.pool.bitmaps):
            nodes = {row for g, row in self.trees.system_nodes if g == group}
            if nodes != self.pool.bitmaps.get(group, set()):
                self.say(f"system group {group}: the bitmap and the trees disagree")

    def counts(self, lying, landing):
        for number, g in self.pool.groups.items():
            rows = {r: e for (group, r), e in lying.items() if group == number}
            stored = sum(e["stored"] for extents in rows.values() for e in extents.values())
            used = len(rows)
            if g["klass"] == 0:
                used = sum(1 for group, _ in self.trees.system_nodes if group == number)
                stored = used * NODE
            count = self.pool.counts[number]
            if g["klass"] == 2:
                stored, used = sum(e["stored"] for e in landing.get(number, {}).values()), count["write_pointer"]
            if (count["live"], count["rows_used"]) != (stored, used):
                self.say(f"group {number}: {count['live']} bytes in {count['rows_used']} rows are said to be live, "
                         f"{stored} in {used} were found")

    def data_row(self, g, number, txn, extents):
        row = self.pool.row(g, number)
        self.rows_checked += 1
        if not row:
            self.say(f"group {g['group']} row {number}: can't be read")
            return
        for c in row.wrong:
            if c in row.owed:
                self.owed += 1  # counted, no problem
            else:
                self.units_wrong += 1
                self.say(f"group {g['group']} row {number}: column {c} is wrong")
        if txn < row.summary.txn:
            self.say(f"group {g['group']} row {number}: txn {txn}, its summary {row.summary.txn}")
        self.entries(f"group {g['group']} row {number}", row.summary,
                     number * g["k"] * g["unit"], extents)

    def entries(self, name, summary, base, extents):
        """A summary must list each live extent of its row or batch as the map has it."""
        listed = {e["id"]: e for e in summary.entries}
        for number, m in extents.items():
            e = listed.get(number)
            if not e or (e["birth"], base + e["offset"], e["stored"], e["raw"], e["compression"]) != \
                    (m["birth"], m["offset"], m["stored"], m["raw"], m["compression"]) or \
                    e["checksums"] != m["count"] or e["hash"] != hash_of_sums(m["sums"]):
                self.say(f"{name}: the summary does not list extent {number} as the map does")

    def landing(self):
        for g in self.pool.groups.values():
            if g["klass"] != 2:
                continue
            extents = dict(self.landing_extents.get(g["group"], {}))
            for offset, batch in batches(self.pool, g):
                mine = {n: e for n, e in extents.items() if offset <= e["offset"] < offset + batch.length}
                self.entries(f"landing group {g['group']} at {offset}", batch, offset, mine)
                for n in mine:
                    del extents[n]
            if extents:
                self.say(f"landing group {g['group']}: extents {sorted(extents)} are in no batch")

    def names(self):
        """Directory entries against link counts, parents and entry counts."""
        links, v = {}, self.volume
        if v.count != len(v.inodes):
            self.say(f"{v.count} inodes are counted, {len(v.inodes)} found")
        for directory, entries in v.entries.items():
            if v.inodes[directory]["entries"] != len(entries):
                self.say(f"directory {directory}: {v.inodes[directory]['entries']} entries, "
                         f"{len(entries)} found")
            for name, child, _ in entries:
                links[child] = links.get(child, 0) + 1
                if stat.S_ISDIR(v.inodes[child]["mode"]) and v.inodes[child]["parent"] != directory:
                    self.say(f"directory {child}: its parent is not {directory}")
        for number, i in v.inodes.items():
            found = links.get(number, 0)
            if stat.S_ISDIR(i["mode"]):
                children = sum(1 for _, child, t in v.entries.get(number, ()) if t == stat.S_IFDIR >> 12)
                found = 2 + children
            if i["links"] != found and number not in v.orphans:
                self.say(f"inode {number}: {i['links']} links, {found} found")
        for number in set(v.items) | set(v.xattrs) | set(v.links):
            if number not in v.inodes:
                self.say(f"inode {number} is missing, but not what hangs on it")
        # Every extent can be read, whoever refers to it.
        for number, e in self.trees.extents.items():
            if not e["kind"]:
                try:
                    self.trees.extent(number)
                except Bad as error:
                    self.say(str(error))


def open_pool(paths):
    pool = Pool.open(paths)
    trees = Trees(pool)
    return pool, trees, Volume(trees)


def main(arguments):
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    folder = rest.pop(0) if verb == "extract" and rest else None
    if verb not in ("info", "list", "extract", "check") or not rest:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        pool, trees, volume = open_pool(rest)
        if verb == "info":
            print(json.dumps(info(pool), indent=1))
        elif verb == "list":
            print(json.dumps([volume.describe(*f) for f in volume.tree()], indent=1))
        elif verb == "extract":
            extract(volume, folder)
        else:
            found = Check(pool, trees, volume)
            for problem in found.problems:
                print(problem)
            print(f"{trees.nodes_read} nodes, {len(trees.extents)} extents, {found.rows_checked} rows, "
                  f"{found.owed} owed units, {len(found.problems)} problems")
            return 3 if found.problems else 0
    except Bad as e:
        print(f"scalefs_reader: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
