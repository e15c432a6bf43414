/* SPDX-License-Identifier: GPL-2.0-or-later */
/* screen.c - mica screenshot, type, sendkey: look at what a running VM shows, and type at it. */
#include "base/clock.h"
#include "base/err.h"
#include "base/i18n.h"
#include "cli/cmd.h"
#include "cli/vm_command.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

/* A BIOS keeps 15 keys for who asks for them: so many characters go at once, then there is a pause. */
#define PIECE 8
#define PIECE_LOOK 256 /* what the VM looks at at once */
#define PAUSE_NS 20000000
#define PATIENCE_NS (30 * NSEC_PER_SEC) /* with a guest that takes none */

static bool as_text;

/* ---- screenshot ---- */

static int read_text(struct client *vm, struct err *e)
{
	json_t *res = NULL;
	int r = client_call(vm, &res, "screen-text", NULL, -1, VM_ANSWER_MS, e);

	if (r == 0) {
		const char *text = json_string_value(json_object_get(res, "text"));
		if (!text || fputs(text, stdout) == EOF || fflush(stdout) == EOF)
			r = err_sys(e, errno, "cannot write to standard output");
	}
	json_decref(res);
	return r;
}

/* Under the name there is either a whole picture or what was there before. */
static int shoot(struct client *vm, const char *path, struct err *e)
{
	if (as_text)
		return read_text(vm, e);
	auto_free char *temp = xasprintf("%s.XXXXXX", path);
	auto_close int fd = mkostemp(temp, O_CLOEXEC);
	json_t *res = NULL;
	mode_t mask = umask(0);

	umask(mask);
	if (fd < 0)
		return err_sys(e, errno, "%s: cannot make a file there", path);
	int r = client_call(vm, &res, "screenshot", NULL, fd, VM_ANSWER_MS, e);
	json_decref(res);
	if (r == 0 && (fchmod(fd, 0666 & ~mask) < 0 || rename(temp, path) < 0))
		r = err_sys(e, errno, "%s", path);
	if (r < 0)
		unlink(temp);
	return r;
}

static const struct vm_option options[] = {
	{ "text", NULL, N_("print what a screen in text mode says, instead"), .on = &as_text },
};

static const struct vm_command screenshot = {
	.name = "screenshot",
	.options = options,
	.noptions = ARRAY_LEN(options),
	.instead = &as_text,
	.usage = N_("Usage: mica screenshot --control PATH FILE.png|--text\n"
		    "Make a picture of what the virtual machine's screen shows, as PNG.\n"
		    "An older file of that name is replaced.\n\n"),
	.word = MSG("no file: say where the picture goes"),
	.run = shoot,
};

/* ---- type ---- */

/* Where the next piece of at most `most` characters begins. */
static size_t piece(const char *s, unsigned most)
{
	size_t n = 0;

	for (unsigned i = 0; s[n] && i < most; i++)
		do
			n++;
		while ((s[n] & 0xc0) == 0x80);
	return n;
}

