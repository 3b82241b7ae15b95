# SPDX-License-Identifier: GPL-2.0
"""The guest's root: an initramfs that holds one program and its mount points."""

import os
import stat


def _entry(name, mode, data, number):
    fields = [number, mode, 0, 0, 2 if stat.S_ISDIR(mode) else 1, 0, len(data),
              0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def write(path, program):
    """Write to path a newc archive in which program is /init."""
    with open(program, "rb") as file:
        init = file.read()
    entries = [(name, stat.S_IFDIR | 0o755, b"") for name in ("dev", "proc", "sys")]
    entries.append(("init", stat.S_IFREG | 0o755, init))
    entries.append(("TRAILER!!!", 0, b""))
    with open(path, "wb") as file:
        for number, (name, mode, data) in enumerate(entries, 1):
            file.write(_entry(name, mode, data, number))
        file.write(bytes(-file.tell() % 512))
    return os.path.abspath(path)
