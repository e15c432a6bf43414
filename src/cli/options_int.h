/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options_int.h - between options.c, the table, and options_device.c: what options about devices do. */
#ifndef MICA_OPTIONS_INT_H
#define MICA_OPTIONS_INT_H

#include "cli/options.h"

/* *where is another copy of s from now on. */
void options_put(char **where, const char *s);

int options_set_disk(struct run_opts *o, const char *arg, struct err *e);
int options_set_cdrom(struct run_opts *o, const char *arg, struct err *e);
int options_set_net(struct run_opts *o, const char *arg, struct err *e);
int options_set_device(struct run_opts *o, const char *arg, struct err *e);
int options_set_share(struct run_opts *o, const char *arg, struct err *e);
int options_set_tpm(struct run_opts *o, const char *arg, struct err *e);
int options_set_vsock(struct run_opts *o, const char *arg, struct err *e);
/* After the last option: what each alone could not see. */
int options_check_devices(const struct run_opts *o, struct err *e);

/* A line of help: `what` at the margin, `text` wrapped beside it. */
void options_help_line(FILE *f, const char *what, const char *text);
/* The classes of devices and their parameters. */
void options_help_devices(FILE *f);

#endif
