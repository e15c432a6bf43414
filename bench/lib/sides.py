# SPDX-License-Identifier: GPL-2.0-or-later
"""sides.py - what is compared: the host itself, Mica, QEMU's TCG, User-mode Linux. Each runs the same agent, which takes
command lines on its console; so a workload is run and timed in the same way everywhere."""
import os
import re
import shutil
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
from console import ConsoleError, Machine  # noqa: E402

# A mount namespace of its own with the guests' files for its root, and a /tmp in memory as they have.
NATIVE = ("set -e; r=$1; mount --rbind /dev $r/dev; mount --rbind /proc $r/proc; mount --rbind /sys $r/sys; "
          "mount -t tmpfs tmp $r/tmp; exec chroot $r /bin/busybox sh /agent")
QUIET = "console=ttyS0 quiet panic=-1"


class Side:
    """One competitor. argv(cpus) starts its agent; boot_argv(initrd) boots a small initramfs."""
    guest = True

    def __init__(self, name, config):
        self.name = name
        self.config = config
        self.bits = config.bits if self.guest else 64  # of the workloads it runs

    def missing(self):
        """Why it cannot take part, or None."""
        return None

    def version(self):
        return ""

    def cpus(self, parallel):
        """Its number of CPUs for a workload, or 0 where it cannot run it."""
        return self.config.cpus if parallel else 1

    def kernel(self):
        return self.config.kernel_32 if self.bits == 32 and self.config.kernel_32 else self.config.kernel

    def argv(self, cpus):
        return self.boot_argv(self.config.packed["initrd" if self.kernel() == self.config.kernel else "initrd_32"], cpus)

    def boot_argv(self, initrd, cpus=1):
        raise NotImplementedError


class Native(Side):
    guest = False

    def argv(self, cpus):
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        return ["unshare", *user, "--mount", "--propagation", "private", "sh", "-c", NATIVE, "native",
                self.config.packed["root"]]


class Mica(Side):
    engine = "soft"

    def __init__(self, name, config, build):
        super().__init__(name, config)
        self.build = build
        self.path = os.path.join(build, "mica")

    def missing(self):
        wanted = (self.path, os.path.join(self.build, "mica-vmm"))
        return next((f"{p} is not built" for p in wanted if not os.access(p, os.X_OK)), None)

    def version(self):
        # When it was built: the sources beside it may have moved on since.
        built = max(os.stat(os.path.join(self.build, name)).st_mtime for name in ("mica", "mica-vmm"))
        return time.strftime(f"{self.path}, built %Y-%m-%d %H:%M UTC", time.gmtime(built))

    def boot_argv(self, initrd, cpus=1):
        c = self.config
        return [self.path, "run", "--engine", self.engine, "--cpu", c.cpu, "--memory", f"{c.memory}M", "--cpus", str(cpus), "--kernel",
                self.kernel(), "--initrd", initrd, "--append", QUIET, "--no-reboot", *c.mica_args]


    def kernel_argv(self, kernel):
        """A kernel of our own that finds a bare machine."""
        return [self.path, "run", "--engine", self.engine, "--memory", "64M", "--kernel", kernel, "--no-reboot", *self.config.mica_args]


class Mica64(Mica):
    """With `--bits 32`: the 64-bit programs, translated as 32-bit ones are."""
    engine = "soft,direct=off"

    def __init__(self, *args):
        super().__init__(*args)
        self.bits = 64


class Tcg(Side):
    path = shutil.which("qemu-system-x86_64")

    def missing(self):
        return None if self.path else "qemu-system-x86_64 is not installed (Debian package qemu-system-x86)"

    def version(self):
        return subprocess.run([self.path, "--version"], stdout=subprocess.PIPE, text=True).stdout.split("\n")[0]

    def boot_argv(self, initrd, cpus=1):
        c = self.config
        return [self.path, "-accel", "tcg", "-cpu", "max", "-m", str(c.memory), "-smp", str(cpus), "-display", "none", "-vga", "none",
                "-monitor", "none", "-nic", "none", "-no-reboot", "-serial", "stdio", "-kernel", self.kernel(), "-initrd", initrd,
                "-append", QUIET]


    def kernel_argv(self, kernel):
        return [self.path, "-accel", "tcg", "-cpu", "max", "-m", "64", "-display", "none", "-vga", "none", "-monitor", "none", "-nic", "none",
                "-no-reboot", "-serial", "stdio", "-kernel", kernel]


class Count(Tcg):
    """Counts: a clock that goes on by a nanosecond with each instruction tells how many a program takes. Of both builds, so under the
    64-bit kernel."""

    def kernel(self):
        return self.config.kernel

    def boot_argv(self, initrd, cpus=1):
        return [*super().boot_argv(initrd, cpus), "-icount", "shift=0,sleep=off"]


