#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""check_tailcalls.py CC LIBRARY_OR_OBJECT... - INV-CHAIN-1 of src/cpu/soft/handler.h, looked for in the object code.

A uop handler goes on to the next one by a jump. Where the compiler made that a call (because a local's address
escapes, say), the host's stack would grow with every guest instruction. So:

- a chain function is one that ends in a jump through a pointer loaded from memory with a 64-bit second argument
  (the uop), or in a jump to another chain function (run_leave() is one);
- of the hooks (src/cpu/soft/hooks.h) the first two, leave and link, are such pointers, and the others are not;
- nobody calls a chain function, directly or through a uop, but the run loop.

First the check is tried on two handlers of its own, a good one and a bad one.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# Calls stubs through pointers, with a register's place as second argument; tests/unit/cpu/soft/vector/test_vec_stub.c looks at its depth.
CALLS_STUBS = "soft_vector_vec_run.c.o"
RUN_LOOP = {"core_run", "step", "run_uops", "enter_chain", "cpu_run"}
SAMPLE = """
struct uop { void (*fn)(void *, const struct uop *); long pad[3]; };
void escape(long *);
void good(void *c, const struct uop *o) { return o[1].fn(c, o + 1); }
void bad(void *c, const struct uop *o) { long v; escape(&v); return o[1].fn(c, o + 1); }
void also_good(void *c, const struct uop *o) { return good(c, o); }
void also_bad(void *c, const struct uop *o) { long v; good(c, o); escape(&v); }
"""


def functions(objects):
    """{(object, name): [instruction text]}, relocations folded into call and jmp."""
    out = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", *objects], check=True, capture_output=True,
                         text=True).stdout
    found, body, where = {}, [], ""
    for line in out.splitlines():
        if match := re.match(r"(\S+):\s+file format", line):
            where = Path(match[1]).name
        elif match := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            body = found.setdefault((where, match[1]), [])
        elif match := re.match(r"\s+[0-9a-f]+: (R_X86_64_PLT32|R_X86_64_PC32)\s+(\S+?)[-+]0x[0-9a-f]+$", line):
            if body and body[-1].split()[0] in ("call", "jmp"):
                body[-1] = f"{body[-1].split()[0]} {match[2]}"
        elif match := re.match(r"\s*[0-9a-f]+:\t(.+)", line):
            text = match[1].split("#")[0].strip()
            if local := re.match(r"(call|jmp)\s+[0-9a-f]+ <(\w+)>$", text):
                text = f"{local[1]} {local[2]}"
            body.append(text)
    return found


def writes(text, register):
    """Whether the AT&T instruction's last operand is this register."""
    return text.endswith("," + register) and not text.startswith(("cmp", "test"))


def passes_uop(body, i):
    """At instruction i the second argument is a 64-bit value: written so last, or never since the start."""
    for text in reversed(body[:i]):
        if writes(text, "%esi") or text.startswith("call"):
            return False
        if writes(text, "%rsi"):
            return True
    return True


def through_memory(body, i):
    """The indirect jump or call at i takes its target from memory, not from a switch's table."""
    target = body[i].split("*", 1)[1]
    if not target.startswith("%"):
        return "(" in target and not re.search(r",\d\)$", target) and "(,%" not in target
    for text in reversed(body[:i]):
        if writes(text, target):
            return text.startswith("mov ") and "(" in text and "(," not in text
    return False


def source(body, i):
    """The operand that the register in the memory operand at i was loaded from, or None."""
    register = re.search(r"\*\w*\((%r\w+)\)$", body[i])
    for text in reversed(body[:i]):
        if register and writes(text, register[1]):
            return text.split()[1].rsplit(",", 1)[0] if text.startswith("mov ") else None
    return None


def hooks_offset(found):
    """Where a vCPU has its hooks: core_request() calls one, and nothing else through a pointer."""
    for (_, name), body in found.items():
        for i, text in enumerate(body):
            if name == "core_request" and re.match(r"(call|jmp)\s+\*", text):
                return source(body, i).split("(")[0]
    return None


def check(objects):
    found = functions(objects)
    hooks = hooks_offset(found)

    def other_hook(body, i):
        at = source(body, i)
        return at and at.split("(")[0] == hooks and re.search(r"\*(0x)?(\w*)\(", body[i])[2] not in ("", "8")
    # Only the software engine has handlers; its decoders have none, but tables of functions. The translator has none
    # either: it enters code that comes back, and runs one instruction's handlers, which end in jit_run.c's ran(). Memory
    # and blocks come below handlers.
    found = {key: body for key, body in found.items()
             if not re.search("decode|jit_|soft_memory_|soft_blocks_", key[0]) and ("soft_" in key[0] or "sample" in key[0])}
    chain = set()
    for (_, name), body in found.items():
        if any(re.match(r"(notrack )?jmp\s+\*", t) and through_memory(body, i) and passes_uop(body, i) and not other_hook(body, i)
               for i, t in enumerate(body)):
            chain.add(name)
    direct = len(chain)
    grew = True
    while grew:
        more = {name for (_, name), body in found.items()
                if name not in chain and any(t.startswith("jmp ") and t.split()[1] in chain for t in body)}
        chain |= more
        grew = bool(more)
    bad = []
    for (where, name), body in found.items():
        if name.split(".")[0] in RUN_LOOP:
            continue
        for i, text in enumerate(body):
            if where != CALLS_STUBS and re.match(r"call\s+\*", text) and through_memory(body, i) and passes_uop(body, i) \
                    and not other_hook(body, i):
                bad.append(f"{where}: {name}: calls through a uop: {text}")
            elif text.startswith("call ") and text.split()[1] in chain:
                bad.append(f"{where}: {name}: calls {text.split()[1]}")
    return direct, chain, bad


def main():
    compiler, *objects = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sample.c").write_text(SAMPLE)
        subprocess.run([compiler, "-O2", "-c", "-o", f"{folder}/sample.o", f"{folder}/sample.c"], check=True)
        _, chain, bad = check([f"{folder}/sample.o"])
        names = {line.split(": ")[1] for line in bad}
        if names != {"bad", "also_bad"} or not chain >= {"good", "also_good"}:
            print(f"the check itself does not work with this compiler: chain {chain}, bad {bad}")
            return 1
    direct, chain, bad = check(objects)
    print(f"{direct} functions jump through a uop, {len(chain)} with those that jump to them; {len(bad)} calls")
    for line in bad:
        print("FAIL:", line)
    if direct < 200 or "run_leave" not in chain:
        print("FAIL: too few chain functions found; has the shape of the code changed?")
        return 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
