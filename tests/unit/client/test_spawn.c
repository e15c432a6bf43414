/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_spawn.c - starting mica-vmm: its word, its deaths, and programs in its place that behave badly. */
#include "client/spawn.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LONG_MS 60000

static char dir[] = "/tmp/mica-test-spawn-XXXXXX";
static char build[4096];

/* A program named mica-vmm of our own. */
static void fake(const char *script)
{
	auto_free char *path = xasprintf("%s/mica-vmm", dir);
	auto_fclose FILE *f = fopen(path, "w");

	fprintf(f, "#!/bin/sh\n%s\n", script);
	fchmod(fileno(f), 0700);
	setenv("MICA_HELPER_DIR", dir, 1);
}

static int end_of(struct spawned *s)
{
	struct pollfd p = { .fd = s->pidfd, .events = POLLIN };
	int status = -1;

	assert_int_equal(poll(&p, 1, LONG_MS), 1);
	assert_true(spawn_reap(s, &status));
	return status;
}

static const struct spawn_params plain = { .stderr_fd = -1 };

static void test_real(void **state)
{
	struct vmm_config cfg;
	struct spawned s;
	struct err e;

	setenv("MICA_HELPER_DIR", build, 1);
	vmm_config_init(&cfg);
	cfg.kernel = xstrdup("/nowhere/kernel");
	assert_int_equal(spawn_vmm(&s, &cfg, &plain, &e), 0);
	assert_int_equal(spawn_wait_ready(&s, LONG_MS, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "/nowhere/kernel"));
	assert_non_null(strstr(e.msg, ": No such file or directory"));
	assert_string_equal(err_name(&e), "not-found");
	int status = end_of(&s);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_false(spawn_why_ended(&s, status, &e));
	spawn_kill(&s); /* it has ended: nothing */
	spawn_fini(&s);
	vmm_config_fini(&cfg);
}

/* Runs until the other end of its control socket closes. */
static void test_real_runs(void **state)
{
	static const u8 head[] = { 0x02, 0xb0, 0xad, 0x1b, 0,    0, 1,    0, 0xfe, 0x4f, 0x51, 0xe4,
				   0,    0,    0x10, 0,    0,    0, 0x10, 0, 0x24, 0,    0x10, 0,
				   0x24, 0,    0x10, 0,    0x20, 0, 0x10, 0, 0xfa, 0xf4, 0xeb, 0xfc };
	auto_free char *kernel = xasprintf("%s/kernel", dir);
	struct vmm_config cfg;
	struct spawned s;
	struct err e;
	json_t *status = NULL;
	FILE *f = fopen(kernel, "w");

	fwrite(head, sizeof(head), 1, f);
	fclose(f);
	setenv("MICA_HELPER_DIR", build, 1);
	vmm_config_init(&cfg);
	cfg.kernel = xstrdup(kernel);
	cfg.memory_bytes = 16 * MIB;
	for (unsigned detached = 0; detached < 2; detached++) {
		assert_int_equal(spawn_vmm(&s, &cfg, &(struct spawn_params){ -1, detached }, &e), 0);
		int r = spawn_wait_ready(&s, LONG_MS, &e);
		if (r < 0)
			fail_msg("%s", e.msg);
		assert_int_equal(client_call(s.client, &status, "status", NULL, -1, LONG_MS, &e), 0);
		assert_int_equal(json_integer_value(json_object_get(status, "pid")), s.pid);
		json_decref(status);
		client_free(steal(&s.client));
		if (detached) { /* it stays */
			struct pollfd p = { .fd = s.pidfd, .events = POLLIN };
			assert_int_equal(poll(&p, 1, 300), 0);
			kill(s.pid, SIGTERM);
			assert_int_equal(WEXITSTATUS(end_of(&s)), 128 + SIGTERM);
		} else {
			assert_int_equal(WEXITSTATUS(end_of(&s)), 128 + SIGHUP);
		}
		spawn_fini(&s);
	}
	vmm_config_fini(&cfg);
	unlink(kernel);
}

static int try(const char *script, struct spawned *s, u64 timeout_ms, struct err *e)
{
	struct vmm_config cfg;

	fake(script);
	vmm_config_init(&cfg);
	cfg.kernel = xstrdup("/k");
	int r = spawn_vmm(s, &cfg, &plain, e);
	vmm_config_fini(&cfg);
	return r < 0 ? r : spawn_wait_ready(s, timeout_ms, e);
}

static void test_bad_programs(void **state)
{
	struct spawned s;
	struct err e;

	assert_int_equal(try("exit 7", &s, LONG_MS, &e), -EPIPE);
	assert_non_null(strstr(e.msg, "ended before it was ready"));
	assert_int_equal(WEXITSTATUS(end_of(&s)), 7);
	spawn_fini(&s);

	assert_int_equal(try("exec sleep 1000", &s, 200, &e), -ETIMEDOUT);
	assert_non_null(strstr(e.msg, "did not become ready"));
	int status;
	assert_false(spawn_reap(&s, &status));
	spawn_kill(&s);
	assert_false(spawn_reap(&s, &status));
	spawn_fini(&s);

	assert_int_equal(try("kill -SEGV $$", &s, LONG_MS, &e), -EPIPE);
	assert_true(spawn_why_ended(&s, end_of(&s), &e));
	assert_non_null(strstr(e.msg, "was ended by signal 11 (SIGSEGV)"));
	spawn_fini(&s);

	/* Words that are none. */
	static const char *const words[] = { "junk", "{\"event\":\"failed\"}",
					     "{\"event\":\"failed\",\"data\":{\"status\":9999,\"message\":[{}]}}" };
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		auto_free char *script = xasprintf("c=$(sed 's/.*\"control_fd\":\\([0-9]*\\).*/\\1/' <&$2); "
						   "eval \"echo '%s' >&$c\"; exec sleep 1000",
						   words[i]);
		assert_true(try(script, &s, LONG_MS, &e) < 0);
		assert_true(e.code > 0 && e.msg[0]);
		spawn_kill(&s);
		spawn_fini(&s);
	}
}

static void test_not_there(void **state)
{
	struct vmm_config cfg;
	struct spawned s;
	struct err e;

	setenv("MICA_HELPER_DIR", "/nowhere", 1);
	vmm_config_init(&cfg);
	assert_int_equal(spawn_vmm(&s, &cfg, &plain, &e), -ENOENT);
	assert_string_equal(e.msg, "there is no program mica-vmm in /nowhere, which MICA_HELPER_DIR names");
	fake("");
	auto_free char *path = xasprintf("%s/mica-vmm", dir);
	FILE *f = fopen(path, "w");
	fprintf(f, "#!/nowhere/sh\n");
	fclose(f);
	assert_int_equal(spawn_vmm(&s, &cfg, &plain, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "cannot start "));
	free(cfg.name);
	cfg.name = xstrdup("\xff");
	assert_int_equal(spawn_vmm(&s, &cfg, &plain, &e), -EILSEQ);
	vmm_config_fini(&cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real),
		cmocka_unit_test(test_real_runs),
		cmocka_unit_test(test_bad_programs),
		cmocka_unit_test(test_not_there),
	};

	snprintf(build, sizeof(build), "%s", getenv("MICA_HELPER_DIR"));
	if (!mkdtemp(dir))
		return 1;
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	auto_free char *path = xasprintf("%s/mica-vmm", dir);
	unlink(path);
	rmdir(dir);
	return r;
}
