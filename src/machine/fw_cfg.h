/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fw_cfg.h - what firmware is told of its machine: numbered items and named files, read through I/O ports
 * (QEMU's documentation, "QEMU Firmware Configuration (fw_cfg) Device").
 *
 *   510h      selector, 16 bits: which item, from its beginning
 *   511h      the next byte of it; zeros after its end
 *   514h-51bh address of a struct in guest memory that asks for a whole transfer; big-endian
 *
 * Files have keys from FW_CFG_FILE_FIRST on; item FW_CFG_FILE_DIR lists them. Nothing can be written by the guest.
 *
 * Threads: any. Items are added before vCPUs run; later only by `make` (below).
 */
#ifndef MICA_FW_CFG_H
#define MICA_FW_CFG_H

#include "base/err.h"
#include "base/ram.h"
#include "machine/bus.h"

struct fw_cfg;
struct state_file;

#define FW_CFG_RAM_SIZE 0x03
#define FW_CFG_NB_CPUS 0x05
#define FW_CFG_BOOT_MENU 0x0e
#define FW_CFG_MAX_CPUS 0x0f
#define FW_CFG_IRQ0_OVERRIDE 0x8002 /* of x86: the PIT's wire is at pin 2 of the I/O APIC */

#define FW_CFG_NAME_MAX 55          /* bytes of a file's name */
#define FW_CFG_FILES_MAX 64         /* of all files */
#define FW_CFG_FILE_BYTES (1 * MIB) /* of one */
#define FW_CFG_ALL_BYTES (3 * MIB)  /* of all: a saved state has them in one section */

int fw_cfg_new(struct fw_cfg **out, struct bus *bus, struct ram *ram);
void fw_cfg_free(struct fw_cfg *f);
void fw_cfg_reset(struct fw_cfg *f);

/* A numbered item; copied. */
void fw_cfg_item(struct fw_cfg *f, u16 key, const void *data, size_t bytes);
void fw_cfg_number(struct fw_cfg *f, u16 key, u64 v, unsigned bytes);
/* A file, or a file anew; copied. -ENOSPC, -E2BIG, -EINVAL: too many, too large, no such name. */
int fw_cfg_file(struct fw_cfg *f, const char *name, const void *data, size_t bytes, struct err *e);
/* Is there a file of that name? */
bool fw_cfg_has(struct fw_cfg *f, const char *name);

/*
 * Files whose content depends on what firmware has done so far. They are added as others, with a first content;
 * make() is called when the guest selects one of them for the first time after a reset, and gives them anew, of the
 * same length, by fw_cfg_make_file(): another length is left alone, it is of a VM that another version saved, and the
 * guest knows the old one. It runs on the vCPU's thread.
 */
void fw_cfg_late(struct fw_cfg *f, const char *const *names, void (*make)(void *opaque), void *opaque);
void fw_cfg_make_file(struct fw_cfg *f, const char *name, const void *data, size_t bytes);

/* Save or load a section, with all files: a restored VM has those it was saved with, by the same numbers, and behind
 * them what was added before that it had not. No vCPU runs. */
int fw_cfg_state(struct fw_cfg *f, struct state_file *s, struct err *e);

#endif
