/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fake_vm.h - a VM for the control socket, that notes what it is asked and says what a test wants. */
#ifndef MICA_FAKE_VM_H
#define MICA_FAKE_VM_H

#include "vmm/control.h"
#include "vmm/vm.h"
#include "vmm/vm_event.h"

struct vm {
	enum vm_ask asked;
	unsigned value, buttons, breaks;
	bool no_screen, picture;
	u64 balloon, disk_errors[2];
	const char *disk_connection[2]; /* NULL: "connected" */
	char medium[64]; /* "device path force" of the last one */
	vm_listen_fn *listen;
	void *listen_opaque;
};

void vm_ask(struct vm *v, enum vm_ask what, unsigned value)
{
	v->asked = what;
	v->value = value;
}
void vm_power_button(struct vm *v)
{
	v->buttons++;
}
void vm_break(struct vm *v)
{
	v->breaks++;
}
bool vm_balloon(struct vm *v, u64 bytes)
{
	if (bytes > 1000)
		return false;
	v->balloon = bytes;
	return true;
}
int vm_eject(struct vm *v, const char *id, bool force, struct err *e)
{
	snprintf(v->medium, sizeof(v->medium), "%s - %d", id ? id : "-", force);
	return 0;
}
int vm_insert(struct vm *v, const char *id, bool force, int fd, const char *path, struct err *e)
{
	close(fd);
	snprintf(v->medium, sizeof(v->medium), "%s %s %d", id ? id : "-", path, force);
	return 0;
}
bool vm_disk_errors(struct vm *v, unsigned i, u64 *errors)
{
	if (i >= 2)
		return false;
	*errors = v->disk_errors[i];
	return true;
}
const char *vm_disk_connection(struct vm *v, unsigned i)
{
	return v->disk_connection[i] ? v->disk_connection[i] : "connected";
}
void vm_listen(struct vm *v, vm_listen_fn *fn, void *opaque)
{
	v->listen = fn;
	v->listen_opaque = opaque;
}
json_t *vm_status_json(struct vm *v)
{
	return json_pack("{s:s}", "state", "running");
}
json_t *vm_promise_json(struct vm *v)
{
	return json_pack("{s:s}", "vendor", "x");
}
json_t *vm_stats_json(struct vm *v)
{
	return json_pack("{s:i}", "blocks", 7);
}

static u16 keys[4096];
static unsigned nkeys;
int vm_keys(struct vm *v, const u16 *events, unsigned n)
{
	if (v->no_screen)
		return -ENODEV;
	if (n > ARRAY_LEN(keys) - nkeys)
		return -EBUSY;
	memcpy(keys + nkeys, events, n * sizeof(*events));
	nkeys += n;
	return 0;
}

static bool held;
static unsigned released, given_up;
static int save_fd = -1;
static vm_saved_fn *save_done;
static void *save_opaque;

int vm_save(struct vm *v, int fd, vm_saved_fn *done, void *opaque, struct err *e)
{
	save_fd = fd;
	save_done = done;
	save_opaque = opaque;
	return 0;
}
void vm_save_give_up(struct vm *v)
{
	given_up++;
}
bool vm_held(struct vm *v)
{
	return held;
}
void vm_release(struct vm *v)
{
	released++;
	held = false;
}

static int shot_fd = -1;
static vm_shot_fn *shot_done;
static void *shot_opaque;

int vm_screenshot(struct vm *v, int fd, vm_shot_fn *done, void *opaque, struct err *e)
{
	if (v->no_screen)
		return err_set(e, ENODEV, "no screen");
	shot_fd = fd;
	shot_done = done;
	shot_opaque = opaque;
	return 0;
}

int vm_screen_text(struct vm *v, struct vm_text *out, struct err *e)
{
	if (v->no_screen)
		return err_set(e, ENODEV, "no screen");
	if (v->picture)
		return err_set(e, ENODATA, "a picture");
	*out = (struct vm_text){ .columns = 80, .rows = 25, .text = xstrdup("C:\\>\n") };
	return 0;
}

int vm_clipboard(struct vm *v, const char **text, struct err *e)
{
	if (v->no_screen)
		return err_set(e, ENODEV, "no screen");
	*text = v->picture ? "\xff" : "a\n\xea\xb0\x80";
	return 0;
}

/* Something happens to it. */
static void happens(struct vm *v, const struct vm_event *ev)
{
	if (v->listen)
		v->listen(v->listen_opaque, ev);
}

#endif
