# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian disk: login, network, apt over the user network, clean shutdown, and a second boot of the same disk."""
import gzip
import hashlib
import json
import os
import shutil
import socket
import subprocess

from conftest import BOOT, ENGINE, patience
from console import image_info


def make_repository(root):
    """A small apt repository with one package, the way apt-get update reads it."""
    tree = root / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/share/mica-hello").mkdir(parents=True)
    payload = os.urandom(300_000)
    (tree / "usr/share/mica-hello/payload").write_bytes(payload)
    (tree / "DEBIAN/control").write_text("Package: mica-hello\nVersion: 1.0\nArchitecture: all\nMaintainer: Mica <root@localhost>\n"
                                         "Description: proof that packages arrive whole\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, root / "mica-hello_1.0_all.deb"], check=True,
                   stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    deb = (root / "mica-hello_1.0_all.deb").read_bytes()
    control = subprocess.run(["dpkg-deb", "-f", root / "mica-hello_1.0_all.deb"], check=True, capture_output=True, text=True).stdout
    packages = (control + f"Filename: ./mica-hello_1.0_all.deb\nSize: {len(deb)}\nSHA256: {hashlib.sha256(deb).hexdigest()}\n\n").encode()
    (root / "Packages").write_bytes(packages)
    (root / "Packages.gz").write_bytes(gzip.compress(packages))
    sums = "".join(f" {hashlib.sha256((root / n).read_bytes()).hexdigest()} {(root / n).stat().st_size} {n}\n"
                   for n in ("Packages", "Packages.gz"))
    (root / "Release").write_text("Date: Wed, 01 Jan 2025 00:00:00 UTC\nSHA256:\n" + sums)
    return payload


def boot(run, image, disk, *more):
    info = image_info(image)
    vm = run("--engine", ENGINE, "--memory", "512M", "--cpus", "2", "--kernel", f"{image}/vmlinuz", "--initrd", f"{image}/initrd",
             "--append", info["append"], "--disk", str(disk), "--net", "user", *more)
    vm.login(BOOT, info["user"], info["password"])
    return vm


def answer(vm, line, seconds=120):
    out, status = vm.command(line, seconds)
    assert status == 0, f"{line}: status {status}\n{vm.tail()}"
    return out.strip()


def power_off(vm):
    vm.send("poweroff\n")
    assert vm.wait(120) == 0, vm.tail()


def press_power_button(control):
    """ACPI, SCI, the kernel's button driver, logind: the whole way a person's request to shut down takes."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(patience.seconds(30))
        s.connect(str(control))
        s.sendall(b'{"command":"stop"}\n')
        assert json.loads(s.makefile().readline())["ok"]


def test_debian_disk(run, image, web, tmp_path, left_behind):
    payload = make_repository(web.root)
    disk = tmp_path / "disk.raw"
    subprocess.run(["cp", "--sparse=always", f"{image}/disk.raw", disk], check=True)

    vm = boot(run, image, disk)
    answer(vm, "for i in $(seq 90); do ip -4 -o addr show scope global | grep -q . && break; sleep 1; done; test $i -lt 90", 180)
    assert "10.0.2.15/24" in answer(vm, "ip -4 addr show")
    assert "nameserver 10.0.2.3" in answer(vm, "cat /etc/resolv.conf")
    assert answer(vm, "systemctl is-system-running --wait || systemctl --failed --no-legend") == "running"
    answer(vm, f"echo 'deb [trusted=yes] http://10.0.2.2:{web.port} ./' >/tmp/local.list")
    only = "-o Dir::Etc::SourceList=/tmp/local.list -o Dir::Etc::SourceParts=/dev/null"
    answer(vm, f"apt-get {only} update", 240)
    answer(vm, f"DEBIAN_FRONTEND=noninteractive apt-get {only} install -y mica-hello", 240)
    assert answer(vm, "sha256sum /usr/share/mica-hello/payload").split()[0] == hashlib.sha256(payload).hexdigest()
    assert answer(vm, "nproc") == "2"
    power_off(vm)
    assert not left_behind(vm.process.pid)
    check = subprocess.run(["/sbin/e2fsck", "-fn", disk], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr

    control = tmp_path / "control"
    vm = boot(run, image, disk, "--control", str(control))
    assert answer(vm, "sha256sum /usr/share/mica-hello/payload").split()[0] == hashlib.sha256(payload).hexdigest()
    assert int(answer(vm, "journalctl --list-boots --no-pager | grep -c ' '")) >= 2
    assert "clean" in answer(vm, "dmesg | grep -i -E 'EXT4-fs .vda.: (recovery|.*error|.*not clean)' || echo clean")
    answer(vm, "for i in $(seq 60); do systemctl is-active systemd-logind && break; sleep 1; done")
    press_power_button(control)
    assert vm.wait(120) == 0, vm.tail()
    check = subprocess.run(["/sbin/e2fsck", "-fn", disk], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr
