/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fw_cfg.c - see fw_cfg.h.
 *
 * Theory of operation: an item is a piece of memory; the guest has a place in one item, which reading moves on. The
 * struct of a transfer is read once into locals. A transfer never goes beyond DMA_MAX bytes and touches guest memory
 * page by page through ram_put(), so that an address can be anything; what fails is told by the struct's error bit.
 */
#include "machine/fw_cfg.h"

#include "base/state.h"
#include "machine/layout.h"

#include <ctype.h>
#include <pthread.h>

#define SIGNATURE 0x00
#define ID 0x01
#define FILE_DIR 0x19
#define FILE_FIRST 0x20
#define ITEMS 0x20u /* numbered ones below the files */
#define ARCH 0x8000 /* the same, of the processor's kind */
#define ARCH_ITEMS 4u

#define ID_PORTS 1
#define ID_DMA 2

#define DIR_ENTRY 64 /* length, key (big-endian), 2 bytes of nothing, name */

#define DMA_ERROR 1
#define DMA_READ 2
#define DMA_SKIP 4
#define DMA_SELECT 8
#define DMA_WRITE 16
#define DMA_MAX (16 * MIB)

struct item {
	u8 *data;
	u32 bytes;
	char name[FW_CFG_NAME_MAX + 1]; /* of a file */
	bool late;
};

struct fw_cfg {
	struct bus *bus;
	struct ram *ram;
	struct io_region ports, dma;
	pthread_mutex_t lock; /* guards what follows */
	struct item numbered[ITEMS], arch[ARCH_ITEMS], file[FW_CFG_FILES_MAX];
	unsigned nfiles;
	void (*make)(void *opaque);
	void *make_opaque;
	bool made; /* since reset */
	u16 key;
	u32 at;       /* in the item */
	u32 dma_high; /* as written to 514h */
};

static void be32(u8 *p, u32 v)
{
	st_le32(p, __builtin_bswap32(v));
}

static u32 get_be32(const u8 *p)
{
	return __builtin_bswap32(ld_le32(p));
}

/* ---- items ---- */

static struct item *item_of(struct fw_cfg *f, u16 key)
{
	if (key < ITEMS)
		return &f->numbered[key];
	if (key >= ARCH && key < ARCH + ARCH_ITEMS)
		return &f->arch[key - ARCH];
	if (key >= FILE_FIRST && key - FILE_FIRST < (int)f->nfiles)
		return &f->file[key - FILE_FIRST];
	return NULL;
}

static void put(struct item *it, const void *data, size_t bytes)
{
	free(it->data);
	it->data = xcalloc(1, bytes + 1);
	if (bytes)
		memcpy(it->data, data, bytes);
	it->bytes = (u32)bytes;
}

void fw_cfg_item(struct fw_cfg *f, u16 key, const void *data, size_t bytes)
{
	struct item *it = item_of(f, key);

	must(it && bytes <= FW_CFG_FILE_BYTES);
	put(it, data, bytes);
}

void fw_cfg_number(struct fw_cfg *f, u16 key, u64 v, unsigned bytes)
{
	u8 le[8];

	st_le64(le, v);
	must(bytes <= sizeof(le));
	fw_cfg_item(f, key, le, bytes);
}

static struct item *find(struct fw_cfg *f, const char *name)
{
	for (unsigned i = 0; i < f->nfiles; i++)
		if (!strcmp(f->file[i].name, name))
			return &f->file[i];
	return NULL;
}

static void write_directory(struct fw_cfg *f)
{
	size_t bytes = 4 + f->nfiles * (size_t)DIR_ENTRY;
	auto_free u8 *dir = xcalloc(1, bytes);

	be32(dir, f->nfiles);
	for (unsigned i = 0; i < f->nfiles; i++) {
		u8 *d = dir + 4 + i * (size_t)DIR_ENTRY;
		be32(d, f->file[i].bytes);
		be32(d + 4, (u32)(FILE_FIRST + i) << 16);
		memcpy(d + 8, f->file[i].name, strlen(f->file[i].name));
	}
	put(&f->numbered[FILE_DIR], dir, bytes);
}

static int check_name(const char *name, struct err *e)
{
	size_t n = strlen(name);
	bool ok = n >= 1 && n <= FW_CFG_NAME_MAX;

	for (size_t i = 0; i < n; i++)
		ok &= isgraph((unsigned char)name[i]) != 0;
	return ok ? 0
		  : err_set(e, EINVAL, "fw-cfg file '%s': a name has 1 to %d letters, digits and signs, and no blank",
			    name, FW_CFG_NAME_MAX);
}

