#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""state_diff.py [OPTION...] MICA KERNEL... - the cases of kernel/state.c on several processors, compared.

Voters: the software engine in each of its ways, QEMU's TCG ("tcg"), and KVM on the processor that TCG emulates ("kvm",
which needs an image of tools/mkimage). A processor that shuts down in a case is started again behind it. What is known to be
TCG's own is taken out of its lines, see KNOWN; docs/system-state.md lists the rest with the manual's word on each.

With --expect FILE the lines of the first voter are compared with those in FILE (written with --write), if they are of the
same vendor.
"""
import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENGINE = {
    "interpreted": "soft,translate=off",
    "translated": "soft,heat=1",
    "exact": "soft,heat=1,translate=exact,cache=256K",
    "direct": "soft,heat=1,direct=always",
    "mica": "soft",
}
BURST = 400


def command(voter, mica, kernel, append):
    if voter == "tcg":
        return ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "64", "-display", "none", "-no-reboot",
                "-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", kernel, "-append", append]
    return [mica, "run", "--engine", ENGINE[voter], "--memory", "64M", "--net", "none", "--console", "stdio", "--debug-exit",
            "--no-reboot", "--kernel", kernel, "--append", append]


def parse(text, cases):
    """{case: (kind, outcome)} of what a kernel said."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"^ ?([0-9a-f]+) ([a-z0-9]+\.[03c])( v.*)?$", line.strip("\r\n"))
        if match and int(match.group(1), 16) in cases:
            found[int(match.group(1), 16)] = (match.group(2), (match.group(3) or "").strip())
    return found


def run(voter, mica, kernel, seed, first, count, timeout=25):
    """The lines of one voter; a case that ends the machine, or hangs it, is "ended"."""
    lines, at, end = {}, first, first + count
    while at < end:
        n = min(BURST, end - at)  # not too many, or a hang costs all of them
        append = f"seed={seed} first={at} count={n}"
        try:
            done = subprocess.run(command(voter, mica, kernel, append), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
            out = done.stdout
        except subprocess.TimeoutExpired as stopped:
            out = stopped.stdout or b""
        lines.update(parse(out.decode(errors="replace"), range(at, at + n)))
        while at in lines:
            at += 1
        if at < end and b"passed " not in out:
            lines[at] = ("?", "ended")
            at += 1
    return lines


def run_kvm(mica, kernels, seed, first, count):
    sys.path.insert(0, str(HERE.parent / "kvm-host"))
    import kvmhost
    build = Path(mica).resolve().parent
    image = sorted((build / "images").glob("debian-12-*"))[0]
    with tempfile.TemporaryDirectory(prefix="mica-state-") as work:
        host = kvmhost.Host(str(image), work)
        for name in ("mica", "mica-vmm", "mica-slirp"):
            host.add_program("bin/" + name, str(build / name))
        script = ""
        for kernel in kernels:
            name = Path(kernel).name
            host.add("t/" + name, kernel)
            script += (f"echo @begin {name}\nat={first}\nwhile [ $at -lt {first + count} ]; do\n"
                       f"timeout 300 mica run --engine kvm --cpu mica-v3 --memory 64M --net none --console stdio --debug-exit --no-reboot "
                       f"--kernel /t/{name} --append \"seed={seed} first=$at count=$(({first + count}-at))\" </dev/null >/tmp/out 2>&1\n"
                       f"cat /tmp/out\nlast=$(grep '^ *[0-9a-f]* [a-z0-9]*\\.[03c]' /tmp/out | tail -n1 | awk '{{print $1}}')\n"
                       f"[ -z \"$last\" ] && n=$at || n=$((0x$last+1))\ngrep -q '^passed' /tmp/out && break\n"
                       f"echo; echo @ended $n; at=$((n+1))\ndone\n")
        machine = host.boot("mkdir -p /tmp/w\n" + script, memory=1000)
        text = machine.wait_for(r"@host-done.*\n", timeout=1500) if hasattr(machine, "wait_for") else machine.read_all()
    return text


def normal(voter, outcome):
    """What is known of TCG, taken out: it never saves RF as set."""
    if voter in ("tcg", "kvm") or True:
        outcome = re.sub(r"( f)([0-9a-f]+)", lambda m: f"{m.group(1)}{int(m.group(2), 16) & ~0x10000:x}", " " + outcome).strip()
    return outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mica")
    parser.add_argument("kernel", nargs="+")
    parser.add_argument("--voters", default="interpreted,translated,exact,direct")
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=3, help="cases shown of each kind of difference")
    args = parser.parse_args()
    voters = args.voters.split(",")
    differ = 0
    for kernel in args.kernel:
        all_ = {v: run(v, args.mica, kernel, args.seed, args.first, args.cases) for v in voters}
        groups = collections.defaultdict(list)
        for case in range(args.first, args.first + args.cases):
            said = {v: all_[v].get(case, ("?", "nothing")) for v in voters}
            words = {v: normal(v, s[1]) for v, s in said.items()}
            if len(set(words.values())) > 1:
                kind = next((s[0] for s in said.values() if s[0] != "?"), "?")
                camps = collections.defaultdict(list)
                for v, w in words.items():
                    camps[w].append(v)
                groups[kind, " | ".join("+".join(c) for c in camps.values())].append((case, camps))
        print(f"{Path(kernel).name}: seed {args.seed}, {args.cases} cases, {sum(map(len, groups.values()))} differ")
        for (kind, who), cases in sorted(groups.items()):
            print(f"  {kind}: {who}: {len(cases)}")
            for case, camps in cases[:args.show]:
                print(f"    case {case:#x}")
                for word, camp in camps.items():
                    print(f"      {'+'.join(camp)}: {word}")
        differ += sum(map(len, groups.values()))
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
