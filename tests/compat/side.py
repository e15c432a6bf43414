# SPDX-License-Identifier: GPL-2.0-or-later
"""side.py - runs jobs on one side, the host or a guest, and hears what agent.sh says of them."""
import base64
import binascii
import gzip
import os
import shutil
import sys
import time
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tools"))
import initramfs  # noqa: E402
from console import Machine  # noqa: E402

BOOT = 120  # seconds until a guest's agent answers, on a quiet machine
TIMED_OUT = (124, 137)


@dataclass
class Result:
    status: int  # None: it did not end
    output: bytes
    ms: int = 0
    fault: str = ""  # what happened instead of an end


def write_jobs(folder, programs, factor):
    """What goes to /run/compat."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, "jobs"))
    shutil.copy(os.path.join(HERE, "agent"), folder)
    with open(os.path.join(folder, "list"), "w", encoding="utf-8") as f:
        f.write("".join(f"{p.name} {int(p.seconds * factor)}\n" for p in programs))
    for p in programs:
        with open(os.path.join(folder, "jobs", p.name), "w", encoding="utf-8") as f:
            f.write(p.run + "\n")


class Side:
    """results: {name: Result}; faults: what the guest's kernel complained of."""

    def __init__(self, folder, factor, progress):
        self.folder = folder
        self.factor = factor
        self.progress = progress
        self.results = {}
        self.faults = []
        self.log = ""

    def argv(self, left):
        """Prepares a run of the programs `left`, returns its command."""
        raise NotImplementedError

    def run(self, programs):
        """Runs all; a machine that hangs or dies loses the program it was at, and another goes on with the rest."""
        left, barren = list(programs), 0
        while left and barren < 3:
            before = len(left)
            self.one_machine(left)
            left = [p for p in left if p.name not in self.results]
            barren = 0 if len(left) < before else barren + 1
        for p in left:
            self.results[p.name] = Result(None, b"", 0, "the machine does not start")
            self.progress(p.name, self.results[p.name])

    def one_machine(self, left):
        limits = {p.name: p.seconds * self.factor for p in left}
        with Machine(self.argv(left), keep_errors=True, start_new_session=True) as machine:
            seen, name, lines = 0, None, []
            deadline = time.monotonic() + BOOT * max(self.factor / 4, 1)
            why = None
            while why is None:
                if not machine.pump(min(deadline - time.monotonic(), 5)):
                    if machine.eof:
                        why = f"the machine ended with status {machine.wait(10)}"
                    elif time.monotonic() > deadline:
                        why = "it hangs" if name else "no answer"
                    continue
                while "\n" in machine.log[seen:]:
                    end = machine.log.index("\n", seen)
                    line, seen = machine.log[seen:end].rstrip("\r"), end + 1
                    words = line.split(" ")
                    if words[0] == "@run" and len(words) == 2:
                        name, lines = words[1], None
                        deadline = time.monotonic() + limits.get(name, 60) + 30 * max(self.factor / 4, 1)
                        self.progress(name, None)
                    elif words[0] == "@out" and name:
                        lines = []
                        deadline = time.monotonic() + 60 * max(self.factor / 4, 1)
                    elif words[0] == "@end" and len(words) == 4 and words[1] == name:
                        self.results[name] = self.result(lines, words)
                        self.progress(name, self.results[name])
                        name, lines = None, None
                        deadline = time.monotonic() + 60 * self.factor
                    elif words[0] in ("@kernel", "@fault"):
                        self.faults.append(line.split(" ", 1)[1])
                    elif words[0] in ("@off", "@all"):
                        deadline = time.monotonic() + 60 * self.factor
                        if words[0] == "@off" or not self.guest:
                            why = "done"
                    elif lines is not None:
                        lines.append(line)
            self.log += machine.log + machine.errors()
            if name and name not in self.results:
                self.results[name] = Result(None, machine.tail(12).encode(), 0, why)
                self.progress(name, self.results[name])
            if why == "done":
                machine.wait(60)

    @staticmethod
    def result(lines, words):
        try:
            output = gzip.decompress(base64.b64decode("".join(lines or []), validate=True))
        except (binascii.Error, OSError, EOFError) as e:
            return Result(None, b"", int(words[3]), f"its output came garbled: {e}")
        return Result(int(words[2]), output, int(words[3]))


class Host(Side):
    guest = False

    def __init__(self, folder, tree, progress):
        super().__init__(folder, 4, progress)  # it may be busy
        self.tree = tree

    def argv(self, left):
        jobs = os.path.join(self.folder, "jobs-host")
        write_jobs(jobs, left, self.factor)
        return [os.path.join(HERE, "inside"), self.tree.root, self.tree.programs, jobs, "ro", "bash", "/run/compat/agent", "/run/compat/list"]


class Guest(Side):
    guest = True

    def __init__(self, folder, tree, progress, factor, image, command):
        """image: made by tools/mkimage; command: of the machine, without kernel and disks."""
        super().__init__(folder, factor, progress)
        self.tree, self.image, self.command = tree, image, command

    def argv(self, left):
        jobs = os.path.join(self.folder, "jobs-guest")
        write_jobs(jobs, left, self.factor)
        files = {"init": os.path.join(HERE, "init"), "bin/busybox": os.path.join(self.image, "busybox")}
        for where, folder in (("modules", os.path.join(self.image, "modules")), ("jobs", jobs), ("jobs/jobs", os.path.join(jobs, "jobs"))):
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    files[f"{where}/{name}"] = path
        initrd = os.path.join(self.folder, "initrd")
        initramfs.write_files(initrd, files)
        append = "console=ttyS0 quiet loglevel=3 panic=-1"
        disks = (self.tree.disk, self.tree.programs_disk)
        kernel = ["kernel", os.path.join(self.image, "vmlinuz"), "initrd", initrd, "append", append]
        if "qemu" in os.path.basename(self.command[0]):
            more = ["-" + a if n % 2 == 0 else a for n, a in enumerate(kernel)]
            for d in disks:
                more += ["-drive", f"file={d},if=virtio,format=raw,readonly=on"]
        else:
            more = ["--" + a if n % 2 == 0 else a for n, a in enumerate(kernel)] + ["--no-reboot"]
            for d in disks:
                more += ["--disk", d + ",readonly=on"]
        return self.command + more
