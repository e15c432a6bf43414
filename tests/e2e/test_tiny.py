# SPDX-License-Identifier: GPL-2.0-or-later
"""The stock Debian kernel with a small initramfs: CPUs, memory, disks, network, and every way to end."""
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request

import pytest
from conftest import BOOT, ENGINE, TOP, initramfs, patience


def says(vm, name, seconds=BOOT):
    return vm.expect(rf"@{name}(?: ([^\r\n]*))?\r?\n", seconds).group(1)


def ends(vm, status=0, seconds=60):
    got = vm.wait(seconds)
    assert got == status, f"exit status {got}, not {status}\n{vm.tail()}"


@pytest.mark.parametrize("cpus,memory", [(1, "512M"), (4, "3328M")])
def test_cpus_memory_disk_network(run, tiny, web, tmp_path, left_behind, cpus, memory):
    """3328M puts memory on both sides of the hole below 4 GiB. There the second disk is an image on top of another one."""
    content = os.urandom(100_000)
    (web.root / "hello").write_bytes(content)
    first, second = os.urandom(2 << 20), os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(first)
    (tmp_path / "b").write_bytes(second)
    disk, qcow2 = "b", cpus == 4 and shutil.which("qemu-img")
    if qcow2:
        disk = "top.qcow2"
        subprocess.run(f"qemu-img convert -c -O qcow2 b base.qcow2 && qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 {disk}",
                       shell=True, check=True, cwd=tmp_path)
    vm = run(*tiny(f"disks=1 load=1 port={web.port}", memory, cpus), "--disk", f"{tmp_path}/a,readonly=on",
             "--disk", f"{tmp_path}/{disk}", "--net", "user", "--no-reboot")
    assert says(vm, "cpus") == str(cpus)
    wanted = int(memory[:-1]) * 1024
    assert wanted * 0.85 < int(says(vm, "memory")) < wanted
    for name, data in (("vda", first), ("vdb", second)):
        assert says(vm, "sum") == f"{name} {len(data)} {hashlib.md5(data).hexdigest()}"
    assert says(vm, "wrote") == "yes"
    assert says(vm, "load") == f"{cpus} {hashlib.sha256(bytes(8 << 20)).hexdigest()}"
    assert says(vm, "dhcp") == "10.0.2.15 10.0.2.2 10.0.2.3"
    assert says(vm, "fetched") == hashlib.md5(content).hexdigest()
    says(vm, "done")
    ends(vm)
    assert "@insmod-failed" not in vm.log
    assert not left_behind(vm.process.pid)
    assert (tmp_path / "a").read_bytes() == first
    if qcow2:
        assert (tmp_path / "b").read_bytes() == second
        subprocess.run(f"qemu-img check -q {disk} && qemu-img check -q base.qcow2 && qemu-img convert -O raw {disk} b", shell=True,
                       check=True, cwd=tmp_path)
    assert (tmp_path / "b").read_bytes() == second[:1 << 20] + b"M" * (1 << 20) + second[2 << 20:]


def test_readonly_and_snapshot_keep_the_file(run, tiny, tmp_path):
    data = os.urandom(2 << 20)
    for name in "ab":
        (tmp_path / name).write_bytes(data)
    vm = run(*tiny("disks=1"), "--disk", f"{tmp_path}/a", "--disk", f"{tmp_path}/b,snapshot=on")
    assert says(vm, "wrote") == "yes"
    ends(vm)
    assert (tmp_path / "b").read_bytes() == data
    vm = run(*tiny("disks=1"), "--disk", f"{tmp_path}/a", "--disk", f"{tmp_path}/b,readonly=on")
    assert says(vm, "wrote") == "no"
    ends(vm)
    assert (tmp_path / "b").read_bytes() == data


def test_hostfwd(run, tiny):
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    vm = run(*tiny("serve=1"), "--net", f"user,hostfwd=tcp:127.0.0.1:{port}-:80")
    says(vm, "serving")
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/hello", timeout=patience.seconds(60)).read() == b"from the guest\n"
    vm.send("end\n")
    ends(vm)


def test_network_comes_back(run, tiny, events_of, tmp_path):
    """mica-slirp is killed: guest and control clients see the link go down and up, and the forwarded port works again."""
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    vm = run(*tiny("serve=1"), "--net", f"user,hostfwd=tcp:127.0.0.1:{port}-:80", "--control", f"{tmp_path}/ctl")
    says(vm, "serving")
    events = events_of(tmp_path / "ctl", "net")
    assert [(d["id"], d["link"]) for d in events.status["devices"] if "link" in d] == [("net0", "up")]

    def slirps(of=None):
        """Of all processes below the command."""
        found = []
        for task in os.listdir(f"/proc/{of or vm.process.pid}/task"):
            with open(f"/proc/{of or vm.process.pid}/task/{task}/children", encoding="ascii") as f:
                for pid in f.read().split():
                    with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
                        found += [int(pid)] if comm.read() == "mica-slirp\n" else slirps(pid)
        return found

    def carrier():
        vm.send("carrier\n")
        up, downs = says(vm, "carrier").split()
        assert up == "1"
        return int(downs)

    before = carrier()
    for times in (1, 2):
        was = slirps()
        assert len(was) == 1
        os.kill(was[0], signal.SIGKILL)
        deadline = time.monotonic() + patience.seconds(BOOT)
        fetched = None
        while fetched is None and time.monotonic() < deadline:
            try:
                fetched = urllib.request.urlopen(f"http://127.0.0.1:{port}/hello", timeout=patience.seconds(60)).read()
            except OSError:
                time.sleep(0.05)
        assert fetched == b"from the guest\n"
        assert slirps() and slirps() != was
        assert carrier() == before + times
        assert [events.next() for _ in range(2)] == [("net", {"device": "net0", "link": link}) for link in ("down", "up")]
    assert "mica-slirp) was ended by signal 9 (Killed), 1 time so far" in vm.errors()
    vm.send("end\n")
    ends(vm)


