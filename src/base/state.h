/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state.h - saved state: a file of named, versioned, checksummed sections (docs/state-format.md).
 *
 * Theory: one struct state_file either saves or loads. A field function writes *v when saving and sets it when
 * loading, so that one list of fields serves both ways and cannot disagree with itself:
 *
 *	if (state_section(s, "rtc", 0, 1, e) < 0) return ...;
 *	state_u8(s, &r->index);
 *	return state_end(s, e);
 *
 * Loading trusts nothing. A section's header has its own checksum, so a damaged length is never believed;
 * lengths are bounded; a payload is handed out only after its checksum fits. Checksums are seeded with the
 * section's place in the file, so that none can be moved, left out or doubled. Fields that run past the payload
 * read as zeros and make state_end() fail: field functions need no checks after each.
 *
 * Threads: one at a time.
 */
#ifndef MICA_STATE_H
#define MICA_STATE_H

#include "base/base.h"
#include "base/err.h"

#define STATE_FORMAT 1
#define STATE_SECTION_MAX (4 * MIB) /* bytes of payload */
#define STATE_NAME_MAX 15

struct state_file;

/* fd stays the caller's. The reader looks at the file's header at once. */
int state_save_new(struct state_file **out, int fd, struct err *e);
int state_load_new(struct state_file **out, int fd, struct err *e);
void state_free(struct state_file *s);
bool state_loading(const struct state_file *s);

/*
 * Saving: begin a section. Loading: read the next one, which must be this one, of a version from 1 to `version`
 * (state_version() tells which).
 */
int state_section(struct state_file *s, const char *name, u32 instance, u32 version, struct err *e);
/* Loading, where what comes next is not known: its name, "" at an error or the end of the file. */
int state_peek(struct state_file *s, const char **name, struct err *e);
u32 state_version(const struct state_file *s);
/* Saving: write the section. Loading: every byte must have been used and no field been bad. */
int state_end(struct state_file *s, struct err *e);
/* Saving: the closing section, and everything to stable storage. Loading: expect it, and nothing behind it. */
int state_finish(struct state_file *s, struct err *e);

/* ---- fields: little-endian, of their own width ---- */
void state_u8(struct state_file *s, u8 *v);
void state_u16(struct state_file *s, u16 *v);
void state_u32(struct state_file *s, u32 *v);
void state_u64(struct state_file *s, u64 *v);
void state_bool(struct state_file *s, bool *v); /* one byte, 0 or 1 */
void state_bytes(struct state_file *s, void *buf, size_t bytes);
/* Text: a u32 length and bytes without NUL; bytes: room with the NUL. */
void state_text(struct state_file *s, char *buf, size_t bytes);
/* unsigned and enum values, as u32; loading: above max is bad. */
void state_uint(struct state_file *s, unsigned *v, unsigned max);
/* A value that both sides must have alike: loading, another one is bad. */
void state_same(struct state_file *s, u64 v, const char *what);
/* Loading: all that is left of the section; valid until state_end(). */
const u8 *state_rest(struct state_file *s, size_t *bytes);
/* Loading: the section does not make sense; the first reason is kept for state_end(). */
void state_bad(struct state_file *s, const char *what);

/* How many bytes were saved or loaded so far. */
u64 state_offset(const struct state_file *s);

#endif
