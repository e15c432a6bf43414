# SPDX-License-Identifier: GPL-2.0-or-later
"""End-to-end tests: `mica run` as a person starts it, with real guests. run-tests starts them; by hand:

    MICA=build/mica IMAGE=$(tools/mkimage) python3 -m pytest tests/e2e
"""
import http.server
import json
import os
import socket
import subprocess
import sys
import threading

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
import console  # noqa: E402
import initramfs  # noqa: E402
import patience  # noqa: E402

# The engine to test everywhere is our own; MICA_TEST_ENGINE=kvm takes the other.
ENGINE = os.environ.get("MICA_TEST_ENGINE", "soft")
# Boots are slow under a software CPU on a busy machine: this bounds a hang, it does not measure.
BOOT = float(os.environ.get("MICA_TEST_BOOT_SECONDS", "180"))


@pytest.fixture(scope="session")
def mica():
    path = os.path.abspath(os.environ.get("MICA", os.path.join(TOP, "build", "mica")))
    assert os.access(path, os.X_OK), f"{path} is not built: run make build"
    return path


@pytest.fixture(scope="session")
def image():
    path = os.environ.get("IMAGE")
    if not path:
        path = subprocess.run([os.path.join(TOP, "tools", "mkimage")], stdout=subprocess.PIPE, text=True, check=True).stdout
    return path.strip()


@pytest.fixture(scope="session")
def tiny(image, tmp_path_factory):
    """Arguments of `mica run` for the stock Debian kernel with the tests' own initramfs."""
    initrd = tmp_path_factory.mktemp("tiny") / "initrd"
    initramfs.write(initrd, os.path.join(TOP, "tests", "e2e", "init"), os.path.join(image, "busybox"),
                    os.path.join(image, "modules"))

    def args(append="", memory="512M", cpus=1):
        return ["--engine", ENGINE, "--memory", memory, "--cpus", str(cpus), "--kernel", os.path.join(image, "vmlinuz"),
                "--initrd", str(initrd), "--append", ("console=ttyS0 quiet panic=-1 " + append).strip()]
    return args


@pytest.fixture
def run(mica):
    """run(args...) starts `mica run` with pipes for its console; whatever is left at the end of the test is ended."""
    started = []

    def start(*args, **popen):
        vm = console.Machine([mica, "run", *args], keep_errors=True, start_new_session=True, **popen)
        started.append(vm)
        return vm
    yield start
    for vm in started:
        vm.close()


@pytest.fixture
def web(tmp_path):
    """A web server on loopback with one document root; the guest finds it at 10.0.2.2."""
    root = tmp_path / "www"
    root.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(root))

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.root = root
    server.port = server.server_address[1]
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def control_of():
    """control_of(path, command): the answer of a control socket."""
    def ask(path, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(str(path))
            s.sendall(json.dumps({"command": command}).encode() + b"\n")
            return json.loads(s.makefile().readline())
    return ask


class Events:
    """Of a control socket: those subscribed to, as they come."""

    def __init__(self, path, *events):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(patience.seconds(60))
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rw", encoding="utf-8")
        self.file.write(json.dumps({"command": "subscribe", "events": events}) + "\n")
        self.file.flush()
        self.status = json.loads(self.file.readline())["result"]["status"]

    def next(self):
        event = json.loads(self.file.readline())
        return event["event"], event["data"]

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.fixture
def events_of():
    """events_of(path, names...): what a control socket tells from now on; next() waits for the next one."""
    made = []

    def listen(path, *events):
        made.append(Events(path, *events))
        return made[-1]
    yield listen
    for one in made:
        one.close()


def processes_of_session(session):
    """Processes that a VM started with start_new_session left behind."""
    left = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = open(f"/proc/{name}/stat").read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(stat[3]) == session and stat[0] != "Z":
                left.append(int(name))
    return left


@pytest.fixture
def left_behind():
    return processes_of_session
