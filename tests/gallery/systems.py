# SPDX-License-Identifier: GPL-2.0-or-later
"""systems.py - the systems of the gallery, a few lines each: what boots, by which firmware, from what, what is typed, and what has to be seen.

A step is one of
    ("screen", REGEX)             a text mode shows that; ("serial", REGEX): it came over the serial line
    ("picture", (x, y, w, h), HASH)   a region of the picture looks so; `gallery --look NAME` tells the hash of what QEMU shows there
    ("keys", NAME...)             keys pressed, as of `mica sendkey`; ("type", TEXT), ("send", TEXT): typed at the keyboard, at the serial line (@PORT@: the mirror's)
    ("again",)                    the system powers off; the machine is started again without its CD-ROMs
The last one is the checked point: seconds are counted to it.
"""
from dataclasses import dataclass, field

import debian
import media

SHELL = "Shell> $|Shell>.{0,20}$"


@dataclass
class Drive:
    bus: str
    name: str  # of the medium in the shop
    make: object
    args: tuple = ()
    cdrom: bool = False
    path: str = ""


@dataclass
class Row:
    name: str
    system: str
    source: str  # Debian packages
    firmware: str
    drives: list
    steps: list
    memory: int = 256
    cpus: int = 1
    display: bool = False
    net: bool = False
    devices: list = field(default_factory=list)
    firmware_file: str = ""  # in place of one of the two
    firmware_from: tuple = ()  # (package, path) of that
    old_cpu: bool = False  # QEMU: without what is newer than x86-64
    writes: bool = False  # to a copy of the disks that is made for each run
    seconds: int = 300  # more than enough on a quiet machine
    short: bool = False  # also in make test
    serve: bool = False  # Debian's archive and answers for its installer, by the host (mirror.py)

    def devices_text(self):
        kinds = [f"{'CD-ROM' if d.cdrom else 'disk'} {d.bus}" for d in self.drives]
        return ", ".join(kinds + ["VGA"] * self.display + ["virtio-net"] * self.net + self.devices + [f"{self.cpus} CPUs"] * (self.cpus > 1))


def cd(bus, name, make, *args):
    return Drive(bus, name, make, args, True)


def disk(bus, name, make, *args):
    return Drive(bus, name, make, args)


def package_file(bus, package, path, cdrom=True):
    return Drive(bus, path.rpartition("/")[2], media.copy, (package, path), cdrom)


MEMTEST = "memtest86+"
MEMTEST_SEEN = r"Memtest86\+ (v6.10|64-bit)[\s\S]*Pass +\d+%|Memtest86\+[\s\S]*Test #\d"
MACH = "gnumach-image-1.8-486"
INVADERS = ("boot/invaders.exec", "grub-invaders", "boot/invaders.exec")

