/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_extents.c - guest memory as a table of extents (base/ram.h), as guest code meets it: ROM, nothing, memory that
 * moves under its feet. On whichever engine.
 */
#include "../fake_bus.h"
#include "cpu/cpu.h"
#include "test_engine.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define RAM_BYTES (16 * MIB)
#define BLOB 0x10000u
#define GDT 0x1000u
#define IDT 0x2000u
#define PML4 0x4000u
#define STACK(cpu) (0xa000u + 0x1000 * (cpu))
#define FLAG 0x20000u
#define WINDOW 0x8000000ull  /* a ROM, as a rule */
#define WINDOW2 0x9000000ull /* ... where it may move */
#define DEVICE 0xa000000ull
#define NOWHERE 0xb000000ull
#define ROM_BYTES (64 * KIB)
#define DEVICE_VALUE 0x51
#define CPUS 2

extern const u8 ext_blob[], ext_blob_end[];
extern const u8 x_handlers[], x_call[], x_write[], x_cross[], x_cross_wide[], x_jump[], x_flash[], x_switch[],
    x_watch[], x_own_page[], x_own_page_end[], x_own_page_next[];

/* Returns what is at its offset 16. */
static const u8 returns[] = {
	0x8b, 0x05, 0x0a, 0x00, 0x00, 0x00, /* mov 16(start), %eax */
	0xc3,                               /* ret */
};

static struct ram *ram;
static struct cpu_vm *vm;
static struct cpu_model *model;
static struct err err;
static u64 rom_off, other_off; /* two pieces of the file for the window */
static int window;             /* the extent there; -1: none */
static bool flash;             /* a store to it takes it away, and brings it back */
static unsigned vector;        /* of the exception that ended the run; 0: none did */
static u64 nwrites, write_at[4];

static void show(u64 off, gpa_t gpa, bool readonly)
{
	struct ram_extent x = { .name = "window", .gpa = gpa, .bytes = ROM_BYTES, .off = off, .readonly = readonly };

	if (window >= 0)
		ram_remove(ram, window);
	window = ram_add(ram, &x, NULL);
	must(window >= 0);
}

static void hide(void)
{
	ram_remove(ram, window);
	window = -1;
}

/* An access that begins at a device, whose page ends where the window begins: what the device does meanwhile. */
static void (*crossing)(gpa_t gpa, bool write);

static u64 mmio_read(void *o, unsigned c, gpa_t gpa, unsigned bytes)
{
	if (crossing)
		crossing(gpa, false);
	bool here = (gpa & ~(u64)(ROM_BYTES - 1)) == WINDOW || gpa - DEVICE < ROM_BYTES;

	return here ? 0x0101010101010101ull * DEVICE_VALUE : UINT64_MAX;
}
static void mmio_write(void *o, unsigned c, gpa_t gpa, unsigned bytes, u64 v)
{
	if (crossing)
		crossing(gpa, true);
	if (nwrites < ARRAY_LEN(write_at))
		write_at[nwrites] = gpa;
	nwrites++;
	if (flash && (v & 0xff) == 0x90)
		hide();
	else if (flash && (v & 0xff) == 0xff)
		show(rom_off, WINDOW, true);
}
static void pio_write(void *o, unsigned c, u16 port, unsigned bytes, u32 v)
{
	switch (port) {
	case 0x20:
		show(other_off, WINDOW, false);
		break;
	case 0x21:
		show(rom_off, WINDOW, true);
		break;
	case 0x22:
		show(rom_off, WINDOW2, true);
		break;
	default:
		vector = port == 0x11 ? v & 0xff : 0;
		for (unsigned i = 0; i < CPUS; i++)
			cpu_stop(cpu_vm_cpu(vm, i));
	}
}
static const struct cpu_bus bus = { FAKE_BUS, .mmio_read = mmio_read, .mmio_write = mmio_write,
				    .pio_write = pio_write };

static void put64(u64 at, u64 v)
{
	assert_int_equal(ram_put(ram, at, &v, 8), 0);
}

static u64 phys(const u8 *label)
{
	return BLOB + (u64)(label - ext_blob);
}

/* returns() in a piece of the file, with its result. */
static void put_function(u64 off, u32 result)
{
	memset(ram->host + off, 0xcc, ROM_BYTES);
	for (u64 at = 0; at < ROM_BYTES; at += PAGE_BYTES) {
		memcpy(ram->host + off + at, returns, sizeof(returns));
		st_le32(ram->host + off + at + 16, result);
	}
	ram_wrote_at(ram, off, ROM_BYTES);
}

