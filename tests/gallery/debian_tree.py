# SPDX-License-Identifier: GPL-2.0-or-later
"""debian_tree.py - the gallery's installed Debian 12: one file system, made by mmdebstrap. It takes minutes, so nothing else is in here: what else
its disks have (debian_disks.py) is put into a copy.

Debian's kernel with initramfs-tools, so that it finds its disk by UUID wherever that is, the kernel with PREEMPT_RT, and Xen.
"""
import os
import tempfile

import shop as shops

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
# On a busy host udev may take longer than systemd waits for the serial port.
mkdir -p /etc/systemd/system.conf.d
printf '[Manager]\\nDefaultTimeoutStartSec=20min\\nDefaultDeviceTimeoutSec=20min\\n' >/etc/systemd/system.conf.d/gallery.conf
# They look for LVM's snapshots, and for domains to start at boot.
ln -sf /dev/null /etc/systemd/system/e2scrub_reap.service
ln -sf /dev/null /etc/systemd/system/xendomains.service
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


def root_file_system(target, shop):
    top = os.path.join(shop.cache, ".tree")
    shops.tree.remove(top)
    try:
        tree(shop, top)
        # GRUB's modules: what its core has not.
        shop.call(shops.tree.privileged() + ["sh", "-ec", 'cd "$0"; rm -rf dev/* proc/* sys/* run/* tmp/* var/cache/apt/*; for p in i386-pc x86_64-efi; do '
                                             'mkdir boot/grub/$p; cp /usr/lib/grub/$p/*.mod /usr/lib/grub/$p/*.lst boot/grub/$p; done', top], "finishing the tree")
        shop.call(shops.tree.privileged() + ["mke2fs", "-q", "-F", "-t", "ext4", "-U", UUID, "-m", "1", "-E", "lazy_itable_init=0,assume_storage_prezeroed=1", "-d", top, target, "3G"],
                  "mke2fs")
    finally:
        shops.tree.remove(top)
