/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_engine.c - fuzz_engine.c without a fuzzer: the same machines each time.
 *   run_engine [--seconds N] [--first SEED] [--count N] [--hash], and engine/soft_args.h
 * --hash prints a line for each seed: what the machine came to, "-" where time ended it. Builds that run
 * uops in different ways (tail calls, the sanitizers' loop) must agree.
 */
#include "../engine/soft_args.h"
#include "base/clock.h"

#include <inttypes.h>
#include <signal.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
u64 fuzz_engine_hash(bool *timed_out);
extern u64 fuzz_engine_fuel;
extern struct soft_options fuzz_engine_soft;

static u64 seed;

static void tell(int sig)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "run_engine: signal %d with --first %" PRIu64 " --count 1\n", sig, seed);

	if (write(2, line, (size_t)n) < 0)
		_exit(1);
	signal(sig, SIG_DFL);
	raise(sig);
}

int main(int argc, char **argv)
{
	u64 seconds = 25, count = UINT64_MAX, done = 0;
	bool hash = false;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--hash")) {
			hash = true;
			fuzz_engine_fuel = 0;
			continue;
		}
		must(i + 1 < argc);
		u64 v = strtoull(argv[i + 1], NULL, 0);
		if (!strcmp(argv[i], "--seconds"))
			seconds = v;
		else if (!strcmp(argv[i], "--first"))
			seed = v;
		else if (!strcmp(argv[i], "--count"))
			count = v;
		else if (!soft_arg(&fuzz_engine_soft, argv[i], argv[i + 1]))
			must(!"option");
		i++;
	}
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGABRT };
	for (unsigned i = 0; i < ARRAY_LEN(fatal); i++)
		signal(fatal[i], tell);

	u64 end = clock_mono_ns() + seconds * NSEC_PER_SEC;
	for (; done < count && (count != UINT64_MAX || clock_mono_ns() < end); done++, seed++) {
		u8 data[24];
		u64 s = seed * 0x9e3779b97f4a7c15ull + 1;
		for (unsigned i = 0; i < sizeof(data); i++) {
			s ^= s << 13;
			s ^= s >> 7;
			s ^= s << 17;
			data[i] = (u8)(s >> 24);
		}
		LLVMFuzzerTestOneInput(data, sizeof(data));
		if (hash) {
			bool timed_out;
			u64 h = fuzz_engine_hash(&timed_out);
			if (timed_out)
				printf("%" PRIu64 " -\n", seed);
			else
				printf("%" PRIu64 " %016" PRIx64 "\n", seed, h);
		}
	}
	fprintf(stderr, "%" PRIu64 " machines\n", done);
	return 0;
}
