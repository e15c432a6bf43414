# SPDX-License-Identifier: GPL-2.0-or-later
"""debian.py - the gallery's rows of Debian 12: installed systems, 32-bit and real-time kernels, Xen, and the installer."""
import media
from debian_disks import installed, installer, kernel_i386

LOGIN = [("serial", "login: "), ("send", "root\n"), ("serial", "Password: "), ("send", "mica\n"), ("serial", r"root@gallery:~# ")]
SOURCE = {"virtio": "/dev/vda", "ahci": "/dev/sda", "nvme": "/dev/nvme0n1p", "ide": "/dev/sda"}


def says(command, answer):
    return [("send", command + "; echo @''end\n"), ("serial", answer + r"[\s\S]*@end")]


def rows(Row, Drive):
    found = []
    for firmware in ("bios", "uefi"):
        for bus in ("virtio", "ahci", "nvme", "ide"):
            found.append(Row(f"debian-{firmware}-{bus}", "Debian 12 amd64, GRUB, to a shell", "linux-image-amd64", firmware, [Drive(bus, "debian-" + firmware, installed, (firmware,))],
                             [("serial", "@grub"), ("send", "d"), *LOGIN, *says("findmnt -no SOURCE,FSTYPE /; uname -r; systemctl --failed --no-legend", SOURCE[bus] + r"\d ext4\s+\S+-amd64")],
                             memory=512, seconds=900))
    found.append(Row("debian-rt", "Debian 12 with the PREEMPT_RT kernel", "linux-image-rt-amd64", "bios", [Drive("virtio", "debian-bios", installed, ("bios",))],
                     [("serial", "@grub"), ("send", "r"), *LOGIN, *says("uname -v", "PREEMPT_RT")], memory=512, cpus=2, seconds=900))
    found.append(Row("xen-dom0", "Xen 4.17 with Debian 12 as dom0", "xen-hypervisor-4.17-amd64", "bios", [Drive("virtio", "debian-bios", installed, ("bios",))],
                     [("serial", "@grub"), ("send", "x"), ("serial", r"Xen version 4\.17"), *LOGIN, *says("xl info | grep -e xen_version -e nr_cpus", r"4\.17")], memory=1024, seconds=3600))
    domu = ("cat >d.cfg <<E\nname='d'\ntype='pv'\nkernel='$(ls /boot/vmlinuz-*[0-9]-amd64)'\nramdisk='$(ls /boot/initrd.img-*[0-9]-amd64)'\nmemory=256\nextra='console=hvc0 break=top'\nE\n"
            "xl create -c d.cfg\n")
    found.append(Row("xen-domu", "the same with a paravirtual Debian kernel as domU, to its initramfs", "xen-hypervisor-4.17-amd64", "bios",
                     [Drive("virtio", "debian-bios", installed, ("bios",))],
                     [("serial", "@grub"), ("send", "x"), ("serial", r"Xen version 4\.17"), *LOGIN, ("send", domu), ("serial", r"Booting paravirtualized kernel on Xen|Xen version: 4"),
                      ("serial", r"\(initramfs\)")], memory=1536, seconds=5400))
    for name, package in (("686-pae", "linux-image-686-pae..."), ("686", "linux-image-686...")):
        for bus in ("virtio", "ahci", "nvme", "ide"):
            found.append(Row(f"linux-{name}-{bus}", f"Debian 12 i386's {name} kernel", package.rstrip("."), "bios", [Drive(bus, "linux-" + name, kernel_i386, (package,))],
                             [("serial", "@grub"), ("serial", rf"@on {SOURCE[bus]}1 hello \S+-{name} i686"), ("serial", r"@pae \d [0-9a-f]{16}")],
                             short=(name, bus) == ("686-pae", "ahci")))
    for arch in ("amd64", "i386"):
        for firmware in ("bios", "uefi") if arch == "amd64" else ("bios",):
            found.append(Row(f"installer-{arch}-{firmware}", f"Debian 12's installer, {arch}, to its first screen", f"debian-installer-12-netboot-{arch}", firmware,
                             [Drive("ahci", f"installer-{arch}.iso", installer, (arch, True), True)], [("serial", "@grub"), ("serial", "Select a language"), ("serial", "English")],
                             memory=1024, seconds=900))
    for firmware in ("bios", "uefi"):
        boot = "linux /linux console=ttyS0 auto=true priority=critical url=http://10.0.2.2:@PORT@/preseed.cfg DEBIAN_FRONTEND=text\r"
        found.append(Row(f"install-{firmware}", "Debian 12 installed over the network by its installer, which asks nothing, and booted", "debian-installer-12-netboot-amd64", firmware,
                         [Drive("virtio", "empty-4", media.empty, (4,)), Drive("ahci", "installer-amd64-ask.iso", installer, ("amd64", False), True)],
                         [("serial", "@grub"), ("serial", "grub> "), ("send", boot), ("serial", "grub> "), ("send", "initrd /initrd.gz\r"), ("serial", "grub> "), ("send", "boot\r"),
                          ("serial", "Linux version"), ("again",), ("serial", "installed login: ")], memory=1024, net=True, writes=True, serve=True, seconds=7200))
    return found
