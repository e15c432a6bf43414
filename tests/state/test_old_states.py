#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test_old_states.py MICA KERNEL - states that earlier versions saved go on under this one.

Each *.state beside this file is a VM with two CPUs, 64 MiB, a disk, a network card and a console of virtio, saved by
`mica save` while KERNEL (tests/machine/kernel/saved64.c) waited for a byte on the serial port; README.md tells by which
version. Given the byte, the kernel checks memory, registers, devices and timers, and says what is not as it was. The
state this version writes is made and read in the same way, through files, and through pipes and sockets that are read
slowly, or not at all.
"""
import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))
import patience  # noqa: E402

MICA, KERNEL = sys.argv[1:3]
LIMIT = patience.seconds(60)
CHECKS = 8
F_SETPIPE_SZ = 1031


def small_pipe():
    """It holds less than any state."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], F_SETPIPE_SZ, 4096)
    return ends


def small_socket():
    ends = socket.socketpair()
    ends[1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    return [s.detach() for s in ends]


class OldStates(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="mica-states-")
        self.addCleanup(self.dir.cleanup)
        self.disk = os.path.join(self.dir.name, "disk")
        with open(self.disk, "wb") as f:
            f.truncate(1 << 20)

    def goes_on(self, state, **how):
        """The virtio console must have somewhere to go; the disk is a copy."""
        r = subprocess.run([MICA, "run", "--engine", "soft", "--restore", f"{state},trust=on", "--disk", self.disk, "--virtio-console", "pty"],
                           input=b"x", capture_output=True, timeout=LIMIT, **how)
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

    def start(self):
        self.control = os.path.join(self.dir.name, "ctl")
        vm = subprocess.Popen([MICA, "run", "--engine", "soft", "--memory", "64M", "--cpus", "2", "--cpu", "mica-v2", "--debug-exit",
                               "--no-reboot", "--kernel", KERNEL, "--disk", self.disk, "--net", "user", "--virtio-console", "pty",
                               "--control", self.control], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(vm.wait)
        self.addCleanup(vm.kill)
        self.addCleanup(vm.stdout.close)
        self.assertEqual(vm.stdout.readline(), b"READY\n")
        return vm

    def client(self):
        c = socket.socket(socket.AF_UNIX)
        self.addCleanup(c.close)
        c.settimeout(LIMIT)
        c.connect(self.control)
        return c

    def ask(self, client, command, fds=()):
        socket.send_fds(client, [json.dumps({"command": command}).encode() + b"\n"], fds)

    def answer(self, client):
        text = b""
        while not text.endswith(b"\n"):
            more = client.recv(65536)
            self.assertTrue(more, "the VM is gone")
            text += more
        return json.loads(text)

    def told(self, client, command):
        self.ask(client, command)
        a = self.answer(client)
        self.assertTrue(a["ok"], a)
        return a["result"]

    def ends_well(self, vm):
        """It goes on in its own process."""
        out = vm.communicate(b"x", timeout=LIMIT)[0].decode()
        self.assertEqual((vm.returncode, out.count("ok: ")), (33, CHECKS), out)

    def test_this_version(self):
        vm = self.start()
        state = os.path.join(self.dir.name, "state")
        subprocess.run([MICA, "save", "--control", self.control, "--output", state, "--quit"], check=True, timeout=LIMIT,
                       stdout=subprocess.DEVNULL)
        vm.communicate(timeout=LIMIT)
        self.goes_on(state)

    def test_streams(self):
        """Read slowly: other clients are answered meanwhile. Then restored from a stream."""
        for name, pair in ("pipe", small_pipe), ("socket", small_socket):
            with self.subTest(name):
                vm = self.start()
                saver, other = self.client(), self.client()
                ours, theirs = pair()
                self.ask(saver, "save", [theirs])
                os.close(theirs)
                data, slowest = b"", 0
                while more := os.read(ours, 1000):
                    data += more
                    if len(data) < 20000:
                        began = time.monotonic()
                        self.assertEqual(self.told(other, "status")["state"], "stopping")
                        slowest = max(slowest, time.monotonic() - began)
                os.close(ours)
                a = self.answer(saver)
                self.assertTrue(a["ok"], a)
                self.assertEqual(a["result"]["file_bytes"], len(data))
                self.assertLess(slowest, patience.seconds(1))
                self.told(saver, "quit")
                vm.communicate(timeout=LIMIT)
                ours, theirs = pair()
                feeder = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=theirs)
                os.close(theirs)
                feeder.stdin.write(data)
                feeder.stdin.close()
                self.goes_on(f"fd:{ours}", pass_fds=[ours])
                os.close(ours)
                self.assertEqual(feeder.wait(), 0)

    def test_nobody_reads(self):
        """Whoever saves goes away, or the VM is to end, while the other end of the pipe does not move."""
        for gone in True, False:
            with self.subTest(gone=gone):
                vm = self.start()
                saver, other = self.client(), self.client()
                ours, theirs = small_pipe()
                self.ask(saver, "save", [theirs])
                os.close(theirs)
                os.read(ours, 1)  # it writes
                if gone:
                    saver.close()
                    self.ends_well(vm)
                else:
                    self.told(other, "quit")
                    a = self.answer(saver)
                    self.assertFalse(a["ok"])
                    vm.communicate(timeout=LIMIT)
                os.close(ours)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
