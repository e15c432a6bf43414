/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device_plan.c - see device_plan.h. */
#include "vmm/device_plan.h"
#include "base/i18n.h"

#include <ctype.h>

/* ---- what there is, for messages ---- */

static void list(char *buf, size_t bytes, const char *item)
{
	size_t n = strlen(buf);

	snprintf(buf + n, bytes - n, "%s%s", n ? ", " : "", item);
}

static const char *field_key(enum device_role role)
{
	return role == DEVICE_DISK || role == DEVICE_CDROM ? "bus" : role == DEVICE_DISPLAY ? "screen" : "model";
}

int vmm_class_of(const struct device_class **out, enum device_role role, const char *field, struct err *e)
{
	const struct device_class *c;
	char known[256] = "";

	*out = device_class_of(role, field);
	if (*out)
		return 0;
	for (unsigned i = 0; (c = device_class_next(role, &i));)
		list(known, sizeof(known), c->field);
	return err_set(e, EINVAL, "%s=%s is not known; there is: %s", field_key(role), field, known);
}

int vmm_class_addable(const struct device_class **out, const char *name, struct err *e)
{
	const struct device_class *c = device_class_find(name);
	char known[256] = "";

	*out = c;
	if (c && device_class_addable(c))
		return 0;
	if (c && c->role == DEVICE_PLAIN)
		return err_set(e, EINVAL, "every machine has one %s, and no second one", name);
	if (c && c->role == DEVICE_DISK)
		return err_set(e, EINVAL, "%s is a disk; write --disk FILE,bus=%s", name, c->field);
	if (c && c->role == DEVICE_CDROM)
		return err_set(e, EINVAL, "%s is a CD-ROM; write --cdrom FILE,bus=%s", name, c->field);
	if (c && (c->role == DEVICE_VHOST_DISK || c->role == DEVICE_VHOST_NIC))
		return err_set(e, EINVAL,
			       "%s is what is in front of a vhost-user back end; write --%s vhost-user=SOCKET", name,
			       c->role == DEVICE_VHOST_NIC ? "net" : "disk");
	if (c && c->role == DEVICE_NIC)
		return err_set(e, EINVAL, "%s is a network card; write --net user,model=%s", name, c->field);
	for (unsigned i = 0; (c = device_class_next(DEVICE_PLAIN, &i));)
		if (device_class_addable(c))
			list(known, sizeof(known), c->name);
	return err_set(e, EINVAL, "'%s' is no device that can be added; there is: %s", name, known);
}

/* ---- parameters ---- */

static int number_check(const struct device_param *p, const char *value, struct err *e)
{
	char *end;

	errno = 0;
	u64 n = strtoull(value, &end, 10);
	if (isdigit((unsigned char)*value) && !*end && !errno && n >= p->lo && n <= p->hi)
		return 0;
	return err_set(e, EINVAL, "%s=%s: write a number from %llu to %llu", p->name, value, (unsigned long long)p->lo,
		       (unsigned long long)p->hi);
}

int vmm_param_check(const struct device_class *c, const char *item, struct err *e)
{
	size_t n = strcspn(item, "=");
	auto_free char *key = xasprintf("%.*s", (int)n, item);
	const struct device_param *p = item[n] ? device_class_param(c, key) : NULL;
	const char *value = item + n + 1;
	char known[256] = "";

	if (!p) {
		for (p = c->params; p && p->name; p++) {
			auto_free char *one = xasprintf("%s=%s", p->name, p->shown);
			list(known, sizeof(known), one);
		}
		return known[0] ? err_set(e, EINVAL, "'%s' is not known; %s takes %s", item, c->name, known)
				: err_set(e, EINVAL, "'%s' is not known; %s takes nothing of its own", item, c->name);
	}
	switch (p->value) {
	case DEVICE_NUMBER:
		return number_check(p, value, e);
	case DEVICE_SWITCH:
		if (!strcmp(value, "on") || !strcmp(value, "off"))
			return 0;
		return err_set(e, EINVAL, "%s=%s: write %s=on or %s=off", p->name, value, p->name, p->name);
	case DEVICE_TEXT:
		if (strlen(value) <= p->hi)
			return 0;
		return err_set(e, EINVAL, "%s=%s is too long; at most %llu bytes", p->name, value,
			       (unsigned long long)p->hi);
	}
	return -EINVAL;
}

