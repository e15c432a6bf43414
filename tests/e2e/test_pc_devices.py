# SPDX-License-Identifier: GPL-2.0-or-later
"""PC hardware for systems without virtio drivers, with the drivers of Debian's kernel for all hardware: one guest has
all of it. Without a package archive to fetch that kernel from, the tests are skipped."""
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time

import debian_kernel
import pytest
from conftest import BOOT, ENGINE, TOP, initramfs, patience
from test_tiny import ends, says

sys.path.insert(0, os.path.join(TOP, "tests", "machine"))
import rfb  # noqa: E402

INIT = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /bin
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
stty -echo </dev/console
while read -r m; do [ "$m" = virtio_input.ko ] || insmod "/modules/$m" $([ "$m" = i6300esb.ko ] && echo heartbeat=2) || echo "@insmod-failed $m"; done </modules/order
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
told() { # NAME WORD: what happens at the input device of that name
	for e in /sys/class/input/event*; do
		[ "$(cat $e/device/name)" = "$1" ] || continue
		exec 3</dev/input/${e##*/}
		(while dd bs=24 count=1 <&3 2>/dev/null | tail -c 8 | hexdump -v -e '"@'$2' " 1/2 "%u" " " 1/2 "%u" " " 1/4 "%d" "\n"'; do :; done) &
		exec 3<&-
		return
	done
	echo "@missing $1"
}
for i in $(seq 50); do grep -q "USB tablet" /proc/bus/input/devices && break; sleep 0.1; done
told "Mica USB keyboard" usb-key
told "Mica USB tablet" usb-tablet
tpm=/sys/class/tpm/tpm0
# TPM2_PCR_Extend of PCR 16 with the SHA-256 digest of nothing in particular
printf '\x80\x02\0\0\0\x41\0\0\x01\x82\0\0\0\x10\0\0\0\x09\x40\0\0\x09\0\0\0\0\0\0\0\0\x01\0\x0b0123456789abcdef0123456789abcdef' >/tmp/extend
(cat /tmp/extend >&3; dd bs=4096 count=1 <&3 2>/dev/null >/tmp/extended) 3<>/dev/tpm0
echo "@tpm $(cat $tpm/tpm_version_major) $(cat $tpm/pcr-sha256/16)"
for w in /sys/class/watchdog/*; do echo "@watchdog $(cat "$w/identity")"; done
echo "@ready"
read -r line
insmod /modules/virtio_input.ko
sleep 0.5
told "Mica virtio keyboard" virtio-key
told "Mica virtio tablet" virtio-tablet
echo "@virtio"
read -r line
echo "@tpm $(cat $tpm/tpm_version_major) $(cat $tpm/pcr-sha256/16)"
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
    debian_kernel.modules_of(read, ["e1000", "e1000e", "i6300esb", "xhci_pci", "usbhid", "hid_generic", "evdev", "tpm_tis",
                                     "virtio_pci", "virtio_input"], tmp_path / "modules")
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


def extended():
    """PCR 16 of SHA-256 after what INIT extends it with."""
    return "2 " + hashlib.sha256(bytes(32) + b"0123456789abcdef" * 2).hexdigest().upper()


def type_and_point(mica, vm, control, vnc, keyboard, tablet):
    """What is typed and where the client points, arrives there."""
    subprocess.run([mica, "sendkey", "--control", control, "b"], check=True)
    while says(vm, keyboard) != "1 48 1":  # Linux tells of scan codes, too
        pass
    client = rfb.Client(vnc)
    client.ask()
    while not client.update() or client.width != 720:  # the first ones are of no picture; that is text mode's width
        client.ask()
    client.look_away()
    client.pointer(client.width - 1, client.height // 2)
    while not (x := says(vm, tablet)).startswith("3 0 "):
        pass
    assert x == "3 0 32767"
    assert abs(int(says(vm, tablet).split()[2]) - 16384) < 100
    client.pointer(client.width - 1, client.height // 2, 1)
    while says(vm, tablet) != "1 272 1":
        pass
    client.pointer(0, client.height // 2)
    while says(vm, tablet) != "3 0 0":
        pass
    client.close()


def test_one_guest_with_all(mica, run, tmp_path, web, kernel, sink, control_of):
    content = os.urandom(3 << 20)
    (web.root / "hello").write_bytes(content)
    port, got, thread = sink
    vm = run("--engine", ENGINE, "--memory", "512M", *kernel, "--append", f"console=ttyS0 quiet panic=-1 port={web.port} sink={port}",
             "--net", "user,model=e1000", "--net", "user,model=e1000e",
             "--device", "hpet", "--device", "vmgenid", "--tpm", f"{tmp_path}/tpm", "--display", f"vnc=unix:{tmp_path}/vnc",
             "--device", "virtio-keyboard", "--device", "virtio-tablet", "--device", "xhci",
             "--device", "i6300esb,action=pause", "--no-reboot", "--control", f"{tmp_path}/ctl")
    assert says(vm, "clock", BOOT) == "hpet 1"
    drivers = []
    for _ in range(2):
        driver, digest = says(vm, "got", BOOT).split()
        assert digest == hashlib.md5(content).hexdigest()
        assert says(vm, "gave") == driver
        drivers.append(driver)
    assert sorted(drivers) == ["e1000", "e1000e"]
    assert says(vm, "tpm") == extended()
    assert says(vm, "watchdog") == "i6300ESB timer"
    says(vm, "ready")
    # Before its driver is there, a virtio keyboard leaves everything to the next one.
    type_and_point(mica, vm, f"{tmp_path}/ctl", f"{tmp_path}/vnc", "usb-key", "usb-tablet")
    vm.send("\n")
    says(vm, "virtio")
    type_and_point(mica, vm, f"{tmp_path}/ctl", f"{tmp_path}/vnc", "virtio-key", "virtio-tablet")

    # It goes on from a file: a network card as it was left, at a network that is new.
    subprocess.run([mica, "save", "--control", tmp_path / "ctl", "--output", tmp_path / "state", "--quit"], check=True)
    ends(vm)
    first = vm.log
    vm = run("--restore", f"{tmp_path}/state,trust=on", "--display", "vga", "--control", f"{tmp_path}/ctl")
    vm.send("\n")
    assert says(vm, "tpm") == extended()
    assert says(vm, "forked") == "1"
    assert says(vm, "got") == f"again {hashlib.md5(content).hexdigest()}"
    says(vm, "end")
    # The watchdog is not fed.
    deadline = time.monotonic() + patience.seconds(60)
    while control_of(tmp_path / "ctl", "status")["result"]["state"] != "paused":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert control_of(tmp_path / "ctl", "resume")["ok"]
    assert control_of(tmp_path / "ctl", "status")["result"]["state"] == "running"
    control_of(tmp_path / "ctl", "quit")
    assert vm.wait(patience.seconds(20)) == 130
    thread.join(patience.seconds(10))
    assert got == [hashlib.md5(content).hexdigest()] * 2
    assert "@insmod-failed" not in first and "@missing" not in first and "@no-lease" not in first
