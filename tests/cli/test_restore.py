#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mica run --restore: what a saved state may ask of the host, who allows it, and states that somebody forged."""
import ctypes
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import unittest

from test_vm import LIMIT, MICA, POWEROFF, RESET, kernel, text

KEY = b"\x66\xba\xfd\x03\xec\xa8\x01\x74\xf7"  # until the serial port has a byte
CLEAR = b"\x66\xba\xf8\x03\xec"  # takes it


def forge(state, **changes):
    """The state with another configuration, its checksums right."""
    xxh64 = ctypes.CDLL("libxxhash.so.0").XXH64
    xxh64.restype = ctypes.c_uint64

    def checksum(data):
        return struct.pack("<Q", xxh64(ctypes.c_char_p(data), ctypes.c_size_t(len(data)), ctypes.c_uint64(0)))
    head, bytes_at = 32, 24
    section = state[head:head + 48]
    end = head + 48 + struct.unpack_from("<Q", section, bytes_at)[0]
    payload = state[head + 48:end]
    assert section[32:40] == checksum(payload)
    whole = json.loads(payload)
    whole["config"].update(changes)
    payload = json.dumps(whole).encode()
    section = section[:bytes_at] + struct.pack("<Q", len(payload)) + checksum(payload)
    return state[:head] + section + checksum(section) + payload + state[end:]


