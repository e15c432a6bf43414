/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * format.h - the formats of disks: one row each in format.c, and a file that opens it.
 *
 * Images that have to be parsed (qcow2, vmdk, ...) are opened by a process of their own (image_node.c). Their rows here
 * are names and signs only, so that nothing that parses an image is linked into a VM's process; the formats themselves
 * are src/image's, and a test compares the two tables.
 *
 * A format makes one layer: over a host file or a connection, or over another layer that is there already (below).
 * Options that only it has are in its own table, with help for people.
 */
#ifndef MICA_BLOCK_FORMAT_H
#define MICA_BLOCK_FORMAT_H

#include "block/node.h"

#define BLK_PROBE_BYTES 512u

struct hostio;

struct blk_format_option {
	const char *name, *values, *help; /* "direct", "on|off", "..." */
};

/* What it is opened with. */
struct blk_open {
	const struct blk_format *format;
	bool sure;                  /* a person said so, or the file's name does; else it looks like it */
	const struct blk_params *p; /* options are among the format's own */
	struct blk_queue *q;
	struct hostio *io;
	struct blk_node *below; /* a layer's; taken over as child[0] when it was opened */
};

struct blk_format {
	const char *name;
	const char *title;
	bool layer;                              /* it is put over another */
	const struct blk_format_option *options; /* up to one without a name; may be NULL */
	/* Do these, the image's first, say so? NULL: they never do. */
	bool (*probe)(const u8 *head, size_t bytes);
	bool (*probe_tail)(const u8 tail[BLK_PROBE_BYTES]); /* or its last, if its name fits */
	const char *extensions;                             /* "vhd,vpc": its images' names end so; NULL: any way */
	/* NULL: known by sight only. */
	int (*open)(struct blk_node **out, const struct blk_open *o, struct err *e);
};

/* NULL: none has that name. */
const struct blk_format *blk_format_find(const char *name);
/* The i-th, NULL behind the last. */
const struct blk_format *blk_format_at(unsigned i);
/* The names of those that can be opened (and are a layer, or not), ", " between. */
void blk_format_names(char *buf, size_t room, bool layer);
/* The one whose sign the image bears; NULL: none. tail: its last BLK_PROBE_BYTES, NULL if it is shorter. */
const struct blk_format *blk_format_probe(const char *path, const u8 *head, size_t bytes, const u8 *tail);
/* All options are the format's; on|off. */
int blk_options_check(const struct blk_format *f, const struct blk_params *p, struct err *e);
/* NULL: it is not given. */
const char *blk_option(const struct blk_params *p, const char *name);
int blk_option_switch(const struct blk_params *p, const char *name, bool *v, struct err *e);

/* As blk_open(), of a format that need not be in the table. */
int blk_open_format(struct blk **out, struct loop *loop, const struct blk_format *f, const struct blk_params *p,
		    struct err *e);

/* ---- rows: each is at the end of the file that opens it ---- */
extern const struct blk_format blk_format_raw, blk_format_overlay;
/* Not in the table: what a drive has that has no medium. */
extern const struct blk_format blk_format_empty;
/* Nor is this: a disk on the network, known by its address (netdisk/netdisk.h). */
extern const struct blk_format blk_format_netdisk;
/* image_node.c: what all images that are parsed are opened by. */
extern const struct blk_format_option image_node_options[];
int image_node_open(struct blk_node **out, const struct blk_open *o, struct err *e);
/* raw.c: an unlinked, sparse temporary file of that size, all zeros. */
int raw_open_temp(struct blk_node **out, struct blk_queue *q, struct hostio *io, u64 bytes, struct err *e);

#endif
