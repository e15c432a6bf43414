/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options_device.c - options about devices: --disk, --net, --device. What is said of a back end is known here; the rest
 * is for the class of the front end, which the table of classes knows (device/class.h).
 */
#include "cli/optarg.h"
#include "block/format.h"
#include "cli/options_int.h"
#include "block/format.h"
#include "net/net.h"
#include "vmm/device_plan.h"
#include "base/i18n.h"

#include <sys/stat.h>

/* What disks, cards and devices have in common. */
struct front {
	char **id, **field; /* field: bus= or model=, by the name in key; NULL: none */
	const char *key;
	enum device_role role;
	char ***params;
	unsigned *nparams;
};

/* 1: it was one of these; else for the class. */
static int front_item(const struct front *x, const char *item, struct err *e)
{
	const struct device_class *cls;
	const char *v;
	int r;

	if ((v = optarg_key(item, "id"))) {
		if ((r = vmm_id_check(v, e)) < 0)
			return r;
		options_put(x->id, v);
		return 1;
	}
	if (x->field && (v = optarg_key(item, x->key))) {
		if ((r = vmm_class_of(&cls, x->role, v, e)) < 0)
			return r;
		options_put(x->field, v);
		return 1;
	}
	vmm_strv_add(x->params, x->nparams, item);
	return 0;
}

/* All items are read, so the class is known. unknown: a message with two %s, the item and the class's own keys; NULL:
 * the class's. */
