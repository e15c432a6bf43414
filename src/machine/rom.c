/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rom.c - see rom.h. */
#include "machine/rom.h"

#include "base/i18n.h"
#include "base/log.h"
#include "machine/layout.h"

#include <pthread.h>

#define ROM_BYTES 0x10000u
#define SEGMENT 0xf000u
/* Offsets in the segment */
#define STUBS 0xe000u
#define STUB_BYTES 5u
#define COMMON (STUBS + 256 * STUB_BYTES)
#define RESET_CODE (COMMON + 0x67)
#define RESET_VECTOR 0xfff0u
#define INT3 0xcc

/* What follows "push vector; jmp". On the stack then: BP, vector, IP, CS, FLAGS. 16-bit code in AT&T's notation. */
static const u8 common[] = {
	0x55,                         /* common: push %bp */
	0x89, 0xe5,                   /* mov %sp,%bp */
	0x66, 0x50,                   /* push %eax */
	0x52,                         /* push %dx */
	0xba, 0xe0, 0x05,             /* mov $0x5e0,%dx */
	0x66, 0xc1, 0xe0, 0x10,       /* shl $0x10,%eax */
	0x8a, 0x46, 0x02,             /* mov 0x2(%bp),%al: vector; AX is in the upper half */
	0xb4, 0x00,                   /* mov $0x0,%ah */
	0x3c, 0x03,                   /* cmp $0x3,%al */
	0x75, 0x18,                   /* jne tell */
	0x81, 0x7e, 0x06, 0x00, 0xf0, /* cmpw $0xf000,0x6(%bp) */
	0x72, 0x11,                   /* jb tell: an INT3 of the guest's own */
	0x8b, 0x46, 0x04,             /* mov 0x4(%bp),%ax: where it was */
	0x48,                         /* dec %ax */
	0x66, 0xc1, 0xe0, 0x10,       /* shl $0x10,%eax */
	0xb8, 0x00, 0x01,             /* mov $0x100,%ax: not a vector */
	0x66, 0xef,                   /* out %eax,(%dx) */
	0xfa,                         /* halt: cli */
	0xf4,                         /* hlt */
	0xeb, 0xfc,                   /* jmp halt */
	0x66, 0xef,                   /* tell: out %eax,(%dx) */
	0x3c, 0x00,                   /* cmp $0x0,%al */
	0x74, 0xf6,                   /* je halt */
	0x3c, 0x06,                   /* cmp $0x6,%al */
	0x74, 0xf2,                   /* je halt */
	0x3c, 0x78,                   /* cmp $0x78,%al */
	0x73, 0x1d,                   /* jae call */
	0x3c, 0x70,                   /* cmp $0x70,%al */
	0x73, 0x08,                   /* jae irq */
	0x3c, 0x10,                   /* cmp $0x10,%al */
	0x73, 0x15,                   /* jae call */
	0x3c, 0x08,                   /* cmp $0x8,%al */
	0x72, 0x11,                   /* jb call */
	0xb0, 0x20,                   /* irq: mov $0x20,%al */
	0x80, 0x7e, 0x02, 0x70,       /* cmpb $0x70,0x2(%bp) */
	0x72, 0x02,                   /* jb 1f */
	0xe6, 0xa0,                   /* out %al,$0xa0 */
	0xe6, 0x20,                   /* 1: out %al,$0x20 */
	0x5a,                         /* pop %dx */
	0x66, 0x58,                   /* pop %eax */
	0xeb, 0x09,                   /* jmp out */
	0x80, 0x4e, 0x08, 0x01,       /* call: orb $0x1,0x8(%bp): carry */
	0x5a,                         /* pop %dx */
	0x66, 0x58,                   /* pop %eax */
	0xb4, 0x86,                   /* mov $0x86,%ah */
	0x5d,                         /* out: pop %bp */
	0x83, 0xc4, 0x02,             /* add $0x2,%sp */
	0xcf,                         /* iret */
	0xba, 0xf9, 0x0c,             /* reset: mov $0xcf9,%dx */
	0xb0, 0x06,                   /* mov $0x6,%al */
	0xee,                         /* out %al,(%dx) */
	0xfa,                         /* cli */
	0xf4,                         /* hlt */
};

