# SPDX-License-Identifier: GPL-2.0-or-later
"""PC hardware for systems without virtio drivers, with the drivers of Debian's kernel for all hardware: one guest has
all of it. Without a package archive to fetch that kernel from, the tests are skipped."""
import hashlib
import os
import socket
import subprocess
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
while read -r m; do insmod "/modules/$m" $([ "$m" = i6300esb.ko ] && echo heartbeat=2) || echo "@insmod-failed $m"; done </modules/order
for word in $(cat /proc/cmdline); do
	case $word in port=*|sink=*) export "$word" ;; esac
done
clocks=/sys/devices/system/clocksource/clocksource0
echo hpet >$clocks/current_clocksource
sleep 0.2
echo "@clock $(cat $clocks/current_clocksource) $(grep -c HPET /proc/iomem)"
echo tsc >$clocks/current_clocksource
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
	[ $d = eth1 ] || ifconfig $d down
done
for w in /sys/class/watchdog/*; do echo "@watchdog $(cat "$w/identity")"; done
echo "@ready"
read -r line
echo "@forked $(dmesg | grep -c "virtual machine fork")"
wget -q -O /tmp/got "http://10.0.2.2:$port/hello"
echo "@got again $(md5sum </tmp/got | cut -d' ' -f1)"
echo "@end"
exec 3>/dev/watchdog
sleep 100
"""


@pytest.fixture
def kernel(image, tmp_path):
    kept = debian_kernel.fetch(image, tmp_path / "fetch")
    if not kept:
        pytest.skip("there is no package archive to fetch linux-image-amd64 from")

    def read(path):
        with open(os.path.join(kept, path), "rb") as f:
            return f.read()
    debian_kernel.modules_of(read, ["e1000", "e1000e", "i6300esb"], tmp_path / "modules")
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


def test_one_guest_with_all(mica, run, tmp_path, web, kernel, sink):
    content = os.urandom(3 << 20)
    (web.root / "hello").write_bytes(content)
    port, got, thread = sink
    vm = run("--engine", ENGINE, "--memory", "512M", *kernel, "--append", f"console=ttyS0 quiet panic=-1 port={web.port} sink={port}",
             "--net", "user,model=e1000", "--net", "user,model=e1000e",
             "--device", "hpet", "--device", "vmgenid",
             "--device", "i6300esb,action=poweroff", "--no-reboot", "--control", f"{tmp_path}/ctl")
    assert says(vm, "clock", BOOT) == "hpet 1"
    drivers = []
    for _ in range(2):
        driver, digest = says(vm, "got", BOOT).split()
        assert digest == hashlib.md5(content).hexdigest()
        assert says(vm, "gave") == driver
        drivers.append(driver)
    assert sorted(drivers) == ["e1000", "e1000e"]
    assert says(vm, "watchdog") == "i6300ESB timer"
    says(vm, "ready")

    # It goes on from a file: a network card as it was left, at a network that is new.
    subprocess.run([mica, "save", "--control", tmp_path / "ctl", "--output", tmp_path / "state", "--quit"], check=True)
    ends(vm)
    first = vm.log
    vm = run("--restore", f"{tmp_path}/state,trust=on")
    vm.send("\n")
    assert says(vm, "forked") == "1"
    assert says(vm, "got") == f"again {hashlib.md5(content).hexdigest()}"
    says(vm, "end")
    ends(vm)
    thread.join(patience.seconds(10))
    assert got == [hashlib.md5(content).hexdigest()] * 2
    assert "@insmod-failed" not in first and "@no-lease" not in first
