/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state_int.h - between state.c (sections), state_io.c (bytes) and state_fields.c. */
#ifndef MICA_STATE_INT_H
#define MICA_STATE_INT_H

#include "base/state.h"

/* File header: magic, u32 format, u32 zero, u64 time of saving, u64 checksum of what is before it. */
#define STATE_FILE_HEADER_BYTES 32
/* Section header: name[16], u32 instance, u32 version, u32 bytes, u32 flags, u64 payload checksum, u64 header checksum.
 * In format 1 flags are zero. */
#define STATE_HEADER_BYTES 48
#define STATE_HEADER_SUMMED 40
#define STATE_FLAGS_MUST 0xffff0000u /* of flags: a reader that does not know one of these cannot go on */

/* A section as it was read. */
struct state_section {
	char name[STATE_NAME_MAX + 1];
	u32 instance, version, flags;
	u8 *buf;
	size_t len;
};

struct state_file {
	struct state_out to;
	int from;
	const u8 *head; /* what is read before `from` */
	size_t nhead;
	bool loading;
	u32 format;
	bool open;   /* in a section */
	bool peeked; /* its header and payload are here, state_section() has not taken it */
	bool ended;
	u64 ordinal; /* sections begun */
	u64 offset;
	struct state_section now;
	size_t room, at;           /* of now.buf */
	struct state_section back; /* was peeked at, and comes again after a kept one was read */
	bool has_back;
	const char *bad;
	void (*on_section)(void *opaque);
	void *on_section_opaque;
	struct state_section kept[STATE_KEPT_MAX];
	unsigned nkept;
	size_t kept_bytes;
	bool deferred;
	u8 *gathered;
	size_t ngathered, gathered_room;
};

/* ---- state_io.c ---- */
/* Keep it until state_defer(s, false). */
void state_gather(struct state_file *s, const u8 *p, size_t bytes);
int state_put(struct state_file *s, const u8 *p, size_t bytes, struct err *e);
/* Returns how many bytes there were. */
ssize_t state_get_some(struct state_file *s, u8 *p, size_t bytes, struct err *e);
int state_get(struct state_file *s, u8 *p, size_t bytes, struct err *e);
/* Is there nothing behind the end? Behind a stream something else may follow. */
bool state_at_end(struct state_file *s);
int state_sync(struct state_file *s, struct err *e);

/* Room for so many bytes more in the section. */
void state_room(struct state_file *s, size_t bytes);

#endif
