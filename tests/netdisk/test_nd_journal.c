/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_nd_journal.c - what is kept of writes until they are flushed: order, room, and what a flush covers. */
#include "netdisk/nd_journal.h"
#include "netdisk/netdisk.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct nd_journal j;

static int put(u64 off, u32 bytes, u8 fill)
{
	u8 data[4096];
	int i = nd_journal_begin(&j, NETDISK_WRITE, false, off, bytes);

	memset(data, fill, sizeof(data));
	if (i >= 0)
		nd_journal_end(&j, i, true, data);
	return i;
}

static void test_order_and_flush(void **state)
{
	(void)state;
	nd_journal_init(&j, 16384);
	put(0, 512, 1);
	int late = nd_journal_begin(&j, NETDISK_ZERO, true, 512, 4096);
	put(0, 512, 2);
	u64 mark = nd_journal_mark(&j);
	put(1024, 512, 3);
	/* Pending ones are left out: they are sent again anyway. */
	int i = nd_journal_next(&j, -1);
	assert_int_equal(nd_journal_data(&j, nd_journal_entry(&j, i))[0], 1);
	i = nd_journal_next(&j, i);
	assert_int_equal(nd_journal_data(&j, nd_journal_entry(&j, i))[511], 2);
	i = nd_journal_next(&j, i);
	assert_int_equal(nd_journal_entry(&j, i)->off, 1024);
	assert_int_equal(nd_journal_next(&j, i), -1);
	/* What was acknowledged after the flush began stays. */
	nd_journal_end(&j, late, true, NULL);
	nd_journal_flushed(&j, mark);
	i = nd_journal_next(&j, -1);
	assert_int_equal(nd_journal_entry(&j, i)->op, NETDISK_ZERO);
	assert_true(nd_journal_entry(&j, i)->unmap);
	i = nd_journal_next(&j, i);
	assert_int_equal(nd_journal_entry(&j, i)->off, 1024);
	nd_journal_flushed(&j, nd_journal_mark(&j));
	assert_true(nd_journal_empty(&j));
	nd_journal_fini(&j);
}

static void test_room_goes_round(void **state)
{
	(void)state;
	nd_journal_init(&j, 16384);
	for (unsigned round = 0; round < 5000; round++) {
		unsigned n = 0;
		while (put(n * 4096, 3072, (u8)(round + n)) >= 0)
			n++;
		assert_in_range(n, 4, 5);
		unsigned seen = 0;
		for (int i = -1; (i = nd_journal_next(&j, i)) >= 0; seen++) {
			const struct nd_entry *e = nd_journal_entry(&j, i);
			assert_int_equal(e->off, seen * 4096);
			assert_true((e->data % j.data_bytes) + e->bytes <= j.data_bytes);
			assert_int_equal(nd_journal_data(&j, e)[3071], (u8)(round + seen));
		}
		assert_int_equal(seen, n);
		nd_journal_flushed(&j, nd_journal_mark(&j));
	}
	/* Entries without data are bounded, too; one that failed gives its room back. */
	unsigned n = 0;
	while (nd_journal_begin(&j, NETDISK_DISCARD, false, 0, 512) >= 0)
		n++;
	assert_int_equal(n, ND_JOURNAL_ENTRIES);
	nd_journal_end(&j, (int)(j.first % ND_JOURNAL_ENTRIES), false, NULL);
	assert_true(nd_journal_begin(&j, NETDISK_DISCARD, false, 0, 512) >= 0);
	nd_journal_fini(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_flush),
		cmocka_unit_test(test_room_goes_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
