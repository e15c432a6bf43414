/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control_int.h - between the files of the control socket: control.c (clients and their bytes), control_command.c (what
 * they may ask for), control_event.c (what they are told). */
#ifndef MICA_CONTROL_INT_H
#define MICA_CONTROL_INT_H

#include "vmm/control.h"
#include "vmm/vm.h"
#include "vmm/vm_event.h"

struct control_client {
	struct control *c;
	struct loop_fd lf;
	int fd; /* -1: free slot */
	enum control_role role;
	bool hello;    /* it said hello: its answers come in any order */
	bool waiting;  /* for the answer to a save; `id` is its */
	bool shooting; /* for the answer to a screenshot; control.shot_id is its */
	json_t *id;
	u32 events; /* it subscribed to: bits by enum vm_event_kind */
	int passed; /* a descriptor that came with a line; -1: none */
	size_t len;
	char line[CONTROL_LINE_MAX];
	char *out; /* what it has not taken yet */
	size_t out_len, out_room;
};

struct control {
	struct loop *loop;
	struct vm *vm;
	struct loop_fd lf;
	int listen_fd;
	struct control_client *saver;   /* a save is under way for it, or the VM is held for it */
	struct control_client *shooter; /* a screenshot is being made for it */
	json_t *shot_id;
	struct control_client clients[CONTROL_CLIENTS_MAX];
	struct loop_timer watch; /* disks, while somebody wants to hear of them */
	bool watching;
	u64 disk_errors[VMM_DISKS_MAX];
	const char *disk_connection[VMM_DISKS_MAX]; /* likewise */
};

/* ---- control.c ---- */

/* Send an object as a line; it is taken over. */
void control_send(struct control_client *cl, json_t *o);
/* Answer the request with that id (NULL: none). res is taken over; NULL: *e says why. */
void control_answer(struct control_client *cl, const json_t *id, json_t *res, const struct err *e);
/* The client waited, and does no longer: carry out what it sent meanwhile. */
void control_go_on(struct control_client *cl);

/* ---- control_command.c ---- */

/* A request, as it came; it answers, now or later. */
void control_obey(struct control_client *cl, const char *line, size_t len);

/* What a command returns: a new reference, NULL with *e set, or this: the answer comes when it is known. */
extern json_t control_later;
/* Call it by a name of docs/control-socket.md; NULL. */
json_t *control_fail(struct err *e, const char *name);

/* ---- control_screen.c ---- */
json_t *control_cmd_screen_text(struct control_client *cl, const json_t *req, struct err *e);
json_t *control_cmd_screenshot(struct control_client *cl, const json_t *req, struct err *e);

/* ---- control_keys.c ---- */
json_t *control_cmd_sendkey(struct control_client *cl, const json_t *req, struct err *e);
json_t *control_cmd_clipboard(struct control_client *cl, const json_t *req, struct err *e);
json_t *control_cmd_type(struct control_client *cl, const json_t *req, struct err *e);

/* ---- control_event.c ---- */

/* NULL: no such event. */
const char *control_event_name(unsigned kind);
void control_on_event(void *opaque, const struct vm_event *ev);
/* What clients want to hear has changed. */
void control_watch(struct control *c);
void control_on_watch(void *opaque);

#endif
