/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_cpu_state.c - what a vCPU's state brings along besides registers: events that wait are delivered before the next
 * instruction, and come back when they are not. The software engine, in real mode: vector n's handler halts at
 * 0x1000 + n.
 */
#include "fake_bus.h"
#include "cpu/cpu.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define CODE 0x8000
#define HANDLERS 0x1000
#define STACK 0x7000

static u8 tpr;

static u8 tpr_get(void *o, unsigned c)
{
	return tpr;
}
static void tpr_set(void *o, unsigned c, u8 v)
{
	tpr = v;
}

static const struct cpu_bus bus = { FAKE_BUS, .tpr_get = tpr_get, .tpr_set = tpr_set };

static struct ram *ram;
static struct cpu_model *model;
static struct cpu_vm *vm;
static struct cpu *cpu;
static struct cpu_state S __attribute__((aligned(64)));

static int up(void **state)
{
	if (ram_new(&ram, 2 * MIB, NULL) < 0 || cpu_model_new(&model, "mica-v2", 2, NULL) < 0 ||
	    cpu_vm_new(&vm, CPU_ENGINE_SOFT, &bus, ram, model, 2, NULL) < 0)
		return -1;
	for (unsigned v = 0; v < 256; v++) {
		st_le32(ram->host + 4 * v, HANDLERS + v);
		ram->host[HANDLERS + v] = 0xf4; /* HLT */
	}
	cpu = cpu_vm_cpu(vm, 0);
	cpu_get_state(cpu, &S);
	S.seg[SEG_CS].sel = 0;
	S.seg[SEG_CS].base = 0;
	S.rip = CODE;
	S.gpr[GPR_RSP] = STACK;
	S.rflags = 2;
	return 0;
}

static int down(void **state)
{
	cpu_vm_free(vm);
	cpu_model_free(model);
	ram_free(ram);
	return 0;
}

static void *run(void *c)
{
	struct err e;

	cpu_run(c, &e);
	return NULL;
}

/* Set S, let it run until it sleeps, get it back. */
static void go(struct cpu *c, const char *code, size_t n)
{
	pthread_t t;

	memcpy(ram->host + CODE, code, n);
	ram_wrote(ram, CODE, n);
	assert_int_equal(cpu_set_state(c, &S, NULL), 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(pthread_create(&t, NULL, run, c), 0);
		usleep(20000);
		cpu_stop(c);
		pthread_join(t, NULL);
		cpu_get_state(c, &S);
		if (S.run_state == CPU_HALTED)
			return;
	}
	fail_msg("it does not halt");
}

/* Halted behind the handler of vec, with this return address on the stack. */
static void in_handler(unsigned vec, u16 ret)
{
	assert_int_equal(S.run_state, CPU_HALTED);
	assert_int_equal(S.rip, HANDLERS + vec + 1);
	assert_int_equal(ld_le16(ram->host + S.gpr[GPR_RSP]), ret);
}

static void again(void)
{
	S.rip = CODE;
	S.gpr[GPR_RSP] = STACK;
	S.run_state = CPU_RUNNING;
}

static void nothing_waits(void **state)
{
	go(cpu, "\x90\xf4", 2);
	assert_int_equal(S.rip, CODE + 2);
	assert_false(S.exc.valid || S.intr.valid || S.nmi_pending || S.kicked);
}

static void exception(void **state)
{
	S.exc.valid = true;
	S.exc.vector = 6;
	struct cpu_state copy = S;
	assert_int_equal(cpu_set_state(cpu, &S, NULL), 0);
	cpu_get_state(cpu, &S); /* not run: still there */
	assert_true(S.exc.valid && S.exc.vector == 6 && !S.exc.has_error);
	S = copy;
	go(cpu, "\xf4", 1);
	in_handler(6, CODE);
	assert_false(S.exc.valid);
}

static void page_fault_address(void **state)
{
	S.exc.valid = S.exc.has_payload = true;
	S.exc.vector = 14;
	S.exc.payload = 0x123456789abc;
	go(cpu, "\xf4", 1);
	in_handler(14, CODE);
	assert_true(S.cr2 == 0x123456789abc);
	/* Or it is in CR2 already. */
	again();
	S.exc.valid = true;
	S.exc.has_payload = false;
	S.exc.vector = 14;
	S.cr2 = 0x5555;
	go(cpu, "\xf4", 1);
	in_handler(14, CODE);
	assert_true(S.cr2 == 0x5555);
}

/* It has left its controller: it comes though interrupts are off by now. */
static void interrupt(void **state)
{
	struct cpu_state back;

	S.intr.valid = true;
	S.intr.vector = 0x41;
	assert_int_equal(cpu_set_state(cpu, &S, NULL), 0);
	cpu_get_state(cpu, &back);
	assert_true(back.intr.valid && back.intr.vector == 0x41);
	S.run_state = CPU_HALTED; /* and it wakes */
	go(cpu, "\x90\xf4", 2);
	in_handler(0x41, CODE);
	assert_false(S.intr.valid);
}

