/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.c - see state.h; the layout is in docs/state-format.md. */
#include "base/clock.h"
#include "base/log.h"
#include "base/state_int.h"

#include <xxhash.h>

static const u8 magic[8] = { 'M', 'I', 'C', 'A', 'S', 'A', 'V', 'E' };

#define END_NAME "end"

static u64 sum(const void *p, size_t bytes, u64 seed)
{
	return XXH64(p, bytes, seed);
}

void state_room(struct state_file *s, size_t bytes)
{
	if (s->now.len + bytes <= s->room)
		return;
	s->room = ROUND_UP(MAX(s->now.len + bytes, 2 * s->room), 4096);
	s->now.buf = xrealloc(s->now.buf, s->room);
}

/* ---- life ---- */

struct state_file *state_save_new_to(const struct state_out *to)
{
	struct state_file *s = xcalloc(1, sizeof(*s));
	u8 h[STATE_FILE_HEADER_BYTES] = { 0 };

	s->to = *to;
	s->from = -1;
	s->format = STATE_FORMAT;
	memcpy(h, magic, sizeof(magic));
	st_le32(h + 8, STATE_FORMAT);
	st_le64(h + 16, clock_real_ns());
	st_le64(h + 24, sum(h, 24, 0));
	state_gather(s, h, sizeof(h));
	return s;
}

int state_save_new(struct state_file **out, int fd, struct err *e)
{
	(void)e;
	*out = state_save_new_to(&(struct state_out){ .fd = fd });
	return 0;
}

static int check_file(struct state_file *s, struct err *e)
{
	u8 h[STATE_FILE_HEADER_BYTES];
	ssize_t n = state_get_some(s, h, sizeof(h), e);

	if (n < 0)
		return (int)n;
	if ((size_t)n < sizeof(magic) || memcmp(h, magic, sizeof(magic)))
		return err_set(e, EBADMSG, "this is not the saved state of a VM");
	if ((size_t)n < sizeof(h))
		return err_set(e, EBADMSG, "the saved state is cut off after %zd bytes: the file is not whole", n);
	if (ld_le64(h + 24) != sum(h, 24, 0))
		return err_set(e, EBADMSG, "the saved state is damaged: its header does not fit its checksum");
	s->format = ld_le32(h + 8);
	if (!s->format || s->format > STATE_FORMAT || ld_le32(h + 12))
		return err_set(
		    e, EPROTONOSUPPORT,
		    "the saved state has format %u and this version of Mica reads formats up to %d; use the version "
		    "that saved it",
		    s->format, STATE_FORMAT);
	return 0;
}

int state_load_new_after(struct state_file **out, const u8 *head, size_t bytes, int fd, struct err *e)
{
	struct state_file *s = xcalloc(1, sizeof(*s));

	s->from = fd;
	s->head = head;
	s->nhead = bytes;
	s->loading = true;
	int r = check_file(s, e);
	if (r < 0) {
		state_free(s);
		return r;
	}
	*out = s;
	return 0;
}

int state_load_new(struct state_file **out, int fd, struct err *e)
{
	return state_load_new_after(out, NULL, 0, fd, e);
}

void state_free(struct state_file *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->nkept; i++)
		free(s->kept[i].buf);
	if (s->has_back)
		free(s->back.buf);
	free(s->gathered);
	free(s->now.buf);
	free(s);
}

bool state_loading(const struct state_file *s)
{
	return s->loading;
}

u32 state_format(const struct state_file *s)
{
	return s->format;
}

u32 state_version(const struct state_file *s)
{
	return s->now.version;
}

u64 state_offset(const struct state_file *s)
{
	return s->offset;
}

/* ---- reading sections ---- */

