# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks and CD-ROMs for systems without virtio drivers, with Debian's own: read, written, trimmed, flushed; a medium
that is changed while the guest runs.

The image's kernel has drivers for IDE and NVMe. The one for AHCI is in Debian's kernel for all hardware, which is
fetched once and kept beside the image; without a package archive that test is skipped."""
import hashlib
import os
import re
import shutil
import subprocess
import time

import debian_kernel
import pytest
from conftest import BOOT, ENGINE, initramfs
from test_tiny import ends, says

PATH = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
NEED = "sd_mod sr_mod crc32c_intel".split()
INIT = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /bin /mnt
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
stty -echo </dev/console
while read -r m; do insmod "/modules/$m" || echo "@insmod-failed $m"; done </modules/order
for word in $(cat /proc/cmdline); do
	case $word in disks=*|cd=*) export "$word" ;; esac
done
for d in $(echo "$disks" | tr , ' ') "$cd"; do
	n=0
	while [ ! -b "/dev/$d" ] && [ "$n" -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
done
for d in $(echo "$disks" | tr , ' '); do
	sectors=$(cat "/sys/block/$d/size")
	echo "@sum $sectors $(md5sum <"/dev/$d" | cut -d' ' -f1)"
	dd if=/dev/zero bs=1M count=1 2>/dev/null | tr '\0' 'M' | dd of="/dev/$d" bs=64k seek=16 conv=fsync,notrunc 2>/dev/null
	blkdiscard -o 2097152 -l 1048576 "/dev/$d" || echo "@no-trim $d"
	i=0
	while [ "$i" -lt 4 ]; do dd if="/dev/$d" of=/dev/null bs=4k count=200 skip=$((i * 200)) iflag=direct 2>/dev/null & i=$((i + 1)); done
	wait
	echo 3 >/proc/sys/vm/drop_caches
	echo "@now $sectors $(md5sum <"/dev/$d" | cut -d' ' -f1)"
done
look() { mount -t ext4 -o ro "/dev/$cd" /mnt && cat /mnt/name && echo "@medium $(cat /mnt/name)"; }
look
read -r line
umount /mnt
echo "@free"
read -r line
look || look
echo "@end"
poweroff -f
"""


@pytest.fixture
def cloud(image, tmp_path):
    """Kernel and modules of the image."""
    with open(os.path.join(image, "info"), encoding="utf-8") as f:
        version = re.search(r"^kernel=(\S+)", f.read(), re.M).group(1)

    def read(path):
        return subprocess.run(["debugfs", "-R", f"cat /lib/modules/{version}/{path}", os.path.join(image, "disk.raw")],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=PATH, check=True).stdout
    debian_kernel.modules_of(read, NEED + ["ata_piix", "nvme"], tmp_path / "modules")
    return os.path.join(image, "vmlinuz"), tmp_path / "modules"


@pytest.fixture
def generic(image, tmp_path):
    """Those of Debian's kernel for all hardware."""
    kept = debian_kernel.fetch(image, tmp_path / "fetch")
    if not kept:
        pytest.skip("there is no package archive to fetch linux-image-amd64 from")

    def read(path):
        with open(os.path.join(kept, path), "rb") as f:
            return f.read()
    debian_kernel.modules_of(read, NEED + ["ahci", "ext4", "crc32c_generic", "libcrc32c"], tmp_path / "modules")
    return os.path.join(kept, "vmlinuz"), tmp_path / "modules"


def medium(path, name):
    """A file system with one file. Real discs have another, but to a drive all are blocks of 2048 bytes."""
    tree = path.with_suffix(".d")
    tree.mkdir()
    (tree / "name").write_text(name + "\n")
    path.write_bytes(bytes(2 << 20))
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", "^has_journal", "-d", tree, path], env=PATH, check=True)
    return path