class Uml(Side):
    path = shutil.which("linux.uml") or shutil.which("linux")

    def missing(self):
        return None if self.path else "linux.uml is not installed (Debian package user-mode-linux)"

    def version(self):
        return "User-mode Linux " + subprocess.run([self.path, "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()

    def cpus(self, parallel):
        return 0 if parallel else 1

    def boot_argv(self, initrd, cpus=1):
        # On one CPU of the host: its processes hand over to each other at each system call, and are several times
        # slower across two.
        cpu = max(os.sched_getaffinity(0))
        state = os.path.join(self.config.out, "uml")
        os.makedirs(state, exist_ok=True)
        return ["taskset", "-c", str(cpu), self.path, f"mem={self.config.memory}M", f"initrd={initrd}", "root=/dev/ram0", "quiet",
                f"uml_dir={state}/", "con=null", "ssl=null", "con0=fd:0,fd:1"]


class Skipped(Exception):
    """The side has not got what the workload needs."""


class Runner:
    """A side's running machine for one number of CPUs; started when first used, started anew after a failure."""

    def __init__(self, side, limit):
        self.side = side
        self.limit = limit
        self.machine = None
        self.machine_cpus = 0

    def program(self, work):
        return work["program_32"] if self.side.bits == 32 else work["program"]

    def start(self, cpus):
        if self.machine and self.machine_cpus == cpus:
            return
        self.stop()
        self.machine = Machine(self.side.argv(cpus), keep_errors=True)
        self.machine_cpus = cpus
        try:
            self.machine.expect(r"@ready\r?\n", self.limit)
        except ConsoleError:
            self.kill()
            raise

    def calibrate(self, work, seconds):
        self.start(self.side.cpus(work["parallel"]))
        self.machine.send(f"{self.program(work)} calibrate {work['name']} {seconds}\n")
        try:
            match = self.machine.expect(r"@(count \S+ (\d+)|skip \S+)\r?\n(?s:.*?)@done 0\r?\n", self.limit)
        except ConsoleError:
            self.kill()
            raise
        return int(match.group(2)) if match.group(2) else 0

    def run(self, work, count):
        """Returns (seconds by the guest's clock, seconds by the host's, checksum)."""
        self.start(self.side.cpus(work["parallel"]))
        machine = self.machine
        try:
            machine.send(f"{self.program(work)} run {work['name']} {count}\n")
            match = machine.expect(r"@(begin|skip|done) .*\n", self.limit)
            begun = time.monotonic()
            if match.group(1) == "begin":
                match = machine.expect(r"@(end \S+ ([\d.]+) (\w+)|done .*)\r?\n", self.limit)
                ended = time.monotonic()
            result = match.groups()
            if not result[0].startswith("done"):
                machine.expect(r"@done 0\r?\n", self.limit)
        except ConsoleError:
            self.kill()
            raise
        if result[0] == "skip":
            raise Skipped()
        if result[0].startswith("done"):
            raise ConsoleError(f"{work['name']} failed:\n{machine.tail()}")
        return float(result[1]), ended - begun, result[2]

    def stop(self):
        """Lets it power off; what does not is ended."""
        if not self.machine:
            return
        try:
            self.machine.send("end\n")
            self.machine.wait(10)
        except (ConsoleError, OSError):
            pass
        self.kill()

    def kill(self):
        if self.machine:
            self.machine.close()
        self.machine = None


def boot_seconds(side, initrd, limit):
    """From starting the command to the first line that init prints."""
    with Machine(side.boot_argv(initrd), keep_errors=True) as machine:
        machine.expect(r"@init\r?\n", limit)
        seconds = machine.elapsed()
        try:
            machine.wait(10)
        except ConsoleError:
            pass
        return seconds


def make(names, config, build, compare):
    """The sides that were asked for and can run, and a line for each that cannot."""
    sides, absent = [], []
    known = {"native": lambda: Native("native", config), "mica": lambda: Mica("mica", config, build),
             "mica-64": lambda: Mica64("mica-64", config, build),
             "tcg": lambda: Tcg("tcg", config), "uml": lambda: Uml("uml", config)}
    for name in names:
        sides.append(known[name]())
        if name == "mica":
            for other in compare:
                label = re.sub(r"/build$", "", os.path.abspath(other))
                sides.append(Mica("mica:" + os.path.basename(label), config, os.path.abspath(other)))
    for side in list(sides):
        why = side.missing()
        if why:
            sides.remove(side)
            absent.append(f"{side.name} is left out: {why}")
    return sides, absent
