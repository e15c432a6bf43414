# SPDX-License-Identifier: GPL-2.0-or-later
"""PC hardware for systems without virtio drivers, with the drivers of Debian's kernel for all hardware: one guest has
all of it. Without a package archive to fetch that kernel from, the tests are skipped."""
import hashlib
import os
import socket
import threading

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
for word in $(cat /proc/cmdline); do
	case $word in port=*|sink=*) export "$word" ;; esac
done
ifconfig lo up
printf '#!/bin/sh\n[ "$1" = bound ] && ifconfig $interface $ip netmask $subnet && route add default gw $router\n' >/tmp/dhcp
chmod +x /tmp/dhcp
for d in eth0 eth1; do
	driver=$(basename "$(readlink /sys/class/net/$d/device/driver)")
	ifconfig $d up
	udhcpc -i $d -n -q -t 10 -s /tmp/dhcp >/dev/null 2>&1 || echo "@no-lease $d"
	wget -q -O /tmp/got "http://10.0.2.2:$port/hello"
	echo "@got $driver $(md5sum </tmp/got | cut -d' ' -f1)"
	nc 10.0.2.2 "$sink" </tmp/got
	echo "@gave $driver"
	ifconfig $d down
done
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
    debian_kernel.modules_of(read, ["e1000", "e1000e"], tmp_path / "modules")
    (tmp_path / "init").write_text(INIT)
    initramfs.write(tmp_path / "initrd", tmp_path / "init", os.path.join(image, "busybox"), tmp_path / "modules")
    return ["--kernel", os.path.join(kept, "vmlinuz"), "--initrd", str(tmp_path / "initrd")]


@pytest.fixture
def sink():
    """Takes connections; what each sent, as its hash."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(patience.seconds(60))
        got = []

        def take():
            for _ in range(2):
                try:
                    with server.accept()[0] as c:
                        h = hashlib.md5()
                        while data := c.recv(1 << 16):
                            h.update(data)
                        got.append(h.hexdigest())
                except OSError:
                    return
        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield server.getsockname()[1], got, thread


def test_one_guest_with_all(run, web, kernel, sink):
    content = os.urandom(3 << 20)
    (web.root / "hello").write_bytes(content)
    port, got, thread = sink
    vm = run("--engine", ENGINE, "--memory", "512M", *kernel, "--append", f"console=ttyS0 quiet panic=-1 port={web.port} sink={port}",
             "--net", "user,model=e1000", "--net", "user,model=e1000e", "--no-reboot")
    drivers = []
    for _ in range(2):
        driver, digest = says(vm, "got", BOOT).split()
        assert digest == hashlib.md5(content).hexdigest()
        assert says(vm, "gave") == driver
        drivers.append(driver)
    assert sorted(drivers) == ["e1000", "e1000e"]
    says(vm, "end")
    ends(vm)
    thread.join(patience.seconds(10))
    assert got == [hashlib.md5(content).hexdigest()] * 2
    assert "@insmod-failed" not in vm.log and "@no-lease" not in vm.log