int fw_cfg_file(struct fw_cfg *f, const char *name, const void *data, size_t bytes, struct err *e)
{
	int r = check_name(name, e);

	if (r < 0)
		return r;
	if (bytes > FW_CFG_FILE_BYTES)
		return err_set(e, E2BIG, "fw-cfg file '%s' has %llu bytes; at most %llu", name,
			       (unsigned long long)bytes, FW_CFG_FILE_BYTES);
	struct item *it = find(f, name);
	u64 all = bytes;
	for (unsigned i = 0; i < f->nfiles; i++)
		all += &f->file[i] == it ? 0 : f->file[i].bytes;
	if (all > FW_CFG_ALL_BYTES)
		return err_set(e, E2BIG, "fw-cfg file '%s': all files together have more than %llu bytes", name,
			       FW_CFG_ALL_BYTES);
	if (!it) {
		if (f->nfiles == FW_CFG_FILES_MAX)
			return err_set(e, ENOSPC, "fw-cfg file '%s': there are %d already, which is the most", name,
				       FW_CFG_FILES_MAX);
		it = &f->file[f->nfiles++];
		snprintf(it->name, sizeof(it->name), "%s", name);
	}
	put(it, data, bytes);
	write_directory(f);
	return 0;
}

bool fw_cfg_has(struct fw_cfg *f, const char *name)
{
	return find(f, name) != NULL;
}

void fw_cfg_late(struct fw_cfg *f, const char *const *names, void (*make)(void *opaque), void *opaque)
{
	f->make = make;
	f->make_opaque = opaque;
	for (; *names; names++) {
		struct item *it = find(f, *names);
		must(it);
		it->late = true;
	}
}

void fw_cfg_make_file(struct fw_cfg *f, const char *name, const void *data, size_t bytes)
{
	struct item *it = find(f, name);

	must(it);
	if (it->bytes == bytes)
		memcpy(it->data, data, bytes);
}

/* ---- what the guest does; lock held ---- */

static void select_locked(struct fw_cfg *f, u16 key)
{
	const struct item *it = item_of(f, key);

	f->key = key;
	f->at = 0;
	if (it && it->late && !f->made) {
		f->made = true;
		f->make(f->make_opaque);
	}
}

static u8 next_byte_locked(struct fw_cfg *f)
{
	const struct item *it = item_of(f, f->key);

	return it && f->at < it->bytes ? it->data[f->at++] : 0;
}

/* The item's next `bytes` into guest memory, zeros behind its end. */
static bool copy_locked(struct fw_cfg *f, gpa_t to, u32 bytes)
{
	static const u8 zeros[PAGE_BYTES];
	const struct item *it = item_of(f, f->key);

	while (bytes) {
		u32 n = (u32)MIN(bytes, PAGE_BYTES - (to & (PAGE_BYTES - 1)));
		const u8 *from = zeros;

		if (it && f->at < it->bytes) {
			n = MIN(n, it->bytes - f->at);
			from = it->data + f->at;
			f->at += n;
		}
		if (ram_put(f->ram, to, from, n) < 0)
			return false;
		to += n;
		bytes -= n;
	}
	return true;
}

static bool transfer_locked(struct fw_cfg *f, u32 control, u32 bytes, gpa_t at)
{
	if (control & DMA_SELECT)
		select_locked(f, (u16)(control >> 16));
	if (control & DMA_READ)
		return bytes <= DMA_MAX && copy_locked(f, at, bytes);
	if (control & DMA_WRITE)
		return false;
	if (control & DMA_SKIP) {
		const struct item *it = item_of(f, f->key);
		u32 left = it && f->at < it->bytes ? it->bytes - f->at : 0;

		f->at += MIN(left, bytes);
	}
	return true;
}

static void dma_locked(struct fw_cfg *f, gpa_t gpa)
{
	u8 job[16], status[4];

	/* Control, length, address. What cannot be read cannot be answered either. */
	if (ram_get(f->ram, gpa, job, sizeof(job)) < 0)
		return;
	u64 at = (u64)get_be32(job + 8) << 32 | get_be32(job + 12);
	be32(status, transfer_locked(f, get_be32(job), get_be32(job + 4), at) ? 0 : DMA_ERROR);
	(void)ram_put(f->ram, gpa, status, sizeof(status));
}

/* ---- ports ---- */

static u64 ports_read(void *dev, u64 off, unsigned bytes)
{
	struct fw_cfg *f = dev;
	u64 v = 0xff;

	if (off == 1) {
		pthread_mutex_lock(&f->lock);
		v = next_byte_locked(f);
		pthread_mutex_unlock(&f->lock);
	}
	return bytes > 1 ? UINT64_MAX : v;
}

static void ports_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct fw_cfg *f = dev;

	if (off != 0 || bytes != 2)
		return;
	pthread_mutex_lock(&f->lock);
	select_locked(f, (u16)val);
	pthread_mutex_unlock(&f->lock);
}

/* Reading tells that transfers are there: "QEMU CFG". */
static u64 dma_read(void *dev, u64 off, unsigned bytes)
{
	u8 text[16] = "QEMU CFG";

	return ld_le64(text + off) & (bytes >= 8 ? UINT64_MAX : (1ull << 8 * bytes) - 1);
}

