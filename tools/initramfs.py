# SPDX-License-Identifier: GPL-2.0-or-later
"""initramfs.py - writes a small initramfs: an init script, a static busybox, kernel modules. For tests and benches.

The archive is cpio "newc" (Linux Documentation/driver-api/early-userspace/buffer-format.rst), written here so that no
device node and no privilege is needed.
"""
import os
import stat


def _entry(out, number, name, mode, data=b""):
    path = name.encode() + b"\0"
    # magic, ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0]
    out.write(b"070701" + b"".join(b"%08x" % f for f in fields) + path)
    out.write(b"\0" * (-(110 + len(path)) % 4))
    out.write(data + b"\0" * (-len(data) % 4))


def write_files(target, files):
    """files: {path in the archive: bytes, or the path of a file here}. Folders above them are made; all are executable."""
    dirs = {"dev", "proc", "sys", "tmp", "etc"}
    for name in files:
        parts = name.split("/")[:-1]
        dirs.update("/".join(parts[:n]) for n in range(1, len(parts) + 1))
    with open(target, "wb") as out:
        number = 0
        for number, name in enumerate(sorted(dirs), 1):
            _entry(out, number, name, stat.S_IFDIR | 0o755)
        for number, (name, source) in enumerate(sorted(files.items()), number + 1):
            data = source
            if not isinstance(source, bytes):
                with open(source, "rb") as f:
                    data = f.read()
            _entry(out, number, name, stat.S_IFREG | 0o755, data)
        _entry(out, 0, "TRAILER!!!", 0)


def write(target, init, busybox, modules=None):
    """target: the file to write; init: a script run as /init; modules: a directory made by mkimage, with its `order`."""
    def read(path):
        with open(path, "rb") as f:
            return f.read()
    entries = [(d, stat.S_IFDIR | 0o755, b"") for d in ("bin", "dev", "proc", "sys", "tmp", "modules", "www")]
    entries.append(("bin/busybox", stat.S_IFREG | 0o755, read(busybox)))
    entries.append(("init", stat.S_IFREG | 0o755, read(init)))
    for name in sorted(os.listdir(modules)) if modules else ():
        entries.append(("modules/" + name, stat.S_IFREG | 0o644, read(os.path.join(modules, name))))
    with open(target, "wb") as out:
        for number, (name, mode, data) in enumerate(entries, 1):
            _entry(out, number, name, mode, data)
        _entry(out, 0, "TRAILER!!!", 0)
