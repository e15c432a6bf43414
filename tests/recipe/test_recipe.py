#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The device of docs/recipe-device.md in the command: help, checks, a running VM. Nothing but table.c was told of it."""
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
import patience  # noqa: E402

MICA = os.environ["MICA"]
BASE = 0x100000


def mica(*args):
    return subprocess.run([MICA, *args], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=patience.seconds(20))


def kernel():
    """Multiboot 1, addresses in the header: cli; hlt; jmp."""
    code, flags = b"\xfa\xf4\xeb\xfc", 1 << 16
    end = BASE + 32 + len(code)
    return struct.pack("<IIIIIIII", 0x1badb002, flags, -(0x1badb002 + flags) & 0xffffffff, BASE, BASE, end, end, BASE + 32) + code


class Recipe(unittest.TestCase):
    def test_help(self):
        text = mica("run", "--help").stdout
        self.assertRegex(text, r"(?m)^  device counter +counts how often it is read$")
        self.assertRegex(text, r"(?m)^      start=N +what it begins with; default 0$")

    def test_completion(self):
        script = 'source "$1"; COMP_WORDS=("$2" run --device c); COMP_CWORD=3; _mica 2>/dev/null; echo "${COMPREPLY[@]}"'
        out = subprocess.run(["bash", "-c", script, "-", os.path.join(TOP, "completion/mica"), MICA], capture_output=True,
                             text=True, timeout=patience.seconds(20)).stdout
        self.assertEqual(out.split(), ["counter"])

    def test_checks(self):
        for args, words in (("counter,start=-1", "--device: start=-1: write a number from 0 to 4294967295"),
                            ("counter,begin=1", "'begin=1' is not known; counter takes start=N"),
                            ("tape", "; there is: virtio-rng, "), ("tape", ", counter\n")):
            r = mica("run", "--device", args)
            self.assertEqual(r.returncode, 2)
            self.assertIn(words, r.stderr)

    def test_in_a_vm(self):
        with tempfile.TemporaryDirectory(prefix="mica-recipe-") as d:
            with open(f"{d}/kernel", "wb") as f:
                f.write(kernel())
            p = subprocess.Popen([MICA, "run", "--engine", "soft", "--memory", "16M", "--kernel", f"{d}/kernel", "--device",
                                  "counter,start=3,id=mine", "--control", f"{d}/ctl"], stdin=subprocess.DEVNULL)
            try:
                end = time.monotonic() + patience.seconds(20)
                with socket.socket(socket.AF_UNIX) as s:
                    s.settimeout(patience.seconds(10))
                    while s.connect_ex(f"{d}/ctl") and time.monotonic() < end:
                        time.sleep(0.02)
                    s.sendall(b'{"command":"status"}\n')
                    devices = json.loads(s.makefile().readline())["result"]["devices"]
                self.assertEqual(devices[-1], {"id": "mine", "class": "counter", "slot": 3})
            finally:
                p.terminate()
                p.wait(patience.seconds(20))


if __name__ == "__main__":
    unittest.main()
