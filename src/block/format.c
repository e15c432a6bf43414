/* SPDX-License-Identifier: GPL-2.0-or-later */
/* format.c - see format.h. */
#include "block/format.h"

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

static const struct blk_format qcow2 = { .name = "qcow2", .title = "qcow2, of QEMU", .probe = probe_qcow };
static const struct blk_format vmdk = { .name = "vmdk", .title = "VMDK, of VMware", .probe = probe_vmdk };
static const struct blk_format vdi = { .name = "vdi", .title = "VDI, of VirtualBox", .probe = probe_vdi };
static const struct blk_format vhdx = { .name = "vhdx", .title = "VHDX, of Hyper-V", .probe = probe_vhdx };
static const struct blk_format vhd = { .name = "vpc", .title = "VHD, of Hyper-V", .probe = probe_vhd };

static const struct blk_format *const table[] = {
	&blk_format_raw, &blk_format_overlay, &qcow2, &vmdk, &vdi, &vhdx, &vhd,
};

/* ---- looking up ---- */

const struct blk_format *blk_format_at(unsigned i)
{
	return i < ARRAY_LEN(table) ? table[i] : NULL;
}

const struct blk_format *blk_format_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (!strcmp(table[i]->name, name))
			return table[i];
	return NULL;
}

const struct blk_format *blk_format_probe(const u8 *head, size_t bytes)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i]->probe && table[i]->probe(head, bytes))
			return table[i];
	return NULL;
}

void blk_format_names(char *buf, size_t room, bool layer)
{
	size_t n = 0;

	*buf = '\0';
	for (size_t i = 0; i < ARRAY_LEN(table) && n < room; i++)
		if (table[i]->open && table[i]->layer == layer)
			n += (size_t)snprintf(buf + n, room - n, "%s%s", n ? ", " : "", table[i]->name);
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
