# SPDX-License-Identifier: GPL-2.0-or-later
"""png_picture.py - a PNG file of 8-bit RGB, as mica screenshot writes it, or RGBA, to (width, height, list of 0xRRGGBB)."""
import struct
import zlib


def paeth(a, b, c):
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    return a if pa <= pb and pa <= pc else b if pb <= pc else c


def unfilter(kind, line, above, n):
    """PNG 9.2, n bytes a pixel."""
    if kind == 2:
        return bytes((x + y) & 255 for x, y in zip(line, above))
    out = bytearray(line)
    if kind:
        for i in range(len(out)):
            a, c = (out[i - n], above[i - n]) if i >= n else (0, 0)
            out[i] = (out[i] + (a if kind == 1 else (a + above[i]) // 2 if kind == 3 else paeth(a, above[i], c))) & 255
    return bytes(out)


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG"
    at, packed, width, height, step = 8, b"", 0, 0, 3
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + n]
        if kind == b"IHDR":
            width, height, bits, color = struct.unpack(">IIBB", body[:10])
            assert bits == 8 and color in (2, 6), "not 8-bit RGB"
            step = 3 if color == 2 else 4
        elif kind == b"IDAT":
            packed += body
        at += 12 + n
    raw, above, pixels = zlib.decompress(packed), bytes(step * width), []
    for y in range(height):
        start = y * (step * width + 1)
        above = unfilter(raw[start], raw[start + 1:start + 1 + step * width], above, step)
        pixels += [above[i] << 16 | above[i + 1] << 8 | above[i + 2] for i in range(0, step * width, step)]
    return width, height, pixels
