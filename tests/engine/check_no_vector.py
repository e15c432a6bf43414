#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""check_no_vector.py LIBRARY SOURCE_FOLDER - no instruction on vector or x87 registers in the objects of `no_vector`.

Translated code calls into these files while the guest's vector registers are live in the host's (src/cpu/meson.build).
They are compiled with -mgeneral-regs-only; that is what is looked for here, in the object code, and that each file of
memory/ is among them. First the check is tried on an instruction of each kind.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REGISTER = re.compile(r"%([xyz]?mm\d+|st\b|k[0-7]\b)|^(f(ld|st|n?init|x?save|xrstor|wait)\w*|emms|vzero\w+)\b")
SAMPLE = """
float scalar(float a, float b) { return a * b; }
long double x87(long double a) { return a + 1; }
long plain(long a) { return a * 3; }
"""


def faults(objects):
    out = subprocess.run(["objdump", "-d", "--no-show-raw-insn", *objects], check=True, capture_output=True, text=True).stdout
    where = function = ""
    for line in out.splitlines():
        if match := re.match(r"(\S+):\s+file format", line):
            where = Path(match[1]).name
        elif match := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            function = match[1]
        elif (match := re.match(r"\s*[0-9a-f]+:\t(.+)", line)) and REGISTER.search(match[1]):
            yield function, f"{where}: {function}: {match[1]}"


def main():
    library, folder = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary, "sample.c").write_text(SAMPLE)
        subprocess.run(["cc", "-O2", "-c", "-o", f"{temporary}/sample.o", f"{temporary}/sample.c"], check=True)
        seen = {function for function, _ in faults([f"{temporary}/sample.o"])}
    if seen != {"scalar", "x87"}:
        print(f"FAIL: the check itself does not work with this compiler: it found {sorted(seen)}")
        return 1
    bad = [text for _, text in faults([library])]
    members = subprocess.run(["ar", "t", library], check=True, capture_output=True, text=True).stdout
    names = {Path(member).name for member in members.split()}
    bad += [f"{source} is not in no_vector of src/cpu/meson.build" for source in sorted(Path(folder).glob("*.c"))
            if f"soft_memory_{source.name}.o" not in names]
    for text in bad:
        print("FAIL:", text)
    print(f"{len(names)} objects, {len(bad)} faults")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