@pytest.mark.parametrize("way,append,status", [
    ("reboot", "", 3),
    ("crash", "", 3),  # panic=-1: the kernel resets the machine
    ("reboot", "reboot=t", 4),  # the kernel loads an empty IDT and traps: a triple fault
])
def test_no_reboot_statuses(run, tiny, way, append, status):
    vm = run(*tiny(f"end={way} {append}"), "--no-reboot")
    says(vm, "done")
    ends(vm, status)


def test_panic_is_told(run, image, events_of, tmp_path):
    """Linux's own driver, from the image: with it loaded, a kernel that fails says so before it resets the machine."""
    modules = tmp_path / "modules"
    shutil.copytree(f"{image}/modules", modules)
    names = subprocess.run(["/sbin/debugfs", "-R", "ls -p /lib/modules", f"{image}/disk.raw"], capture_output=True, text=True, check=True)
    version = next(name for name in re.findall(r"/([^/\n]+)//", names.stdout) if not name.startswith("."))
    for name in ("pvpanic.ko", "pvpanic-pci.ko"):
        subprocess.run(["/sbin/debugfs", "-R", f"dump /lib/modules/{version}/kernel/drivers/misc/pvpanic/{name} {modules}/{name}",
                        f"{image}/disk.raw"], capture_output=True, check=True)
        assert (modules / name).stat().st_size
        with open(modules / "order", "a", encoding="ascii") as f:
            f.write(name + "\n")
    initramfs.write(tmp_path / "initrd", os.path.join(TOP, "tests", "e2e", "init"), f"{image}/busybox", modules)
    vm = run("--engine", ENGINE, "--memory", "512M", "--kernel", f"{image}/vmlinuz", "--initrd", f"{tmp_path}/initrd", "--append",
             "console=ttyS0 quiet panic=-1 ask=1 end=crash", "--device", "pvpanic", "--control", f"{tmp_path}/ctl", "--no-reboot")
    says(vm, "ask")
    events = events_of(tmp_path / "ctl", "panic", "state")
    vm.send("end\n")
    assert events.next() == ("panic", {"device": "pvpanic0", "why": "panicked"})
    assert events.next() == ("state", {"state": "ended", "why": "reset", "status": 3})
    ends(vm, 3)
    assert "@insmod-failed" not in vm.log


def test_reboot_boots_again(run, tiny):
    vm = run(*tiny("end=sysrq-b"))
    says(vm, "done")
    says(vm, "cpus")
    says(vm, "done")
    vm.process.send_signal(signal.SIGTERM)
    ends(vm, 128 + signal.SIGTERM)


def test_console_input(run, tiny):
    vm = run(*tiny("ask=1"))
    says(vm, "ask")
    for n in range(20):
        line = f"line {n} " + "x" * (n * 7)
        vm.send(line + "\n")
        assert says(vm, "heard", 60) == line
    vm.send("end\n")
    says(vm, "done")
    ends(vm)


def test_break_is_sysrq(run, tiny, control_of, tmp_path):
    """A BREAK on the serial line, then a key: Linux lists its SysRq commands."""
    vm = run(*tiny("ask=1"), "--control", str(tmp_path / "control"))
    says(vm, "ask")
    assert control_of(tmp_path / "control", "break")["ok"]
    vm.send("h")
    vm.expect(r"sysrq: HELP : ", 30)
    vm.send("awake\nend\n")
    assert says(vm, "heard", 30) == "awake"
    ends(vm)


def test_end_of_input_does_not_end_the_guest(run, tiny):
    vm = run(*tiny())
    vm.process.stdin.close()
    says(vm, "done")
    ends(vm)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_everything(run, tiny, left_behind, sig):
    vm = run(*tiny("idle=1"), "--net", "user")
    says(vm, "idle")
    vm.process.send_signal(sig)
    ends(vm, 128 + sig, 20)
    assert not left_behind(vm.process.pid)


def test_killed_command_leaves_no_guest(run, tiny, left_behind):
    """When the command is gone without a word, so are the VM and its network."""
    vm = run(*tiny("idle=1"), "--net", "user")
    says(vm, "idle")
    vm.process.kill()
    vm.process.wait()
    deadline = time.monotonic() + patience.seconds(10)
    while left_behind(vm.process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left_behind(vm.process.pid)


def test_no_hang_in_idle(run, tiny):
    """Idle for a while, then answer at once: the sleeping vCPU wakes for the serial port."""
    vm = run(*tiny("ask=1"))
    says(vm, "ask")
    time.sleep(5)
    start = time.monotonic()
    vm.send("awake\n")
    assert says(vm, "heard", 30) == "awake"
    assert time.monotonic() - start < patience.seconds(5)
    vm.send("end\n")
    ends(vm)


def test_log_has_no_kernel_warnings(run, tiny):
    """Without `quiet`: nothing in the kernel's own log about a broken board, clock or CPU."""
    args = tiny("ignore_loglevel", cpus=2)
    args[-1] = args[-1].replace("quiet ", "")
    vm = run(*args)
    says(vm, "done")
    ends(vm)
    bad = re.findall(r".*(?:BUG:|WARNING:|Oops|Call Trace|unchecked MSR|soft lockup|rcu.*stall|\[Firmware Bug\]|timed out|"
                     r"ACPI (?:BIOS )?Error|irq \d+: nobody cared|clocksource: .* unstable).*", vm.log)
    assert not bad, "\n".join(bad)
