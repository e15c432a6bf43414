/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * opcodes.c - every opcode of every map, defined or not, with its prefixes and operand forms, as one instruction on the
 * host CPU and in the engine.
 *
 *   opcodes [--all 1] [--bits 64|32|16] [--part NAME] [--cpu MODEL] [--bytes "f3 0f 1e c8"] [--progress 1] ...,
 * soft_args.h
 *
 * difftest.c takes instructions at random, as Zydis knows them. This goes through the bytes themselves, so that what
 * Zydis does not know, or the engine forgot, is asked of the processor: whether it is #UD, a NOP, or something else.
 * What may differ is listed, with reasons, in opcodes_known.c; everything else is to be the same in registers,
 * memory, exception and error code.
 *
 * Parts: maps (each opcode x ModRM x a set of prefixes x REX), vex (VEX, XOP and what looks like them), orders
 * (prefixes in every order), length (the limit of 15 bytes), edge (code that ends at a page which is not there).
 * Without --all a subset that takes seconds. A difference is seen twice before it counts.
 */
#include "opcodes.h"
#include "soft_args.h"

#include <time.h>

static bool all, progress;
static const char *only_part;
static unsigned only_bits;
static unsigned one_in = 1; /* one instruction in so many */
static u64 ncases, ndone;
static bool counting;
static const char *doing;
static unsigned doing_bits;

static void report_progress(void)
{
	static struct timespec last;
	struct timespec now;

	if (!progress || ndone % 256)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec == last.tv_sec)
		return;
	last = now;
	fprintf(stderr, "\r%5.1f %%  %llu of %llu, %llu differences  %u-bit %-8s",
		100.0 * (double)ndone / (double)ncases, LL(ndone), LL(ncases), LL(opcode_nbad), doing_bits, doing);
}

/* ---- what there is ---- */

static void emit(struct opcode *o)
{
	static unsigned k;

	if (k++ % one_in)
		return;
	if (counting) {
		ncases++;
		return;
	}
	opcode_check(o);
	ndone++;
	report_progress();
}

/* Is there a ModRM byte? For what is not defined yes: it is more to try. */
static bool has_modrm(enum map map, u8 op)
{
	if (map == MAP_1)
		return (op < 0x40 && (op & 7) < 4) || op == 0x62 || op == 0x63 || op == 0x69 || op == 0x6b ||
		       (op & 0xf0) == 0x80 || (op & 0xfe) == 0xc0 || (op & 0xfc) == 0xc4 || (op & 0xfc) == 0xd0 ||
		       (op & 0xf8) == 0xd8 || (op & 0xfe) == 0xf6 || op >= 0xfe;
	if (map == MAP_0F)
		return !((op >= 0x05 && op <= 0x09) || op == 0x0b || op == 0x0e || (op & 0xf8) == 0x30 || op == 0x77 ||
			 (op & 0xf0) == 0x80 || (op >= 0xa0 && op <= 0xa2) || (op >= 0xa8 && op <= 0xaa) ||
			 op >= 0xff || (op & 0xf8) == 0xc8);
	return true;
}

static const u8 tails[2][8] = { { 0x10, 0x05, 0x00, 0x20 }, { 0xf3, 0x01 } };

/* Put a ModRM with what belongs to it, and room for an immediate. */
static void put_modrm(struct opcode *o, u8 modrm, u8 sib, bool a16, u8 imm)
{
	unsigned mod = modrm >> 6, rm = modrm & 7, n = o->n;
	s32 disp = 0;
	unsigned bytes = 0;

	o->b[n++] = modrm;
	if (mod != 3 && a16) {
		bytes = mod == 2 || (mod == 0 && rm == 6) ? 2 : mod;
		disp = mod == 0 ? 0x400 : 0x20;
	} else if (mod != 3) {
		if (rm == 4)
			o->b[n++] = sib;
		bytes = mod == 2 ? 4 : mod;
		disp = 0x20;
		if (mod == 0 && (rm == 5 || (rm == 4 && (sib & 7) == 5))) {
			bytes = 4;
			disp = rm == 5 && o->bits == 64 ? (s32)(HX_DATA - HX_CODE) + 0x400 : (s32)HX_DATA + 0x400;
		}
	}
	for (unsigned i = 0; i < bytes; i++)
		o->b[n++] = (u8)(disp >> (8 * i));
	o->b[n++] = imm;
	for (unsigned i = 0; i < 3; i++)
		o->b[n++] = 0;
	o->n = n;
}

