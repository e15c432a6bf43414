# SPDX-License-Identifier: GPL-2.0-or-later
"""rfb.py - a VNC client for tests (RFC 6143): no authentication, encodings raw and zlib, QEMU's extended key events."""
import socket
import struct
import threading
import zlib

RAW, ZLIB, DESKTOP_SIZE, KEY_CODES, SIZES = 0, 6, -223, -258, -308


class Client:
    def __init__(self, path, encoding=RAW, sizes=False):
        self.s = socket.socket(socket.AF_UNIX if isinstance(path, str) else socket.AF_INET)
        self.s.settimeout(20)
        self.s.connect(path)
        self.s.sendall(self.read(12))
        types = self.read(self.read(1)[0])
        assert 1 in types, types
        self.s.sendall(b"\1")
        assert self.read(4) == bytes(4)
        self.s.sendall(b"\1")
        self.width, self.height = struct.unpack(">HH", self.read(4))
        self.read(16)
        self.name = self.read(struct.unpack(">I", self.read(4))[0]).decode()
        self.s.sendall(bytes(4) + struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        encodings = [encoding, DESKTOP_SIZE, KEY_CODES] + [SIZES] * sizes
        self.s.sendall(struct.pack(f">BxH{len(encodings)}i", 2, len(encodings), *encodings))
        self.size_answer = None  # status of SetDesktopSize
        self.z = zlib.decompressobj()
        self.pixels = [0] * (self.width * self.height)
        self.received = 0
        self.key_codes = False  # the server takes them

    def read(self, n):
        data = b""
        while len(data) < n:
            got = self.s.recv(n - len(data))
            if not got:
                raise EOFError("the server closed the connection")
            data += got
        return data

    def ask(self, incremental=False):
        self.s.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def update(self):
        """Wait for an update; returns its rectangles."""
        while self.read(1) != b"\0":
            pass  # a bell; nothing else is sent unasked
        count, rects = struct.unpack(">xH", self.read(3))[0], []
        for _ in range(count):
            x, y, w, h, encoding = struct.unpack(">HHHHi", self.read(12))
            if encoding == SIZES:
                self.read(16 * self.read(4)[0])
                if x == 1:
                    self.size_answer = y
            if encoding in (DESKTOP_SIZE, SIZES):
                self.width, self.height = w, h
                self.pixels = [0] * (w * h)
                continue
            if encoding == KEY_CODES:
                self.key_codes = True
                continue
            data = self.read(4 * w * h) if encoding == RAW else self.z.decompress(self.read(struct.unpack(">I", self.read(4))[0]))
            for row in range(h):
                line = struct.unpack_from(f"<{w}I", data, 4 * w * row)
                at = (y + row) * self.width + x
                self.pixels[at:at + w] = [p & 0xffffff for p in line]
            rects.append((x, y, w, h))
            self.received += w * h
        return rects

    def look_away(self):
        """Whatever still comes is read and thrown away from now on: a server that cannot write does not listen."""
        def read_on():
            try:
                while self.s.recv(1 << 16):
                    pass
            except OSError:
                pass
        self.s.settimeout(None)
        threading.Thread(target=read_on, daemon=True).start()

    def resize(self, width, height):
        self.s.sendall(struct.pack(">BxHHBxIHHHHI", 251, width, height, 1, 1, 0, 0, width, height, 0))

    def cut(self, text):
        data = text.encode("latin-1")
        self.s.sendall(struct.pack(">BxxxI", 6, len(data)) + data)

    def key(self, keysym, down):
        self.s.sendall(struct.pack(">BBHI", 4, down, 0, keysym))

    def key_code(self, keysym, code, down):
        self.s.sendall(struct.pack(">BBHII", 255, 0, down, keysym, code))

    def pointer(self, x, y, buttons=0):
        self.s.sendall(struct.pack(">BBHH", 5, buttons, x, y))

    def close(self):
        self.s.close()
