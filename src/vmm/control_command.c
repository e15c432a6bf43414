/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control_command.c - what clients of the control socket may ask for. docs/control-socket.md lists the commands and the
 * names of errors; a test compares both with the tables here.
 */
#include "base/i18n.h"
#include "vmm/control_int.h"
#include "vmm/err_json.h"
#include "vmm/exit_status.h"

#include <fcntl.h>
#include <sys/stat.h>

#define VERSIONS_MAX 16

typedef json_t *command_fn(struct control_client *cl, const json_t *req, struct err *e);
json_t control_later;

json_t *control_fail(struct err *e, const char *name)
{
	err_named(e, name);
	return NULL;
}

/* ---- the VM ---- */

static json_t *cmd_status(struct control_client *cl, const json_t *req, struct err *e)
{
	return vm_status_json(cl->c->vm);
}

static json_t *cmd_promise(struct control_client *cl, const json_t *req, struct err *e)
{
	return vm_promise_json(cl->c->vm);
}

static json_t *cmd_stats(struct control_client *cl, const json_t *req, struct err *e)
{
	return vm_stats_json(cl->c->vm);
}

static json_t *cmd_stop(struct control_client *cl, const json_t *req, struct err *e)
{
	vm_power_button(cl->c->vm);
	return json_object();
}

static json_t *cmd_break(struct control_client *cl, const json_t *req, struct err *e)
{
	vm_break(cl->c->vm);
	return json_object();
}

static json_t *cmd_reset(struct control_client *cl, const json_t *req, struct err *e)
{
	vm_ask(cl->c->vm, VM_RESET, 0);
	return json_object();
}

/* A VM whose state has just been saved does not end, it moves. */
static json_t *cmd_quit(struct control_client *cl, const json_t *req, struct err *e)
{
	vm_ask(cl->c->vm, VM_QUIT, vm_held(cl->c->vm) ? STATUS_OK : STATUS_QUIT);
	return json_object();
}

static json_t *cmd_balloon(struct control_client *cl, const json_t *req, struct err *e)
{
	if (!vm_balloon(cl->c->vm, (u64)json_integer_value(json_object_get(req, "bytes")))) {
		err_set(e, ERANGE, "balloon: bytes: more than the guest has");
		return NULL;
	}
	return json_object();
}

/* ---- media ---- */

static json_t *cmd_eject(struct control_client *cl, const json_t *req, struct err *e)
{
	const char *id = json_string_value(json_object_get(req, "device"));

	return vm_eject(cl->c->vm, id, json_is_true(json_object_get(req, "force")), e) < 0 ? NULL : json_object();
}

static json_t *cmd_insert(struct control_client *cl, const json_t *req, struct err *e)
{
	const char *id = json_string_value(json_object_get(req, "device"));
	const char *path = json_string_value(json_object_get(req, "path"));
	int fd = steal_fd(&cl->passed);

	if (fd < 0) {
		err_set(e, EBADF, "insert: no file came along: pass its descriptor with the command (SCM_RIGHTS)");
		return control_fail(e, "no-descriptor");
	}
	if (*path != '/') {
		close(fd);
		err_set(e, EINVAL, "insert: path: '%.200s' is not absolute", path);
		return NULL;
	}
	return vm_insert(cl->c->vm, id, json_is_true(json_object_get(req, "force")), fd, path, e) < 0 ? NULL
												      : json_object();
}

/* ---- saving ---- */

static void on_saved(void *opaque, const struct err *e, u64 file_bytes, u64 memory_bytes)
{
	struct control *c = opaque;
	struct control_client *cl = c->saver;

	if (!cl) { /* it went away meanwhile: nobody will make the file safe */
		if (!e)
			vm_release(c->vm);
		return;
	}
	json_t *id = steal(&cl->id);
	cl->waiting = false;
	if (e)
		c->saver = NULL;
	control_answer(
	    cl, id,
	    e ? NULL
	      : json_pack("{s:I s:I}", "file_bytes", (json_int_t)file_bytes, "memory_bytes", (json_int_t)memory_bytes),
	    e);
	json_decref(id);
	control_go_on(cl);
}

