/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm.h - one VM: put together from a configuration, run, reset, ended.
 *
 * Threads: one per vCPU (vcpu0, ...), and the loop's, which is the caller's. Everything here but
 * vm_ask() is called on the loop's thread.
 */
#ifndef MICA_VM_H
#define MICA_VM_H

#include "base/loop.h"
#include "vmm/config.h"
#include "vmm/vm_event.h"

struct net_backend; /* net/net.h */
struct vnc_link;    /* vnc/vnc.h */
struct vm;

/* What ends or restarts a VM, whoever wants it. */
enum vm_ask { VM_NOTHING, VM_POWEROFF, VM_RESET, VM_TRIPLE_FAULT, VM_DEBUG_EXIT, VM_ENGINE_FAILED, VM_QUIT };

/* Open and build all that cfg names (borrowed, outlives the VM, which keeps the names of its media in it; so do nets,
 * what is behind its cards) and put the kernel into memory. Failing leaves nothing. *status: what to exit with then. fn
 * is the first listener (vm_event.h): it hears how far a restore is. */
int vm_new(struct vm **out, struct loop *loop, struct vmm_config *cfg, const struct net_backend *nets, vm_listen_fn *fn,
	   void *opaque, int *status, struct err *e);
/* Start the vCPU threads, parked: no guest instruction runs before vm_go(). vnc (borrowed, outlives the VM): who shows
 * its screen. */
int vm_start(struct vm *v, const struct vnc_link *vnc, struct err *e);
void vm_go(struct vm *v);
/* Any thread. All vCPUs are stopped, then it is done on the loop's thread; which of several wins is written in
 * gate.h. value: the byte of VM_DEBUG_EXIT, the exit status of VM_QUIT. */
void vm_ask(struct vm *v, enum vm_ask what, unsigned value);
/* After the loop has stopped: join, flush consoles and disks, print --stats. Returns the exit status. */
int vm_free(struct vm *v);

/*
 * Save the VM's state to fd (owned on success; a file, a pipe or a socket). The vCPUs are stopped first; done is called
 * from the loop afterwards, never from in here. When it was saved, the VM stays held (paused) until vm_release(), or
 * a wish of vm_ask() that ends it. e NULL: saved, so many bytes in the file, so many of guest memory.
 */
typedef void vm_saved_fn(void *opaque, const struct err *e, u64 file_bytes, u64 memory_bytes);
int vm_save(struct vm *v, int fd, vm_saved_fn *done, void *opaque, struct err *e);
/* Nobody waits for it any more: done says -ECANCELED, soon, unless it was saved already. */
void vm_save_give_up(struct vm *v);
bool vm_held(struct vm *v);
void vm_release(struct vm *v);

/* ---- for the control socket ---- */
/* What the screen shows, as PNG to fd, a regular file (owned on success); vm_screen.h. -ENODEV: there is no screen. */
typedef void vm_shot_fn(void *opaque, const struct err *e, unsigned width, unsigned height);
int vm_screenshot(struct vm *v, int fd, vm_shot_fn *done, void *opaque, struct err *e);
/* What the screen says where it shows text. -ENODEV: there is no screen; -ENODATA: it shows a picture. */
struct vm_text {
	unsigned columns, rows;
	char *text; /* UTF-8, a line for each row; the caller's to free() */
};
int vm_screen_text(struct vm *v, struct vm_text *out, struct err *e);
/* What a VNC client cut last: see vm_screen.h, vm_screen_cut(). -ENODEV: there is no screen. */
int vm_clipboard(struct vm *v, const char **text, struct err *e);
void vm_power_button(struct vm *v);
/* A break on the serial line. */
void vm_break(struct vm *v);
/* Memory the guest shall give back; false when bytes is more than it has. */
bool vm_balloon(struct vm *v, u64 bytes);
/* The CD-ROM with that id, NULL: the first. By force: also when the guest has locked it. fd: the medium, open for
 * reading and locked (block/image_lock.h), owned; path: its name. */
int vm_eject(struct vm *v, const char *id, bool force, struct err *e);
int vm_insert(struct vm *v, const char *id, bool force, int fd, const char *path, struct err *e);
/* Keys go down and up: keys of device/input/key.h, with KEY_DOWN or not; all of them or none. -ENODEV: there is no
 * keyboard; -EAGAIN: none that the guest listens to; -EBUSY: the guest has not taken those before. */
int vm_keys(struct vm *v, const u16 *events, unsigned n);
/* The pointer is at a place of the screen, as device/class.h's point() has it. False: the guest listens to nothing that
 * has places, vm_pointer() is what is left. */
bool vm_point(struct vm *v, unsigned x, unsigned y, int wheel, unsigned buttons);
/* The mouse moves; buttons: bits, left, right, middle. */
/* Who looks would like the screen to be so large. */
void vm_resize(struct vm *v, unsigned width, unsigned height);
void vm_pointer(struct vm *v, int dx, int dy, int wheel, unsigned buttons);
/* Requests of its disk i that the host failed so far; false: there is no such disk. */
bool vm_disk_errors(struct vm *v, unsigned i, u64 *errors);
/* "connected"; of a disk on a server also "reconnecting" and "failed". */
const char *vm_disk_connection(struct vm *v, unsigned i);
/* New references. */
json_t *vm_status_json(struct vm *v);
/* What its CPUs were promised (cpu_promise_json.h). */
json_t *vm_promise_json(struct vm *v);
json_t *vm_stats_json(struct vm *v);

#endif
