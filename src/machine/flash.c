/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flash.c - see flash.h.
 *
 * The states, by what a read gives:
 *   ARRAY    the bytes; the extent is there. Any command leaves it
 *   STATUS   the status register: after a command that changes something, and while its second half is awaited
 *   ID       manufacturer and device, by address
 *   QUERY    the CFI table, by address
 * `next` is the command whose second write comes next. Programming only clears bits, erasing sets a block's. All of it
 * is done when the write returns: the chip is always ready.
 */
#include "machine/flash.h"

#include "base/log.h"
#include "base/state.h"

#include <pthread.h>

#define READ_ARRAY 0xff
#define READ_ID 0x90
#define READ_QUERY 0x98
#define READ_STATUS 0x70
#define CLEAR_STATUS 0x50
#define PROGRAM 0x40
#define PROGRAM_ALSO 0x10
#define ERASE 0x20
#define CONFIRM 0xd0
#define LOCKS 0x60 /* there are none: its second half is taken and does nothing */

#define STATUS_READY 0x80
#define STATUS_SEQUENCE 0x30 /* a command's second half was another */

enum mode { ARRAY, STATUS, ID, QUERY };

struct flash {
	struct bus *bus;
	struct ram *ram;
	struct io_region region;
	u64 off, bytes; /* in the RAM's file */
	gpa_t gpa;
	int fd;
	pthread_mutex_t lock; /* guards what follows */
	enum mode mode;
	u8 next; /* 0: none */
	u8 status;
	int extent;           /* -1: not shown */
	u64 dirty, dirty_end; /* of what is not in the file yet */
	bool file_failed;     /* was told */
};

static u8 *content(struct flash *f)
{
	return f->ram->host + f->off;
}

/* ---- the file ---- */

static void write_back(struct flash *f)
{
	while (f->fd >= 0 && f->dirty < f->dirty_end) {
		ssize_t n = pwrite(f->fd, content(f) + f->dirty, f->dirty_end - f->dirty, (off_t)f->dirty);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (!f->file_failed)
				log_error("the firmware's variables cannot be written to their file: %s; they end "
					  "with the VM",
					  strerror(n < 0 ? errno : EIO));
			f->file_failed = true;
			return; /* tried again with the next change */
		}
		f->dirty += (u64)n;
	}
	f->dirty = UINT64_MAX;
	f->dirty_end = 0;
}

static void changed(struct flash *f, u64 at, u64 bytes)
{
	ram_wrote_at(f->ram, f->off + at, bytes);
	f->dirty = MIN(f->dirty, at);
	f->dirty_end = MAX(f->dirty_end, at + bytes);
}

/* ---- what is seen ---- */

static void show(struct flash *f)
{
	struct ram_extent x = {
		.name = "firmware's variables", .gpa = f->gpa, .bytes = f->bytes, .off = f->off, .readonly = true
	};
	struct err e;

	if (f->extent < 0 && (f->extent = ram_add(f->ram, &x, &e)) < 0)
		log_guest("flash: %s", err_local(&e));
}

static void set_mode(struct flash *f, enum mode mode)
{
	f->mode = mode;
	if (mode == ARRAY) {
		write_back(f);
		show(f);
	} else if (f->extent >= 0) {
		ram_remove(f->ram, f->extent);
		f->extent = -1;
	}
}

/* ---- commands; lock held ---- */

static void program(struct flash *f, u64 at, unsigned bytes, u64 val)
{
	u8 *p = content(f) + at;

	for (unsigned i = 0; i < bytes; i++)
		p[i] &= (u8)(val >> 8 * i);
	changed(f, at, bytes);
	f->status |= STATUS_READY;
}

static void erase(struct flash *f, u64 at)
{
	at &= ~(u64)(FLASH_BLOCK_BYTES - 1);
	memset(content(f) + at, 0xff, FLASH_BLOCK_BYTES);
	changed(f, at, FLASH_BLOCK_BYTES);
	f->status |= STATUS_READY;
}

/* The second write of a command. */
static void go_on(struct flash *f, u64 at, unsigned bytes, u64 val)
{
	u8 command = f->next;

	f->next = 0;
	if (command == PROGRAM)
		program(f, at, bytes, val);
	else if (command == ERASE && (u8)val == CONFIRM)
		erase(f, at);
	else if (command == ERASE && (u8)val == READ_ARRAY)
		set_mode(f, ARRAY);
	else if (command == ERASE)
		f->status |= STATUS_READY | STATUS_SEQUENCE;
}

static void begin(struct flash *f, u8 command)
{
	switch (command) {
	case CLEAR_STATUS:
		f->status = 0;
		set_mode(f, ARRAY);
		break;
	case READ_STATUS:
		set_mode(f, STATUS);
		break;
	case READ_ID:
		set_mode(f, ID);
		break;
	case READ_QUERY:
		set_mode(f, QUERY);
		break;
	case PROGRAM:
	case PROGRAM_ALSO:
		f->next = PROGRAM;
		set_mode(f, STATUS);
		break;
	case ERASE:
	case LOCKS:
		f->next = command;
		set_mode(f, STATUS);
		break;
	default: /* READ_ARRAY, and what it does not know */
		set_mode(f, ARRAY);
	}
}

