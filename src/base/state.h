/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state.h - saved state: a stream of named, versioned, checksummed sections (docs/state-format.md).
 *
 * Theory: one struct state_file either saves or loads. A field function writes *v when saving and sets it when
 * loading, so that one list of fields serves both ways and cannot disagree with itself:
 *
 *	if (state_section(s, "rtc", 0, 1, e) < 0) return ...;
 *	state_u8(s, &r->index);
 *	return state_end(s, e);
 *
 * It is read and written from the first byte to the last, never sought in: a pipe or a socket will do.
 *
 * Loading trusts nothing. A section's header has its own checksum, so a damaged length is never believed;
 * lengths are bounded; a payload is handed out only after its checksum fits. Checksums are seeded with the
 * section's place in the file, so that none can be moved, left out or doubled. Fields that run past the payload
 * read as zeros and make state_end() fail: field functions need no checks after each.
 *
 * How the format grows, section by section:
 *  - a section gets more fields: a higher version; readers take all versions up to the one they write.
 *  - a section is new, and whoever does not know it must not go on: state_section_of() with `absent`, the words for
 *    what holds in files from before it.
 *  - a section is new, and may be passed over: STATE_OPTIONAL besides. Readers that do not ask for it leave it.
 * A reader asks for sections in the order in which they are written. Optional ones that come before the one it asks for
 * are kept (within STATE_KEPT_*), since they may be asked for later, or never.
 *
 * Threads: one at a time. Saving in two steps, on two threads: state_defer().
 */
#ifndef MICA_STATE_H
#define MICA_STATE_H

#include "base/base.h"
#include "base/err.h"

#define STATE_FORMAT 2              /* what is written; read are all from 1 on */
#define STATE_SECTION_MAX (4 * MIB) /* bytes of payload */
#define STATE_KEPT_MAX 64           /* optional sections that wait to be asked for */
#define STATE_KEPT_BYTES (16 * MIB) /* of all of them */
#define STATE_NAME_MAX 15

struct state_file;

/* Where it is written to. */
struct state_out {
	int fd; /* the caller's: a file, a pipe, a socket */
	/* Optional. True: give up (-ECANCELED). Asked between two pieces, however slow the other end is. */
	bool (*stop)(void *opaque);
	void *opaque;
};

/* fd stays the caller's. The reader looks at the file's header at once; a writer writes nothing yet. */
int state_save_new(struct state_file **out, int fd, struct err *e);
struct state_file *state_save_new_to(const struct state_out *to);
int state_load_new(struct state_file **out, int fd, struct err *e);
/* The same, where these bytes of it were read from fd before (borrowed until the state_file is freed). */
int state_load_new_after(struct state_file **out, const u8 *head, size_t bytes, int fd, struct err *e);
/*
 * The file's header and its first section as they are, for who reads a stream and hands the rest of it on: `out` has
 * room for STATE_HEAD_MAX. Returns how many bytes they are, or how many there were of a file that ends before.
 */
#define STATE_HEAD_MAX (STATE_SECTION_MAX + 128)
ssize_t state_read_head(int fd, u8 *out, struct err *e);
void state_free(struct state_file *s);
bool state_loading(const struct state_file *s);
/* Loading: which format it has. */
u32 state_format(const struct state_file *s);

/* Saving, while on: sections are only gathered in memory, and nothing waits. Off: what was gathered is written. */
int state_defer(struct state_file *s, bool on, struct err *e);

/*
 * Saving: begin a section. Loading: read the next one, which must be this one, of a version from 1 to `version`
 * (state_version() tells which).
 */
int state_section(struct state_file *s, const char *name, u32 instance, u32 version, struct err *e);

/* A section that not every file has. */
enum { STATE_OPTIONAL = 1 << 0 }; /* a reader that does not know it may go on without */
struct state_kind {
	const char *name;
	u32 version;
	unsigned flags;
	const char *absent; /* what holds where a file has none */
};
/* 0: as state_section(). 1: loading, and there is none: the caller sets what `absent` says. */
int state_section_of(struct state_file *s, const struct state_kind *k, u32 instance, struct err *e);

/* Loading, where what comes next is not known: its name, "" at an error or the end of the file. Optional sections are
 * passed by, and kept. */
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
/* Loading: fn is called after each section, on the same thread. */
void state_on_section(struct state_file *s, void (*fn)(void *opaque), void *opaque);

#endif
