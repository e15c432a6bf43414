# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks that boot by themselves: firmware, GRUB, the kernel, all from the disk; reset, saving and going on."""
import os
import pathlib
import shutil
import subprocess

import bootdisk
import pytest
from conftest import BOOT, ENGINE

SEABIOS = "/usr/share/seabios/bios-256k.bin"
GRUB = "/usr/lib/grub/i386-pc/boot.img"
OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd"
IPXE = "/usr/lib/ipxe/qemu/pxe-virtio.rom"
GRUB_EFI = "/usr/lib/grub/x86_64-efi"
needs_uefi = pytest.mark.skipif(not (os.path.exists(OVMF) and os.path.exists(GRUB_EFI) and shutil.which("mformat")),
                                reason="the packages ovmf, grub-efi-amd64-bin and mtools are not installed")
needs_bios = pytest.mark.skipif(not (os.path.exists(SEABIOS) and os.path.exists(GRUB)),
                                reason="the packages seabios and grub-pc-bin are not installed")


@pytest.fixture(scope="session")
def small_files(image, tiny, tmp_path_factory):
    """A small file system: the stock Debian kernel, the tests' initramfs, GRUB's configuration. The guest waits for a line, and
    reboots."""
    args = tiny("")
    config = bootdisk.config("console=ttyS0 quiet panic=-1 idle=1 end=reboot", "/vmlinuz", "/initrd")
    path = tmp_path_factory.mktemp("files") / "root.img"
    bootdisk.file_system(path, {"vmlinuz": os.path.join(image, "vmlinuz"), "initrd": args[args.index("--initrd") + 1],
                                "boot/grub/grub.cfg": config.encode()}, 24)
    return path


@pytest.fixture
def uefi_disk(small_files, tmp_path):
    bootdisk.uefi(tmp_path / "uefi.img", small_files)
    return str(tmp_path / "uefi.img")


@pytest.fixture
def bios_disk(small_files, tmp_path):
    bootdisk.bios(tmp_path / "bios.img", small_files)
    return str(tmp_path / "bios.img")


def ends(vm, status=0):
    got = vm.wait(60)
    assert got == status, f"exit status {got}, not {status}\n{vm.tail()}"


@pytest.fixture
def gone_on(run, mica, tmp_path):
    """gone_on(vm): that VM saved and ended, and another that goes on from there."""
    count = []

    def go(vm):
        state = tmp_path / f"state{len(count)}"
        count.append(state)
        subprocess.run([mica, "save", "--control", str(tmp_path / "control"), "--output", str(state), "--quit"], check=True,
                       stdout=subprocess.DEVNULL)
        ends(vm)
        return run("--restore", f"{state},trust=on", "--engine", ENGINE, "--control", str(tmp_path / "control"))
    return go


@needs_bios
def test_bios_boots_a_disk(run, bios_disk):
    """Nothing but the disk's name: SeaBIOS, GRUB from its master boot record, the kernel with two CPUs; and again."""
    vm = run(bios_disk, "--engine", ENGINE, "--cpus", "2", "--memory", "3G", "--verbose", "--device", "isa-debugcon",
             "--smbios", "manufacturer=ACME,serial=42,uuid=00112233-4455-6677-8899-aabbccddeeff")
    vm.expect("SeaBIOS", BOOT)
    vm.expect("@grub", BOOT)  # the BIOS shows what it is told to, with what GRUB says itself in between
    vm.expect("@cpus 2", BOOT)
    assert int(vm.expect(r"@memory (\d+)", BOOT).group(1)) > 2800 << 10  # the upper part of it is above 4 GiB
    vm.expect("@dmi ACME 42 00112233-4455-6677-8899-aabbccddeeff", BOOT)
    vm.expect("@idle", BOOT)
    vm.send("\n")
    vm.expect("SeaBIOS", BOOT)
    vm.expect("@grub", BOOT)
    errors = vm.errors()
    assert "firmware: bios" in errors
    assert "isa-debugcon0: Booting from Hard Disk" in errors


@needs_bios
def test_bios_is_saved_and_goes_on(run, gone_on, bios_disk, tmp_path):
    """In the middle of the firmware, which waits for a key; and when it is done, before it comes again. On the board
    that old systems know."""
    vm = run(bios_disk + ",bus=nvme", "--machine", "pc", "--engine", ENGINE, "--control", str(tmp_path / "control"), "--boot", "disk,menu=on",
             "--fw-cfg", "name=etc/boot-menu-wait,string=\x10\x0e")
    vm.expect("Press ESC for boot menu", BOOT)
    vm = gone_on(vm)
    vm.expect("@grub", BOOT)
    vm.expect("@idle", BOOT)
    vm = gone_on(vm)
    vm.send("\n")
    vm.expect("Press ESC for boot menu", BOOT)


@needs_uefi
def test_uefi_boots_a_disk(run, uefi_disk):
    """Chosen by the EFI system partition. Its variables are in a file that is made once, kept, and never replaced."""
    nvram = pathlib.Path(uefi_disk + ".nvram")
    with open("/usr/share/OVMF/OVMF_VARS_4M.fd", "rb") as f:
        template = f.read()
    vm = run(uefi_disk, "--engine", ENGINE, "--cpus", "2", "--memory", "5G", "--verbose", "--no-reboot")
    vm.expect("Welcome to GRUB", BOOT)
    vm.expect("@cpus 2", BOOT)  # the ACPI tables have reached it
    assert int(vm.expect(r"@memory (\d+)", BOOT).group(1)) > 4800 << 10
    vm.expect(r"@dmi Mica +[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12} ", BOOT)
    vm.expect("@idle", BOOT)
    kept = nvram.read_bytes()
    assert len(kept) == len(template) and kept != template  # it has written its boot entries
    vm.send("\n")
    ends(vm, 3)
    assert "firmware: uefi" in vm.errors()
    nvram.write_bytes(b"something else")
    vm = run(uefi_disk, "--engine", ENGINE)
    ends(vm, 1)
    assert "is no file of theirs" in vm.errors() and nvram.read_bytes() == b"something else"


