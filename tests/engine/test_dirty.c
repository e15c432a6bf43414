/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_dirty.c - the dirty log tells every page that was written, and no other, on whichever engine. */
#include "../fake_bus.h"
#include "cpu/kvm/kvm.h"
#include "test_engine.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define RAM_BYTES (24 * MIB)
#define PAGES (RAM_BYTES / PAGE_BYTES)
#define CODE 0x8000u
#define PML4 0x1000u
#define FIRST (4 * MIB)

/* rcx stores of a byte, rdx apart, from rdi on; then out 0x10, al */
static const u8 code[] = {
	0x88, 0x07,       /* 1: mov [rdi], al */
	0x48, 0x01, 0xd7, /* add rdi, rdx */
	0x48, 0xff, 0xc9, /* dec rcx */
	0x75, 0xf6,       /* jnz 1b */
	0xe6, 0x10,       /* out 0x10, al */
	0xeb, 0xf2,       /* jmp 1b */
};

static struct ram *ram;
static struct cpu_vm *vm;
static struct cpu *cpu;
static struct cpu_model *model;
static u64 bitmap[PAGES / 64];

static void pio_write(void *o, unsigned c, u16 port, unsigned bytes, u32 v)
{
	cpu_stop(cpu);
}
static const struct cpu_bus bus = { FAKE_BUS, .pio_write = pio_write };

static void put64(u32 at, u64 v)
{
	assert_int_equal(ram_put(ram, at, &v, 8), 0);
}

static int setup(void **unused)
{
	struct err e;

	if (ram_new(&ram, RAM_BYTES, &e) < 0 || cpu_model_new(&model, "mica-v2", 1, &e) < 0 ||
	    test_vm_new(&vm, &bus, ram, model, 1, &e) < 0) {
		print_error("%s\n", e.msg);
		return -1;
	}
	cpu = cpu_vm_cpu(vm, 0);
	put64(PML4, 0x2000 | 3);
	put64(0x2000, 0x3000 | 3);
	for (u32 i = 0; i < RAM_BYTES / (2 * MIB); i++)
		put64(0x3000 + 8 * i, (u64)i << 21 | 0xe3); /* A and D are set: walks write nothing */
	put64(PML4, 0x2000 | 0x23);
	put64(0x2000, 0x3000 | 0x23);
	ram_put(ram, CODE, code, sizeof(code));
	return 0;
}

static int teardown(void **unused)
{
	cpu_vm_free(vm);
	cpu_model_free(model);
	ram_free(ram);
	return 0;
}

static void stores(u64 at, u64 stride, u64 n)
{
	struct cpu_state *s = aligned_alloc(64, ROUND_UP(sizeof(*s), 64));
	struct err e = { 0 };

	cpu_get_state(cpu, s);
	s->cr0 = 0x80010033;
	s->cr3 = PML4;
	s->cr4 = 0x620;
	s->efer = 0x500;
	s->rip = CODE;
	s->rflags = 2;
	s->gpr[GPR_RDI] = at;
	s->gpr[GPR_RDX] = stride;
	s->gpr[GPR_RCX] = n;
	s->seg[SEG_CS] = (struct cpu_seg){ .sel = 8, .ar = 0xa09b, .limit = UINT32_MAX };
	s->seg[SEG_SS] = s->seg[SEG_DS] = s->seg[SEG_ES] =
	    (struct cpu_seg){ .sel = 16, .ar = 0xc093, .limit = UINT32_MAX };
	s->run_state = CPU_RUNNING;
	assert_int_equal(cpu_set_state(cpu, s, &e), 0);
	free(s);
	assert_int_equal(cpu_run(cpu, &e), CPU_EXIT_STOP);
}

/* Exactly pages first, first + step, ... n of them; but the page tables, which a processor may write at each walk. */
static void dirty_are(u64 first, u64 step, u64 n)
{
	struct err e;

	memset(bitmap, 0, sizeof(bitmap));
	assert_int_equal(cpu_vm_dirty_collect(vm, CPU_LOG_STATE, bitmap, &e), 0);
	for (u64 p = 4; p < PAGES; p++) {
		bool want = n && p >= first && (p - first) % step == 0 && (p - first) / step < n;
		if (!!(bitmap[p / 64] >> (p % 64) & 1) != want)
			fail_msg("page %llu: dirty %d, wanted %d", (unsigned long long)p, !want, want);
	}
}

