#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio_kernel.py MICA KERNEL ECHO - run_kernel.py for kernel/virtio64.c: with a disk that holds a pattern, a network,
and a console that echoes."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def pattern(sectors=2048):
    return b"".join(bytes((n * 7 + i) & 0xff for i in range(512)) for n in range(sectors))


def main():
    mica, kernel, echo = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="mica-virtio-") as tmp:
        disk, console = os.path.join(tmp, "disk"), os.path.join(tmp, "console")
        with open(disk, "wb") as f:
            f.write(pattern())
        with subprocess.Popen([echo, console], stderr=subprocess.DEVNULL) as other_end:
            status = subprocess.call([os.path.join(HERE, "run_kernel.py"), mica, kernel, "--disk", disk, "--net", "user",
                                      "--virtio-console", "unix:" + console])
            other_end.kill()
    return status


if __name__ == "__main__":
    sys.exit(main())
