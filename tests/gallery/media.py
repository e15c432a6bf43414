# SPDX-License-Identifier: GPL-2.0-or-later
"""media.py - how the gallery's disks and CD-ROMs are made: each function writes `target` from what the shop has."""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(TOP, "tools")]
import bootdisk  # noqa: E402

# GRUB speaks on the serial line alone, and says when it is there: a BIOS writes to both. UEFI takes keys from there, too: what it has, it passes on.
GRUB_SAYS = "insmod serial\nserial --unit=0 --speed=115200\nterminal_output serial\nterminal_input serial console\nset timeout=0\necho @grub\n"


def copy(target, shop, package, path):
    """A file of a package."""
    shutil.copyfile(shop.file(package, path), target)


def grub_iso(target, shop, config, *files):
    """What grub-mkrescue makes: for both firmwares. files: (path on it, package, path there[, architecture])."""
    with tempfile.TemporaryDirectory() as top:
        os.makedirs(os.path.join(top, "boot/grub"))
        with open(os.path.join(top, "boot/grub/grub.cfg"), "w", encoding="utf-8") as f:
            f.write(GRUB_SAYS + config)
        for path, package, *source in files:
            os.makedirs(os.path.dirname(os.path.join(top, path)), exist_ok=True)
            shutil.copyfile(shop.file(package, *source), os.path.join(top, path))
        shop.call(["grub-mkrescue", "-o", target, top, "--", "-volid", "GALLERY"], "grub-mkrescue")


def isolinux(target, shop, config, *files):
    """A CD-ROM that ISOLINUX boots; also a disk, by isohdpfx.bin. files: as of grub_iso; a package None: a file of media that are made."""
    with tempfile.TemporaryDirectory() as top:
        modules = os.path.join(shop.package("syslinux-common"), "usr/lib/syslinux/modules/bios")
        for name in ("ldlinux.c32", "libutil.c32", "libcom32.c32", "menu.c32", "mboot.c32"):
            shutil.copyfile(os.path.join(modules, name), os.path.join(top, name))
        shutil.copyfile(shop.file("isolinux", "usr/lib/ISOLINUX/isolinux.bin"), os.path.join(top, "isolinux.bin"))
        with open(os.path.join(top, "isolinux.cfg"), "w", encoding="utf-8") as f:
            f.write(config)
        for path, package, source in files:
            shutil.copyfile(shop.file(package, source) if package else real_mode_disk(shop), os.path.join(top, path))
        shop.call(["xorriso", "-as", "mkisofs", "-quiet", "-o", target, "-V", "GALLERY", "-b", "isolinux.bin", "-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4",
                   "-boot-info-table", "-isohybrid-mbr", shop.file("isolinux", "usr/lib/ISOLINUX/isohdpfx.bin"), top], "xorriso")


def empty(target, shop, gib):
    with open(target, "wb") as f:
        f.truncate(gib << 30)


def real_mode(target, shop):
    """src/hello.S: a disk of 1 MiB."""
    with tempfile.TemporaryDirectory() as top:
        compiled = os.path.join(top, "hello.o")
        shop.call(["gcc", "-m32", "-c", os.path.join(HERE, "src", "hello.S"), "-o", compiled], "gcc")
        shop.call(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-e", "start", compiled, "-o", target], "ld")


def real_mode_disk(shop):
    return shop.media("real-mode", real_mode)


def fat(target, shop, mib, *files):
    """A disk that is one FAT file system without a partition table, as UEFI takes it. files: (path on it, package, path there), or text there."""
    with open(target, "wb") as f:
        f.truncate(mib << 20)
    bootdisk.tool("mformat", "-i", target, "-v", "GALLERY", "::")
    made = set()
    with tempfile.TemporaryDirectory() as top:
        for path, package, source in files:
            parts = path.split("/")[:-1]
            for n in range(1, len(parts) + 1):
                folder = "/".join(parts[:n])
                if folder not in made:
                    made.add(folder)
                    bootdisk.tool("mmd", "-i", target, "::/" + folder)
            if package is None:
                at = os.path.join(top, "text")
                with open(at, "w", encoding="utf-8", newline="") as f:
                    f.write(source)
            else:
                at = shop.file(package, source)
            bootdisk.tool("mcopy", "-i", target, at, "::/" + path)


def esp(target, shop, mib, *files):
    """The same behind a GPT, as an EFI system partition."""
    with tempfile.TemporaryDirectory() as top:
        inner = os.path.join(top, "fat")
        fat(inner, shop, mib, *files)
        with open(target, "wb") as out:
            size = bootdisk.copy_holes(inner, out, bootdisk.ALIGN)
            out.truncate(bootdisk.ALIGN * 2 + size)
            bootdisk.write_gpt(out, [(bootdisk.ESP_TYPE, bootdisk.ALIGN, size)])