class Restore(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="mica-restore-")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            cls.port = s.getsockname()[1]
        cls.kernel, cls.disk, cls.control, cls.state = (os.path.join(cls.dir, n) for n in ("kernel", "disk,img", "ctl", "vm,state"))
        with open(cls.kernel, "wb") as f:
            f.write(kernel(text("READY\n") + KEY + CLEAR + text("ON\n") + KEY + POWEROFF))
        with open(cls.disk, "wb") as f:
            f.truncate(1 << 20)
        cls.named = ["--kernel", cls.kernel, "--disk", cls.disk.replace(",", ",,")]
        cls.net = ["--net", f"user,hostfwd=tcp::{cls.port}-:22"]
        cls.saved = cls.save(*cls.named, *cls.net)
        cls.plain = cls.save("--kernel", cls.kernel)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    @classmethod
    def save(cls, *args):
        vm = subprocess.Popen([MICA, "run", "--memory", "16M", "--control", cls.control, *args], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
        assert vm.stdout.readline() == b"READY\n"
        subprocess.run([MICA, "save", "--control", cls.control, "--output", cls.state, "--quit"], check=True,
                       stdout=subprocess.DEVNULL, timeout=LIMIT)
        vm.communicate(timeout=LIMIT)
        with open(cls.state, "rb") as f:
            return f.read()

    def restore(self, state, *args, trust="", keys=b"xx"):
        with open(self.state, "wb") as f:
            f.write(state)
        return subprocess.run([MICA, "run", "--restore", self.state.replace(",", ",,") + trust, *args], input=keys,
                              capture_output=True, timeout=LIMIT)

    def refused(self, r, *told):
        self.assertEqual((r.returncode, r.stdout), (2, b""), r.stderr)
        for t in told:
            self.assertIn(t, r.stderr.decode())

    def goes_on(self, r):
        self.assertEqual((r.returncode, r.stdout), (0, b"ON\n"), r.stderr)

    # ---- one's own ----
    def test_what_it_wants_is_shown_and_not_done(self):
        r = self.restore(self.saved)
        command = "--restore " + self.state.replace(",", ",,") + ",trust=on"
        self.refused(r, f"read, a kernel: {self.kernel}\n", f"read and write, a disk: {self.disk}\n", "network: user",
                     f"open a port: tcp::{self.port}-:22\n", command)

    def test_goes_on_when_trusted(self):
        self.goes_on(self.restore(self.saved, trust=",trust=on"))
        self.refused(self.restore(self.saved, trust=",trust=off"), "trust=on")
        self.refused(self.restore(self.saved, trust=",trust=yes"), "trust=yes")
        self.refused(self.restore(self.saved, trust=",frob"), "'frob'")

    def test_goes_on_when_all_is_named(self):
        self.goes_on(self.restore(self.saved, *self.named, "--net", "user"))
        self.goes_on(self.restore(self.plain, "--kernel", self.kernel))

    def test_what_is_not_named_is_shown(self):
        r = self.restore(self.saved, *self.named)
        self.refused(r, "network: user", f"open a port: tcp::{self.port}-:22\n")
        self.assertNotIn(b"kernel:", r.stderr)
        self.assertNotIn(b"disk:", r.stderr)

    def test_named_ones_are_what_is_used(self):
        """The guest resets itself: it boots what the command line names."""
        other = os.path.join(self.dir, "other")
        with open(other, "wb") as f:
            f.write(kernel(text("OTHER\n") + POWEROFF))
        with open(self.kernel, "rb") as f:
            own = f.read()
        with open(self.kernel, "wb") as f:
            f.write(kernel(text("READY\n") + KEY + RESET))

        def put_back():
            with open(self.kernel, "wb") as f:
                f.write(own)
        self.addCleanup(put_back)
        r = self.restore(self.save("--kernel", self.kernel), "--kernel", other, keys=b"x")
        self.assertEqual((r.returncode, r.stdout), (0, b"OTHER\n"), r.stderr)

    def test_parts_it_has_not(self):
        self.refused(self.restore(self.plain, "--kernel", self.kernel, "--initrd", self.kernel), "--initrd", "has none")
        self.refused(self.restore(self.plain, "--kernel", self.kernel, "--module", self.kernel), "--module", "0 modules")

    def test_devices_are_those_of_the_file(self):
        """Classes and parameters belong to the machine; ids and the virtio console's place do not."""
        state = self.save(*self.named[:2], "--disk", self.named[3] + ",queues=2,id=system", "--device", "virtio-rng", "--virtio-console", "pty")
        pty = ["--virtio-console", "pty"]
        self.goes_on(self.restore(state, *pty, trust=",trust=on"))
        self.goes_on(self.restore(state, *self.named[:2], "--disk", self.named[3] + ",queues=2", *pty))
        r = self.restore(state, *self.named, *pty)
        self.assertEqual(r.returncode, 1)
        self.assertIn("device disk0: the saved VM has virtio-blk there", r.stderr.decode())
        self.refused(self.restore(state, "--device", "virtio-rng", *pty, trust=",trust=on"), "--device: a restored VM has this")
        state = self.save(*self.named)  # a file of before there were ids, buses and further devices has no such keys
        self.assertNotIn(b'"params"', state)
        self.assertNotIn(b'"devices"', state)

    # ---- somebody else's ----
    def test_forged_files(self):
        secret = os.path.join(self.dir, "secret")
        link = os.path.join(self.dir, "initrd")
        with open(secret, "w", encoding="ascii") as f:
            f.write("key")
        os.symlink(secret, link)
        self.refused(self.restore(forge(self.plain, initrd=secret), "--kernel", self.kernel), f"read, an initrd: {secret}\n")
        self.refused(self.restore(forge(self.plain, initrd=link)), f"read, an initrd: {link}  -> {secret}\n")
        self.refused(self.restore(forge(self.plain, modules=[secret + " x=y"])), f"read, a module: {secret}\n")
        self.refused(self.restore(forge(self.plain, nets=[{"type": "user", "hostfwd": ["tcp:0.0.0.0:80-:80"]}])),
                     "open a port: tcp:0.0.0.0:80-:80\n")
        os.unlink(link)

    def test_forged_paths_are_absolute(self):
        for change in ({"initrd": "secret"}, {"kernel": "../kernel"}, {"modules": ["m x"]}, {"disks": [{"path": "d"}]}):
            self.refused(self.restore(forge(self.plain, **change), trust=",trust=on"), "is not absolute")

    def test_forged_text_is_plain(self):
        r = self.restore(forge(self.plain, initrd="/a\x1b[2J\x9b\x07\nread, a disk: /b\u202eb", name="\x1b[31m"))
        self.refused(r, "read, an initrd: /a?[2J??")
        r2 = self.restore(forge(self.plain, cpu="mica\x1b[2J"), trust=",trust=on")
        self.assertNotEqual(r2.returncode, 0)
        for said in (r.stderr, r2.stderr):
            self.assertEqual([c for c in said.decode() if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e")], [])

    def test_forged_numbers(self):
        many = [f"tcp::{p}-:{p}" for p in range(1, 300)]
        self.refused(self.restore(forge(self.plain, nets=[{"type": "user", "hostfwd": many}])), "more than 256")
        self.refused(self.restore(forge(self.plain, memory_bytes=1 << 60)), "memory")
        self.refused(self.restore(forge(self.plain, cpus=1 << 20)), "cpus")

    def test_no_device_or_fifo_is_opened(self):
        fifo = os.path.join(self.dir, "fifo")
        os.mkfifo(fifo)
        r = self.restore(forge(self.plain, initrd=fifo), trust=",trust=on")
        self.assertIn(b"fifo is a pipe, which can be read only once", r.stderr)
        self.goes_on(r)
        r = subprocess.run([MICA, "run", "--restore", fifo], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT)
        self.refused(r, "not a regular file")
        r = subprocess.run([MICA, "run", "--kernel", fifo], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT)
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"--kernel: %s is a pipe, which can be read only once" % fifo.encode(), r.stderr)
        os.unlink(fifo)


if __name__ == "__main__":
    unittest.main()
