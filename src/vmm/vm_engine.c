/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm_engine.c - which engine runs a VM: the one asked for, or the best that works; which and why is told. */
#include "base/log.h"
#include "cpu/probe.h"
#include "machine/machine.h"
#include "vmm/engine_options.h"
#include "vmm/exit_status.h"
#include "vmm/i18n.h"
#include "vmm/vm_int.h"

static unsigned trace_mask(const struct vmm_config *c)
{
	static const struct {
		const char *name;
		enum cpu_trace bit;
	} names[] = { { "exec", TRACE_EXEC }, { "exc", TRACE_EXC }, { "intr", TRACE_INTR }, { "block", TRACE_BLOCK } };
	unsigned mask = 0;

	for (unsigned i = 0; i < c->ntrace; i++)
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			if (!strcmp(c->trace[i], names[k].name))
				mask |= names[k].bit;
	return mask;
}

/* The CPU model as that engine keeps it, and as a saved VM was promised it. */
static int new_model(struct vm *v, enum cpu_engine_kind kind, struct err *e)
{
	cpu_model_free(steal(&v->model));
	int r = cpu_model_new(&v->model, v->cfg->cpu, v->cfg->cpus, e);

	if (r < 0)
		return err_prefix(e, "cpu");
	r = cpu_engine_limit(kind, v->model, e);
	if (r == 0 && v->restore && (r = cpu_model_keep(v->model, &v->promise, e)) < 0)
		r = err_prefix(e, _("restore"));
	return r;
}

int vm_choose_engine(struct vm *v, int *status, struct err *e)
{
	const struct vmm_config *c = v->cfg;
	enum cpu_engine_kind kvm = strcmp(c->irqchip, "kernel") ? CPU_ENGINE_KVM : CPU_ENGINE_KVM_CHIPS;
	struct kvm_probe p;
	int r;

	v->automatic = !strcmp(c->engine, "auto");
	v->kind = strcmp(c->engine, "kvm") ? CPU_ENGINE_SOFT : kvm;
	snprintf(v->engine_why, sizeof(v->engine_why), "%s", _("as asked for"));
	if (v->automatic) {
		kvm_probe(&p);
		v->kind = p.verdict == KVM_USABLE ? kvm : CPU_ENGINE_SOFT;
		snprintf(v->engine_why, sizeof(v->engine_why), "KVM: %s", p.why);
	}
	r = new_model(v, v->kind, e);
	/* What KVM cannot keep on this host, the software engine may. */
	if (r < 0 && v->automatic && v->kind != CPU_ENGINE_SOFT) {
		snprintf(v->engine_why, sizeof(v->engine_why), "KVM: %.300s", e->msg);
		v->kind = CPU_ENGINE_SOFT;
		r = new_model(v, v->kind, e);
	}
	if (r < 0 && v->kind != CPU_ENGINE_SOFT && !v->restore)
		*status = STATUS_ENGINE;
	if (r == -EINVAL && !v->restore)
		*status = STATUS_USAGE;
	return r;
}

static int make_cpus(struct vm *v, struct err *e)
{
	const struct vmm_config *c = v->cfg;
	const struct cpu_bus *bus = machine_cpu_bus(v->machine);
	struct soft_options so;

	must(engine_options_parse(&so, c->engine_options, c->nengine_options, e) == 0);
	return v->kind == CPU_ENGINE_SOFT ? cpu_vm_new_soft(&v->cpus, bus, v->ram, v->model, c->cpus, &so, e)
					  : cpu_vm_new(&v->cpus, v->kind, bus, v->ram, v->model, c->cpus, e);
}

static int new_engine(struct vm *v, struct err *e)
{
	int r = make_cpus(v, e);

	if (r < 0 && v->automatic && v->kind != CPU_ENGINE_SOFT) {
		snprintf(v->engine_why, sizeof(v->engine_why), "KVM: %.300s", e->msg);
		v->kind = CPU_ENGINE_SOFT;
		r = new_model(v, v->kind, e);
		if (r == 0)
			r = make_cpus(v, e);
	}
	if (r == 0)
		log_info(_("engine: %s (%s)"), cpu_vm_engine(v->cpus), v->engine_why);
	return r;
}

int vm_add_cpus(struct vm *v, int *status, struct err *e)
{
	const struct vmm_config *c = v->cfg;

	int r = new_engine(v, e);
	if (r < 0) {
		*status = STATUS_ENGINE;
		return r;
	}
	for (unsigned i = 0; i < c->cpus; i++)
		v->vcpu[i] = (struct vcpu){ .vm = v, .cpu = cpu_vm_cpu(v->cpus, i), .index = i };
	if (c->ntrace) {
		cpu_vm_trace(v->cpus, trace_mask(c));
		if (strcmp(cpu_vm_engine(v->cpus), "soft"))
			log_warn("%s", _("--trace: only the software engine can trace; use --engine soft"));
	}
	machine_attach_cpus(v->machine, v->cpus);
	return 0;
}
