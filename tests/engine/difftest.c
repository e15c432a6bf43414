/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * difftest.c - the engine against the host CPU: seeded random instruction sequences from the same state on
 * both, everything architectural compared.
 *
 *   difftest [--cases N] [--seed S] [--one S] [--len MAX] [--near 1] [--bits 64|32|16] [--stats 1], and soft_args.h
 *
 * A case is its seed: `--one S` runs it again and prints it. Opcodes, prefixes, ModRM, SIB, displacements and
 * immediates are random bytes; Zydis says what they are; what the two sides cannot agree on by their nature
 * (CPUID, time, segment selectors, system calls, instructions that the CPU model leaves out) is passed over.
 * Some sequences end in bytes that Zydis does not know (opcodes.c goes through those one by one). Where the host's
 * kernel lets no 32- or 16-bit code run, it is 64-bit code that does the same which the host CPU executes
 * (opcodes_other.c). Flags an instruction leaves undefined are masked, and a sequence stops before something reads
 * them.
 */
#include "opcodes.h"
#include "soft_args.h"

#include <Zydis/Zydis.h>

static u64 rng;
static u64 rnd(void)
{
	/* splitmix64 */
	u64 z = (rng += 0x9e3779b97f4a7c15ull);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}
static unsigned pick(unsigned n)
{
	return (unsigned)(rnd() % n);
}

static u64 edge(void)
{
	static const u64 v[] = { 0,
				 1,
				 2,
				 0x7f,
				 0x80,
				 0xff,
				 0x100,
				 0x7fff,
				 0x8000,
				 0xffff,
				 0x7fffffff,
				 0x80000000u,
				 0xffffffffu,
				 0x100000000ull,
				 0x7fffffffffffffffull,
				 0x8000000000000000ull,
				 ~0ull,
				 ~1ull };
	switch (pick(4)) {
	case 0:
		return v[pick(ARRAY_LEN(v))];
	case 1:
		return rnd() & 0xff;
	case 2:
		return (u64)(s64)(s32)rnd();
	default:
		return rnd();
	}
}

static u64 data_addr(void)
{
	switch (pick(16)) {
	case 0: /* over a page border inside the writable part */
		return HX_DATA + 4096 - pick(40);
	case 1: /* over into the read-only page */
		return HX_DATA + HX_DATA_RW - pick(40);
	case 2:
		return HX_DATA + HX_DATA_RW + pick(4096);
	case 3: /* over into the hole */
		return HX_DATA + HX_DATA_BYTES - pick(40);
	case 4:
		return edge();
	default:
		return (HX_DATA + 64 + rnd() % (HX_DATA_RW - 256)) & ~(u64)(pick(2) ? 0 : 31);
	}
}

/* --direct always: what faults is executed twice in part, as on a processor; ENTER is the one that does not bear it. */
static bool direct;
/* --near: all memory operands of a sequence lie around one register. */
static bool near;
static u8 near_base;

/* Of the code. */
static unsigned bits = 64;

static u8 any_prefix(void)
{
	static const u8 p[] = { 0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x48, 0x45 };

	return p[pick(bits == 64 ? ARRAY_LEN(p) : ARRAY_LEN(p) - 2)];
}

/* One random instruction into buf; its length, 0 when the bytes were no good, MAKE_UNKNOWN if Zydis does not know them.
 */
