/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fake_image.c - a mica-image for tests, whose format is in its memory: clusters get places when they are written, in
 * no order; every fifth is kept inverted, and so can only be read and written through it. It holds nothing back that
 * was not committed: who writes there without that loses it. The first bytes of the image say how it answers.
 */
#include "base/clock.h"
#include "base/helper.h"
#include "image/serve.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLUSTER (64 * KIB)
#define CLUSTERS 64u
#define DATA_AT (8 * MIB)

static struct {
	u64 at;
	bool placed, zero, pending;
} map[CLUSTERS];
static unsigned next_place;
static struct serve_memory *mem;
static char mode[16];
static int image;

static bool is_cooked(u64 c)
{
	return c % 5 == 4;
}

static void map_one(const struct serve_ask *q, struct serve_answer *a)
{
	u64 c = q->off / CLUSTER, in = q->off % CLUSTER;

	a->bytes = MIN(q->bytes, CLUSTER - in);
	a->kind = !map[c].placed ? IMAGE_ZERO : is_cooked(c) ? IMAGE_COOKED : IMAGE_DATA;
	a->in_place = a->kind == IMAGE_DATA;
	a->off = map[c].at + in;
}

/* Places that were given up are used again, soon. */
static u64 new_place(void)
{
	for (;;) {
		u64 at = DATA_AT + (u64)(next_place++ * 37 % (CLUSTERS + 8)) * CLUSTER;
		bool used = false;
		for (unsigned c = 0; c < CLUSTERS; c++)
			used |= (map[c].placed || map[c].pending) && map[c].at == at;
		if (!used)
			return at;
	}
}

/* Each cluster that is prepared again before the end of that would be a fault of the other side. */
static void prepare(const struct serve_ask *q, struct serve_answer *a)
{
	u64 c = q->off / CLUSTER, in = q->off % CLUSTER;
	static u8 zeros[CLUSTER];

	if (map[c].pending) {
		a->res = -EUCLEAN;
		return;
	}
	a->bytes = MIN(q->bytes, CLUSTER - in);
	a->kind = is_cooked(c) ? IMAGE_COOKED : IMAGE_DATA;
	a->in_place = map[c].placed && !is_cooked(c);
	if (!map[c].placed) {
		map[c].at = new_place();
		if (pwrite(image, zeros, CLUSTER, (off_t)map[c].at) != CLUSTER)
			a->res = -EIO;
		map[c].placed = is_cooked(c);
		map[c].pending = !is_cooked(c);
		if (is_cooked(c)) {
			memset(zeros, 0xff, CLUSTER);
			if (pwrite(image, zeros, CLUSTER, (off_t)map[c].at) != CLUSTER)
				a->res = -EIO;
			memset(zeros, 0, CLUSTER);
		}
	}
	a->off = map[c].at + in;
}

static int invert(const struct serve_ask *q, u8 *data, bool write)
{
	u64 c = q->off / CLUSTER, in = q->off % CLUSTER;
	static u8 b[CLUSTER];

	if (q->bytes > CLUSTER - in || !is_cooked(c) || !map[c].placed)
		return -EUCLEAN;
	for (u64 i = 0; write && i < q->bytes; i++)
		b[i] = (u8)~data[i];
	ssize_t n = write ? pwrite(image, b, q->bytes, (off_t)(map[c].at + in))
			  : pread(image, b, q->bytes, (off_t)(map[c].at + in));
	for (u64 i = 0; !write && i < q->bytes; i++)
		data[i] = (u8)~b[i];
	return n == (ssize_t)q->bytes ? 0 : -EIO;
}

/* Whole clusters are given up, and their places are used again. */
static int zero(const struct serve_ask *q)
{
	static u8 b[CLUSTER];

	for (u64 off = q->off, end = q->off + q->bytes; off < end;) {
		u64 c = off / CLUSTER, n = MIN(end - off, CLUSTER - off % CLUSTER);
		if (map[c].pending)
			return -EUCLEAN;
		if (map[c].placed && n == CLUSTER) {
			map[c].placed = false;
		} else if (map[c].placed) {
			memset(b, is_cooked(c) ? 0xff : 0, n);
			if (pwrite(image, b, n, (off_t)(map[c].at + off % CLUSTER)) != (ssize_t)n)
				return -EIO;
		}
		off += n;
	}
	return 0;
}

