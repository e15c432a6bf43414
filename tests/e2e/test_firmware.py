# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks that boot by themselves: firmware, GRUB, the kernel, all from the disk; reset, saving and going on."""
import os
import shutil
import subprocess

import bootdisk
import pytest
from conftest import BOOT, ENGINE

SEABIOS = "/usr/share/seabios/bios-256k.bin"
GRUB = "/usr/lib/grub/i386-pc/boot.img"
OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd"
GRUB_EFI = "/usr/lib/grub/x86_64-efi"
needs_uefi = pytest.mark.skipif(not (os.path.exists(OVMF) and os.path.exists(GRUB_EFI) and shutil.which("mformat")),
                                reason="the packages ovmf, grub-efi-amd64-bin and mtools are not installed")
needs_bios = pytest.mark.skipif(not (os.path.exists(SEABIOS) and os.path.exists(GRUB)),
                                reason="the packages seabios and grub-pc-bin are not installed")


@pytest.fixture(scope="session")
def small_files(image, tiny, tmp_path_factory):
    """A small file system: the stock Debian kernel, the tests' initramfs, GRUB's configuration. The guest reboots."""
    args = tiny("")
    config = bootdisk.config("console=ttyS0 quiet panic=-1 end=reboot", "/vmlinuz", "/initrd")
    path = tmp_path_factory.mktemp("files") / "root.img"
    bootdisk.file_system(path, {"vmlinuz": os.path.join(image, "vmlinuz"), "initrd": args[args.index("--initrd") + 1],
                                "boot/grub/grub.cfg": config.encode()}, 24)
    return path


@pytest.fixture
def bios_disk(small_files, tmp_path):
    bootdisk.bios(tmp_path / "bios.img", small_files)
    return str(tmp_path / "bios.img")


def ends(vm, status=0):
    got = vm.wait(60)
    assert got == status, f"exit status {got}, not {status}\n{vm.tail()}"


@needs_bios
def test_bios_boots_a_disk(run, bios_disk):
    """Nothing but the disk's name: SeaBIOS, GRUB from its master boot record, the kernel with two CPUs; and again."""
    vm = run(bios_disk, "--engine", ENGINE, "--cpus", "2", "--verbose", "--device", "isa-debugcon")
    vm.expect("SeaBIOS", BOOT)
    vm.expect("Welcome to GRUB", BOOT)
    vm.expect("@cpus 2", BOOT)
    vm.expect("SeaBIOS", BOOT)
    vm.expect("Welcome to GRUB", BOOT)
    errors = vm.errors()
    assert "firmware: bios" in errors
    assert "isa-debugcon0: Booting from Hard Disk" in errors


@needs_bios
def test_bios_is_saved_and_goes_on(run, mica, bios_disk, tmp_path):
    """In the middle of the firmware, which waits for a key."""
    state, control = tmp_path / "state", tmp_path / "control"
    vm = run(bios_disk, "--engine", ENGINE, "--control", str(control), "--boot", "disk,menu=on",
             "--fw-cfg", "name=etc/boot-menu-wait,string=\x10\x0e")
    vm.expect("Press ESC for boot menu", BOOT)
    subprocess.run([mica, "save", "--control", str(control), "--output", str(state), "--quit"], check=True,
                   stdout=subprocess.DEVNULL)
    ends(vm)
    vm = run("--restore", f"{state},trust=on", "--engine", ENGINE, "--control", str(control))
    vm.expect("Welcome to GRUB", BOOT)
    vm.expect("@grub", BOOT)


@needs_uefi
def test_uefi_boots_a_disk(run, small_files, tmp_path):
    """Chosen by the EFI system partition. Its variables are in a file that is made once, kept, and never replaced."""
    disk, nvram = tmp_path / "uefi.img", tmp_path / "uefi.img.nvram"
    bootdisk.uefi(disk, small_files)
    vm = run(str(disk), "--engine", ENGINE, "--memory", "256M", "--verbose", "--no-reboot")
    vm.expect("Welcome to GRUB", BOOT)
    vm.expect("@cpus 1", BOOT)
    ends(vm, 3)
    assert "firmware: uefi" in vm.errors()
    with open("/usr/share/OVMF/OVMF_VARS_4M.fd", "rb") as f:
        template = f.read()
    kept = nvram.read_bytes()
    assert len(kept) == len(template) and kept != template  # it has written its boot entries
    nvram.write_bytes(b"something else")
    vm = run(str(disk), "--engine", ENGINE)
    ends(vm, 1)
    assert "is no file of theirs" in vm.errors() and nvram.read_bytes() == b"something else"


def test_what_cannot_be_booted_is_said(run, tmp_path):
    (tmp_path / "empty").write_bytes(bytes(1 << 20))
    vm = run(str(tmp_path / "empty"), "--engine", ENGINE)
    ends(vm, 1)
    assert "no disk can be booted from" in vm.errors() and "EFI system partition" in vm.errors()


@needs_bios
def test_debian_boots_by_bios(run, image, tmp_path):
    """The whole system: GRUB loads Debian's kernel and initramfs from the disk they belong to."""
    root = tmp_path / "root.img"
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", os.path.join(image, "disk.raw"), root], check=True)
    kernel = bootdisk.listing(root, "/boot", "vmlinuz-")
    initrd = bootdisk.listing(root, "/boot", "initrd.img-")
    bootdisk.put_files(root, {
        "etc/fstab": b"/dev/vda1\t/\text4\tdefaults\t0\t1\n",
        "boot/grub/grub.cfg": bootdisk.config("root=/dev/vda1 rw quiet console=ttyS0", kernel, initrd).encode()})
    disk = tmp_path / "debian.img"
    bootdisk.bios(disk, root)
    root.unlink()
    vm = run(str(disk), "--engine", ENGINE, "--cpus", "2")
    vm.expect("Welcome to GRUB", BOOT)
    vm.login(BOOT, "root", "mica")
    out, status = vm.command("dmesg | grep -c 'BIOS-provided physical RAM map'; mount | grep -c '^/dev/vda1 on / '", 60)
    assert status == 0 and out.split() == ["1", "1"], out
    vm.send("poweroff\n")
    ends(vm)
