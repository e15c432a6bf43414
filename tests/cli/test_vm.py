#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mica run as a whole, with Multiboot kernels of a few instructions: ends, statuses, control, the sandbox as applied."""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools"))
import patience  # noqa: E402

MICA = os.environ["MICA"]
BASE = 0x100000
LIMIT = patience.seconds(20)
HEADER = 32


def out8(port, val):
    return b"\x66\xba" + struct.pack("<H", port) + b"\xb0" + bytes([val]) + b"\xee"


def out16(port, val):
    return b"\x66\xba" + struct.pack("<H", port) + b"\x66\xb8" + struct.pack("<H", val) + b"\x66\xef"


def text(s):
    return b"".join(out8(0x3f8, c) for c in s.encode())


HANG = b"\xfa\xf4\xeb\xfc"  # cli; hlt; jmp to hlt
SPIN = b"\xeb\xfe"
POWEROFF = out16(0x604, 5 << 10 | 1 << 13) + HANG
RESET = out8(0xcf9, 6) + HANG
def kernel(code):
    """Multiboot 1 with its addresses in the header; eight zero bytes between header and code."""
    flags = 1 << 16
    end = BASE + HEADER + 8 + len(code)
    head = struct.pack("<IIIIIIII", 0x1badb002, flags, -(0x1badb002 + flags) & 0xffffffff, BASE, BASE,
                       end, end, BASE + HEADER + 8)
    return head + bytes(8) + code


# lidt of those zero bytes, ud2: there is no handler, nor one for the double fault.
TRIPLE = b"\x0f\x01\x1d" + struct.pack("<I", BASE + HEADER) + b"\x0f\x0b"


class Vm(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="mica-vm-")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def args(self, code, *more):
        path = os.path.join(self.dir, "kernel")
        with open(path, "wb") as f:
            f.write(kernel(code))
        return [MICA, "run", "--kernel", path, "--memory", "16M", *more]

    def run_vm(self, code, *more, timeout=patience.seconds(20)):
        return subprocess.run(self.args(code, *more), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)

    def start(self, code, *more):
        """A running VM; returns (process of mica, pid of mica-vmm). The kernel has said READY."""
        p = subprocess.Popen(self.args(text("READY\n") + code, *more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        self.addCleanup(self.stop, p)
        self.assertEqual(p.stdout.readline(), b"READY\n")
        with open(f"/proc/{p.pid}/task/{p.pid}/children") as f:
            return p, int(f.read().split()[0])

    def stop(self, p):
        if p.poll() is None:
            p.kill()
        p.wait()
        p.stdout.close()
        p.stderr.close()

    # ---- ends ----
    def test_power_off(self):
        r = self.run_vm(text("hello\n") + POWEROFF)
        self.assertEqual((r.returncode, r.stdout, r.stderr), (0, b"hello\n", b""))

    def test_reset_without_reboot(self):
        self.assertEqual(self.run_vm(RESET, "--no-reboot").returncode, 3)

    def test_triple_fault_without_reboot(self):
        self.assertEqual(self.run_vm(TRIPLE, "--no-reboot").returncode, 4)

    def test_debug_exit(self):
        for value in (0, 1, 42):
            self.assertEqual(self.run_vm(out8(0xf4, value) + HANG, "--debug-exit").returncode, (value << 1 | 1) & 0xff)

    def test_reset_boots_again(self):
        # Boots until the third time: the count lives in CMOS, which a reset keeps.
        count = 0x7f  # last byte
        code = (text("boot\n") + out8(0x70, count) + b"\xe4\x71" + b"\x04\x01" + b"\x88\xc3" +  # in al; inc; mov bl, al
                out8(0x70, count) + b"\x88\xd8" + b"\xe6\x71" + b"\x80\xfb\x03")  # out; cmp bl, 3
        code += b"\x0f\x84" + struct.pack("<i", len(RESET)) + RESET + POWEROFF
        r = self.run_vm(code)
        self.assertEqual((r.returncode, r.stdout), (0, b"boot\n" * 3))

    def test_many_cpus_end_too(self):
        self.assertEqual(self.run_vm(POWEROFF, "--cpus", "8").returncode, 0)

    def test_stats(self):
        r = self.run_vm(POWEROFF, "--stats")
        stats = dict(line.rsplit(" ", 1) for line in r.stderr.decode().splitlines())
        self.assertGreater(int(stats["rss_bytes"]), 0)
        self.assertLess(int(stats["own_bytes"]), 64 << 20)

    # ---- disks beside QEMU's: the locks of both ----
    @unittest.skipUnless(shutil.which("qemu-system-x86_64"), "QEMU is not installed")
    def test_disk_locks_are_qemus(self):
        image = os.path.join(self.dir, "shared.img")
        with open(image, "wb") as f:
            f.truncate(1 << 20)

        def qemu(*readonly):
            return subprocess.Popen(["qemu-system-x86_64", "-nodefaults", "-display", "none", "-S", "-monitor", "stdio", "-drive",
                                     ",".join([f"file={image},format=raw,if=virtio", *readonly])], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

        for mine in ("on", "off"):
            for others in ("on", "off"):
                both = mine == others == "on"
                with self.subTest(mica=mine, qemu=others, first="mica"):
                    p, _ = self.start(HANG, "--disk", f"{image},readonly={mine}")
                    q = qemu(f"readonly={others}")
                    said = q.communicate(b"quit\n", timeout=LIMIT)[0].decode()
                    self.assertEqual(q.returncode, 0 if both else 1, said)
                    if not both:
                        self.assertIn(" lock", said)
                    self.stop(p)
                with self.subTest(mica=mine, qemu=others, first="qemu"):
                    q = qemu(f"readonly={others}")
                    self.addCleanup(q.stdout.close)
                    self.addCleanup(q.kill)
                    line = c = b"-"
                    q.stdin.write(b"info block\n")  # answered when all is open
                    q.stdin.flush()
                    while c and b"(raw" not in line:
                        c = q.stdout.read(1)
                        line += c
                    self.assertIn(b"(raw", line)
                    r = self.run_vm(POWEROFF, "--disk", f"{image},readonly={mine}")
                    self.assertEqual(r.returncode, 0 if both else 1, r.stderr)
                    if not both:
                        self.assertIn(b"being written" if mine == "on" else b"in use", r.stderr)
                    q.communicate(b"quit\n", timeout=LIMIT)

    # ---- errors ----
    def test_errors_say_why(self):
        bad = os.path.join(self.dir, "bad")
        with open(bad, "wb") as f:
            f.write(b"no kernel" * 1000)
        for status, args, words in ((1, ["--kernel", bad], "bad"),
                                    (1, ["--kernel", self.dir], "regular file"),
                                    (2, ["--cpu", "z80"], "z80"),
                                    (2, ["--net", "user,mac=12:34"], "mac=12:34"),
                                    (2, ["--net", "user,hostfwd=tcp:x"], "tcp:x"),
                                    (1, ["--control", "/nowhere/sock"], "/nowhere/sock")):
            r = self.run_vm(POWEROFF, *args)
            self.assertEqual(r.returncode, status, args)
            self.assertIn(words, r.stderr.decode())
            self.assertTrue(r.stderr.startswith(b"mica"), r.stderr)

    # ---- control ----
    def ask(self, path, **command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(patience.seconds(10))
            s.connect(path)
            s.sendall(json.dumps(command).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                got = s.recv(4096)
                if not got:
                    break
                answer += got
            return json.loads(answer)

    def test_control(self):
        path = os.path.join(self.dir, "control")
        p, vmm = self.start(HANG, "--control", path, "--name", "web", "--cpus", "2")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        status = self.ask(path, command="status")["result"]
        self.assertEqual((status["name"], status["state"], status["cpus"], status["pid"]), ("web", "running", 2, vmm))
        self.assertGreater(self.ask(path, command="stats")["result"]["rss_bytes"], 0)
        self.assertTrue(self.ask(path, command="reset")["ok"])
        self.assertEqual(p.stdout.readline(), b"READY\n")
        self.assertEqual(self.ask(path, command="stats")["result"]["resets"], 1)
        self.ask(path, command="quit")
        self.assertEqual(p.wait(patience.seconds(10)), 130)
        self.assertFalse(os.path.exists(path))

    def test_second_vm_at_the_same_socket(self):
        path = os.path.join(self.dir, "taken")
        self.start(HANG, "--control", path)
        r = self.run_vm(HANG, "--control", path)
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"another VM uses it", r.stderr)
        self.assertTrue(self.ask(path, command="status")["ok"])

    def test_busy_guest_can_be_ended(self):
        p, _ = self.start(SPIN)
        p.terminate()
        self.assertEqual(p.wait(patience.seconds(10)), 128 + signal.SIGTERM)

    def test_unix_console(self):
        path = os.path.join(self.dir, "console")
        # Waits for a byte, sends it back, powers off.
        echo = (b"\x66\xba\xfd\x03\xec\xa8\x01\x74\xf7" +  # 1: in al, 0x3fd; test 1; jz 1b
                b"\x66\xba\xf8\x03\xec\xee")
        p = subprocess.Popen(self.args(echo + POWEROFF, "--console", "unix:" + path), stdin=subprocess.DEVNULL)
        for _ in range(int(patience.seconds(100))):
            if os.path.exists(path):
                break
            time.sleep(0.05)
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(patience.seconds(20))
            s.connect(path)
            s.sendall(b"Q")
            self.assertEqual(s.recv(1), b"Q")
        self.assertEqual(p.wait(patience.seconds(10)), 0)

    # ---- deaths ----
    def gone(self, pid):
        for _ in range(int(patience.seconds(100))):
            if not os.path.exists(f"/proc/{pid}"):
                return True
            time.sleep(0.05)
        return False

    def test_killed_mica_takes_the_vm_with_it(self):
        p, vmm = self.start(SPIN)
        p.kill()
        p.wait()
        self.assertTrue(self.gone(vmm))

    def test_killed_vm_is_reported(self):
        p, vmm = self.start(HANG)
        os.kill(vmm, signal.SIGKILL)
        self.assertEqual(p.wait(patience.seconds(10)), 1)
        self.assertIn(b"ended by signal 9", p.stderr.read())

    # ---- the sandbox, from outside ----
    def test_sandbox_is_on(self):
        p, vmm = self.start(SPIN, "--cpus", "2")
        tasks = os.listdir(f"/proc/{vmm}/task")
        self.assertGreaterEqual(len(tasks), 3)
        for task in tasks:
            with open(f"/proc/{vmm}/task/{task}/status") as f:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
            self.assertEqual(status["Seccomp"].strip(), "2", task)
            self.assertEqual(status["NoNewPrivs"].strip(), "1", task)
            self.assertEqual(int(status["CapEff"], 16) | int(status["CapPrm"], 16) | int(status["CapBnd"], 16), 0, task)
        if os.geteuid() == 0:
            self.assertEqual(os.listdir(f"/proc/{vmm}/root/"), [])
            for fd in os.listdir(f"/proc/{vmm}/fd"):
                self.assertNotRegex(os.readlink(f"/proc/{vmm}/fd/{fd}"), r"^/(etc|proc|root|home)(/|$)(?!.*status)")


if __name__ == "__main__":
    sys.exit(unittest.main())