ROWS = [
    # ---- memory tests and network boot loaders ----
    Row("memtest-bios", "memtest86+ 6.10 from its CD-ROM", MEMTEST, "bios", [package_file("ide", MEMTEST, "usr/lib/memtest86+/memtest86+x64.iso")],
        [("screen", MEMTEST_SEEN)], display=True, memory=64, short=True),
    Row("memtest-bios-ia32", "memtest86+, 32-bit, by GRUB", MEMTEST, "bios",
        [cd("ahci", "memtest-ia32.iso", media.grub_iso, "menuentry m {\n linux16 /boot/memtest.bin\n}\n", ("boot/memtest.bin", MEMTEST, "boot/memtest86+ia32.bin"))],
        [("screen", MEMTEST_SEEN)], display=True, memory=64),
    Row("memtest-uefi", "memtest86+ from its CD-ROM", MEMTEST, "uefi", [package_file("ahci", MEMTEST, "usr/lib/memtest86+/memtest86+x64.iso")],
        [("picture", (0, 424, 420, 16), "05ecc2da08bce00d")], display=True),
    Row("memtest-uefi-serial", "memtest86+ by GRUB, on the serial line", MEMTEST, "uefi",
        [cd("ahci", "memtest-efi.iso", media.grub_iso, "menuentry m {\n linux /boot/memtest.efi console=ttyS0,115200\n}\n", ("boot/memtest.efi", MEMTEST, "boot/memtest86+x64.efi"))],
        [("serial", r"Memtest86\+"), ("serial", r"Pass")]),
    Row("ipxe-bios", "iPXE from its CD-ROM, to its shell", "ipxe", "bios", [package_file("ide", "ipxe", "usr/lib/ipxe/ipxe.iso")],
        [("screen", "Press Ctrl-B"), ("keys", "ctrl-b"), ("screen", "iPXE>"), ("type", "show version\n"), ("screen", r"version:string = 1\.0\.0"), ("type", "ifstat\n"),
         ("screen", "net0: [0-9a-f]{2}:")], display=True, net=True, short=True),
    Row("ipxe-uefi", "iPXE from its CD-ROM, DHCP", "ipxe", "uefi", [package_file("ahci", "ipxe", "usr/lib/ipxe/ipxe.iso")],
        [("serial", r"iPXE initialising devices"), ("serial", r"net0: [0-9a-f]{2}:"), ("serial", r"Configuring \(net0[^\r\n]*ok")], net=True),
    # ---- boot loaders ----
    Row("grub-bios", "GRUB rescue CD-ROM", "grub-pc-bin", "bios", [cd("ide", "grub.iso", media.grub_iso, "lsmmap\necho @end\n")],
        [("serial", "@grub"), ("serial", "available RAM"), ("serial", "@end"), ("serial", "grub> "), ("send", "ls\r"), ("serial", r"\(cd0?[,)]"), ("serial", "grub> ")], short=True),
    Row("grub-uefi", "GRUB rescue CD-ROM", "grub-efi-amd64-bin", "uefi", [cd("ahci", "grub.iso", media.grub_iso, "lsmmap\necho @end\n")],
        [("serial", "@grub"), ("serial", "available RAM"), ("serial", "@end"), ("serial", "grub> "), ("send", "ls\r"), ("serial", r"\(cd0?[,)]"), ("serial", "grub> ")], short=True),
    Row("invaders", "GRUB Invaders (Multiboot)", "grub-invaders", "bios",
        [cd("ahci", "invaders.iso", media.grub_iso, "set timeout=0\nmenuentry i {\n multiboot /boot/invaders.exec\n}\n", INVADERS)],
        [("screen", r"-\*- .*-\*-[\s\S]*/ \\"), ("keys", "space"), ("screen", r"\|[\s\S]*/ \\|GAME OVER")], display=True, memory=64, short=True),
    Row("isolinux", "ISOLINUX, its menu, and MEMDISK with a disk image", "isolinux, syslinux-common", "bios",
        [cd("ide", "isolinux.iso", media.isolinux, "UI menu.c32\nMENU TITLE gallery\nTIMEOUT 0\nLABEL a\n MENU LABEL first\n LOCALBOOT -1\nLABEL b\n MENU LABEL memdisk\n"
            " KERNEL memdisk\n INITRD disk.img\n APPEND harddisk c=2 h=16 s=63\n", ("memdisk", "syslinux-common", "usr/lib/syslinux/memdisk"), ("disk.img", None, ""))],
        [("screen", "gallery"), ("keys", "down", "enter"), ("screen", "MEMDISK"), ("screen", r"@ticks ok"), ("keys", "x", "enter"), ("screen", "@end")], display=True, memory=64, short=True),
    Row("isolinux-disk", "ISOLINUX from a hybrid image as a disk", "isolinux, syslinux-common", "bios",
        [disk("virtio", "hybrid.iso", media.isolinux, "PROMPT 1\nSAY @isolinux\nDEFAULT a\nTIMEOUT 0\nLABEL a\n LOCALBOOT -1\n")],
        [("screen", "@isolinux"), ("screen", "boot:")], display=True, memory=64),
    Row("u-boot", "U-Boot as firmware", "u-boot-qemu", "U-Boot", [], [("serial", r"U-Boot 20\d\d"), ("serial", r"Hit any key"), ("send", "\r"), ("serial", "=> ")], memory=512,
        firmware_from=("u-boot-qemu", "usr/lib/u-boot/qemu-x86/u-boot.rom")),
    Row("uefi-shell", "TianoCore's shell", "ovmf", "uefi", [disk("virtio", "shell.img", media.fat, 8, ("startup.nsh", None, "@echo -off\r\necho @nsh\r\nmap\r\nver\r\necho @end\r\n"))],
        [("serial", "UEFI Interactive Shell"), ("serial", "@nsh"), ("serial", r"FS0:"), ("serial", "@end")], short=True),
    # ---- kernels that are no Linux ----
    Row("gnumach", "GNU Mach 1.8 (Multiboot), as far as it comes without the Hurd", "gnumach-image-1.8-486", "bios",
        [cd("ide", "gnumach.iso", media.grub_iso, "menuentry g {\n multiboot /boot/gnumach.gz\n}\n", ("boot/gnumach.gz", MACH, "boot/gnumach-1.8-486.gz", "i386"))],
        [("screen", "GNU Mach 1.8"), ("screen", "No bootstrap code")], display=True),
    Row("gnumach-amd64", "the same, 64-bit", "gnumach-image-1.8-486", "bios",
        [cd("ide", "gnumach64.iso", media.grub_iso, "menuentry g {\n multiboot /boot/gnumach.gz\n}\n", ("boot/gnumach.gz", MACH, "boot/gnumach-1.8-486.gz"))],
        [("screen", "GNU Mach 1.8"), ("screen", "No bootstrap code")], display=True),
    # ---- real mode ----
    Row("real-mode-ide", "a real-mode program that works by the BIOS (disk, screen, keyboard, timer)", "own", "bios", [disk("ide", "real-mode", media.real_mode)],
        [("screen", r"@disk (\d+) \1\n@memory \d+ \d+\n@ticks ok"), ("keys", "a", "shift-b", "enter"), ("screen", r"@mode 13 33536"), ("screen", "@end")], display=True,
        memory=64, short=True),
]
for bus in ("virtio", "ahci", "nvme"):
    ROWS.append(Row(f"real-mode-{bus}", "the same", "own", "bios", [disk(bus, "real-mode", media.real_mode)],
                    [("screen", r"@disk (\d+) \1\n@memory \d+ \d+\n@ticks ok"), ("keys", "a", "shift-b", "enter"), ("screen", r"@mode 13 33536"), ("screen", "@end")],
                    display=True, memory=64))
ROWS += debian.rows(Row, Drive)
