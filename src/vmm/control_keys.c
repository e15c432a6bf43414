/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control_keys.c - commands of the control socket that type: keys by name, and text. */
#include "base/i18n.h"
#include "device/input/key.h"
#include "vmm/control_int.h"

#define TEXT_MAX 256 /* characters of one command */

struct strokes {
	u16 event[4 * TEXT_MAX];
	unsigned n;
};

static void stroke(struct strokes *s, unsigned key, bool down)
{
	must(s->n < ARRAY_LEN(s->event));
	s->event[s->n++] = (u16)(key | (down ? KEY_DOWN : 0));
}

static json_t *send(struct control_client *cl, const struct strokes *s, struct err *e)
{
	int r = vm_keys(cl->c->vm, s->event, s->n);

	if (r == -ENODEV) {
		err_set(e, ENODEV, "the VM has no keyboard: start it with --display vga");
		return control_fail(e, "no-screen");
	}
	if (r == -EAGAIN) {
		err_set(e, EAGAIN, "no driver of the guest listens to the keyboard yet; try again later");
		return NULL;
	}
	if (r < 0) {
		err_set(e, EBUSY, "the guest has not taken what was typed before; try again");
		return NULL;
	}
	return json_object();
}

/* All go down in that order, and up the other way round. */
json_t *control_cmd_sendkey(struct control_client *cl, const json_t *req, struct err *e)
{
	const json_t *names = json_object_get(req, "keys");
	struct strokes s = { .n = 0 };
	unsigned key[16], n = 0;

	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));

		key[n] = key_by_name(name, strlen(name));
		if (!key[n]) {
			err_set(e, EINVAL, "sendkey: '%.32s' is no key", name);
			return control_fail(e, "unknown-key");
		}
		stroke(&s, key[n++], true);
	}
	while (n--)
		stroke(&s, key[n], false);
	return send(cl, &s, e);
}

/* A character of UTF-8 that jansson has checked. */
static u32 character(const u8 **p)
{
	u32 c = *(*p)++;

	if (c < 0x80)
		return c;
	c &= c >= 0xf0 ? 0x07 : c >= 0xe0 ? 0x0f : 0x1f;
	while ((**p & 0xc0) == 0x80)
		c = c << 6 | (*(*p)++ & 0x3f);
	return c;
}

json_t *control_cmd_type(struct control_client *cl, const json_t *req, struct err *e)
{
	const u8 *p = (const u8 *)json_string_value(json_object_get(req, "text"));
	struct strokes s = { .n = 0 };

	for (unsigned n = 0; *p; n++) {
		bool shift;
		u32 c = character(&p);
		unsigned key = key_of_char(c, &shift);

		if (n == TEXT_MAX) {
			err_set(e, E2BIG, "type: more than %d characters: type them in several commands", TEXT_MAX);
			return NULL;
		}
		if (!key) {
			err_set(e, EINVAL, "type: no key of an American keyboard makes the character U+%04X", c);
			return control_fail(e, "unknown-key");
		}
		if (shift)
			stroke(&s, KEY_SHIFT, true);
		stroke(&s, key, true);
		stroke(&s, key, false);
		if (shift)
			stroke(&s, KEY_SHIFT, false);
	}
	if (json_is_true(json_object_get(req, "look")))
		s.n = 0; /* none: is there a keyboard? */
	return send(cl, &s, e);
}
