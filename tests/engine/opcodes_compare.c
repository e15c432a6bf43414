/* SPDX-License-Identifier: GPL-2.0-or-later */
/* opcodes_compare.c - one instruction on both sides: the state it starts from, and what its outcomes are compared by.
 */
#include "opcodes.h"

u64 opcode_nbad, opcode_nalone;

static struct hx_state profiles[3][2]; /* of 64-, 32-, 16-bit code */

static struct hx_state *state_of(const struct opcode *o)
{
	return &profiles[o->bits == 64 ? 0 : o->bits == 32 ? 1 : 2][o->profile];
}

/* ---- states ---- */

#define RNG(z) ((z) = (z)*6364136223846793005ull + 1442695040888963407ull)

static void make_vector(struct hx_state *s, u64 *z)
{
	for (unsigned i = 0; i < 16; i++)
		for (unsigned k = 0; k < 4; k++) {
			double d = 1.5 * (i + 1) + k;
			u64 v;
			memcpy(&v, &d, 8);
			RNG(*z);
			st_le64(s->ymm[i] + 8 * k, (i + k) & 1 ? *z : v);
		}
	st_le16(s->fx, 0x37f);
	st_le16(s->fx + 2, 4 << 11);
	s->fx[4] = 0xf0;
	st_le32(s->fx + 24, 0x1f80);
	st_le32(s->fx + 28, 0xffff);
	for (unsigned i = 0; i < 8; i++) {
		st_le64(s->fx + 32 + 16 * i, 1ull << 63 | (u64)i << 55);
		st_le16(s->fx + 40 + 16 * i, (u16)(0x3fff + i));
	}
}

/* What far branches, IRET and loads of far pointers find: offset, then selector, in some operand size. */
static void put_frame(u8 *p, unsigned bytes, unsigned bits, u16 sel, u64 sp)
{
	u64 v[5] = { bits == 16 ? 0x80 : HX_CODE + 0x80, sel, 0x202, sp, bits == 16 ? 0x17 : 0x2b };

	for (unsigned i = 0; i < 5; i++)
		memcpy(p + i * bytes, &v[i], bytes);
}

static void make_profile(struct hx_state *s, unsigned bits, unsigned p)
{
	u16 code = bits == 64 ? 0x33 : bits == 32 ? 0x23 : 0x07, data = bits == 16 ? 0x0f : 0x2b;
	u64 z = 42 + p;

	s->bits = bits;
	/* Addresses of the data, in their low 16 bits as well: which register a memory operand has, shows. */
	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = HX_DATA + 0x400 + 0x40 * i;
	s->gpr[4] = HX_DATA + 0x900;
	if (p) {
		s->gpr[0] = 0x1234567890ab002bull;
		s->gpr[1] = 3;
		s->gpr[2] = 0;
		s->gpr[8] = ~0ull;
		s->gpr[9] = 0x8000000080008080ull;
	}
	s->rflags = p ? 0x2c7 : 0x202;
	make_vector(s, &z);
	for (unsigned i = 0; i < HX_DATA_BYTES; i += 8)
		st_le64(s->data + i, RNG(z));
	/* [rbx], and the stack. */
	unsigned bytes = bits == 16 ? 2 : p ? 4 : 8;
	put_frame(s->data + 0x4c0, bits == 16 ? 2 : 4, bits, p ? code : data, 0);
	put_frame(s->data + 0x900, bytes, bits, code, HX_DATA + 0xa00);
}

void opcode_init(void)
{
	for (unsigned b = 0; b < 3; b++)
		for (unsigned p = 0; p < 2; p++)
			make_profile(&profiles[b][p], 64 >> b, p);
}

/* ---- comparing ---- */

#define LL(x) ((unsigned long long)(x))

static u32 undefined_flags(const struct opcode *o)
{
	u32 u;

	if (!o->known || !o->in.cpu_flags)
		return 0;
	u = o->in.cpu_flags->undefined;
	if (o->in.meta.category == ZYDIS_CATEGORY_SHIFT || o->in.meta.category == ZYDIS_CATEGORY_ROTATE)
		u |= ZYDIS_CPUFLAG_OF | ZYDIS_CPUFLAG_AF;
	/* Counts beyond the operand. */
	if ((o->in.mnemonic == ZYDIS_MNEMONIC_SHLD || o->in.mnemonic == ZYDIS_MNEMONIC_SHRD) &&
	    o->in.operand_width == 16)
		u |= 0x8d5;
	return u;
}