static int setup(void **unused)
{
	window = -1;
	flash = false;
	if (ram_new_with_room(&ram, RAM_BYTES, MIB, &err) < 0 || cpu_model_new(&model, "mica-v2", CPUS, &err) < 0 ||
	    test_vm_new(&vm, &bus, ram, model, CPUS, &err) < 0 || ram_take(ram, ROM_BYTES, &rom_off, &err) < 0 ||
	    ram_take(ram, ROM_BYTES, &other_off, &err) < 0) {
		print_error("%s\n", err.msg);
		return -1;
	}
	ram_put(ram, BLOB, ext_blob, (u64)(ext_blob_end - ext_blob));
	put64(GDT + 8, 0x00af9b000000ffffull);
	put64(GDT + 16, 0x00cf93000000ffffull);
	for (unsigned v = 0; v < 32; v++) {
		u64 h = phys(x_handlers) + 8 * v;

		put64(IDT + 16 * v, (h & 0xffff) | 8u << 16 | 0x8eull << 40 | (h >> 16 & 0xffff) << 48);
		put64(IDT + 16 * v + 8, h >> 32);
	}
	put64(PML4, (PML4 + 0x1000) | 0x23);
	put64(PML4 + 0x1000, (PML4 + 0x2000) | 0x23);
	for (u64 i = 0; i < 512; i++)
		put64(PML4 + 0x2000 + 8 * i, i << 21 | 0xe3);
	put_function(rom_off, 1);
	put_function(other_off, 2);
	show(rom_off, WINDOW, true);
	assert_int_equal(ram_commit(ram, &err), 0);
	return 0;
}

static int teardown(void **unused)
{
	cpu_vm_free(vm);
	cpu_model_free(model);
	ram_free(ram);
	return 0;
}

static void enter(unsigned cpu, u64 rip, u64 rbx, u64 rcx)
{
	struct cpu_state *s = aligned_alloc(64, ROUND_UP(sizeof(*s), 64));
	struct cpu *c = cpu_vm_cpu(vm, cpu);

	must(s);
	cpu_get_state(c, s);
	s->cr0 = 0x80010033;
	s->cr3 = PML4;
	s->cr4 = 0x620;
	s->efer = 0x500;
	s->rip = rip;
	s->rflags = 2;
	s->gdt_base = GDT;
	s->gdt_limit = 23;
	s->idt_base = IDT;
	s->idt_limit = 32 * 16 - 1;
	s->gpr[GPR_RBX] = rbx;
	s->gpr[GPR_RCX] = rcx;
	s->gpr[GPR_RBP] = FLAG;
	s->gpr[GPR_RSP] = STACK(cpu);
	s->seg[SEG_CS] = (struct cpu_seg){ .sel = 8, .ar = 0xa09b, .limit = UINT32_MAX };
	s->seg[SEG_SS] = s->seg[SEG_DS] = s->seg[SEG_ES] =
	    (struct cpu_seg){ .sel = 16, .ar = 0xc093, .limit = UINT32_MAX };
	s->run_state = CPU_RUNNING;
	assert_int_equal(cpu_set_state(c, s, &err), 0);
	free(s);
	vector = 0;
	nwrites = 0;
}

static enum cpu_exit go(unsigned cpu)
{
	return cpu_run(cpu_vm_cpu(vm, cpu), &err);
}

/* Runs to its end; r8. */
static u64 run(const u8 *at, u64 rbx, u64 rcx)
{
	static struct cpu_state s;

	enter(0, phys(at), rbx, rcx);
	if (go(0) != CPU_EXIT_STOP)
		fail_msg("the engine: %s", err.msg);
	cpu_get_state(cpu_vm_cpu(vm, 0), &s);
	return s.gpr[8];
}

static void executes_rom(void **unused)
{
	assert_int_equal(run(x_call, WINDOW, 1000), 1000);
	assert_int_equal(vector, 0);
	assert_int_equal(run(x_call, WINDOW + 5 * PAGE_BYTES, 1), 1);
	assert_int_equal(nwrites, 0);
	/* What writes it another way is seen by code that was executed. */
	put_function(rom_off, 7);
	assert_int_equal(run(x_call, WINDOW, 10), 70);
	put_function(rom_off, 1);
}

