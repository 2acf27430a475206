#!/usr/bin/env python3
"""Makes one include folder per room, holding links to the rooms it can reach by src/rooms.txt.

usage: room-includes.py ROOMS.TXT SRC OUT
Prints one line per room, lower rooms first: the room and every room that it can reach.
"""
import os
import sys


def read_rooms(path):
    """{room: set of rooms it may include itself}, in the order of the file."""
    rooms = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            line = line.split("#")[0].strip()
            if not line:
                continue
            room, _, allowed = line.partition(":")
            rooms[room] = {room, "base"} | set(allowed.split())
            for r in rooms[room]:
                if r not in rooms:
                    sys.exit(f"{path}: {room} may use {r}, which is not below it")
    return rooms


def reach(rooms, room):
    """The room and all that its headers can lead to, lower rooms last."""
    seen = set()
    todo = [room]
    while todo:
        r = todo.pop()
        if r not in seen:
            seen.add(r)
            todo.extend(rooms[r])
    return [r for r in reversed(list(rooms)) if r in seen]


def main():
    rooms_txt, src, out = sys.argv[1:]
    rooms = read_rooms(rooms_txt)
    for room in rooms:
        folder = os.path.join(out, room)
        os.makedirs(folder, exist_ok=True)
        wanted = reach(rooms, room)
        for name in os.listdir(folder):
            if name not in wanted:
                os.unlink(os.path.join(folder, name))
        for name in wanted:
            link = os.path.join(folder, name)
            target = os.path.join(src, name)
            if os.path.islink(link) and os.readlink(link) == target:
                continue
            if os.path.lexists(link):
                os.unlink(link)
            os.symlink(target, link)
        print(*[room] + [r for r in wanted if r != room])


if __name__ == "__main__":
    main()
