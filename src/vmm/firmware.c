/* SPDX-License-Identifier: GPL-2.0-or-later */
/* firmware.c - see firmware.h. */
#include "vmm/firmware.h"
#include "base/i18n.h"
#include "base/log.h"
#include "machine/fw_cfg.h"
#include "vmm/boot_look.h"

#include <fcntl.h>
#include <sys/stat.h>

#define BIOS_FILE "/usr/share/seabios/bios-256k.bin"

/* ---- which ---- */

int firmware_choose(struct vmm_config *c, struct err *e)
{
	enum boot_found found = BOOT_NOTHING;

	if (strcmp(c->firmware, "auto"))
		return 0;
	for (unsigned i = 0; !c->kernel && i < c->ndisks && found == BOOT_NOTHING; i++) {
		if (!c->disks[i].path[0]) /* a drive without a medium */
			continue;
		int r = boot_look(&found, c->disks[i].path, e);
		if (r < 0)
			return r;
	}
	if (!c->kernel && found == BOOT_NOTHING)
		return err_set(e, ENOENT,
			       "no disk can be booted from: looked for an EFI system partition, and for boot code in "
			       "the first sector, on %u disk(s), %s first; if it is there all the same, choose with "
			       "--firmware bios or uefi",
			       c->ndisks, c->disks[0].path);
	free(c->firmware);
	c->firmware = xstrdup(c->kernel ? "none" : found == BOOT_UEFI ? "uefi" : "bios");
	log_info(_("firmware: %s"), c->firmware);
	return 0;
}

/* ---- its files ---- */

static int read_image(u8 **out, u64 *bytes, const char *path, u64 most, struct err *e)
{
	struct stat st;
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "firmware %s: cannot open it", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "firmware %s: not a regular file", path);
	if (st.st_size == 0 || (u64)st.st_size > most)
		return err_set(e, EINVAL, "firmware %s: it has %llu bytes; at most %llu MiB will do", path,
			       (unsigned long long)st.st_size, (unsigned long long)(most / MIB));
	auto_free u8 *p = xcalloc(1, (size_t)st.st_size);
	for (off_t at = 0; at < st.st_size;) {
		ssize_t n = pread(fd, p + at, (size_t)(st.st_size - at), at);
		if (n <= 0)
			return err_sys(e, n < 0 ? errno : EIO, "firmware %s: cannot read it", path);
		at += n;
	}
	*bytes = (u64)st.st_size;
	*out = steal(&p);
	return 0;
}

/* What the option calls it comes from a Debian package, and may not be there. */
static int packaged(const char *path, const char *package, struct err *e)
{
	if (access(path, R_OK) == 0)
		return 0;
	return err_set(e, ENOENT, "firmware: %s is not there; install the package %s", path, package);
}

int firmware_open(struct firmware_files *f, const struct vmm_config *c, bool *any, struct err *e)
{
	const char *path = c->firmware;
	int r = 0;

	memset(f, 0, sizeof(*f));
	*any = strcmp(path, "none") && !(c->kernel && !strcmp(path, "auto"));
	if (!*any)
		return 0;
	if (!strcmp(path, "bios")) {
		path = BIOS_FILE;
		r = packaged(path, "seabios", e);
	}
	f->image.name = path;
	if (r == 0)
		r = read_image(&f->code, &f->image.code_bytes, path, FIRMWARE_CODE_MAX, e);
	f->image.code = f->code;
	return r;
}

void firmware_close(struct firmware_files *f)
{
	free(f->code);
	memset(f, 0, sizeof(*f));
}

/* ---- files for it to read ---- */

int firmware_add_files(struct machine *m, const struct vmm_config *c, struct err *e)
{
	struct fw_cfg *cfg = machine_fw_cfg(m);
	int r = 0;

	for (unsigned i = 0; r == 0 && i < c->nfw_cfg; i++) {
		struct vmm_fw_cfg item;

		r = vmm_fw_cfg_parse(&item, c->fw_cfg[i], e);
		if (r < 0)
			break;
		if (fw_cfg_has(cfg, item.name)) {
			r = err_set(e, EEXIST, "fw-cfg: '%s' is there already", item.name);
		} else if (item.string) {
			r = fw_cfg_file(cfg, item.name, item.string, strlen(item.string), e);
		} else {
			auto_free u8 *data = NULL;
			u64 bytes;
			r = read_image(&data, &bytes, item.file, FW_CFG_FILE_BYTES, e);
			if (r == 0)
				r = fw_cfg_file(cfg, item.name, data, bytes, e);
		}
		vmm_fw_cfg_fini(&item);
	}
	return r;
}
