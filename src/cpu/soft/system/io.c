/* SPDX-License-Identifier: GPL-2.0-or-later */
/* io.c - IN OUT INS OUTS, with IOPL and the I/O permission bitmap (SDM 1 19.5). */
#include "cpu/soft/hooks.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/system/debug.h"
#include "cpu/soft/system/sys.h"

static cold_ void check_bitmap(struct soft_cpu *c, u16 port, unsigned bytes)
{
	const struct cpu_seg *tr = &c->seg[SEG_TR];

	if ((tr->ar & SEG_AR_UNUSABLE) || !(tr->ar & 8) || tr->limit < 103)
		sys_fault_0(c, EXC_GP);
	u32 at = (u32)soft_ld_priv(c, sys_lin(c, tr->base + 102), 2, false) + port / 8u;
	/* Two bytes are always read: the last byte of a map is all ones. */
	if (at + 1 > tr->limit)
		sys_fault_0(c, EXC_GP);
	u32 bits = (u32)soft_ld_priv(c, sys_lin(c, tr->base + at), 2, false) >> (port & 7);
	if (bits & ((1u << bytes) - 1))
		sys_fault_0(c, EXC_GP);
}

static inline void check_port(struct soft_cpu *c, u16 port, unsigned bytes)
{
	if (sys_vm86(c) || c->cpl > sys_iopl(c))
		check_bitmap(c, port, bytes);
	if (unlikely((c->dr7 & 0xff) && (c->cr4 & CR4_DE)))
		sys_io_breakpoint(c, port, bytes);
}

static u32 port_in(struct soft_cpu *c, u16 port, unsigned bytes)
{
	soft_no_repeat(c);
	c->st.pio++;
	u32 v = c->bus->pio_read(c->bus->opaque, c->index, port, bytes);
	mmu_device_done(c);
	return v;
}
static void port_out(struct soft_cpu *c, u16 port, unsigned bytes, u32 v)
{
	soft_no_repeat(c);
	c->st.pio++;
	c->bus->pio_write(c->bus->opaque, c->index, port, bytes, v);
	mmu_device_done(c);
}

static void set_low(u64 *reg, unsigned bytes, u64 v)
{
	if (bytes == 1)
		*reg = (*reg & ~0xffull) | (u8)v;
	else if (bytes == 2)
		*reg = (*reg & ~0xffffull) | (u16)v;
	else
		*reg = bytes == 4 ? (u32)v : v;
}
static u64 get_low(u64 v, unsigned bytes)
{
	return bytes == 1 ? (u8)v : bytes == 2 ? (u16)v : bytes == 4 ? (u32)v : v;
}

/* aux: the port is imm, else DX */
static u16 port_of(const struct soft_cpu *c, const struct uop *op)
{
	return op->aux ? (u16)op->imm : (u16)c->gpr[GPR_RDX];
}

void sys_in(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	u16 port = port_of(c, op);
	check_port(c, port, op->osize);
	set_low(&c->gpr[GPR_RAX], op->osize, port_in(c, port, op->osize));
	NEXT(c, op);
}

void sys_out(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	u16 port = port_of(c, op);
	check_port(c, port, op->osize);
	soft_no_repeat(c); /* with a watchpoint the instruction begins again, alone: while RIP is at it */
	/* The block ends here, so that what the write does (a reset, a stop) is seen before the next
	 * instruction. */
	c->rip = SOFT_NEXT_RIP(c, op);
	port_out(c, port, op->osize, (u32)get_low(c->gpr[GPR_RAX], op->osize));
	soft_leave(c, op);
}

/* INS, OUTS. osize: of an element; aux: address size in bytes; r0: REP; seg: source of OUTS.
 * Registers are exact after each element, which is where an interrupt may come. */
static void string_io(struct soft_cpu *c, const struct uop *op, bool in)
{
	unsigned n = op->osize, a = op->aux;
	u64 *ptr = &c->gpr[in ? GPR_RDI : GPR_RSI], step = c->sysflags & FL_DF ? -(u64)n : n;
	u16 port = (u16)c->gpr[GPR_RDX];

	SOFT_ENTER(c, op);
	check_port(c, port, n); /* even for a count of zero, as processors do */
	if (op->r0 && !get_low(c->gpr[GPR_RCX], a)) {
		c->rip = SOFT_NEXT_RIP(c, op);
		soft_leave(c, op);
		return;
	}
	for (;;) {
		gva_t lin = soft_seg_lin(c, in ? SEG_ES : op->seg, get_low(*ptr, a), n, in);

		if (in) {
			soft_probe(c, lin, n, true);
			soft_st(c, lin, n, port_in(c, port, n));
		} else {
			port_out(c, port, n, (u32)soft_ld(c, lin, n));
		}
		set_low(ptr, a, *ptr + step);
		if (!op->r0)
			break;
		set_low(&c->gpr[GPR_RCX], a, c->gpr[GPR_RCX] - 1);
		if (!get_low(c->gpr[GPR_RCX], a))
			break;
		if (atomic_load_explicit(&c->pending, memory_order_relaxed)) {
			soft_exit(c); /* c->rip is this instruction's: it goes on after the interrupt */
			return;
		}
	}
	c->rip = SOFT_NEXT_RIP(c, op);
	soft_leave(c, op);
}
void sys_ins(struct soft_cpu *c, const struct uop *op)
{
	string_io(c, op, true);
}
void sys_outs(struct soft_cpu *c, const struct uop *op)
{
	string_io(c, op, false);
}
