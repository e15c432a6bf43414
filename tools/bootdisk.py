# SPDX-License-Identifier: GPL-2.0-or-later
"""bootdisk.py - makes disks that boot by firmware: GRUB in front, one ext4 file system with a kernel behind. For tests.

No root, no loop device, no grub-install: grub-mkimage makes GRUB's core with its modules in it, and the places where a
BIOS (sector 0 and the gap after it) or UEFI (a FAT partition) look for it are written here. The file system is made
from a folder, or is a copy of one that is there (holes stay holes) whose files are changed by debugfs.
"""
import os
import shutil
import struct
import subprocess
import tempfile
import uuid

PATH = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"  # a plain user's has no sbin
ALIGN = 1 << 20
MODULES = "normal configfile echo ext2 linux serial terminal part_msdos part_gpt".split()
# Both ends of a partition table that firmware needs: UEFI 2.10, 5.3.
ESP_TYPE = uuid.UUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
LINUX_TYPE = uuid.UUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")


def tool(*args, **more):
    subprocess.run(args, check=True, env=dict(os.environ, PATH=PATH), stdout=subprocess.DEVNULL, **more)


def config(append, kernel, initrd, timeout=0):
    """A grub.cfg: the console is the serial line."""
    return (f"serial --unit=0 --speed=115200\nterminal_input serial\nterminal_output serial\nset timeout={timeout}\n"
            f"echo @grub\nmenuentry test {{\n  linux {kernel} {append}\n  initrd {initrd}\n}}\n")


def file_system(target, files, mib):
    """A small ext4 with these: {path: bytes, or a path here}."""
    with tempfile.TemporaryDirectory() as top:
        for name, source in files.items():
            path = os.path.join(top, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if isinstance(source, bytes):
                with open(path, "wb") as f:
                    f.write(source)
            else:
                shutil.copyfile(source, path)
        with open(target, "wb") as f:
            f.truncate(mib << 20)
        tool("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", top, target)


def put_files(image, files):
    """Write {path: bytes} into an ext4 that is there."""
    with tempfile.TemporaryDirectory() as top:
        commands = []
        for n, (name, data) in enumerate(files.items()):
            path = os.path.join(top, str(n))
            with open(path, "wb") as f:
                f.write(data)
            folders = name.split("/")[:-1]
            commands += [f"mkdir /{'/'.join(folders[:k])}" for k in range(1, len(folders) + 1)]
            commands += [f"rm /{name}", f"write {path} /{name}"]
        script = os.path.join(top, "script")
        with open(script, "w") as f:
            f.write("\n".join(commands) + "\n")
        tool("debugfs", "-w", "-f", script, image, stderr=subprocess.DEVNULL)


def core(kind, prefix):
    with tempfile.NamedTemporaryFile() as f:
        modules = MODULES + (["biosdisk"] if kind == "i386-pc" else [])
        tool("grub-mkimage", "-O", kind, "-p", prefix, "-o", f.name, *modules)
        with open(f.name, "rb") as done:
            return done.read()


def copy_holes(source, out, at):
    """Data of a file to `at` in another; what is a hole stays one."""
    with open(source, "rb") as f:
        end = f.seek(0, os.SEEK_END)
        pos = 0
        while pos < end:
            try:
                pos = os.lseek(f.fileno(), pos, os.SEEK_DATA)
            except OSError:
                break
            stop = os.lseek(f.fileno(), pos, os.SEEK_HOLE)
            f.seek(pos)
            out.seek(at + pos)
            while pos < stop:
                data = f.read(min(stop - pos, 4 << 20))
                out.write(data)
                pos += len(data)
    return end


def bios(target, root):
    """MBR, GRUB in the gap, partition 1 with the file system `root`."""
    image = core("i386-pc", "(hd0,msdos1)/boot/grub")
    assert len(image) <= ALIGN - 512
    with open("/usr/lib/grub/i386-pc/boot.img", "rb") as f:
        sector = bytearray(f.read(512))
    with open(target, "wb") as out:
        size = copy_holes(root, out, ALIGN)
        sector[440:510] = bytes(70)
        sector[446:462] = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", ALIGN // 512, size // 512)
        sector[510:] = b"\x55\xaa"
        out.seek(0)
        out.write(sector + image)
        out.truncate(ALIGN + size)


def listing(image, folder, prefix):
    """The path of the one file in an ext4's folder whose name begins so."""
    out = subprocess.run(["debugfs", "-R", f"ls -p {folder}", image], check=True, env=dict(os.environ, PATH=PATH), text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    names = [line.split("/")[5] for line in out.splitlines() if line.startswith("/")]
    return f"{folder}/{next(name for name in names if name.startswith(prefix))}"