static void test_pages(void **unused)
{
	u64 p = FIRST / PAGE_BYTES;
	struct err e;

	stores(FIRST, PAGE_BYTES, 64); /* fast entries from before */
	assert_int_equal(cpu_vm_dirty_start(vm, CPU_LOG_STATE, 0, RAM_BYTES, &e), 0);
	dirty_are(0, 1, 0);
	stores(FIRST, PAGE_BYTES, 100);
	dirty_are(p, 1, 100);
	dirty_are(0, 1, 0);
	stores(FIRST + 5, 3 * PAGE_BYTES, 200);
	stores(FIRST + 5, 3 * PAGE_BYTES, 200);
	dirty_are(p, 3, 200);
	stores(FIRST, 8, 1024); /* two pages, many stores */
	dirty_are(p, 1, 2);
	stores(FIRST, 8, 1024);
	dirty_are(p, 1, 2);
	cpu_vm_dirty_stop(vm, CPU_LOG_STATE);
	stores(FIRST, PAGE_BYTES, 100);
	assert_int_equal(cpu_vm_dirty_start(vm, CPU_LOG_STATE, 0, RAM_BYTES, &e), 0);
	dirty_are(0, 1, 0);
	cpu_vm_dirty_stop(vm, CPU_LOG_STATE);
}

static void test_devices(void **unused)
{
	static const u8 data[3 * PAGE_BYTES];
	struct err e;

	assert_int_equal(cpu_vm_dirty_start(vm, CPU_LOG_STATE, 0, RAM_BYTES, &e), 0);
	ram_put(ram, FIRST + 4095, data, 2);
	dirty_are(FIRST / PAGE_BYTES, 1, 2);
	ram_put(ram, FIRST + 4096, data, sizeof(data));
	dirty_are(FIRST / PAGE_BYTES + 1, 1, 3);
	cpu_vm_dirty_stop(vm, CPU_LOG_STATE);
}

/* Nothing is lost while the guest runs on. */
static void *collector(void *opaque)
{
	struct err e;

	for (int i = 0; i < 200; i++)
		assert_int_equal(cpu_vm_dirty_collect(vm, CPU_LOG_STATE, bitmap, &e), 0);
	return NULL;
}

static void test_running(void **unused)
{
	pthread_t t;
	struct err e;

	assert_int_equal(cpu_vm_dirty_start(vm, CPU_LOG_STATE, 0, RAM_BYTES, &e), 0);
	memset(bitmap, 0, sizeof(bitmap));
	pthread_create(&t, NULL, collector, NULL);
	for (unsigned i = 0; i < 10; i++)
		stores(FIRST + i * PAGE_BYTES, 10 * PAGE_BYTES, 100);
	pthread_join(t, NULL);
	assert_int_equal(cpu_vm_dirty_collect(vm, CPU_LOG_STATE, bitmap, &e), 0);
	for (u64 p = FIRST / PAGE_BYTES; p < FIRST / PAGE_BYTES + 1000; p++)
		assert_true(bitmap[p / 64] >> (p % 64) & 1);
	cpu_vm_dirty_stop(vm, CPU_LOG_STATE);
}

/* More pages than a ring of KVM's has entries. */
static void test_many(void **unused)
{
	u64 n = PAGES - FIRST / PAGE_BYTES;
	struct err e;

	assert_int_equal(cpu_vm_dirty_start(vm, CPU_LOG_STATE, 0, RAM_BYTES, &e), 0);
	for (int i = 0; i < 2; i++) {
		stores(FIRST, PAGE_BYTES, n);
		dirty_are(FIRST / PAGE_BYTES, 1, n);
		dirty_are(0, 1, 0);
	}
	stores(FIRST, PAGE_BYTES, n); /* and none of them is told after the next start */
	cpu_vm_dirty_stop(vm, CPU_LOG_STATE);
	assert_int_equal(cpu_vm_dirty_start(vm, CPU_LOG_STATE, 0, RAM_BYTES, &e), 0);
	dirty_are(0, 1, 0);
	cpu_vm_dirty_stop(vm, CPU_LOG_STATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_running),
		cmocka_unit_test(test_many),
	};
	int r = cmocka_run_group_tests_name("dirty", tests, setup, teardown);

	if (r == 0 && test_engine() == CPU_ENGINE_KVM) {
		kvm_want_rings = false;
		r = cmocka_run_group_tests_name("dirty, bitmaps", tests, setup, teardown);
	}
	return r;
}
