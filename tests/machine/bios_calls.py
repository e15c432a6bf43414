#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bios_calls.py MICA KERNEL... [-- ARGUMENT...] - a guest that calls the BIOS is told that there is none, and so are we."""
import re
import subprocess
import sys

NONE = "this machine has no firmware: it boots kernels by the Linux, PVH or Multiboot protocol, which do without"
LINES = ["the guest called BIOS interrupt 13h (AX=0201h), which fails: " + NONE,
         "the guest called BIOS interrupt 15h (AX=E820h), which fails: " + NONE,
         "the guest has no handler of its own for hardware interrupt 0 (vector 08h in real mode): " + NONE]
JUMPED = "the guest jumped to f000:9000, where a PC has its BIOS, and halts: " + NONE


def run(mica, kernel, extra, until=None):
    p = subprocess.Popen([mica, "run", "--kernel", kernel, "--memory", "16M", "--no-reboot", *extra], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in p.stderr:
        lines.append(re.sub(r"^mica: guest: ", "", line.rstrip("\n")))
        if until and until in line:
            p.terminate()
    return p.wait(60), p.stdout.read(), lines


def main():
    words = sys.argv[1:]
    extra = words[words.index("--") + 1:] if "--" in words else []
    mica, reset, jump = words[:3]
    wrong = []
    for kernel, until, status, lines in ((reset, None, 3, LINES), (jump, "jumped to", 143, LINES + [JUMPED])):
        got = run(mica, kernel, extra, until)
        if got != (status, "CABScI\n", lines):
            wrong.append(f"{kernel}: {got}\nwanted: {(status, 'CABScI', lines)}")
    print("\n".join(wrong) or "ok")
    return bool(wrong)


sys.exit(main())
