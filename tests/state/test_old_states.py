#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test_old_states.py MICA KERNEL - states that earlier versions saved go on under this one.

Each *.state beside this file is a VM with two CPUs, 64 MiB, a disk, a network card and a console of virtio, saved by
`mica save` while KERNEL (tests/machine/kernel/saved64.c) waited for a byte on the serial port; README.md tells by which
version. Given the byte, the kernel checks memory, registers, devices and timers, and says what is not as it was. The
state this version writes is made and read in the same way.
"""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))
import patience  # noqa: E402

MICA, KERNEL = sys.argv[1:3]
LIMIT = patience.seconds(60)
CHECKS = 8


class OldStates(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="mica-states-")
        self.addCleanup(self.dir.cleanup)
        self.disk = os.path.join(self.dir.name, "disk")
        with open(self.disk, "wb") as f:
            f.truncate(1 << 20)

    def goes_on(self, state):
        """The virtio console must have somewhere to go; the disk is a copy."""
        r = subprocess.run([MICA, "run", "--engine", "soft", "--restore", f"{state},trust=on", "--disk", self.disk, "--virtio-console", "pty"],
                           input=b"x", capture_output=True, timeout=LIMIT)
        out, told = r.stdout.decode(), r.stderr.decode()
        if "CPU model mica-v2 has what this host" in told or "guests tell them apart" in told:
            self.skipTest(told.strip())
        self.assertEqual(r.returncode, 33, out + told)
        self.assertEqual(out.count("ok: "), CHECKS, out + told)
        self.assertNotIn("FAIL", out)

    def test_each_version(self):
        states = sorted(HERE.glob("*.state"))
        self.assertGreaterEqual(len(states), 2)
        for state in states:
            with self.subTest(state.name):
                self.goes_on(state)

    def test_this_version(self):
        control, state = (os.path.join(self.dir.name, n) for n in ("ctl", "state"))
        vm = subprocess.Popen([MICA, "run", "--engine", "soft", "--memory", "64M", "--cpus", "2", "--cpu", "mica-v2", "--debug-exit",
                               "--no-reboot", "--kernel", KERNEL, "--disk", self.disk, "--net", "user", "--virtio-console", "pty",
                               "--control", control], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(vm.kill)
        self.assertEqual(vm.stdout.readline(), b"READY\n")
        subprocess.run([MICA, "save", "--control", control, "--output", state, "--quit"], check=True, timeout=LIMIT,
                       stdout=subprocess.DEVNULL)
        vm.communicate(timeout=LIMIT)
        self.goes_on(state)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