static json_t *cmd_save(struct control_client *cl, const json_t *req, struct err *e)
{
	struct stat st;
	int fd = steal_fd(&cl->passed);

	if (fd < 0) {
		err_set(e, EBADF, "save: no file came along: pass its descriptor with the command (SCM_RIGHTS)");
		return control_fail(e, "no-descriptor");
	}
	if (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) ||
	    (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) {
		close(fd);
		err_set(e, EINVAL, "save: the descriptor is not a regular file, pipe or socket that can be written");
		return control_fail(e, "wrong-kind");
	}
	int r = cl->c->saver ? err_set(e, EBUSY, "save: the VM is being saved already")
			     : vm_save(cl->c->vm, fd, on_saved, cl->c, e);
	if (r < 0) {
		close(fd);
		return NULL;
	}
	cl->c->saver = cl;
	cl->waiting = true;
	cl->id = json_incref(json_object_get(req, "id"));
	control_go_on(cl);
	return &control_later;
}

static json_t *cmd_resume(struct control_client *cl, const json_t *req, struct err *e)
{
	if (!vm_held(cl->c->vm)) {
		err_set(e, EINVAL, "resume: the VM is not paused");
		return control_fail(e, "not-paused");
	}
	cl->c->saver = NULL;
	vm_release(cl->c->vm);
	return json_object();
}

/* ---- the protocol ---- */

static json_t *command_names(void);

static json_t *event_names(u32 which)
{
	json_t *names = json_array();

	for (unsigned i = 0; control_event_name(i); i++)
		if (which & 1u << i)
			json_array_append_new(names, json_string(control_event_name(i)));
	return names;
}

static json_t *cmd_hello(struct control_client *cl, const json_t *req, struct err *e)
{
	const json_t *versions = json_object_get(req, "versions");
	bool ours = !versions;

	for (size_t i = 0; i < json_array_size(versions); i++)
		ours |= json_integer_value(json_array_get(versions, i)) == CONTROL_VERSION;
	if (!ours) {
		err_set(
		    e, EPROTONOSUPPORT,
		    "hello: this VM speaks version %d of the protocol, and none of those that were offered; use the "
		    "mica of version %s",
		    CONTROL_VERSION, MICA_VERSION);
		return control_fail(e, "bad-version");
	}
	cl->hello = true;
	return json_pack("{s:i s:[i] s:s s:o s:o s:i s:i}", "version", CONTROL_VERSION, "versions", CONTROL_VERSION,
			 "mica", MICA_VERSION, "commands", command_names(), "events", event_names(~0u), "line_max",
			 CONTROL_LINE_MAX, "queue_max", (int)CONTROL_OUT_MAX);
}

static json_t *cmd_subscribe(struct control_client *cl, const json_t *req, struct err *e)
{
	const json_t *wanted = json_object_get(req, "events");
	u32 mask = wanted ? 0 : ~0u;

	for (size_t i = 0; i < json_array_size(wanted); i++) {
		const char *name = json_string_value(json_array_get(wanted, i));
		unsigned k = 0;

		while (control_event_name(k) && strcmp(control_event_name(k), name))
			k++;
		if (!control_event_name(k)) {
			err_set(e, EINVAL, "subscribe: %.64s: no such event; hello lists those there are", name);
			return control_fail(e, "unknown-event");
		}
		mask |= 1u << k;
	}
	cl->events = mask;
	control_watch(cl->c);
	return json_pack("{s:o s:o}", "events", event_names(mask), "status", vm_status_json(cl->c->vm));
}

/* ---- the table ---- */

enum arg_type { ARG_COUNT, ARG_COUNTS, ARG_STRING, ARG_STRINGS, ARG_SWITCH };

/* Which drive, and whether its lock counts. */
#define DRIVE \
	{ "device", ARG_STRING, false }, \
	{ \
		"force", ARG_SWITCH, false \
	}

