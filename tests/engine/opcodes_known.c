/* SPDX-License-Identifier: GPL-2.0-or-later */
/* opcodes_known.c - reading an instruction's bytes without Zydis, and the table of what may differ from the host CPU.
 */
#include "opcodes.h"

bool opcode_direct, opcode_v2;

static ZydisDecoder *decoder(unsigned bits)
{
	static ZydisDecoder d[3];
	static bool made;

	for (unsigned i = 0; i < 3 && !made; i++)
		hx_decoder_bits(&d[i], 64 >> i);
	made = true;
	return &d[bits == 64 ? 0 : bits == 32 ? 1 : 2];
}

void opcode_parse(struct opcode *o)
{
	const u8 *b = o->b;
	unsigned i = 0;

	o->rex = o->rep = 0;
	o->o16 = o->a = o->lock = o->seg_fs_gs = false;
	for (; i < 15; i++) {
		u8 p = b[i];
		if (p == 0x66)
			o->o16 = true;
		else if (p == 0x67)
			o->a = true;
		else if (p == 0xf0)
			o->lock = true;
		else if (p == 0xf2 || p == 0xf3)
			o->rep = p;
		else if (p == 0x64 || p == 0x65)
			o->seg_fs_gs = true;
		else if (p == 0x26 || p == 0x2e || p == 0x36 || p == 0x3e)
			;
		else if (o->bits == 64 && (p & 0xf0) == 0x40) {
			o->rex = p;
			continue;
		} else
			break;
		o->rex = 0; /* only right before the opcode */
	}
	o->nprefix = i;
	o->map = MAP_1;
	o->vmap = o->pp = 0;
	o->op = b[i++];
	if (o->op == 0x0f) {
		o->map = MAP_0F;
		o->op = b[i++];
		if (o->op == 0x38 || o->op == 0x3a) {
			o->map = o->op == 0x38 ? MAP_0F38 : MAP_0F3A;
			o->op = b[i++];
		} else if (o->op == 0x0f) {
			o->map = MAP_3DNOW;
		}
	} else if ((o->op == 0xc4 || o->op == 0xc5 || o->op == 0x62) && (o->bits == 64 || b[i] >= 0xc0)) {
		bool two = o->op == 0xc5;
		o->map = o->op == 0x62 ? MAP_EVEX : MAP_VEX;
		o->vmap = two ? 1 : o->op == 0x62 ? b[i] & 7 : b[i] & 31;
		if (!two)
			i++;
		o->pp = b[i++] & 3;
		if (o->op == 0x62)
			i++;
		o->op = b[i++];
	} else if (o->op == 0x8f && (b[i] & 31) >= 8) {
		o->map = MAP_XOP;
		o->vmap = b[i++] & 31;
		o->pp = b[i++] & 3;
		o->op = b[i++];
	}
	o->at = i;
	o->modrm = b[i];
	/* Behind the instruction there is INT3, or nothing. */
	unsigned n = o->off + 15 <= HX_CODE_BYTES ? 15 : o->n;
	o->known = ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder(o->bits), b, n, &o->in, o->ops));
	if (o->known)
		o->n = o->in.length;
	o->last = o->n ? b[o->n - 1] : 0;
}

#define IS(name) static bool name(const struct opcode *o, const struct hx_state *host)

/* ---- what the model lacks ---- */

