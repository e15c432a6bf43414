/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm_stats.c - a VM in numbers. */
#include "base/clock.h"
#include "base/log.h"
#include "block/block.h"
#include "vmm/cpu_promise_json.h"
#include "vmm/vm_int.h"

#include <sys/stat.h>

/* Our memory, in bytes. "own" is what the VM costs beyond the guest RAM it uses. */
static void add_memory(struct vm *v, json_t *o)
{
	static const char *const keys[] = { "VmRSS", "RssAnon", "RssFile", "RssShmem" };
	static const char *const names[] = { "rss_bytes", "rss_anon_bytes", "rss_file_bytes", "rss_shmem_bytes" };
	char buf[4096];
	struct stat st;
	ssize_t n = pread(v->proc_status, buf, sizeof(buf) - 1, 0);
	u64 val[ARRAY_LEN(keys)] = { 0 };

	if (n < 0)
		return;
	buf[n] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		char *p = strstr(buf, keys[i]);
		if (p)
			val[i] = strtoull(p + strlen(keys[i]) + 1, NULL, 10) * KIB;
		json_object_set_new(o, names[i], json_integer((json_int_t)val[i]));
	}
	u64 ram = fstat(v->ram->memfd, &st) == 0 ? (u64)st.st_blocks * 512 : 0;
	json_object_set_new(o, "guest_ram_bytes", json_integer((json_int_t)ram));
	json_object_set_new(o, "own_bytes", json_integer((json_int_t)(val[0] - MIN(val[0], MIN(ram, val[3])))));
}

/* What an operator looks at when a VM, or its host, is in trouble. */
static void add_health(struct vm *v, json_t *o)
{
	u64 caused, dropped, errors = 0;

	log_guest_count(&caused, &dropped);
	for (unsigned i = 0; i < v->ndisks; i++)
		errors += blk_errors(v->disks[i]);
	json_object_set_new(o, "guest_messages", json_integer((json_int_t)caused));
	json_object_set_new(o, "guest_messages_dropped", json_integer((json_int_t)dropped));
	json_object_set_new(o, "disk_errors", json_integer((json_int_t)errors));
}

bool vm_disk_errors(struct vm *v, unsigned i, u64 *errors)
{
	if (i >= v->ndisks)
		return false;
	*errors = blk_errors(v->disks[i]);
	return true;
}

const char *vm_disk_connection(struct vm *v, unsigned i)
{
	const char *t = blk_trouble(v->disks[i]);

	return t ? t : "connected";
}

static void add_loop(struct vm *v, json_t *o)
{
	struct loop_stats s;

	loop_get_stats(v->loop, &s);
	json_object_set_new(o, "loop_turns", json_integer((json_int_t)s.turns));
	json_object_set_new(o, "loop_turn_max_us", json_integer((json_int_t)(s.longest_ns / 1000)));
	json_object_set_new(o, "loop_turn_max_cpu_us", json_integer((json_int_t)(s.longest_cpu_ns / 1000)));
	json_object_set_new(o, "loop_wait_max_us", json_integer((json_int_t)(s.longest_wait_ns / 1000)));
}

json_t *vm_stats_json(struct vm *v)
{
	json_t *o = json_object();
	char *text = NULL, *line, *save = NULL;
	size_t bytes = 0;
	FILE *f = open_memstream(&text, &bytes);

	add_memory(v, o);
	json_object_set_new(o, "uptime_ms", json_integer((json_int_t)((clock_mono_ns() - v->started_ns) / 1000000)));
	json_object_set_new(o, "start_cpu_us", json_integer((json_int_t)v->start_cpu_us));
	json_object_set_new(o, "resets", json_integer(v->resets));
	add_loop(v, o);
	add_health(v, o);
	if (f) {
		cpu_vm_stats(v->cpus, f);
		fclose(f);
	}
	for (line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		char *sp = strrchr(line, ' ');
		if (!sp)
			continue;
		*sp = '\0';
		json_object_set_new(o, line, json_integer((json_int_t)strtoull(sp + 1, NULL, 10)));
	}
	free(text);
	return o;
}

json_t *vm_status_json(struct vm *v)
{
	json_t *o = json_pack("{s:s s:s s:s s:s s:s s:i s:I s:I s:i s:s}", "name", v->cfg->name, "state",
			      gate_name(&v->gate), "engine", cpu_vm_engine(v->cpus), "engine_why", v->engine_why, "cpu",
			      v->cfg->cpu, "cpus", (int)v->cfg->cpus, "memory_bytes", (json_int_t)v->cfg->memory_bytes,
			      "uptime_ms", (json_int_t)((clock_mono_ns() - v->started_ns) / 1000000), "pid",
			      (int)getpid(), "version", MICA_VERSION);
	json_object_set_new(o, "devices", vm_devices_json(v));
	add_health(v, o);
	return o;
}

json_t *vm_promise_json(struct vm *v)
{
	struct cpu_model_promise p;

	cpu_model_promise(v->model, &p);
	return promise_to_json(&p);
}

void vm_print_stats(struct vm *v)
{
	json_t *o = vm_stats_json(v), *val;
	const char *key;

	json_object_foreach(o, key, val) fprintf(stderr, "%s %lld\n", key, (long long)json_integer_value(val));
	json_decref(o);
	cpu_vm_report(v->cpus, stderr);
}
