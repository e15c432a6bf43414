/* SPDX-License-Identifier: GPL-2.0-or-later */
/* firmware.c - see firmware.h. */
#include "vmm/firmware.h"
#include "base/i18n.h"
#include "base/log.h"
#include "block/block.h"
#include "machine/fw_cfg.h"
#include "machine/layout.h"
#include "vmm/boot_look.h"
#include "vmm/boot_order.h"

#include <fcntl.h>
#include <sys/stat.h>

#define SERIAL_FILE "etc/sercon-port" /* SeaBIOS: an I/O port, 64 bits */
#define BIOS_FILE "/usr/share/seabios/bios-256k.bin"

/* ---- which ---- */

/* Beside the first disk that keeps what is written to it; "": there is none, they end with the VM. */
static char *usual_nvram(const struct vmm_config *c)
{
	for (unsigned i = 0; i < c->ndisks; i++)
		if (!c->disks[i].readonly && !c->disks[i].snapshot && c->disks[i].path[0] &&
		    !blk_is_url(c->disks[i].path))
			return xasprintf("%s.nvram", c->disks[i].path);
	return xstrdup("");
}

int firmware_choose(struct vmm_config *c, struct err *e)
{
	enum boot_found found = BOOT_NOTHING;

	if (strcmp(c->firmware, "auto")) {
		if (!strcmp(c->firmware, "uefi") && !c->nvram)
			c->nvram = usual_nvram(c);
		return 0;
	}
	for (unsigned i = 0; !c->kernel && i < c->ndisks && found == BOOT_NOTHING; i++) {
		/* A drive without a medium; and what lies on a server is looked at by its own process only. */
		if (!c->disks[i].path[0] || blk_is_url(c->disks[i].path))
			continue;
		int r = boot_look(&found, &c->disks[i], e);
		if (r < 0)
			return r;
	}
	if (!c->kernel && !c->ndisks && c->nvhost_disks && !boot_from_net(c))
		return err_set(e, ENOENT,
			       "what is on a vhost-user disk cannot be looked at before the VM runs; choose with "
			       "--firmware bios or uefi");
	if (!c->kernel && found == BOOT_NOTHING && !boot_from_net(c))
		return err_set(e, ENOENT,
			       "no disk can be booted from: looked for an EFI system partition, and for boot code in "
			       "the first sector, on %u disk(s), %s first; if it is there all the same, choose with "
			       "--firmware bios or uefi",
			       c->ndisks, c->disks[0].path);
	free(c->firmware);
	c->firmware = xstrdup(c->kernel ? "none" : found == BOOT_UEFI ? "uefi" : "bios");
	log_info(_("firmware: %s"), c->firmware);
	return firmware_choose(c, e); /* what follows from it */
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
static int packaged(const char *wanted, const char *path, const char *package, struct err *e)
{
	if (access(path, R_OK) == 0)
		return 0;
	return err_set(e, ENOENT, "firmware: %s is not there; install the package %s", wanted, package);
}

/* ---- UEFI's variables ---- */

/* A new file appears under its name whole, or not at all. */
static int make_nvram(const char *path, const u8 *bytes, u64 n, struct err *e)
{
	auto_free char *tmp = xasprintf("%s.tmp-%d", path, (int)getpid());
	auto_close int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(e, errno, "firmware's variables: cannot make %s; name another place with --nvram FILE",
			       path);
	ssize_t done = write(fd, bytes, n);
	/* Never over one that is there. */
	int r = done == (ssize_t)n && fsync(fd) == 0 && link(tmp, path) == 0 ? 0 : errno ? errno : EIO;
	unlink(tmp);
	return r == 0 || r == EEXIST ? 0 : err_sys(e, r, "firmware's variables: cannot make %s", path);
}

static int open_nvram(struct firmware_files *f, const char *path, struct err *e)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;
	int r;

	if (access(path, F_OK) < 0 && (r = make_nvram(path, f->vars, f->image.vars_bytes, e)) < 0)
		return r;
	auto_close int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "firmware's variables: %s: cannot open it", path);
	if (!S_ISREG(st.st_mode) || (u64)st.st_size != f->image.vars_bytes)
		return err_set(e, EINVAL,
			       "firmware's variables: %s is no file of theirs, which has %llu bytes; it is left as it "
			       "is: name another with --nvram FILE",
			       path, (unsigned long long)f->image.vars_bytes);
	if (fcntl(fd, F_OFD_SETLK, &l) < 0 && (errno == EAGAIN || errno == EACCES))
		return err_set(e, EBUSY, "firmware's variables: %s is in use by another VM", path);
	if (pread(fd, f->vars, f->image.vars_bytes, 0) != (ssize_t)f->image.vars_bytes)
		return err_set(e, EIO, "firmware's variables: %s: cannot read it", path);
	f->vars_fd = steal_fd(&fd);
	return 0;
}

static int open_uefi(struct firmware_files *f, const struct vmm_config *c, struct err *e)
{
	/* The second is what older versions of the package have. */
	static const char *const names[][2] = {
		{ "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd" },
		{ "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd" },
	};
	unsigned i = 0;

	while (i + 1 < ARRAY_LEN(names) && access(names[i][0], R_OK) < 0)
		i++;
	int r = packaged(names[0][0], names[i][0], "ovmf", e);
	f->image.name = names[i][0];
	if (r == 0)
		r = read_image(&f->code, &f->image.code_bytes, names[i][0], FIRMWARE_CODE_MAX, e);
	if (r == 0)
		r = read_image(&f->vars, &f->image.vars_bytes, names[i][1], FIRMWARE_VARS_MAX, e);
	if (r == 0 && c->nvram && *c->nvram)
		r = open_nvram(f, c->nvram, e);
	f->image.vars = f->vars;
	f->image.vars_fd = f->vars_fd;
	return r;
}

/* ---- all of it ---- */

int firmware_open(struct firmware_files *f, const struct vmm_config *c, bool *any, struct err *e)
{
	const char *path = c->firmware;
	int r = 0;

	memset(f, 0, sizeof(*f));
	f->vars_fd = f->image.vars_fd = -1;
	*any = strcmp(path, "none") && !(c->kernel && !strcmp(path, "auto"));
	if (!*any)
		return 0;
	if (!strcmp(path, "uefi")) {
		r = open_uefi(f, c, e);
	} else {
		if (!strcmp(path, "bios")) {
			path = BIOS_FILE;
			r = packaged(path, path, "seabios", e);
		}
		f->image.name = path;
		if (r == 0)
			r = read_image(&f->code, &f->image.code_bytes, path, FIRMWARE_CODE_MAX, e);
	}
	f->image.code = f->code;
	return r;
}

void firmware_read_done(struct firmware_files *f)
{
	free(steal(&f->code));
	free(steal(&f->vars));
}

void firmware_close(struct firmware_files *f)
{
	firmware_read_done(f);
	if (f->vars_fd >= 0)
		close(f->vars_fd);
	f->vars_fd = -1;
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
	/* Without a screen a BIOS writes its text to the serial port: with one, boot loaders would be seen twice. */
	if (r == 0 && !strcmp(c->screen, "none") && !fw_cfg_has(cfg, SERIAL_FILE)) {
		u8 port[8];
		st_le64(port, LAYOUT_UART1);
		r = fw_cfg_file(cfg, SERIAL_FILE, port, sizeof(port), e);
	}
	return r;
}