#define MAKE_UNKNOWN 100
static unsigned make(u8 *buf, ZydisDecoder *dec, ZydisDecodedInstruction *in, ZydisDecodedOperand *ops)
{
	unsigned n = 0, map = pick(10);

	if (!pick(12)) /* in any order, and twice */
		for (unsigned k = 1 + pick(3); k; k--)
			buf[n++] = any_prefix();
	if (map == 9 && hx_have_avx()) { /* VEX */
		if (pick(3) == 0) {
			buf[n++] = 0xc5;
			buf[n++] = (u8)rnd();
		} else {
			buf[n++] = 0xc4;
			buf[n++] = (u8)((rnd() & 0xe0) | (1 + pick(3)));
			buf[n++] = (u8)rnd();
		}
		if (bits !=
		    64) { /* R and X, else it is LDS or LES; B and the upper half of the registers that are ignored */
			bool two = n >= 2 && buf[n - 2] == 0xc5;
			buf[n - (two ? 1 : 2)] |= two ? 0xc0 : 0xe0;
			buf[n - 1] |= 0x40;
		}
	} else {
		if (!pick(5))
			buf[n++] = 0x66;
		if (!pick(8))
			buf[n++] = pick(2) ? 0xf2 : 0xf3;
		if (!pick(20))
			buf[n++] = 0xf0;
		if (!pick(30))
			buf[n++] = 0x67;
		if (!pick(40))
			buf[n++] = any_prefix();
		if (bits == 64 && pick(2))
			buf[n++] = (u8)(0x40 | pick(16));
		if (map >= 5) {
			buf[n++] = 0x0f;
			if (map == 8)
				buf[n++] = pick(2) ? 0x38 : 0x3a;
		}
	}
	buf[n++] = (u8)rnd();
	for (unsigned i = n; i < 15; i++)
		buf[i] = (u8)rnd();
	if (pick(4)) { /* small displacement, no absolute address */
		u8 m = buf[n];
		if ((m & 0xc0) == 0)
			buf[n] = m | 0x40;
		else if ((m & 0xc0) == 0x80)
			buf[n] = (u8)(m - 0x40);
	}
	if (near && (buf[n] & 0xc0) != 0xc0 && pick(8)) {
		buf[n] = (u8)(0x40 | (buf[n] & 0x38) | near_base);
		if (pick(2))
			buf[n + 1] &= 0xf0;
	}
	if (ZYAN_FAILED(ZydisDecoderDecodeFull(dec, buf, 15, in, ops)))
		return MAKE_UNKNOWN;
	if (!hx_wanted(in, ops) || (direct && in->mnemonic == ZYDIS_MNEMONIC_ENTER))
		return 0;
	return in->length;
}

/* Make the memory operand hit the data by choosing its base register, unless one already relies on it. */
static void aim(struct hx_state *s, const ZydisDecodedOperand *ops, unsigned n, u32 *fixed)
{
	for (unsigned i = 0; i < n; i++) {
		const ZydisDecodedOperand *o = &ops[i];
		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->mem.base == ZYDIS_REGISTER_NONE ||
		    (ZydisRegisterGetClass(o->mem.base) != ZYDIS_REGCLASS_GPR64 &&
		     ZydisRegisterGetClass(o->mem.base) != ZYDIS_REGCLASS_GPR32 &&
		     ZydisRegisterGetClass(o->mem.base) != ZYDIS_REGCLASS_GPR16))
			continue;
		int b = ZydisRegisterGetId(o->mem.base);
		int x = o->mem.index != ZYDIS_REGISTER_NONE ? ZydisRegisterGetId(o->mem.index) : -1;
		if (b < 0 || b > 15 || (*fixed >> b & 1) || b == x)
			continue;
		u64 disp = o->mem.disp.has_displacement ? (u64)o->mem.disp.value : 0;
		if (x >= 0 && !(*fixed >> x & 1)) {
			s->gpr[x] = pick(3) ? rnd() & 15 : s->gpr[x];
			*fixed |= 1u << x;
		}
		s->gpr[b] = data_addr() - disp - (x >= 0 ? s->gpr[x] * o->mem.scale : 0);
		*fixed |= 1u << b;
	}
}

/* Registers whose random values would mostly fault: a bit's number in a string, a dividend's upper half. */
static void shape(struct hx_state *s, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops, u32 *fixed)
{
	int r;

	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		if (ops[0].type != ZYDIS_OPERAND_TYPE_MEMORY || ops[1].type != ZYDIS_OPERAND_TYPE_REGISTER)
			return;
		r = ZydisRegisterGetId(ops[1].reg.value);
		if (pick(4) && r >= 0 && !(*fixed >> r & 1)) {
			s->gpr[r] = (rnd() % 4096) - 2048;
			*fixed |= 1u << r;
		}
		break;
	case ZYDIS_MNEMONIC_DIV:
	case ZYDIS_MNEMONIC_IDIV:
		if (*fixed >> 2 & 1)
			return;
		if (pick(2))
			s->gpr[2] = 0;
		else if (in->mnemonic == ZYDIS_MNEMONIC_IDIV)
			s->gpr[2] = s->gpr[0] >> (ops[0].size - 1) & 1 ? ~0ull : 0;
		break;
	default:
		break;
	}
}

struct test {
	u8 code[128];
	unsigned n, off;
	/* What the host executes in its place, and where the instructions of both are. */
	bool twins;
	u8 twin[256];
	unsigned twin_n, ninsns;
	u8 at[64], twin_at[64];
	bool unknown;  /* the last instruction is not known to Zydis: it is at n - 15 */
	u32 undefined; /* flags at the end */
	bool branches; /* into the middle of who knows what: flags are not compared */
	bool two_mem;  /* which of two bad addresses faults first is the model's choice */
	struct hx_state in;
};

