/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link.h - messages between mica-image, the process that parses images, and who started it.
 *
 * One SOCK_SEQPACKET socket (base/helper.h). mica-image can name no file: each comes as a descriptor with a message.
 *
 *   starter                              mica-image
 *   SERVE (serve.h) or VERB (JSON) ───►  what it is to do
 *            ◄──── ASK                   an image names a file: may it be had?
 *   GIVEN or ERROR ───►                  (as often as images name files)
 *            ◄──── PROGRESS, LINE        verbs: how far, and what a person reads meanwhile
 *            ◄──── OPENED, RESULT or ERROR
 *
 * Files have numbers, which their starter gives: image_file.id in the process. Names are the starter's too: an image's
 * name in messages and in ASK is the path that came with its descriptor.
 *
 * Both ends believe the other hostile: what is read is checked for its length, and holds a 0 at its end.
 *
 * Threads: one at a time.
 */
#ifndef MICA_IMAGE_LINK_H
#define MICA_IMAGE_LINK_H

#include "base/base.h"
#include "base/err.h"
#include "image/image.h"

#include <sys/uio.h>

#define IMAGE_MSG_BYTES (64u * KIB)
#define IMAGE_MSG_FDS 16u
#define IMAGE_PATH_MAX 4096u

enum image_msg_kind {
	/* to mica-image: the first one says what to do */
	IMAGE_MSG_SERVE = 1, /* struct serve_open and the image's path; descriptors: the memory, the image */
	IMAGE_MSG_VERB,      /* JSON; descriptors: the files that it speaks of, in its order */
	IMAGE_MSG_FILE,      /* VERB's further files, if it says so; arg: its number, body: its path; one descriptor */
	IMAGE_MSG_GIVEN,     /* for ASK: struct image_given and the path; one descriptor; arg: its number */
	IMAGE_MSG_STOP,      /* give up the verb and undo what can be undone */
	/* from it */
	IMAGE_MSG_ASK,      /* struct image_ask, then two strings: path of the image, and what it names */
	IMAGE_MSG_OPENED,   /* struct serve_opened */
	IMAGE_MSG_PROGRESS, /* two u64: done, of how many */
	IMAGE_MSG_LINE,     /* a line for a person; arg: 0, or what the verb says of it */
	IMAGE_MSG_RESULT,   /* JSON, in as many messages as it takes; arg: more follow */
	/* both ways */
	IMAGE_MSG_ERROR, /* err_wire.h */
};

struct image_msg {
	u32 kind, arg;
	u32 bytes; /* of body, which has a 0 behind them */
	unsigned nfds;
	int fds[IMAGE_MSG_FDS]; /* the reader's; what it takes it sets to -1 */
	u8 body[IMAGE_MSG_BYTES + 1] __attribute__((aligned(8)));
};

struct image_ask {
	u32 want; /* enum image_want */
	u32 readonly;
	char format[16]; /* of a backing image, as its child says; "" it says none */
};

struct image_given {
	char format[16]; /* settled, or as it was */
};

/* fds stay the caller's. 0 or -errno. */
int image_link_send(int fd, u32 kind, u32 arg, const void *body, size_t bytes, const int *fds, unsigned nfds);
/* The parts of a body one after the other. */
int image_link_sendv(int fd, u32 kind, u32 arg, const struct iovec *iov, unsigned niov, const int *fds, unsigned nfds);
int image_link_send_err(int fd, const struct err *e);
/* Waits. What is in m->fds of before is closed. -EPIPE: the other end is gone; -EPROTO: it sends nonsense. Blocks. */
int image_link_recv(int fd, struct image_msg *m);
void image_msg_init(struct image_msg *m);
void image_msg_fini(struct image_msg *m);               /* closes descriptors that nobody has taken */
int image_msg_take_fd(struct image_msg *m, unsigned i); /* -1: there is none */
/* The string at `at` of the body, which ends within it; NULL: there is none. */
const char *image_msg_string(const struct image_msg *m, size_t at);

/* ---- in mica-image ---- */

/* An opener (image.h) that asks the other end. m: for its messages, its contents are lost. */
struct image_link_opener {
	struct image_opener o;
	int fd;
	struct image_msg *m;
};
void image_link_opener_init(struct image_link_opener *l, int fd, struct image_msg *m);

/* ---- in who started it ---- */

/* The files that were given so far; for a starter's answers. */
struct image_link_files {
	unsigned n;
	struct image_link_file {
		char *path;
		int fd; /* the starter's own, or -1 when it keeps none */
		bool readonly;
	} file[IMAGE_FILES_MAX];
};
void image_link_files_free(struct image_link_files *f); /* closes them */
/* Takes fd over. Returns the file's number, -EMFILE. */
int image_link_files_add(struct image_link_files *f, const char *path, int fd, bool readonly, struct err *e);

#endif
