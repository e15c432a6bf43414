#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""No global function may be defined in two rooms: static libraries would let the linker pick one silently.

usage: check_symbols.py LIB.a...
"""
import collections
import subprocess
import sys

where = collections.defaultdict(list)
for lib in sys.argv[1:]:
    out = subprocess.run(["nm", "-A", "--defined-only", "--extern-only", lib], check=True, capture_output=True,
                         text=True).stdout
    for line in out.splitlines():
        place, kind, name = line.rsplit(maxsplit=2)
        if kind in "TDBR":
            where[name].append(place)
twice = {name: places for name, places in where.items() if len(places) > 1}
for name, places in sorted(twice.items()):
    print(f"{name} is defined in {', '.join(p.split(':')[1] for p in places)}")
if not where:
    sys.exit("no symbols seen: wrong files?")
print(f"{len(where)} symbols, {len(twice)} defined twice")
sys.exit(bool(twice))