/* What Zydis does not know is tried at the end of a sequence, but for what may do anything. */
static bool may_be_unknown(u8 *b)
{
	struct opcode o = { .bits = bits, .off = 64, .n = 15 };
	memcpy(o.b, b, 15);
	opcode_parse(&o);
	/* What comes behind ModRM, SIB and displacement is code should it be shorter than it is long. */
	if (o.at + 6 < 15)
		memset(b + o.at + 6, 0xcc, 15 - (o.at + 6));
	return o.map != MAP_EVEX && !opcode_reason(&o, NULL);
}

static void generate(struct test *t, u64 seed, unsigned maxlen)
{
	ZydisDecoder dec;
	u32 fixed = 0;
	unsigned want, nbr = 0;
	struct {
		unsigned at, bytes, next, twin_at, twin_next;
	} br[16];

	rng = seed;
	near_base = near && pick(2) ? 3 : 6; /* RBX or RSI */
	hx_decoder_bits(&dec, bits);
	memset(t, 0, sizeof(*t));
	t->in.bits = bits;
	t->twins = !hx_have_bits(bits);
	for (unsigned i = 0; i < 16; i++) {
		t->in.gpr[i] = edge();
		for (unsigned k = 0; k < 4; k++) {
			u64 v = pick(3) ? rnd() : edge();
			if (!pick(3)) { /* plausible floating point numbers */
				if (pick(2)) {
					double d = (double)(s64)rnd() / (double)(1ull << pick(63));
					memcpy(&v, &d, 8);
				} else {
					float f[2] = { (float)(s32)rnd() / 1024.0f, (float)pick(1000) };
					memcpy(&v, f, 8);
				}
			}
			memcpy(t->in.ymm[i] + 8 * k, &v, 8);
		}
	}
	t->in.gpr[4] = HX_DATA + 1024 + (rnd() % 4096 & ~7ull);
	t->in.gpr[5] = data_addr();
	t->in.gpr[6] = data_addr();
	t->in.gpr[7] = data_addr();
	if (pick(2))
		t->in.gpr[1] = pick(70);
	t->in.rflags = 0x202 | (rnd() & 0x8d5) | (pick(6) ? 0 : 0x400);
	/* Rounding, flushing and unmasked exceptions too. */
	st_le16(t->in.fx, pick(4) ? 0x37f : (u16)(0x340 | (rnd() & 0xc3f)));
	st_le32(t->in.fx + 24, pick(4) ? 0x1f80 : (u32)(rnd() & 0xffc0));
	st_le32(t->in.fx + 28, 0xffff);
	t->in.fx[4] = (u8)rnd(); /* abridged tag word */
	st_le16(t->in.fx + 2, (u16)(pick(8) << 11));
	for (unsigned i = 0; i < 8; i++) {
		u8 *p = t->in.fx + 32 + 16 * i;
		st_le64(p, rnd() | 1ull << 63);
		st_le16(p + 8, (u16)(pick(4) ? 0x3fff + pick(40) - 20 : rnd()) | (u16)(pick(2) << 15));
	}
	for (unsigned i = 0; i < HX_DATA_BYTES; i += 8) {
		u64 v = rnd();
		memcpy(t->in.data + i, &v, 8);
	}
	want = 1 + pick(maxlen);
	t->off = pick(6) ? 64 + pick(64) : 4096 - pick(24);
	bool end_unknown = !pick(8);
	for (unsigned k = 0, tries = 0; k < want && tries < 1000 && t->n < 100; tries++) {
		u8 b[16] = { 0 };
		struct opcode o, tw;
		ZydisDecodedInstruction in;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		unsigned n = make(b, &dec, &in, ops);
		if (n == MAKE_UNKNOWN && end_unknown && !t->twins && k + 1 == want && may_be_unknown(b)) {
			memcpy(t->code + t->n, b, 15);
			t->n += 15;
			t->unknown = true;
			break;
		}
		if (!n || n == MAKE_UNKNOWN)
			continue;
		if (t->twins) {
			memset(&o, 0, sizeof(o));
			memcpy(o.b, b, 15);
			o.n = n;
			o.bits = bits;
			o.off = 64;
			opcode_parse(&o);
			if (!opcode_twin(&o, &tw))
				continue;
		}
		u32 reads = in.cpu_flags ? in.cpu_flags->tested : 0;
		if (reads & t->undefined ||
		    (t->undefined && (in.mnemonic == ZYDIS_MNEMONIC_PUSHF || in.mnemonic == ZYDIS_MNEMONIC_PUSHFQ ||
				      in.mnemonic == ZYDIS_MNEMONIC_LAHF)))
			continue;
		u32 before = t->undefined;
		if (in.cpu_flags) {
			t->undefined &= ~(in.cpu_flags->modified | in.cpu_flags->set_0 | in.cpu_flags->set_1);
			t->undefined |= in.cpu_flags->undefined;
		}
		/* Shifts by a count of zero keep older undefined flags; keep them masked. */
		if (in.meta.category == ZYDIS_CATEGORY_SHIFT || in.meta.category == ZYDIS_CATEGORY_ROTATE)
			t->undefined |= before | ZYDIS_CPUFLAG_OF | ZYDIS_CPUFLAG_AF;
		/* Counts beyond the operand: every flag is undefined. */
		if ((in.mnemonic == ZYDIS_MNEMONIC_SHLD || in.mnemonic == ZYDIS_MNEMONIC_SHRD) &&
		    in.operand_width == 16)
			t->undefined |= 0x8d5;
		aim(&t->in, ops, in.operand_count, &fixed);
		shape(&t->in, &in, ops, &fixed);
		t->branches |= in.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE;
		t->two_mem |= in.meta.category == ZYDIS_CATEGORY_STRINGOP;
		t->at[t->ninsns] = (u8)t->n;
		t->twin_at[t->ninsns++] = (u8)t->twin_n;
		memcpy(t->code + t->n, b, n);
		t->n += n;
		if (t->twins) {
			memcpy(t->twin + t->twin_n, tw.b, tw.n);
			t->twin_n += tw.n;
		}
		if (in.raw.imm[0].is_relative && nbr < ARRAY_LEN(br)) {
			br[nbr].at = t->n - n + in.raw.imm[0].offset;
			br[nbr].bytes = in.raw.imm[0].size / 8;
			br[nbr].twin_at = t->twin_n - (t->n - br[nbr].at);
			br[nbr].twin_next = t->twin_n;
			br[nbr++].next = t->n;
		}
		k++;
	}
	/* Relative branches go to the end: no endless loops, nothing run from its middle. */
	for (unsigned i = 0; i < nbr; i++) {
		memset(t->code + br[i].at, 0, br[i].bytes);
		t->code[br[i].at] = (u8)(t->n - br[i].next);
		if (!t->twins)
			continue;
		memset(t->twin + br[i].twin_at, 0, br[i].bytes);
		t->twin[br[i].twin_at] = (u8)(t->twin_n - br[i].twin_next);
	}
}

