/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config.c - see config.h. Three tables of fields serve reading, writing and freeing. */
#include "vmm/config.h"
#include "cpu/cpu.h"
#include "vmm/engine_options.h"
#include "base/i18n.h"

enum field_type { F_STR, F_BOOL, F_UINT, F_INT, F_U64, F_STRV };

struct field {
	const char *key;
	enum field_type type;
	size_t off, off_n; /* off_n: of the count, F_STRV */
};

#define FIELD(s, t, m) \
	{ \
#m, t, offsetof(struct s, m), 0 \
	}
#define FIELDV(s, m, n) \
	{ \
#m, F_STRV, offsetof(struct s, m), offsetof(struct s, n) \
	}

static const struct field config_fields[] = {
	FIELD(vmm_config, F_STR, name),
	FIELD(vmm_config, F_STR, engine),
	FIELDV(vmm_config, engine_options, nengine_options),
	FIELD(vmm_config, F_STR, irqchip),
	FIELD(vmm_config, F_STR, cpu),
	FIELD(vmm_config, F_UINT, cpus),
	FIELD(vmm_config, F_U64, memory_bytes),
	FIELD(vmm_config, F_STR, kernel),
	FIELD(vmm_config, F_STR, initrd),
	FIELD(vmm_config, F_STR, append),
	FIELDV(vmm_config, modules, nmodules),
	FIELD(vmm_config, F_STR, console),
	FIELD(vmm_config, F_STR, console_path),
	FIELD(vmm_config, F_INT, console_fd),
	FIELD(vmm_config, F_STR, virtio_console),
	FIELD(vmm_config, F_STR, virtio_console_path),
	FIELD(vmm_config, F_INT, virtio_console_fd),
	FIELD(vmm_config, F_INT, control_fd),
	FIELD(vmm_config, F_BOOL, detached),
	FIELD(vmm_config, F_STR, control_path),
	FIELDV(vmm_config, trace, ntrace),
	FIELD(vmm_config, F_BOOL, no_reboot),
	FIELD(vmm_config, F_BOOL, debug_exit),
	FIELD(vmm_config, F_BOOL, stats),
	FIELD(vmm_config, F_BOOL, verbose),
	FIELD(vmm_config, F_INT, restore_fd),
	FIELD(vmm_config, F_BOOL, restore_disks),
	{ NULL },
};

static const struct field disk_fields[] = {
	FIELD(vmm_disk, F_STR, path),
	FIELD(vmm_disk, F_STR, format),
	FIELD(vmm_disk, F_STR, serial),
	FIELD(vmm_disk, F_BOOL, readonly),
	FIELD(vmm_disk, F_BOOL, snapshot),
	FIELD(vmm_disk, F_BOOL, direct),
	{ NULL },
};

static const struct field net_fields[] = {
	FIELD(vmm_net, F_STR, type),
	FIELD(vmm_net, F_STR, mac),
	FIELDV(vmm_net, hostfwd, nhostfwd),
	{ NULL },
};

static void *at(const void *s, size_t off)
{
	return (char *)(uintptr_t)s + off;
}

/* ---- writing ---- */

