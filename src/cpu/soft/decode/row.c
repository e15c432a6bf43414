/* SPDX-License-Identifier: GPL-2.0-or-later */
/* row.c - see row.h. */
#include "cpu/soft/decode/row.h"

void decode_table_index(struct decode_table *t)
{
	for (unsigned i = 0; i < t->rows; i++) {
		u16 *at = &t->at[t->row[i].mnemonic];

		must(!*at || *at == i + 1);
		*at = (u16)(i + 1);
	}
}
