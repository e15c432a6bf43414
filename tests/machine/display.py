#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""display.py MICA KERNEL [OPTION...] - what mica screenshot shows of the modes that kernel/display64.c sets, pixel by pixel: what
each is to look like is reckoned here from what the kernel wrote, by the manuals and not by our renderer."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import png_picture  # noqa: E402


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


def compare(name, path):
    width, height, want = EXPECTED[name]
    got = png_picture.read(path)
    if got[:2] != (width, height):
        return f"{name}: {got[0]}x{got[1]} pixels, {width}x{height} wanted"
    for y in range(height):
        for x in range(width):
            if got[2][y * width + x] != want(x, y):
                return f"{name}: at {x},{y} is {got[2][y * width + x]:06x}, {want(x, y):06x} wanted"
    return None


def main():
    mica, kernel, *options = sys.argv[1:]
    failed, seen = [], []
    with tempfile.TemporaryDirectory() as d:
        control, picture = os.path.join(d, "control"), os.path.join(d, "screen.png")
        p = subprocess.Popen([mica, "run", "--memory", "64M", "--display", "vga", "--debug-exit", "--control", control, "--kernel", kernel,
                              *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for line in p.stdout:
            word, _, name = line.decode(errors="replace").strip().partition(" ")
            if word != "shown":
                print(line.decode(errors="replace"), end="")
                continue
            seen.append(name)
            r = subprocess.run([mica, "screenshot", control, picture])
            fault = compare(name, picture) if r.returncode == 0 else f"{name}: mica screenshot ended with {r.returncode}"
            if fault:
                failed.append(fault)
            p.stdin.write(b".")
            p.stdin.flush()
        status = p.wait()
    if seen != list(EXPECTED):
        failed.append(f"seen: {seen}")
    if status != 33:
        failed.append(f"the kernel ended with {status}")
    for fault in failed:
        print("FAIL:", fault)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
