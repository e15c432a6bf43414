# SPDX-License-Identifier: GPL-2.0-or-later
"""debian_disks.py - how the gallery's disks with Debian 12 are made: the installed system (debian_tree.py) behind GRUB for a BIOS and for UEFI
(tools/bootdisk.py), 32-bit kernels, the installer. A key in GRUB's menu says what of the installed system is booted.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

import debian_tree
import media

sys.path.insert(0, media.TOP + "/tools")
import bootdisk  # noqa: E402
import initramfs  # noqa: E402

# The same for both firmwares: kernels by kind, told by the names in /boot.
MENU = """insmod serial
insmod gzio
serial --unit=0 --speed=115200
terminal_output serial
terminal_input serial console
set timeout=-1
menuentry debian --hotkey=d {{
  linux {amd64} root=UUID={uuid} rw console=ttyS0
  initrd {amd64_initrd}
}}
menuentry rt --hotkey=r {{
  linux {rt} root=UUID={uuid} rw console=ttyS0
  initrd {rt_initrd}
}}
menuentry xen --hotkey=x {{
  insmod multiboot2
  multiboot2 {xen} placeholder com1=115200,8n1 console=com1 dom0_mem=512M loglvl=info
  module2 {amd64} placeholder root=UUID={uuid} rw console=hvc0
  module2 {amd64_initrd}
}}
echo @grub
"""


def menu(root):
    """GRUB's configuration for what is in a file system's /boot."""
    return MENU.format(uuid=debian_tree.UUID, amd64=first(root, r"vmlinuz-\d[^r]*-amd64"), amd64_initrd=first(root, r"initrd.img-\d[^r]*-amd64"),
                       rt=first(root, r"vmlinuz-.*-rt-amd64"), rt_initrd=first(root, r"initrd.img-.*-rt-amd64"), xen=first(root, r"xen-.*\.gz"))


def first(root, pattern):
    for name in bootdisk.names(root, "/boot"):
        if re.fullmatch(pattern, name):
            return "/boot/" + name
    raise ValueError(f"no {pattern} in /boot of the installed system")


def installed(target, shop, firmware):
    tree = shop.media("debian-root", debian_tree.root_file_system)
    root = target + ".root"
    try:
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", tree, root], check=True)
        bootdisk.put_files(root, {"boot/grub/grub.cfg": menu(root).encode()})
        (bootdisk.bios if firmware == "bios" else bootdisk.uefi)(target, root)
    finally:
        os.unlink(root)


# ---- 32-bit kernels ----

INIT = b"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /mnt
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
while read -r m; do /bin/busybox insmod "/modules/$m"; done </modules/order
for i in 1 2 3 4 5 6 7 8 9 10; do
	for d in /dev/vda1 /dev/sda1 /dev/nvme0n1p1; do
		[ -b $d ] && /bin/busybox mount -t ext4 -o ro $d /mnt && break 2
	done
	/bin/busybox sleep 1
done
echo "@on $d $(/bin/busybox cat /mnt/hello) $(/bin/busybox uname -rm)"
echo "@pae $(/bin/busybox grep -c ' pae ' /proc/cpuinfo) $(/bin/busybox sha256sum /mnt/boot/vmlinuz | /bin/busybox cut -c1-16)"
/bin/busybox poweroff -f
"""
MODULES = ("virtio_pci", "virtio_blk", "ahci", "ata_piix", "ata_generic", "nvme", "sd_mod", "ext4", "crc32c_generic")


def kernel_modules(top):
    """[files] of MODULES and what they need, in the order to load them in. top: an unpacked package; what needs what its modules say themselves."""
    by_name = {os.path.basename(p)[:-3].replace("-", "_"): p for p in glob.glob(os.path.join(top, "lib/modules/*/kernel/**/*.ko"), recursive=True)}
    order = []

    def add(name):
        path = by_name.get(name)
        if path is None or path in order:
            return
        with open(path, "rb") as f:
            needs = re.search(rb"\0depends=([^\0]*)\0", f.read())
        for other in needs.group(1).decode().split(",") if needs else ():
            add(other.replace("-", "_"))
        order.append(path)
    for name in MODULES:
        add(name)
    return order


def kernel_i386(target, shop, package):
    """A disk with GRUB, that kernel and a small initramfs of Debian's 32-bit busybox."""
    top = shop.package(package, "i386")
    kernel = glob.glob(os.path.join(top, "boot/vmlinuz-*"))[0]
    modules = kernel_modules(top)
    with tempfile.TemporaryDirectory() as work:
        initrd, root = os.path.join(work, "initrd"), os.path.join(work, "root")
        files = {"init": INIT, "bin/busybox": shop.file("busybox-static", "bin/busybox", "i386"),
                 "modules/order": "".join(os.path.basename(m) + "\n" for m in modules).encode()}
        initramfs.write_files(initrd, {**files, **{"modules/" + os.path.basename(m): m for m in modules}})
        config = bootdisk.config("console=ttyS0 quiet panic=-1", "/boot/vmlinuz", "/boot/initrd")
        bootdisk.file_system(root, {"boot/vmlinuz": kernel, "boot/initrd": initrd, "boot/grub/grub.cfg": config.encode(), "hello": b"hello"}, 64)
        bootdisk.bios(target, root)


# ---- the installer ----

def installer(target, shop, arch, menu):
    """Its kernel and initramfs, by GRUB from a CD-ROM, on the serial line. Without a menu GRUB asks what to boot."""
    package, top = f"debian-installer-12-netboot-{arch}", f"usr/lib/debian-installer/images/12/{arch}/text/debian-installer/{arch}"
    media.grub_iso(target, shop, "menuentry i {\n linux /linux console=ttyS0 vga=off ---\n initrd /initrd.gz\n}\n" if menu else "",
                   ("linux", package, top + "/linux"), ("initrd.gz", package, top + "/initrd.gz"))