struct form {
	u8 modrm, sib;
};

/* All ModRM forms, or a few: each register field in the register form and one or two memory forms. */
static unsigned forms(struct form *f, bool every)
{
	static const struct form mem[] = { { 0x03, 0 }, { 0x04, 0x23 }, { 0x05, 0 }, { 0x06, 0 }, { 0x04, 0x0d },
					   { 0x43, 0 }, { 0x44, 0x63 }, { 0x85, 0 }, { 0x00, 0 }, { 0x04, 0x8b } };
	unsigned n = 0;

	for (unsigned reg = 0; reg < 8; reg++) {
		for (unsigned rm = 0; rm < 8; rm++)
			if (every || rm == 1 + (reg == 1))
				f[n++] = (struct form){ (u8)(0xc0 | reg << 3 | rm), 0 };
		for (unsigned i = 0; i < ARRAY_LEN(mem); i++)
			if (every || i == 0 || i == 1 + reg % 9)
				f[n++] = (struct form){ (u8)(mem[i].modrm | reg << 3), mem[i].sib };
	}
	return n;
}

static const char *const prefix_sets[] = {
	"",         "\x66",     "\xf2", "\xf3",     "\xf0", "\x66\xf2", "\x66\xf3", "\xf2\xf3", "\xf3\xf2", "\xf0\x66",
	"\xf0\xf2", "\xf0\xf3", "\x67", "\x67\x66", "\x64", "\x65\x66", "\x2e",     "\x36\xf3", "\x3e\xf2", "\x26\x67",
};
/* How many of them a short run takes. */
#define FEW_PREFIXES 7

/* Addresses of 16 bits? */
static bool has_a16(unsigned bits, bool p67)
{
	return bits == 16 ? !p67 : bits == 32 && p67;
}

static void start(struct opcode *o, unsigned bits, const char *prefixes, u8 rex)
{
	memset(o, 0, sizeof(*o));
	memset(o->b, 0xcc, sizeof(o->b)); /* as what follows in memory */
	o->bits = bits;
	o->off = 64;
	for (; *prefixes; prefixes++)
		o->b[o->n++] = (u8)*prefixes;
	if (rex)
		o->b[o->n++] = rex;
}

static bool put_map(struct opcode *o, enum map map)
{
	if (map != MAP_1)
		o->b[o->n++] = 0x0f;
	if (map == MAP_0F38 || map == MAP_0F3A)
		o->b[o->n++] = map == MAP_0F38 ? 0x38 : 0x3a;
	if (map == MAP_3DNOW)
		o->b[o->n++] = 0x0f;
	return true;
}

static bool is_prefix(unsigned bits, u8 op)
{
	switch (op) {
	case 0x66:
	case 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
		return true;
	default:
		return bits == 64 && (op & 0xf0) == 0x40;
	}
}

static void one_opcode(unsigned bits, const char *prefixes, u8 rex, enum map map, u8 op, const struct form *f,
		       unsigned nf)
{
	bool a16 = has_a16(bits, strchr(prefixes, 0x67));
	struct opcode o;

	if (map == MAP_1 && (op == 0x0f || is_prefix(bits, op)))
		return;
	if (map == MAP_0F && (op == 0x38 || op == 0x3a || op == 0x0f))
		return;
	if (map == MAP_1 && (op == 0xc4 || op == 0xc5 || op == 0x62) && bits == 64)
		return; /* vex */
	if (!has_modrm(map, op)) {
		for (unsigned i = 0; i < 2; i++) {
			start(&o, bits, prefixes, rex);
			put_map(&o, map);
			o.b[o.n++] = op;
			memcpy(o.b + o.n, tails[i], 8);
			o.n += 8;
			o.profile = i ^ (op & 1);
			emit(&o);
		}
		return;
	}
	for (unsigned i = 0; i < nf; i++) {
		if (map == MAP_1 && (op == 0xc4 || op == 0xc5 || op == 0x62) && f[i].modrm >= 0xc0)
			continue;
		start(&o, bits, prefixes, rex);
		put_map(&o, map);
		if (map != MAP_3DNOW)
			o.b[o.n++] = op;
		u8 imm = (u8)(f[i].modrm & 8 ? 0xf5 : 0x12);
		put_modrm(&o, f[i].modrm, f[i].sib, a16, map == MAP_3DNOW ? op : imm);
		o.profile = (f[i].modrm ^ f[i].modrm >> 3 ^ op) & 1;
		emit(&o);
	}
}