int vmm_id_check(const char *id, struct err *e)
{
	size_t n = strlen(id);
	bool ok = n >= 1 && n <= DEVICE_ID_MAX && isalpha((unsigned char)*id);

	for (size_t i = 0; i < n; i++)
		ok &= isalnum((unsigned char)id[i]) || strchr("-_.", id[i]);
	return ok ? 0
		  : err_set(e, EINVAL, "id=%s: write a letter, then letters, digits, '-', '_' or '.'; at most %d", id,
			    DEVICE_ID_MAX);
}

/* ---- the plan ---- */

struct plan {
	bool pci; /* has the board got that */
	struct vmm_planned *v;
	unsigned n, of_class[64]; /* how many there are of each class that has no list in the configuration */
};

/* What a device without an id is called: number, of those of its role in the configuration. */
static void name_it(struct plan *p, struct vmm_planned *d, unsigned number)
{
	static const char *const names[] = {
		[DEVICE_DISK] = "disk",      [DEVICE_CDROM] = "cdrom",      [DEVICE_NIC] = "net",
		[DEVICE_SERIAL] = "serial",  [DEVICE_CONSOLE] = "console",  [DEVICE_DISPLAY] = "screen",
		[DEVICE_INPUT] = "keyboard", [DEVICE_VSOCK] = "vsock",      [DEVICE_SHARE] = "share",
		[DEVICE_TPM] = "tpm",        [DEVICE_VHOST_DISK] = "vhost", [DEVICE_VHOST_NIC] = "net",
	};
	const char *name = d->cls->role == DEVICE_PLAIN ? d->cls->name : names[d->cls->role];

	if (d->cls->role == DEVICE_PLAIN) {
		unsigned i = 0;
		while (device_table[i] != d->cls)
			i++;
		must(i < ARRAY_LEN(p->of_class));
		number = p->of_class[i]++;
	}
	snprintf(d->id, sizeof(d->id), "%s%u", name, number);
}

static int add(struct plan *p, const struct device_class *cls, const char *id, unsigned index, unsigned number,
	       char *const *params, unsigned nparams, struct err *e)
{
	struct vmm_planned *d = &p->v[p->n++];
	int r = id ? vmm_id_check(id, e) : 0;

	*d = (struct vmm_planned){
		.cls = cls, .index = index, .params = (const char *const *)params, .nparams = nparams
	};
	name_it(p, d, number);
	if (r == 0 && cls->pci && !p->pci)
		r = err_set(e, EINVAL,
			    "%s is a PCI device, and --machine micro has no PCI; take a virtio one, or another machine",
			    cls->name);
	if (r == 0 && id)
		snprintf(d->id, sizeof(d->id), "%s", id);
	for (unsigned i = 0; r == 0 && i < nparams; i++) {
		size_t key = strcspn(params[i], "=");
		r = vmm_param_check(cls, params[i], e);
		for (unsigned k = 0; r == 0 && k < i; k++)
			if (!strncmp(params[k], params[i], key + 1))
				r = err_set(e, EINVAL, "'%s' and '%s': once is enough", params[k], params[i]);
	}
	for (unsigned i = 0; r == 0 && i + 1 < p->n; i++)
		if (!strcmp(p->v[i].id, d->id))
			r = err_set(e, EINVAL, "two devices are called '%s'; give one of them another id=", d->id);
	return r;
}

