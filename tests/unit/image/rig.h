/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rig.h - what the tests of image formats have in common: files in memory that remember every write, an opener that
 * hands them out by name, operations by chance beside a plain array, crashes, and qemu-img as the other opinion.
 *
 * Everything ends the test by cmocka's asserts when it is not as it should be.
 */
#ifndef MICA_TESTS_IMAGE_RIG_H
#define MICA_TESTS_IMAGE_RIG_H

#include "image/image.h"

/* ---- files in memory ---- */

/* Empty; its name is copied. It keeps a log of what is written once rig_log() was called. */
struct image_file *rig_file(unsigned id, const char *name);
struct image_file *rig_file_of(unsigned id, const char *name, const void *bytes, size_t n);
/* A second handle on the same bytes: what another process would see. The bytes go with the last handle. */
struct image_file *rig_again(struct image_file *f);
u8 *rig_bytes(struct image_file *f);
void rig_log(struct image_file *f);
size_t rig_log_entries(const struct image_file *f);
/* What a crash after the first n entries of the log may leave: all up to the last sync among them, and of what came
 * after that, sector by sector, what *seed says. */
struct image_file *rig_crash(struct image_file *f, size_t n, u64 *seed);

u64 rig_random(u64 *seed);

/* ---- openers ---- */

#define RIG_NAMES_MAX 16u
struct rig_opener {
	struct image_opener opener; /* first */
	struct image_file *files[RIG_NAMES_MAX];
	const char *names[RIG_NAMES_MAX], *formats[RIG_NAMES_MAX]; /* formats: of backing images; NULL: any */
	unsigned nfiles;
};
/* Opens second handles on these files, which stay the caller's. A name's last part is what counts. */
void rig_opener_add(struct rig_opener *o, const char *name, struct image_file *f, const char *format);

/* ---- images ---- */

/* Creates one of `format` in f. options: NULL or a list ended by NULL. */
void rig_create(struct image_file *f, const char *format, u64 bytes, const char *const *options);
/* Opens a second handle on f. */
struct image *rig_open(struct image_file *f, const char *format, bool readonly, struct rig_opener *o);
/* Its whole disk is `want`. */
void rig_compare(struct image *m, const u8 *want, u64 bytes);
/* No corruption, and not more than `leaks` that are only leaked. Formats without check() pass. */
void rig_check(struct image *m, u64 leaks);

/* `steps` writes, zeroings, discards, flushes and reopenings beside `disk`, which holds what the image does and is
 * f's size; compares at each reopening and at the end. */
void rig_play(struct image_file *f, const char *format, struct rig_opener *o, u8 *disk, u64 bytes, unsigned steps,
	      u64 seed);
/* Writes, flushes, and `crashes` crashes at moments of chance: after each one the image opens, check() finds nothing
 * corrupt, and each sector holds what was flushed last or something written to it later. disk: as in rig_play(). */
void rig_crashes(struct image_file *f, const char *format, u64 bytes, unsigned steps, unsigned crashes, u64 seed);

/* Every answer of a hostile image is fine, but for crashes: opens f as `format`, reads, writes, checks. */
void rig_poke(struct image_file *f, const char *format, struct rig_opener *o);

/* ---- qemu-img ---- */

bool rig_have_qemu(void);
/* A folder of this process's own, removed at its end. */
const char *rig_folder(void);
void rig_save(struct image_file *f, const char *name); /* into the folder */
void rig_save_bytes(const void *bytes, u64 n, const char *name);
struct image_file *rig_load(unsigned id, const char *name);
/* Runs the command line in the folder; returns its exit status. Its output is kept in file "out" there. */
int rig_run(const char *fmt, ...) printf_like(1, 2);

/* ---- what every format is put through (rig_tries.c) ---- */

struct rig_try {
	const char *format;
	const char *const *options; /* of ours, ended by NULL */
	const char *qemu_options;   /* "-o ...", of qemu-img; NULL: none */
	u64 bytes;                  /* of the disk; those of the image may be more */
	bool qemu_checks;           /* qemu-img check knows the format */
	u32 metadata;               /* mutations: the first bytes of the file that matter most */
	u64 seed;
};
void rig_try_chance(const struct rig_try *t);
void rig_try_crashes(const struct rig_try *t);
void rig_try_qemu_reads(const struct rig_try *t);  /* what we wrote */
void rig_try_qemu_writes(const struct rig_try *t); /* what we read, and write on */
void rig_try_mutations(const struct rig_try *t, unsigned n);
/* open() fails with a message that has `words` in it. */
void rig_refused(struct image_file *f, const char *format, struct rig_opener *o, const char *words);

#endif