static void writes_are_the_bus_s(void **unused)
{
	u8 *before = xcalloc(1, ROM_BYTES);

	memcpy(before, ram->host + rom_off, ROM_BYTES);
	u64 v = ld_le64(before) + ld_le64(before + 8);
	assert_true(run(x_write, WINDOW, 3) == v);
	assert_int_equal(vector, 0);
	assert_memory_equal(before, ram->host + rom_off, ROM_BYTES);
	assert_true(nwrites >= 3 * 13);
	assert_true(write_at[0] == WINDOW && write_at[1] == WINDOW + 2 && write_at[2] == WINDOW + 4);
	/* A thousand times, which is translated. */
	assert_true(run(x_write, WINDOW, 1000) == v);
	assert_memory_equal(before, ram->host + rom_off, ROM_BYTES);
	free(before);
}

/* An instruction that is not there reads as ones: #UD, FF /7. */
static void fetches_nothing(void **unused)
{
	static const gpa_t at[] = { NOWHERE, NOWHERE + 4095, DEVICE, WINDOW + ROM_BYTES, RAM_BYTES };

	for (unsigned i = 0; i < ARRAY_LEN(at); i++)
		for (unsigned again = 0; again < 40; again++) {
			run(x_jump, at[i], 0);
			assert_int_equal(vector, 6);
			/* What #UD pushed: RIP. */
			assert_true(ld_le64(ram->host + STACK(0) - 5 * 8) == at[i]);
		}
	/* Begun in memory, ended in nothing: 0F FF FF, UD0. */
	ram->host[RAM_BYTES - 1] = 0x0f;
	ram_wrote_at(ram, RAM_BYTES - 1, 1);
	run(x_jump, RAM_BYTES - 1, 0);
	assert_int_equal(vector, 6);
	assert_true(ld_le64(ram->host + STACK(0) - 5 * 8) == RAM_BYTES - 1);
}

static void is_a_flash(void **unused)
{
	flash = true;
	assert_int_equal(run(x_flash, WINDOW, 3000), 0);
	assert_int_equal(vector, 0);
	assert_int_equal(nwrites, 6000);
}

static void moves(void **unused)
{
	assert_int_equal(run(x_call, WINDOW, 100), 100);
	assert_int_equal(ram_move(ram, window, WINDOW2, &err), 0);
	assert_int_equal(ram_commit(ram, &err), 0);
	assert_int_equal(run(x_call, WINDOW2, 100), 100);
	run(x_call, WINDOW, 1);
	assert_int_equal(vector, 6);
	/* Two addresses, one piece of the file. */
	int a = window;
	window = -1;
	show(rom_off, WINDOW, false);
	assert_int_equal(ram_commit(ram, &err), 0);
	put_function(rom_off, 3);
	assert_int_equal(run(x_call, WINDOW2, 10), 30);
	st_le32(ram_ptr(ram, WINDOW + 16, 4), 4);
	assert_int_equal(run(x_call, WINDOW2, 10), 40);
	ram_remove(ram, a);
	put_function(rom_off, 1);
}

/* The guest takes away the page that it is executing; what it goes on with is what is there then. */
static void takes_its_own_page(void **unused)
{
	static struct cpu_state s;
	u64 n = (u64)(x_own_page_end - x_own_page);

	memcpy(ram->host + rom_off, x_own_page, n);
	ram_wrote_at(ram, rom_off, n);
	enter(0, WINDOW, 0, 0);
	assert_int_equal(go(0), CPU_EXIT_STOP);
	assert_int_equal(vector, 6);
	assert_true(ld_le64(ram->host + STACK(0) - 5 * 8) == WINDOW + (u64)(x_own_page_next - x_own_page));
	cpu_get_state(cpu_vm_cpu(vm, 0), &s);
	assert_int_equal(s.gpr[8], 0);
}

static void *watch(void *unused)
{
	assert_int_equal(go(1), CPU_EXIT_STOP);
	return NULL;
}

static void switches_under_another(void **unused)
{
	static struct cpu_state s;
	u64 calls = 0;
	pthread_t t;

	/* On a busy host the other one may not get to run at all. */
	for (unsigned round = 0; round < 50 && calls < 1000; round++) {
		put64(FLAG, UINT64_MAX);
		enter(1, phys(x_watch), WINDOW, 0);
		pthread_create(&t, NULL, watch, NULL);
		assert_int_equal(run(x_switch, WINDOW, 600), 0);
		assert_int_equal(vector, 0);
		pthread_join(t, NULL);
		cpu_get_state(cpu_vm_cpu(vm, 1), &s);
		assert_int_equal(s.gpr[8], 0);
		calls += s.gpr[9];
	}
	print_message("%llu calls meanwhile\n", (unsigned long long)calls);
	assert_true(calls >= 1000);
}