static int front_check(const struct front *x, const struct device_class *cls, const char *unknown, struct err *e)
{
	for (unsigned i = 0; i < *x->nparams; i++) {
		const char *item = (*x->params)[i];
		auto_free char *key = xasprintf("%.*s", (int)strcspn(item, "="), item);

		if (unknown && (!strchr(item, '=') || !device_class_param(cls, key))) {
			char more[256] = "";
			for (const struct device_param *p = cls->params; p && p->name; p++)
				snprintf(more + strlen(more), sizeof(more) - strlen(more), ", %s=", p->name);
			return err_set(e, EINVAL, unknown, item, more);
		}
		int r = vmm_param_check(cls, item, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Of a disk on a server: kept as it is, but for the names of files, which another process will open. */
static bool netdisk_option(struct vmm_disk *d, const char *item)
{
	for (const struct blk_format_option *o = blk_format_netdisk.options; blk_is_url(d->path) && o->name; o++) {
		const char *v = optarg_key(item, o->name);
		if (!v)
			continue;
		bool file = (!strncmp(o->values, "FILE", 4) || !strncmp(o->values, "DIR", 3)) && strcmp(v, "off");
		auto_free char *cwd = file && *v != '/' ? getcwd(NULL, 0) : NULL;
		auto_free char *kept = cwd ? xasprintf("%s=%s/%s", o->name, cwd, v) : xstrdup(item);
		vmm_strv_add(&d->options, &d->noptions, kept);
		return true;
	}
	return false;
}

/* 1: it was one of these. */
static int disk_item(struct vmm_disk *d, const char *item, struct err *e)
{
	const char *v;
	int r = 0;

	if ((v = optarg_key(item, "format"))) {
		const struct blk_format *f = blk_format_find(v);
		char known[128];
		blk_format_names(known, sizeof(known), false);
		if (!f || f->layer)
			return err_set(e, EINVAL, "format=%s is not known; write one of %s", v, known);
		options_put(&d->format, v);
	} else if ((v = optarg_key(item, "backing"))) {
		if (strcmp(v, "any") && strcmp(v, "folder"))
			return err_set(e, EINVAL, "backing=%s: write folder or any", v);
		options_put(&d->backing, v);
	} else if ((v = optarg_key(item, "readonly"))) {
		r = optarg_switch(&d->readonly, "readonly", v, e);
	} else if ((v = optarg_key(item, "snapshot"))) {
		r = optarg_switch(&d->snapshot, "snapshot", v, e);
	} else if ((v = optarg_key(item, "direct"))) {
		r = optarg_switch(&d->direct, "direct", v, e);
	} else if (netdisk_option(d, item)) {
		/* it is kept */
	} else if ((v = optarg_key(item, "serial"))) {
		if (strlen(v) > VMM_SERIAL_MAX)
			return err_set(e, EINVAL, "serial=%s is too long; at most %d bytes", v, VMM_SERIAL_MAX);
		options_put(&d->serial, v);
	} else {
		return 0;
	}
	return r < 0 ? r : 1;
}

static int read_disk(struct vmm_disk *d, char *const *items, struct err *e)
{
	enum device_role role = d->cdrom ? DEVICE_CDROM : DEVICE_DISK;
	struct front x = { &d->id, &d->bus, "bus", role, &d->params, &d->nparams };
	const struct device_class *cls;
	int r = 0;

	for (unsigned i = 0; r >= 0 && items[i]; i++)
		if (d->cdrom || (r = disk_item(d, items[i], e)) == 0)
			r = front_item(&x, items[i], e);
	if (r >= 0 && (r = vmm_class_of(&cls, role, d->bus, e)) == 0)
		r = front_check(
		    &x, cls,
		    d->cdrom ? _("'%s' is not known; write id=, bus=%s (a comma in a file name is written "
				 "twice)")
			     : _("'%s' is not known; write format=, backing=, readonly=, snapshot=, direct=, "
				 "serial=, id=, bus=%s; of a disk on a server also on-error=, timeout=, tls-ca=, "
				 "tls-cert=, tls-key=, user=, password-file=, initiator=, cache=, cache-size= (a comma "
				 "in a file name "
				 "is written twice)"),
		    e);
	return r;
}

/* "vhost-user=SOCKET": a disk of another kind, whose file is none of ours. */
static int add_vhost_disk(struct run_opts *o, const char *path, char *const *items, struct err *e)
{
	if (o->cfg.nvhost_disks == VMM_DISKS_MAX)
		return err_set(e, EINVAL, "too many disks; at most %d", VMM_DISKS_MAX);
	o->cfg.vhost_disks = xrealloc(o->cfg.vhost_disks, (o->cfg.nvhost_disks + 1) * sizeof(*o->cfg.vhost_disks));
	struct vmm_vhost_disk *d = &o->cfg.vhost_disks[o->cfg.nvhost_disks++];
	*d = (struct vmm_vhost_disk){ .path = xstrdup(path) };
	struct front x = { &d->id, NULL, NULL, DEVICE_VHOST_DISK, &d->params, &d->nparams };
	int r = 0;

	for (unsigned i = 0; r >= 0 && items[i]; i++)
		r = front_item(&x, items[i], e);
	return r < 0 ? r
		     : front_check(&x, device_class_of(DEVICE_VHOST_DISK, NULL),
				   _("'%s' is not known; write id=%s: the rest is for who serves the disk"), e);
}

static int add_disk(struct run_opts *o, const struct vmm_disk *like, const char *arg, struct err *e)
{
	char **v = optarg_split(arg);
	const char *socket = like->cdrom ? NULL : optarg_key(v[0], "vhost-user");
	int r = 0;

	if (socket) {
		r = add_vhost_disk(o, socket, v + 1, e);
	} else if (o->cfg.ndisks == VMM_DISKS_MAX) {
		r = err_set(e, EINVAL, "too many disks; at most %d", VMM_DISKS_MAX);
	} else if (!v[0][0]) {
		r = err_set(e, EINVAL,
			    like->cdrom ? N_("no file given; write --cdrom FILE, or --cdrom none")
					: N_("no file given; write --disk FILE"));
	} else {
		o->cfg.disks = xrealloc(o->cfg.disks, (o->cfg.ndisks + 1) * sizeof(*o->cfg.disks));
		struct vmm_disk *d = &o->cfg.disks[o->cfg.ndisks++];
		*d = *like;
		d->path = xstrdup(d->cdrom && !strcmp(v[0], "none") ? "" : v[0]);
		r = read_disk(d, v + 1, e);
		if (r == 0 && *d->path && !blk_is_url(d->path) &&
		    access(d->path, d->readonly || d->snapshot ? R_OK : R_OK | W_OK) < 0)
			r = err_sys(e, errno, "%s: cannot use it", d->path);
	}
	optarg_split_free(v);
	return r;
}

int options_set_disk(struct run_opts *o, const char *arg, struct err *e)
{
	return add_disk(o, &(struct vmm_disk){ 0 }, arg, e);
}

int options_set_cdrom(struct run_opts *o, const char *arg, struct err *e)
{
	return add_disk(o, &(struct vmm_disk){ .cdrom = true, .readonly = true }, arg, e);
}

static int read_vhost_net(struct vmm_net *n, char *const *items, struct err *e)
{
	struct front x = { &n->id, NULL, NULL, DEVICE_VHOST_NIC, &n->params, &n->nparams };
	const char *val;
	int r = 0;

	for (unsigned i = 0; r >= 0 && items[i]; i++) {
		if ((val = optarg_key(items[i], "mac")))
			options_put(&n->mac, val);
		else
			r = front_item(&x, items[i], e);
	}
	return r < 0 ? r
		     : front_check(&x, device_class_of(DEVICE_VHOST_NIC, NULL),
				   _("'%s' is not known; write mac=ADDRESS, id=%s: the rest is for who serves the "
				     "network"),
				   e);
}

static int read_net(struct vmm_net *n, char *const *items, struct err *e)
{
	struct front x = { &n->id, &n->model, "model", DEVICE_NIC, &n->params, &n->nparams };
	const struct device_class *cls;
	struct net_hostfwd f;
	int r = 0;

	if (n->path)
		return read_vhost_net(n, items, e);

	for (unsigned i = 0; r >= 0 && items[i]; i++) {
		const char *val;
		if ((val = optarg_key(items[i], "hostfwd"))) {
			r = net_hostfwd_parse(&f, val, e);
			if (r == 0)
				vmm_strv_add(&n->hostfwd, &n->nhostfwd, val);
		} else if ((val = optarg_key(items[i], "mac"))) {
			options_put(&n->mac, val);
		} else if ((val = optarg_key(items[i], "tftp"))) {
			struct stat st;
			if (stat(val, &st) < 0)
				r = err_sys(e, errno, "tftp=%s: cannot read it", val);
			else if (!S_ISDIR(st.st_mode))
				r = err_set(e, ENOTDIR, "tftp=%s: not a folder", val);
			options_put(&n->tftp, val);
		} else if ((val = optarg_key(items[i], "bootfile"))) {
			options_put(&n->bootfile, val);
		} else {
			r = front_item(&x, items[i], e);
		}
	}
	if (r >= 0 && (r = vmm_class_of(&cls, DEVICE_NIC, n->model, e)) == 0)
		r = front_check(&x, cls,
				_("'%s' is not known; write hostfwd=tcp:ADDR:PORT-:PORT, tftp=FOLDER, bootfile=NAME, "
				  "mac=ADDRESS, id=, model=%s"),
				e);
	return r;
}

int options_set_net(struct run_opts *o, const char *arg, struct err *e)
{
	char **v = optarg_split(arg);
	const char *socket = optarg_key(v[0], "vhost-user");
	int r = 0;

	if (!strcmp(v[0], "none")) {
		o->net_none = true;
		if (v[1])
			r = err_set(e, EINVAL, "none takes nothing after it");
	} else if (strcmp(v[0], "user") && !socket) {
		r = err_set(e, EINVAL, "'%s' is not known; write user, vhost-user=SOCKET or none", v[0]);
	} else if (o->cfg.nnets == VMM_NETS_MAX) {
		r = err_set(e, EINVAL, "too many network cards; at most %d", VMM_NETS_MAX);
	} else {
		o->cfg.nets = xrealloc(o->cfg.nets, (o->cfg.nnets + 1) * sizeof(*o->cfg.nets));
		struct vmm_net *n = &o->cfg.nets[o->cfg.nnets++];
		*n = (struct vmm_net){ .type = xstrdup(socket ? "vhost-user" : "user"),
				       .path = socket ? xstrdup(socket) : NULL };
		r = read_net(n, v + 1, e);
	}
	if (r == 0 && o->net_none && o->cfg.nnets)
		r = err_set(e, EINVAL, "none and another network exclude each other");
	optarg_split_free(v);
	return r;
}

int options_set_device(struct run_opts *o, const char *arg, struct err *e)
{
	char **v = optarg_split(arg);
	const struct device_class *cls;
	int r = o->cfg.ndevices < VMM_DEVICES_MAX ? vmm_class_addable(&cls, v[0], e)
						  : err_set(e, EINVAL, "too many devices; at most %d", VMM_DEVICES_MAX);

	if (r == 0) {
		o->cfg.devices = xrealloc(o->cfg.devices, (o->cfg.ndevices + 1) * sizeof(*o->cfg.devices));
		struct vmm_device *d = &o->cfg.devices[o->cfg.ndevices++];
		*d = (struct vmm_device){ .class = xstrdup(v[0]) };
		struct front x = { &d->id, NULL, NULL, DEVICE_PLAIN, &d->params, &d->nparams };
		for (unsigned i = 1; r >= 0 && v[i]; i++)
			r = front_item(&x, v[i], e);
		if (r >= 0)
			r = front_check(&x, cls, NULL, e);
	}
	optarg_split_free(v);
	return r;
}

int options_check_devices(const struct run_opts *o, struct err *e)
{
	struct vmm_planned *plan;
	unsigned n;
	int r = vmm_device_plan(&plan, &n, &o->cfg, e);

	if (r == 0)
		free(plan);
	return r;
}

/* ---- help ---- */

void options_help_devices(FILE *f)
{
	static const char *const kinds[] = {
		[DEVICE_PLAIN] = "device ",  [DEVICE_DISK] = "disk bus=",   [DEVICE_CDROM] = "cdrom bus=",
		[DEVICE_NIC] = "net model=", [DEVICE_DISPLAY] = "display ",
	};
	/* Those that are chosen by their back end. */
	static const char *const whole[] = {
		[DEVICE_VHOST_DISK] = "disk vhost-user=SOCKET",
		[DEVICE_VHOST_NIC] = "net vhost-user=SOCKET",
	};

	fprintf(f, "%s", _("\nDevices, and what each takes as KEY=VALUE:\n"));
	for (unsigned i = 0; device_table[i]; i++) {
		const struct device_class *c = device_table[i];
		const char *by_back_end = c->role < ARRAY_LEN(whole) ? whole[c->role] : NULL;
		if (!c->field && !by_back_end && !device_class_addable(c))
			continue;
		auto_free char *what = by_back_end ? xstrdup(by_back_end)
						   : xasprintf("%s%s", kinds[c->role], c->field ? c->field : c->name);
		options_help_line(f, what, _(c->help));
		for (const struct device_param *p = c->params; p && p->name; p++) {
			auto_free char *one = xasprintf("    %s=%s", p->name, p->shown);
			options_help_line(f, one, _(p->help));
		}
	}
}
