#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mica run between a terminal and its VM process, with a VM process of this file's own: bytes, keys, ends."""
import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools"))
import patience  # noqa: E402

MICA = os.environ["MICA"]

# Acts by the kernel command line it is given. Speaks what the real one speaks on its descriptors.
FAKE = r'''#!%s
import json, os, signal, socket, sys, time
cfg = json.load(os.fdopen(int(sys.argv[2])))
con = socket.socket(fileno=cfg["console_fd"]) if cfg.get("console_fd", -1) >= 0 else None
ctl = socket.socket(fileno=cfg["control_fd"])
def command():
    line = b""
    while not line.endswith(b"\n"):
        c = ctl.recv(1)
        if not c:
            sys.exit(99)
        line += c
    return json.loads(line)["command"]
def quits():
    sys.exit(130 if command() == "quit" else 98)
what, _, arg = cfg["append"].partition(" ")
if what == "exit":
    con.sendall(b"bye\r\n"); sys.exit(int(arg))
elif what == "signal":
    if int(arg) != 9: signal.signal(int(arg), signal.SIG_DFL)
    os.kill(os.getpid(), int(arg)); time.sleep(60)
elif what == "echo":            # N bytes back, then power off
    con.sendall(b"ready\r\n")
    n = int(arg)
    while n:
        b = con.recv(n); con.sendall(b); n -= len(b)
elif what == "quit":
    con.sendall(b"ready\r\n"); quits()
elif what == "stop":
    con.sendall(b"ready\r\n"); sys.exit(0 if command() == "stop" else 98)
elif what == "break":
    con.sendall(b"ready\r\n"); sys.exit(0 if command() == "break" else 98)
elif what == "hang":
    con.sendall(b"ready\r\n"); command(); time.sleep(60)
elif what == "flood":
    for i in range(int(arg)): con.sendall(b"%%08d\r\n" %% i)
elif what == "forever":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    import threading
    threading.Thread(target=lambda: (command(), os._exit(130)), daemon=True).start()
    while True: con.sendall(b"x" * 1000)
elif what == "stderr":
    sys.stderr.write("one\ntwo\n"); sys.stderr.flush(); con.sendall(b"ready\r\n"); quits()
elif what == "parent":
    con.sendall(b"ready\r\n")
    try:
        command()
    except SystemExit:
        open(arg, "w").write("ended"); raise
elif what == "config":
    con.sendall(json.dumps(cfg).encode()); sys.exit(0)
''' % sys.executable


