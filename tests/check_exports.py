#!/usr/bin/env python3
"""Checks that the shared library exports exactly the functions that include/scalefs declares.

usage: check_exports.py ROOT LIBRARY
Prints TAP.
"""
import os
import re
import subprocess
import sys


def declared(root):
    names = set()
    folder = os.path.join(root, "include", "scalefs")
    for name in os.listdir(folder):
        if not name.endswith(".h"):
            continue
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            text = re.sub(r"/\*.*?\*/|//[^\n]*", "", f.read(), flags=re.S)
        # Bodies and initialisers declare nothing; a preprocessor line neither.
        text = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
        names |= {n for n in re.findall(r"\b(scalefs_\w+)\s*\([^*]", text)}
    return names


def exported(library):
    out = subprocess.run(["nm", "-D", "--defined-only", library], check=True, text=True,
                         capture_output=True).stdout
    return {f[2].split("@")[0] for f in map(str.split, out.splitlines()) if f[1] != "A"}


def main():
    root, library = sys.argv[1:]
    want, have = declared(root), exported(library)
    cases = {
        "every declared function is exported": sorted(want - have),
        "nothing else is exported": sorted(have - want),
        "functions were found": [] if want else ["none"],
    }
    for number, (name, wrong) in enumerate(cases.items(), 1):
        for w in wrong:
            print("#", w)
        print(f"{'not ' if wrong else ''}ok {number} - {name}")
    print(f"1..{len(cases)}")
    sys.exit(any(cases.values()))


if __name__ == "__main__":
    main()
