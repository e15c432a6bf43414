/* SPDX-License-Identifier: GPL-2.0-or-later */
/* saved_config.c - see saved_config.h. */
#include "vmm/saved_config.h"
#include "vmm/device_plan.h"
#include "base/i18n.h"
#include "block/block.h"

#define NAMES_MAX 256u

/* ---- saving ---- */

static char *absolute(const char *cwd, const char *path)
{
	if (!path || !*path)
		return NULL;
	return *path == '/' || blk_is_url(path) ? xstrdup(path) : xasprintf("%s/%s", strcmp(cwd, "/") ? cwd : "", path);
}

static const char *json_or_empty(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void set_absolute(json_t *o, const char *key, const char *cwd)
{
	const char *path = json_string_value(json_object_get(o, key));
	auto_free char *abs = absolute(cwd, path);

	if (abs)
		json_object_set_new(o, key, json_string(abs));
}

/* What another host, process and terminal will have of its own. */
static void strip(json_t *o, const char *cwd)
{
	static const char *const gone[] = { "console",
					    "console_path",
					    "console_fd",
					    "virtio_console",
					    "virtio_console_path",
					    "virtio_console_fd",
					    "serial2",
					    "serial2_path",
					    "serial2_fd",
					    "vnc",
					    "vnc_password_file",
					    "vnc_tls_cert",
					    "vnc_tls_key",
					    "control_fd",
					    "detached",
					    "control_path",
					    "trace",
					    "stats",
					    "verbose",
					    "restore_fd",
					    "restore_head_fd",
					    "restore_disks",
					    "engine",
					    "engine_options",
					    "irqchip",
					    "fw_cfg" /* the files themselves are saved */ };
	json_t *v;
	size_t i;

	for (i = 0; i < ARRAY_LEN(gone); i++)
		json_object_del(o, gone[i]);
	json_array_foreach(json_object_get(o, "nets"), i, v)
	{
		json_object_del(v, "fd");
		set_absolute(v, "tftp", cwd);
	}
	if (!vmm_firmware_is_word(json_string_value(json_object_get(o, "firmware"))))
		set_absolute(o, "firmware", cwd);
	if (*json_or_empty(o, "nvram"))
		set_absolute(o, "nvram", cwd);
	set_absolute(o, "kernel", cwd);
	set_absolute(o, "vsock", cwd);
	set_absolute(o, "tpm", cwd);
	set_absolute(o, "initrd", cwd);
	json_array_foreach(json_object_get(o, "disks"), i, v) set_absolute(v, "path", cwd);
	json_array_foreach(json_object_get(o, "shares"), i, v) set_absolute(v, "path", cwd);
	json_array_foreach(json_object_get(o, "modules"), i, v)
	{
		auto_free char *abs = absolute(cwd, json_string_value(v));
		json_array_set_new(json_object_get(o, "modules"), i, json_string(abs));
	}
}

int saved_config_save(struct state_file *s, const struct vmm_config *cfg, const char *cwd, struct err *e)
{
	json_t *o = vmm_config_to_json(cfg);
	int r = o ? state_section(s, "config", 0, 1, e) : err_set(e, EILSEQ, "a file name is not valid UTF-8");

	if (r == 0) {
		strip(o, cwd);
		json_t *whole = json_pack("{s:s s:b s:b s:O}", "version", MICA_VERSION, "virtio_console",
					  strcmp(cfg->virtio_console, "none") != 0, "serial2",
					  strcmp(cfg->serial2, "none") != 0, "config", o);
		auto_free char *text = whole ? json_dumps(whole, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
		json_decref(whole);
		must(text);
		state_bytes(s, text, strlen(text));
		r = state_end(s, e);
	}
	json_decref(o);
	return r;
}

/* ---- loading ---- */

/* What was saved has absolute paths: another one would be another file wherever the state is restored. */
static int check_path(const char *path, struct err *e)
{
	if (!path || !*path || *path == '/' || blk_is_url(path))
		return 0;
	return err_set(e, EBADMSG, "the path '%s' is not absolute", path);
}

/* More than any machine has: what a person may be asked to read through. */
static int check_names(const struct vmm_config *c, struct err *e)
{
	unsigned names = c->nmodules;
	int r = check_path(c->kernel, e);

	if (r == 0)
		r = check_path(c->initrd, e);
	if (r == 0 && !vmm_firmware_is_word(c->firmware))
		r = check_path(c->firmware, e);
	if (r == 0 && c->nvram && *c->nvram)
		r = check_path(c->nvram, e);
	if (r == 0)
		r = check_path(c->vsock, e);
	if (r == 0)
		r = check_path(c->tpm, e);
	for (unsigned i = 0; i < c->nshares && r == 0; i++)
		r = check_path(c->shares[i].path, e);
	for (unsigned i = 0; i < c->nnets; i++)
		names += MIN(c->nets[i].nhostfwd, NAMES_MAX + 1);
	if (names > NAMES_MAX)
		return err_set(e, EBADMSG, "more than %u modules and ports", NAMES_MAX);
	for (unsigned i = 0; i < c->nmodules && r == 0; i++)
		r = check_path(c->modules[i], e);
	for (unsigned i = 0; i < c->nnets && r == 0; i++)
		r = check_path(c->nets[i].tftp, e);
	for (unsigned i = 0; i < c->nnets && r == 0; i++)
		r = check_path(c->nets[i].path, e);
	for (unsigned i = 0; i < c->nvhost_disks && r == 0; i++)
		r = check_path(c->vhost_disks[i].path, e);
	for (unsigned i = 0; i < c->ndisks && r == 0; i++)
		r = check_path(c->disks[i].path, e);
	return r;
}

static int from_json(struct saved_config *c, const json_t *whole, struct err *e)
{
	const json_t *o = json_object_get(whole, "config"), *vcon = json_object_get(whole, "virtio_console");

	if (!json_is_object(o) || !json_is_boolean(vcon))
		return err_set(e, EBADMSG, "the saved state has no configuration");
	c->virtio_console = json_is_true(vcon);
	c->serial2 = json_is_true(json_object_get(whole, "serial2")); /* older ones do not say: they had none */
	int r = vmm_config_from_json(&c->cfg, o, e);
	if (r == 0)
		r = check_names(&c->cfg, e);
	if (r < 0)
		vmm_config_fini(&c->cfg);
	return r < 0 ? err_prefix(e, "the saved state") : 0;
}

int saved_config_load(struct state_file *s, struct saved_config *c, struct err *e)
{
	int r = state_section(s, "config", 0, 1, e);
	json_error_t je;
	size_t n;

	if (r < 0)
		return r;
	const u8 *text = state_rest(s, &n);
	json_t *whole = json_loadb((const char *)text, n, JSON_REJECT_DUPLICATES, &je);
	if (!whole)
		state_bad(s, "not JSON");
	r = state_end(s, e);
	if (r == 0)
		r = from_json(c, whole, e);
	json_decref(whole);
	return r;
}

void saved_config_fini(struct saved_config *c)
{
	vmm_config_fini(&c->cfg);
}

static bool same_device(const struct vmm_planned *a, const struct vmm_planned *b)
{
	bool same = a->cls == b->cls && a->nparams == b->nparams;

	for (unsigned i = 0; same && i < a->nparams; i++)
		same = !strcmp(a->params[i], b->params[i]);
	return same;
}

/* Where consoles are is not in the saved configuration, only that they are: see above. */
static const struct vmm_planned *next_device(const struct vmm_planned *plan, unsigned n, unsigned *at)
{
	while (*at < n &&
	       (plan[*at].cls->role == DEVICE_CONSOLE || (plan[*at].cls->role == DEVICE_SERIAL && plan[*at].index)))
		++*at;
	return *at < n ? &plan[(*at)++] : NULL;
}

/* The same classes in the same order, with the same parameters: what a guest sees of them is in its memory. */
static int devices_fit(const struct vmm_config *was, const struct vmm_config *cfg, struct err *e)
{
	struct vmm_planned *a = NULL, *b = NULL;
	unsigned na, nb, ia = 0, ib = 0;
	int r = vmm_device_plan(&a, &na, was, e);

	if (r == 0)
		r = vmm_device_plan(&b, &nb, cfg, e);
	while (r == 0) {
		const struct vmm_planned *x = next_device(a, na, &ia), *y = next_device(b, nb, &ib);
		if (!x && !y)
			break;
		if (!x || !y || !same_device(x, y))
			r = err_set(e, EINVAL, "device %s: the saved VM has %s there, not %s, or with other parameters",
				    y ? y->id : x->id, x ? x->cls->name : "nothing", y ? y->cls->name : "nothing");
	}
	free(a);
	free(b);
	return r;
}

int saved_config_fits(const struct saved_config *c, const struct vmm_config *cfg, struct err *e)
{
	const struct vmm_config *was = &c->cfg;

	if (was->cpus != cfg->cpus)
		return err_set(e, EINVAL, "the saved VM has %u CPUs, not %u", was->cpus, cfg->cpus);
	if (was->memory_bytes != cfg->memory_bytes)
		return err_set(e, EINVAL, "the saved VM has %llu MiB of memory, not %llu",
			       (unsigned long long)(was->memory_bytes / MIB),
			       (unsigned long long)(cfg->memory_bytes / MIB));
	if (strcmp(was->cpu, cfg->cpu))
		return err_set(e, EINVAL, "the saved VM has the CPU model %s, not %s", was->cpu, cfg->cpu);
	if (strcmp(was->machine, cfg->machine))
		return err_set(e, EINVAL, "the saved VM is a --machine %s, not %s", was->machine, cfg->machine);
	if (was->ndisks != cfg->ndisks)
		return err_set(e, EINVAL, "the saved VM has %u disks, not %u", was->ndisks, cfg->ndisks);
	if (was->nnets != cfg->nnets)
		return err_set(e, EINVAL, "the saved VM has %u network cards, not %u", was->nnets, cfg->nnets);
	if (c->virtio_console != (strcmp(cfg->virtio_console, "none") != 0))
		return err_set(e, EINVAL,
			       c->virtio_console
				   ? N_("the saved VM has a virtio console; say where it goes with --virtio-console")
				   : N_("the saved VM has no virtio console"));
	if (c->serial2 != (strcmp(cfg->serial2, "none") != 0))
		return err_set(e, EINVAL,
			       c->serial2
				   ? N_("the saved VM has a second serial port; say where it goes with --serial2")
				   : N_("the saved VM has no second serial port"));
	if (strcmp(was->firmware, cfg->firmware) && !was->kernel)
		return err_set(e, EINVAL, "the saved VM has firmware '%s', not '%s'", was->firmware, cfg->firmware);
	for (unsigned i = 0; i < MIN(was->nshares, cfg->nshares); i++)
		if (strcmp(was->shares[i].tag, cfg->shares[i].tag) ||
		    was->shares[i].readonly != cfg->shares[i].readonly)
			return err_set(e, EINVAL,
				       "share %s: the saved VM has one with the tag '%s' there, or another ro=",
				       cfg->shares[i].path, was->shares[i].tag);
	if (was->vsock && cfg->vsock && was->vsock_cid != cfg->vsock_cid)
		return err_set(e, EINVAL, "the saved VM has the CID %llu, not %llu", (unsigned long long)was->vsock_cid,
			       (unsigned long long)cfg->vsock_cid);
	if (was->debug_exit != cfg->debug_exit)
		return err_set(e, EINVAL, "the saved VM differs in --debug-exit");
	int r = devices_fit(was, cfg, e);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < was->ndisks; i++)
		if (was->disks[i].readonly != cfg->disks[i].readonly)
			return err_set(e, EINVAL, "disk %s: the saved VM has it %s", cfg->disks[i].path,
				       was->disks[i].readonly ? "readonly=on" : "readonly=off");
	return 0;
}
