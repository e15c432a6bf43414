// SPDX-License-Identifier: GPL-2.0-or-later
// SQLite on a file in memory: inserts with an index, each hundred a transaction, then an aggregate over all.
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>
#include "work.h"

#define DATABASE "/tmp/bench-sqlite"

static sqlite3 *db;

static void execute(const char *sql)
{
	char *message = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
		fprintf(stderr, "work: %s: %s\n", sql, message);
		_exit(1);
	}
}

static uint64_t inserts(uint64_t n)
{
	sqlite3_stmt *insert, *total;
	uint64_t state = 17, sum;
	char name[32];

	unlink(DATABASE);
	must(sqlite3_open(DATABASE, &db) == SQLITE_OK, DATABASE);
	execute("create table t (id integer primary key, name text, value integer)");
	execute("create index by_name on t (name)");
	must(sqlite3_prepare_v2(db, "insert into t (name, value) values (?, ?)", -1, &insert, NULL) == SQLITE_OK,
	     "insert");
	for (uint64_t i = 0; i < n; i++) {
		uint64_t r = next_random(&state);
		if (i % 100 == 0)
			execute(i ? "commit; begin" : "begin");
		int length = snprintf(name, sizeof name, "item %llx", (unsigned long long)(r >> 20));
		sqlite3_bind_text(insert, 1, name, length, SQLITE_TRANSIENT);
		sqlite3_bind_int64(insert, 2, (int64_t)(r & 0xffff));
		must(sqlite3_step(insert) == SQLITE_DONE, "insert");
		sqlite3_reset(insert);
	}
	execute("commit");
	must(sqlite3_prepare_v2(db, "select sum(value), count(distinct substr(name, 6, 2)) from t", -1, &total, NULL) ==
		     SQLITE_OK &&
		 sqlite3_step(total) == SQLITE_ROW,
	     "select");
	sum = mix((uint64_t)sqlite3_column_int64(total, 0), (uint64_t)sqlite3_column_int64(total, 1));
	sqlite3_finalize(insert);
	sqlite3_finalize(total);
	sqlite3_close(db);
	return sum;
}

const struct workload sqlite_workloads[] = {
	{ "sqlite", "further", "inserts with an index, a hundred a transaction, and an aggregate", inserts },
	{ 0 },
};
