/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config.c - see config.h. Three tables of fields serve reading, writing and freeing. */
#include "vmm/config.h"
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
	FIELD(vmm_config, F_STR, machine),
	FIELD(vmm_config, F_STR, irqchip),
	FIELD(vmm_config, F_STR, cpu),
	FIELD(vmm_config, F_UINT, cpus),
	FIELD(vmm_config, F_U64, memory_bytes),
	FIELD(vmm_config, F_STR, firmware),
	FIELD(vmm_config, F_STR, nvram),
	FIELDV(vmm_config, fw_cfg, nfw_cfg),
	FIELDV(vmm_config, boot, nboot),
	FIELDV(vmm_config, smbios, nsmbios),
	FIELD(vmm_config, F_STR, kernel),
	FIELD(vmm_config, F_STR, initrd),
	FIELD(vmm_config, F_STR, append),
	FIELDV(vmm_config, modules, nmodules),
	FIELD(vmm_config, F_STR, vsock),
	FIELD(vmm_config, F_U64, vsock_cid),
	FIELD(vmm_config, F_STR, tpm),
	FIELD(vmm_config, F_STR, console),
	FIELD(vmm_config, F_STR, console_path),
	FIELD(vmm_config, F_INT, console_fd),
	FIELD(vmm_config, F_STR, virtio_console),
	FIELD(vmm_config, F_STR, virtio_console_path),
	FIELD(vmm_config, F_INT, virtio_console_fd),
	FIELD(vmm_config, F_STR, serial2),
	FIELD(vmm_config, F_STR, serial2_path),
	FIELD(vmm_config, F_INT, serial2_fd),
	FIELD(vmm_config, F_STR, screen),
	FIELD(vmm_config, F_STR, vnc),
	FIELD(vmm_config, F_STR, vnc_password_file),
	FIELD(vmm_config, F_STR, vnc_tls_cert),
	FIELD(vmm_config, F_STR, vnc_tls_key),
	FIELD(vmm_config, F_INT, control_fd),
	FIELD(vmm_config, F_BOOL, detached),
	FIELD(vmm_config, F_STR, control_path),
	FIELDV(vmm_config, trace, ntrace),
	FIELD(vmm_config, F_BOOL, no_reboot),
	FIELD(vmm_config, F_BOOL, debug_exit),
	FIELD(vmm_config, F_BOOL, stats),
	FIELD(vmm_config, F_BOOL, verbose),
	FIELD(vmm_config, F_INT, restore_fd),
	FIELD(vmm_config, F_INT, restore_head_fd),
	FIELD(vmm_config, F_BOOL, restore_disks),
	{ NULL },
};

static const struct field disk_fields[] = {
	FIELD(vmm_disk, F_STR, path),
	FIELD(vmm_disk, F_STR, format),
	FIELD(vmm_disk, F_STR, serial),
	FIELD(vmm_disk, F_STR, backing),
	FIELD(vmm_disk, F_BOOL, readonly),
	FIELD(vmm_disk, F_BOOL, snapshot),
	FIELD(vmm_disk, F_BOOL, direct),
	FIELD(vmm_disk, F_BOOL, cdrom),
	FIELD(vmm_disk, F_STR, id),
	FIELD(vmm_disk, F_STR, bus),
	FIELDV(vmm_disk, params, nparams),
	FIELDV(vmm_disk, options, noptions),
	{ NULL },
};

static const struct field vhost_disk_fields[] = {
	FIELD(vmm_vhost_disk, F_STR, path),
	FIELD(vmm_vhost_disk, F_STR, id),
	FIELDV(vmm_vhost_disk, params, nparams),
	{ NULL },
};

static const struct field net_fields[] = {
	FIELD(vmm_net, F_STR, type),
	FIELD(vmm_net, F_STR, path),
	FIELD(vmm_net, F_INT, fd),
	FIELD(vmm_net, F_STR, mac),
	FIELDV(vmm_net, hostfwd, nhostfwd),
	FIELD(vmm_net, F_STR, tftp),
	FIELD(vmm_net, F_STR, bootfile),
	FIELD(vmm_net, F_STR, id),
	FIELD(vmm_net, F_STR, model),
	FIELDV(vmm_net, params, nparams),
	{ NULL },
};

static const struct field device_fields[] = {
	FIELD(vmm_device, F_STR, class),
	FIELD(vmm_device, F_STR, id),
	FIELDV(vmm_device, params, nparams),
	{ NULL },
};

static const struct field share_fields[] = {
	FIELD(vmm_share, F_STR, path),
	FIELD(vmm_share, F_STR, tag),
	FIELD(vmm_share, F_BOOL, readonly),
	{ NULL },
};

