#!/usr/bin/env python3
"""Reads the #includes and checks that each room asks only for what it may.

* Rooms: src/rooms.txt. `cli` and what stands after `api` see the engine through include/scalefs.
* Public headers include public headers only.
* The operating system (any header that is neither C11's nor a library's of the list below) is for
  the rooms of OS_ROOMS. Time, randomness and threads come from base/env.h, so C's own headers for
  them count as the operating system's.
* The engine never prints.

Prints TAP. An argument names another root (the checker's own test uses it).
"""
import os
import re
import sys
import tempfile

C_HEADERS = {
    "assert.h", "ctype.h", "errno.h", "float.h", "inttypes.h", "limits.h", "math.h", "stdalign.h",
    "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h",
    "string.h",
}
LIBRARIES = {"parity": {"isa-l/erasure_code.h", "isa-l/raid.h"}, "store": {"zstd.h"}}
OS_ROOMS = {"base", "disk", "control", "drivers", "cli"}
ENGINE = {"base", "disk", "parity", "format", "pool", "store", "tree", "fs", "api"}
PRINTS = re.compile(r"\b(printf|puts|putchar|perror|fprintf|vprintf|vfprintf)\s*\(")
MAY_PRINT = {"src/base/assert.c"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def read_rooms(root):
    rooms = {}
    with open(os.path.join(root, "src", "rooms.txt"), encoding="utf-8") as f:
        for line in f:
            line = line.split("#")[0].strip()
            if line:
                room, _, allowed = line.partition(":")
                rooms[room] = {room, "base"} | set(allowed.split())
    return rooms


def sources(folder):
    for at, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.join(at, name)


def check_include(room, allowed, quote, name):
    """What is wrong with an include of this room, or None."""
    first = name.split("/")[0]
    if first == "scalefs":
        return None
    if room == "include":
        return None if name in C_HEADERS else f"a public header includes {name}"
    if quote == '"':
        if "/" not in name:
            return f'write "{room}/{name}"'
        return None if first in allowed else f"{room} may not use {first} ({name})"
    if name in C_HEADERS or name in LIBRARIES.get(room, ()) or room in OS_ROOMS:
        return None
    return f"<{name}> is not for this room"


def check_file(root, path, room, allowed):
    wrong = []
    shown = os.path.relpath(path, root)
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for number, line in enumerate(text.split("\n"), 1):
        found = INCLUDE.match(line)
        if found:
            what = check_include(room, allowed, *found.groups())
            if what:
                wrong.append(f"{shown}:{number}: {what}")
        elif room in ENGINE and shown not in MAY_PRINT and PRINTS.search(line):
            wrong.append(f"{shown}:{number}: the library does not print")
    return wrong


def check(root):
    """{room: [what is wrong]}"""
    rooms = read_rooms(root)
    result = {"include": []}
    for path in sources(os.path.join(root, "include")):
        result["include"] += check_file(root, path, "include", set())
    for room in sorted(os.listdir(os.path.join(root, "src"))):
        folder = os.path.join(root, "src", room)
        if not os.path.isdir(folder):
            continue
        result[room] = [] if room in rooms else [f"src/{room} is not in src/rooms.txt"]
        for path in sources(folder):
            result[room] += check_file(root, path, room, rooms.get(room, {room}))
    return result


def self_test():
    """The checker finds one planted fault of each kind and nothing in a good tree."""
    with tempfile.TemporaryDirectory() as root:
        def write(path, text):
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                f.write(text)

        write("src/rooms.txt", "base:\nlow:\nhigh: low\napi: high\ncli:\n")
        write("include/scalefs/a.h", '#include "scalefs/b.h"\n#include <stdint.h>\n')
        write("src/high/a.c", '#include "low/a.h"\n#include "base/a.h"\n#include <string.h>\n')
        wrong = [w for r in check(root).values() for w in r]
        if wrong:
            return wrong
        bad = {
            "include/scalefs/c.h": '#include "low/a.h"\n',
            "src/low/a.c": '#include "high/a.h"\n',
            "src/low/b.c": "#include <pthread.h>\n",
            "src/low/c.c": '#include "a.h"\n',
            "src/cli/a.c": '#include "high/a.h"\n',
            "src/new/a.c": "",
            "src/base/a.c": 'printf("x");\n',
        }
        for path, text in bad.items():
            write(path, text)
        found = [w for r in check(root).values() for w in r]
        return [] if len(found) == len(bad) else [f"planted {len(bad)} faults, found:"] + found


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..")
    cases = {"the checker finds planted faults": self_test()}
    cases.update({f"rooms: {r} uses only what it may": w for r, w in check(root).items()})
    for number, (name, wrong) in enumerate(cases.items(), 1):
        for line in wrong:
            print("#", line)
        print(f"{'not ' if wrong else ''}ok {number} - {name}")
    print(f"1..{len(cases)}")
    sys.exit(any(cases.values()))


if __name__ == "__main__":
    main()
