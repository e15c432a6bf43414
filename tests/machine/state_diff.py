#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""state_diff.py [OPTION...] MICA KERNEL... - the cases of kernel/state.c on several processors, compared.

Voters: the software engine in each of its ways, QEMU's TCG ("tcg"), and KVM on the processor that TCG emulates ("kvm": by
tests/kvm-host, with an image of tools/mkimage). A processor that shuts down in a case is started
again behind it. What TCG is known to get wrong everywhere is taken out of all lines, see normal(); docs/system-state.md lists
the rest with the manual's word on each.
"""
import argparse
import collections
import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

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


KVM_SCRIPT = """
echo @begin {name}
at={first}
while [ $at -lt {end} ]; do
timeout 200 mica run --engine kvm --cpu mica-v3 --memory 64M --net none --console stdio --debug-exit --no-reboot \\
  --kernel /t/{name} --append "seed={seed} first=$at count=$(({end}-at))" </dev/null >/tmp/out 2>&1
cat /tmp/out
grep -q '^passed' /tmp/out && break
last=$(grep '^ *[0-9a-f]* [a-z0-9]*\\.[03c] v' /tmp/out | tail -n1 | awk '{{print $1}}')
[ -n "$last" ] && at=$((0x$last+1))
echo; echo @ended $at; at=$((at+1))
done
"""


def run_kvm(mica, kernels, seed, first, count, seconds):
    """{kernel: its lines} under KVM, on the host of tests/kvm-host."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "kvm-host"))
    import kvmhost
    build, found = Path(mica).resolve().parent, {}
    image = sorted((build / "images").glob("debian-12-*"))[0]
    with tempfile.TemporaryDirectory(prefix="mica-state-") as work:
        host = kvmhost.Host(str(image), work)
        for name in ("mica", "mica-vmm", "mica-slirp"):
            host.add_program("bin/" + name, str(build / name))
        script = "mkdir -p /tmp/w\n"
        for kernel in kernels:
            host.add("t/" + Path(kernel).name, kernel)
            script += KVM_SCRIPT.format(name=Path(kernel).name, first=first, end=first + count, seed=seed)
        with host.boot(script) as machine:
            try:
                machine.expect(r"@host-done", seconds)
            except kvmhost.console.ConsoleError as e:
                print(e)
            log = machine.log.replace("\r", "")
    for part in log.split("@begin ")[1:]:
        name, _, text = part.partition("\n")
        kernel = next(k for k in kernels if Path(k).name == name.strip())
        found[kernel] = parse(text, range(first, first + count))
        for case in re.findall(r"@ended (\d+)", text):
            found[kernel][int(case)] = ("?", "ended")
    return found


def normal(kind, outcome, tcg):
    """An outcome without what TCG is known to get wrong everywhere; tcg: it is a voter."""
    if not tcg:
        return outcome
    # It never saves RF as set, SYSCALL loses the status flags, and error codes of INT n in long mode count 16 a gate.
    mask = ~0x108d5 if kind.startswith("fast") else ~0x10000
    outcome = re.sub(r" f([0-9a-f]+)", lambda m: f" f{int(m.group(1), 16) & mask:x}", " " + outcome).strip()
    return re.sub(r"e([0-9a-f]+)", lambda m: "eIDT" if int(m.group(1), 16) & 2 else m.group(0), outcome)


def hashed(outcome):
    return hashlib.sha256(outcome.encode()).hexdigest()[:8]


def vendor():
    """The CPU model has the host's."""
    text = Path("/proc/cpuinfo").read_text()
    return "intel" if "GenuineIntel" in text else "amd" if re.search("AuthenticAMD|HygonGenuine", text) else "other"


def compare_expected(path, voter, kernel, lines, cases):
    """How many cases of `lines` are not as the file has them."""
    text = Path(path).read_text().split()
    wanted = dict(zip(range(len(text)), text))
    wrong = [c for c in cases if c in wanted and hashed(lines.get(c, ("?", "nothing"))[1]) != wanted[c]]
    print(f"{Path(kernel).name}: {len(wrong)} of {len(cases)} cases are not as {Path(path).name} has them ({voter})")
    for case in wrong[:20]:
        print(f"  case {case:#x} {lines.get(case, ('?', 'nothing'))}")
    return len(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mica")
    parser.add_argument("kernel", nargs="+")
    parser.add_argument("--voters", default="interpreted,translated,exact,direct")
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=3, help="cases shown of each kind of difference")
    parser.add_argument("--seconds", type=int, default=900, help="for all of the KVM host")
    parser.add_argument("--expect", metavar="DIRECTORY", help="compare the first voter's lines with the file KERNEL.VENDOR there")
    parser.add_argument("--write", action="store_true", help="make that file")
    args = parser.parse_args()
    voters = args.voters.split(",")
    differ = 0
    kvm = run_kvm(args.mica, args.kernel, args.seed, args.first, args.cases, args.seconds) if "kvm" in voters else {}
    for kernel in args.kernel:
        expected = args.expect and Path(args.expect) / (re.sub("^kernel_", "", Path(kernel).name) + "." + vendor())
        all_ = {v: kvm.get(kernel, {}) if v == "kvm" else run(v, args.mica, kernel, args.seed, args.first, args.cases) for v in voters}
        groups = collections.defaultdict(list)
        for case in range(args.first, args.first + args.cases):
            said = {v: all_[v].get(case, ("?", "nothing")) for v in voters}
            kind = next((s[0] for s in said.values() if s[0] != "?"), "?")
            words = {v: normal(kind, s[1], {"tcg", "kvm"} & set(voters)) for v, s in said.items()}
            if len(set(words.values())) > 1:
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
        cases = range(args.first, args.first + args.cases)
        if expected and args.write:
            words = [hashed(all_[voters[0]].get(c, ("?", "nothing"))[1]) for c in cases]
            expected.write_text("".join(" ".join(words[i:i + 12]) + "\n" for i in range(0, len(words), 12)))
        elif expected and expected.exists() and args.seed == 1 and args.first == 0:
            differ += compare_expected(expected, voters[0], kernel, all_[voters[0]], cases)
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
