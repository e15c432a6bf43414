# SPDX-License-Identifier: GPL-2.0-or-later
"""What `mica run` says and how it ends when it is asked for something wrong, and the terminal it gives back."""
import os
import pty
import signal
import subprocess
import termios

import pexpect.fdpexpect
import pytest
from conftest import BOOT, TOP


def call(mica, *args):
    return subprocess.run([mica, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


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




def settings(fd):
    return termios.tcgetattr(fd)


@pytest.fixture
def terminal(mica):
    """terminal(args) -> (child, before): `mica run` on a pty whose settings we read before it starts."""
    opened = []

    def start(args):
        master, slave = pty.openpty()
        before = settings(slave)
        process = subprocess.Popen([mica, "run", *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        child = pexpect.fdpexpect.fdspawn(master, timeout=BOOT, encoding="utf-8", codec_errors="replace")
        opened.append((process, master, slave))
        return child, process, slave, before
    yield start
    for process, master, slave in opened:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(slave)
        try:
            os.close(master)
        except OSError:
            pass


def test_escape_keys_and_terminal(terminal, tiny):
    child, process, slave, before = terminal(tiny("ask=1"))
    child.expect("@ask")
    raw = settings(slave)
    assert not raw[3] & (termios.ICANON | termios.ECHO | termios.ISIG), "the terminal is in raw mode"
    child.send("\x01h")
    child.expect("(?i)quit|x")
    child.send("\x01\x01")  # the escape itself goes to the guest
    child.send("\rhello\r")
    child.expect("@heard hello")
    child.send("\x01x")
    assert process.wait(20) == 130
    assert settings(slave) == before


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_signal_gives_the_terminal_back(terminal, tiny, sig):
    child, process, slave, before = terminal(tiny("ask=1"))
    child.expect("@ask")
    process.send_signal(sig)
    assert process.wait(20) == 128 + sig
    assert settings(slave) == before


def test_ctrl_c_goes_to_the_guest(terminal, tiny):
    child, process, slave, before = terminal(tiny("ask=1"))
    child.expect("@ask")
    child.send("\x03")
    child.send("alive\r")
    child.expect("@heard .*alive")
    child.send("end\r")
    assert process.wait(60) == 0
    assert settings(slave) == before


def test_readme_options_exist(mica):
    """Every long option that the READMEs give to mica run is one that it knows."""
    import re
    known = call(mica, "run", "--help").stdout
    for name in ("README.md", "README.ko.md"):
        text = open(os.path.join(TOP, name), encoding="utf-8").read()
        for line in re.findall(r"mica run[^`]*", text):
            for option in re.findall(r"(?<!\S)--([a-z-]+)", line):
                assert f"--{option}" in known, f"{name}: --{option}"
