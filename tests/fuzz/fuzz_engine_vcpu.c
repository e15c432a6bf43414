/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_engine_vcpu.c - registers of a random machine's vCPUs: of its mode, and near each border of what may be. */
#include "cpu/soft/vm.h"
#include "fuzz_engine.h"

/* An address that means something, often near a page's border. */
u64 any_address(struct fuzz *f)
{
	u64 a = below(f, RAM_PAGES) * PAGE_BYTES;

	switch (below(f, 4)) {
	case 0:
		a += below(f, PAGE_BYTES);
		break;
	case 1:
		a += PAGE_BYTES - below(f, 40);
		break;
	case 2:
		a += below(f, 64) * 8;
		break;
	default:
		a = (one_in(f, 2) ? AT_CODE : AT_DATA) + below(f, CODE_PAGES * PAGE_BYTES);
		break;
	}
	switch (below(f, 16)) {
	case 0:
		return a + 0xffff800000000000ull;
	case 1:
		return a + 0xffffffff80000000ull;
	case 2:
		return a + RAM_BYTES;
	case 3:
		return a + 0xffffffffffe00000ull;
	default:
		return a;
	}
}

u64 any_value(struct fuzz *f)
{
	static const u64 edge[] = { 0,
				    1,
				    2,
				    0x7f,
				    0x80,
				    0xff,
				    0xffff,
				    0x7fffffff,
				    0x80000000,
				    0xffffffff,
				    0x100000000,
				    0x7fffffffffffull,
				    0x800000000000ull,
				    0xffff7fffffffffffull,
				    0xffff800000000000ull,
				    0x7fffffffffffffffull,
				    0x8000000000000000ull,
				    UINT64_MAX,
				    0xfee00000,
				    0xfffffff0,
				    0xfffff000 };

	switch (below(f, 4)) {
	case 0:
		return edge[below(f, ARRAY_LEN(edge))];
	case 1:
		return one_in(f, 2) ? r64(f) : r8(f);
	default:
		return any_address(f);
	}
}

static struct cpu_seg seg(u16 sel, u32 ar, u64 base, u32 limit)
{
	return (struct cpu_seg){ .sel = sel, .ar = ar, .base = base, .limit = limit };
}

static void fpu_area(struct fuzz *f, struct cpu_state *s)
{
	u16 fcw = one_in(f, 2) ? 0x37f : (u16)(r64(f) & 0x1f7f);
	u32 mxcsr = one_in(f, 2) ? 0x1f80 : (u32)(r64(f) & 0xffbf);
	u64 bv = s->xcr0;

	for (unsigned i = 32; i < 1024; i++)
		s->xsave[i] = i >= 512 && i < 576 ? 0 : i & 1 ? r8(f) : (u8)i;
	memcpy(s->xsave, &fcw, 2);
	s->xsave[4] = r8(f); /* tags */
	memcpy(s->xsave + 24, &mxcsr, 4);
	memcpy(s->xsave + 512, &bv, 8);
}