/* By Zydis's instruction sets: the CPUID bit; leaf 0: no model has it. */
static const struct set {
	const char *name;
	u32 leaf;
	char reg;
	u8 bit;
} sets[] = {
	{ "SSE4A", 0, 0, 0 },
	{ "SHA", 0, 0, 0 },
	{ "GFNI", 0, 0, 0 },
	{ "AVX_GFNI", 0, 0, 0 },
	{ "AVX_VNNI", 0, 0, 0 },
	{ "VAES", 0, 0, 0 },
	{ "VPCLMULQDQ", 0, 0, 0 },
	{ "MOVDIR", 0, 0, 0 },
	{ "ADOX_ADCX", 7, 'b', 19 },
	{ "CLWB", 7, 'b', 24 },
	{ "CLFLUSHOPT", 7, 'b', 23 },
	{ "XSAVEC", 0, 0, 0 },
	{ "XSAVES", 0, 0, 0 },
	{ "CLZERO", 0, 0, 0 },
	{ "RDPRU", 0, 0, 0 },
	{ "MONITORX", 0, 0, 0 },
	{ "MONITOR", 0, 0, 0 },
	{ "SVM", 0, 0, 0 },
	{ "VTX", 0, 0, 0 },
	{ "PKU", 0, 0, 0 },
	{ "ENQCMD", 0, 0, 0 },
	{ "WAITPKG", 0, 0, 0 },
	{ "SERIALIZE", 0, 0, 0 },
	{ "RDPID", 7, 'c', 22 },
	{ "RDSEED", 7, 'b', 18 },
	{ "RDRAND", 1, 'c', 30 },
	{ "INVPCID", 7, 'b', 10 },
	{ "FMA4", 0, 0, 0 },
	{ "XOP", 0, 0, 0 },
	{ "TBM", 0, 0, 0 },
	{ "LWP", 0, 0, 0 },
	{ "AMD3DNOW", 0, 0, 0 },
	{ "PTWRITE", 0, 0, 0 },
	{ "SNP", 0, 0, 0 },
	{ "INVLPGB", 0, 0, 0 },
	{ "WBNOINVD", 0, 0, 0 },
	{ "MCOMMIT", 0, 0, 0 },
	{ "KEYLOCKER", 0, 0, 0 },
	{ "KEYLOCKER_WIDE", 0, 0, 0 },
	{ "AMX_TILE", 0, 0, 0 },
	{ "AMX_INT8", 0, 0, 0 },
	{ "AMX_BF16", 0, 0, 0 },
	{ "RTM", 0, 0, 0 },
	{ "TSX_LDTRK", 0, 0, 0 },
	{ "AVX", 1, 'c', 28 },
	{ "AVX2", 7, 'b', 5 },
	{ "AVX2GATHER", 7, 'b', 5 },
	{ "AVXAES", 1, 'c', 28 },
	{ "FMA", 1, 'c', 12 },
	{ "F16C", 1, 'c', 29 },
	{ "BMI1", 7, 'b', 3 },
	{ "BMI2", 7, 'b', 8 },
	{ "MOVBE", 1, 'c', 22 },
	{ "AES", 1, 'c', 25 },
	{ "PCLMULQDQ", 1, 'c', 1 },
	{ "XSAVE", 1, 'c', 26 },
	{ "XSAVEOPT", 0xd, 'a', 0 },
	{ "RDTSCP", 0x80000001, 'd', 27 },
	{ "RDWRFSGS", 7, 'b', 0 },
};

static const struct set *set_of(const struct opcode *o)
{
	const char *name = o->known ? ZydisISASetGetString(o->in.meta.isa_set) : NULL;

	for (unsigned i = 0; name && i < ARRAY_LEN(sets); i++)
		if (!strcmp(sets[i].name, name))
			return &sets[i];
	return NULL;
}

static bool is_mnemonic(const struct opcode *o, ZydisMnemonic m)
{
	return o->known && o->in.mnemonic == m;
}

IS(evex)
{
	return o->map == MAP_EVEX;
}

/* Bits of AVX, BMI and the rest go their own ways. */
IS(lacking)
{
	const struct set *s = set_of(o);

	if (o->known && o->in.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX && !hx_offers(1, 'c', 28) && s &&
	    strncmp(s->name, "BMI", 3))
		return true;
	if (is_mnemonic(o, ZYDIS_MNEMONIC_TZCNT) || is_mnemonic(o, ZYDIS_MNEMONIC_LZCNT) ||
	    is_mnemonic(o, ZYDIS_MNEMONIC_VMCALL) || is_mnemonic(o, ZYDIS_MNEMONIC_VMMCALL))
		return false;
	if (o->known && !strncmp(ZydisISASetGetString(o->in.meta.isa_set), "AVX512", 6))
		return true;
	return s && (!s->leaf || !hx_offers(s->leaf, s->reg, s->bit));
}

/* ---- what the host's kernel, or time, or chance decides ---- */

IS(system_call)
{
	if (o->map == MAP_0F)
		return o->op == 0x05 || o->op == 0x34;
	return o->map == MAP_1 && o->op == 0xcd && o->b[o->at] == 0x80;
}

