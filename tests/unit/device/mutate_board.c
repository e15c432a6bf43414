/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mutate_board.c - fuzz_board.c without a fuzzer (mutate.h): random accesses to what sits at fixed addresses of a PC.
 */
#include "mutate.h"

int main(int argc, char **argv)
{
	const struct mutate m = { .rounds = 600, .least = 4096, .most = 32000, .what = "accesses" };

	return mutate_main(&m, argc, argv);
}