static void good(const struct serve_ask *q, struct serve_answer *a, u8 *data)
{
	u64 c = q->off / CLUSTER;

	switch (q->op) {
	case SERVE_MAP:
		map_one(q, a);
		break;
	case SERVE_PREPARE:
		prepare(q, a);
		break;
	case SERVE_COMMIT:
		if (!map[c].pending)
			a->res = -EUCLEAN;
		map[c].pending = false;
		map[c].placed = true;
		map_one(q, a);
		break;
	case SERVE_ABANDON:
		map[c].pending = false;
		break;
	case SERVE_READ:
	case SERVE_WRITE:
		a->res = invert(q, data, q->op == SERVE_WRITE);
		break;
	case SERVE_ZERO:
	case SERVE_DISCARD:
		a->res = zero(q);
		break;
	default:
		break;
	}
}

/* What a process that is somebody else's by now might say. */
static void bad(const struct serve_ask *q, struct serve_answer *a)
{
	*a = (struct serve_answer){ .kind = IMAGE_DATA, .bytes = q->bytes, .off = DATA_AT, .in_place = 1 };
	if (!strcmp(mode, "empty"))
		a->bytes = 0;
	else if (!strcmp(mode, "long"))
		a->bytes = q->bytes + 512;
	else if (!strcmp(mode, "odd"))
		a->bytes = 100;
	else if (!strcmp(mode, "place"))
		a->off = UINT64_MAX - 511;
	else if (!strcmp(mode, "file"))
		a->file = 1;
	else if (!strcmp(mode, "kind"))
		a->kind = 77;
	else if (!strcmp(mode, "errno"))
		a->res = 5;
	else if (!strcmp(mode, "far"))
		a->off = (u64)1 << 50; /* of a file that is not that long: zeros, as far as reads go */
	else if (!strcmp(mode, "die"))
		_exit(3);
	else if (!strcmp(mode, "unasked"))
		atomic_fetch_or(&mem->done, UINT64_MAX);
}

static void answer(unsigned i)
{
	struct serve_answer a = { 0 };
	struct serve_ask q = mem->slot[i].ask;

	if (!strcmp(mode, "late"))
		usleep(500);
	if (!strcmp(mode, "never"))
		return;
	if (!strcmp(mode, "good") || !strcmp(mode, "late"))
		good(&q, &a, mem->data[i]);
	else if (strcmp(mode, "error"))
		bad(&q, &a);
	else
		a.res = -EBADMSG;
	mem->slot[i].answer = a;
	if (!atomic_fetch_or(&mem->done, 1ull << i))
		send(HELPER_FD, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool sleep_well(void)
{
	u8 b[8];

	atomic_store(&mem->asleep, 1);
	if (atomic_load(&mem->asked)) {
		atomic_store(&mem->asleep, 0);
		return true;
	}
	return recv(HELPER_FD, b, sizeof(b), 0) > 0;
}

int main(void)
{
	static struct image_msg m;
	struct serve_opened so = { .version = SERVE_VERSION,
				   .cluster_bytes = CLUSTER,
				   .bytes = CLUSTERS * CLUSTER,
				   .can_discard = 1,
				   .format = "fake" };

	helper_begin("mica-image", 0);
	helper_hello(NULL);
	if (image_link_recv(HELPER_FD, &m) < 0)
		return 1;
	int fd = image_msg_take_fd(&m, 0);
	image = image_msg_take_fd(&m, 1);
	if (pread(image, mode, sizeof(mode) - 1, 0) < 0)
		return 1;
	if (!strcmp(mode, "shrink") && ftruncate(fd, 0) == 0)
		return 1; /* it is sealed */
	mem = mmap(NULL, sizeof(*mem), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!strcmp(mode, "gone"))
		return 1;
	if (!strcmp(mode, "size"))
		so.bytes = UINT64_MAX;
	if (!strcmp(mode, "cluster"))
		so.cluster_bytes = 3;
	if (!strcmp(mode, "version"))
		so.version++;
	if (!strcmp(mode, "shrink"))
		strcpy(mode, "good");
	image_link_send(HELPER_FD, IMAGE_MSG_OPENED, 0, &so, sizeof(so), NULL, 0);
	do {
		u64 asked = atomic_exchange(&mem->asked, 0);
		for (; asked; asked &= asked - 1)
			answer((unsigned)__builtin_ctzll(asked));
	} while (sleep_well());
	return 0;
}
