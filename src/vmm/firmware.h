/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * firmware.h - which firmware a VM starts with: chosen by what is to be booted, its files found and opened, before the
 * sandbox shuts. docs/firmware.md says what each is.
 */
#ifndef MICA_VMM_FIRMWARE_H
#define MICA_VMM_FIRMWARE_H

#include "machine/machine.h"
#include "vmm/config.h"

/* Make c->firmware another word than "auto": "none", "bios", "uefi" or a file's name; say what was looked for when
 * nothing was found. Reads the beginning of disks. */
int firmware_choose(struct vmm_config *c, struct err *e);

struct firmware_files {
	struct firmware_image image; /* its bytes are these, its file this descriptor */
	u8 *code, *vars;
	int vars_fd;
};

/*
 * Read what c names; c->firmware is chosen. *any: there is one. The variables' file is made where there is none yet, of
 * the package's template. What was read stays so until firmware_read_done(), the descriptor until firmware_close().
 */
int firmware_open(struct firmware_files *f, const struct vmm_config *c, bool *any, struct err *e);
void firmware_read_done(struct firmware_files *f);
void firmware_close(struct firmware_files *f);

/* Files for firmware to read (--fw-cfg), into the machine. */
int firmware_add_files(struct machine *m, const struct vmm_config *c, struct err *e);

#endif
