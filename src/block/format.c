/* SPDX-License-Identifier: GPL-2.0-or-later */
/* format.c - see format.h. */
#include "block/format.h"
#include "image/image_policy.h"

/* ---- known by sight: images that would be taken for raw ones otherwise ---- */

static bool begins(const u8 *head, size_t bytes, const char *magic, size_t n)
{
	return bytes >= n && !memcmp(head, magic, n);
}

static bool probe_qcow(const u8 *head, size_t bytes)
{
	return begins(head, bytes, "QFI\xfb", 4);
}

static bool probe_vmdk(const u8 *head, size_t bytes)
{
	return begins(head, bytes, "KDMV", 4) || begins(head, bytes, "COWD", 4) ||
	       begins(head, bytes, "# Disk DescriptorFile", 21);
}

static bool probe_vdi(const u8 *head, size_t bytes)
{
	return bytes >= 0x44 && ld_le32(head + 0x40) == 0xbeda107f;
}

static bool probe_vhdx(const u8 *head, size_t bytes)
{
	return begins(head, bytes, "vhdxfile", 8);
}

static bool probe_vhd(const u8 *head, size_t bytes)
{
	return begins(head, bytes, "conectix", 8);
}

static bool probe_parallels(const u8 *head, size_t bytes)
{
	return begins(head, bytes, "WithoutFreeSpace", 16) || begins(head, bytes, "WithouFreSpacExt", 16);
}

static bool probe_vhd_tail(const u8 tail[BLK_PROBE_BYTES])
{
	return !memcmp(tail, "conectix", 8);
}

static const struct blk_format images[] = {
	{ .name = "qcow2",
	  .title = "qcow2, of QEMU",
	  .probe = probe_qcow,
	  .extensions = "qcow2,qcow",
	  .options = image_node_options,
	  .open = image_node_open },
	{ .name = "vmdk",
	  .title = "VMDK, of VMware",
	  .probe = probe_vmdk,
	  .extensions = "vmdk",
	  .options = image_node_options,
	  .open = image_node_open },
	{ .name = "vdi",
	  .title = "VDI, of VirtualBox",
	  .probe = probe_vdi,
	  .extensions = "vdi",
	  .options = image_node_options,
	  .open = image_node_open },
	{ .name = "vhdx",
	  .title = "VHDX, of Hyper-V",
	  .probe = probe_vhdx,
	  .extensions = "vhdx,avhdx",
	  .options = image_node_options,
	  .open = image_node_open },
	{ .name = "vpc",
	  .title = "VHD, of Hyper-V",
	  .probe = probe_vhd,
	  .probe_tail = probe_vhd_tail,
	  .extensions = "vhd,vpc,avhd",
	  .options = image_node_options,
	  .open = image_node_open },
	{ .name = "parallels",
	  .title = "a disk of Parallels",
	  .probe = probe_parallels,
	  .extensions = "hdd,hds",
	  .options = image_node_options,
	  .open = image_node_open },
};
/* ---- looking up ---- */

static const struct blk_format *const table[] = { &blk_format_raw, &blk_format_overlay };

const struct blk_format *blk_format_at(unsigned i)
{
	if (i < ARRAY_LEN(table))
		return table[i];
	i -= ARRAY_LEN(table);
	return i < ARRAY_LEN(images) ? &images[i] : NULL;
}

const struct blk_format *blk_format_find(const char *name)
{
	const struct blk_format *f;

	for (unsigned i = 0; (f = blk_format_at(i)); i++)
		if (!strcmp(f->name, name))
			return f;
	return NULL;
}

const struct blk_format *blk_format_probe(const char *path, const u8 *head, size_t bytes, const u8 *tail)
{
	const struct blk_format *f;

	for (unsigned i = 0; (f = blk_format_at(i)); i++)
		if ((f->probe && f->probe(head, bytes)) ||
		    (f->probe_tail && tail && image_name_fits(path, f->extensions) && f->probe_tail(tail)))
			return f;
	return NULL;
}

void blk_format_names(char *buf, size_t room, bool layer)
{
	size_t n = 0;

	*buf = '\0';
	const struct blk_format *f;
	for (unsigned i = 0; n < room && (f = blk_format_at(i)); i++)
		if (f->layer == layer)
			n += (size_t)snprintf(buf + n, room - n, "%s%s", n ? ", " : "", f->name);
}

/* ---- options ---- */

static const struct blk_format_option *find_option(const struct blk_format *f, const char *name)
{
	for (const struct blk_format_option *o = f->options; o && o->name; o++)
		if (!strcmp(o->name, name))
			return o;
	return NULL;
}

int blk_options_check(const struct blk_format *f, const struct blk_params *p, struct err *e)
{
	char known[128] = "none";
	size_t n = 0;

	for (const struct blk_format_option *o = f->options; o && o->name && n < sizeof(known); o++)
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s=%s", n ? ", " : "", o->name, o->values);
	for (unsigned i = 0; i < p->noptions; i++)
		if (!find_option(f, p->options[i].name))
			return err_set(e, EINVAL, "disk image '%s': format %s has no option '%s'; it has: %s",
				       p->path ? p->path : "", f->name, p->options[i].name, known);
	return 0;
}

const char *blk_option(const struct blk_params *p, const char *name)
{
	for (unsigned i = 0; i < p->noptions; i++)
		if (!strcmp(p->options[i].name, name))
			return p->options[i].value;
	return NULL;
}

int blk_option_switch(const struct blk_params *p, const char *name, bool *v, struct err *e)
{
	for (unsigned i = 0; i < p->noptions; i++) {
		if (strcmp(p->options[i].name, name))
			continue;
		*v = !strcmp(p->options[i].value, "on");
		if (!*v && strcmp(p->options[i].value, "off"))
			return err_set(e, EINVAL, "disk image '%s': %s=%s: write on or off", p->path ? p->path : "",
				       name, p->options[i].value);
	}
	return 0;
}
