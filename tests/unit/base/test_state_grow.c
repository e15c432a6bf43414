/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_state_grow.c - saved state that grows and streams: sections that a reader does not know or a file does not have,
 * memory in rounds, pipes and sockets at any speed, and nobody at the other end.
 */
#include "base/ram_state.h"
#include "base/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

static int file(void)
{
	int fd = memfd_create("state", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static struct state_file *reader(int fd, struct err *e)
{
	struct state_file *s;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_load_new(&s, fd, e), 0);
	return s;
}

/* ---- growing: sections that a reader does not know, and that a file does not have ---- */

static const struct state_kind extra = { "extra", 1, STATE_OPTIONAL, "nothing" };
static const struct state_kind later = { "later", 3, 0, "it is 7" };

static void put_number(struct state_file *s, const struct state_kind *k, u32 instance, u32 v)
{
	assert_int_equal(state_section_of(s, k, instance, NULL), 0);
	state_u32(s, &v);
	assert_int_equal(state_end(s, NULL), 0);
}

static void get_number(struct state_file *s, const struct state_kind *k, u32 instance, u32 want)
{
	u32 v = 0;
	struct err e;

	if (state_section_of(s, k, instance, &e) != 0)
		fail_msg("%s %u is not there", k->name, instance);
	state_u32(s, &v);
	assert_int_equal(v, want);
	assert_int_equal(state_end(s, &e), 0);
}

static const struct state_kind plain = { "plain", 1 };

static void optional_sections(void **state)
{
	struct state_file *s;
	struct err e;
	int fd = file();

	(void)state;
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	put_number(s, &extra, 0, 1);
	put_number(s, &plain, 0, 2);
	put_number(s, &extra, 1, 3);
	put_number(s, &extra, 2, 4);
	put_number(s, &plain, 1, 5);
	assert_int_equal(state_finish(s, NULL), 0);
	state_free(s);

	/* Who knows none of them. */
	s = reader(fd, &e);
	get_number(s, &plain, 0, 2);
	get_number(s, &plain, 1, 5);
	assert_int_equal(state_finish(s, &e), 0);
	state_free(s);
	/* Who knows them, and one that is not there; late, and not in their order. */
	s = reader(fd, &e);
	get_number(s, &extra, 0, 1);
	get_number(s, &plain, 0, 2);
	assert_int_equal(state_section_of(s, &extra, 9, &e), 1); /* kept 1 and 2 on the way, and stands at `plain` */
	get_number(s, &extra, 2, 4);
	get_number(s, &plain, 1, 5);
	get_number(s, &extra, 1, 3);
	assert_int_equal(state_section_of(s, &extra, 1, &e), 1); /* it is read */
	assert_int_equal(state_finish(s, &e), 0);
	state_free(s);
	close(fd);
}

static void absent_sections(void **state)
{
	struct state_file *s;
	struct err e;
	int fd = file();

	(void)state;
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	put_number(s, &plain, 0, 2);
	assert_int_equal(state_finish(s, NULL), 0);
	state_free(s);
	s = reader(fd, &e);
	assert_int_equal(state_section_of(s, &later, 0, &e), 1);
	get_number(s, &plain, 0, 2);
	assert_int_equal(state_section_of(s, &later, 0, &e), 1);
	assert_int_equal(state_finish(s, &e), 0);
	state_free(s);

	/* A reader from before `later` must not go on without it. */
	close(fd);
	fd = file();
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	put_number(s, &later, 0, 8);
	put_number(s, &plain, 0, 2);
	assert_int_equal(state_finish(s, NULL), 0);
	state_free(s);
	s = reader(fd, &e);
	assert_int_equal(state_section_of(s, &plain, 0, &e), -EBADMSG);
	assert_non_null(strstr(e.msg, "section later 0 where plain 0 is expected"));
	state_free(s);
	/* One that knows an older version of it says so. */
	s = reader(fd, &e);
	assert_int_equal(state_section_of(s, &(struct state_kind){ "later", 2, 0, "it is 7" }, 0, &e),
			 -EPROTONOSUPPORT);
	assert_non_null(strstr(e.msg, "version 3 of section later"));
	state_free(s);
	close(fd);
}

/* Optional sections are kept while others are asked for: not twice, and not without bound. */
static void too_many_optional(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 3; kind++) {
		static u8 big[STATE_SECTION_MAX];
		struct state_file *s;
		struct err e;
		int fd = file();

		assert_int_equal(state_save_new(&s, fd, NULL), 0);
		for (u32 i = 0; i < (kind == 0 ? 2 : kind == 1 ? STATE_KEPT_MAX + 1 : 5); i++) {
			assert_int_equal(state_section_of(s, &extra, kind == 0 ? 3 : i, NULL), 0);
			state_bytes(s, big, kind == 2 ? sizeof(big) : 1);
			assert_int_equal(state_end(s, NULL), 0);
		}
		put_number(s, &plain, 0, 2);
		assert_int_equal(state_finish(s, NULL), 0);
		state_free(s);
		s = reader(fd, &e);
		assert_int_equal(state_section_of(s, &plain, 0, &e), -EBADMSG);
		assert_non_null(strstr(e.msg, kind == 0 ? "section extra 3 twice" : "more optional sections"));
		state_free(s);
		close(fd);
	}
}