/* From a thread that is no vCPU's, while one runs. */
static void *mover(void *stop)
{
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(ram_move(ram, window, i & 1 ? NOWHERE : WINDOW2, NULL), 0);
		assert_int_equal(cpu_vm_commit_ram(vm, NULL), 0);
	}
	cpu_stop(cpu_vm_cpu(vm, 0));
	return NULL;
}

static void moves_while_it_runs(void **unused)
{
	pthread_t t;

	window = -1;
	show(other_off, WINDOW2, false);
	assert_int_equal(ram_commit(ram, &err), 0);
	enter(0, phys(x_call), WINDOW, UINT64_MAX);
	pthread_create(&t, NULL, mover, NULL);
	assert_int_equal(go(0), CPU_EXIT_STOP);
	pthread_join(t, NULL);
	assert_int_equal(vector, 0);
}

/* The log is of the page, wherever it is seen; two who keep one do not disturb each other. */
static void is_logged(void **unused)
{
	u64 screen[2] = { 0 }, first = other_off >> PAGE_SHIFT;
	u64 *all = xcalloc(ram_pages(ram) / 64, 8);

	show(other_off, WINDOW, false);
	assert_int_equal(ram_commit(ram, &err), 0);
	run(x_write, WINDOW, 1);
	assert_int_equal(cpu_vm_dirty_start(vm, CPU_LOG_SCREEN, other_off, ROM_BYTES, &err), 0);
	assert_int_equal(cpu_vm_dirty_collect(vm, CPU_LOG_SCREEN, screen, &err), 0);
	assert_int_equal(screen[0], 0);
	run(x_write, WINDOW + 3 * PAGE_BYTES, 1);
	assert_int_equal(cpu_vm_dirty_start(vm, CPU_LOG_STATE, 0, ram->capacity, &err), 0);
	assert_int_equal(cpu_vm_dirty_collect(vm, CPU_LOG_STATE, all, &err), 0);
	assert_int_equal(all[first / 64], 0);
	run(x_write, WINDOW + 5 * PAGE_BYTES, 1);
	assert_int_equal(cpu_vm_dirty_collect(vm, CPU_LOG_STATE, all, &err), 0);
	assert_true(all[first / 64] == 1ull << 5 || all[first / 64] == 3ull << 5); /* it writes across the border */
	assert_int_equal(cpu_vm_dirty_collect(vm, CPU_LOG_SCREEN, screen, &err), 0);
	assert_int_equal(screen[0] & 0xff, all[first / 64] | all[first / 64] >> 2);
	screen[0] = 0;
	/* Seen elsewhere, and after what was seen there before is gone. */
	run(x_write, WINDOW + 9 * PAGE_BYTES, 1);
	assert_int_equal(ram_move(ram, window, WINDOW2, &err), 0);
	assert_int_equal(ram_commit(ram, &err), 0);
	run(x_write, WINDOW2 + 11 * PAGE_BYTES, 1);
	assert_int_equal(cpu_vm_dirty_collect(vm, CPU_LOG_SCREEN, screen, &err), 0);
	assert_int_equal(screen[0] & (1 << 9 | 1 << 11), 1 << 9 | 1 << 11);
	cpu_vm_dirty_stop(vm, CPU_LOG_STATE);
	run(x_write, WINDOW2, 1);
	assert_int_equal(cpu_vm_dirty_collect(vm, CPU_LOG_SCREEN, screen, &err), 0);
	assert_int_equal(screen[0] & 1, 1);
	cpu_vm_dirty_stop(vm, CPU_LOG_SCREEN);
	free(all);
}

/* ---- from a device into memory, with one instruction ---- */

#define CROSS (WINDOW - 4)
#define CROSS_ODD (WINDOW - 5) /* the device is asked at least twice, however it is accessed */

static pthread_barrier_t collect_now;
static _Atomic bool begun, collected, collected_before;
static u64 cross_bits;
static unsigned patience_us;

static void *collector(void *unused)
{
	pthread_barrier_wait(&collect_now);
	assert_int_equal(cpu_vm_dirty_collect(vm, CPU_LOG_SCREEN, &cross_bits, NULL), 0);
	atomic_store(&collected, true);
	return NULL;
}

