/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * err.c - see err.h.
 *
 * Items lie one behind the other: a byte of enum err_kind, the text, a zero. err_set() walks its format once and turns
 * each argument into text with the conversion that belongs to it. Rendering puts the texts where a format, the English
 * or a translated one, has its conversions, in order or by number (%2$s). So no format that came from elsewhere ever
 * meets printf(3).
 */
#include "base/err.h"
#include "base/i18n.h"
#include "base/plain.h"

#include <stdarg.h>

#define ARG_MAX_BYTES 400 /* of an argument as text: room for several beside the longest path */
#define ARGS_MAX 12

/* ---- conversions of printf(3) ---- */

struct conv {
	char spec[24];   /* as printf wants it, without a number of an argument */
	unsigned number; /* of the argument, from 1; 0: the next one */
	unsigned stars;  /* int arguments before it: width, precision */
	char length;     /* 'l': 64 bits; 0: int */
	char type;       /* '%' for "%%"; 0: not a conversion that we know */
};

/* *p is behind the '%', and is moved behind the conversion. */
static void parse_conv(const char **p, struct conv *c)
{
	const char *s = *p;
	size_t n = 0;

	*c = (struct conv){ .spec = "%" };
	size_t digits = strspn(s, "0123456789");
	if (digits && s[digits] == '$') {
		c->number = (unsigned)strtoul(s, NULL, 10);
		s += digits + 1;
	}
	while (*s && strchr("-+ #0123456789.*hlzjt", *s)) {
		c->stars += *s == '*';
		if (strchr("lzjt", *s))
			c->length = 'l';
		if (++n < sizeof(c->spec) - 2)
			c->spec[n] = *s;
		s++;
	}
	c->type = *s && strchr("diuxXocspfeg%", *s) && n < sizeof(c->spec) - 2 ? *s : '\0';
	c->spec[MIN(n + 1, sizeof(c->spec) - 2)] = c->type;
	*p = s + (*s != '\0');
}

struct args {
	va_list ap;
};

#define PRINT(type_) \
	do { \
		type_ v_ = va_arg(a->ap, type_); \
		if (c->stars == 0) \
			snprintf(out, bytes, c->spec, v_); \
		else if (c->stars == 1) \
			snprintf(out, bytes, c->spec, star[0], v_); \
		else \
			snprintf(out, bytes, c->spec, star[0], star[1], v_); \
	} while (0)

static enum err_kind print_arg(char *out, size_t bytes, const struct conv *c, struct args *a)
{
	int star[2] = { 0, 0 };

	must(c->stars <= 2);
	for (unsigned i = 0; i < c->stars; i++)
		star[i] = va_arg(a->ap, int);
	if (c->type == 's')
		PRINT(const char *);
	else if (c->type == 'p')
		PRINT(void *);
	else if (strchr("feg", c->type))
		PRINT(double);
	else if (c->length && c->type != 'c') /* all of long, long long, size_t, ...: one register */
		PRINT(long);
	else
		PRINT(int);
	if (c->type != 's' || strncmp(out, ERR_MARK, 1))
		return ERR_ARG;
	memmove(out, out + 1, strlen(out));
	return ERR_PHRASE;
}

/* ---- items ---- */

void err_begin(struct err *e, int code)
{
	must(code > 0);
	e->code = code;
	e->name[0] = e->msg[0] = '\0';
	e->used = 0;
}

/* Not in the middle of a character. */
static size_t utf8_cut(const char *s, size_t n)
{
	while (n && ((u8)s[n] & 0xc0) == 0x80)
		n--;
	return n;
}

void err_add(struct err *e, enum err_kind kind, const char *text)
{
	size_t room = sizeof(e->items) - e->used, n = strlen(text);

	if (room < 2)
		return;
	if (n > room - 2)
		n = utf8_cut(text, room - 2);
	e->items[e->used] = (char)kind;
	memcpy(e->items + e->used + 1, text, n);
	e->items[e->used + 1 + n] = '\0';
	e->used = (u16)(e->used + n + 2);
}

bool err_next(const struct err *e, size_t *at, struct err_item *out)
{
	if (*at >= e->used)
		return false;
	out->kind = (enum err_kind)e->items[*at];
	out->text = e->items + *at + 1;
	*at += strlen(out->text) + 2;
	return true;
}