/* ---- streams ---- */

struct slow {
	int fd;
	u8 *got;
	size_t n;
	unsigned wait_us;
};

static void *read_slowly(void *arg)
{
	struct slow *r = arg;
	ssize_t n;

	while ((n = read(r->fd, r->got + r->n, 3001)) > 0) {
		r->n += (size_t)n;
		usleep(r->wait_us);
	}
	return NULL;
}

/* To a pipe or a socket that is read slowly, and from it again; by the second half of the kinds, the head read before.
 */
static void streams(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 4; kind++) {
		struct slow r = { .got = calloc(1, 4 * MIB), .wait_us = 300 };
		u64 d = 0x1234567890;
		struct ram *a = NULL, *b = NULL;
		struct state_file *s;
		struct err e;
		u64 nonzero;
		pthread_t th;
		int p[2];

		assert_int_equal(ram_new(&a, 2 * MIB, NULL) | ram_new(&b, 2 * MIB, NULL), 0);
		for (unsigned i = 0, x = 1; i < MIB; i++)
			a->host[i] = (u8)((x = x * 1664525 + 1013904223) >> 24);
		assert_int_equal(kind & 1 ? socketpair(AF_UNIX, SOCK_STREAM, 0, p) : pipe(p), 0);
		r.fd = p[0];
		pthread_create(&th, NULL, read_slowly, &r);
		assert_int_equal(state_save_new(&s, p[1], NULL), 0);
		assert_int_equal(state_section(s, "things", 0, 1, NULL), 0);
		state_u64(s, &d);
		assert_int_equal(state_end(s, NULL), 0);
		assert_int_equal(ram_save(a, s, &nonzero, &e), 0);
		assert_int_equal(state_finish(s, &e), 0);
		assert_true(state_offset(s) > MIB);
		size_t all = state_offset(s);
		state_free(s);
		close(p[1]);
		pthread_join(th, NULL);
		close(p[0]);
		assert_int_equal(r.n, all);

		assert_int_equal(pipe(p), 0);
		pid_t pid = fork();
		if (pid == 0) {
			close(p[0]);
			for (size_t at = 0; at < r.n;) {
				ssize_t n = write(p[1], r.got + at, MIN(r.n - at, 7777u));
				if (n <= 0)
					_exit(1);
				at += (size_t)n;
			}
			_exit(write(p[1], "what follows", 12) != 12);
		}
		close(p[1]);
		auto_free u8 *head = malloc(STATE_HEAD_MAX);
		ssize_t n = kind & 2 ? state_read_head(p[0], head, &e) : 0;
		assert_int_equal(n, kind & 2 ? 32 + 48 + 8 : 0);
		assert_int_equal(state_load_new_after(&s, head, (size_t)n, p[0], &e), 0);
		d = 0;
		assert_int_equal(state_section(s, "things", 0, 1, &e), 0);
		state_u64(s, &d);
		assert_int_equal(state_end(s, &e), 0);
		assert_true(d == 0x1234567890);
		assert_int_equal(ram_load(b, s, &e), 0);
		assert_int_equal(state_finish(s, &e), 0);
		assert_memory_equal(a->host, b->host, 2 * MIB);
		state_free(s);
		/* Nothing was read beyond the end. */
		char rest[16] = "";
		assert_int_equal(read(p[0], rest, sizeof(rest)), 12);
		assert_string_equal(rest, "what follows");
		close(p[0]);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		ram_free(a);
		ram_free(b);
		free(r.got);
	}
}

