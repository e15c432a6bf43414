# SPDX-License-Identifier: GPL-2.0-or-later
"""What `mica run` says and how it ends when it is asked for something wrong, and the terminal it gives back."""
import os
import re
import shlex
import signal
import subprocess
import termios

import pexpect
import pytest
from conftest import BOOT, TOP, patience


def call(mica, *args):
    return subprocess.run([mica, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience.seconds(60))


@pytest.mark.parametrize("args,told", [
    (["--cpus", "0"], "--cpus"),
    (["--cpus", "many"], "many"),
    (["--cpus", "1000000"], "--cpus"),
    (["--memory", "lots"], "lots"),
    (["--memory", "-1"], "--memory"),
    (["--memory", "99999999T"], "--memory"),
    (["--engine", "steam"], "steam"),
    (["--kernel", "/etc/hostname", "--cpu", "abacus"], "abacus"),
    (["--console", "printer"], "printer"),
    (["--net", "avian"], "avian"),
    (["--kernel", "/etc/hostname", "--net", "user,hostfwd=tcp:nonsense"], "nonsense"),
    (["--disk", "/dev/null,format=punchcard"], "punchcard"),
    (["--disk", "/dev/null,colour=blue"], "colour"),
    (["--trace", "everything-and-more"], "everything-and-more"),
    (["--frobnicate"], "--frobnicate"),
    (["--kernel"], "--kernel"),
    (["stray.img"], "stray.img"),
    (["--append", "quiet"], "--kernel"),
    ([], "--kernel"),
])
def test_bad_usage(mica, args, told):
    result = call(mica, "run", *args)
    assert result.returncode == 2, result
    assert told in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 3, "one message, not a page"
    assert result.stdout == ""


@pytest.mark.parametrize("args", [["--kernel", "/nonexistent/vmlinuz"], ["--kernel", "/etc/hostname"],
                                  ["--kernel", "/dev/null", "--disk", "/nonexistent/disk.raw"]])
def test_bad_files_are_named(mica, args):
    result = call(mica, "run", "--console", "none", *args)
    assert result.returncode in (1, 2), result
    assert args[-1] in result.stderr or args[1] in result.stderr
    assert result.stdout == ""


def test_unknown_command(mica):
    result = call(mica, "levitate")
    assert result.returncode == 2 and "levitate" in result.stderr


def test_help(mica):
    result = call(mica, "run", "--help")
    assert result.returncode == 0 and result.stderr == ""
    for option in ("engine cpus memory kernel initrd append disk net console cpu no-reboot trace debug-exit").split():
        assert f"--{option}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100




class Terminal:
    """`mica run` in the foreground of a terminal of its own, between two readings of the terminal's settings."""

    def __init__(self, mica, args, where):
        self.before, self.after = where / "before", where / "after"
        script = f"stty -g >{self.before}; {shlex.join([mica, 'run', *args])}; s=$?; stty -g >{self.after}; exit $s"
        self.child = pexpect.spawn("/bin/sh", ["-c", script], timeout=patience.seconds(BOOT), encoding="utf-8", codec_errors="replace")
        self.expect, self.send = self.child.expect, self.child.send

    def flags(self):
        return termios.tcgetattr(self.child.child_fd)[3]

    def signal(self, sig):
        """To mica, not to the shell around it."""
        with open(f"/proc/{self.child.pid}/task/{self.child.pid}/children", encoding="ascii") as f:
            os.kill(int(f.read().split()[0]), sig)

    def ends(self, status, seconds=30):
        self.child.timeout = patience.seconds(seconds)
        self.expect(pexpect.EOF)
        self.child.close()
        assert self.child.exitstatus == status, self.child.before
        assert self.before.read_text() == self.after.read_text(), "the terminal came back as it was"


@pytest.fixture
def terminal(mica, tmp_path):
    opened = []

    def start(args):
        opened.append(Terminal(mica, args, tmp_path))
        return opened[-1]
    yield start
    for t in opened:
        t.child.close(force=True)


def test_escape_keys_and_terminal(terminal, tiny):
    t = terminal(tiny("ask=1"))
    t.expect("@ask")
    assert not t.flags() & (termios.ICANON | termios.ECHO | termios.ISIG), "the terminal is in raw mode"
    t.send("\x01h")
    t.expect("(?i)Ctrl-a x")
    t.send("\x01\x01")  # the escape itself goes to the guest
    t.send("\rhello\r")
    t.expect("@heard hello")
    t.send("\x01x")
    t.ends(130)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_signal_gives_the_terminal_back(terminal, tiny, sig):
    t = terminal(tiny("ask=1"))
    t.expect("@ask")
    t.signal(sig)
    t.ends(128 + sig)


def test_ctrl_c_goes_to_the_guest(terminal, tiny):
    """The guest's own terminal makes of it what it likes; mica and the VM go on."""
    t = terminal(tiny("ask=1"))
    t.expect("@ask")
    t.send("\x03\r")
    t.send("alive\r")
    t.expect("@heard .*alive")
    t.send("end\r")
    t.ends(0, 60)


def test_readme_options_exist(mica):
    """Every long option that the READMEs give to mica run is one that it knows."""
    known = call(mica, "run", "--help").stdout
    for name in ("README.md", "README.ko.md"):
        text = open(os.path.join(TOP, name), encoding="utf-8").read()
        for line in re.findall(r"mica run[^`]*", text):
            for option in re.findall(r"(?<!\S)--([a-z-]+)", line):
                assert f"--{option}" in known, f"{name}: --{option}"