static json_t *fields_to_json(const void *s, const struct field *f)
{
	json_t *o = json_object();

	for (; f->key; f++) {
		json_t *v = NULL;
		switch (f->type) {
		case F_STR:
			if (!*(char **)at(s, f->off))
				continue;
			v = json_string(*(char **)at(s, f->off));
			break;
		case F_BOOL:
			v = json_boolean(*(bool *)at(s, f->off));
			break;
		case F_UINT:
			v = json_integer(*(unsigned *)at(s, f->off));
			break;
		case F_INT:
			v = json_integer(*(int *)at(s, f->off));
			break;
		case F_U64:
			v = json_integer((json_int_t) * (u64 *)at(s, f->off));
			break;
		case F_STRV:
			v = json_array();
			for (unsigned i = 0; i < *(unsigned *)at(s, f->off_n); i++)
				if (json_array_append_new(v, json_string((*(char ***)at(s, f->off))[i])) < 0) {
					json_decref(v);
					v = NULL;
					break;
				}
			break;
		}
		/* Setting NULL fails: a string that is not UTF-8. */
		if (json_object_set_new(o, f->key, v) < 0) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

json_t *vmm_config_to_json(const struct vmm_config *c)
{
	json_t *o = fields_to_json(c, config_fields), *disks = json_array(), *nets = json_array();
	int r = o ? 0 : -1;

	for (unsigned i = 0; i < c->ndisks; i++)
		r |= json_array_append_new(disks, fields_to_json(&c->disks[i], disk_fields));
	for (unsigned i = 0; i < c->nnets; i++)
		r |= json_array_append_new(nets, fields_to_json(&c->nets[i], net_fields));
	r |= json_object_set_new(o, "disks", disks);
	r |= json_object_set_new(o, "nets", nets);
	if (r == 0)
		return o;
	json_decref(o);
	return NULL;
}

/* ---- reading ---- */

void vmm_strv_add(char ***v, unsigned *n, const char *s)
{
	*v = xrealloc(*v, (*n + 1) * sizeof(**v));
	(*v)[(*n)++] = xstrdup(s);
}

static int wrong(struct err *e, const char *where, const char *key, const char *want)
{
	return err_set(e, EINVAL, "configuration: %s%s: not %s", where, key, want);
}

static int get_int(const json_t *v, json_int_t lo, json_int_t hi, json_int_t *out)
{
	if (!json_is_integer(v) || json_integer_value(v) < lo || json_integer_value(v) > hi)
		return -1;
	*out = json_integer_value(v);
	return 0;
}

static int field_from_json(void *s, const struct field *f, const json_t *v, const char *where, struct err *e)
{
	json_int_t n;

	switch (f->type) {
	case F_STR:
		if (!json_is_string(v))
			return wrong(e, where, f->key, MSG("a string"));
		free(*(char **)at(s, f->off));
		*(char **)at(s, f->off) = xstrdup(json_string_value(v));
		return 0;
	case F_BOOL:
		if (!json_is_boolean(v))
			return wrong(e, where, f->key, MSG("true or false"));
		*(bool *)at(s, f->off) = json_is_true(v);
		return 0;
	case F_UINT:
		if (get_int(v, 0, INT32_MAX, &n) < 0)
			return wrong(e, where, f->key, MSG("a whole number"));
		*(unsigned *)at(s, f->off) = (unsigned)n;
		return 0;
	case F_INT:
		if (get_int(v, -1, INT32_MAX, &n) < 0)
			return wrong(e, where, f->key, MSG("a whole number"));
		*(int *)at(s, f->off) = (int)n;
		return 0;
	case F_U64:
		if (get_int(v, 0, INT64_MAX, &n) < 0)
			return wrong(e, where, f->key, MSG("a whole number"));
		*(u64 *)at(s, f->off) = (u64)n;
		return 0;
	case F_STRV:
		if (!json_is_array(v))
			return wrong(e, where, f->key, MSG("a list of strings"));
		for (size_t i = 0; i < json_array_size(v); i++) {
			const char *item = json_string_value(json_array_get(v, i));
			if (!item)
				return wrong(e, where, f->key, MSG("a list of strings"));
			vmm_strv_add(at(s, f->off), at(s, f->off_n), item);
		}
		return 0;
	}
	return -EINVAL;
}

/* Keys in `others` are the caller's to read. */
static int fields_from_json(void *s, const struct field *fields, const json_t *o, const char *const *others,
			    const char *where, struct err *e)
{
	const char *key;
	json_t *v;

	if (!json_is_object(o))
		return wrong(e, where, "", MSG("an object"));
	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		const struct field *f = fields;
		while (f->key && strcmp(f->key, key))
			f++;
		if (f->key) {
			int r = field_from_json(s, f, v, where, e);
			if (r < 0)
				return r;
			continue;
		}
		const char *const *k = others;
		while (k && *k && strcmp(*k, key))
			k++;
		if (!k || !*k)
			return err_set(e, EINVAL, "configuration: %s%s: no such key", where, key);
	}
	return 0;
}

int vmm_config_from_json(struct vmm_config *c, const json_t *j, struct err *e)
{
	static const char *const lists[] = { "disks", "nets", NULL };
	const json_t *disks, *nets;

	vmm_config_init(c);
	int r = fields_from_json(c, config_fields, j, lists, "", e);
	if (r < 0)
		return r;
	disks = json_object_get(j, "disks");
	nets = json_object_get(j, "nets");
	if (disks && !json_is_array(disks))
		return wrong(e, "", "disks", MSG("a list"));
	if (nets && !json_is_array(nets))
		return wrong(e, "", "nets", MSG("a list"));
	c->disks = xcalloc(json_array_size(disks) + 1, sizeof(*c->disks));
	for (size_t i = 0; i < json_array_size(disks); i++) {
		c->ndisks++;
		r = fields_from_json(&c->disks[i], disk_fields, json_array_get(disks, i), NULL, "disks: ", e);
		if (r < 0)
			return r;
	}
	c->nets = xcalloc(json_array_size(nets) + 1, sizeof(*c->nets));
	for (size_t i = 0; i < json_array_size(nets); i++) {
		c->nnets++;
		r = fields_from_json(&c->nets[i], net_fields, json_array_get(nets, i), NULL, "nets: ", e);
		if (r < 0)
			return r;
	}
	return vmm_config_check(c, e);
}

/* ---- checking ---- */

int vmm_mac_parse(u8 mac[6], const char *s, struct err *e)
{
	unsigned b[6];
	char junk;

	if (sscanf(s, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &junk) != 6 ||
	    strlen(s) != 17)
		return err_set(e, EINVAL, "net: mac=%s is not an address; write mac=02:00:00:12:34:56", s);
	if (b[0] & 1)
		return err_set(e, EINVAL, "net: mac=%s is a multicast address; its first byte must be even", s);
	for (int i = 0; i < 6; i++)
		mac[i] = (u8)b[i];
	return 0;
}

static int check_chardev(const char *key, const char *type, const char *path, int fd, struct err *e)
{
	if (!strcmp(type, "none"))
		return 0;
	if (!strcmp(type, "fd"))
		return fd >= 0 ? 0 : err_set(e, EINVAL, "configuration: %s: no descriptor given", key);
	if (!strcmp(type, "unix"))
		return path && *path ? 0 : err_set(e, EINVAL, "configuration: %s: no socket path given", key);
	return err_set(e, EINVAL, "configuration: %s: '%s' is not none, fd or unix", key, type);
}

int vmm_config_check(const struct vmm_config *c, struct err *e)
{
	int r;

	if (c->cpus < 1 || c->cpus > CPU_MAX)
		return err_set(e, EINVAL, "cpus: %u is out of range; write 1 to %d", c->cpus, CPU_MAX);
	if (c->memory_bytes < VMM_MEMORY_MIN || c->memory_bytes > VMM_MEMORY_MAX || c->memory_bytes % PAGE_BYTES)
		return err_set(e, EINVAL,
			       "memory: %llu bytes will not do; write a multiple of 4K between %llu MiB and %llu GiB",
			       (unsigned long long)c->memory_bytes, VMM_MEMORY_MIN / MIB, VMM_MEMORY_MAX / GIB);
	if (strcmp(c->engine, "auto") && strcmp(c->engine, "kvm") && strcmp(c->engine, "soft"))
		return err_set(e, EINVAL, "engine: '%s' is not known; write auto, kvm or soft", c->engine);
	struct soft_options so;
	if ((r = engine_options_allowed(c->engine, c->nengine_options, e)) < 0 ||
	    (r = engine_options_parse(&so, c->engine_options, c->nengine_options, e)) < 0)
		return err_prefix(e, "engine");
	if (so.check && c->cpus > 1)
		return err_set(e, EINVAL, "engine: check= compares one CPU only; %u will not do", c->cpus);
	if (strcmp(c->irqchip, "split") && strcmp(c->irqchip, "kernel"))
		return err_set(e, EINVAL, "irqchip: '%s' is not known; write split or kernel", c->irqchip);
	if (!c->kernel)
		return err_set(e, EINVAL,
			       "no kernel: booting from a disk's own boot loader is not there yet; give the kernel "
			       "with --kernel FILE (and --initrd FILE, --append 'root=/dev/vda1 console=ttyS0')");
	if (c->ndisks > VMM_DISKS_MAX)
		return err_set(e, EINVAL, "disks: %u are too many; at most %d", c->ndisks, VMM_DISKS_MAX);
	for (unsigned i = 0; i < c->ndisks; i++) {
		const struct vmm_disk *d = &c->disks[i];
		if (!d->path || !*d->path)
			return err_set(e, EINVAL, "disk: no file given");
		if (d->format && strcmp(d->format, "raw"))
			return err_set(e, EINVAL, "disk: %s: format '%s' is not known; write format=raw", d->path,
				       d->format);
		if (d->serial && strlen(d->serial) > VMM_SERIAL_MAX)
			return err_set(e, EINVAL, "disk: %s: serial '%s' is too long; at most %d bytes", d->path,
				       d->serial, VMM_SERIAL_MAX);
	}
	if (c->nnets > VMM_NETS_MAX)
		return err_set(e, EINVAL, "nets: %u are too many; at most %d", c->nnets, VMM_NETS_MAX);
	for (unsigned i = 0; i < c->nnets; i++) {
		u8 mac[6];
		if (!c->nets[i].type || strcmp(c->nets[i].type, "user"))
			return err_set(e, EINVAL, "net: '%s' is not known; write user or none",
				       c->nets[i].type ? c->nets[i].type : "");
		if (c->nets[i].mac && (r = vmm_mac_parse(mac, c->nets[i].mac, e)) < 0)
			return r;
	}
	r = check_chardev("console", c->console, c->console_path, c->console_fd, e);
	if (r == 0)
		r = check_chardev("virtio_console", c->virtio_console, c->virtio_console_path, c->virtio_console_fd, e);
	return r;
}

/* ---- life ---- */

void vmm_config_init(struct vmm_config *c)
{
	*c = (struct vmm_config){
		.name = xstrdup("vm"),
		.engine = xstrdup("auto"),
		.irqchip = xstrdup("split"),
		.cpu = xstrdup("mica-v2"),
		.cpus = 1,
		.memory_bytes = 512 * MIB,
		.console = xstrdup("none"),
		.console_fd = -1,
		.virtio_console = xstrdup("none"),
		.virtio_console_fd = -1,
		.control_fd = -1,
		.restore_fd = -1,
	};
}

static void fields_fini(void *s, const struct field *f)
{
	for (; f->key; f++) {
		if (f->type == F_STR) {
			free(*(char **)at(s, f->off));
		} else if (f->type == F_STRV) {
			char **v = *(char ***)at(s, f->off);
			for (unsigned i = 0; i < *(unsigned *)at(s, f->off_n); i++)
				free(v[i]);
			free(v);
		}
	}
}

void vmm_config_fini(struct vmm_config *c)
{
	for (unsigned i = 0; i < c->ndisks; i++)
		fields_fini(&c->disks[i], disk_fields);
	for (unsigned i = 0; i < c->nnets; i++)
		fields_fini(&c->nets[i], net_fields);
	free(c->disks);
	free(c->nets);
	fields_fini(c, config_fields);
	memset(c, 0, sizeof(*c));
}
