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
import zlib

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


def names(image, folder):
    """What an ext4 has in a folder."""
    out = subprocess.run(["debugfs", "-R", f"ls -p {folder}", image], check=True, env=dict(os.environ, PATH=PATH), text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return sorted(line.split("/")[5] for line in out.splitlines() if line.startswith("/"))


def listing(image, folder, prefix):
    """The path of the one file in an ext4's folder whose name begins so."""
    return f"{folder}/{next(name for name in names(image, folder) if name.startswith(prefix))}"


def uefi(target, root):
    """GPT: partition 1, FAT, with GRUB where UEFI looks by itself; partition 2 with the file system `root`."""
    esp, size = 4 << 20, os.stat(root).st_size
    with tempfile.TemporaryDirectory() as top:
        program, fat = os.path.join(top, "grub"), os.path.join(top, "fat")
        with open(program, "wb") as f:
            f.write(core("x86_64-efi", "(hd0,gpt2)/boot/grub"))
        with open(fat, "wb") as f:
            f.truncate(esp)
        tool("mformat", "-i", fat, "-v", "ESP", "::")
        tool("mmd", "-i", fat, "::/EFI", "::/EFI/BOOT")
        tool("mcopy", "-i", fat, program, "::/EFI/BOOT/BOOTX64.EFI")
        with open(target, "wb") as out:
            copy_holes(fat, out, ALIGN)
            copy_holes(root, out, ALIGN + esp)
            out.truncate(ALIGN + esp + size + ALIGN)
            write_gpt(out, [(ESP_TYPE, ALIGN, esp), (LINUX_TYPE, ALIGN + esp, size)])


def write_gpt(out, parts):
    """UEFI 2.10, 5.3: a protective MBR, the table, and both again at the end."""
    sectors = out.seek(0, os.SEEK_END) // 512
    entries = b"".join(kind.bytes_le + uuid.uuid4().bytes_le + struct.pack("<QQQ72x", at // 512, (at + size) // 512 - 1, 0)
                       for kind, at, size in parts).ljust(128 * 128, b"\0")
    disk = uuid.uuid4().bytes_le
    for here, other, table in ((1, sectors - 1, 2), (sectors - 1, 1, sectors - 33)):
        head = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, here, other, 34, sectors - 34, disk, table, 128,
                           128, zlib.crc32(entries))
        head = head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:]
        out.seek(here * 512)
        out.write(head)
        out.seek(table * 512)
        out.write(entries)
    out.seek(446)
    out.write(struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xee, b"\xff\xff\xff", 1, min(sectors - 1, 0xffffffff)))
    out.seek(510)
    out.write(b"\x55\xaa")
