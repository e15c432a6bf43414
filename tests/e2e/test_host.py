# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest has of its host besides disks and networks, with Debian's own drivers: folders and sockets."""
import hashlib
import os
import re
import socket
import subprocess
import threading

import pytest
from conftest import BOOT, ENGINE, TOP, initramfs, patience
from debian_kernel import modules_of
from test_disks import PATH
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
    modules_of(read, ["virtio_pci", "vmw_vsock_virtio_transport", "virtiofs"], work / "modules")
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


def folders(vm, tmp_path):
    """What the guest does in a folder is done there, and nothing beside it."""
    work, secret = tmp_path / "work", tmp_path / "secret"
    does(vm, "mkdir -p /mnt/w /mnt/r; mount -t virtiofs work /mnt/w; mount -t virtiofs fixed /mnt/r")
    does(vm, "cp -r /mnt/w/in /mnt/w/out; (cd /mnt/w; tar cf - out) | md5sum; mv /mnt/w/out/a /mnt/w/out/b; rm /mnt/w/in/0")
    assert (work / "out" / "b").read_bytes() == (work / "in" / "a").read_bytes()
    assert not (work / "in" / "0").exists() and len(list((work / "out").iterdir())) == 31
    vm.send('md5sum </mnt/w/in/a; ls /mnt/w/in | wc -l; echo "@n $(ls /mnt/w/out | wc -l)"\n')
    vm.expect(hashlib.md5((work / "in" / "a").read_bytes()).hexdigest(), 60)
    assert says(vm, "n") == "31"
    says(vm, "did")
    does(vm, "ln -s ../secret /mnt/w/up; ln -s /secret /mnt/w/root; echo x >/mnt/w/up; echo y >/mnt/w/root; umount /mnt/w; mount -t virtiofs work /mnt/w")
    assert secret.read_text() == "mine" and os.readlink(work / "up") == "../secret"
    does(vm, "truncate -s 5 /mnt/w/in/a; chmod 640 /mnt/w/in/a; touch -d @1000 /mnt/w/in/a; ln /mnt/w/in/a /mnt/w/hard; echo -n more >>/mnt/w/hard; sync")
    st = (work / "hard").stat()
    assert st.st_size == 9 and st.st_mode & 0o7777 == 0o640 and st.st_nlink == 2
    vm.send('echo z >/mnt/r/f || echo "@readonly $(cat /mnt/r/f)"; mkdir /mnt/r/d || echo "@still"\n')
    assert says(vm, "readonly") == "here"
    says(vm, "still")
    says(vm, "did")
    assert (tmp_path / "fixed" / "f").read_text() == "here"


def goes_on(vm, tmp_path, path):
    """After a restore: open files and the place in the tree are what they were, connections are gone and can be made anew."""
    does(vm, "echo second >&3; cat b | md5sum; ls /mnt/w/in >/dev/null && echo third >>/mnt/w/new")
    assert hashlib.md5((tmp_path / "work" / "out" / "b").read_bytes()).hexdigest() in vm.log
    assert (tmp_path / "work" / "held").read_text() == "first\nsecond\n"
    assert (tmp_path / "work" / "new").read_text() == "third\n"
    s = to_guest(path, 1024)
    assert answer_of(s).startswith(b"OK ")
    assert through(s, b"again") == b"again"


def test_folders_and_sockets(mica, run, cloud, tmp_path):
    path = tmp_path / "v.sock"
    (tmp_path / "work" / "in").mkdir(parents=True)
    (tmp_path / "work" / "in" / "a").write_bytes(os.urandom(200_000))
    for i in range(30):
        (tmp_path / "work" / "in" / str(i)).write_text(str(i))
    (tmp_path / "fixed").mkdir()
    (tmp_path / "fixed" / "f").write_text("here")
    (tmp_path / "secret").write_text("mine")
    vm = run(*cloud, "--vsock", f"cid=7,path={path}", "--share", f"{tmp_path}/work,tag=work", "--share", f"{tmp_path}/fixed,tag=fixed,ro", "--control", f"{tmp_path}/ctl")
    says(vm, "listening", BOOT)
    folders(vm, tmp_path)
    data = os.urandom(1 << 20)
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
    vm.send("dd if=/dev/zero bs=64k count=5 2>/dev/null | vsock send 52\n")
    vm.expect(hashlib.md5(bytes(5 << 16)).hexdigest(), 60)
    server.join()
    says(vm, "did")
    vm.send("echo | vsock send 53\n")
    says(vm, "refused")
    says(vm, "did")
    does(vm, "cd /mnt/w/out; exec 3>/mnt/w/held; echo first >&3")
    subprocess.run([mica, "save", "--control", tmp_path / "ctl", "--output", tmp_path / "state", "--quit"], check=True, stderr=subprocess.DEVNULL)
    ends(vm)
    assert not path.exists() and "@insmod-failed" not in vm.log
    vm = run("--restore", f"{tmp_path}/state")
    assert vm.wait(60) == 2
    told = vm.errors()
    assert f"read and write, a folder: {tmp_path}/work" in told and f"listen, and connect to sockets beside it: {path}" in told
    vm = run("--restore", f"{tmp_path}/state,trust=on")
    goes_on(vm, tmp_path, path)
    vm.send("poweroff -f\n")
    ends(vm)