static void part_maps(unsigned bits)
{
	static const u8 few_rex[] = { 0, 0x48, 0x45 };
	unsigned nrex = bits != 64 ? 1 : all ? 17 : ARRAY_LEN(few_rex);
	struct form f[256];
	unsigned nf = forms(f, all);

	for (enum map map = MAP_1; map <= MAP_3DNOW; map++)
		for (unsigned p = 0; p < (all ? ARRAY_LEN(prefix_sets) : FEW_PREFIXES); p++)
			for (unsigned x = 0; x < nrex; x++) {
				u8 rex = all ? (u8)(x ? 0x3f + x : 0) : few_rex[x];
				/* REX in full with those prefixes that choose opcodes. */
				if (p >= 4 && (all ? rex && rex != 0x48 && rex != 0x45 : x))
					continue;
				if (!all && map == MAP_3DNOW && (p || x))
					continue;
				for (unsigned op = 0; op < 256; op++)
					one_opcode(bits, prefix_sets[p], rex, map, (u8)op, f, nf);
			}
}

/* C4, C5, 8F and 62: every map number, opcode and field. In 32-bit code they have R and X set. */
static void part_vex(unsigned bits)
{
	static const u8 lead[] = { 0xc4, 0xc5, 0x8f, 0x62 };
	static const char *const before[] = { "", "\x66", "\xf2", "\xf3", "\xf0", "\x67", "\x64", "\x48" };
	struct form f[256];
	unsigned nf = forms(f, false);
	struct opcode o;

	for (unsigned l = 0; l < ARRAY_LEN(lead); l++)
		for (unsigned map = 0; map < 32; map++)
			for (unsigned op = 0; op < 256; op++)
				for (unsigned x = 0; x < 64; x++)
					for (unsigned i = 0; i < nf; i++) {
						bool real = map >= 1 && map <= 3 && lead[l] == 0xc4;
						unsigned pp = x & 3, L = x >> 2 & 1, w = x >> 3 & 1, v = x >> 4 & 1,
							 rxb = x >> 5 & 1;
						u8 modrm = f[i].modrm;
						unsigned skip = 0;

						if (lead[l] == 0xc5 && (map || w))
							continue;
						/* Maps that nobody has: a sample. */
						if (!real && lead[l] != 0xc5 &&
						    (x * 7 + op + i * 3 + map) % (all ? 61 : 499))
							continue;
						if (rxb && bits != 64)
							continue;
						if (!all && real && ((x * 5 + op + i * 11) % 23))
							continue;
						if (!all && lead[l] == 0xc5 && ((x * 5 + op + i * 11) % 13))
							continue;
						if (lead[l] == 0x8f && map < 8)
							continue; /* POP */
						start(&o, bits, before[skip], 0);
						u8 hi = rxb ? 0x00 : 0xe0;
						u8 vv = (u8)((v ? 0x9 : 0xf) << 3);
						o.b[o.n++] = lead[l];
						if (lead[l] == 0xc5) {
							o.b[o.n++] = (u8)((rxb ? 0 : 0x80) | (bits != 64 ? 0xc0 : 0) |
									  vv | L << 2 | pp);
						} else if (lead[l] == 0x62) {
							o.b[o.n++] =
							    (u8)(hi | 0x10 | (map & 15)) | (bits != 64 ? 0xc0 : 0);
							o.b[o.n++] = (u8)(w << 7 | vv | 4 | pp);
							o.b[o.n++] = (u8)(L << 5 | 8);
						} else {
							o.b[o.n++] = (u8)(hi | map) | (bits != 64 ? 0xc0 : 0);
							o.b[o.n++] = (u8)(w << 7 | vv | L << 2 | pp);
						}
						o.b[o.n++] = (u8)op;
						put_modrm(&o, modrm, f[i].sib, bits == 16,
							  (u8)(modrm & 8 ? 0xf5 : 0x12));
						o.profile = (modrm ^ modrm >> 3 ^ op) & 1;
						emit(&o);
					}
	/* Prefixes that VEX does not bear, and those it does. */
	for (unsigned b = 1; b < ARRAY_LEN(before); b++)
		for (unsigned l = 0; l < 2; l++)
			for (unsigned op = 0; op < 256; op++)
				for (unsigned i = 0; i < 2; i++) {
					start(&o, bits, before[b], 0);
					if (bits != 64 && before[b][0] == 0x48)
						continue;
					o.b[o.n++] = lead[l];
					if (l == 0)
						o.b[o.n++] = 0xe1;
					o.b[o.n++] = l ? 0xf9 : 0x79;
					o.b[o.n++] = (u8)op;
					put_modrm(&o, i ? 0xca : 0x0b, 0, has_a16(bits, before[b][0] == 0x67), 0x12);
					emit(&o);
				}
}

