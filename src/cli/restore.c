/* SPDX-License-Identifier: GPL-2.0-or-later */
/* restore.c - see restore.h. */
#include "cli/restore.h"
#include "vmm/i18n.h"
#include "vmm/saved_config.h"

#include <fcntl.h>

/* What a saved machine is made of cannot be chosen anew. */
static int check_given(const struct run_opts *o, struct err *e)
{
	static const char *const fixed[] = { "kernel", "initrd", "append", "module",
					     "cpus",   "memory", "cpu",    "debug-exit" };

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		if (run_opts_given(o, fixed[i]))
			return err_set(e, EINVAL, _("--%s: a restored VM has this from its saved state"), fixed[i]);
	return 0;
}

#define TAKE(field) \
	do { \
		__typeof__(cfg->field) mine_ = cfg->field; \
		cfg->field = was->field; \
		was->field = mine_; \
	} while (0)

/* By exchange: what is left in *was is freed with it. */
static void take_machine(struct run_opts *o, struct vmm_config *was)
{
	struct vmm_config *cfg = &o->cfg;

	TAKE(kernel);
	TAKE(initrd);
	TAKE(append);
	TAKE(modules);
	TAKE(nmodules);
	TAKE(cpu);
	TAKE(cpus);
	TAKE(memory_bytes);
	TAKE(debug_exit);
	if (!run_opts_given(o, "name"))
		TAKE(name);
	if (!run_opts_given(o, "no-reboot"))
		TAKE(no_reboot);
	cfg->restore_disks = cfg->ndisks > 0;
	if (!cfg->ndisks) {
		TAKE(disks);
		TAKE(ndisks);
	}
	if (!cfg->nnets && !o->net_none) {
		TAKE(nets);
		TAKE(nnets);
	}
}

/* Is the console of that kind there when mica-vmm is started? Consoles are opened later. */
static int fits(const struct run_opts *o, const struct saved_config *was, struct err *e)
{
	if (was->virtio_console && o->virtio_console == CONSOLE_NONE)
		return err_set(e, EINVAL,
			       _("the saved VM has a virtio console; say where it goes with --virtio-console"));
	if (!was->virtio_console && o->virtio_console != CONSOLE_NONE)
		return err_set(e, EINVAL, _("--virtio-console: the saved VM has none"));
	if (o->cfg.ndisks && o->cfg.ndisks != was->cfg.ndisks)
		return err_set(e, EINVAL,
			       _("--disk: the saved VM has %u disks; give as many, in the same order, or none"),
			       was->cfg.ndisks);
	if ((o->cfg.nnets || o->net_none) && o->cfg.nnets != was->cfg.nnets)
		return err_set(e, EINVAL, _("--net: the saved VM has %u network cards; give as many, or say nothing"),
			       was->cfg.nnets);
	return 0;
}

int restore_prepare(struct run_opts *o, struct err *e)
{
	struct saved_config was;
	struct state *s;
	int r = check_given(o, e);

	if (r < 0)
		return r;
	auto_close int fd = open(o->restore, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "--restore: %s", o->restore);
	if ((r = state_load_new(&s, fd, e)) < 0)
		return err_prefix(e, "--restore: %s", o->restore);
	r = saved_config_load(s, &was, e);
	state_free(s);
	if (r < 0)
		return err_prefix(e, "--restore: %s", o->restore);
	r = fits(o, &was, e);
	if (r == 0)
		take_machine(o, &was.cfg);
	saved_config_fini(&was);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, errno, "--restore: %s", o->restore);
	o->cfg.restore_fd = steal_fd(&fd);
	return 0;
}