static int read_section(struct state_file *s, struct err *e)
{
	struct state_section *n = &s->now;
	u8 h[STATE_HEADER_BYTES];

	if (s->has_back) {
		free(n->buf);
		*n = s->back;
		s->room = n->len;
		s->at = 0;
		s->bad = NULL;
		s->has_back = false;
		s->peeked = true;
		return 0;
	}
	int r = state_get(s, h, sizeof(h), e);

	if (r < 0)
		return r;
	if (ld_le64(h + STATE_HEADER_SUMMED) != sum(h, STATE_HEADER_SUMMED, s->ordinal))
		return err_set(e, EBADMSG,
			       "the saved state is damaged: the header of its section %llu does not fit its checksum",
			       (unsigned long long)s->ordinal);
	size_t bytes = ld_le32(h + 24);
	memcpy(n->name, h, sizeof(n->name));
	n->flags = ld_le32(h + 28);
	if (h[STATE_NAME_MAX] || !h[0] || bytes > STATE_SECTION_MAX || (s->format == 1 && n->flags))
		return err_set(e, EBADMSG,
			       "the saved state makes no sense: its section %llu has no name or is too long",
			       (unsigned long long)s->ordinal);
	if (n->flags & STATE_FLAGS_MUST)
		return err_set(
		    e, EPROTONOSUPPORT,
		    "the saved state's section %s has a mark (%#x) that this version of Mica does not know; use the "
		    "version that saved it",
		    n->name, n->flags & STATE_FLAGS_MUST);
	n->instance = ld_le32(h + 16);
	n->version = ld_le32(h + 20);
	n->len = 0;
	state_room(s, bytes);
	r = state_get(s, n->buf, bytes, e);
	if (r < 0)
		return r;
	if (sum(n->buf, bytes, s->ordinal) != ld_le64(h + 32))
		return err_set(e, EBADMSG, "the saved state is damaged: section %s %u does not fit its checksum",
			       n->name, n->instance);
	n->len = bytes;
	s->at = 0;
	s->bad = NULL;
	s->ordinal++;
	s->peeked = true;
	return 0;
}

static bool is(const struct state_section *n, const char *name, u32 instance)
{
	return !strcmp(n->name, name) && n->instance == instance;
}

static struct state_section *find_kept(struct state_file *s, const char *name, u32 instance)
{
	for (unsigned i = 0; i < s->nkept; i++)
		if (is(&s->kept[i], name, instance))
			return &s->kept[i];
	return NULL;
}

/* The section that was peeked at is optional, and not the one that is asked for. */
static int keep(struct state_file *s, struct err *e)
{
	struct state_section *n = &s->now;

	if (find_kept(s, n->name, n->instance))
		return err_set(e, EBADMSG, "the saved state makes no sense: it has section %s %u twice", n->name,
			       n->instance);
	if (s->nkept == STATE_KEPT_MAX || s->kept_bytes + n->len > STATE_KEPT_BYTES)
		return err_set(e, EBADMSG,
			       "the saved state makes no sense: it has more optional sections than any machine (%u, "
			       "%zu bytes)",
			       s->nkept + 1, s->kept_bytes + n->len);
	struct state_section *k = &s->kept[s->nkept++];
	*k = *n;
	k->buf = xcalloc(1, n->len + 1);
	if (n->len)
		memcpy(k->buf, n->buf, n->len);
	s->kept_bytes += n->len;
	s->peeked = false;
	return 0;
}

/* Have the next section that is not optional, or is this one (name may be NULL), at hand. */
static int look(struct state_file *s, const char *name, u32 instance, struct err *e)
{
	for (;;) {
		int r = s->peeked ? 0 : read_section(s, e);
		if (r < 0 || !(s->now.flags & STATE_OPTIONAL) || (name && is(&s->now, name, instance)))
			return r;
		if ((r = keep(s, e)) < 0)
			return r;
	}
}

int state_peek(struct state_file *s, const char **name, struct err *e)
{
	must(s->loading && !s->open && !s->ended);
	*name = "";
	int r = look(s, NULL, 0, e);
	if (r == 0)
		*name = s->now.name;
	return r;
}

/* A kept section is to be read, before the one that was peeked at. */
static void take_kept(struct state_file *s, struct state_section *k)
{
	if (s->peeked) {
		s->back = s->now;
		s->has_back = true;
	} else {
		free(s->now.buf);
	}
	s->kept_bytes -= k->len;
	s->now = *k;
	s->room = k->len;
	s->at = 0;
	s->bad = NULL;
	*k = s->kept[--s->nkept];
}