class Relay(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="mica-relay-")
        cls.mica = os.path.join(cls.dir, "mica")
        shutil.copy(MICA, cls.mica)
        fake = os.path.join(cls.dir, "mica-vmm")
        with open(fake, "w") as f:
            f.write(FAKE)
        os.chmod(fake, 0o755)
        open(os.path.join(cls.dir, "k"), "w").close()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def args(self, what, *more):
        return [self.mica, "run", "--kernel", os.path.join(self.dir, "k"), "--append", what, *more]

    def run_piped(self, what, *more, data=b"", timeout=patience.seconds(30)):
        return subprocess.run(self.args(what, *more), input=data, capture_output=True, timeout=timeout)

    # ---- without a terminal ----
    def test_statuses_pass_through(self):
        for status in (0, 1, 3, 4, 5, 42, 255):
            r = self.run_piped(f"exit {status}")
            self.assertEqual((r.returncode, r.stdout), (status, b"bye\r\n"))

    def test_killed_vm_is_reported(self):
        r = self.run_piped("signal 9")
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"ended by signal 9", r.stderr)

    def test_sandbox_kill_is_explained(self):
        r = self.run_piped("signal %d" % signal.SIGSYS)
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"type=1326", r.stderr)

    def test_pipe_is_byte_clean_and_whole(self):
        data = bytes(range(256)) * 2000  # Ctrl-a too: no terminal, no keys of ours
        r = self.run_piped(f"echo {len(data)}", data=data)
        self.assertEqual(r.returncode, 0)
        self.assertEqual(r.stdout, b"ready\r\n" + data)

    def test_end_of_input_does_not_end_the_vm(self):
        p = subprocess.Popen(self.args("quit"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.assertEqual(p.stdout.readline(), b"ready\r\n")
        time.sleep(0.3)
        self.assertIsNone(p.poll())
        p.terminate()
        self.assertEqual(p.wait(patience.seconds(10)), 128 + signal.SIGTERM)
        p.stdout.close()

    def test_all_output_arrives(self):
        r = self.run_piped("flood 30000")
        self.assertEqual(r.stdout, b"".join(b"%08d\r\n" % i for i in range(30000)))

    def test_closed_output_ends_it(self):
        p = subprocess.Popen(self.args("forever"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        p.stdout.read(10)
        p.stdout.close()
        self.assertEqual(p.wait(patience.seconds(10)), 128 + signal.SIGPIPE)

    def test_signals(self):
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            p = subprocess.Popen(self.args("quit"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            p.stdout.readline()
            p.send_signal(sig)
            self.assertEqual(p.wait(patience.seconds(10)), 128 + sig)
            p.stdout.close()

    def test_hanging_vm_is_killed(self):
        p = subprocess.Popen(self.args("hang"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdout.readline()
        p.terminate()
        p.terminate()  # one breath: timeout(1) does so
        time.sleep(0.8)
        self.assertIsNone(p.poll())
        p.terminate()  # asked again: at once
        self.assertEqual(p.wait(patience.seconds(3)), 128 + signal.SIGTERM)
        self.assertIn(b"killed", p.stderr.read())
        p.stdout.close()
        p.stderr.close()

    def test_killed_mica_ends_the_vm(self):
        mark = os.path.join(self.dir, "mark")
        p = subprocess.Popen(self.args("parent " + mark), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        p.stdout.readline()
        p.kill()
        p.wait(patience.seconds(10))
        p.stdout.close()
        for _ in range(int(patience.seconds(100))):
            if os.path.exists(mark):
                break
            time.sleep(0.05)
        self.assertTrue(os.path.exists(mark))

    def test_configuration_arrives(self):
        r = self.run_piped("config", "--cpus", "3", "--memory", "64M", "--net", "user", "--no-reboot")
        cfg = json.loads(r.stdout)
        self.assertEqual((cfg["cpus"], cfg["memory_bytes"], cfg["no_reboot"]), (3, 64 << 20, True))
        self.assertEqual(cfg["nets"][0]["type"], "user")
        self.assertEqual(cfg["console"], "fd")

    def test_pty_console(self):
        p = subprocess.Popen(self.args("echo 5", "--console", "pty"), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        name = p.stderr.readline().split()[-1]
        self.assertTrue(name.startswith(b"/dev/pts/"), name)
        p.terminate()
        p.wait(patience.seconds(10))
        p.stderr.close()

    # ---- with a terminal ----
    def spawn(self, what, *more):
        master, slave = pty.openpty()
        before = termios.tcgetattr(slave)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            for fd in (0, 1, 2):
                os.dup2(slave, fd)
            import fcntl
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            os.closerange(3, 256)
            os.execv(self.mica, self.args(what, *more))
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        return pid, master, slave, before

    def expect(self, fd, words, seconds=patience.seconds(10)):
        got, end = b"", time.time() + seconds
        while words not in got:
            if not select.select([fd], [], [], max(0, end - time.time()))[0]:
                self.fail(f"{words} did not come, but {got}")
            got += os.read(fd, 4096)
        return got

    def reap(self, pid, seconds=10):
        end = time.time() + seconds
        while time.time() < end:
            p, status = os.waitpid(pid, os.WNOHANG)
            if p:
                return status
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.fail("mica did not end")

    def check_restored(self, slave, before):
        self.assertEqual(termios.tcgetattr(slave), before)

    def test_terminal_is_raw_then_restored(self):
        pid, master, slave, before = self.spawn("echo 3")
        self.expect(master, b"ready\r\n")
        self.assertFalse(termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG))
        os.write(master, b"\x03ab")  # Ctrl-C is the guest's
        self.expect(master, b"\x03ab")
        self.assertEqual(os.waitstatus_to_exitcode(self.reap(pid)), 0)
        self.check_restored(slave, before)

    def test_quit_key(self):
        pid, master, slave, before = self.spawn("quit")
        self.expect(master, b"ready")
        os.write(master, b"\x01x")
        self.assertEqual(os.waitstatus_to_exitcode(self.reap(pid)), 130)
        self.check_restored(slave, before)

    def test_help_and_unknown_keys(self):
        pid, master, slave, before = self.spawn("quit")
        self.expect(master, b"ready")
        os.write(master, b"\x01h")
        self.expect(master, b"Ctrl-a h       this help\r\n")
        os.write(master, b"\x01q")
        self.expect(master, b"no such key")
        os.write(master, b"\x01x")
        self.reap(pid)
        self.check_restored(slave, before)

    def test_power_button_key(self):
        pid, master, slave, before = self.spawn("stop")
        self.expect(master, b"ready")
        os.write(master, b"\x01b")
        self.assertEqual(os.waitstatus_to_exitcode(self.reap(pid)), 0)

    def test_break_key(self):
        pid, master, slave, before = self.spawn("break")
        self.expect(master, b"ready")
        os.write(master, b"\x01k")
        self.expect(master, b"mica: BREAK sent\r\n")
        self.assertEqual(os.waitstatus_to_exitcode(self.reap(pid)), 0)

    def test_escape_itself(self):
        pid, master, slave, before = self.spawn("echo 2")
        self.expect(master, b"ready\r\n")
        os.write(master, b"\x01\x01z")
        self.expect(master, b"\x01z")
        self.assertEqual(os.waitstatus_to_exitcode(self.reap(pid)), 0)

    def test_signals_restore_the_terminal(self):
        for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            pid, master, slave, before = self.spawn("quit")
            self.expect(master, b"ready")
            os.kill(pid, sig)
            self.assertEqual(os.waitstatus_to_exitcode(self.reap(pid)), 128 + sig)
            self.check_restored(slave, before)

    def test_our_crash_restores_the_terminal(self):
        pid, master, slave, before = self.spawn("quit")
        self.expect(master, b"ready")
        os.kill(pid, signal.SIGSEGV)
        self.assertEqual(os.waitstatus_to_exitcode(self.reap(pid)), -signal.SIGSEGV)
        self.check_restored(slave, before)

    def test_vm_crash_restores_the_terminal(self):
        pid, master, slave, before = self.spawn("signal 11")
        self.expect(master, b"ended by signal 11")
        self.assertEqual(os.waitstatus_to_exitcode(self.reap(pid)), 1)
        self.check_restored(slave, before)

    def test_messages_have_carriage_returns(self):
        pid, master, slave, before = self.spawn("stderr")
        got = self.expect(master, b"ready")
        if b"two" not in got:
            got += self.expect(master, b"two")
        self.assertIn(b"one\r\ntwo\r\n", got + self.drain(master))
        os.write(master, b"\x01x")
        self.reap(pid)

    def drain(self, fd):
        got = b""
        while select.select([fd], [], [], 0.3)[0]:
            got += os.read(fd, 4096)
        return got


if __name__ == "__main__":
    sys.exit(unittest.main())
