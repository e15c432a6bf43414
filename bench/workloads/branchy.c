// SPDX-License-Identifier: GPL-2.0-or-later
// Control flow: indirect jumps and calls that change their target, returns, deep recursion.
#include "work.h"

// A register machine with a dozen instructions, as interpreters have them.
enum op { OP_LOAD, OP_ADD, OP_SUB, OP_MUL, OP_AND, OP_SHR, OP_MOVE, OP_JNZ, OP_JMP, OP_LT, OP_DEC, OP_HALT };

struct insn {
	uint8_t op, a, b, c;
	int32_t value; // or the jump's target
};

// r0 = steps of the Collatz sequences of the numbers from r1 down to 2.
// clang-format off
static const struct insn program[] = {
	{ OP_LOAD, 0, 0, 0, 0 }, // 0
	{ OP_LOAD, 5, 0, 0, 1 },
	{ OP_LOAD, 6, 0, 0, 3 },
	{ OP_LOAD, 7, 0, 0, 2 },
	{ OP_MOVE, 2, 1, 0, 0 }, // 4: next number
	{ OP_LT, 3, 2, 7, 0 }, // 5: next step: done at 1
	{ OP_JNZ, 3, 0, 0, 15 },
	{ OP_ADD, 0, 0, 5, 0 },
	{ OP_AND, 3, 2, 5, 0 },
	{ OP_JNZ, 3, 0, 0, 12 },
	{ OP_SHR, 2, 2, 5, 0 }, // 10: even
	{ OP_JMP, 0, 0, 0, 5 },
	{ OP_MUL, 2, 2, 6, 0 }, // 12: odd
	{ OP_ADD, 2, 2, 5, 0 },
	{ OP_JMP, 0, 0, 0, 5 },
	{ OP_DEC, 1, 0, 0, 0 }, // 15
	{ OP_SUB, 3, 1, 5, 0 },
	{ OP_JNZ, 3, 0, 0, 4 },
	{ OP_HALT, 0, 0, 0, 0 },
};
// clang-format on

__attribute__((noinline)) static uint64_t by_switch(uint64_t r1)
{
	uint64_t r[8] = { 0, r1 };

	for (const struct insn *i = program;;) {
		const struct insn *now = i++;
		switch ((enum op)now->op) {
		case OP_LOAD:
			r[now->a] = (uint64_t)now->value;
			break;
		case OP_ADD:
			r[now->a] = r[now->b] + r[now->c];
			break;
		case OP_SUB:
			r[now->a] = r[now->b] - r[now->c];
			break;
		case OP_MUL:
			r[now->a] = r[now->b] * r[now->c];
			break;
		case OP_AND:
			r[now->a] = r[now->b] & r[now->c];
			break;
		case OP_SHR:
			r[now->a] = r[now->b] >> (r[now->c] & 63);
			break;
		case OP_MOVE:
			r[now->a] = r[now->b];
			break;
		case OP_LT:
			r[now->a] = r[now->b] < r[now->c];
			break;
		case OP_DEC:
			r[now->a]--;
			break;
		case OP_JMP:
			i = program + now->value;
			break;
		case OP_JNZ:
			if (r[now->a])
				i = program + now->value;
			break;
		case OP_HALT:
			return r[0];
		}
	}
}

__attribute__((noinline)) static uint64_t by_goto(uint64_t r1)
{
	static const void *const labels[] = { &&do_load, &&do_add, &&do_sub, &&do_mul, &&do_and, &&do_shr,
					      &&do_move, &&do_jnz, &&do_jmp, &&do_lt,  &&do_dec, &&do_halt };
	uint64_t r[8] = { 0, r1 };
	const struct insn *i = program, *now;

#define NEXT \
	now = i++; \
	goto *labels[now->op]
	NEXT;
do_load:
	r[now->a] = (uint64_t)now->value;
	NEXT;
do_add:
	r[now->a] = r[now->b] + r[now->c];
	NEXT;
do_sub:
	r[now->a] = r[now->b] - r[now->c];
	NEXT;
do_mul:
	r[now->a] = r[now->b] * r[now->c];
	NEXT;
do_and:
	r[now->a] = r[now->b] & r[now->c];
	NEXT;
do_shr:
	r[now->a] = r[now->b] >> (r[now->c] & 63);
	NEXT;
do_move:
	r[now->a] = r[now->b];
	NEXT;
do_jnz:
	if (r[now->a])
		i = program + now->value;
	NEXT;
do_jmp:
	i = program + now->value;
	NEXT;
do_lt:
	r[now->a] = r[now->b] < r[now->c];
	NEXT;
do_dec:
	r[now->a]--;
	NEXT;
do_halt:
	return r[0];
#undef NEXT
}

static uint64_t interpreter_switch(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum = mix(sum, by_switch(30 + i % 64));
	return sum;
}

static uint64_t interpreter_goto(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum = mix(sum, by_goto(30 + i % 64));
	return sum;
}

// Objects of eight kinds in random order, each with its own two methods.
struct object {
	const struct methods *methods;
	uint64_t size;
};

struct methods {
	uint64_t (*area)(const struct object *);
	void (*grow)(struct object *, uint64_t by);
};

#define KIND(n, expr) \
	__attribute__((noinline)) static uint64_t area_##n(const struct object *o) \
	{ \
		uint64_t s = o->size; \
		return expr; \
	} \
	__attribute__((noinline)) static void grow_##n(struct object *o, uint64_t by) \
	{ \
		o->size = (o->size + by * n) & 0xffff; \
	} \
	static const struct methods methods_##n = { area_##n, grow_##n };
KIND(1, (s * s))
KIND(2, (s * s * 3))
KIND(3, s << 3)
KIND(4, s ^ 0x5a5a)
KIND(5, s * 5 + 1)
KIND(6, (s * (s + 1) / 2))
KIND(7, ~s)
KIND(8, s + 77)

#define OBJECTS 1024
static struct object objects[OBJECTS];

static void virtual_setup(void)
{
	static const struct methods *const kinds[] = { &methods_1, &methods_2, &methods_3, &methods_4,
						       &methods_5, &methods_6, &methods_7, &methods_8 };
	uint64_t state = 99;

	for (size_t i = 0; i < OBJECTS; i++)
		objects[i].methods = kinds[next_random(&state) >> 7 & 7];
}

static uint64_t virtual_calls(uint64_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < OBJECTS; i++)
		objects[i].size = i;
	for (uint64_t i = 0; i < n; i++) {
		struct object *o = &objects[i % OBJECTS];
		sum += o->methods->area(o);
		o->methods->grow(o, sum & 15);
	}
	return sum;
}

__attribute__((noinline)) static uint64_t fib(uint64_t n)
{
	if (n < 2)
		return n;
	uint64_t a = fib(n - 1), b = fib(n - 2);
	__asm__("" : "+r"(b)); // two true calls: no loop in place of one
	return a + b;
}

static uint64_t fibonacci(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum += fib(12 + i % 8);
	return sum;
}

const struct workload branchy_workloads[] = {
	{ "interp-switch", "branchy", "a bytecode interpreter's loop: one indirect jump for all", interpreter_switch },
	{ "interp-goto", "branchy", "the same with one indirect jump an instruction", interpreter_goto },
	{ "virtual-calls", "branchy", "methods of eight kinds of objects in random order", virtual_calls,
	  virtual_setup },
	{ "fib", "branchy", "recursive calls and returns", fibonacci },
	{ 0 },
};