static int differs(const struct opcode *o, const struct hx_state *a, const struct hx_state *b, enum compare how,
		   FILE *f)
{
	const struct hx_state *in = state_of(o);
	int bad = 0;

#define DIFF(cond, ...) \
	do { \
		if (cond) { \
			bad++; \
			if (f) \
				fprintf(f, __VA_ARGS__); \
		} \
	} while (0)
	if (how == CMP_NONE || how == CMP_NEVER)
		return 0;
	if (how == CMP_UD || how == CMP_NOP) {
		unsigned want = how == CMP_UD ? 6 : 3;
		/* The host's processor executed it; what it has that no model has, as AVX-512's mask registers, has any
		 * value there. */
		if (opcode_direct && a->vec == b->vec)
			return 0;
		DIFF(b->vec != want, "  exception: engine %u instead of %u, host %u\n", b->vec, want, a->vec);
		DIFF(memcmp(b->gpr, in->gpr, sizeof(b->gpr)), "  registers changed\n");
		DIFF(memcmp(b->data, in->data, sizeof(b->data)), "  memory changed\n");
		return bad;
	}
	DIFF(a->vec != b->vec, "  exception: host %u (error %llx), engine %u (error %llx, cr2 %llx)\n", a->vec,
	     LL(a->error), b->vec, LL(b->error), LL(b->cr2));
	DIFF(a->rip != b->rip, "  rip: host %llx, engine %llx (exception %u)\n", LL(a->rip), LL(b->rip), a->vec);
	if (a->vec == b->vec && a->vec >= 8) {
		u64 mask = ~0ull;
		if (a->vec == 14) {
			/* What else the two sides have mapped, and for whom, is not compared. */
			mask = a->cr2 - (HX_DATA - 4096) > HX_DATA_BYTES + 8192 ? ~1ull : ~0ull;
			DIFF(how == CMP_ALL && a->cr2 != b->cr2, "  cr2: host %llx, engine %llx\n", LL(a->cr2),
			     LL(b->cr2));
		}
		DIFF((a->error ^ b->error) & mask, "  error code: host %llx, engine %llx (exception %u)\n",
		     LL(a->error), LL(b->error), a->vec);
	}
	if (how == CMP_END)
		return bad;
	static const char *const names[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					     "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
	for (unsigned i = 0; i < 16; i++) {
		/* The upper bits of RSP are nobody's under a 16-bit stack: the kernel's IRET leaves its own there. */
		u64 mask = i == 4 && o->bits == 16 ? 0xffff : ~0ull;
		DIFF((a->gpr[i] ^ b->gpr[i]) & mask, "  %s: was %llx, host %llx, engine %llx\n", names[i],
		     LL(in->gpr[i]), LL(a->gpr[i]), LL(b->gpr[i]));
	}
	static const char *const segs[] = { "es", "cs", "ss", "ds", "fs", "gs" };
	for (unsigned i = 0; i < 6; i++)
		/* IRET, by which the kernel goes to the handler, makes null selectors 0 (APM 3, IRET). */
		DIFF(hx_have_bits(o->bits) && a->sel[i] != b->sel[i] && (a->sel[i] | b->sel[i]) > 3,
		     "  %s: host %x, engine %x\n", segs[i], a->sel[i], b->sel[i]);
	u64 fmask = 0x244dd5 & ~(u64)undefined_flags(o);
	DIFF((a->rflags ^ b->rflags) & fmask, "  rflags: was %llx, host %llx, engine %llx\n", LL(in->rflags),
	     LL(a->rflags), LL(b->rflags));
	for (unsigned i = 0; i < 16; i++)
		for (unsigned k = 0; k < (hx_have_avx() && !opcode_v2 ? 4u : 2u); k++)
			DIFF(memcmp(a->ymm[i] + 8 * k, b->ymm[i] + 8 * k, 8),
			     "  ymm%u[%u]: was %llx, host %llx, engine %llx\n", i, k, LL(ld_le64(in->ymm[i] + 8 * k)),
			     LL(ld_le64(a->ymm[i] + 8 * k)), LL(ld_le64(b->ymm[i] + 8 * k)));
	DIFF(ld_le16(a->fx) != ld_le16(b->fx), "  fcw: host %x, engine %x\n", ld_le16(a->fx), ld_le16(b->fx));
	DIFF(ld_le16(a->fx + 2) != ld_le16(b->fx + 2), "  fsw: host %x, engine %x\n", ld_le16(a->fx + 2),
	     ld_le16(b->fx + 2));
	DIFF(a->fx[4] != b->fx[4], "  ftw: host %x, engine %x\n", a->fx[4], b->fx[4]);
	DIFF(ld_le32(a->fx + 24) != ld_le32(b->fx + 24), "  mxcsr: host %x, engine %x\n", ld_le32(a->fx + 24),
	     ld_le32(b->fx + 24));
	for (unsigned i = 0; i < 8; i++)
		DIFF(memcmp(a->fx + 32 + 16 * i, b->fx + 32 + 16 * i, 10), "  st%u: host %04x:%llx, engine %04x:%llx\n",
		     i, ld_le16(a->fx + 40 + 16 * i), LL(ld_le64(a->fx + 32 + 16 * i)), ld_le16(b->fx + 40 + 16 * i),
		     LL(ld_le64(b->fx + 32 + 16 * i)));
	for (unsigned i = 0, shown = 0; i < HX_DATA_BYTES && shown < 4; i += 8)
		if (memcmp(a->data + i, b->data + i, 8)) {
			shown++;
			DIFF(true, "  data[%x]: was %llx, host %llx, engine %llx\n", i, LL(ld_le64(in->data + i)),
			     LL(ld_le64(a->data + i)), LL(ld_le64(b->data + i)));
		}
	return bad;
}

static void show(const struct opcode *o)
{
	ZydisFormatter fmt;
	char text[128] = "?";

	ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
	if (o->known)
		ZydisFormatterFormatInstruction(&fmt, &o->in, o->ops, o->in.operand_count_visible, text, sizeof(text),
						HX_CODE, NULL);
	printf("%u-bit:", o->bits);
	for (unsigned i = 0; i < o->n; i++)
		printf(" %02x", o->b[i]);
	printf("  profile %u  %s (%s)\n", o->profile, text,
	       o->known ? ZydisISASetGetString(o->in.meta.isa_set) : "unknown to Zydis");
}

/* Differences are shown once for each opcode and way to differ, then counted. */
#define KINDS 4096
static struct kind {
	u32 key;
	u64 count;
} kinds[KINDS];
static unsigned nkinds;

unsigned opcode_nkinds(void)
{
	return nkinds;
}

static bool first_of_kind(const struct opcode *o, const struct hx_state *a, const struct hx_state *b)
{
	u32 key = (u32)o->map << 28 | (u32)o->op << 16 | (u32)(a->vec & 31) << 11 | (u32)(b->vec & 31) << 6 |
		  (o->map == MAP_1 || o->map == MAP_0F ? opcode_reg(o) : 0) << 3 | (opcode_mod(o) == 3) << 2 |
		  (o->bits / 32);

	for (unsigned i = 0; i < nkinds; i++)
		if (kinds[i].key == key) {
			kinds[i].count++;
			return false;
		}
	if (nkinds < KINDS)
		kinds[nkinds++] = (struct kind){ key, 1 };
	return true;
}

/* twin: 64-bit code in its place. */
static void ask_host(const struct opcode *o, const struct opcode *twin, struct hx_state *out)
{
	static struct hx_state in;
	const struct opcode *t = twin ? twin : o;
	u8 code[sizeof(t->b)];

	memcpy(code, t->b, sizeof(code));
	/* To a processor without them TZCNT and LZCNT are BSF and BSR, with a prefix that says nothing. */
	if (o->known && ((o->in.mnemonic == ZYDIS_MNEMONIC_TZCNT && !hx_offers(7, 'b', 3)) ||
			 (o->in.mnemonic == ZYDIS_MNEMONIC_LZCNT && !hx_offers(0x80000001, 'c', 5))))
		for (unsigned i = 0; i < t->n && code[i] != 0x0f; i++)
			if (code[i] == 0xf3)
				code[i] = 0x3e;
	in = *state_of(o);
	in.bits = t->bits;
	hx_native(code, t->n, t->off, &in, out);
	if (twin)
		opcode_from_twin(o, twin, out);
}

void opcode_check(struct opcode *o)
{
	static struct hx_state a, b;
	struct hx_state *in = state_of(o);
	static struct opcode twin;
	bool by_twin = !hx_have_bits(o->bits);
	struct reason *r;

	opcode_parse(o);
	if (by_twin && !opcode_twin(o, &twin)) {
		opcode_nalone++;
		return;
	}
	r = opcode_reason(o, NULL);
	if (r && r->compare == CMP_NEVER) {
		r->count++;
		return;
	}
	for (unsigned again = 0; again < 2; again++) {
		ask_host(o, by_twin ? &twin : NULL, &a);
		if (a.vec == HX_ENDLESS)
			return;
		hx_engine(o->b, o->n, o->off, in, &b);
		r = NULL;
		if (!differs(o, &a, &b, CMP_ALL, NULL))
			break;
		r = opcode_reason(o, &a);
		if (r && !differs(o, &a, &b, r->compare, NULL)) {
			r->count++;
			break;
		}
		if (again) {
			opcode_nbad++;
			if (first_of_kind(o, &a, &b)) {
				show(o);
				if (r)
					printf("  allowed only: %s\n", r->name);
				differs(o, &a, &b, r ? r->compare : CMP_ALL, stdout);
				fflush(stdout);
			}
			return;
		}
	}
}

int opcode_explain(struct opcode *o)
{
	static struct hx_state a, b;
	static struct opcode twin;
	bool by_twin = !hx_have_bits(o->bits);

	opcode_parse(o);
	show(o);
	struct reason *r = opcode_reason(o, NULL);
	if (r) {
		printf("  not run: %s\n", r->name);
		return 0;
	}
	if (by_twin && !opcode_twin(o, &twin)) {
		printf("  this host's kernel lets no such code run\n");
		return 0;
	}
	ask_host(o, by_twin ? &twin : NULL, &a);
	hx_engine(o->b, o->n, o->off, state_of(o), &b);
	printf("  host: exception %u error %llx rip %llx cr2 %llx\n", a.vec, LL(a.error), LL(a.rip), LL(a.cr2));
	r = opcode_reason(o, &a);
	if (r)
		printf("  may differ: %s\n", r->name);
	return differs(o, &a, &b, CMP_ALL, stdout);
}