IS(hypercall)
{
	return is_mnemonic(o, ZYDIS_MNEMONIC_VMCALL) || is_mnemonic(o, ZYDIS_MNEMONIC_VMMCALL);
}

IS(changes)
{
	if (!o->known)
		return false;
	switch (o->in.mnemonic) {
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDTSCP:
	case ZYDIS_MNEMONIC_RDPID:
	case ZYDIS_MNEMONIC_RDRAND:
	case ZYDIS_MNEMONIC_RDSEED:
		return true;
	default:
		return false;
	}
}

IS(cpuid)
{
	return is_mnemonic(o, ZYDIS_MNEMONIC_CPUID) || is_mnemonic(o, ZYDIS_MNEMONIC_XGETBV);
}

IS(tables)
{
	if (!o->known)
		return false;
	switch (o->in.mnemonic) {
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_STR:
	case ZYDIS_MNEMONIC_SMSW:
		return true;
	default:
		return false;
	}
}

IS(x87_image)
{
	if (!o->known)
		return false;
	switch (o->in.mnemonic) {
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64:
		return true;
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
		return host && host->vec == 14;
	default:
		return false;
	}
}

IS(icebp)
{
	return o->map == MAP_1 && o->op == 0xf1;
}

/* ---- what this or that processor does beside its manual ---- */

IS(lock_verw)
{
	return o->lock && o->map == MAP_0F && o->op == 0x00 && opcode_reg(o) == 5 && host && host->vec != 6;
}

IS(lock_mov_cr)
{
	return hx_amd() && o->lock && o->map == MAP_0F && (o->op == 0x20 || o->op == 0x22) && host && host->vec == 13;
}

/* VPERMQ, VPERMPD. */
IS(vperm_w0)
{
	return hx_amd() && o->map == MAP_VEX && o->vmap == 3 && o->op <= 1 && !o->known && host && host->vec != 6;
}

struct reason opcode_reasons[] = {
	{ "system call", "SYSCALL, SYSENTER and INT 80h ask the host's kernel", CMP_NEVER, system_call, 0 },
	{ "EVEX", "no CPU model has AVX-512: #UD", CMP_UD, evex, 0 },
	{ "lacking", "the CPU model lacks its CPUID bit: #UD", CMP_UD, lacking, 0 },
	{ "hypercall", "VMCALL and VMMCALL are the engine's hypercalls on either vendor's processor", CMP_NONE,
	  hypercall, 0 },
	{ "changes", "RDTSC, RDTSCP, RDPID, RDRAND, RDSEED: time and chance", CMP_END, changes, 0 },
	{ "CPUID", "CPUID and XGETBV tell of the guest's processor", CMP_END, cpuid, 0 },
	{ "tables", "SGDT, SIDT, SLDT, STR and SMSW show the kernel's own", CMP_END, tables, 0 },
	{ "x87 image",
	  "FNSTENV, FNSAVE, FXSAVE, XSAVE: pointers of the last x87 instruction, MXCSR_MASK, XCR0; and which byte of "
	  "so much CR2 names",
	  CMP_END, x87_image, 0 },
	{ "INT1", "hypervisors report its #DB in different ways", CMP_NONE, icebp, 0 },
	{ "LOCK VERW", "some AMD processors execute it; #UD by APM 3 (LOCK is for the instructions listed there)",
	  CMP_UD, lock_verw, 0 },
	{ "VPERMQ W0", "AMD processors do not look at VEX.W of VPERMQ and VPERMPD; W0 is #UD by APM 4 and SDM 2C",
	  CMP_UD, vperm_w0, 0 },
	{ "LOCK MOV CR0", "AMD's other name for CR8, where CPUID says so (AltMovCr8): no model does, #UD", CMP_UD,
	  lock_mov_cr, 0 },
};
const unsigned opcode_nreasons = ARRAY_LEN(opcode_reasons);

struct reason *opcode_reason(const struct opcode *o, const struct hx_state *host)
{
	for (unsigned i = 0; i < opcode_nreasons; i++)
		if (opcode_reasons[i].is(o, host) && (host || opcode_reasons[i].compare == CMP_NEVER))
			return &opcode_reasons[i];
	return NULL;
}