static int plan(struct plan *p, const struct vmm_config *c, struct err *e)
{
	const struct device_class *cls;
	unsigned of_role[2] = { 0 }; /* disks, CD-ROMs */
	int r = add(p, device_class_of(DEVICE_SERIAL, NULL), NULL, 0, 0, NULL, 0, e);

	for (unsigned i = 0; r == 0 && i < c->ndisks; i++) {
		const struct vmm_disk *d = &c->disks[i];
		r = vmm_class_of(&cls, d->cdrom ? DEVICE_CDROM : DEVICE_DISK, d->bus, e);
		if (r == 0)
			r = add(p, cls, d->id, i, of_role[d->cdrom]++, d->params, d->nparams, e);
		if (r < 0)
			return err_prefix(e, "disk: %s", d->path);
	}
	for (unsigned i = 0; r == 0 && i < c->nvhost_disks; i++) {
		const struct vmm_vhost_disk *d = &c->vhost_disks[i];
		r = add(p, device_class_of(DEVICE_VHOST_DISK, NULL), d->id, i, i, d->params, d->nparams, e);
		if (r < 0)
			return err_prefix(e, "disk: %s", d->path);
	}
	for (unsigned i = 0; r == 0 && i < c->nnets; i++) {
		const struct vmm_net *d = &c->nets[i];
		if (!strcmp(d->type, "vhost-user"))
			cls = device_class_of(DEVICE_VHOST_NIC, NULL);
		else
			r = vmm_class_of(&cls, DEVICE_NIC, d->model, e);
		if (r == 0)
			r = add(p, cls, d->id, i, i, d->params, d->nparams, e);
		if (r < 0)
			return err_prefix(e, "net");
	}
	if (r == 0 && strcmp(c->virtio_console, "none"))
		r = add(p, device_class_of(DEVICE_CONSOLE, NULL), NULL, 0, 0, NULL, 0, e);
	for (unsigned i = 0; r == 0 && (cls = device_class_next(DEVICE_PLAIN, &i));)
		if (cls->standard)
			r = add(p, cls, NULL, 0, 0, NULL, 0, e);
	for (unsigned i = 0; r == 0 && i < c->ndevices; i++) {
		const struct vmm_device *d = &c->devices[i];
		r = vmm_class_addable(&cls, d->class ? d->class : "", e);
		if (r == 0)
			r = add(p, cls, d->id, i, i, d->params, d->nparams, e);
		if (r < 0)
			return err_prefix(e, "device");
	}
	if (r == 0 && strcmp(c->screen, "none")) {
		r = vmm_class_of(&cls, DEVICE_DISPLAY, c->screen, e);
		if (r == 0)
			r = add(p, cls, NULL, 0, 0, NULL, 0, e);
		if (r < 0)
			return err_prefix(e, "screen");
		r = add(p, device_class_of(DEVICE_INPUT, NULL), NULL, 0, 0, NULL, 0, e);
	}
	for (unsigned i = 0; r == 0 && i < c->nshares; i++)
		r = add(p, device_class_of(DEVICE_SHARE, NULL), NULL, i, i, NULL, 0, e);
	if (r == 0 && c->vsock)
		r = add(p, device_class_of(DEVICE_VSOCK, NULL), NULL, 0, 0, NULL, 0, e);
	if (r == 0 && c->tpm)
		r = add(p, device_class_of(DEVICE_TPM, NULL), NULL, 0, 0, NULL, 0, e);
	if (r == 0 && strcmp(c->serial2, "none"))
		r = add(p, device_class_of(DEVICE_SERIAL, NULL), NULL, 1, 1, NULL, 0, e);
	return r;
}

int vmm_device_plan(struct vmm_planned **out, unsigned *n, const struct vmm_config *c, struct err *e)
{
	unsigned most = 7 + c->nshares + c->ndisks + c->nvhost_disks + c->nnets + c->ndevices;
	struct plan p = { .pci = strcmp(c->machine, "micro") != 0 };

	for (unsigned i = 0; device_table[i]; i++)
		most += device_table[i]->standard;
	p.v = xcalloc(most, sizeof(*p.v));
	int r = plan(&p, c, e);
	if (r < 0) {
		free(p.v);
		return r;
	}
	*out = p.v;
	*n = p.n;
	return 0;
}