void make_vcpu(struct fuzz *f, struct cpu_state *s)
{
	enum fuzz_mode m = f->mode;
	unsigned cpl = m == M_REAL ? 0 : m == M_VM86 ? 3 : one_in(f, 3) ? 3 : one_in(f, 8) ? below(f, 4) : 0;
	u32 dpl = cpl << 5, rpl = cpl;
	bool paged = m >= M_PAGED32 && (m != M_VM86 || one_in(f, 2)), lma = m == M_LONG || m == M_COMPAT;

	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = m == M_LONG ? any_value(f) : (u32)any_value(f);
	s->gpr[GPR_RSP] = one_in(f, 8) ? s->gpr[GPR_RSP] : AT_STACK + below(f, 0x5000);
	s->rip = AT_CODE + below(f, 0x3000);
	s->rflags = 2 | (one_in(f, 2) ? FL_IF : 0) | (u64)(r8(f) & 0xd5) | (one_in(f, 8) ? FL_TF : 0) |
		    (one_in(f, 4) ? FL_DF : 0) | (one_in(f, 4) ? FL_IOPL : 0) | (one_in(f, 8) ? FL_AC : 0) |
		    (one_in(f, 8) ? FL_NT : 0) | (one_in(f, 8) ? FL_RF : 0);
	s->cr0 = CR0_ET | (one_in(f, 8) ? 0 : CR0_NE) | (one_in(f, 2) ? CR0_WP : 0) | (one_in(f, 2) ? CR0_AM : 0) |
		 (one_in(f, 8) ? CR0_TS : 0) | (one_in(f, 2) ? CR0_MP : 0) | (one_in(f, 8) ? CR0_EM : 0) |
		 (m != M_REAL ? CR0_PE : 0) | (paged ? CR0_PG : 0);
	s->cr4 = r64(f) & (CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_UMIP);
	if (!one_in(f, 8))
		s->cr4 |= CR4_OSFXSR | CR4_OSXSAVE | CR4_OSXMMEXCPT | CR4_FSGSBASE;
	if (one_in(f, 3))
		s->cr4 |= r64(f) & (CR4_SMEP | CR4_SMAP);
	s->cr3 = AT_PD32;
	if (m == M_PAE || lma) {
		s->cr4 |= CR4_PAE;
		s->cr3 = lma ? AT_PML4 : AT_PDPTE;
	}
	s->efer = (one_in(f, 4) ? 0 : EFER_SCE | EFER_NXE) | (lma ? EFER_LME | EFER_LMA : 0);
	s->cr2 = any_value(f);
	static const u8 xcr0s[] = { 7, 7, 3, 1 };
	s->xcr0 = xcr0s[below(f, 4)];

	if (m == M_REAL || m == M_VM86) {
		for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
			u16 sel = (u16)(below(f, RAM_BYTES / 16));
			s->seg[i] = seg(sel, m == M_REAL ? 0x93 : 0xf3, sel * 16u, 0xffff);
		}
		s->seg[SEG_CS].sel = AT_CODE / 16;
		s->seg[SEG_CS].base = AT_CODE;
		s->seg[SEG_SS].sel = 0;
		s->seg[SEG_SS].base = 0;
		s->rip = below(f, 0x3000);
		if (m == M_VM86)
			s->rflags |= FL_VM;
		else if (one_in(f, 4)) /* unreal */
			s->seg[SEG_DS].limit = s->seg[SEG_ES].limit = 0xffffffff;
	} else {
		u32 wide = m == M_PROT16 ? 0 : SEG_AR_DB | SEG_AR_G;
		u16 cs = m == M_LONG ? 8 : m == M_PROT16 ? 32 : 24, ring = cpl ? 40 : 0;
		u32 limit = m == M_PROT16 ? 0x1ffff : 0xffffffff;
		s->seg[SEG_CS] = seg((u16)(cs + ring + rpl), (m == M_LONG ? 0xa09b : 0x9b | wide) | dpl, 0, limit);
		s->seg[SEG_SS] = seg((u16)(16 + ring + rpl), 0x93 | wide | dpl, 0, 0xffffffff);
		for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
			if (i == SEG_CS || i == SEG_SS)
				continue;
			s->seg[i] = seg((u16)(16 + ring + rpl), 0xc093 | dpl, 0, 0xffffffff);
			switch (below(f, 8)) {
			case 0:
				s->seg[i] = seg(0, SEG_AR_UNUSABLE, 0, 0);
				break;
			case 1: /* expand-down, read-only, with a base and a limit */
				s->seg[i].ar = (0x91 | (r8(f) & 0xf)) | dpl | SEG_AR_DB;
				s->seg[i].limit = below(f, 0x40000);
				s->seg[i].base = (u32)any_address(f);
				break;
			default:
				break;
			}
		}
		if (lma) {
			s->seg[SEG_FS].base = any_address(f);
			s->seg[SEG_GS].base = any_address(f);
		}
	}
	s->seg[SEG_TR] = seg(12 * 8, one_in(f, 6) ? 0x83 : 0x8b, AT_TSS, 0x67 + below(f, 0x100));
	s->seg[SEG_LDTR] = one_in(f, 4) ? seg(0, SEG_AR_UNUSABLE, 0, 0) : seg(14 * 8, 0x82, AT_LDT, 0x7f);
	s->gdt_base = AT_GDT + (lma && one_in(f, 4) ? 0xffff800000000000ull : 0);
	s->gdt_limit = one_in(f, 8) ? (u16)below(f, 512) : 511;
	s->idt_base = m == M_REAL ? 0 : AT_IDT;
	s->idt_limit = one_in(f, 16) ? (u16)below(f, 4096) : 4095;

	for (unsigned i = 0; i < 4; i++)
		s->dr[i] = lma ? any_address(f) : (u32)any_address(f);
	s->dr6 = 0xffff0ff0;
	s->dr7 = one_in(f, 4) ? (r64(f) & 0xffff2bff) | 0x400 : 0x400;
	s->star = (u64)(one_in(f, 2) ? 8 : r8(f)) << 32 | (u64)(one_in(f, 2) ? 0x33 : r8(f)) << 48;
	s->lstar = any_address(f);
	s->cstar = any_address(f);
	s->fmask = r64(f) & 0x3f7fd5;
	s->kernel_gs_base = any_address(f);
	s->sysenter_cs = one_in(f, 2) ? 8 : r8(f);
	s->sysenter_esp = any_address(f);
	s->sysenter_eip = any_address(f);
	s->pat = 0x0007040600070406ull;
	s->tsc = 1;
	s->misc_enable = 1;
	s->mtrr_def_type = 0xc06;
	s->run_state = one_in(f, 16) ? CPU_HALTED : one_in(f, 32) ? CPU_WAIT_SIPI : CPU_RUNNING;
	s->intr_shadow = one_in(f, 16);
	s->nmi_masked = one_in(f, 16);
	s->nmi_pending = one_in(f, 16);
	fpu_area(f, s);
}
