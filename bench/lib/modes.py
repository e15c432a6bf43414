# SPDX-License-Identifier: GPL-2.0-or-later
"""modes.py - `bench/engine --bits 16`: the loops of workloads/modes.S, on a bare machine in real mode and in 16-bit protected mode, and
in 32-bit code without and with a watchpoint. There is no native side."""
import os
import statistics
import subprocess
import time

import pack
from console import ConsoleError, Machine

LOOPS = {"real": "real mode", "prot16": "protected mode, 16 bits", "prot32": "protected mode, 32 bits",
         "watched": "the same, with a watchpoint set elsewhere"}


def build(out):
    kernel = os.path.join(out, "modes")
    done = subprocess.run(["gcc", "-m32", "-nostdlib", "-static", "-Wl,-N,-Ttext=0x100000,-e,start,--build-id=none,--no-warn-rwx-segments",
                           "-o", kernel, os.path.join(pack.SOURCES, "modes.S")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise pack.PackError(f"the kernel of --bits 16 is not built:\n{done.stdout.strip()[-2000:]}")
    return kernel


def one_boot(side, kernel, limit):
    """{loop: (seconds by the host's clock, result)}"""
    got = {}
    with Machine(side.kernel_argv(kernel), keep_errors=True) as machine:
        for name in LOOPS:
            machine.expect(rf"@begin {name}\r?\n", limit)
            begun = time.monotonic()
            result = machine.expect(rf"@end {name} ([0-9a-f]+)\r?\n", limit).group(1)
            got[name] = (time.monotonic() - begun, result)
    return got


def measure(sides, out, rounds, limit, problem):
    """{loop: {"what", "seconds": {side: [...]}, "median": {side: ...}}}"""
    kernel = build(out)
    found = {name: {"what": what, "seconds": {}} for name, what in LOOPS.items()}
    results = set()
    for number in range(rounds):
        for side in sides[number % len(sides):] + sides[:number % len(sides)]:
            try:
                got = one_boot(side, kernel, limit)
            except (ConsoleError, OSError) as e:
                problem(f"{side.name}: {e}")
                continue
            for name, (seconds, result) in got.items():
                found[name]["seconds"].setdefault(side.name, []).append(seconds)
                results.add(result)
            print(f"  {number + 1}/{rounds} {side.name:14}" + "".join(f"  {n} {s:.3f} s" for n, (s, _) in got.items()), flush=True)
    if len(results) > 1:
        problem(f"the loops computed different things: {' '.join(sorted(results))}")
    for loop in found.values():
        loop["median"] = {s: statistics.median(t) for s, t in loop["seconds"].items()}
    return found


def table(found, sides):
    width = max([9] + [len(s.name) + 2 for s in sides])
    lines = [f"{'seconds':44}" + "".join(f"{s.name:>{width}}" for s in sides)]
    for loop in found.values():
        lines.append(f"  {loop['what']:42}" + "".join(f"{loop['median'][s.name]:>{width}.3f}" if s.name in loop["median"] else f"{'-':>{width}}"
                                                      for s in sides))
    slower = [loop["what"] for loop in found.values() if loop["median"].get("mica", 0) >= loop["median"].get("tcg", float("inf"))]
    if all("tcg" in loop["median"] and "mica" in loop["median"] for loop in found.values()):
        lines += ["", "mica: faster than TCG: " + ("no: " + "; ".join(slower) if slower else f"yes, all {len(found)}")]
    return "\n".join(lines)