static const struct command {
	const char *name;
	command_fn *fn;
	struct {
		const char *name;
		enum arg_type type;
		bool needed;
	} args[3];
} commands[] = {
	{ "hello", cmd_hello, { { "versions", ARG_COUNTS, false }, { "client", ARG_STRING, false } } },
	{ "subscribe", cmd_subscribe, { { "events", ARG_STRINGS, false } } },
	{ "status", cmd_status, { { NULL } } },
	{ "stats", cmd_stats, { { NULL } } },
	{ "promise", cmd_promise, { { NULL } } },
	{ "stop", cmd_stop, { { NULL } } },
	{ "break", cmd_break, { { NULL } } },
	{ "reset", cmd_reset, { { NULL } } },
	{ "quit", cmd_quit, { { NULL } } },
	{ "balloon", cmd_balloon, { { "bytes", ARG_COUNT, true } } },
	{ "eject", cmd_eject, { DRIVE } },
	{ "insert", cmd_insert, { { "path", ARG_STRING, true }, DRIVE } },
	{ "save", cmd_save, { { NULL } } },
	{ "resume", cmd_resume, { { NULL } } },
	{ "screenshot", control_cmd_screenshot, { { NULL } } },
	{ "screen-text", control_cmd_screen_text, { { NULL } } },
	{ "clipboard", control_cmd_clipboard, { { NULL } } },
	{ "sendkey", control_cmd_sendkey, { { "keys", ARG_STRINGS, true } } },
	{ "type", control_cmd_type, { { "text", ARG_STRING, true }, { "look", ARG_SWITCH, false } } },
};

static json_t *command_names(void)
{
	json_t *names = json_array();

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		json_array_append_new(names, json_string(commands[i].name));
	return names;
}

static bool is_count(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= 0;
}

static bool all(const json_t *v, bool counts)
{
	if (!json_is_array(v) || json_array_size(v) > VERSIONS_MAX)
		return false;
	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *item = json_array_get(v, i);
		if (counts ? !is_count(item) : !json_is_string(item))
			return false;
	}
	return true;
}

static bool has_type(const json_t *v, enum arg_type type)
{
	switch (type) {
	case ARG_COUNT:
		return is_count(v);
	case ARG_STRING:
		return json_is_string(v);
	case ARG_COUNTS:
		return all(v, true);
	case ARG_STRINGS:
		return all(v, false);
	case ARG_SWITCH:
		return json_is_boolean(v);
	}
	return false;
}

static bool check_args(const struct command *cmd, const json_t *req, struct err *e)
{
	static const char *const want[] = {
		[ARG_COUNT] = MSG("not a whole number"), [ARG_COUNTS] = MSG("not a list of at most 16 whole numbers"),
		[ARG_STRING] = MSG("not a string"),      [ARG_STRINGS] = MSG("not a list of at most 16 strings"),
		[ARG_SWITCH] = MSG("not true or false"),
	};

	for (size_t i = 0; i < ARRAY_LEN(cmd->args) && cmd->args[i].name; i++) {
		const json_t *v = json_object_get(req, cmd->args[i].name);
		if (v ? has_type(v, cmd->args[i].type) : !cmd->args[i].needed)
			continue;
		err_set(e, EINVAL, "%s: %s: %s", cmd->name, cmd->args[i].name, want[cmd->args[i].type]);
		err_named(e, "bad-argument");
		return false;
	}
	return true;
}

static json_t *run_command(struct control_client *cl, const json_t *req, struct err *e)
{
	const char *name = json_string_value(json_object_get(req, "command"));

	if (!name) {
		err_set(e, EINVAL, "no command: send {\"command\": NAME}");
		return control_fail(e, "no-command");
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (!strcmp(commands[i].name, name))
			return check_args(&commands[i], req, e) ? commands[i].fn(cl, req, e) : NULL;
	err_set(e, ENOSYS, "%.64s: no such command; hello lists those there are", name);
	return control_fail(e, "unknown-command");
}

void control_obey(struct control_client *cl, const char *line, size_t len)
{
	struct err e;
	json_error_t je;
	json_t *req = json_loadb(line, len, JSON_REJECT_DUPLICATES, &je), *res = NULL;

	if (!json_is_object(req)) {
		if (req)
			err_set(&e, EINVAL, "not a JSON object, but another value: send {\"command\": NAME}");
		else
			err_set(&e, EINVAL, "not a JSON object (at byte %d): send {\"command\": NAME} in one line",
				je.position);
		err_named(&e, "bad-json");
	} else {
		res = run_command(cl, req, &e);
	}
	if (res != &control_later)
		control_answer(cl, json_object_get(req, "id"), res, &e);
	json_decref(req);
}