@needs_uefi
def test_uefi_is_saved_and_starts_again(run, gone_on, uefi_disk, tmp_path):
    """Saved while it waits for a key, and when it is done; each reset goes through it, with the same variables."""
    vm = run(uefi_disk + ",bus=ide", "--engine", ENGINE, "--cpus", "2", "--control", str(tmp_path / "control"), "--boot", "disk,menu=on",
             "--fw-cfg", "name=etc/boot-menu-wait,string=\x10\x0e")
    vm.expect(r"\x1b\[2J", BOOT)
    vm = gone_on(vm)
    vm.expect("Welcome to GRUB", BOOT)
    vm.expect("@idle", BOOT)
    vm = gone_on(vm)
    kept = pathlib.Path(uefi_disk + ".nvram").read_bytes()
    for _ in range(2):
        vm.send("\n")
        vm.expect("starting Boot0001", BOOT)
        vm.expect("@cpus 2", BOOT)
        vm.expect("@idle", BOOT)
    again = pathlib.Path(uefi_disk + ".nvram").read_bytes()
    assert again.count("Boot0001".encode("utf-16-le")) == kept.count("Boot0001".encode("utf-16-le")) > 0


def test_what_cannot_be_booted_is_said(run, tmp_path):
    (tmp_path / "empty").write_bytes(bytes(1 << 20))
    vm = run(str(tmp_path / "empty"), "--engine", ENGINE)
    ends(vm, 1)
    assert "no disk can be booted from" in vm.errors() and "EFI system partition" in vm.errors()


def net_folder(tmp_path, kind, modules):
    """A folder for TFTP and HTTP: GRUB for the network, which reads one more file."""
    folder = tmp_path / "tftp"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "hello").write_text("@hello over the net\n")
    config = tmp_path / "grub.cfg"
    config.write_text("serial --unit=0\nterminal_output serial\ncat (tftp)/sub/hello\ncat (http,10.0.2.2)/sub/hello\n")
    subprocess.run(["grub-mkimage", "-O", kind, "-p", "(tftp)/sub", "-c", str(config), "-o", str(folder / "boot"), "tftp", "http", "serial",
                    "terminal", "cat", *modules], check=True)
    return folder


@needs_bios
@pytest.mark.skipif(not os.path.exists(IPXE), reason="the package ipxe-qemu is not installed")
def test_bios_boots_from_the_network(run, tmp_path):
    """No disk at all: iPXE from the card's ROM, DHCP, HTTP, GRUB, which reads by TFTP and by HTTP."""
    folder = net_folder(tmp_path, "i386-pc-pxe", ["pxe"])
    vm = run("--engine", ENGINE, "--boot", "net", "--net", f"user,tftp={folder},bootfile=http://10.0.2.2/boot")
    vm.expect("iPXE", BOOT)
    vm.expect("@hello over the net", BOOT)
    vm.expect("@hello over the net", BOOT)


@needs_uefi
def test_uefi_boots_from_the_network(run, tmp_path):
    folder = net_folder(tmp_path, "x86_64-efi", ["efinet"])
    vm = run("--engine", ENGINE, "--firmware", "uefi", "--boot", "net", "--net", f"user,tftp={folder},bootfile=boot")
    vm.expect("Start PXE over IPv4", BOOT)
    vm.expect("@hello over the net", BOOT)
    vm.expect("@hello over the net", BOOT)


@needs_bios
@pytest.mark.skipif(not shutil.which("grub-mkrescue") or not shutil.which("xorriso"), reason="grub-mkrescue or xorriso is not installed")
def test_an_installer_with_an_empty_disk(run, tmp_path):
    """A CD-ROM and a disk with nothing on it, no other word: the CD-ROM is booted, and once the disk can be, the disk."""
    tree, cd, disk = tmp_path / "tree", tmp_path / "install.iso", tmp_path / "empty.img"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text("serial --unit=0\nterminal_output serial\necho @install\nls\nsleep 1\nreboot\n")
    subprocess.run(["grub-mkrescue", "-d", os.path.dirname(GRUB), "-o", cd, tree], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(disk, "wb") as f:
        f.truncate(1 << 20)
    vm = run("--cdrom", str(cd), "--disk", str(disk), "--engine", ENGINE)
    vm.expect("@install", BOOT)
    vm.expect(r"\(hd0\)", BOOT)
    with open(disk, "r+b") as f:  # what an installer does: a boot sector that prints @disk at COM1
        code = b"\xba\xf8\x03" + b"".join(b"\xb0" + bytes([c]) + b"\xee" for c in b"@disk\n") + b"\xf4\xeb\xfd"
        f.write(code.ljust(510, b"\0") + b"\x55\xaa")
    vm.expect("@disk", BOOT)


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
    vm.expect("@grub", BOOT)
    vm.login(BOOT, "root", "mica")
    out, status = vm.command("dmesg | grep -c 'BIOS-provided physical RAM map'; mount | grep -c '^/dev/vda1 on / '", 60)
    assert status == 0 and out.split() == ["1", "1"], out
    vm.send("poweroff\n")
    ends(vm)
