# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmhost.py - a host with hardware virtualization, on any machine: QEMU's TCG emulates a processor with AMD-V.

The host is Debian's own kernel with kvm-amd loaded and an initramfs that holds our programs, the libraries they need,
busybox, and the guest's kernel and initramfs. Its /init runs one shell script given by the caller, whose
output on the console is the result. Everything comes from an image made by tools/mkimage (kernel, modules, busybox): the
modules are read out of its disk with debugfs, which needs no privilege.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tools"))
import console  # noqa: E402
import initramfs  # noqa: E402
import patience  # noqa: E402

KVM_MODULES = ["virt/lib/irqbypass.ko", "arch/x86/kvm/kvm.ko", "arch/x86/kvm/kvm-amd.ko"]

INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin HOME=/tmp LD_LIBRARY_PATH=/lib LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /run
mount -t tmpfs tmp /tmp
echo 'root:x:0:0::/:/bin/sh' >/etc/passwd
echo 'hosts: files' >/etc/nsswitch.conf
printf '127.0.0.1 localhost\n' >/etc/hosts
ifconfig lo up
stty -echo cols 400 </dev/console
for m in irqbypass kvm kvm-amd; do insmod /kvm/$m.ko || echo "@host-insmod-failed $m"; done
echo "@host-up $(cut -d' ' -f1 /proc/uptime)"
. /run.sh
echo "@host-done $(cut -d' ' -f1 /proc/uptime)"
poweroff -f
"""


def libraries(program):
    """What the dynamic linker would load for a program: {path in the image: path here}."""
    out = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {}
    for line in out.splitlines():
        match = re.search(r"(?:(\S+) => )?(/\S+) \(0x", line)
        if match:
            name = match.group(1) or match.group(2)
            found[name if name.startswith("/") else "lib/" + os.path.basename(name)] = match.group(2)
    return found


def stretched(script):
    """The script's own limits, `timeout N` and `-lt N`, as patience.py has it."""
    return re.sub(r"(?<!\S)(timeout|-lt) (\d+)\b", lambda m: f"{m[1]} {patience.seconds(int(m[2])):.0f}", script)


class Host:
    """files: {path in the host: path here or bytes}; programs get their libraries along."""

    def __init__(self, image, work):
        self.image, self.work = image, work
        self.files = {}

    def add(self, name, source):
        self.files[name] = source

    def add_program(self, name, path):
        stripped = os.path.join(self.work, "stripped-" + os.path.basename(name))
        if subprocess.run(["strip", "-o", stripped, path], stderr=subprocess.DEVNULL).returncode:
            shutil.copyfile(path, stripped)
        os.chmod(stripped, 0o755)
        self.files[name] = stripped
        for lib, where in libraries(path).items():
            self.files[lib.lstrip("/")] = os.path.realpath(where)

    def add_kvm_modules(self):
        kernel = console.image_info(self.image)["kernel"]
        disk = os.path.join(self.image, "disk.raw")
        for module in KVM_MODULES:
            target = os.path.join(self.work, os.path.basename(module))
            for root in ("/usr/lib", "/lib"):
                subprocess.run(["debugfs", "-R", f"dump {root}/modules/{kernel}/kernel/{module} {target}", disk],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
                if os.path.exists(target) and os.path.getsize(target):
                    break
            assert os.path.getsize(target), f"{module} is not in {disk}"
            self.files["kvm/" + os.path.basename(module)] = target

    def write(self, script):
        self.add("init", INIT.encode())
        self.add("run.sh", stretched(script).encode())
        self.add("bin/busybox", os.path.join(self.image, "busybox"))
        self.add_kvm_modules()
        path = os.path.join(self.work, "host-initrd")
        initramfs.write_files(path, self.files)
        return path

    def boot(self, script, memory=1500, cpus=1, echo=None, extra=()):
        """A console.Machine of the running host."""
        initrd = self.write(script)
        return console.Machine(
            ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max,+svm,+npt", "-m", str(memory), "-smp", str(cpus),
             "-nographic", "-nodefaults", "-serial", "stdio", "-no-reboot", "-kernel",
             os.path.join(self.image, "vmlinuz"), "-initrd", initrd, "-append",
             # The kernel counts ticks of the timer in a time of its processor's, which has none while this machine is busy.
             "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check", *extra],
            echo=echo, stderr=subprocess.STDOUT)


def work_dir():
    return tempfile.mkdtemp(prefix="mica-kvm-host-")