@pytest.mark.parametrize("kernel,buses,cd,disks", [("cloud", ["ide", "nvme"], "ide", "sda,nvme0n1"), ("generic", ["ahci", "ahci"], "ahci", "sda,sdb")])
def test_disks_and_a_medium(request, mica, run, image, tmp_path, kernel, buses, cd, disks):
    vmlinuz, modules = request.getfixturevalue(kernel)
    (tmp_path / "init").write_text(INIT)
    initramfs.write(tmp_path / "initrd", tmp_path / "init", os.path.join(image, "busybox"), modules)
    before = [os.urandom((4 + i) << 20) for i in range(len(buses))]  # told apart by size: Linux finds disks in any order
    options = []
    for i, bus in enumerate(buses):
        (tmp_path / f"disk{i}").write_bytes(before[i])
        options += ["--disk", f"{tmp_path}/disk{i},bus={bus}"]
    control = str(tmp_path / "control")
    vm = run("--engine", ENGINE, "--memory", "512M", "--cpus", "2", "--kernel", vmlinuz, "--initrd", str(tmp_path / "initrd"), "--append",
             f"console=ttyS0 quiet panic=-1 disks={disks} cd=sr0", *options, "--cdrom", f"{medium(tmp_path / 'one.img', 'first')},bus={cd}",
             "--control", control, "--no-reboot")
    after = [d[:1 << 20] + b"M" * (1 << 20) + bytes(1 << 20) + d[3 << 20:] for d in before]
    left = {f"{len(was) // 512} {hashlib.md5(was).hexdigest()}": f"{len(now) // 512} {hashlib.md5(now).hexdigest()}" for was, now in zip(before, after)}
    while left:
        was = says(vm, "sum", BOOT)
        assert was in left
        assert says(vm, "now") == left.pop(was)
    assert says(vm, "medium") == "first"

    def change(*args):
        return subprocess.run([mica, *args[:1], "--control", control, *args[1:]], stderr=subprocess.PIPE, text=True, check=False)
    refused = change("eject")  # it is mounted, so the guest has locked it
    assert refused.returncode == 1 and "locked the medium of 'cdrom0'" in refused.stderr
    vm.send("\n")
    says(vm, "free")
    assert change("insert", medium(tmp_path / "two.img", "second")).returncode == 0
    vm.send("\n")
    assert says(vm, "medium") == "second"
    says(vm, "end")
    ends(vm)
    assert "@insmod-failed" not in vm.log and "@no-trim" not in vm.log
    for i, now in enumerate(after):
        assert (tmp_path / f"disk{i}").read_bytes() == now


@pytest.mark.skipif(not shutil.which("qemu-storage-daemon"), reason="there is no qemu-storage-daemon")
def test_disk_of_a_vhost_user_back_end(run, tiny, tmp_path):
    """Read and written by another process; the guest has another disk beside it."""
    first, second = os.urandom(1 << 20), os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(first)
    (tmp_path / "b").write_bytes(second)
    with subprocess.Popen(["qemu-storage-daemon", "--blockdev", f"driver=file,node-name=f,filename={tmp_path}/b", "--export",
                           f"vhost-user-blk,id=e,node-name=f,addr.type=unix,addr.path={tmp_path}/s,writable=on,num-queues=2"]) as daemon:
        try:
            for _ in range(500):
                if (tmp_path / "s").exists():
                    break
                time.sleep(0.02)
            vm = run(*tiny("disks=1", "256M", 2), "--disk", f"{tmp_path}/a,readonly=on", "--disk", f"vhost-user={tmp_path}/s", "--no-reboot")
            for name, data in (("vda", first), ("vdb", second)):
                assert says(vm, "sum") == f"{name} {len(data)} {hashlib.md5(data).hexdigest()}"
            assert says(vm, "wrote") == "yes"
            says(vm, "done")
            ends(vm)
        finally:
            daemon.terminate()
    assert (tmp_path / "b").read_bytes() == second[:1 << 20] + b"M" * (1 << 20) + second[2 << 20:]
