/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stats.c - the software engine's counters, as "name value" lines for programs and as a table for people.
 *
 * Counters are plain: the vCPU's thread writes them, whoever asks reads what is there. Time is measured around what
 * is slow anyway (sleep, translating); a guest's time is the rest of cpu_run(), devices that work on the vCPU's
 * thread included.
 */
#include "base/clock.h"
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/direct/direct_pace.h"
#include "cpu/soft/jit/jit_emit.h"
#include "cpu/soft/run/core.h"

#include <inttypes.h>

#define TOP 12

static const char *const exit_names[JX_COUNT] = {
	[JX_PENDING] = "pending", [JX_DEAD] = "dead",     [JX_COLD] = "cold",
	[JX_SYSTEM] = "system",   [JX_MEMORY] = "memory", [JX_VECTOR] = "vector",
};

static const char *const direct_exit_names[DX_COUNT] = {
	[DX_KICK] = "kick", [DX_SYSCALL] = "syscall", [DX_FAULT] = "fault", [DX_GP] = "trap",
	[DX_TSC] = "tsc",   [DX_MAP] = "map",         [DX_LOST] = "lost",
};

struct times {
	u64 run, idle, translate, guest; /* ns */
};

static u64 since(u64 start)
{
	u64 now = clock_mono_ns();

	return start && now > start ? now - start : 0;
}

static struct times times_of(const struct soft_cpu *c)
{
	struct times t = { .run = c->st.run_ns + since(c->st.run_since_ns),
			   .idle = c->st.idle_ns + since(c->st.idle_since_ns),
			   .translate = c->jit.n.translate_ns };

	t.guest = t.run - MIN(t.run, t.idle + t.translate);
	return t;
}

/* ---- instructions by name, of all vCPUs together ---- */

struct top {
	const char *name;
	u64 n;
};

static u64 count_of(const struct soft_vm *vm, bool ends, unsigned mnemonic)
{
	u64 n = 0;

	for (unsigned i = 0; i < vm->ncpus; i++)
		n += (ends ? vm->cpu[i]->jit.n.ends : vm->cpu[i]->jit.n.handlers)[mnemonic];
	return n;
}

static unsigned find_top(const struct soft_vm *vm, bool ends, struct top top[TOP])
{
	unsigned used = 0;

	for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++) {
		u64 n = count_of(vm, ends, m);
		unsigned at = used;
		if (!n || (used == TOP && n <= top[TOP - 1].n))
			continue;
		while (at && top[at - 1].n < n)
			at--;
		if (used < TOP)
			used++;
		memmove(&top[at + 1], &top[at], (used - 1 - at) * sizeof(*top));
		const char *name = m == ZYDIS_MNEMONIC_INVALID ? "undefined" : ZydisMnemonicGetString((ZydisMnemonic)m);
		top[at] = (struct top){ name ? name : "?", n };
	}
	return used;
}

/* ---- for programs ---- */

#define LINE(name, v) fprintf(f, "cpu%u_" name " %" PRIu64 "\n", i, (u64)(v))

static void stats_of_jit(const struct soft_vm *vm, FILE *f)
{
	const struct jit_code *k = vm->jit;
	struct top top[TOP];

	fprintf(f,
		"jit_code_bytes %u\njit_code_max_bytes %zu\njit_translations %" PRIu64 "\njit_refused %" PRIu64
		"\njit_unlinked %" PRIu64 "\n",
		k->used, k->bytes, k->translations, k->refused, k->unlinked);
	for (unsigned i = 0; i < vm->ncpus; i++) {
		const struct jit_cpu *s = &vm->cpu[i]->jit;
		LINE("jit_translated", s->translated);
		LINE("jit_translated_instructions", s->n.insns);
		LINE("jit_entries", s->entries);
		for (unsigned x = 0; x < JX_COUNT; x++)
			fprintf(f, "cpu%u_jit_exits_%s %" PRIu64 "\n", i, exit_names[x], s->n.exit[x]);
		LINE("jit_links", s->links);
		LINE("jit_lookups", s->lookups);
		LINE("jit_tlb1_misses", s->slow);
		LINE("jit_tlb2_misses", s->n.walks);
		LINE("jit_slow_handlers", s->slow_uop);
		LINE("jit_slow_crossings", s->n.crossings);
		LINE("jit_slow_mmio", s->n.mmio);
		LINE("jit_slow_others", s->n.others);
		LINE("jit_handlers", s->uops);
	}
	for (int ends = 0; ends < 2; ends++)
		for (unsigned i = 0, n = find_top(vm, ends, top); i < n; i++)
			fprintf(f, "%s_%s %" PRIu64 "\n", ends ? "jit_exits_for" : "jit_handlers", top[i].name,
				top[i].n);
}