/* Keeps all its flags when it counts to zero. */
static bool may_keep_flags(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	if (in->meta.category == ZYDIS_CATEGORY_STRINGOP)
		return in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
	if (in->meta.category != ZYDIS_CATEGORY_SHIFT && in->meta.category != ZYDIS_CATEGORY_ROTATE)
		return false;
	const ZydisDecodedOperand *n = &ops[in->operand_count_visible - 1];
	return n->type != ZYDIS_OPERAND_TYPE_IMMEDIATE || !(n->imm.value.u & (in->operand_width == 64 ? 63 : 31));
}

static bool relaxed; /* the translator drops flags that nothing can read */

/*
 * Status flags that can be compared at a fault in the instruction at `rip`: not what an instruction before it left
 * undefined, and where flags may be dropped, only those that the code from there on may read.
 */
static u32 flags_at_fault(const struct test *t, u64 rip)
{
	u32 undefined = 0, live = 0, carried = 0x8d5;
	u64 fault = rip - HX_CODE - t->off;
	ZydisDecoder dec;

	hx_decoder_bits(&dec, bits);
	for (unsigned at = 0; at < t->n;) {
		ZydisDecodedInstruction in;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		if (ZYAN_FAILED(ZydisDecoderDecodeFull(&dec, t->code + at, t->n - at, &in, ops)))
			return 0;
		u32 written = 0, tested = 0, undef = 0;
		if (in.cpu_flags) {
			written = in.cpu_flags->modified | in.cpu_flags->set_0 | in.cpu_flags->set_1;
			tested = in.cpu_flags->tested;
			undef = in.cpu_flags->undefined;
		}
		if (at == fault && in.meta.category == ZYDIS_CATEGORY_STRINGOP)
			return 0; /* between two of its comparisons */
		if (at < fault) {
			if (!may_keep_flags(&in, ops))
				undefined &= ~written;
			undefined |= undef;
			if (in.meta.category == ZYDIS_CATEGORY_SHIFT || in.meta.category == ZYDIS_CATEGORY_ROTATE)
				undefined |= 0x810; /* OF, AF of other counts */
			if ((in.mnemonic == ZYDIS_MNEMONIC_SHLD || in.mnemonic == ZYDIS_MNEMONIC_SHRD) &&
			    in.operand_width == 16)
				undefined |= 0x8d5;
		} else {
			live |= tested & carried;
			if (!may_keep_flags(&in, ops))
				carried &= ~(written | undef);
		}
		at += in.length;
	}
	return (relaxed ? live | carried : 0x8d5) & ~undefined & 0x8d5;
}