/* Lists of objects in the configuration. */
static const struct {
	const char *key, *where;
	const struct field *fields;
	size_t bytes, off, off_n; /* of an object; of the list and its count in struct vmm_config */
} lists[] = {
	{ "disks", "disks: ", disk_fields, sizeof(struct vmm_disk), offsetof(struct vmm_config, disks),
	  offsetof(struct vmm_config, ndisks) },
	{ "vhost_disks", "vhost_disks: ", vhost_disk_fields, sizeof(struct vmm_vhost_disk),
	  offsetof(struct vmm_config, vhost_disks), offsetof(struct vmm_config, nvhost_disks) },
	{ "nets", "nets: ", net_fields, sizeof(struct vmm_net), offsetof(struct vmm_config, nets),
	  offsetof(struct vmm_config, nnets) },
	{ "devices", "devices: ", device_fields, sizeof(struct vmm_device), offsetof(struct vmm_config, devices),
	  offsetof(struct vmm_config, ndevices) },
	{ "shares", "shares: ", share_fields, sizeof(struct vmm_share), offsetof(struct vmm_config, shares),
	  offsetof(struct vmm_config, nshares) },
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
			if (!*(unsigned *)at(s, f->off_n))
				continue;
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
	json_t *o = fields_to_json(c, config_fields);
	int r = o ? 0 : -1;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const char *item = *(char **)at(c, lists[i].off);
		unsigned n = *(unsigned *)at(c, lists[i].off_n);
		json_t *a = n ? json_array() : NULL;

		for (unsigned k = 0; k < n; k++)
			r |= json_array_append_new(a, fields_to_json(item + k * lists[i].bytes, lists[i].fields));
		if (n)
			r |= json_object_set_new(o, lists[i].key, a);
	}
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

static int list_from_json(struct vmm_config *c, unsigned i, const json_t *a, struct err *e)
{
	char *items = xcalloc(json_array_size(a) + 1, lists[i].bytes);
	int r = 0;

	*(char **)at(c, lists[i].off) = items;
	for (size_t k = 0; r == 0 && k < json_array_size(a); k++) {
		++*(unsigned *)at(c, lists[i].off_n);
		r = fields_from_json(items + k * lists[i].bytes, lists[i].fields, json_array_get(a, k), NULL,
				     lists[i].where, e);
	}
	return r;
}

int vmm_config_from_json(struct vmm_config *c, const json_t *j, struct err *e)
{
	const char *keys[ARRAY_LEN(lists) + 1] = { NULL };

	vmm_config_init(c);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		keys[i] = lists[i].key;
	int r = fields_from_json(c, config_fields, j, keys, "", e);
	for (unsigned i = 0; r == 0 && i < ARRAY_LEN(lists); i++) {
		const json_t *a = json_object_get(j, lists[i].key);
		if (a && !json_is_array(a))
			return wrong(e, "", lists[i].key, MSG("a list"));
		r = list_from_json(c, i, a, e);
	}
	return r < 0 ? r : vmm_config_check(c, e);
}

unsigned vmm_config_fds(const struct vmm_config *c, int fds[VMM_FDS_MAX])
{
	const int all[] = { c->console_fd, c->virtio_console_fd, c->serial2_fd,
			    c->control_fd, c->restore_fd,        c->restore_head_fd };
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i] >= 0)
			fds[n++] = all[i];
	for (unsigned i = 0; i < c->nnets; i++)
		if (!strcmp(c->nets[i].type, "fd"))
			fds[n++] = c->nets[i].fd;
	return n;
}

bool vmm_config_shares_memory(const struct vmm_config *c)
{
	for (unsigned i = 0; i < c->nnets; i++)
		if (!strcmp(c->nets[i].type, "vhost-user"))
			return true;
	return c->nvhost_disks > 0;
}

/* ---- life ---- */

void vmm_config_init(struct vmm_config *c)
{
	*c = (struct vmm_config){
		.name = xstrdup("vm"),
		.engine = xstrdup("auto"),
		.machine = xstrdup("q35"),
		.irqchip = xstrdup("split"),
		.cpu = xstrdup("mica-v2"),
		.cpus = 1,
		.memory_bytes = 512 * MIB,
		.firmware = xstrdup("auto"),
		.vsock_cid = VMM_CID_MIN,
		.console = xstrdup("none"),
		.console_fd = -1,
		.virtio_console = xstrdup("none"),
		.virtio_console_fd = -1,
		.serial2 = xstrdup("none"),
		.serial2_fd = -1,
		.screen = xstrdup("none"),
		.control_fd = -1,
		.restore_fd = -1,
		.restore_head_fd = -1,
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
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		char *items = *(char **)at(c, lists[i].off);
		for (unsigned k = 0; k < *(unsigned *)at(c, lists[i].off_n); k++)
			fields_fini(items + k * lists[i].bytes, lists[i].fields);
		free(items);
	}
	fields_fini(c, config_fields);
	memset(c, 0, sizeof(*c));
}