void soft_stats(const struct soft_vm *vm, FILE *f)
{
	fprintf(f,
		"cache_bytes %zu\ncache_max_bytes %zu\ncache_resets %" PRIu64 "\nblocks_invalidated %" PRIu64
		"\ntrims %" PRIu64 "\n",
		vm->cache->used, vm->cache->arena_bytes, vm->cache->resets, vm->cache->invalidated, vm->trim.times);
	if (vm->jit)
		stats_of_jit(vm, f);
	if (vm->direct.born)
		fprintf(f, "direct_stop_ns %" PRIu64 "\n", pace_stop_ns(&vm->direct.price));
	for (unsigned i = 0; i < vm->ncpus; i++)
		jit_check_stats(vm->cpu[i], f);
	for (unsigned i = 0; i < vm->ncpus; i++) {
		const struct soft_stats *s = &vm->cpu[i]->st;
		struct times t = times_of(vm->cpu[i]);
		LINE("time_guest_us", t.guest / 1000);
		LINE("time_translate_us", t.translate / 1000);
		LINE("time_idle_us", t.idle / 1000);
		LINE("blocks_decoded", s->blocks_decoded);
		LINE("uops_decoded", s->uops_decoded);
		LINE("block_lookups", s->blocks_run_slow);
		LINE("tlb_fills", s->tlb_fill);
		LINE("page_walks", s->page_walk);
		LINE("mmio", s->mmio);
		LINE("pio", s->pio);
		LINE("interrupts", s->intr);
		LINE("halts", s->halts);
		LINE("halt_polls", s->polls);
		LINE("halt_polls_found", s->polls_found);
		LINE("single_steps", s->single_steps);
		LINE("code_page_stops", s->ping);
		LINE("space_switches", s->space_switch);
		LINE("space_flushes", s->space_flush);
		const struct direct_stats *d = &vm->cpu[i]->direct.st;
		LINE("direct_us", d->ns / 1000);
		LINE("direct_let_in", d->let_in);
		LINE("direct_barred", d->barred);
		LINE("direct_starts", d->starts);
		LINE("direct_maps", d->maps);
		LINE("direct_pages", d->pages);
		LINE("direct_checks", d->checks);
		LINE("direct_drops", d->drops);
		for (unsigned k = 0; k < DX_COUNT; k++)
			fprintf(f, "cpu%u_direct_stops_%s %" PRIu64 "\n", i, direct_exit_names[k], d->exit[k]);
		for (unsigned k = 0; k < 32; k++)
			if (s->exc[k])
				fprintf(f, "cpu%u_exception_%u %" PRIu64 "\n", i, k, s->exc[k]);
	}
}

/* ---- for people ---- */

static double mib(u64 bytes)
{
	return (double)bytes / MIB;
}