static int differs(const struct test *t, const struct hx_state *a, const struct hx_state *b, FILE *f)
{
	static const char *const names[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					     "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
	int bad = 0;
	u64 fmask = 0xcd5 & ~(u64)t->undefined; /* CF PF AF ZF SF DF OF */

	/* A fault in the middle: an earlier instruction's undefined flags may show. */
	if (t->branches)
		fmask = 0x400;
	else if (a->vec != 3)
		fmask = 0x400 | (a->vec == b->vec && a->rip == b->rip ? flags_at_fault(t, a->rip) : 0);
	if (a->vec == 1 && b->vec == 1)
		return 0; /* INT1 by chance: hypervisors report it in different ways */
	if ((t->two_mem || t->branches) && (a->vec == 13 || a->vec == 14 || a->vec == 17) &&
	    (b->vec == 13 || b->vec == 14 || b->vec == 17))
		return 0;
#define DIFF(cond, ...) \
	do { \
		if (cond) { \
			bad++; \
			if (f) \
				fprintf(f, __VA_ARGS__); \
		} \
	} while (0)
	/* Over the end of 4 GiB: only 32-bit segments have a limit there. */
	if (t->twins && (b->vec == 13 || b->vec == 12) &&
	    ((a->vec == 14 && a->cr2 + 4096 > 1ull << 32) || (a->vec == 13 && b->vec == 12)))
		return 0;
	DIFF(a->vec != b->vec, "  exception: host %u, engine %u\n", a->vec, b->vec);
	if (f && a->vec != b->vec)
		fprintf(f, "  engine error %llx cr2 %llx\n", LL(b->error), LL(b->cr2));
	DIFF(a->rip != b->rip, "  rip: host %llx, engine %llx (exception %u)\n", LL(a->rip), LL(b->rip), a->vec);
	if (a->vec == b->vec && a->vec == 14) {
		/* What else the two sides have mapped, and for whom, is not compared. */
		u64 pmask = a->cr2 - (HX_DATA - 4096) > HX_DATA_BYTES + 8192 ? ~1ull : ~0ull;
		DIFF((a->error ^ b->error) & pmask, "  error code: host %llx, engine %llx\n", LL(a->error),
		     LL(b->error));
		DIFF(a->cr2 != b->cr2, "  cr2: host %llx, engine %llx\n", LL(a->cr2), LL(b->cr2));
	}
	for (unsigned i = 0; i < 16; i++)
		DIFF((a->gpr[i] ^ b->gpr[i]) & (bits == 16 && i == 4 && !t->twins ? 0xffff : ~0ull),
		     "  %s: was %llx, host %llx, engine %llx\n", names[i], LL(t->in.gpr[i]), LL(a->gpr[i]),
		     LL(b->gpr[i]));
	DIFF((a->rflags ^ b->rflags) & fmask, "  rflags: was %llx, host %llx, engine %llx (undefined %x)\n",
	     LL(t->in.rflags), LL(a->rflags), LL(b->rflags), t->undefined);
	for (unsigned i = 0; i < 16; i++)
		for (unsigned k = 0; k < (hx_have_avx() ? 4u : 2u); k++)
			DIFF(memcmp(a->ymm[i] + 8 * k, b->ymm[i] + 8 * k, 8),
			     "  ymm%u[%u]: was %llx, host %llx, engine %llx\n", i, k, LL(ld_le64(t->in.ymm[i] + 8 * k)),
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
			DIFF(true, "  data[%x]: was %llx, host %llx, engine %llx\n", i, LL(ld_le64(t->in.data + i)),
			     LL(ld_le64(a->data + i)), LL(ld_le64(b->data + i)));
		}
	return bad;
}

static void host(const struct test *t, struct hx_state *out)
{
	static struct hx_state in;

	if (!t->twins) {
		hx_native(t->code, t->n, t->off, &t->in, out);
		if (bits == 16)
			out->rip += HX_CODE;
		return;
	}
	in = t->in;
	in.bits = 64;
	hx_native(t->twin, t->twin_n, t->off, &in, out);
	/* Where that is among the instructions in whose places the twins were. */
	u64 at = out->rip - HX_CODE - t->off;
	if (at == t->twin_n + 1)
		out->rip = HX_CODE + t->off + t->n + 1;
	for (unsigned i = 0; i < t->ninsns; i++)
		if (at == t->twin_at[i]) {
			out->rip = HX_CODE + t->off + t->at[i];
			break;
		}
}

/* Is what Zydis does not know one of those that opcodes_known.c has a reason for? */
static bool may_differ(const struct test *t, const struct hx_state *a)
{
	struct opcode o = { .bits = bits, .off = 64, .n = 15 };

	memcpy(o.b, t->code + t->n - 15, 15);
	opcode_parse(&o);
	return opcode_reason(&o, a);
}

static int run(u64 seed, unsigned maxlen, bool verbose)
{
	static struct test t;
	static struct hx_state a, b;

	generate(&t, seed, maxlen);
	if (!t.n)
		return 0;
	if (verbose) {
		hx_disasm_bits(stdout, t.code, t.n, HX_CODE + t.off, bits);
		fflush(stdout);
	}
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	host(&t, &a);
	if (a.vec == HX_ENDLESS)
		return 0;
	hx_engine(t.code, t.n, t.off, &t.in, &b);
	if (bits == 16)
		b.rip += HX_CODE;
	if (!differs(&t, &a, &b, NULL))
		return 0;
	/* A host that is a virtual machine itself now and then raises #UD where there is nothing wrong: it is asked
	 * again. */
	host(&t, &a);
	if (!differs(&t, &a, &b, NULL) || (t.unknown && may_differ(&t, &a)))
		return 0;
	printf("MISMATCH: seed %llu (run again with --one)\n", LL(seed));
	hx_disasm_bits(stdout, t.code, t.n, HX_CODE + t.off, bits);
	if (t.unknown) {
		printf("  and bytes that Zydis does not know:");
		for (unsigned i = t.n - 15; i < t.n; i++)
			printf(" %02x", t.code[i]);
		putchar('\n');
	}
	differs(&t, &a, &b, stdout);
	fflush(stdout);
	return 1;
}

int main(int argc, char **argv)
{
	u64 cases = 200000, seed = 1, one = 0;
	unsigned maxlen = 4, bad = 0;
	struct soft_options soft = { 0 };
	bool stats = false;

	for (int i = 1; i + 1 < argc; i += 2) {
		u64 v = strtoull(argv[i + 1], NULL, 0);
		if (!strcmp(argv[i], "--cases"))
			cases = v;
		else if (!strcmp(argv[i], "--seed"))
			seed = v;
		else if (!strcmp(argv[i], "--one"))
			one = v;
		else if (!strcmp(argv[i], "--near"))
			near = v;
		else if (!strcmp(argv[i], "--len"))
			maxlen = (unsigned)v;
		else if (!strcmp(argv[i], "--bits"))
			bits = v == 16 || v == 32 ? (unsigned)v : 64;
		else if (!strcmp(argv[i], "--stats"))
			stats = v;
		else if (!soft_arg(&soft, argv[i], argv[i + 1])) {
			fprintf(stderr, "usage: difftest [--cases N] [--seed S] [--one S] [--len MAX] [--near 1] "
					"[--bits 64|32|16] [--stats 1] " SOFT_ARGS_USAGE "\n");
			return 2;
		}
	}
	hx_init(&soft);
	if (soft.direct == SOFT_DIRECT_ALWAYS && hx_no_direct()) {
		printf("skipped: no direct execution: %s\n", hx_no_direct());
		return 77;
	}
	relaxed = soft.translate == SOFT_TRANSLATE_ON;
	direct = soft.direct == SOFT_DIRECT_ALWAYS;
	if (one)
		return run(one, maxlen, true);
	rng = seed;
	for (u64 i = 0; i < cases && bad < 20; i++) {
		u64 s = (seed << 40) + i + 1;
		bad += (unsigned)run(s, maxlen, false);
	}
	if (stats)
		hx_stats(stdout);
	printf("difftest: %llu cases from seed %llu, %u mismatches\n", LL(cases), LL(seed), bad);
	return bad ? 1 : 0;
}
