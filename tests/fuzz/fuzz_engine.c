/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_engine.c - whole small machines out of a few bytes, run by the software engine.
 *
 * The input decides the CPU model, one to three vCPUs, each one's mode, privilege and registers, and
 * guest RAM: page tables, descriptor tables and task state that mostly make sense, and code that mostly
 * does not. Devices answer with noise, raise interrupts, NMIs, INIT and SIPI, and write to RAM.
 * Nothing of that may crash the process, leave RAM (there is nothing on both sides of it), trip a
 * must(), or keep cpu_stop() from ending cpu_run(). With --check all, what is translated does what the interpreter
 * does.
 *
 * When the input is used up, a generator seeded with it goes on, so that short inputs make full
 * machines. Runs are bounded by uops (soft_cpu.fuel, sanitizer builds), by bus events, and by a
 * watchdog for what does neither. All but the last, and the threaded kind, repeat exactly.
 */
#include "base/clock.h"
#include "cpu/cpu.h"
#include "cpu/soft/vm.h"
#include "cpu/soft/handler.h"
#include "cpu/soft/jit/jit_check.h"
#include "cpu/soft/run/core.h"
#include "fuzz_engine.h"
#include "patience.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
extern u64 fuzz_engine_fuel;
extern struct soft_options fuzz_engine_soft;
struct soft_options fuzz_engine_soft;
/* What the last run left behind, and whether the watchdog ended it: for comparing builds. */
u64 fuzz_engine_hash(bool *timed_out);
/* uops in a slice of a vCPU's time, in sanitizer builds; 0: until an event or the watchdog ends it, as elsewhere */
u64 fuzz_engine_fuel = 3000;

/* As ram_init() lays the file out. */
#define RAM_FILE_BYTES (ROUND_UP(RAM_BYTES, RAM_PIECE_ALIGN) + RAM_PIECE_ALIGN)
#define RAM_ONES (ROUND_UP(RAM_BYTES, RAM_PIECE_ALIGN) + RAM_PIECE_ALIGN / 2)
#define GUARD_BYTES (16 * MIB)

#define SLICES 8

static u64 last_hash;
static _Atomic bool last_timed_out;

u64 fuzz_engine_hash(bool *timed_out)
{
	*timed_out = last_timed_out;
	return last_hash;
}

/* ---- the watchdog: cpu_stop() for what uses up neither fuel nor events; a hang after that is a bug ---- */
static pthread_mutex_t dog_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fuzz *dog_of;
static u64 dog_since_ns;

#ifdef SOFT_TRAMPOLINE
#define DOG_STOP_NS (500 * 1000000ull)
#else
#define DOG_STOP_NS (2 * 1000000ull)
#endif
#define DOG_BITE_NS patient(20 * NSEC_PER_SEC)

static void *watchdog(void *arg)
{
	(void)arg;
	for (;;) {
		usleep(500);
		pthread_mutex_lock(&dog_lock);
		if (dog_of) {
			u64 ns = clock_mono_ns() - dog_since_ns;
			if (ns > (fuzz_engine_fuel ? DOG_STOP_NS : 500 * 1000000ull)) {
				last_timed_out = true;
				for (unsigned i = 0; i < dog_of->ncpus; i++)
					cpu_stop(cpu_vm_cpu(dog_of->vm, i));
			}
			must(ns < DOG_BITE_NS); /* cpu_stop() does not stop it */
		}
		pthread_mutex_unlock(&dog_lock);
	}
	return NULL;
}

static void dog(struct fuzz *f)
{
	pthread_mutex_lock(&dog_lock);
	dog_of = f;
	dog_since_ns = clock_mono_ns();
	pthread_mutex_unlock(&dog_lock);
}

/* ---- running ---- */
static void check(struct fuzz *f, unsigned i)
{
	struct soft_cpu *c = soft_cpu_of(cpu_vm_cpu(f->vm, i));

	must(c->gpr[GPR_ZERO] == 0);
	must(c->cpl <= 3 && (c->sysflags & 2));
	must(!(c->efer & EFER_LMA) || ((c->cr0 & CR0_PG) && (c->efer & EFER_LME)));
	must(!(c->cr0 & CR0_PG) || (c->cr0 & CR0_PE));
	must(!atomic_load(&c->in_guest));
}

static void *run_thread(void *arg)
{
	struct cpu *c = arg;
	struct err e = { 0 };
	enum cpu_exit x = cpu_run(c, &e);

	must(x == CPU_EXIT_STOP || x == CPU_EXIT_SHUTDOWN);
	return NULL;
}

static void run_threads(struct fuzz *f)
{
	pthread_t t[CPUS];

	for (unsigned i = 0; i < f->ncpus; i++)
		must(!pthread_create(&t[i], NULL, run_thread, cpu_vm_cpu(f->vm, i)));
	usleep(2000);
	for (unsigned i = 0; i < f->ncpus; i++)
		cpu_stop(cpu_vm_cpu(f->vm, i));
	for (unsigned i = 0; i < f->ncpus; i++)
		pthread_join(t[i], NULL);
}

