# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb commands for mica-vmm with the software engine: source this file (docs/debugging.md).

    mica cpus            each vCPU: its thread, mode and guest RIP
    mica block [PC]      the translated block that a host address belongs to (this frame's by default)
    mica uops [PC]       ... and what it was decoded to
    mica bt [N]          the guest's stack, by frame pointers, N frames at most (30)
    mica regs            the guest's general registers
    mica walk ADDRESS    the guest's page tables for a linear address, entry by entry
    mica x ADDRESS[, N]  N bytes of the guest's memory (64)

They read memory and change nothing, so that they work on core files as well. All but the first are about the vCPU of the selected thread."""
import gdb

PAGE = 4096
CR4_PAE = 1 << 5
CR0_PG = 1 << 31
EFER_LMA = 1 << 10
GUEST_REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))
HOST_REGISTERS = GUEST_REGISTERS


def number(value):
    return int(value) & (1 << 64) - 1


def evaluate(text):
    return number(gdb.parse_and_eval(text))


class Vcpu:
    """What there is to know of the selected thread's vCPU."""

    def __init__(self):
        self.c = gdb.parse_and_eval("vec_current")
        if not number(self.c):
            raise gdb.GdbError("mica: this thread is no vCPU inside of the software engine: `mica cpus` lists them")
        self.vm = self.c["vm"]
        self.ram = self.c["ram"]

    def gpr(self, index, pc=None):
        """A guest register; in translated code (pc) most are in host registers (jit_encode.c)."""
        if pc is not None and self.block_of(pc)[0]:
            host = int(gdb.parse_and_eval("jit_hreg")[index])
            if host < len(HOST_REGISTERS):
                return number(gdb.newest_frame().read_register(HOST_REGISTERS[host]))
        return number(self.c["gpr"][index])

    # ---- translated code ----

    def code(self):
        jit = self.vm["jit"]
        return (number(jit["rx"]), number(jit["bytes"])) if number(jit) else (0, 0)

    def block_of(self, pc):
        """(block, offset of pc in its code), or (None, 0)."""
        rx, size = self.code()
        if not rx <= pc < rx + size:
            return None, 0
        jit, low, high = self.vm["jit"], 0, int(self.vm["jit"]["nindex"])
        while low < high:
            middle = (low + high) // 2
            if int(jit["index"][middle]["at"]) <= pc - rx:
                low = middle + 1
            else:
                high = middle
        if not low:
            return None, 0
        arena = number(self.vm["cache"]["arena"])
        address = arena + 16 * int(jit["index"][low - 1]["block"])
        block = gdb.Value(address).cast(gdb.lookup_type("struct block").pointer())
        at = pc - rx - int(block["jit"]["start"])
        return (block, at) if 0 <= at < int(block["jit"]["bytes"]) else (None, 0)

    def rip(self, pc):
        """The guest's RIP, and how sure that is."""
        block, _ = self.block_of(pc)
        if block:
            page = number(self.c["jit"]["vpage"])
            return page + number(block["phys"]) % PAGE, "of its block (translated code)"
        op = self.c["op"]
        if number(op):
            return number(self.c["rip"]), "of the last handler or exit"
        return number(self.c["rip"]), ""

    # ---- guest memory ----

    def physical(self, address, count):
        """count bytes of memory from a guest physical address on; None outside of it."""
        host = number(self.ram["host"])
        for i in range(number(self.ram["nranges"])):
            extent = self.ram["range"][i]
            at, size = address - number(extent["gpa"]), number(extent["bytes"])
            if 0 <= at < size:
                if at + count > size:
                    return None
                return bytes(gdb.selected_inferior().read_memory(host + number(extent["off"]) + at, count))
        return None

    def walk(self, address):
        """Yields (name, where, entry); the last one is ("page", physical address, bytes of the page), or ("fault", ...)."""
        cr0, cr3, cr4 = (number(self.c[r]) for r in ("cr0", "cr3", "cr4"))
        if not cr0 & CR0_PG:
            yield "page", address, PAGE
            return
        if number(self.c["efer"]) & EFER_LMA:
            levels, size = [("PML4E", 39), ("PDPTE", 30), ("PDE", 21), ("PTE", 12)], 8
        elif cr4 & CR4_PAE:
            levels, size = [("PDPTE", 30), ("PDE", 21), ("PTE", 12)], 8
        else:
            levels, size = [("PDE", 22), ("PTE", 12)], 4
        index_mask = 511 if size == 8 else 1023
        table = cr3 & (0x000ffffffffff000 if len(levels) != 3 else 0xffffffe0)
        for name, shift in levels:
            where = table + (address >> shift & index_mask) * size
            raw = self.physical(where, size)
            if raw is None:
                yield "fault", where, 0
                return
            entry = int.from_bytes(raw, "little")
            yield name, where, entry
            if not entry & 1:
                yield "fault", where, entry
                return
            large = name in ("PDPTE", "PDE") and entry & 0x80 and not (len(levels) == 3 and name == "PDPTE")
            if large or name == "PTE":
                mask = (1 << shift) - 1
                yield "page", (entry & 0x000ffffffffff000 & ~mask) | (address & mask), mask + 1
                return
            table = entry & 0x000ffffffffff000

    def read(self, address, count):
        """Guest linear memory; shorter where a page is missing."""
        out = b""
        while count:
            n = min(count, PAGE - address % PAGE)
            *_, (kind, physical, _) = self.walk(address)
            piece = self.physical(physical, n) if kind == "page" else None
            if piece is None:
                break
            out, address, count = out + piece, address + n, count - n
        return out


def flags_of(entry):
    names = ((0, "P"), (1, "W"), (2, "U"), (5, "A"), (6, "D"), (7, "PS"), (8, "G"), (63, "NX"))
    return " ".join(n for bit, n in names if entry >> bit & 1) or "not present"


def pc_of_frame(argument):
    return evaluate(argument) if argument else number(gdb.newest_frame().pc())


class Mica(gdb.Command):
    __doc__ = __doc__

    def __init__(self):
        super().__init__("mica", gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)


class Sub(gdb.Command):
    def __init__(self):
        super().__init__("mica " + self.name, gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        self.run(*(part.strip() for part in argument.split(",") if part.strip()))


class Cpus(Sub):
    """Each vCPU: its thread, mode and guest RIP."""
    name = "cpus"

    def run(self):
        before = gdb.selected_thread()
        try:
            for thread in sorted(gdb.selected_inferior().threads(), key=lambda t: t.num):
                thread.switch()
                try:
                    if not evaluate("vec_current"):
                        continue
                except gdb.error:
                    continue
                v = Vcpu()
                rip, how = v.rip(number(gdb.newest_frame().pc()))
                state = "halted" if v.c["halted"] else "running" if v.c["in_guest"] else "stopped"
                print(f"vCPU {int(v.c['index'])}: thread {thread.num}, {state}, CPL {int(v.c['cpl'])}, RIP {rip:#x} {how}")
        finally:
            if before:
                before.switch()


class Block(Sub):
    """The translated block that a host address belongs to."""
    name = "block"

    def run(self, pc=None):
        v, at = Vcpu(), pc_of_frame(pc)
        block, offset = v.block_of(at)
        if not block:
            raise gdb.GdbError(f"mica: {at:#x} is in no translated block")
        page = number(v.c["jit"]["vpage"])
        print(f"block at {number(block):#x}: RAM offset {number(block['phys']):#x}, {int(block['bytes'])} bytes, {int(block['nops'])} uops"
              f"{', dead' if int(block['dead']) else ''}; host code +{offset:#x} of {int(block['jit']['bytes']):#x}")
        print(f"guest RIP {page + number(block['phys']) % PAGE:#x}, if it is the one that runs")
        return block


class Uops(Sub):
    """What a translated block was decoded to."""
    name = "uops"

    def run(self, pc=None):
        v, at = Vcpu(), pc_of_frame(pc)
        block, _ = v.block_of(at)
        if not block:
            raise gdb.GdbError(f"mica: {at:#x} is in no translated block")
        for i in range(int(block["nops"])):
            op = block["op"][i]
            print(f"{i:3} +{int(op['rip_off']):#05x} {int(op['len']):2} bytes  {op['fn'].format_string(symbols=True)}")


class Backtrace(Sub):
    """The guest's stack, by frame pointers: right where its code keeps them."""
    name = "bt"

    def run(self, count="30"):
        v = Vcpu()
        pc = number(gdb.newest_frame().pc())
        rip, how = v.rip(pc)
        rbp, rsp = v.gpr(5, pc), v.gpr(4, pc)
        print(f"#0  {rip:#018x} {how}")
        for i in range(1, int(count, 0)):
            raw = v.read(rbp, 16)
            if len(raw) < 16 or rbp < rsp:
                break
            rsp, rbp, ret = rbp, int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")
            print(f"#{i:<2} {ret:#018x}")


class Registers(Sub):
    """The guest's general registers."""
    name = "regs"

    def run(self):
        v, pc = Vcpu(), number(gdb.newest_frame().pc())
        for i, name in enumerate(GUEST_REGISTERS):
            print(f"{name:4}{v.gpr(i, pc):#018x}", end="\n" if i % 4 == 3 else "  ")


class Walk(Sub):
    """The guest's page tables for a linear address."""
    name = "walk"

    def run(self, address):
        for name, where, entry in Vcpu().walk(evaluate(address)):
            if name == "page":
                print(f"page   {where:#x} physical, in a page of {entry >> 10} KiB")
            elif name == "fault":
                print(f"fault  at {where:#x}")
            else:
                print(f"{name:6} at {where:#x}: {entry:#018x} {flags_of(entry)}")


class Examine(Sub):
    """Bytes of the guest's memory."""
    name = "x"

    def run(self, address, count="64"):
        at = evaluate(address)
        raw = Vcpu().read(at, int(count, 0))
        for i in range(0, len(raw), 16):
            print(f"{at + i:#018x}  {raw[i:i + 16].hex(' ')}")
        if len(raw) < int(count, 0):
            print(f"{at + len(raw):#x} is not mapped")


Mica()
for sub in (Cpus, Block, Uops, Backtrace, Registers, Walk, Examine):
    sub()
