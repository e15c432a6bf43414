# SPDX-License-Identifier: GPL-2.0-or-later
"""machines.py - a machine of Mica's and one of QEMU's with the same firmware, disks and devices, asked the same way.

What a machine shows is read as text: the serial line, and the rows of the screen's text mode. Where a system draws pictures, one region of it
is compared by its hash. A key has the name that `mica sendkey` knows.
"""
import hashlib
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(TOP, "tools"), os.path.join(TOP, "tests", "machine")]
import console  # noqa: E402
import png_picture  # noqa: E402

SEABIOS = "/usr/share/seabios/bios-256k.bin"
OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd"
OVMF_VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"
LOOK_SECONDS = 0.1
LOOK_PICTURE_SECONDS = 1


class Timeout(Exception):
    """A checked point was not reached; str() tells what was seen."""


def connect(path, seconds=60):
    """The socket of a machine that has just been started."""
    until = time.monotonic() + seconds
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
            return s
        except OSError:
            s.close()
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


class Machine:
    """serial(), screen(), picture(): what is there now. Of one row, on one side."""

    def __init__(self, row, drives, folder):
        self.row, self.drives, self.folder = row, drives, folder
        self.vm = None
        self.trouble = lambda: ""  # what makes waiting vain
        self.echo = None  # a file for what comes over the serial line, as it comes
        self.seen = ""  # the last text of the screen that there was
        self.missed = ""

    def start(self):
        self.vm = console.Machine(self.argv(), echo=self.echo, keep_errors=True, start_new_session=True)

    def again(self, until):
        """The machine has powered off; it is started again, without its CD-ROMs, and its seconds go on."""
        while not self.vm.eof:
            if time.monotonic() > until:
                raise Timeout(f"the machine did not power off in time: {self.tail()}")
            self.vm.pump(1)
        began, log = self.vm.start, self.vm.log
        if self.vm.process.wait():
            raise Timeout(f"the machine ended with status {self.vm.process.returncode}: {self.tail()}")
        self.close()
        self.drives = [d for d in self.drives if not d.cdrom]
        self.start()
        self.vm.start, self.vm.log, self.vm.seen = began, log, len(log)

    def close(self):
        """What talks to the machine is opened again when it is needed."""
        if self.vm:
            self.vm.close()

    def elapsed(self):
        return self.vm.elapsed()

    # ---- waiting ----

    def wait(self, kind, what, until):
        """Until the serial line, the screen's text or a region of the picture is as told."""
        next_look = 0
        while True:
            if kind == "serial":
                match = re.compile(what).search(self.vm.log, self.vm.seen)
                if match:
                    self.vm.seen = match.end()
                    return
            elif time.monotonic() >= next_look:
                if self.looks(kind, what):
                    return
                next_look = time.monotonic() + (LOOK_SECONDS if kind == "screen" else LOOK_PICTURE_SECONDS)
            if self.trouble():
                raise Timeout(f"{self.trouble()}, before {kind} {what!r}")
            if self.vm.eof:
                raise Timeout(f"the machine ended (status {self.vm.process.wait()}) before {kind} {what!r}: {self.tail()}")
            if time.monotonic() > until:
                raise Timeout(f"{kind} {what!r} did not come in time: {self.tail()}")
            self.vm.pump(0.5 if kind == "serial" else LOOK_SECONDS)

    def looks(self, kind, what):
        if kind == "screen":
            self.seen = self.screen() or self.seen
            return re.search(what, self.seen)
        box, want = what
        got = self.region(box)
        self.missed = f"the region {box} has the hash {got}; the picture is {self.keep_picture()}"
        return got == want

    def tail(self):
        text = self.seen.rstrip("\n")
        return "\n".join((self.missed, *("    screen| " + line for line in text.splitlines()), self.vm.tail(12)))

    def region(self, box):
        """sha256 (the first 16 digits) of what the screen shows in (x, y, width, height); "" where it is smaller."""
        width, height, pixels = self.picture()
        x, y, w, h = box
        if x + w > width or y + h > height:
            return ""
        rows = (pixels[at * width + x:at * width + x + w] for at in range(y, y + h))
        return hashlib.sha256(b"".join(p.to_bytes(3, "big") for line in rows for p in line)).hexdigest()[:16]

    def keep_picture(self):
        return os.path.join(self.folder, "screen")

    # ---- doing ----

    def do(self, step, until):
        kind, what = step[0], step[1:]
        if kind == "keys":
            for key in what:
                self.key(key)
                time.sleep(0.1)
        elif kind == "type":
            for c in what[0]:
                self.key({"\n": "enter", " ": "space", "-": "minus"}.get(c, c))
                time.sleep(0.02)
        elif kind == "send":
            self.vm.send(what[0])
        elif kind == "again":
            self.again(until)
        else:
            self.wait(kind, what[0] if len(what) == 1 else what, until)


