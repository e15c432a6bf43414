/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mutate.h - the main() of tests that give a fuzz target random inputs, the same ones each time:
 *   mutate_NAME [ROUNDS [FIRST]]
 */
#ifndef MICA_TEST_MUTATE_H
#define MICA_TEST_MUTATE_H

#include "base/base.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

struct mutate {
	unsigned long rounds; /* the default: seconds */
	size_t least, most;   /* bytes of an input; below most */
	/* Makes of noise what gets further; NULL: noise gets there. */
	void (*shape)(u8 *buf, size_t n, unsigned long round);
	const char *what; /* that survived */
};

static inline int mutate_main(const struct mutate *m, int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : m->rounds,
		      first = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	u8 *buf = xcalloc(1, m->most);

	for (unsigned long i = first; i < first + rounds; i++) {
		u64 s = (i + 1) * 0x9e3779b97f4a7c15ull;
		size_t len = m->least + s % (m->most - m->least);

		for (size_t n = 0; n < len; n++) {
			s ^= s << 13;
			s ^= s >> 7;
			s ^= s << 17;
			buf[n] = (u8)(s >> 24);
		}
		if (m->shape)
			m->shape(buf, len, i);
		LLVMFuzzerTestOneInput(buf, len);
	}
	free(buf);
	printf("%lu %s survived\n", rounds, m->what);
	return 0;
}

#endif