/* Somebody wants the log, and has to wait until this vCPU is out of the guest; which an edit of the table brings about,
 * after the access. */
static void log_is_collected(gpa_t gpa, bool write)
{
	struct ram_extent x = { .name = "other", .gpa = WINDOW2, .bytes = ROM_BYTES, .off = rom_off };

	if (write && (gpa == CROSS_ODD || gpa == CROSS) && !atomic_exchange(&begun, true)) {
		pthread_barrier_wait(&collect_now);
		usleep(patience_us);
		must(ram_add(ram, &x, NULL) >= 0);
	} else if (write && gpa < WINDOW)
		atomic_store(&collected_before, atomic_load(&collected));
}

static void crosses_while_the_log_is_collected(void **unused)
{
	static const u8 *const how[] = { x_cross, x_cross_wide };

	pthread_barrier_init(&collect_now, NULL, 2);
	for (unsigned i = 0; i < ARRAY_LEN(how); i++) {
		bool told = false;
		/* On a busy host the collector may come too late. */
		for (unsigned round = 0; round < 20 && !told; round++) {
			u64 after = 0;
			pthread_t t;

			patience_us = 20000 * (round + 1);
			setup(NULL);
			show(other_off, WINDOW, false);
			assert_int_equal(ram_commit(ram, &err), 0);
			assert_int_equal(cpu_vm_dirty_start(vm, CPU_LOG_SCREEN, other_off, ROM_BYTES, &err), 0);
			begun = collected = collected_before = false;
			crossing = log_is_collected;
			pthread_create(&t, NULL, collector, NULL);
			run(how[i], CROSS_ODD, 0);
			crossing = NULL;
			pthread_join(t, NULL);
			assert_int_equal(vector, 0);
			assert_int_equal(ld_le32(ram->host + other_off), i ? 0x11887766 : 0x887766);
			told = collected_before;
			assert_int_equal(cpu_vm_dirty_collect(vm, CPU_LOG_SCREEN, &after, &err), 0);
			if (told && !(after & 1))
				fail_msg("way %u: the page was written after the log was collected, and is not in it",
					 i);
			cpu_vm_dirty_stop(vm, CPU_LOG_SCREEN);
			teardown(NULL);
		}
		if (!told)
			print_message("way %u: the collector never came in time; nothing was seen\n", i);
	}
	pthread_barrier_destroy(&collect_now);
}

static bool move_at_write;

static void memory_moves(gpa_t gpa, bool write)
{
	if (gpa == CROSS && write == move_at_write)
		show(other_off, WINDOW, false);
}

/* What the device makes of the window counts for the bytes that follow, read or written. */
static void crosses_while_memory_moves(void **unused)
{
	static const u8 *const how[] = { x_cross, x_cross_wide };

	for (unsigned i = 0; i < 4; i++) {
		setup(NULL);
		memset(ram->host + rom_off, 0x10, PAGE_BYTES);
		memset(ram->host + other_off, 0x20, PAGE_BYTES);
		show(rom_off, WINDOW, false);
		assert_int_equal(ram_commit(ram, &err), 0);
		move_at_write = i & 1;
		crossing = memory_moves;
		u64 got = run(how[i / 2], CROSS, 0);
		crossing = NULL;
		assert_int_equal(vector, 0);
		assert_int_equal(ld_le32(ram->host + (move_at_write ? other_off : rom_off)), 0x88776655);
		assert_int_equal(ld_le32(ram->host + (move_at_write ? rom_off : other_off)),
				 move_at_write ? 0x10101010 : 0x20202020);
		u32 seen = (u32)(i / 2 ? got : got >> 32);
		if (i < 2)
			assert_int_equal(seen, move_at_write ? 0x88776655 : 0x20202020);
		else
			assert_int_equal(seen, move_at_write ? 0x44332211 : 0x20202020);
		teardown(NULL);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(executes_rom),
		T(writes_are_the_bus_s),
		T(fetches_nothing),
		T(is_a_flash),
		T(moves),
		T(takes_its_own_page),
		T(switches_under_another),
		T(moves_while_it_runs),
		T(is_logged),
		cmocka_unit_test(crosses_while_the_log_is_collected),
		cmocka_unit_test(crosses_while_memory_moves),
	};
	return cmocka_run_group_tests_name("extents", tests, NULL, NULL);
}
