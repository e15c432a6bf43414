/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2_rig.h - images for tests of formats: on files in a folder of their own, with names that an image may use for
 * its backing image and its data file; and qemu-img, where it is installed, asked what it thinks of them.
 */
#ifndef MICA_TEST_QCOW2_RIG_H
#define MICA_TEST_QCOW2_RIG_H

#include "image/image.h"

struct rig {
	struct image_opener opener;
	char dir[64];
	unsigned files; /* opened so far: the next one's id */
};

/* The same numbers for the same seed. */
static inline u64 rig_random(u64 *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s * 0x2545f4914f6cdd1dull;
}

void rig_init(struct rig *r);
void rig_fini(struct rig *r); /* with all that is in its folder */
struct image_file *rig_file(struct rig *r, const char *name, bool create, bool readonly);
/* Fails the test with the error's words. */
struct image *rig_open(struct rig *r, const char *name, bool readonly);
int rig_try_open(struct rig *r, const char *name, struct image_open o, struct image **m, struct err *e);
void rig_close(struct image *m);
/* options: between commas, as qemu-img takes them. */
void rig_create(struct rig *r, const char *name, u64 bytes, const char *options, const char *backing, const char *data);
bool rig_has_qemu(void);
/* Runs "qemu-img ..." in the folder; its exit status. What it printed is shown when it is not among the allowed ones (a
 * bit for each). */
int rig_qemu(struct rig *r, unsigned allowed, const char *fmt, ...) printf_like(3, 4);

#endif