class Mica(Machine):
    name = "mica"

    def __init__(self, row, drives, folder, build):
        super().__init__(row, drives, folder)
        self.build, self.control = build, None

    def argv(self):
        row = self.row
        argv = [os.path.join(self.build, "mica"), "run", "--engine", "soft", "--memory", f"{row.memory}M", "--cpus", str(row.cpus), "--firmware",
                row.firmware_file or row.firmware, "--control", os.path.join(self.folder, "control"), "--no-reboot"]
        for d in self.drives:
            argv += ["--cdrom", f"{d.path},bus={d.bus}"] if d.cdrom else ["--disk", f"{d.path},bus={d.bus}" + (",snapshot=on" if not row.writes else "")]
        argv += ["--display", "vga"] if row.display else []
        argv += ["--net", "user"] if row.net else []
        return argv + [w for d in row.devices for w in ("--device", d)]

    def ask(self, command, fd=None, **keys):
        if not self.control:
            self.control = connect(os.path.join(self.folder, "control"))
            self.answers = self.control.makefile(encoding="utf-8")
        line = json.dumps({"command": command, **keys}).encode() + b"\n"
        if fd is None:
            self.control.sendall(line)
        else:
            socket.send_fds(self.control, [line], [fd])
        return json.loads(self.answers.readline() or "{}")

    def screen(self):
        return self.ask("screen-text").get("result", {}).get("text")

    def keep_picture(self):
        path = os.path.join(self.folder, "screen.png")
        with open(path, "wb") as f:
            self.ask("screenshot", f.fileno())
        return path

    def picture(self):
        return png_picture.read(self.keep_picture())

    def key(self, key):
        self.ask("sendkey", keys=key.split("-"))

    def close(self):
        super().close()
        if self.control:
            self.control.close()
            self.control = None


QEMU_KEYS = {"enter": "ret", "space": "spc", ".": "dot", "/": "slash", "page-down": "pgdn", "page-up": "pgup", "=": "equal", ",": "comma", "\\": "backslash",
             ":": "shift-semicolon", "+": "shift-equal"}


class Qemu(Machine):
    name = "qemu"

    def __init__(self, row, drives, folder):
        super().__init__(row, drives, folder)
        self.qmp = None

    def firmware(self):
        row = self.row
        if row.firmware_file:
            return ["-bios", row.firmware_file]
        if row.firmware == "bios":
            return ["-bios", SEABIOS]
        nvram = os.path.join(self.folder, "nvram")
        shutil.copyfile(OVMF_VARS, nvram)
        return ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}", "-drive", f"if=pflash,format=raw,file={nvram}"]

    def argv(self):
        row = self.row
        # As many CPUs, one thread each, as Mica has. vmport: a port of VMware's that is no part of the board.
        argv = ["qemu-system-x86_64", "-machine", "q35,vmport=off", "-accel", "tcg,thread=multi", "-cpu", "qemu64" if row.old_cpu else "max,-la57", "-nodefaults",
                "-m", str(row.memory), "-smp", str(row.cpus), "-serial", "stdio", "-no-reboot", "-qmp",
                f"unix:{os.path.join(self.folder, 'qmp')},server=on,wait=off", "-display", "none", "-device", "virtio-rng-pci"]
        argv += self.firmware()
        argv += ["-vga", "std"] if row.display else ["-vga", "none"]
        if row.firmware == "bios" and not row.display:
            argv += ["-fw_cfg", f"name=etc/sercon-port,file={self.word(0x3f8)}"]
        if any(d.bus == "ide" for d in self.drives):
            argv += ["-device", "piix3-ide,id=pata"]
        at = {"ide": 0, "ahci": 0}
        for n, d in enumerate(self.drives):
            # The path of a drive has a comma written twice.
            path = d.path.replace(",", ",,")
            argv += ["-drive", f"if=none,id=d{n},format=raw,file={path}" + (",readonly=on" if d.cdrom else "" if row.writes else ",snapshot=on")]
            order = f",bootindex={n}"
            if d.bus == "virtio":
                argv += ["-device", f"virtio-blk-pci,drive=d{n}{order}"]
            elif d.bus == "nvme":
                argv += ["-device", f"nvme,serial=gallery{n},drive=d{n}{order}"]
            else:
                kind = "ide-cd" if d.cdrom else "ide-hd"
                where = f"bus=pata.{at['ide'] // 2},unit={at['ide'] % 2}" if d.bus == "ide" else f"bus=ide.{at['ahci']}"
                at[d.bus] += 1
                argv += ["-device", f"{kind},drive=d{n},{where}{order}"]
        argv += ["-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0"] if row.net else []
        return argv

    def word(self, value):
        path = os.path.join(self.folder, "sercon")
        with open(path, "wb") as f:
            f.write(value.to_bytes(2, "little"))
        return path

    def ask(self, command, **arguments):
        if not self.qmp:
            self.qmp = connect(os.path.join(self.folder, "qmp"))
            self.lines = self.qmp.makefile("rw", encoding="utf-8")
            self.lines.readline()  # who it is
            self.ask("qmp_capabilities")
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        while True:
            line = self.lines.readline()
            answer = json.loads(line) if line else {"error": "ended"}
            if "event" not in answer:
                return answer

    def screen(self):
        """What lies where a text mode has its characters; a picture is no text that anybody waits for."""
        path = os.path.join(self.folder, "text")
        if "error" in self.ask("pmemsave", val=0xb8000, size=80 * 25 * 2, filename=path):
            return None
        with open(path, "rb") as f:
            codes = f.read()[::2].replace(b"\0", b" ").decode("cp437")
        return "".join(codes[at:at + 80].rstrip() + "\n" for at in range(0, len(codes), 80))

    def keep_picture(self):
        path = os.path.join(self.folder, "screen.png")
        self.ask("screendump", filename=path, format="png")
        return path

    def picture(self):
        return png_picture.read(self.keep_picture())

    def key(self, key):
        names = QEMU_KEYS.get(key, key).split("-") if key not in ("minus", "page-up", "page-down") else [QEMU_KEYS.get(key, key)]
        names = [n.lower() for part in names for n in (["shift", part] if len(part) == 1 and part.isupper() else [part])]
        self.ask("send-key", keys=[{"type": "qcode", "data": n} for n in names])

    def close(self):
        super().close()
        if self.qmp:
            self.lines.close()
            self.qmp.close()
            self.qmp = None


def folder():
    """For a machine's sockets: their names must not be long."""
    return tempfile.mkdtemp(prefix="gallery-")
