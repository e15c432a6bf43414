# SPDX-License-Identifier: GPL-2.0-or-later
"""The board without PCI, with Debian's kernel for all hardware: disks, a CD-ROM, a network card, both serial ports; saved, and
gone on. Without a package archive to fetch that kernel from, the test is skipped."""
import hashlib
import os
import socket
import subprocess

import debian_kernel
import pytest
from conftest import BOOT, ENGINE, initramfs, patience
from test_tiny import ends, says

INIT = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /bin
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
stty -echo </dev/console
while read -r m; do insmod "/modules/$m" || echo "@insmod-failed $m"; done </modules/order
echo "@pci $(ls /sys/bus/pci/devices | wc -l)"
look() {
	echo "@disk $(md5sum </dev/vda | cut -d' ' -f1)"
	echo "@scsi $(md5sum </dev/sda | cut -d' ' -f1) $(md5sum </dev/sr0 | cut -d' ' -f1)"
	ifconfig eth0 up
	printf '#!/bin/sh\n[ "$1" = bound ] && echo "@lease $ip"\n' >/tmp/dhcp
	chmod +x /tmp/dhcp
	udhcpc -i eth0 -n -q -t 10 -s /tmp/dhcp 2>/dev/null
}
look
stty -F /dev/ttyS1 raw -echo
echo "@ready"
read -r line </dev/ttyS1
echo "$line back" >/dev/ttyS1
sync
echo 3 >/proc/sys/vm/drop_caches
look
echo "@end"
poweroff -f
"""


@pytest.fixture
def kernel(image, tmp_path):
    kept = debian_kernel.fetch(image, tmp_path / "fetch")
    if not kept:
        pytest.skip("there is no package archive to fetch linux-image-amd64 from")

    def read(path):
        with open(os.path.join(kept, path), "rb") as f:
            return f.read()
    debian_kernel.modules_of(read, ["virtio_mmio", "virtio_blk", "virtio_net", "virtio_scsi", "sd_mod", "sr_mod"], tmp_path / "modules")
    (tmp_path / "init").write_text(INIT)
    initramfs.write(tmp_path / "initrd", tmp_path / "init", os.path.join(image, "busybox"), tmp_path / "modules")
    return ["--kernel", os.path.join(kept, "vmlinuz"), "--initrd", str(tmp_path / "initrd"), "--append", "console=ttyS0 quiet panic=-1"]


def test_micro(mica, run, tmp_path, kernel):
    content = os.urandom(2 << 20)
    (tmp_path / "disk").write_bytes(content)
    (tmp_path / "scsi").write_bytes(content[::-1])
    both = f"{hashlib.md5(content[::-1]).hexdigest()} {hashlib.md5(content).hexdigest()}"
    port = str(tmp_path / "ttyS1")
    vm = run("--engine", ENGINE, "--machine", "micro", *kernel, "--memory", "256M", "--disk", f"{tmp_path}/disk,readonly=on", "--net", "user",
             "--disk", f"{tmp_path}/scsi,bus=scsi", "--cdrom", f"{tmp_path}/disk,bus=scsi", "--serial2", f"unix:{port}", "--control", f"{tmp_path}/ctl")
    assert says(vm, "pci", BOOT) == "0"
    assert says(vm, "disk") == hashlib.md5(content).hexdigest()
    assert says(vm, "scsi") == both
    assert says(vm, "lease") == "10.0.2.15"
    says(vm, "ready")
    subprocess.run([mica, "save", "--control", tmp_path / "ctl", "--output", tmp_path / "state", "--quit"], check=True)
    ends(vm)
    first = vm.log
    port += ".new"
    vm = run("--restore", f"{tmp_path}/state,trust=on", "--serial2", f"unix:{port}", "--control", f"{tmp_path}/ctl2")
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(patience.seconds(60))
        while True:
            try:
                s.connect(port)
                break
            except OSError:
                assert vm.process.poll() is None, vm.tail()
        s.sendall(b"there and\n")
        got = b""
        while not got.endswith(b"back\n"):
            got += s.recv(100)
        assert got == b"there and back\n"
    assert says(vm, "disk") == hashlib.md5(content).hexdigest()
    assert says(vm, "scsi") == both
    assert says(vm, "lease") == "10.0.2.15"
    says(vm, "end")
    ends(vm)
    assert "@insmod-failed" not in first
