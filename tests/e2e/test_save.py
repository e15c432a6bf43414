# SPDX-License-Identifier: GPL-2.0-or-later
"""`mica save` and `mica run --restore`: guests that go on where they were, and states that are refused."""
import json
import os
import re
import shutil
import socket
import subprocess

import pytest
from conftest import BOOT, patience
from console import image_info
from test_tiny import ends, says


@pytest.fixture
def save(mica, tmp_path):
    """save(args...) runs `mica save` for the VM whose control socket is tmp_path/ctl."""
    def call(*args, output=None, status=0):
        output = output or tmp_path / "state"
        r = subprocess.run([mica, "save", "--control", str(tmp_path / "ctl"), "--output", str(output), *args],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience.seconds(120))
        assert r.returncode == status, r
        return r.stderr
    return call


def new_disk(path, size=4 << 20):
    with open(path, "wb") as f:
        f.truncate(size)
    return str(path)


def counted(text):
    assert "@bad" not in text
    return [int(n) for n in re.findall(r"@count (\d+)\r?\n", text)]


@pytest.mark.parametrize("more", [[], ["--net", "user", "--virtio-console", "pty"]])
def test_goes_on_counting(run, tiny, save, tmp_path, more):
    disk = new_disk(tmp_path / "disk")
    if more and shutil.which("qemu-img"):  # and of a disk in an image
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "4M"], check=True)
    vm = run(*tiny("count=25", cpus=2), "--disk", disk, "--control", f"{tmp_path}/ctl", "--no-reboot", *more)
    vm.expect(r"@count 6\r?\n", BOOT)
    save("--quit")
    ends(vm)
    state = tmp_path / "state"
    assert state.stat().st_mode & 0o777 == 0o600
    assert 1 << 20 < state.stat().st_size < 200 << 20
    assert sorted(os.listdir(tmp_path)) == ["disk", "state"], "no socket, no temporary file"
    first = counted(vm.log)

    vm = run("--restore", f"{state},trust=on", *(["--virtio-console", "pty"] if more else []))
    says(vm, "clock")
    says(vm, "done")
    ends(vm)
    assert first + counted(vm.log) == list(range(1, 26))
    assert "@dmesg" not in vm.log, vm.log

    # Its disk has been written since: it must not go on twice.
    vm = run("--restore", f"{state},trust=on", *(["--virtio-console", "pty"] if more else []))
    assert vm.wait(60) == 1
    told = vm.errors()
    assert disk in told and "was written after" in told


def test_vm_goes_on_after_a_save(run, tiny, save, tmp_path):
    disk = new_disk(tmp_path / "disk")
    vm = run(*tiny("count=14", cpus=2), "--disk", disk, "--control", f"{tmp_path}/ctl")
    vm.expect(r"@count 4\r?\n", BOOT)
    save()
    vm.expect(r"@count 8\r?\n", 60)
    save()  # replaces the first
    says(vm, "done")
    ends(vm)
    assert counted(vm.log) == list(range(1, 15))
    assert "@dmesg" not in vm.log, vm.log


def test_copy_of_the_disk(run, tiny, save, tmp_path):
    """A state and a copy of the disk of that time make a second VM, wherever the first one has got to."""
    disk = new_disk(tmp_path / "disk")
    vm = run(*tiny("count=16"), "--disk", disk, "--control", f"{tmp_path}/ctl")
    vm.expect(r"@count 4\r?\n", BOOT)
    save("--quit")
    ends(vm)
    shutil.copy(disk, tmp_path / "copy")
    for args in ([], ["--disk", f"{tmp_path}/copy"]):
        vm = run("--restore", f"{tmp_path}/state,trust=on", *args)
        says(vm, "done")
        ends(vm)
        assert counted(vm.log)[-1] == 16


def test_console_input_and_time(run, tiny, save, tmp_path):
    vm = run(*tiny("ask=1"), "--control", f"{tmp_path}/ctl")
    says(vm, "ask")
    vm.send("before\n")
    assert says(vm, "heard") == "before"
    save("--quit")
    ends(vm)
    vm = run("--restore", f"{tmp_path}/state,trust=on", "--name", "second")
    vm.send("after\n")
    assert says(vm, "heard", 60) == "after"
    vm.send("end\n")
    says(vm, "done")
    ends(vm)


def test_reset_after_restore_boots_again(run, tiny, save, tmp_path):
    vm = run(*tiny("ask=1 end=sysrq-b"), "--control", f"{tmp_path}/ctl")
    says(vm, "ask")
    save("--quit")
    ends(vm)
    vm = run("--restore", f"{tmp_path}/state,trust=on")
    vm.send("end\n")
    says(vm, "done")
    says(vm, "ask")
    vm.process.terminate()
    ends(vm, 143)


def test_what_cannot_be_saved(run, tiny, save, tmp_path):
    disk = new_disk(tmp_path / "disk")
    vm = run(*tiny("ask=1"), "--disk", f"{disk},snapshot=on", "--control", f"{tmp_path}/ctl")
    says(vm, "ask")
    told = save("--quit", status=1)
    assert disk in told and "snapshot=on" in told
    assert "state" not in "".join(os.listdir(tmp_path))
    assert "nowhere" in save(output=tmp_path / "nowhere" / "state", status=1)
    # None of that stopped it.
    vm.send("still here\n")
    assert says(vm, "heard", 60) == "still here"
    vm.send("end\n")
    ends(vm)
    assert "cannot reach a VM" in save(status=1)