static double percent(u64 part, u64 whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void show_top(const struct soft_vm *vm, bool ends, const char *what, FILE *f)
{
	struct top top[TOP];
	unsigned n = find_top(vm, ends, top);

	for (unsigned i = 0; i < n; i++)
		fprintf(f, "# %-26s %14" PRIu64 "  %s\n", i ? "" : what, top[i].n, top[i].name);
}

static u64 sum(const struct soft_vm *vm, size_t off)
{
	u64 n = 0;

	for (unsigned i = 0; i < vm->ncpus; i++)
		n += *(const u64 *)(const void *)((const u8 *)vm->cpu[i] + off);
	return n;
}
#define SUM(field) sum(vm, offsetof(struct soft_cpu, field))

static void row(FILE *f, const char *what, u64 n, const char *of)
{
	fprintf(f, "# %-26s %14" PRIu64 "%s%s\n", what, n, *of ? "  " : "", of);
}

static void report_of_jit(const struct soft_vm *vm, FILE *f)
{
	const struct jit_code *k = vm->jit;

	fprintf(f,
		"# translated: %" PRIu64 " blocks, %" PRIu64 " instructions; %.1f of %.1f MiB of code memory in use\n",
		SUM(jit.translated), SUM(jit.n.insns), mib(k->used), mib(k->bytes));
	row(f, "translated code entered", SUM(jit.entries), "");
	row(f, "left: something pending", SUM(jit.n.exit[JX_PENDING]), "interrupts, stops, single steps");
	row(f, "left: block dropped", SUM(jit.n.exit[JX_DEAD]), "");
	row(f, "left: not translated yet", SUM(jit.n.exit[JX_COLD]), "");
	row(f, "left: memory", SUM(jit.n.exit[JX_MEMORY]), "branches whose operand the TLB cannot serve");
	row(f, "left: vector state", SUM(jit.n.exit[JX_VECTOR]), "may not be used now");
	show_top(vm, true, "left: for an instruction", f);
	show_top(vm, false, "by a handler, inside", f);
	row(f, "first-level TLB misses", SUM(jit.slow), "");
	row(f, "second-level TLB misses", SUM(jit.n.walks), "");
	row(f, "memory by a handler", SUM(jit.slow_uop), "of that:");
	row(f, "  over a page's end", SUM(jit.n.crossings), "");
	row(f, "  devices", SUM(jit.n.mmio), "");
	row(f, "  pages with code, others", SUM(jit.n.others), "");
}

static void report_of_direct(const struct soft_vm *vm, FILE *f)
{
	const struct direct *d = &vm->direct;

	if (!d->born && (!d->n || d->why)) {
		fprintf(f, "# direct execution: none (%s)\n", d->why ? d->why : "not asked for");
		return;
	}
	fprintf(f, "# direct execution: %.2f s in up to %u processes\n", (double)SUM(direct.st.ns) / 1e9, d->n);
	row(f, "address spaces let in", SUM(direct.st.let_in), "");
	if (SUM(direct.st.barred))
		row(f, "sent back", SUM(direct.st.barred), "which do better in translated code");
	row(f, "started", SUM(direct.st.starts), "");
	for (unsigned k = 0; k < DX_COUNT; k++)
		if (SUM(direct.st.exit[k]))
			row(f, k ? "" : "stopped for", SUM(direct.st.exit[k]), direct_exit_names[k]);
	row(f, "pages mapped", SUM(direct.st.pages), "");
	row(f, "pages looked at again", SUM(direct.st.checks), "after the guest invalidated them");
}

void soft_report(const struct soft_vm *vm, FILE *f)
{
	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct times t = times_of(vm->cpu[i]);
		fprintf(
		    f,
		    "# CPU %u: %.2f s: guest %.2f s (%.1f %%), translating %.2f s (%.1f %%), asleep %.2f s (%.1f %%)\n",
		    i, (double)t.run / 1e9, (double)t.guest / 1e9, percent(t.guest, t.run), (double)t.translate / 1e9,
		    percent(t.translate, t.run), (double)t.idle / 1e9, percent(t.idle, t.run));
	}
	fprintf(f,
		"# decoded: %" PRIu64 " blocks; %.1f of %.1f MiB in use; all dropped %" PRIu64
		" times, blocks dropped one by one %" PRIu64 "\n",
		SUM(st.blocks_decoded), mib(vm->cache->used), mib(vm->cache->arena_bytes), vm->cache->resets,
		vm->cache->invalidated);
	if (vm->jit)
		report_of_jit(vm, f);
	for (unsigned i = 0; i < vm->ncpus; i++)
		jit_check_report(vm->cpu[i], f);
	report_of_direct(vm, f);
	row(f, "page walks", SUM(st.page_walk), "");
	row(f, "device memory, ports", SUM(st.mmio) + SUM(st.pio), "accesses");
	row(f, "interrupts", SUM(st.intr), "");
	row(f, "page faults", SUM(st.exc[EXC_PF]), "");
	row(f, "single steps", SUM(st.single_steps), "");
}