static void add_format(struct err *e, const char *fmt, va_list ap)
{
	struct args a;
	struct conv c;

	err_add(e, ERR_FORMAT, fmt);
	va_copy(a.ap, ap);
	for (const char *p = fmt; *p;) {
		char text[ARG_MAX_BYTES];

		if (*p++ != '%')
			continue;
		parse_conv(&p, &c);
		must(c.type && !c.number); /* a format of ours */
		if (c.type == '%')
			continue;
		text[0] = '\0';
		enum err_kind kind = print_arg(text, sizeof(text), &c, &a);
		text[utf8_cut(text, strlen(text))] = '\0';
		err_add(e, kind, text);
	}
	va_end(a.ap);
}

/* ---- rendering ---- */

struct text {
	char *p;
	size_t n, bytes;
};

static void put(struct text *t, const char *s, size_t n)
{
	size_t room = t->bytes - 1 - t->n;

	if (n > room)
		n = utf8_cut(s, room);
	memcpy(t->p + t->n, s, n);
	t->n += n;
	t->p[t->n] = '\0';
}

static const char *in_english(const char *s)
{
	return s;
}

static const char *in_ours(const char *s)
{
	return *s ? gettext(s) : s; /* the translation of "" is the catalogue's head */
}

static void put_format(struct text *t, const char *fmt, const char *const *args, unsigned nargs)
{
	unsigned next = 0;
	struct conv c;

	while (*fmt) {
		size_t n = strcspn(fmt, "%");

		put(t, fmt, n);
		fmt += n;
		if (!*fmt)
			break;
		fmt++;
		parse_conv(&fmt, &c);
		if (c.type == '%') {
			put(t, "%", 1);
			continue;
		}
		unsigned i = c.number ? c.number - 1 : next++;
		const char *arg = c.type && i < nargs ? args[i] : "?";
		put(t, arg, strlen(arg));
	}
}

static void render(const struct err *e, char *out, size_t bytes, const char *(*say)(const char *))
{
	struct text t = { .p = out, .bytes = bytes };
	struct err_item it, arg;
	size_t at = 0;

	out[0] = '\0';
	for (bool more = err_next(e, &at, &it); more;) {
		const char *args[ARGS_MAX];
		unsigned n = 0;

		if (t.n)
			put(&t, ": ", 2);
		while ((more = err_next(e, &at, &arg)) && (arg.kind == ERR_ARG || arg.kind == ERR_PHRASE))
			if (n < ARGS_MAX)
				args[n++] = arg.kind == ERR_PHRASE ? say(arg.text) : arg.text;
		if (it.kind == ERR_ERRNO) {
			const char *s = say(err_errno_text(atoi(it.text)));
			put(&t, s, strlen(s));
		} else {
			put_format(&t, say(it.text), args, n);
		}
		it = arg;
	}
	plain_text(out);
}

void err_end(struct err *e)
{
	render(e, e->msg, sizeof(e->msg), in_english);
}

const char *err_local_into(const struct err *e, char *buf, size_t bytes)
{
	render(e, buf, bytes, in_ours);
	return buf;
}

/* ---- setting one ---- */

static void set(struct err *e, int code, const char *fmt, va_list ap)
{
	err_begin(e, code);
	add_format(e, fmt, ap);
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	must(code > 0);
	if (e) {
		va_list ap;
		va_start(ap, fmt);
		set(e, code, fmt, ap);
		va_end(ap);
		err_end(e);
	}
	return -code;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
	must(code > 0);
	if (e) {
		char number[16];
		va_list ap;
		va_start(ap, fmt);
		set(e, code, fmt, ap);
		va_end(ap);
		snprintf(number, sizeof(number), "%d", code);
		err_add(e, ERR_ERRNO, number);
		err_end(e);
	}
	return -code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	if (!e)
		return -EIO;
	struct err old = *e;
	struct err_item it;
	size_t at = 0;
	va_list ap;

	va_start(ap, fmt);
	set(e, old.code, fmt, ap);
	va_end(ap);
	memcpy(e->name, old.name, sizeof(e->name));
	while (err_next(&old, &at, &it))
		err_add(e, it.kind, it.text);
	err_end(e);
	return -e->code;
}

int err_named(struct err *e, const char *name)
{
	if (!e)
		return -EIO;
	must(strlen(name) < sizeof(e->name));
	strcpy(e->name, name);
	return -e->code;
}
