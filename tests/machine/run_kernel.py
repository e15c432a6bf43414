#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""run_kernel.py MICA KERNEL [ARGUMENT...] - run a test kernel and show the checks that failed.

The kernel says "ok: NAME" or "FAIL: NAME: what" per check on its console and leaves through the debug-exit
port with 16; a kernel named triple must end in a triple fault instead. With MICA = qemu the same kernel runs under
QEMU's software emulation, to compare.
"""
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import patience  # noqa: E402


def main():
    mica, kernel, *extra = sys.argv[1:]
    if mica == "qemu":
        command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "64", "-display", "none", "-no-reboot",
                   "-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", kernel]
        extra = [{"--cpus": "-smp"}.get(word, word) for word in extra]
    else:
        command = [mica, "run", "--engine", "soft", "--memory", "64M", "--console", "stdio", "--debug-exit",
                   "--no-reboot", "--kernel", kernel]
    try:
        done = subprocess.run(command + extra, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience.seconds(100))
        out, status = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as stopped:
        out, status = (stopped.stdout or b"").decode(errors="replace"), "none: still running after 100 s"
    wanted = 4 if "triple" in Path(kernel).name else 33
    lines = [line.strip() for line in out.splitlines() if line.strip()]
    passed = sum(line.startswith("ok: ") for line in lines)
    failed = [line for line in lines if line.startswith("FAIL")]
    print(f"{passed} checks passed, {len({line.split(': ')[1] for line in failed})} failed")
    if status == wanted and not failed and passed:
        return 0
    for line in failed or lines[-20:]:
        print(line)
    print(f"status {status}, wanted {wanted}; the last check that passed:",
          next((line for line in reversed(lines) if line.startswith("ok: ")), "none"))
    return 1


sys.exit(main())
