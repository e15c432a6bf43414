/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mutate_tpm.c - fuzz_tpm.c without a fuzzer (mutate.h): random drivers of a TPM, and random swtpms. */
#include "mutate.h"

/* Registers that there are, of one locality, and lengths that commands have. */
static void shape(u8 *buf, size_t n, unsigned long round)
{
	for (size_t at = 0; round % 4 && at + 8 <= n; at += 8) {
		buf[at + 2] &= 0x7f;
		if ((buf[at] & 7) > 3)
			buf[at + 1] = 0;
		if (buf[at + 2] % 8 > 1 && buf[at + 2] % 8 < 5) {
			buf[at + 4] &= 0xfe;
			buf[at + 5] = buf[at + 6] = 0;
			buf[at + 7] &= 31;
		}
	}
}

int main(int argc, char **argv)
{
	const struct mutate m = { .rounds = 300, .least = 800, .most = 16000, .shape = shape, .what = "TPMs" };

	return mutate_main(&m, argc, argv);
}