static void dma_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct fw_cfg *f = dev;

	if (bytes != 4 || (off != 0 && off != 4))
		return;
	pthread_mutex_lock(&f->lock);
	u32 v = __builtin_bswap32((u32)val);
	if (off == 0) {
		f->dma_high = v;
	} else {
		gpa_t gpa = (u64)f->dma_high << 32 | v;
		f->dma_high = 0;
		dma_locked(f, gpa);
	}
	pthread_mutex_unlock(&f->lock);
}

static const struct io_ops ports_ops = { .read = ports_read, .write = ports_write };
static const struct io_ops dma_ops = { .read = dma_read, .write = dma_write, .max_bytes = 4 };

/* ---- life ---- */

void fw_cfg_reset(struct fw_cfg *f)
{
	pthread_mutex_lock(&f->lock);
	f->key = 0;
	f->at = 0;
	f->dma_high = 0;
	f->made = false;
	pthread_mutex_unlock(&f->lock);
}

static void files_save(struct fw_cfg *f, struct state_file *s)
{
	state_uint(s, &f->nfiles, FW_CFG_FILES_MAX);
	for (unsigned i = 0; i < f->nfiles; i++) {
		struct item *it = &f->file[i];
		state_text(s, it->name, sizeof(it->name));
		state_bool(s, &it->late);
		state_u32(s, &it->bytes);
		state_bytes(s, it->data, it->bytes);
	}
}

/* Names and contents: those of who saved it count. The guest knows files by their numbers. */
static void files_load(struct fw_cfg *f, struct state_file *s)
{
	struct item own[FW_CFG_FILES_MAX];
	unsigned n = 0, nown = f->nfiles;
	struct err e;

	state_uint(s, &n, FW_CFG_FILES_MAX);
	memcpy(own, f->file, sizeof(own));
	memset(f->file, 0, sizeof(f->file));
	f->nfiles = 0;
	for (unsigned i = 0; i < n; i++) {
		char name[FW_CFG_NAME_MAX + 1] = "";
		bool late = false;
		u32 bytes = 0;

		state_text(s, name, sizeof(name));
		state_bool(s, &late);
		state_u32(s, &bytes);
		if (bytes > FW_CFG_FILE_BYTES) {
			state_bad(s, "a file of firmware is too large");
			break;
		}
		auto_free u8 *data = xcalloc(1, bytes + 1ul);
		state_bytes(s, data, bytes);
		if (find(f, name) || fw_cfg_file(f, name, data, bytes, &e) < 0) {
			state_bad(s, "the files of firmware are others");
			break;
		}
	}
	for (unsigned i = 0; i < nown; i++) {
		if (!find(f, own[i].name) && fw_cfg_file(f, own[i].name, own[i].data, own[i].bytes, &e) < 0)
			state_bad(s, "the files of firmware are too many");
		else
			find(f, own[i].name)->late = own[i].late; /* which are made, this version says */
		free(own[i].data);
	}
}

int fw_cfg_state(struct fw_cfg *f, struct state_file *s, struct err *e)
{
	int r = state_section(s, "fw-cfg", 0, 1, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&f->lock);
	state_u16(s, &f->key);
	state_u32(s, &f->at);
	state_u32(s, &f->dma_high);
	state_bool(s, &f->made);
	state_loading(s) ? files_load(f, s) : files_save(f, s);
	pthread_mutex_unlock(&f->lock);
	return state_end(s, e);
}

int fw_cfg_new(struct fw_cfg **out, struct bus *bus, struct ram *ram)
{
	struct fw_cfg *f = xcalloc(1, sizeof(*f));
	int rc;

	pthread_mutex_init(&f->lock, NULL);
	f->bus = bus;
	f->ram = ram;
	f->ports = (struct io_region){ .ops = &ports_ops, .dev = f, .name = "fw-cfg" };
	f->dma = (struct io_region){ .ops = &dma_ops, .dev = f, .name = "fw-cfg-dma" };
	fw_cfg_item(f, SIGNATURE, "QEMU", 4);
	fw_cfg_number(f, ID, ID_PORTS | ID_DMA, 4);
	write_directory(f);
	if ((rc = bus_map_pio(bus, &f->ports, LAYOUT_FW_CFG, 2)) < 0 ||
	    (rc = bus_map_pio(bus, &f->dma, LAYOUT_FW_CFG_DMA, 8)) < 0) {
		fw_cfg_free(f);
		return rc;
	}
	*out = f;
	return 0;
}

void fw_cfg_free(struct fw_cfg *f)
{
	if (!f)
		return;
	bus_unmap_pio(f->bus, &f->ports);
	bus_unmap_pio(f->bus, &f->dma);
	for (unsigned i = 0; i < ITEMS; i++)
		free(f->numbered[i].data);
	for (unsigned i = 0; i < ARCH_ITEMS; i++)
		free(f->arch[i].data);
	for (unsigned i = 0; i < f->nfiles; i++)
		free(f->file[i].data);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
