#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mica run as a whole, with Multiboot kernels of a few instructions: ends, statuses, control, the sandbox as applied."""
import json
import os
import re
import resource
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


def bzimage32(code):
    """A Linux bzImage without a 64-bit entry point: boot protocol 2.15, one setup sector, `code` at its 32-bit entry."""
    head = bytearray(2 * 512)
    head[0x1f1] = 1
    struct.pack_into("<I", head, 0x1f4, (0x1000 + 15) // 16)
    head[0x1fe:0x200] = b"\x55\xaa"
    head[0x200:0x206] = b"\xeb\x6aHdrS"
    struct.pack_into("<H", head, 0x206, 0x20f)
    head[0x211] = 1
    struct.pack_into("<II", head, 0x22c, 0x37ffffff, 0x100000)
    head[0x234] = 1
    struct.pack_into("<I", head, 0x238, 255)
    struct.pack_into("<QI", head, 0x258, 0x200000, 0x10000)
    return bytes(head) + code.ljust(0x1000, b"\xf4")


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

    def test_linux_32bit(self):
        """Entered in protected mode, ESI at boot_params: says what it finds there, and the initrd's first bytes."""
        say = b"\x66\xba\xf8\x03\xb9\x04\x00\x00\x00\xf3\x6e"  # mov dx, 0x3f8; mov ecx, 4; rep outsb
        code = (b"\x89\xf3" + b"\x81\xc6\x02\x02\x00\x00" + say +  # mov ebx, esi; add esi, 0x202
                b"\x8b\xb3\x28\x02\x00\x00" + say +               # mov esi, [ebx + 0x228]: command line
                b"\x8b\xb3\x18\x02\x00\x00" + say + POWEROFF)     # ramdisk_image
        path, initrd = os.path.join(self.dir, "bzimage"), os.path.join(self.dir, "initrd")
        with open(path, "wb") as f:
            f.write(bzimage32(code))
        with open(initrd, "wb") as f:
            f.write(b"init")
        for memory in ("16M", "64M"):
            r = self.run_vm(b"", "--kernel", path, "--initrd", initrd, "--append", "line", "--memory", memory)
            self.assertEqual((r.returncode, r.stdout, r.stderr), (0, b"HdrSlineinit", b""))

    def test_quit_of_a_guest_that_resets_for_ever(self):
        """The wish to quit may come when the machine is about to be reset."""
        path = os.path.join(self.dir, "again")
        for code in (TRIPLE, RESET):
            for _ in range(3):
                p = subprocess.Popen(self.args(code, "--control", path), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.addCleanup(self.stop, p)
                for _ in range(200):
                    if os.path.exists(path):
                        break
                    time.sleep(0.02)
                time.sleep(0.05)
                self.ask(path, command="quit")
                self.assertEqual(p.wait(10), 130)

    def test_many_cpus_end_too(self):
        self.assertEqual(self.run_vm(POWEROFF, "--cpus", "8").returncode, 0)

    def test_stats(self):
        r = self.run_vm(POWEROFF, "--stats")
        stats = dict(line.rsplit(" ", 1) for line in r.stderr.decode().splitlines())
        self.assertGreater(int(stats["rss_bytes"]), 0)
        self.assertLess(int(stats["own_bytes"]), 64 << 20)

    # ---- what a disk's image is ----
    def test_an_image_of_another_format_is_no_raw_disk(self):
        image = os.path.join(self.dir, "other.img")
        with open(image, "wb") as f:
            f.write(b"QFI\xfb" + bytes(8188))
        r = self.run_vm(POWEROFF, "--disk", image)
        self.assertEqual((r.returncode, r.stdout), (1, b""))
        self.assertIn(f"mica: {image}: version 0 of qcow2 is not known".encode(), r.stderr)
        r = self.run_vm(POWEROFF, "--disk", f"{image},format=raw")
        self.assertEqual((r.returncode, r.stderr), (0, b""))

    @unittest.skipUnless(shutil.which("qemu-img"), "qemu-img is not installed")
    def test_images_and_what_they_name(self):
        """A backing image in the folder or below; elsewhere only when a person says so; and none at all for an image that
        only looks like one, which a guest may have written."""
        def image(name, *how, format="qcow2"):
            path = os.path.join(self.dir, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            subprocess.run(["qemu-img", "create", "-q", "-f", format, *how, path, "1M"], check=True, cwd=self.dir)
            return path

        def run(disk, error=None, *more):
            r = self.run_vm(POWEROFF, "--disk", disk, *more)
            self.assertEqual(r.returncode, 1 if error else 0, r.stderr)
            self.assertIn((error or "").encode(), r.stderr)
            if not error:
                self.assertEqual(r.stderr, b"")

        for format, ending in ("vdi", "vdi"), ("vmdk", "vmdk"), ("vpc", "vhd"):
            run(image(f"other.{ending}", format=format))
        image("low/base.qcow2")
        os.makedirs(os.path.join(self.dir, "vm"), exist_ok=True)
        run(image("top.qcow2", "-b", "low/base.qcow2", "-F", "qcow2"))
        out = image("vm/out.qcow2", "-b", "../low/base.qcow2", "-F", "qcow2", "-u")
        run(out, "is outside of its folder")
        run(f"{out},backing=folder", "add backing=any")
        run(f"{out},backing=any")
        run(f"{out},backing=any,snapshot=on")
        run(image("unsure.img", "-b", "low/base.qcow2", "-F", "qcow2", "-u"), "a guest could have written that")
        run(os.path.join(self.dir, "unsure.img") + ",format=qcow2")
        run(image("net.qcow2", "-b", "nbd:127.0.0.1:1", "-F", "raw", "-u"), "which is no file")
        run(image("none.qcow2", "-b", "gone.qcow2", "-F", "qcow2", "-u"), "No such file")
        run(f"{out},direct=on", "has no option 'direct'")
        os.symlink(os.path.join(self.dir, "low/base.qcow2"), os.path.join(self.dir, "vm/link.qcow2"))
        run(image("vm/linked.qcow2", "-b", "link.qcow2", "-F", "qcow2", "-u"), "is outside of its folder")

    @unittest.skipUnless(shutil.which("qemu-img"), "qemu-img is not installed")
    def test_a_process_that_read_an_image_is_gone(self):
        """Its disk gives errors, the VM goes on: it is in its sandbox by then, and starts nothing."""
        image = os.path.join(self.dir, "killed.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
        p, vmm = self.start(HANG, "--disk", image)
        found = []
        with open(f"/proc/{vmm}/task/{vmm}/children") as f:
            for pid in f.read().split():
                with open(f"/proc/{pid}/comm") as comm:
                    found += [int(pid)] if comm.read() == "mica-image\n" else []
        self.assertEqual(len(found), 1)
        os.kill(found[0], signal.SIGKILL)
        said = p.stderr.readline().decode()
        self.assertIn(f"disk '{image}': the process that reads its image (mica-image) has ended", said)
        time.sleep(0.2)
        self.assertIsNone(p.poll())
        p.terminate()
        self.assertEqual(p.wait(LIMIT), 128 + signal.SIGTERM)

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
                                    (1, ["--kernel", bad], f"kernel {bad} is a text file: pass the kernel itself"),
                                    (1, ["--kernel", self.dir], f"--kernel: {self.dir} is a directory"),
                                    (1, ["--initrd", "/dev/null"], "--initrd: /dev/null is a device"),
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
        p, vmm = self.start(HANG, "--control", path, "--name", "web", "--cpus", "2", "--device", "virtio-rng,id=dice")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        status = self.ask(path, command="status")["result"]
        self.assertEqual((status["name"], status["state"], status["cpus"], status["pid"]), ("web", "running", 2, vmm))
        self.assertEqual([f"{d['id']} {d['class']} {d.get('slot')}" for d in status["devices"]],
                         ["serial0 uart None", "virtio-rng0 virtio-rng 1", "virtio-balloon0 virtio-balloon 2", "dice virtio-rng 3"])
        self.assertGreater(self.ask(path, command="stats")["result"]["rss_bytes"], 0)
        self.assertTrue(self.ask(path, command="reset")["ok"])
        self.assertEqual(p.stdout.readline(), b"READY\n")
        self.assertEqual(self.ask(path, command="stats")["result"]["resets"], 1)
        self.ask(path, command="quit")
        self.assertEqual(p.wait(patience.seconds(10)), 130)
        self.assertFalse(os.path.exists(path))

    def connect(self, path):
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.settimeout(patience.seconds(20))
        s.connect(path)
        return s.makefile("rw", encoding="utf-8")

    def test_events(self):
        path = os.path.join(self.dir, "events")
        p, _ = self.start(HANG, "--control", path)
        one, other = self.connect(path), self.connect(path)
        for f in (one, other):
            f.write('{"command":"hello","versions":[1],"id":1}\n{"command":"subscribe","id":2}\n{"command":"frob","id":3}\n')
            f.flush()
            hello, subscribed, frob = (json.loads(f.readline()) for _ in range(3))
            self.assertEqual((hello["result"]["version"], subscribed["result"]["status"]["state"]), (1, "running"))
            self.assertEqual((frob["id"], frob["code"], frob["message"][0]["args"]), (3, "unknown-command", ["frob"]))
        one.write('{"command":"reset","id":4}\n')
        one.flush()
        self.assertEqual(json.loads(one.readline()), {"id": 4, "ok": True, "result": {}})
        one.write('{"command":"quit","id":5}\n')
        for f in (one, other):
            event = json.loads(f.readline())
            self.assertEqual((event["event"], event["data"]), ("reset", {"why": "reset"}))
        one.flush()
        self.assertEqual(json.loads(one.readline())["id"], 5)
        for f in (one, other):
            event = json.loads(f.readline())
            self.assertEqual((event["event"], event["data"]), ("state", {"state": "ended", "why": "quit", "status": 130}))
            self.assertEqual(f.readline(), "")
        self.assertEqual(p.wait(patience.seconds(10)), 130)

    def subscribed(self, path, *events):
        """A client that hears of these; and the status of then."""
        f = self.connect(path)
        f.write(json.dumps({"command": "subscribe", "events": events}) + "\n")
        f.flush()
        return f, json.loads(f.readline())["result"]["status"]

    def test_panic(self):
        """A guest finds the device as drivers do, and says that it failed; what follows is up to who listens."""
        path = os.path.join(self.dir, "panic")

        def told(what):
            return (b"\x66\xba\xf8\x0c\xb8" + struct.pack("<I", 0x80000000 | 3 << 11 | 0x10) + b"\xef" +  # out 0xcf8: BAR 0 of slot 3
                    b"\x66\xba\xfc\x0c\xed\x24\xf0" +  # in eax, 0xcfc; and al, ~15
                    b"\xc6\x00" + bytes([what]))  # mov byte [eax], what
        wait = b"\x66\xba\xfd\x03\xec\x24\x01\x74\xf7" + b"\x66\xba\xf8\x03\xec"  # a byte comes in at the serial port
        p = subprocess.Popen(self.args(text("READY\n") + wait + told(2) + told(1) + HANG, "--control", path, "--device", "pvpanic"),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env={**os.environ, "LANGUAGE": "ko", "LC_ALL": "C.UTF-8"})
        self.addCleanup(self.stop, p)
        self.assertEqual(p.stdout.readline(), b"READY\n")
        f, status = self.subscribed(path, "panic", "state")
        self.assertEqual(status["devices"][-1], {"id": "pvpanic0", "class": "pvpanic", "slot": 3})
        p.stdin.write(b"x")
        p.stdin.flush()
        got = [json.loads(f.readline()) for _ in range(2)]
        self.assertEqual(sorted(e["data"]["why"] for e in got), ["crash-loaded", "panicked"])
        self.assertEqual({(e["event"], e["data"]["device"]) for e in got}, {("panic", "pvpanic0")})
        self.assertEqual(self.ask(path, command="status")["result"]["state"], "running")
        self.ask(path, command="quit")
        self.assertEqual(json.loads(f.readline())["data"]["state"], "ended")
        self.assertEqual(p.wait(patience.seconds(10)), 130)
        p.stdin.close()
        # What a guest causes is said in the language of who runs it.
        self.assertIn("mica: 게스트: pvpanic: 게스트의 커널이 패닉했습니다\n", p.stderr.read().decode())

    def test_progress(self):
        """Saved into a pipe that is read slowly, restored from one that is written slowly: both say how far they are."""
        path, memory = os.path.join(self.dir, "progress"), 16 << 20
        # 13 MiB that cannot be packed: eax = eax * 1103515245 + 12345, stored from 2 MiB on.
        fill = (b"\xbf\x00\x00\x20\x00\xb8\x01\x00\x00\x00" + b"\x69\xc0\x6d\x4e\xc6\x41\x05\x39\x30\x00\x00\xab" +
                b"\x81\xff\x00\x00\xf0\x00\x72\xec")
        p, _ = self.start(fill + text("FULL\n") + HANG, "--control", path)
        self.assertEqual(p.stdout.readline(), b"FULL\n")
        listener, _ = self.subscribed(path, "progress", "state")
        state = bytearray()
        out, into = os.pipe()
        with socket.socket(socket.AF_UNIX) as saver:
            saver.settimeout(LIMIT)
            saver.connect(path)
            answers = saver.makefile(encoding="utf-8")
            saver.sendall(b'{"command":"hello"}\n{"command":"subscribe","events":["progress"]}\n')
            for _ in range(2):
                self.assertTrue(json.loads(answers.readline())["ok"])
            socket.send_fds(saver, [b'{"command":"save","id":"mine"}\n'], [into])
            os.close(into)
            while got := os.read(out, 65536):
                state += got
                time.sleep(0.004)
            os.close(out)
            told = []
            while "event" in (line := json.loads(answers.readline())):
                told.append(line["data"])
            self.assertEqual((line["id"], line["result"]["file_bytes"]), ("mine", len(state)))
            self.assertGreaterEqual(len(told), 2)
            self.assertEqual({(d["command"], d["id"], d["total"]) for d in told}, {("save", "mine", memory)})
            done = [d["done"] for d in told]
            self.assertEqual(done, sorted(done))
            self.assertLessEqual(done[-1], len(state))
            self.assertGreater(done[-1], len(state) // 4)
            # Others hear the same, without the other's id; then that it is paused.
            others = []
            while (event := json.loads(listener.readline()))["event"] == "progress":
                others.append(event["data"])
            self.assertEqual(others, [{k: v for k, v in d.items() if k != "id"} for d in told])
            self.assertEqual((event["event"], event["data"]), ("state", {"state": "paused"}))
            answers.close()
        self.assertEqual(json.loads(listener.readline())["data"], {"state": "running"})
        self.ask(path, command="quit")
        p.wait(LIMIT)

        out, into = os.pipe()
        ours, theirs = socket.socketpair()
        with ours, tempfile.TemporaryFile() as config:
            config.write(json.dumps({"kernel": self.args(HANG)[3], "memory_bytes": memory, "restore_fd": out,
                                     "control_fd": theirs.fileno()}).encode())
            config.seek(0)
            vmm = subprocess.Popen([os.path.join(os.path.dirname(MICA), "mica-vmm"), "--config-fd", str(config.fileno())],
                                   pass_fds=[out, theirs.fileno(), config.fileno()])
            self.addCleanup(vmm.wait)
            theirs.close()
            os.close(out)
            for at in range(0, len(state), 65536):
                os.write(into, state[at:at + 65536])
                time.sleep(0.004)
            os.close(into)
            ours.settimeout(LIMIT)
            lines = ours.makefile(encoding="utf-8")
            told = []
            while (event := json.loads(lines.readline()))["event"] == "progress":
                told.append(event["data"])
            lines.close()
            self.assertEqual(event["event"], "ready", event)
            self.assertGreaterEqual(len(told), 1)
            self.assertEqual({(d["command"], d["total"]) for d in told}, {("restore", memory)})
            self.assertTrue(all(0 < d["done"] <= len(state) for d in told))

    # ---- another language ----
    def test_korean_has_no_english(self):
        """Whoever an error comes from: this process, mica-vmm by its socket, mica-slirp through mica-vmm, another VM."""
        bad, control = os.path.join(self.dir, "bad"), os.path.join(self.dir, "korean")
        with open(bad, "wb") as f:
            f.write(b"no kernel" * 1000)
        good = self.args(HANG)[3]
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.start(HANG, "--control", control)
            notdir = os.path.join(self.dir, "bad", "state")
            # What remains of each message: names, paths, numbers, options, programs.
            for args, left in (
                    (["run", "--kernel", bad], "mica bad"),
                    (["run", "--kernel", good, "--disk", "/nowhere/disk"], "mica run disk nowhere"),
                    (["run", "--kernel", good, "--disk", self.dir], "mica"),
                    (["run", "--kernel", good, "--initrd", "/dev/null"], "mica initrd dev null"),
                    (["run", "--kernel", good, "--cpu", "mica-v2,-frob"], "mica cpu FEATURE frob"),
                    (["run", "--kernel", good, "--control", control], "mica VM korean"),
                    (["run", "--kernel", good, "--control", "/nowhere/sock"], "mica nowhere sock"),
                    (["run", "--kernel", good, "--net", f"user,hostfwd=tcp::{port}-:22"], "mica tcp"),
                    (["run", "--kernel", good, "--net", "user,hostfwd=tcp:x"], "mica run net tcp udp x"),
                    (["save", "--control", "/nowhere/sock", "--output", "f"], "mica save nowhere sock VM"),
                    (["save", "--control", control, "--output", notdir], "mica save bad state")):
                r = subprocess.run([MICA, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT,
                                   env={**os.environ, "LANGUAGE": "ko", "LC_ALL": "C.UTF-8"}, check=False)
                self.assertNotEqual(r.returncode, 0, args)
                self.assertRegex(r.stderr, "[가-힣]")
                words = set(re.findall("[A-Za-z]+", r.stderr.replace(self.dir, "")))
                self.assertLessEqual(words, set(left.split()), r.stderr)

    def test_guest_messages_are_counted(self):
        # The first device's BAR 0 is moved over the second one's and away again, for ever: a line each time.
        path = os.path.join(self.dir, "noisy")

        def cfg(slot, reg, val):
            return (b"\x66\xba\xf8\x0c\xb8" + struct.pack("<I", 0x80000000 | slot << 11 | reg) + b"\xef" +
                    b"\x66\xba\xfc\x0c\xb8" + struct.pack("<I", val) + b"\xef")
        loop = cfg(1, 0x10, 0xc1000000) + cfg(1, 0x10, 0xc2000000)
        loop += b"\xe9" + struct.pack("<i", -len(loop) - 5)
        p, vmm = self.start(cfg(2, 0x10, 0xc1000000) + cfg(2, 4, 2) + cfg(1, 4, 2) + loop, "--control", path)
        start = time.monotonic()
        time.sleep(2.5)
        status = self.ask(path, command="status")["result"]
        os.kill(vmm, signal.SIGTERM)
        lines = [line for line in p.stderr.read().splitlines() if line.startswith(b"mica: guest")]
        self.assertIn(b"does not answer", lines[0])
        self.assertLessEqual(len(lines), 10 * (time.monotonic() - start + 2))
        self.assertGreater(status["guest_messages"], 1000)
        self.assertGreaterEqual(status["guest_messages_dropped"], status["guest_messages"] - len(lines))
        self.assertEqual(status["disk_errors"], 0)

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

    # ---- what is inherited ----
    def look(self, pid):
        """Where its descriptors lead, its status, and its environment."""
        fds = {int(n): os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}
        with open(f"/proc/{pid}/status") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        with open(f"/proc/{pid}/environ", "rb") as f:
            env = {var.split(b"=")[0].decode() for var in f.read().split(b"\0") if var}
        return fds, status, env

    def test_nothing_is_inherited(self):
        if os.geteuid() != 0:
            self.skipTest("only root may look at a process that is not dumpable")
        secret = os.open(os.path.join(self.dir, "secret"), os.O_RDWR | os.O_CREAT)
        log = os.open(os.path.join(self.dir, "applog"), os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 200)
        self.addCleanup(lambda: [os.close(fd) for fd in (secret, log, 200)])

        def careless():
            for s in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGPIPE):
                signal.signal(s, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM])
            os.umask(0)
            resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))

        env = dict(os.environ, API_TOKEN="secret", LD_BIND_NOW="1", MALLOC_ARENA_MAX="9", PATH="/nowhere", TMPDIR=self.dir,
                   LC_ALL="C.UTF-8")
        p = subprocess.Popen(self.args(text("READY\n") + HANG, "--net", "user"), stdin=secret, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, pass_fds=(secret, log, 200), env=env, preexec_fn=careless)
        self.addCleanup(self.stop, p)
        self.assertEqual(p.stdout.readline(), b"READY\n")
        with open(f"/proc/{p.pid}/task/{p.pid}/children") as f:
            vmm = int(f.read().split()[0])
        names = {"mica-vmm": vmm}
        for parent in ("mica-vmm", "mica-net"):  # which keeps mica-slirp
            with open(f"/proc/{names[parent]}/task/{names[parent]}/children") as f:
                children = [int(c) for c in f.read().split()]
            for pid in children:
                with open(f"/proc/{pid}/comm") as f:
                    names[f.read().strip()] = pid
        self.assertLessEqual({"mica-net", "mica-slirp"}, set(names))
        for name, pid in ((name, names[name]) for name in ("mica-vmm", "mica-net", "mica-slirp")):
            fds, status, env = self.look(pid)
            self.assertEqual((fds[0], fds[1]), ("/dev/null", "/dev/null"), name)
            self.assertRegex(fds[2], "^pipe:", name)
            for fd, to in fds.items():
                self.assertNotRegex(to, "secret|applog", f"{name}: {fd}")
                if fd > 2:
                    self.assertNotRegex(to, "^pipe:", f"{name}: {fd}")
            self.assertEqual(env, {v for v in env if re.fullmatch("LANG|LANGUAGE|LC_.*|TMPDIR|MICA_.*|[A-Z]*SAN_OPTIONS", v)},
                             name)
            self.assertLessEqual({"LC_ALL", "TMPDIR"}, env, name)
            self.assertEqual(status["Umask"].strip(), "0077", name)
            # Only what it ignores itself, and the two signals that glibc keeps to itself
            self.assertEqual(int(status["SigIgn"], 16) & ~(1 << signal.SIGPIPE - 1 | 3 << 31), 0, name)
            self.assertEqual(int(status["SigBlk"], 16) & 1 << signal.SIGUSR2 - 1, 0, name)
            self.assertEqual(os.getsid(pid), pid, name)
            with open(f"/proc/{pid}/stat") as f:
                self.assertEqual(f.read().rsplit(")", 1)[1].split()[4], "0", f"{name}: a controlling terminal")
            with open(f"/proc/{pid}/limits") as f:
                self.assertRegex(f.read(), r"Max core file size +0 +0 ")
        os.kill(vmm, signal.SIGTERM)
        self.assertEqual(p.wait(10), 128 + signal.SIGTERM)

    def test_closed_standard_descriptors(self):
        # A file that becomes descriptor 2 would get our messages.
        r = subprocess.run(["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', *self.args(POWEROFF)], timeout=20)
        self.assertEqual(r.returncode, 0)

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
