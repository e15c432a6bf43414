/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boot_files.h - kernel, initrd and modules of a VM: opened once, before the sandbox shuts, and read at every boot.
 *
 * The loaders (machine/boot.h) ask for a file by the path they were given. It is found by exactly that path.
 */
#ifndef MICA_BOOT_FILES_H
#define MICA_BOOT_FILES_H

#include "vmm/config.h"

struct boot_files {
	struct boot_file_open {
		char *path; /* of a module: without its arguments */
		int fd;
	} * file;
	unsigned n;
};

/* Open all that c names. On failure, what was opened stays so until boot_files_close(). */
int boot_files_open(struct boot_files *f, const struct vmm_config *c, struct err *e);
void boot_files_close(struct boot_files *f);
/* For struct boot_params.open, opaque being the struct boot_files: a descriptor of its own, at the file's beginning. */
int boot_files_hand_out(void *opaque, const char *path);

#endif