def test_a_client_that_goes_away_leaves_the_vm_running(run, tiny, tmp_path):
    """The command that saves is killed in the middle, when the VM is paused: the VM goes on."""
    vm = run(*tiny("ask=1"), "--control", f"{tmp_path}/ctl")
    says(vm, "ask")
    with open(tmp_path / "half", "wb") as f, socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{tmp_path}/ctl")
        socket.send_fds(s, [b'{"command":"save"}\n'], [f.fileno()])
        assert b'"ok":true' in s.recv(4096)
        s.sendall(b'{"command":"status"}\n')
        assert b'"paused"' in s.recv(4096)
    vm.send("still here\n")
    assert says(vm, "heard", 60) == "still here"
    vm.send("end\n")
    ends(vm)


@pytest.fixture
def saved(run, tiny, save, tmp_path):
    disk = new_disk(tmp_path / "disk")
    vm = run(*tiny("ask=1"), "--disk", disk, "--control", f"{tmp_path}/ctl")
    says(vm, "ask")
    save("--quit")
    ends(vm)
    return tmp_path / "state"


def test_refused(mica, saved, tmp_path):
    def refused(*args, told, status=(1, 2)):
        r = subprocess.run([mica, "run", "--console", "none", "--restore", f"{saved},trust=on", *args], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=patience.seconds(60))
        assert r.returncode in status and told in r.stderr, r

    for option, value in (("memory", "1G"), ("cpus", "2"), ("cpu", "mica-v2"), ("append", "x")):
        refused(f"--{option}", value, told=f"--{option}", status=(2,))
    refused("--net", "user", told="--net", status=(2,))
    refused("--virtio-console", "pty", told="--virtio-console", status=(2,))
    disk = new_disk(tmp_path / "other", 8 << 20)
    refused("--disk", disk, told=disk, status=(1,))
    refused("--disk", disk, "--disk", disk, told="1 disks", status=(2,))

    whole = saved.read_bytes()
    # The configuration and the first pages are there; the rest is not, or not as it was.
    for part in (0, 7, 40, 100, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:part])
        refused(told="saved state")
    for at in (9, 50, 200, len(whole) // 3, len(whole) - 2000, len(whole) - 1):
        saved.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1:])
        refused(told="saved state")
    saved.write_bytes(b"#!/bin/sh\n")
    refused(told="not the saved state")
    os.unlink(saved)
    refused(told=str(saved))


def test_usage(mica):
    for args, told in (([], "--control"), (["--control", "x"], "--output"), (["--frob"], "--frob"), (["x"], "'x'"),
                       (["--output"], "--output")):
        r = subprocess.run([mica, "save", *args], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=patience.seconds(20))
        assert r.returncode == 2 and told in r.stderr and not r.stdout, r
    r = subprocess.run([mica, "save", "--help"], capture_output=True, text=True, timeout=patience.seconds(20))
    assert r.returncode == 0 and "--quit" in r.stdout and max(map(len, r.stdout.splitlines())) <= 100


def test_debian_at_its_login_prompt(run, image, save, tmp_path, left_behind):
    info = image_info(image)
    disk = tmp_path / "disk.raw"
    subprocess.run(["cp", "--sparse=always", f"{image}/disk.raw", disk], check=True)
    vm = run("--memory", "512M", "--cpus", "2", "--kernel", f"{image}/vmlinuz", "--initrd", f"{image}/initrd",
             "--append", info["append"], "--disk", str(disk), "--net", "user", "--control", f"{tmp_path}/ctl")
    vm.expect(r"login: $", BOOT)
    save("--quit")
    ends(vm)
    assert not left_behind(vm.process.pid)

    vm = run("--restore", f"{tmp_path}/state,trust=on")
    vm.send("\n")
    vm.login(BOOT, info["user"], info["password"])

    def answer(line, seconds=120):
        out, status = vm.command(line, seconds)
        assert status == 0, f"{line}: status {status}\n{vm.tail()}"
        return out.strip()
    assert answer("nproc") == "2"
    assert answer("systemctl is-system-running --wait || systemctl --failed --no-legend", 240) == "running"
    assert "10.0.2.15/24" in answer("for i in $(seq 60); do ip -4 -o addr show scope global | grep -q . && break; sleep 1; done; ip -4 addr show")
    bad = answer("dmesg | grep -E 'BUG:|WARNING:|Oops|soft lockup|rcu.*stall|I/O error|EXT4-fs error|unstable' || echo none")
    assert bad == "none"
    answer("dd if=/dev/urandom of=/root/x bs=1M count=8 conv=fsync && sync && echo 3 >/proc/sys/vm/drop_caches && md5sum /root/x")
    vm.send("poweroff\n")
    assert vm.wait(120) == 0, vm.tail()
    check = subprocess.run(["/sbin/e2fsck", "-fn", disk], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr


def test_a_host_that_cannot_take_it_is_named(run, mica, tiny, save, tmp_path):
    """Before anything is stopped: --for a host of this kind, and for one that lacks a few things."""
    host = json.loads(subprocess.run([mica, "doctor", "--json"], capture_output=True, text=True, timeout=patience.seconds(30), check=True).stdout)
    (tmp_path / "same").write_text(json.dumps(host))
    for engine in host["engines"]:
        engine["promise"]["words"][0] &= ~(1 << 23)
    (tmp_path / "less").write_text(json.dumps(host))
    vm = run(*tiny("count=60"), "--disk", new_disk(tmp_path / "disk"), "--control", f"{tmp_path}/ctl", "--no-reboot")
    vm.expect(r"@count 2\r?\n", BOOT)
    said = save("--for", str(tmp_path / "less"), status=1)
    assert "cannot go on there" in said and "popcnt" in said
    assert not (tmp_path / "state").exists()
    at = counted(vm.log)[-1]
    vm.expect(rf"@count {at + 2}\r?\n", BOOT)
    save("--for", str(tmp_path / "same"), "--quit")
    ends(vm)
    assert (tmp_path / "state").exists()