static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '\\' && strchr("nt\\", s[1]) && s[1]) {
			s++;
			*to++ = *s == 'n' ? '\n' : *s == 't' ? '\t' : '\\';
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

static int say(struct client *vm, const char *s, size_t n, bool look, struct err *e)
{
	json_t *text = json_stringn(s, n), *res = NULL;

	if (!text)
		return err_set(e, EILSEQ, "the text is not valid UTF-8");
	int r = client_call(vm, &res, "type", json_pack("{s:o s:b}", "text", text, "look", look), -1, VM_ANSWER_MS, e);
	json_decref(res);
	return r;
}

static int type_piece(struct client *vm, const char *s, size_t n, struct err *e)
{
	u64 until = clock_mono_ns() + PATIENCE_NS;
	int r;

	do {
		r = say(vm, s, n, false, e);
		nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
	} while (r < 0 && !strcmp(err_name(e), "busy") && clock_mono_ns() < until);
	return r;
}

static bool from_clipboard;

/* What a VNC client cut there. */
static int clipboard(struct client *vm, char **text, struct err *e)
{
	json_t *res = NULL;
	int r = client_call(vm, &res, "clipboard", NULL, -1, VM_ANSWER_MS, e);

	if (r == 0)
		*text = xstrdup(json_string_value(json_object_get(res, "text")) ?: "");
	json_decref(res);
	return r;
}

/* All of it can be typed, or none is. */
static int type(struct client *vm, const char *arg, struct err *e)
{
	auto_free char *text = from_clipboard ? NULL : xstrdup(arg);
	int r = from_clipboard ? clipboard(vm, &text, e) : 0;
	size_t n;

	if (r < 0)
		return r;
	if (!from_clipboard)
		unescape(text);
	for (const char *s = text; r == 0 && *s; s += n)
		r = say(vm, s, n = piece(s, PIECE_LOOK), true, e);
	for (const char *s = text; r == 0 && *s; s += n)
		r = type_piece(vm, s, n = piece(s, PIECE), e);
	return r;
}

static const struct vm_option type_options[] = {
	{ "clipboard", NULL, N_("what a VNC client has copied to its clipboard, instead"), .on = &from_clipboard },
};

static const struct vm_command type_command = {
	.name = "type",
	.options = type_options,
	.noptions = ARRAY_LEN(type_options),
	.instead = &from_clipboard,
	.usage = N_("Usage: mica type --control PATH TEXT|--clipboard\n"
		    "Type a text at the virtual machine's keyboard, as on an American one.\n"
		    "In the text \\n is Enter, \\t Tab, \\\\ a backslash.\n\n"),
	.word = MSG("no text: say what is to be typed"),
	.run = type,
};

/* ---- sendkey ---- */

static bool is_key(const char *s, size_t n)
{
	static const char *const compound[] = { "right-shift", "right-ctrl", "right-alt", "right-super", "caps-lock",
						"num-lock",    "page-up",    "page-down", "scroll-lock" };

	for (size_t i = 0; i < ARRAY_LEN(compound); i++)
		if (strlen(compound[i]) == n && !strncasecmp(compound[i], s, n))
			return true;
	return n > 7 && !strncasecmp(s, "keypad-", 7);
}

/* Names are parted by '-', which some have in them: the longest one counts. "-" itself is called minus. */
static size_t key_name(const char *s)
{
	size_t one = strcspn(s, "-"), two = s[one] ? one + 1 + strcspn(s + one + 1, "-") : one;

	return is_key(s, two) ? two : one;
}

static int sendkey(struct client *vm, const char *arg, struct err *e)
{
	json_t *keys = json_array(), *res = NULL;

	for (const char *s = arg; *s;) {
		size_t n = key_name(s);
		if (json_array_append_new(keys, json_stringn(s, n)) < 0) {
			json_decref(keys);
			return err_set(e, EILSEQ, "the text is not valid UTF-8");
		}
		s += n + (s[n] == '-');
	}
	int r = client_call(vm, &res, "sendkey", json_pack("{s:o}", "keys", keys), -1, VM_ANSWER_MS, e);
	json_decref(res);
	return r;
}

static const struct vm_command sendkey_command = {
	.name = "sendkey",
	.usage = N_("Usage: mica sendkey --control PATH KEY[-KEY]...\n"
		    "Press keys of the virtual machine's keyboard together, as ctrl-alt-delete, alt-f2, hangul.\n"
		    "A key is a character of it, or its name: see mica-sendkey(1).\n\n"),
	.word = MSG("no key: say which are pressed"),
	.run = sendkey,
};

/* ---- the three ---- */

void screenshot_help(FILE *f)
{
	vm_command_help(&screenshot, f);
}

void type_help(FILE *f)
{
	vm_command_help(&type_command, f);
}

void sendkey_help(FILE *f)
{
	vm_command_help(&sendkey_command, f);
}

int cmd_screenshot(int argc, char **argv)
{
	return vm_command_main(&screenshot, argc, argv);
}

int cmd_type(int argc, char **argv)
{
	return vm_command_main(&type_command, argc, argv);
}

int cmd_sendkey(int argc, char **argv)
{
	return vm_command_main(&sendkey_command, argc, argv);
}
