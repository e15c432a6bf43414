/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * netdisk_io - a disk on a server as a VM has it, without the VM: for test_netdisk.py.
 *
 *   netdisk_io ADDRESS ro|rw [NAME=VALUE]...
 *
 * Says "open BYTES" or "error TEXT" and ends. Then a line of standard input is a request, or several that are under way
 * at a time (with ";" between): read OFF BYTES, write OFF BYTES SEED, zero OFF BYTES, discard OFF BYTES, flush;
 * besides, "cancel" while they are, and "wait MS". For each line there is one: results in their order, "0:CHECKSUM" of
 * what was read, and what blk_trouble() says. What is written is a ramp that depends on OFF and SEED (fill()).
 */
#include "base/clock.h"
#include "base/log.h"
#include "block/format.h"

#include <pthread.h>

#define MANY 128

struct ask {
	struct blk_req r;
	struct iovec v[2];
	u8 *buf;
	int res;
	bool used, done;
};

static struct loop *L;
static struct blk *B;
static struct ask asks[MANY];

/* Adler-32, RFC 1950 */
static u32 sum(const u8 *p, u64 n)
{
	u32 a = 1, b = 0;

	for (u64 i = 0; i < n; i++) {
		a = (a + p[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

static void fill(u8 *p, u64 n, u64 off, unsigned seed)
{
	for (u64 i = 0; i < n; i++)
		p[i] = (u8)((off + i) / 512 * 7 + (off + i) + seed);
}

static void done(struct blk_req *r, int res)
{
	struct ask *a = container_of(r, struct ask, r);

	a->res = res;
	__atomic_store_n(&a->done, true, __ATOMIC_SEQ_CST);
}

static void begin(struct ask *a, enum blk_op op, u64 off, u64 bytes, unsigned seed)
{
	blk_req_init(&a->r, done);
	a->used = true;
	a->done = false;
	a->r.op = op;
	a->r.off = off;
	a->r.bytes = bytes;
	a->r.may_unmap = seed & 1;
	if (op == BLK_READ || op == BLK_WRITE) {
		a->buf = xcalloc(1, bytes + 1);
		/* Two vectors, cut where no window is. */
		a->v[0] = (struct iovec){ a->buf, bytes / 3 };
		a->v[1] = (struct iovec){ a->buf + bytes / 3, bytes - bytes / 3 };
		a->r.iov = a->v;
		a->r.niov = 2;
		if (op == BLK_WRITE)
			fill(a->buf, bytes, off, seed);
	}
	blk_submit(B, &a->r);
}

static void words(char *line)
{
	unsigned n = 0;

	for (char *save, *w = strtok_r(line, ";\n", &save); w && n < MANY; w = strtok_r(NULL, ";\n", &save)) {
		unsigned long long off = 0, bytes = 0;
		unsigned seed = 0;
		char verb[16] = "";
		sscanf(w, "%15s %llu %llu %u", verb, &off, &bytes, &seed);
		if (!strcmp(verb, "wait"))
			usleep((unsigned)off * 1000);
		else if (!strcmp(verb, "cancel"))
			blk_cancel(B);
		else
			begin(&asks[n++],
			      !strcmp(verb, "read")    ? BLK_READ
			      : !strcmp(verb, "write") ? BLK_WRITE
			      : !strcmp(verb, "zero")  ? BLK_WRITE_ZEROES
			      : !strcmp(verb, "flush") ? BLK_FLUSH
						       : BLK_DISCARD,
			      off, bytes, seed);
	}
	for (unsigned i = 0; i < n; i++) {
		struct ask *a = &asks[i];
		while (!__atomic_load_n(&a->done, __ATOMIC_SEQ_CST))
			usleep(500);
		printf("%d", a->res);
		if (a->r.op == BLK_READ && a->res == 0)
			printf(":%08x", sum(a->buf, a->r.bytes));
		printf(" ");
		free(a->buf);
		*a = (struct ask){ 0 };
	}
	const char *t = blk_trouble(B);
	printf("%s\n", t ? t : "ok");
	fflush(stdout);
}

static void *run(void *arg)
{
	(void)arg;
	loop_run(L);
	return NULL;
}

int main(int argc, char **argv)
{
	struct blk_option o[16];
	struct err e;
	pthread_t t;
	char line[8192];

	if (argc < 3 || loop_new(&L, &e) < 0)
		return 2;
	struct blk_params p = { .path = argv[1], .readonly = !strcmp(argv[2], "ro"), .options = o };
	for (int i = 3; i < argc && p.noptions < ARRAY_LEN(o); i++) {
		char *eq = strchr(argv[i], '=');
		if (!eq)
			return 2;
		*eq = '\0';
		if (!strcmp(argv[i], "format"))
			p.format = eq + 1;
		else
			o[p.noptions++] = (struct blk_option){ argv[i], eq + 1 };
	}
	if (blk_open(&B, L, &p, &e) < 0) {
		printf("error %s\n", e.msg);
		return 1;
	}
	printf("open %llu\n", (unsigned long long)blk_bytes(B));
	fflush(stdout);
	pthread_create(&t, NULL, run, NULL);
	while (fgets(line, sizeof(line), stdin))
		words(line);
	loop_stop(L);
	pthread_join(t, NULL);
	blk_close(B);
	loop_free(L);
	return 0;
}