static bool stop_after(void *opaque)
{
	return !--*(unsigned *)opaque;
}

/* Nobody reads: the writer hears that it is to give up. And gathering waits for nobody. */
static void giving_up(void **state)
{
	static u8 big[STATE_SECTION_MAX];
	unsigned asked = 3;
	struct state_out to = { .stop = stop_after, .opaque = &asked };
	struct err e;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	to.fd = p[1];
	struct state_file *s = state_save_new_to(&to);
	assert_int_equal(state_defer(s, true, &e), 0);
	assert_int_equal(state_section(s, "big", 0, 1, &e), 0);
	state_bytes(s, big, sizeof(big));
	assert_int_equal(state_end(s, &e), 0);
	assert_int_equal(asked, 3);
	asked = 30; /* the pipe takes 16 pages */
	assert_int_equal(state_defer(s, false, &e), -ECANCELED);
	assert_non_null(strstr(e.msg, "given up"));
	state_free(s);
	/* The reader is gone. */
	close(p[0]);
	asked = 1000;
	s = state_save_new_to(&to);
	assert_int_equal(state_section(s, "big", 0, 1, &e), 0);
	assert_int_equal(state_end(s, &e), -EPIPE);
	state_free(s);
	close(p[1]);
}

/* ---- memory ---- */

/* Sent while the guest writes to it: all of it, then pages again, some of them zero now, in any order. */
static void memory_in_rounds(void **state)
{
	u64 bytes = 6 * MIB + 5 * PAGE_BYTES, pages = bytes / PAGE_BYTES;
	struct ram *a = NULL, *b = NULL;
	struct state_file *s;
	struct err e;
	int fd = file();
	u32 x = 1;

	(void)state;
	assert_int_equal(ram_new(&a, bytes, NULL) | ram_new(&b, bytes, NULL), 0);
	for (u64 i = 0; i < bytes; i += 100)
		a->host[i] = (u8)i;
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	struct ram_saver *v = ram_saver_new(a, s);
	assert_int_equal(ram_saver_all(v, &e), 0);
	for (unsigned round = 0; round < 5; round++) {
		u64 dirty[64] = { 0 };
		for (unsigned i = 0; i < 200; i++) {
			x = x * 1664525 + 1013904223;
			u64 page = (x >> 8) % pages;
			u8 *p = a->host + page * PAGE_BYTES;
			memset(p, x & 64 ? (int)(x >> 24) : 0, PAGE_BYTES);
			dirty[page / 64] |= 1ull << (page % 64);
		}
		if (round == 4) /* the last page, zero */
			memset(a->host + bytes - PAGE_BYTES, 0, PAGE_BYTES);
		dirty[(pages - 1) / 64] |= 1ull << ((pages - 1) % 64);
		assert_int_equal(ram_saver_pages(v, dirty, &e), 0);
	}
	assert_int_equal(ram_saver_end(v, &e), 0);
	assert_true(ram_saver_bytes(v) > bytes);
	ram_saver_free(v);
	assert_int_equal(state_finish(s, &e), 0);
	state_free(s);
	s = reader(fd, &e);
	assert_int_equal(ram_load(b, s, &e), 0);
	assert_int_equal(state_finish(s, &e), 0);
	state_free(s);
	assert_memory_equal(a->host, b->host, bytes);
	close(fd);
	ram_free(a);
	ram_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(optional_sections), cmocka_unit_test(absent_sections),
		cmocka_unit_test(too_many_optional), cmocka_unit_test(memory_in_rounds),
		cmocka_unit_test(streams),           cmocka_unit_test(giving_up),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("state_grow", tests, NULL, NULL);
}
