/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpu_promise_json.c - see cpu_promise_json.h. */
#include "vmm/cpu_promise_json.h"
#include "base/plain.h"
#include "base/i18n.h"

json_t *promise_to_json(const struct cpu_model_promise *p)
{
	json_t *words = json_array();

	for (unsigned i = 0; i < p->words; i++)
		json_array_append_new(words, json_integer(p->word[i]));
	return json_pack("{s:s s:s% s:o s:I s:i}", "model", p->name, "vendor", p->vendor,
			 strnlen(p->vendor, sizeof(p->vendor)), "words", words, "xcr0", (json_int_t)p->xcr0, "cpus",
			 (int)p->ncpus);
}

int promise_from_json(struct cpu_model_promise *p, const json_t *j, struct err *e)
{
	const char *vendor = json_string_value(json_object_get(j, "vendor"));
	const char *model = json_string_value(json_object_get(j, "model"));
	const json_t *words = json_object_get(j, "words"), *xcr0 = json_object_get(j, "xcr0");

	*p = (struct cpu_model_promise){ .words = CPU_MODEL_WORDS };
	if (!vendor || strlen(vendor) != sizeof(p->vendor) || !model || strlen(model) >= sizeof(p->name) ||
	    json_array_size(words) != CPU_MODEL_WORDS || !json_is_integer(xcr0))
		return err_set(e, EBADMSG, "not a description of CPUs that this version knows");
	memcpy(p->vendor, vendor, sizeof(p->vendor));
	memcpy(p->name, model, strlen(model));
	p->xcr0 = (u64)json_integer_value(xcr0);
	for (unsigned i = 0; i < CPU_MODEL_WORDS; i++) {
		json_int_t v = json_integer_value(json_array_get(words, i));

		if (v < 0 || v > UINT32_MAX)
			return err_set(e, EBADMSG, "not a description of CPUs that this version knows");
		p->word[i] = (u32)v;
	}
	return 0;
}

/* ---- a host ---- */

static void add_engine(json_t *list, enum cpu_engine_kind kind, const char *name)
{
	struct cpu_model_promise p;
	struct cpu_model *m;
	struct err e;

	if (cpu_model_new(&m, "host", 1, &e) < 0)
		return;
	if (cpu_engine_limit(kind, m, &e) == 0) {
		cpu_model_promise(m, &p);
		json_array_append_new(list, json_pack("{s:s s:b s:o}", "name", name, "limited", p.limited, "promise",
						      promise_to_json(&p)));
	}
	cpu_model_free(m);
}

json_t *promise_of_host(bool kvm)
{
	json_t *list = json_array();

	if (kvm)
		add_engine(list, CPU_ENGINE_KVM, "kvm");
	add_engine(list, CPU_ENGINE_SOFT, "soft");
	return list;
}

int promise_find_engine(const json_t *engines, const struct cpu_model_promise *p, char *buf, size_t bytes,
			struct err *e)
{
	char why[400] = "";
	const json_t *o;
	size_t i;

	buf[0] = '\0';
	json_array_foreach(engines, i, o)
	{
		const char *name = json_string_value(json_object_get(o, "name"));
		struct cpu_model_promise host;
		struct err no;
		size_t at = strlen(buf);
		int r = promise_from_json(&host, json_object_get(o, "promise"), &no);

		host.limited = json_is_true(json_object_get(o, "limited"));
		if (r == 0)
			r = cpu_promise_fits(&host, p, &no);
		if (r == 0)
			snprintf(buf + at, bytes - at, "%s%s", at ? ", " : "", name ? name : "?");
		else
			snprintf(why + strlen(why), sizeof(why) - strlen(why), "%s%.16s: %.170s", why[0] ? "; " : "",
				 name ? name : "?", no.msg);
	}
	plain_text(buf); /* the names are the other host's words */
	if (buf[0])
		return 0;
	return err_set(e, ENOTSUP, "%s", why[0] ? why : "that host has no engine");
}