/* Prefixes in every order, also twice, before opcodes that mind them or ought not to. */
static void part_orders(unsigned bits)
{
	static const u8 px[] = { 0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x2e, 0x64, 0x48, 0x41 };
	static const u8 few[] = { 0x01, 0x90, 0xa4, 0xab, 0x87, 0xc3, 0xff, 0x0f, 0x6a, 0x8b };
	unsigned n = bits == 64 ? 9 : 7;
	static const struct form f[] = { { 0xca, 0 }, { 0x0b, 0 }, { 0xd1, 0 } };
	char p[5];

	for (unsigned len = 2; len <= (all ? 3u : 2u); len++)
		for (unsigned k = 0; k < (len == 2 ? n * n : n * n * n); k++) {
			p[0] = (char)px[k % n];
			p[1] = (char)px[k / n % n];
			p[2] = (char)(len == 3 ? px[k / n / n] : 0);
			p[3] = 0;
			for (unsigned op = 0; op < 256; op++) {
				bool w = all;
				for (unsigned i = 0; i < ARRAY_LEN(few); i++)
					w |= few[i] == op;
				if (w)
					one_opcode(bits, p, 0, MAP_1, (u8)op, f, all ? 3 : 2);
				if (all || (op + k) % 5 == 0)
					one_opcode(bits, p, 0, MAP_0F, (u8)op, f, all ? 2 : 1 + (op & 1));
				if (all && len == 2) {
					one_opcode(bits, p, 0, MAP_0F38, (u8)op, f, 2);
					one_opcode(bits, p, 0, MAP_0F3A, (u8)op, f, 2);
				}
			}
		}
}

/* Up to 15 bytes, and more: the same prefix again and again. */
static void part_length(unsigned bits)
{
	static const u8 pad[] = { 0x66, 0x2e, 0xf3, 0xf2, 0x67 };
	static const struct form f[] = { { 0xca, 0 }, { 0x0b, 0 }, { 0x85, 0 } };
	char p[16];

	for (unsigned k = 0; k < (all ? ARRAY_LEN(pad) : 2); k++)
		for (unsigned n = all ? 4 : 9; n <= 15; n++) {
			memset(p, (char)pad[k], n);
			p[n] = 0;
			for (unsigned op = 0; op < 256; op++) {
				if (!all && (op + n) % 3)
					continue;
				for (enum map map = MAP_1; map <= MAP_0F3A; map++) {
					/* One 67 counts as well as ten. */
					one_opcode(bits, p, 0, map, (u8)op, f, all ? 3 : 1 + (op + n) % 2);
				}
			}
		}
}

/* The last bytes before what is not mapped. */
static void part_edge(unsigned bits)
{
	static const struct form f[] = { { 0xca, 0 }, { 0x44, 0x23 }, { 0x85, 0 } };
	static const char *const pre[] = { "", "\x66", "\xf3", "\xf0" };
	struct opcode o;

	for (unsigned p = 0; p < (all ? 4u : 1u); p++)
		for (enum map map = MAP_1; map <= MAP_0F3A; map++)
			for (unsigned op = 0; op < 256; op++)
				for (unsigned i = 0; i < (all ? ARRAY_LEN(f) : 2); i++)
					for (unsigned left = 1; left < 10; left++) {
						start(&o, bits, pre[p], 0);
						put_map(&o, map);
						o.b[o.n++] = (u8)op;
						if (has_modrm(map, (u8)op)) {
							put_modrm(&o, f[i].modrm, f[i].sib, bits == 16, 0x12);
						} else {
							memcpy(o.b + o.n, tails[0], 8);
							o.n += 8;
						}
						if (left >= o.n || (!all && (left + op) % 4))
							continue;
						o.n = left;
						o.off = HX_CODE_BYTES - left;
						emit(&o);
					}
}