static void run_slices(struct fuzz *f)
{
	bool gone[CPUS] = { false };
	struct err e = { 0 };

	for (unsigned k = 0; k < SLICES && !last_timed_out; k++) {
		unsigned i = k % f->ncpus;
		struct cpu *c = cpu_vm_cpu(f->vm, i);

		if (gone[i])
			continue;
#ifdef SOFT_TRAMPOLINE
		soft_cpu_of(c)->fuel = fuzz_engine_fuel;
#endif
		enum cpu_exit x = cpu_run(c, &e);
		must(x == CPU_EXIT_STOP || x == CPU_EXIT_SHUTDOWN);
		gone[i] = x == CPU_EXIT_SHUTDOWN;
		check(f, i);
		if (k % 3 == 2) { /* what it is now can be moved elsewhere */
			struct cpu_state s;
			cpu_get_state(c, &s);
			s.tsc = 1;
			cpu_set_state(c, &s, &e);
		}
	}
}

static void fnv(const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		last_hash = (last_hash ^ ((const u8 *)p)[i]) * 0x100000001b3ull;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct cpu_model *models[2];
	static u8 *window;
	static int memfd = -1;
	struct fuzz f = { .data = data, .left = size, .seed = 0x9e3779b97f4a7c15ull };
	struct err e = { 0 };

	if (!window) {
		pthread_t t;
		must(!cpu_model_new(&models[0], "mica-v2", CPUS, &e) && !cpu_model_new(&models[1], "host", CPUS, &e));
		memfd = memfd_create("fuzz-ram", 0);
		must(memfd >= 0 && !ftruncate(memfd, RAM_FILE_BYTES));
		/* RAM alone in the middle of nothing: who leaves it faults */
		window = mmap(NULL, 2 * GUARD_BYTES + RAM_FILE_BYTES, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		must(window != MAP_FAILED);
		must(mmap(window + GUARD_BYTES, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memfd, 0) !=
		     MAP_FAILED);
		/* ... but for the page that a fetch finds there */
		must(mmap(window + GUARD_BYTES + RAM_ONES, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			  memfd, RAM_ONES) != MAP_FAILED);
		must(!pthread_create(&t, NULL, watchdog, NULL));
		pthread_detach(t);
	}
	for (size_t i = 0; i < size; i++)
		f.seed = (f.seed ^ data[i]) * 0x100000001b3ull;
	f.seed |= 1;
	f.ram = (struct ram){ .memfd = memfd,
			      .tmpfs = -1,
			      .bytes = RAM_BYTES,
			      .capacity = RAM_FILE_BYTES,
			      .host = window + GUARD_BYTES };
	ram_init(&f.ram);
	must(f.ram.ones_off == RAM_ONES);
	memset(f.ram.host, 0, RAM_BYTES);

	f.mode = (enum fuzz_mode)below(&f, M_COUNT);
	f.ncpus = one_in(&f, 2) ? 1 : 1 + below(&f, CPUS);
	/* Which is for one vCPU; and where stores go to page tables, the TLB need not agree with them. */
	if (fuzz_engine_soft.check) {
		f.ncpus = 1;
		f.mode %= M_PAGED32;
	}
	f.threads = f.ncpus > 1 && one_in(&f, 3);
	const struct cpu_model *model = models[one_in(&f, 2)];
	make_tables(&f);
	make_code(&f);
	make_data(&f);

	struct cpu_bus bus = noisy_bus(&f);
	must(cpu_vm_new_soft(&f.vm, &bus, &f.ram, model, f.ncpus, &fuzz_engine_soft, &e) == 0);
	for (unsigned i = 0; i < f.ncpus; i++) {
		struct cpu_state s = { 0 };
		f.cpu_seed[i] = f.seed * (i + 3) | 1;
		make_vcpu(&f, &s);
		if (i && one_in(&f, 3)) /* another address space or mode beside the first */
			s.cr4 ^= CR4_PGE;
		if (cpu_set_state(cpu_vm_cpu(f.vm, i), &s, &e) < 0) {
			memset(s.xsave, 0, sizeof(s.xsave));
			must(cpu_set_state(cpu_vm_cpu(f.vm, i), &s, &e) == 0);
		}
	}
	if (getenv("FUZZ_TRACE")) /* a mask of enum cpu_trace */
		cpu_vm_trace(f.vm, (unsigned)strtoul(getenv("FUZZ_TRACE"), NULL, 0));
	last_timed_out = false;
	dog(&f);
	if (f.threads)
		run_threads(&f);
	else
		run_slices(&f);
	dog(NULL);

	for (unsigned i = 0; i < f.ncpus; i++)
		must(!jit_check_failed(soft_cpu_of(cpu_vm_cpu(f.vm, i)), &e));
	last_hash = 0xcbf29ce484222325ull;
	fnv(f.ram.host, RAM_BYTES);
	for (unsigned i = 0; i < f.ncpus; i++) {
		struct cpu_state s;
		cpu_get_state(cpu_vm_cpu(f.vm, i), &s);
		s.tsc = 0;
		fnv(&s.gpr, sizeof(s.gpr));
		fnv(&s.rip, 16);
		fnv(s.xsave, sizeof(s.xsave));
		fnv(s.seg, sizeof(s.seg[0].sel));
		fnv(&s.cr0, 32);
	}
	if (f.threads)
		last_timed_out = true; /* not comparable */
	cpu_vm_free(f.vm);
	return 0;
}
