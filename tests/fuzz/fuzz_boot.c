/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_boot.c - the kernel loaders on hostile bytes. A file gives a good boot state or an error that says
 * something; it never writes where the firmware's tables are.
 */
#include "machine/boot.h"
#include "machine/layout.h"

#include <sys/mman.h>

#define RAM_BYTES (8 * MIB)
#define CANARY 0x5a

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct ram *ram;
static int file = -1;

static void prepare(void)
{
	struct err e;

	must(ram_new(&ram, RAM_BYTES, &e) == 0);
	memset(ram_ptr(ram, BOOT_INFO_END, MIB - BOOT_INFO_END), CANARY, MIB - BOOT_INFO_END);
	memset(ram_ptr(ram, 0x500, 0x1000 - 0x500), CANARY, 0x1000 - 0x500);
	file = memfd_create("kernel", MFD_CLOEXEC);
	must(file >= 0);
}

static int open_file(void *opaque, const char *path)
{
	return dup(file);
}

static bool untouched(gpa_t from, gpa_t to)
{
	const u8 *p = ram_ptr(ram, from, to - from);

	return p[0] == CANARY && memcmp(p, p + 1, to - from - 1) == 0;
}

static void check_state(const struct cpu_state *s)
{
	bool lm = s->efer & 0x400;

	must(s->rflags == 2 && s->run_state == CPU_RUNNING && (s->cr0 & 1));
	must(lm == !!(s->cr0 & 0x80000000) && lm == !!(s->cr4 & 0x20) && lm == !!(s->seg[SEG_CS].ar & SEG_AR_L));
	must(s->rip <= UINT32_MAX);
	must(ram_ptr(ram, s->gdt_base, s->gdt_limit + 1u));
	must(ram_ptr(ram, lm ? s->gpr[GPR_RSI] : s->gpr[GPR_RBX], 56));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	const char *mods[] = { "m with arguments" };
	struct cpu_state s;
	struct err e = { 0 };

	if (!ram)
		prepare();
	must(ftruncate(file, 0) == 0);
	must(pwrite(file, data, size, 0) == (ssize_t)size);
	/* the size decides what else comes along; the same file serves */
	struct boot_params p = { .kernel = "k",
				 .append = "a=b",
				 .initrd = size & 1 ? "i" : NULL,
				 .modules = mods,
				 .nmodules = size & 2 ? 1 : 0,
				 .open = open_file };
	int rc = boot_load(ram, &p, &s, &e);
	if (rc == 0)
		check_state(&s);
	else
		must(rc < 0 && e.code == -rc && e.msg[0]);
	must(untouched(BOOT_INFO_END, MIB));
	must(untouched(0x500, 0x1000));
	return 0;
}
