# SPDX-License-Identifier: GPL-2.0-or-later
"""debian_disks.py - how the gallery's disks with Debian 12 are made.

The installed system is made by mmdebstrap: Debian's kernel with initramfs-tools, so that it finds its disk by UUID wherever that is, the
kernel with PREEMPT_RT, and Xen. One file system, behind GRUB for a BIOS and for UEFI (tools/bootdisk.py). A key in GRUB's menu says what is booted.
"""
import glob
import os
import re
import sys
import tempfile

import media
import shop as shops

sys.path.insert(0, media.TOP + "/tools")
import bootdisk  # noqa: E402
import initramfs  # noqa: E402

UUID = "6d696361-0013-4000-8000-64656269616e"
PACKAGES = """linux-image-amd64 linux-image-rt-amd64 xen-hypervisor-4.17-amd64 xen-utils-4.17 xen-utils-common initramfs-tools zstd systemd-sysv udev kmod login passwd
    util-linux e2fsprogs mount dbus ifupdown iproute2 iputils-ping busybox procps pciutils""".split()
# What nothing in a virtual machine reads.
LEFT_OUT = ["/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*", "/lib/modules/*/kernel/drivers/gpu/*", "/lib/modules/*/kernel/drivers/media/*",
            "/lib/modules/*/kernel/sound/*", "/lib/modules/*/kernel/drivers/net/wireless/*", "/lib/modules/*/kernel/drivers/infiniband/*",
            "/lib/modules/*/kernel/drivers/staging/*"]
# initramfs-tools, before there is a kernel: drivers of all disks that a machine here can have, instead of all that there are.
INITRAMFS = r"""mkdir -p "$1/etc/initramfs-tools/conf.d"; printf 'COMPRESSLEVEL=1\nMODULES=list\n' >"$1/etc/initramfs-tools/conf.d/gallery"
printf '%s\n' virtio_pci virtio_blk ahci ata_piix ata_generic nvme sd_mod sr_mod ext4 crc32c_intel crc32c_generic >"$1/etc/initramfs-tools/modules"
"""
SETUP = f"""
echo gallery >/etc/hostname
echo 'UUID={UUID} / ext4 defaults 0 1' >/etc/fstab
echo 'root:mica' | chpasswd
rm -f /etc/systemd/system/getty.target.wants/getty@tty1.service
mkdir -p /boot/grub
# They look for LVM's snapshots, and for domains to start at boot.
ln -sf /dev/null /etc/systemd/system/e2scrub_reap.service
ln -sf /dev/null /etc/systemd/system/xendomains.service
"""
# The same for both firmwares. $k: kernels by kind, told by the names in /boot.
MENU = """insmod serial
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


def tree(shop, top):
    """The installed system, in the folder `top`."""
    argv = ["mmdebstrap", "--variant=minbase", "--architectures=amd64", "--format=directory", "--mode=root", "--include=" + ",".join(PACKAGES), "--skip=check/empty"]
    argv += ["--aptopt=" + o for o in shop.image.host_apt_options() + ['Acquire::Languages "none"', 'APT::Install-Recommends "false"']]
    argv += ["--dpkgopt=force-unsafe-io"] + ["--dpkgopt=path-exclude=" + p for p in LEFT_OUT]
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as script:
        script.write("set -e\n" + SETUP)
        script.flush()
        argv += ["--dpkgopt=force-confold", "--essential-hook=" + INITRAMFS, f"--customize-hook=upload {script.name} /setup.sh", '--customize-hook=chroot "$1" sh /setup.sh && rm "$1/setup.sh"']
        shop.call(shops.tree.privileged() + argv + [shop.image.RELEASE, top] + shop.image.host_sources(), "mmdebstrap", DEBIAN_FRONTEND="noninteractive")


def menu(top):
    """GRUB's configuration for what is in a tree's /boot."""
    found = {}
    for name in sorted(os.listdir(os.path.join(top, "boot"))):
        if name.startswith("vmlinuz-"):
            kind = "rt" if "-rt-" in name else "amd64"
            found[kind], found[kind + "_initrd"] = "/boot/" + name, "/boot/" + name.replace("vmlinuz", "initrd.img")
        elif re.fullmatch(r"xen-.*\.gz", name):
            found["xen"] = "/boot/" + name
    return MENU.format(uuid=UUID, **found)


def root_file_system(target, shop):
    top = os.path.join(shop.cache, ".tree")
    shops.tree.remove(top)
    try:
        tree(shop, top)
        with tempfile.TemporaryDirectory() as scratch:
            with open(os.path.join(scratch, "grub.cfg"), "w", encoding="utf-8") as f:
                f.write(menu(top))
            # GRUB's modules: what its core has not.
            shop.call(shops.tree.privileged() + ["sh", "-ec", 'cd "$0"; rm -rf dev/* proc/* sys/* run/* tmp/* var/cache/apt/*; cp "$1" boot/grub/grub.cfg; for p in i386-pc x86_64-efi; do '
                                                 'mkdir boot/grub/$p; cp /usr/lib/grub/$p/*.mod /usr/lib/grub/$p/*.lst boot/grub/$p; done', top, scratch + "/grub.cfg"], "finishing the tree")
        shop.call(shops.tree.privileged() + ["mke2fs", "-q", "-F", "-t", "ext4", "-U", UUID, "-m", "1", "-E", "lazy_itable_init=0,assume_storage_prezeroed=1", "-d", top, target, "3G"],
                  "mke2fs")
    finally:
        shops.tree.remove(top)


def installed(target, shop, firmware):
    root = shop.media("debian-root", root_file_system)
    (bootdisk.bios if firmware == "bios" else bootdisk.uefi)(target, root)


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
