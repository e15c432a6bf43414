/* SPDX-License-Identifier: GPL-2.0-or-later */
/* err_json.c - see err_json.h. */
#include "vmm/err_json.h"

#define PARTS_MAX 32

json_t *json_plain(const char *s)
{
	json_t *j = json_string(s);

	if (j)
		return j;
	auto_free char *copy = xstrdup(s);
	for (char *p = copy; *p; p++)
		if (*p & 0x80)
			*p = '?';
	return json_string(copy);
}

void err_to_json(const struct err *e, json_t *o)
{
	json_t *message = json_array(), *args = NULL;
	struct err_item it;
	size_t at = 0;

	while (err_next(e, &at, &it)) {
		json_t *part;
		switch (it.kind) {
		case ERR_FORMAT:
			args = json_array();
			part = json_object();
			json_object_set_new(part, "id", json_plain(it.text));
			json_object_set_new(part, "args", args);
			json_array_append_new(message, part);
			break;
		case ERR_ARG:
			json_array_append_new(args, json_plain(it.text));
			break;
		case ERR_PHRASE:
			json_array_append_new(args, json_pack("{s:o}", "id", json_plain(it.text)));
			break;
		case ERR_ERRNO:
			json_array_append_new(message, json_pack("{s:i}", "errno", atoi(it.text)));
			break;
		}
	}
	json_object_set_new(o, "error", json_plain(e->msg));
	json_object_set_new(o, "code", json_string(err_name(e)));
	json_object_set_new(o, "errno", json_integer(e->code));
	json_object_set_new(o, "message", message);
}

static bool part_from_json(struct err *e, const json_t *part)
{
	const json_t *args = json_object_get(part, "args"), *number = json_object_get(part, "errno");
	const char *id = json_string_value(json_object_get(part, "id"));
	char text[16];

	if (json_is_integer(number)) {
		snprintf(text, sizeof(text), "%d", (int)json_integer_value(number));
		err_add(e, ERR_ERRNO, text);
		return true;
	}
	if (!id || json_array_size(args) > PARTS_MAX)
		return false;
	err_add(e, ERR_FORMAT, id);
	for (size_t i = 0; i < json_array_size(args); i++) {
		const json_t *arg = json_array_get(args, i);
		const char *phrase = json_string_value(json_object_get(arg, "id"));

		if (!phrase && !json_is_string(arg))
			return false;
		err_add(e, phrase ? ERR_PHRASE : ERR_ARG, phrase ? phrase : json_string_value(arg));
	}
	return true;
}

int err_from_json(struct err *e, const json_t *o)
{
	const json_t *message = json_object_get(o, "message");
	const char *text = json_string_value(json_object_get(o, "error"));
	const char *name = json_string_value(json_object_get(o, "code"));
	json_int_t code = json_integer_value(json_object_get(o, "errno"));
	bool good = json_array_size(message) > 0 && json_array_size(message) <= PARTS_MAX;

	err_begin(e, code > 0 && code < 4096 ? (int)code : EIO);
	for (size_t i = 0; good && i < json_array_size(message); i++)
		good = part_from_json(e, json_array_get(message, i));
	if (!good && !text)
		return err_set(e, EPROTO, "the VM gave an answer that makes no sense");
	if (!good) /* an older one, or somebody else's: its text is all there is */
		err_set(e, e->code, "%s", text);
	err_end(e);
	if (name && strlen(name) < ERR_NAME_BYTES)
		err_named(e, name);
	return -e->code;
}
