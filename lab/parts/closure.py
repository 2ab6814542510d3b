#!/usr/bin/env python3
"""Copies programs out of a Debian system, with the libraries they are linked to, into a tree for an image.

  closure.py SYSTEM TREE PROGRAM...      PROGRAM is a name, to be found in SYSTEM's usual folders, or a path in SYSTEM
"""

import os
import re
import shutil
import subprocess
import sys

PROGRAMS = ("usr/sbin", "usr/bin", "usr/local/bin")


def resolve(system, path):
    """The path in SYSTEM that holds the file itself, links followed without leaving SYSTEM."""
    parts, done, hops = path.strip("/").split("/"), [], 0
    while parts:
        part = parts.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            done = done[:-1]
            continue
        here = os.path.join(system, *done, part)
        if not os.path.islink(here):
            done.append(part)
            continue
        hops += 1
        if hops > 40:
            raise SystemExit(f"{path}: too many links")
        target = os.readlink(here)
        if target.startswith("/"):
            done = []
        parts = target.strip("/").split("/") + parts
    return "/".join(done)


def find(system, name, folders):
    for folder in folders:
        if os.path.lexists(os.path.join(system, folder, name)):
            return os.path.join(folder, name)
    raise SystemExit(f"{name}: not in {system}")


def library_folders(system):
    multiarch = [f"usr/lib/{name}" for name in os.listdir(os.path.join(system, "usr/lib")) if name.endswith("-linux-gnu")]
    return (*multiarch, "usr/lib", "usr/lib64")


def wants(path):
    """The loader and the libraries that a program or a library names."""
    with open(path, "rb") as file:
        if file.read(4) != b"\x7fELF":
            return None, []
    said = subprocess.run(["readelf", "-ld", path], stdout=subprocess.PIPE, check=True, text=True).stdout
    loader = re.search(r"program interpreter: (\S+)\]", said)
    return loader and loader.group(1), re.findall(r"\(NEEDED\).*\[(.+)\]", said)


def copy(system, tree, path, folders, done):
    """Copies the file to the place by which others know it, and then all that it is linked to."""
    target = os.path.join(os.path.dirname(resolve(system, os.path.dirname(path)) + "/x"), os.path.basename(path))
    if target in done:
        return
    done.add(target)
    source = os.path.join(system, resolve(system, path))
    destination = os.path.join(tree, target)
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    shutil.copyfile(source, destination)
    os.chmod(destination, 0o755 if os.access(source, os.X_OK) else 0o644)
    loader, libraries = wants(source)
    if loader:
        copy(system, tree, loader.lstrip("/"), folders, done)
    for library in libraries:
        copy(system, tree, find(system, library, folders), folders, done)


def main(system, tree, *programs):
    for folder in ("bin", "sbin", "lib", "lib64"):
        os.makedirs(os.path.join(tree, "usr", folder), exist_ok=True)
        if not os.path.islink(os.path.join(tree, folder)):
            os.symlink(f"usr/{folder}", os.path.join(tree, folder))
    for folder in ("etc", "run", "var"):
        os.makedirs(os.path.join(tree, folder), exist_ok=True)
    folders, done = library_folders(system), set()
    for program in programs:
        path = program.lstrip("/") if "/" in program else find(system, program, PROGRAMS)
        copy(system, tree, path, folders, done)


if __name__ == "__main__":
    main(*sys.argv[1:])
