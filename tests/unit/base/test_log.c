/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_log.c - what a guest can do to its host's log: little, and in the end nothing. */
#include "base/clock.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

/* Linked with --wrap=clock_gettime: a test's own seconds. */
static time_t ahead_s;
int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = __real_clock_gettime(id, ts);

	ts->tv_sec = 1000 + ahead_s;
	return r;
}

static int end; /* of the pipe that is stderr in the child */

/* fn() in a child whose stderr is a pipe; the child's status. Nobody reads the pipe meanwhile. */
static int child(void (*fn)(void))
{
	int p[2], status;

	assert_int_equal(pipe(p), 0);
	assert_true(fcntl(p[0], F_SETPIPE_SZ, 1 << 20) > 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(p[1], STDERR_FILENO);
		alarm(20); /* a log that blocks */
		fn();
		_exit(0);
	}
	close(p[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	end = p[0];
	return status;
}

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, word)); p++)
		n++;
	return n;
}

static char text[1 << 20];
static void read_end(void)
{
	size_t n = 0;
	ssize_t r;

	while ((r = read(end, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)r;
	text[n] = '\0';
	close(end);
}

static void flood(void)
{
	u64 caused, dropped;

	for (ahead_s = 0; ahead_s < 500; ahead_s++)
		for (unsigned i = 0; i < 50; i++)
			log_guest("line %u of second %u", i, (unsigned)ahead_s);
	log_guest_count(&caused, &dropped);
	must(caused == 25000 && dropped == 25000 - LOG_GUEST_TOTAL);
	log_warn("ours");
}

static void test_total(void **state)
{
	(void)state;
	assert_int_equal(child(flood), 0);
	read_end();
	assert_int_equal(count(text, "mica: guest"), LOG_GUEST_TOTAL);
	assert_int_equal(count(text, "of second 0\n"), LOG_GUEST_SECOND);
	assert_int_equal(count(text, "of second 99\n"), LOG_GUEST_SECOND);
	assert_int_equal(count(text, "of second 100\n"), 0);
	assert_int_equal(count(text, "more lines this second are dropped): line 9 of second 7\n"), 1);
	assert_int_equal(count(text, "further messages suppressed, this is line 1000): line 9 of second 99\n"), 1);
	/* Ours are not the guest's. */
	assert_non_null(strstr(text, "mica: warning: ours\n"));
}

static void stuck(void)
{
	char page[4096] = { 0 };
	u64 caused, dropped;

	fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
	while (write(STDERR_FILENO, page, sizeof(page)) > 0)
		;
	fcntl(STDERR_FILENO, F_SETFL, 0);
	for (unsigned i = 0; i < 5; i++)
		log_guest("nobody reads");
	log_warn("nobody reads");
	log_guest_count(&caused, &dropped);
	must(caused == 5 && dropped == 5);
}

/* A pipe that nobody reads does not stop who writes a line. */
static void test_stuck(void **state)
{
	(void)state;
	assert_int_equal(child(stuck), 0);
	close(end);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_total), cmocka_unit_test(test_stuck) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
