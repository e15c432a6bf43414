/* SPDX-License-Identifier: GPL-2.0-or-later */
/* screen.c - mica screenshot, type, sendkey: look at what a running VM shows, and type at it. */
#include "base/clock.h"
#include "base/err.h"
#include "base/i18n.h"
#include "cli/cmd.h"
#include "client/client.h"
#include "vmm/exit_status.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

#define ANSWER_MS 30000
/* A BIOS keeps 15 keys for who asks for them: so many characters go at once, then there is a pause. */
#define PIECE 8
#define PAUSE_NS 20000000
#define PATIENCE_NS (30 * NSEC_PER_SEC) /* with a guest that takes none */

void screenshot_help(FILE *f)
{
	fprintf(f, _("Usage: mica screenshot CONTROL FILE.png\n"
		     "  or:  mica screenshot CONTROL --text\n"
		     "Make a picture of what the virtual machine's screen shows, as PNG.\n\n"
		     "  CONTROL             control socket of the VM (mica run --control PATH --display vga)\n"
		     "  FILE.png            where the picture goes; an older file is replaced\n"
		     "  --text              print what a screen in text mode says\n"));
}

void type_help(FILE *f)
{
	fprintf(f, _("Usage: mica type CONTROL TEXT\n"
		     "Type a text at the virtual machine's keyboard, as on an American one.\n\n"
		     "  CONTROL             control socket of the VM (mica run --control PATH --display vga)\n"
		     "  TEXT                what to type; \\n is Enter, \\t Tab, \\\\ a backslash\n"));
}

void sendkey_help(FILE *f)
{
	fprintf(f, _("Usage: mica sendkey CONTROL KEY[-KEY]...\n"
		     "Press keys of the virtual machine's keyboard together, as ctrl-alt-delete, alt-f2, hangul.\n\n"
		     "  CONTROL             control socket of the VM (mica run --control PATH --display vga)\n"
		     "  KEY                 a character of the key, or its name: see mica-sendkey(1)\n"));
}

/* ---- screenshot ---- */

static int read_text(struct client *vm, struct err *e)
{
	json_t *res = NULL;
	int r = client_call(vm, &res, "screen-text", NULL, -1, ANSWER_MS, e);

	if (r == 0) {
		const char *text = json_string_value(json_object_get(res, "text"));
		if (!text || fputs(text, stdout) == EOF || fflush(stdout) == EOF)
			r = err_sys(e, errno, "standard output");
	}
	json_decref(res);
	return r;
}

/* Under the name there is either a whole picture or what was there before. */
static int shoot(struct client *vm, const char *path, struct err *e)
{
	if (!strcmp(path, "--text"))
		return read_text(vm, e);
	auto_free char *temp = xasprintf("%s.XXXXXX", path);
	auto_close int fd = mkostemp(temp, O_CLOEXEC);
	json_t *res = NULL;
	mode_t mask = umask(0);

	umask(mask);
	if (fd < 0)
		return err_sys(e, errno, "%s: cannot make a file there", path);
	int r = client_call(vm, &res, "screenshot", NULL, fd, ANSWER_MS, e);
	json_decref(res);
	if (r == 0 && (fchmod(fd, 0666 & ~mask) < 0 || rename(temp, path) < 0))
		r = err_sys(e, errno, "%s", path);
	if (r < 0)
		unlink(temp);
	return r;
}

/* ---- type ---- */

/* Ends of characters: where the next piece of at most PIECE of them begins. */
static size_t piece(const char *s)
{
	size_t n = 0;

	for (unsigned i = 0; s[n] && i < PIECE; i++)
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

static int type_piece(struct client *vm, const char *s, size_t n, struct err *e)
{
	u64 until = clock_mono_ns() + PATIENCE_NS;
	int r;

	do {
		json_t *text = json_stringn(s, n), *res = NULL;
		if (!text)
			return err_set(e, EILSEQ, "the text is not valid UTF-8");
		r = client_call(vm, &res, "type", json_pack("{s:o}", "text", text), -1, ANSWER_MS, e);
		json_decref(res);
		nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
	} while (r < 0 && !strcmp(err_name(e), "busy") && clock_mono_ns() < until);
	return r;
}

static int type(struct client *vm, const char *arg, struct err *e)
{
	auto_free char *text = xstrdup(arg);
	int r = 0;

	unescape(text);
	for (const char *s = text; r == 0 && *s;) {
		size_t n = piece(s);
		r = type_piece(vm, s, n, e);
		s += n;
	}
	return r;
}

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
	int r = client_call(vm, &res, "sendkey", json_pack("{s:o}", "keys", keys), -1, ANSWER_MS, e);
	json_decref(res);
	return r;
}

/* ---- what they share ---- */

static int with_vm(int argc, char **argv, void (*help)(FILE *f),
		   int (*fn)(struct client *vm, const char *arg, struct err *e))
{
	struct client *vm = NULL;
	struct client_peer peer;
	struct err e;

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		help(stdout);
		return STATUS_OK;
	}
	if (argc != 3 || argv[1][0] == '-') {
		fprintf(stderr, _("mica %s: takes two words and no option; see mica %s --help\n"), argv[0], argv[0]);
		return STATUS_USAGE;
	}
	int r = client_connect(&vm, argv[1], &e);
	if (r == 0 && (r = client_hello(vm, &peer, ANSWER_MS, &e)) == 0) {
		client_peer_fini(&peer);
		r = fn(vm, argv[2], &e);
	}
	client_free(vm);
	if (r < 0) {
		fprintf(stderr, "mica %s: %s\n", argv[0], err_local(&e));
		return STATUS_HOST;
	}
	return STATUS_OK;
}

int cmd_screenshot(int argc, char **argv)
{
	return with_vm(argc, argv, screenshot_help, shoot);
}

int cmd_type(int argc, char **argv)
{
	return with_vm(argc, argv, type_help, type);
}

int cmd_sendkey(int argc, char **argv)
{
	return with_vm(argc, argv, sendkey_help, sendkey);
}
