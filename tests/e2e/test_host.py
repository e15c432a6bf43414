# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest has of its host besides disks and networks, with Debian's own drivers: sockets."""
import hashlib
import os
import re
import socket
import subprocess
import threading

import pytest
from conftest import BOOT, ENGINE, TOP, initramfs, patience
from test_disks import PATH, modules_of
from test_tiny import ends, says

INIT = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /bin /mnt
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
stty -echo </dev/console
while read -r m; do insmod "/modules/$m" || echo "@insmod-failed $m"; done </modules/order
/modules/vsock echo 1024 &
while read -r line; do
	eval "$line"
	echo "@did"
done
"""


@pytest.fixture(scope="module")
def cloud(image, tmp_path_factory):
    """A kernel, and an initramfs that does what it reads on its console."""
    work = tmp_path_factory.mktemp("host")
    with open(os.path.join(image, "info"), encoding="utf-8") as f:
        version = re.search(r"^kernel=(\S+)", f.read(), re.M).group(1)

    def read(path):
        return subprocess.run(["debugfs", "-R", f"cat /lib/modules/{version}/{path}", os.path.join(image, "disk.raw")],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=PATH, check=True).stdout
    modules_of(read, ["virtio_pci", "vmw_vsock_virtio_transport"], work / "modules")
    subprocess.run(["cc", "-O1", "-static", "-o", work / "modules" / "vsock", os.path.join(TOP, "tests", "e2e", "guest", "vsock.c")], check=True)
    os.chmod(work / "modules" / "vsock", 0o755)
    (work / "init").write_text(INIT.replace("/modules/vsock echo", "cp /modules/vsock /bin/vsock; chmod 755 /bin/vsock; vsock echo"))
    initramfs.write(work / "initrd", work / "init", os.path.join(image, "busybox"), work / "modules")
    return ["--engine", ENGINE, "--memory", "256M", "--kernel", os.path.join(image, "vmlinuz"), "--initrd", str(work / "initrd"),
            "--append", "console=ttyS0 quiet panic=-1", "--no-reboot"]


def does(vm, line, seconds=60):
    vm.send(line + "\n")
    return says(vm, "did", seconds)


def to_guest(path, port):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(patience.seconds(60))
    s.connect(str(path))
    s.sendall(b"CONNECT %d\n" % port)
    return s


def answer_of(s):
    line = b""
    while not line.endswith(b"\n"):
        got = s.recv(1)
        if not got:
            return line
        line += got
    return line


def through(s, data):
    """What comes back of data that is sent while it does."""
    threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)), daemon=True).start()
    got = b""
    while piece := s.recv(65536):
        got += piece
    return got


def test_sockets(run, cloud, tmp_path):
    path = tmp_path / "v.sock"
    vm = run(*cloud, "--vsock", f"cid=7,path={path}")
    says(vm, "listening", BOOT)
    data = os.urandom(3 << 20)
    s = to_guest(path, 1024)
    assert re.fullmatch(rb"OK \d+\n", answer_of(s))
    assert hashlib.md5(through(s, data)).digest() == hashlib.md5(data).digest()
    s.close()
    assert answer_of(to_guest(path, 1025)) == b""  # nobody listens there
    many = [to_guest(path, 1024) for _ in range(20)]
    for i, one in enumerate(many):
        assert answer_of(one).startswith(b"OK ")
        one.sendall(b"%d" % i)
    for i, one in enumerate(many):
        assert one.recv(16) == b"%d" % i
        one.close()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}_52")
    listener.listen()
    listener.settimeout(patience.seconds(60))

    def serve():
        c = listener.accept()[0]
        got = b""
        while piece := c.recv(65536):
            got += piece
        c.sendall(hashlib.md5(got).hexdigest().encode() + b"\n")
        c.close()
    server = threading.Thread(target=serve)
    server.start()
    vm.send("dd if=/dev/zero bs=64k count=20 2>/dev/null | vsock send 52\n")
    vm.expect(hashlib.md5(bytes(20 << 16)).hexdigest(), 60)
    server.join()
    says(vm, "did")
    vm.send("echo | vsock send 53\n")
    says(vm, "refused")
    vm.send("poweroff -f\n")
    ends(vm)
    assert not path.exists() and "@insmod-failed" not in vm.log