static const struct part {
	const char *name;
	void (*go)(unsigned bits);
} parts[] = {
	{ "maps", part_maps },     { "vex", part_vex },   { "orders", part_orders },
	{ "length", part_length }, { "edge", part_edge },
};

static void go_through(void)
{
	static const unsigned bits[] = { 64, 32, 16 };

	for (unsigned b = 0; b < ARRAY_LEN(bits); b++) {
		if (only_bits && bits[b] != only_bits)
			continue;
		for (unsigned i = 0; i < ARRAY_LEN(parts); i++)
			if (!only_part || !strcmp(only_part, parts[i].name)) {
				doing = parts[i].name;
				doing_bits = bits[b];
				parts[i].go(bits[b]);
			}
	}
}

static int one_by_bytes(const char *text)
{
	int bad = 0;

	for (unsigned p = 0; p < 2; p++) {
		struct opcode o;
		const char *s = text;
		char *end;

		start(&o, only_bits ? only_bits : 64, "", 0);
		o.profile = p;
		for (unsigned long v; v = strtoul(s, &end, 16), end != s && o.n < 20; s = end)
			o.b[o.n++] = (u8)v;
		bad += opcode_explain(&o);
	}
	return !!bad;
}

int main(int argc, char **argv)
{
	struct soft_options soft = { 0 };
	const char *bytes = NULL;

	for (int i = 1; i + 1 < argc; i += 2) {
		const char *v = argv[i + 1];
		if (!strcmp(argv[i], "--all"))
			all = progress = atoi(v);
		else if (!strcmp(argv[i], "--progress"))
			progress = atoi(v);
		else if (!strcmp(argv[i], "--bits"))
			only_bits = (unsigned)atoi(v);
		else if (!strcmp(argv[i], "--every"))
			one_in = MAX((unsigned)atoi(v), 1u);
		else if (!strcmp(argv[i], "--part"))
			only_part = v;
		else if (!strcmp(argv[i], "--bytes"))
			bytes = v;
		else if (!strcmp(argv[i], "--cpu"))
			hx_model(v), opcode_v2 = !strcmp(v, "mica-v2");
		else if (!soft_arg(&soft, argv[i], v)) {
			fprintf(stderr, "usage: opcodes [--all 1] [--bits 64|32|16] [--part "
					"maps|vex|orders|length|edge] [--cpu MODEL] [--every N] "
					"[--bytes HEX] [--progress 1] " SOFT_ARGS_USAGE "\n");
			return 2;
		}
	}
	hx_init(&soft);
	if (soft.direct == SOFT_DIRECT_ALWAYS && hx_no_direct()) {
		printf("skipped: no direct execution: %s\n", hx_no_direct());
		return 77;
	}
	opcode_direct = soft.direct == SOFT_DIRECT_ALWAYS;
	opcode_init();
	if (bytes)
		return one_by_bytes(bytes);
	counting = true;
	go_through();
	counting = false;
	go_through();
	if (progress)
		fputc('\n', stderr);
	for (unsigned i = 0; i < opcode_nreasons; i++)
		if (opcode_reasons[i].count)
			printf("%9llu %s: %s\n", LL(opcode_reasons[i].count), opcode_reasons[i].name,
			       opcode_reasons[i].why);
	printf("opcodes: %llu instructions, %llu differences of %u kinds\n", LL(ndone), LL(opcode_nbad),
	       opcode_nkinds());
	if (!hx_have_bits(32) || !hx_have_bits(16))
		printf("opcodes: this host's kernel lets no %s code run: 64-bit code in its place, and %llu "
		       "instructions that have "
		       "none not compared\n",
		       hx_have_bits(32)   ? "16-bit"
		       : hx_have_bits(16) ? "32-bit"
					  : "32- and 16-bit",
		       LL(opcode_nalone));
	return opcode_nbad ? 1 : 0;
}