/* JEP137, tables 1 to 4: a chip 8 bits wide. */
static u8 query(const struct flash *f, u64 at)
{
	u64 blocks = f->bytes / FLASH_BLOCK_BYTES - 1;
	const u8 table[] = {
		'Q',
		'R',
		'Y',
		0x01,
		0x00, /* 10h: primary command set */
		0x31,
		0x00,
		0x00,
		0x00,
		0x00,
		0x00, /* where it tells more; no alternate one */
		0x45,
		0x55,
		0x00,
		0x00, /* 1Bh: supply, in tenths of volts */
		0x07,
		0x00,
		0x0a,
		0x00,
		0x04,
		0x00,
		0x04,
		0,                                            /* typical and longest times */
		(u8)(63 - __builtin_clzll(f->bytes * 2 - 1)), /* 27h: 2^n bytes */
		0x00,
		0x00,
		0x00,
		0x00, /* 8 bits wide; no write buffer */
		0x01, /* 2Ch: one kind of blocks: how many, less one; bytes */
		(u8)blocks,
		(u8)(blocks >> 8),
		(u8)(FLASH_BLOCK_BYTES / 256),
		(u8)(FLASH_BLOCK_BYTES / 256 >> 8),
		'P',
		'R',
		'I',
		'1',
		'0', /* 31h */
	};

	return at >= 0x10 && at - 0x10 < sizeof(table) ? table[at - 0x10] : 0;
}

static u64 chip_read(void *dev, u64 off, unsigned bytes)
{
	static const u8 id[] = { 0x89, 0x18 }; /* Intel */
	struct flash *f = dev;
	u64 v = 0;

	pthread_mutex_lock(&f->lock);
	for (unsigned i = 0; i < bytes; i++) {
		u64 at = off + i;
		u8 b = f->status;

		if (f->mode == ARRAY) /* the mode has changed since the engine looked */
			b = content(f)[at];
		else if (f->mode == ID)
			b = (at & 0xff) < sizeof(id) ? id[at & 0xff] : 0;
		else if (f->mode == QUERY)
			b = query(f, at & 0xff);
		v |= (u64)b << 8 * i;
	}
	pthread_mutex_unlock(&f->lock);
	return v;
}

static void chip_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct flash *f = dev;

	pthread_mutex_lock(&f->lock);
	if (f->next)
		go_on(f, off, bytes, val);
	else
		begin(f, (u8)val);
	pthread_mutex_unlock(&f->lock);
}

static const struct io_ops ops = { .read = chip_read, .write = chip_write, .max_bytes = 8 };

/* ---- life ---- */

void flash_reset(struct flash *f)
{
	pthread_mutex_lock(&f->lock);
	f->next = 0;
	f->status = STATUS_READY;
	set_mode(f, ARRAY);
	pthread_mutex_unlock(&f->lock);
}

int flash_state(struct flash *f, struct state_file *s, struct err *e)
{
	int r = state_section(s, "flash", 0, 1, e);
	unsigned mode = f->mode;

	if (r < 0)
		return r;
	pthread_mutex_lock(&f->lock);
	state_same(s, f->bytes, "another size of the firmware's variables");
	state_uint(s, &mode, QUERY);
	state_u8(s, &f->next);
	state_u8(s, &f->status);
	if (state_loading(s)) {
		if (f->next != 0 && f->next != PROGRAM && f->next != ERASE && f->next != LOCKS)
			state_bad(s, "no command of a flash");
		changed(f, 0, f->bytes);
		set_mode(f, (enum mode)mode);
	}
	write_back(f);
	pthread_mutex_unlock(&f->lock);
	return state_end(s, e);
}

int flash_new(struct flash **out, struct bus *bus, struct ram *ram, gpa_t gpa, const u8 *bytes, u64 n, int fd,
	      struct err *e)
{
	struct flash *f = xcalloc(1, sizeof(*f));
	int r;

	must(n && n % FLASH_BLOCK_BYTES == 0);
	pthread_mutex_init(&f->lock, NULL);
	f->bus = bus;
	f->ram = ram;
	f->gpa = gpa;
	f->bytes = n;
	f->fd = fd;
	f->extent = -1;
	f->dirty = UINT64_MAX;
	f->region = (struct io_region){ .ops = &ops, .dev = f, .name = "flash" };
	r = ram_take(ram, n, &f->off, e);
	if (r == 0 && (r = bus_map_mmio(bus, &f->region, gpa, n)) < 0)
		err_sys(e, -r, "flash");
	if (r < 0) {
		flash_free(f);
		return r;
	}
	memcpy(content(f), bytes, n);
	ram_wrote_at(ram, f->off, n);
	flash_reset(f);
	*out = f;
	return 0;
}

void flash_free(struct flash *f)
{
	if (!f)
		return;
	write_back(f);
	bus_unmap_mmio(f->bus, &f->region);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