static int load_begin(struct state_file *s, const struct state_kind *k, u32 instance, struct err *e)
{
	struct state_section *kept = find_kept(s, k->name, instance);
	int r = 0;

	if (kept)
		take_kept(s, kept);
	else if ((r = look(s, k->name, instance, e)) < 0)
		return r;
	if (!is(&s->now, k->name, instance)) {
		if (!k->absent)
			return err_set(
			    e, EBADMSG,
			    "the saved state does not fit this machine: it has section %s %u where %s %u is expected",
			    s->now.name, s->now.instance, k->name, instance);
		log_info("the saved state has no section %s %u: %s", k->name, instance, k->absent);
		return 1;
	}
	if (!s->now.version || s->now.version > k->version)
		return err_set(e, EPROTONOSUPPORT,
			       "the saved state has version %u of section %s, this version of Mica knows up to %u; use "
			       "the version that saved it",
			       s->now.version, k->name, k->version);
	s->peeked = false;
	return 0;
}

int state_section_of(struct state_file *s, const struct state_kind *k, u32 instance, struct err *e)
{
	must(!s->open && !s->ended && strlen(k->name) <= STATE_NAME_MAX && k->version);
	if (s->loading) {
		int r = load_begin(s, k, instance, e);
		if (r)
			return r;
	} else {
		struct state_section *n = &s->now;
		snprintf(n->name, sizeof(n->name), "%s", k->name);
		n->instance = instance;
		n->version = k->version;
		n->flags = k->flags;
		n->len = 0;
	}
	s->open = true;
	return 0;
}

int state_section(struct state_file *s, const char *name, u32 instance, u32 version, struct err *e)
{
	return state_section_of(s, &(struct state_kind){ .name = name, .version = version }, instance, e);
}

/* ---- ending them ---- */

static int write_section(struct state_file *s, struct err *e)
{
	const struct state_section *n = &s->now;
	u8 h[STATE_HEADER_BYTES] = { 0 };

	must(n->len <= STATE_SECTION_MAX);
	memcpy(h, n->name, strlen(n->name));
	st_le32(h + 16, n->instance);
	st_le32(h + 20, n->version);
	st_le32(h + 24, (u32)n->len);
	st_le32(h + 28, n->flags);
	st_le64(h + 32, sum(n->buf, n->len, s->ordinal));
	st_le64(h + STATE_HEADER_SUMMED, sum(h, STATE_HEADER_SUMMED, s->ordinal));
	s->ordinal++;
	int r = state_put(s, h, sizeof(h), e);
	return r < 0 || !n->len ? r : state_put(s, n->buf, n->len, e);
}

int state_end(struct state_file *s, struct err *e)
{
	must(s->open);
	s->open = false;
	if (!s->loading)
		return write_section(s, e);
	if (s->bad) {
		auto_free char *why = xasprintf(ERR_MARK "%s", s->bad); /* a phrase of ours */
		return err_set(e, EBADMSG, "the saved state makes no sense: section %s %u: %s", s->now.name,
			       s->now.instance, why);
	}
	if (s->at != s->now.len)
		return err_set(e, EBADMSG, "the saved state makes no sense: section %s %u is %zu bytes too long",
			       s->now.name, s->now.instance, s->now.len - s->at);
	if (s->on_section)
		s->on_section(s->on_section_opaque);
	return 0;
}

void state_on_section(struct state_file *s, void (*fn)(void *opaque), void *opaque)
{
	s->on_section = fn;
	s->on_section_opaque = opaque;
}

int state_finish(struct state_file *s, struct err *e)
{
	u64 before = s->ordinal;
	int r = state_section(s, END_NAME, 0, 1, e);

	if (r == 0) {
		if (s->loading)
			before = s->ordinal - 1;
		state_same(s, before, "the number of sections");
		r = state_end(s, e);
	}
	if (r < 0)
		return r;
	s->ended = true;
	if (s->loading)
		return state_at_end(s) ? 0 : err_set(e, EBADMSG, "there are bytes behind the end of the saved state");
	return state_sync(s, e);
}
