#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""display.py MICA KERNEL vga|vnc|vnc-zlib [OPTION...] - what is seen of the modes that kernel/display64.c sets, pixel by pixel: what each
is to look like is reckoned here from what the kernel wrote, by the manuals and not by our renderer. vga: by mica screenshot; vnc: by a
VNC client that has been there from the first mode on and asks for what has changed. Then keys and the mouse, by the commands or by
the client."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import png_picture  # noqa: E402
import rfb  # noqa: E402


def wide(v, bits):
    return v << (8 - bits) | v >> (2 * bits - 8)


def color(i):
    """Of the palette that the kernel loads."""
    return wide(i * 4 & 63, 6) << 16 | wide((63 - i) & 63, 6) << 8 | wide(i * 7 & 63, 6)


def text(x, y):
    cell, line, dot = y // 16 * 80 + x // 9, y % 16, x % 9
    c, attr = cell * 7 & 255, cell % 128
    dots = (c ^ line * 3) & 255
    on = dots >> (7 - dot) & 1 if dot < 8 else dots & 1 and 0xc0 <= c < 0xe0
    if cell == 162 and line in (13, 14):
        on = True
    return color(attr & 15 if on else attr >> 4 & 7)


def planar(x, y):
    y = 100 if y == 7 else y
    return color((y & 15) ^ (5 if x % 8 == 3 else 0))


def linear(x, y):
    return (x << 16 | y << 4 | (x ^ y) << 1) & 0xffffff


def moved(x, y):
    at = (y + 1) * 1024 + x + 16
    if at >= 800 * 600:
        return 0
    return linear(at % 800, at // 800)


def packed(x, y):
    v = (y * 800 + x) * 11 & 0xffff
    return wide(v >> 11, 5) << 16 | wide(v >> 5 & 63, 6) << 8 | wide(v & 31, 5)


EXPECTED = {"text": (720, 400, text), "planar": (640, 480, planar), "bytes": (320, 200, lambda x, y: color(x + y & 255)),
            "linear": (800, 600, linear), "moved": (800, 600, moved), "packed": (800, 600, packed)}


# Code page 437 has letters where a VGA shows these.
SHOWN = dict(zip(range(32), " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼")) | {0x7f: "⌂"}


def said():
    """Of the text mode: what its cells say."""
    codes = [cell * 7 & 255 for cell in range(80 * 25)]
    line = "".join(SHOWN.get(c) or bytes([c]).decode("cp437").replace("\xa0", " ") for c in codes)
    return "".join(line[y * 80:][:80].rstrip(" ") + "\n" for y in range(25))


def compare(name, width, height, pixels):
    """None, or what is other than it should be."""
    w, h, want = EXPECTED[name]
    if (w, h) != (width, height):
        return f"{name}: {width}x{height} pixels, {w}x{h} wanted"
    for y in range(h):
        for x in range(w):
            if pixels[y * w + x] != want(x, y):
                return f"{name}: at {x},{y} is {pixels[y * w + x]:06x}, {want(x, y):06x} wanted"
    return None


class Screenshots:
    def __init__(self, mica, folder):
        self.mica, self.control, self.picture = mica, os.path.join(folder, "control"), os.path.join(folder, "screen.png")
        self.options = ["--display", "vga"]

    def command(self, name, *words):
        return subprocess.run([self.mica, name, "--control", self.control, *words]).returncode

    def look(self, name):
        text = subprocess.run([self.mica, "screenshot", "--control", self.control, "--text"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        if name == "text" and text.stdout != said():
            return f"text: it says {text.stdout!r}"
        if name != "text" and (text.returncode != 1 or "shows a picture" not in text.stderr):
            return f"{name}: its text came with status {text.returncode}: {text.stderr}"
        status = self.command("screenshot", self.picture)
        return f"{name}: mica screenshot ended with {status}" if status else compare(name, *png_picture.read(self.picture))

    def keys(self):
        status = self.command("type", "A") or self.command("sendkey", "delete")
        return f"typing ended with {status}" if status else None


class Vnc(Screenshots):
    def __init__(self, mica, folder, encoding):
        super().__init__(mica, folder)
        self.path, self.encoding, self.client = os.path.join(folder, "vnc"), encoding, None
        self.options = ["--display", "vnc=unix:" + self.path]

    def look(self, name):
        if not self.client:
            self.client = rfb.Client(self.path, self.encoding)
            self.client.ask()
        for _ in range(100):  # what is drawn meanwhile comes in pieces
            self.client.update()
            fault = compare(name, self.client.width, self.client.height, self.client.pixels)
            if not fault:
                break
            self.client.ask(incremental=True)
        self.client.ask(incremental=True)
        return fault

    def keys(self):
        if self.encoding == rfb.ZLIB:
            return self.key_codes()
        for sym in (0xffe1, ord("A")):
            self.client.key(sym, True)
        for sym in (ord("A"), 0xffe1):
            self.client.key(sym, False)
        self.client.key(0xffff, True)
        self.client.key(0xffff, False)

    def key_codes(self):
        """What is printed on them at the client's says nothing, then."""
        if not self.client.key_codes:
            return "key codes are not offered"
        for code, down in ((0x2a, True), (0x1e, True), (0x1e, False), (0x2a, False), (0xd3, True), (0xd3, False)):
            self.client.key_code(ord("z"), code, down)

    def mouse(self):
        for x, y, buttons in ((100, 100, 0), (110, 95, 0), (110, 95, 1), (120, 90, 0)):
            self.client.pointer(x, y, buttons)


def main():
    mica, kernel, how, *options = sys.argv[1:]
    failed, seen = [], []
    with tempfile.TemporaryDirectory() as d:
        eye = Screenshots(mica, d) if how == "vga" else Vnc(mica, d, rfb.ZLIB if how == "vnc-zlib" else rfb.RAW)
        p = subprocess.Popen([mica, "run", "--memory", "64M", *eye.options, "--debug-exit", "--control", eye.control, "--kernel", kernel,
                              "--append", "skip=mouse" if how == "vga" else "", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for line in p.stdout:
            word, _, name = line.decode(errors="replace").strip().partition(" ")
            if word != "shown":
                print(line.decode(errors="replace"), end="")
                failed += [line.decode(errors="replace").strip()] if word == "FAIL:" else []
                continue
            seen.append(name)
            fault = eye.look(name) if name in EXPECTED else eye.keys() if name == "keys" else eye.mouse()
            if fault:
                failed.append(fault)
            p.stdin.write(b".")
            p.stdin.flush()
        status = p.wait()
    if seen != [*EXPECTED, "keys", *(["mouse"] if how != "vga" else [])]:
        failed.append(f"seen: {seen}")
    if status != 33:
        failed.append(f"the kernel ended with {status}")
    for fault in failed:
        print("FAIL:", fault)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
