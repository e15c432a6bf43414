# SPDX-License-Identifier: GPL-2.0-or-later
"""console.py - a virtual machine's process and its serial console, driven by a script.

Used by run-headless, the benches and the end-to-end tests; needs nothing but Python's own library. The console is a
pair of pipes; what the guest printed so far is kept whole (`log`), and every wait has a deadline (patience.py stretches it).
"""
import os
import re
import selectors
import subprocess
import tempfile
import time

import patience


class ConsoleError(Exception):
    """A wait failed; str() says what was waited for and shows the console's tail."""


class Machine:
    """Runs argv with its standard input and output as the guest's console."""

    def __init__(self, argv, echo=None, keep_errors=False, **popen):
        """keep_errors: standard error goes to a file of its own, shown when something fails; else it is ours."""
        self.start = time.monotonic()
        self.errors_file = tempfile.TemporaryFile("w+") if keep_errors else None
        if keep_errors:
            popen["stderr"] = self.errors_file
        self.log = ""
        self.seen = 0  # what expect() has consumed of log
        self.echo = echo
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, **popen)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        self.eof = False

    def elapsed(self):
        return time.monotonic() - self.start

    def tail(self, lines=25):
        text = re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|c)", "", self.log).replace("\r", "")
        shown = "\n".join("    | " + l for l in text.splitlines()[-lines:])
        return shown + ("\nstandard error:\n" + self.errors() if self.errors() else "")

    def errors(self):
        """What came on standard error, with keep_errors."""
        if not self.errors_file:
            return ""
        self.errors_file.seek(0)
        return self.errors_file.read()

    def pump(self, seconds):
        """Takes in what the guest prints, for at most `seconds`; returns whether something came."""
        if self.eof or not self.selector.select(max(seconds, 0)):
            return False
        data = self.process.stdout.read(65536)
        if data == b"":
            self.eof = True
            self.selector.unregister(self.process.stdout)
            return False
        text = (data or b"").decode("utf-8", "replace")
        self.log += text
        if self.echo:
            self.echo.write(text)
            self.echo.flush()
        return True

    def expect(self, pattern, seconds):
        """Waits for a regular expression in what was not consumed yet; returns the match."""
        seconds = patience.seconds(seconds)
        deadline = time.monotonic() + seconds
        while True:
            match = re.compile(pattern).search(self.log, self.seen)
            if match:
                self.seen = match.end()
                return match
            if self.eof:
                raise ConsoleError(f"the machine ended (status {self.wait(10)}) before {pattern!r} appeared:\n{self.tail()}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise ConsoleError(f"{pattern!r} did not appear within {seconds:g} s:\n{self.tail()}")
            self.pump(left)

    def send(self, text):
        data = text.encode()
        while data:  # a pipe whose reader is slow takes it in parts
            data = data[os.write(self.process.stdin.fileno(), data):]

    def login(self, seconds, user="root", password="mica"):
        self.expect(r"login: $", seconds)
        self.send(user + "\n")
        self.expect(r"Password: ", 60)
        self.send(password + "\n")
        self.expect(r"[#$] $", 60)
        # A prompt of our own that no output imitates, no bracketed paste, and no line wrapping by readline.
        self.send("bind 'set enable-bracketed-paste off' 2>/dev/null; stty cols 400 -echo; PS1='rdy''>>'\n")
        self.expect(r"rdy>>$", 60)

    def command(self, line, seconds=60):
        """Runs one command line in the guest's shell; returns (output, exit status)."""
        self.send(f"{line}\necho \"@@$?\"\n" if "\n" in line else f"{line}; echo \"@@$?\"\n")
        match = self.expect(r"(?s)(.*?)@@(\d+)\r?\n.*?rdy>>$", seconds)
        return match.group(1).replace("\r", ""), int(match.group(2))

    def wait(self, seconds):
        """Waits for the process to end by itself; returns its exit status."""
        seconds = patience.seconds(seconds)
        deadline = time.monotonic() + seconds
        while not self.eof and time.monotonic() < deadline:
            self.pump(deadline - time.monotonic())
        try:
            return self.process.wait(max(deadline - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            raise ConsoleError(f"the machine did not end within {seconds:g} s:\n{self.tail()}") from None

    def close(self):
        """Ends the process however it stands."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(patience.seconds(10))
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for f in (self.process.stdin, self.process.stdout, self.errors_file):
            try:
                if f:
                    f.close()
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def image_info(image):
    """The `info` file of an image made by mkimage."""
    with open(os.path.join(image, "info"), encoding="utf-8") as f:
        return dict(line.rstrip("\n").split("=", 1) for line in f)
