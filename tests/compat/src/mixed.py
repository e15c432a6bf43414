# SPDX-License-Identifier: GPL-2.0-or-later
"""Python (CPython and PyPy): big numbers, floats, exceptions, generators, threads, hashes, struct, re, decimal."""
import decimal
import hashlib
import json
import math
import random
import re
import struct
import sys
import threading
import zlib

N = int(sys.argv[1]) if len(sys.argv) > 1 else 3000


def fib(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def bodies(steps):
    """Two bodies and a fixed sun, in floats."""
    p = [[1.0, 0.0, 0.0, 1.0], [0.0, 2.0, -0.7, 0.0]]
    for _ in range(steps):
        for b in p:
            r3 = (b[0] * b[0] + b[1] * b[1]) ** 1.5
            b[2] -= b[0] / r3 * 0.001
            b[3] -= b[1] / r3 * 0.001
            b[0] += b[2] * 0.001
            b[1] += b[3] * 0.001
    return [x.hex() for b in p for x in b]


def deep(n):
    if n == 0:
        raise KeyError("bottom")
    try:
        deep(n - 1)
    finally:
        seen.append(n)


print(hashlib.sha256(str(fib(N)).encode()).hexdigest())
print(pow(3, fib(300), 10 ** 40 + 121), math.isqrt(10 ** 61), (-7) // 2, (-7) % 3, 1 << 200 >> 190)
print(bodies(N))
seen = []
for i in range(N // 20):
    try:
        deep(i % 30)
    except KeyError as e:
        seen.append(str(e))
print(len(seen), hashlib.md5(repr(seen).encode()).hexdigest())
random.seed(5)
data = [random.gauss(0, 1) for _ in range(N)]
print(math.fsum(data).hex(), sorted(data)[N // 2].hex(), sum(x * x for x in data).hex())
print([math.sin(k * 1e5).hex() for k in range(4)], math.exp(0.1), math.lgamma(5.5), 0.1 + 0.2, round(2.675, 2))
decimal.getcontext().prec = 60
print(decimal.Decimal(2).sqrt(), decimal.Decimal(1) / 7)
text = " ".join(str(random.randrange(10 ** 6)) for _ in range(N))
print(len(re.findall(r"\b(\d)\d*\1\b", text)), zlib.crc32(zlib.compress(text.encode(), 9)), zlib.adler32(text.encode()))
print(struct.pack("<hIqfd?", -2, 3, -4, 1.5, 2.5, True).hex(), struct.unpack(">e", b"\x3c\x01"))
print(hashlib.md5(json.dumps({str(k): [k, k / 3, None, True] for k in range(N // 10)}).encode()).hexdigest())
for name in ("sha1", "sha512", "blake2b", "sha3_256"):
    print(name, hashlib.new(name, text.encode()).hexdigest()[:32])
total = [0]
lock = threading.Lock()


def add():
    for _ in range(N):
        with lock:
            total[0] += 1


threads = [threading.Thread(target=add) for _ in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(total)
sys.setrecursionlimit(2000)


def endless(n):
    return endless(n + 1) + 1


try:
    endless(0)
except RecursionError:
    print("recursion ended")