/* INT n points at itself and runs again: once. */
static void software_interrupt(void **state)
{
	S.intr.valid = S.intr.soft = true;
	S.intr.vector = 0x21;
	go(cpu, "\xcd\x21", 2);
	in_handler(0x21, CODE + 2);
	assert_int_equal(S.gpr[GPR_RSP], STACK - 6);
}

static void nmi(void **state)
{
	S.nmi_pending = true;
	go(cpu, "\xf4", 1);
	in_handler(2, CODE);
	assert_true(S.nmi_masked);
	/* Pending while masked: it waits, and is in the state. */
	again();
	S.nmi_pending = true;
	go(cpu, "\xf4", 1);
	assert_int_equal(S.rip, CODE + 1);
	assert_true(S.nmi_masked && S.nmi_pending);
}

/* MOV SS holds an NMI back for one instruction. */
static void shadow(void **state)
{
	S.nmi_pending = S.intr_shadow = S.shadow_ss = true;
	go(cpu, "\x90\x90\xf4", 3);
	in_handler(2, CODE + 1);
}

static void kick(void **state)
{
	S.kicked = true;
	go(cpu, "\xf4\x90\xf4", 3);
	assert_int_equal(S.rip, CODE + 3);
	assert_false(S.kicked);
}

static void init_and_sipi(void **state)
{
	struct cpu *other = cpu_vm_cpu(vm, 1);
	struct cpu_state back;

	ram->host[0x9000] = 0xf4;
	cpu_get_state(other, &S);
	assert_int_equal(S.run_state, CPU_WAIT_SIPI);
	S.run_state = CPU_RUNNING;
	S.rip = 0x4444;
	S.init_pending = S.sipi_pending = true;
	S.sipi_vector = 9;
	assert_int_equal(cpu_set_state(other, &S, NULL), 0);
	cpu_get_state(other, &back);
	assert_true(back.init_pending && back.sipi_pending && back.sipi_vector == 9);
	go(other, "", 0);
	assert_true(S.seg[SEG_CS].base == 0x9000 && S.rip == 1);
	assert_false(S.init_pending || S.sipi_pending);
}

/* MSRs of mitigations: #GP where the model has none; for a guest that had them under KVM they work. */
static void spec_msrs(void **state)
{
	/* mov ecx,49h; mov eax,1; xor edx,edx; wrmsr; mov ecx,48h; mov eax,4; wrmsr; xor eax,eax; rdmsr; hlt */
	static const char code[] =
	    "\x66\xb9\x49\0\0\0\x66\xb8\1\0\0\0\x66\x31\xd2\x0f\x30\x66\xb9\x48\0\0\0\x66\xb8\4\0\0\0\x0f\x30"
	    "\x66\x31\xc0\x0f\x32\xf4";
	struct cpu_state fresh = S;

	if (cpu_model_is_amd(model)) {
		go(cpu, code, sizeof(code) - 1);
		in_handler(13, CODE + 15);
	}
	S = fresh;
	S.spec_msrs = true;
	go(cpu, code, sizeof(code) - 1);
	assert_int_equal(S.rip, CODE + sizeof(code) - 1);
	assert_int_equal(S.gpr[GPR_RAX], 4);
	assert_true(S.spec_msrs && S.spec_ctrl == 4);
}

static void every_register(void **state)
{
	struct cpu_state back;

	S.tsc_adjust = 77;
	for (unsigned i = 0; i < 16; i++)
		S.mtrr_var[i] = i * 0x1000 + 6;
	for (unsigned i = 0; i < 11; i++)
		S.mtrr_fix[i] = 0x0606060606060606;
	S.tsc = 1ull << 40;
	assert_int_equal(cpu_set_state(cpu, &S, NULL), 0);
	cpu_get_state(cpu, &back);
	assert_int_equal(back.tsc_adjust, 77);
	assert_memory_equal(back.mtrr_var, S.mtrr_var, sizeof(S.mtrr_var));
	assert_memory_equal(back.mtrr_fix, S.mtrr_fix, sizeof(S.mtrr_fix));
	assert_true(back.tsc >= S.tsc && back.tsc - S.tsc < 100ull << 30);
	assert_int_equal(ld_le64(back.xsave + 512) & ~cpu_model_xcr0(model) & ~3ull, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
		T(nothing_waits), T(exception), T(page_fault_address), T(interrupt), T(software_interrupt), T(nmi),
		T(shadow),        T(kick),      T(init_and_sipi),      T(spec_msrs), T(every_register),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