struct rom {
	struct bus *bus;
	struct io_region region;
	pthread_mutex_t lock;
	bool told[257]; /* under lock: vectors; last: running where the ROM would be */
};

static bool first_time(struct rom *r, unsigned i)
{
	pthread_mutex_lock(&r->lock);
	bool first = !r->told[i];
	r->told[i] = true;
	pthread_mutex_unlock(&r->lock);
	return first;
}

static void call_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	static const char none[] =
	    N_("this machine has no firmware: it boots kernels by the Linux, PVH or Multiboot protocol, "
	       "which do without");
	struct rom *r = dev;
	u8 v = (u8)val;

	if (off != 0 || bytes != 4)
		return;
	if (val & 0x100) {
		if (first_time(r, 256))
			log_guest("the guest jumped to %04x:%04x, where a PC has its BIOS, and halts: %s", SEGMENT,
				  (unsigned)(val >> 16 & 0xffff), _(none));
	} else if (first_time(r, v)) {
		if ((v >= 0x08 && v <= 0x0f) || (v >= 0x70 && v <= 0x77))
			log_guest("the guest has no handler of its own for hardware interrupt %u (vector %02Xh in real "
				  "mode): %s",
				  (v & 7u) + (v >= 0x70 ? 8u : 0u), v, _(none));
		else if (v == 0 || v == 6)
			log_guest("the guest has no handler of its own for exception %u in real mode, and halts: %s", v,
				  _(none));
		else
			log_guest("the guest called BIOS interrupt %02Xh (AX=%04Xh), which fails: %s", v,
				  (unsigned)(val >> 16 & 0xffff), _(none));
	}
}

static const struct io_ops ops = { .write = call_write };

static void jump(u8 *at, unsigned from, unsigned to)
{
	at[0] = 0xe9; /* jmp rel16 */
	st_le16(at + 1, (u16)(to - (from + 3)));
}

int rom_write(struct ram *ram, struct err *e)
{
	auto_free u8 *rom = xcalloc(1, ROM_BYTES);
	u8 vectors[256 * 4];

	_Static_assert(LAYOUT_MP_END - LAYOUT_ROM <= STUBS, "tables are below the stubs");
	_Static_assert(COMMON + sizeof(common) <= RESET_VECTOR, "the stubs are below the reset vector");
	memset(rom, INT3, ROM_BYTES);
	for (unsigned i = 0; i < 256; i++) {
		unsigned at = STUBS + i * STUB_BYTES;

		rom[at] = 0x6a; /* push imm8 */
		rom[at + 1] = (u8)i;
		jump(rom + at + 2, at + 2, COMMON);
		st_le16(vectors + 4 * i, (u16)at);
		st_le16(vectors + 4 * i + 2, SEGMENT);
	}
	memcpy(rom + COMMON, common, sizeof(common));
	jump(rom + RESET_VECTOR, RESET_VECTOR, RESET_CODE);
	if (ram_put_rom(ram, LAYOUT_ROM, rom, ROM_BYTES) < 0 || ram_put(ram, 0, vectors, sizeof(vectors)) < 0)
		return err_set(e, EINVAL, "guest memory is too small: 1 MiB at least");
	return 0;
}

void rom_reset(struct rom *r)
{
	pthread_mutex_lock(&r->lock);
	memset(r->told, 0, sizeof(r->told));
	pthread_mutex_unlock(&r->lock);
}

int rom_new(struct rom **out, struct bus *bus)
{
	struct rom *r = xcalloc(1, sizeof(*r));

	r->bus = bus;
	r->region = (struct io_region){ .ops = &ops, .dev = r, .name = "rom-call" };
	pthread_mutex_init(&r->lock, NULL);
	int rc = bus_map_pio(bus, &r->region, LAYOUT_ROM_CALL, 4);
	if (rc < 0) {
		rom_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void rom_free(struct rom *r)
{
	if (!r)
		return;
	bus_unmap_pio(r->bus, &r->region);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
