/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The user network when there is much of it: more connections than it has, one after another and at once; and when it
 * is killed. `test_slirp_many long` does 20,000 connections in turns and kills it a hundred times; figures are printed.
 */
#include "slirp_wire.h"

#include <sys/resource.h>

#define WINDOW 64
#define ALL (NET_USER_CONNECTIONS + 2 * WINDOW)
#define FIRST_PORT 10000

#ifdef __SANITIZE_ADDRESS__
static const bool measures = false; /* its allocator keeps what is freed */
#else
static const bool measures = true;
#endif
static unsigned turns = 1024, kills = 3;

struct conn {
	u32 next; /* what we expect of it */
	u8 state;
};
enum { SENT = 1, OPEN, REFUSED, CLOSED };

static struct conn conn[65536];
static int host_end[ALL];

/* Descriptors for the host's ends; false: this host gives too few. */
static bool descriptors(void)
{
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	return r.rlim_max >= ALL + 100;
}

static int listener(unsigned *port)
{
	int l = host_socket(SOCK_STREAM, port);

	assert_int_equal(listen(l, 2 * WINDOW), 0);
	fcntl(l, F_SETFL, O_NONBLOCK);
	return l;
}

/* SYN for each of `count` ports from `from`; until each is open or refused. Returns how many are open. */
static unsigned open_some(struct net *n, unsigned dport, unsigned from, unsigned count)
{
	unsigned left = count, opened = 0;
	u32 seq;
	u8 fl;

	for (unsigned p = from; p < from + count; p++) {
		conn[p].state = SENT;
		tcp_send(n, p, dport, 1000, 0, SYN, "");
	}
	while (left) {
		tcp_recv(n, &seq, &fl);
		unsigned p = get16(tcp(n) + 2);
		if (conn[p].state != SENT)
			continue;
		assert_int_equal(get32(tcp(n) + 8), 1001);
		conn[p].next = seq + 1;
		conn[p].state = fl & RST ? REFUSED : OPEN;
		if (conn[p].state == OPEN)
			tcp_send(n, p, dport, 1001, seq + 1, ACK, "");
		opened += conn[p].state == OPEN;
		left--;
	}
	return opened;
}

/* Close them from our side; the host's ends, in any order, follow. */
static void close_some(struct net *n, unsigned dport, unsigned from, unsigned count, const int *host)
{
	unsigned left = 0;
	char buf[10];
	u32 seq;
	u8 fl;

	for (unsigned p = from; p < from + count; p++)
		if (conn[p].state == OPEN) {
			tcp_send(n, p, dport, 1001, conn[p].next, FIN | ACK, "");
			left++;
		}
	for (unsigned i = 0; i < left; i++) {
		assert_int_equal(host_read(host[i], buf, sizeof(buf)), 0);
		close(host[i]);
	}
	while (left) {
		tcp_recv(n, &seq, &fl);
		unsigned p = get16(tcp(n) + 2);
		if (conn[p].state != OPEN || !(fl & FIN))
			continue;
		tcp_send(n, p, dport, 1002, seq + 1, ACK, "");
		conn[p].state = CLOSED;
		left--;
	}
}

static void at_once(void **state)
{
	if (!descriptors() || !measures) /* AddressSanitizer's 2 GiB are no finding */
		skip();
	struct net_hostfwd fwd = { .host_port = (u16)free_port(SOCK_STREAM), .guest_port = 22 };
	struct net *n = start(&fwd, 1);
	pid_t pid = slirp_pid(n);
	unsigned port, opened = 0, accepted = 0;
	int l = listener(&port), c;
	long before = slirp_status(pid, "VmRSS:");
	char buf[10];

	(void)state;
	for (unsigned i = 0; i < ALL; i += WINDOW) {
		opened += open_some(n, port, FIRST_PORT + i, WINDOW);
		while ((c = accept(l, NULL, NULL)) >= 0)
			host_end[accepted++] = c;
	}
	assert_int_equal(opened, NET_USER_CONNECTIONS);
	assert_int_equal(accepted, NET_USER_CONNECTIONS);
	long after = slirp_status(pid, "VmRSS:");
	print_message("%u open, %u refused; RSS %ld KiB, was %ld KiB\n", opened, ALL - opened, after, before);
	assert_true(after < before + NET_USER_CONNECTIONS * 32);
	/* full: a peer from outside is told, and a datagram is lost; both at once, and nothing dies */
	int peer = host_connect(SOCK_STREAM, fwd.host_port);
	struct pollfd pf = { .fd = peer, .events = POLLIN };
	assert_int_equal(poll(&pf, 1, (int)patient(10000)), 1);
	assert_int_equal(read(peer, buf, sizeof(buf)), -1);
	assert_int_equal(errno, ECONNRESET);
	close(peer);
	u8 f[34 + 12];
	put16(f + 34, 5000);
	put16(f + 36, port);
	put16(f + 38, 12);
	ip_send(n, f, 17, IP_GUEST, IP_HOST, 12);
	/* those that are open work, from the first to the last */
	for (unsigned i = 0; i < NET_USER_CONNECTIONS; i += NET_USER_CONNECTIONS - 1) {
		tcp_send(n, FIRST_PORT + i, port, 1001, conn[FIRST_PORT + i].next, ACK | PSH, "ping");
		host_read(host_end[i], buf, sizeof(buf));
		assert_string_equal(buf, "ping");
	}
	/* room again when some end on the guest's word */
	close_some(n, port, FIRST_PORT + WINDOW, WINDOW, host_end + WINDOW);
	assert_int_equal(open_some(n, port, FIRST_PORT + ALL, WINDOW), WINDOW);
	assert_int_equal(slirp_pid(n), pid);
	for (unsigned i = 0; i < accepted; i++)
		if (i / WINDOW != 1)
			close(host_end[i]);
	close(l);
	end(n);
}

static void in_turns(void **state)
{
	struct net *n = start(NULL, 0);
	pid_t pid = slirp_pid(n);
	unsigned port, done = 0;
	int l = listener(&port), c;
	long most = 0;

	(void)state;
	memset(conn, 0, sizeof(conn));
	while (done < turns) {
		unsigned from = FIRST_PORT + done % 32768;
		assert_int_equal(open_some(n, port, from, WINDOW), WINDOW);
		for (unsigned i = 0; i < WINDOW; i++) {
			c = accept(l, NULL, NULL);
			assert_true(c >= 0);
			host_end[i] = c;
		}
		close_some(n, port, from, WINDOW, host_end);
		done += WINDOW;
		most = MAX(most, slirp_status(pid, "VmRSS:"));
	}
	print_message("%u in turns; RSS at most %ld KiB\n", done, most);
	assert_int_equal(slirp_pid(n), pid);
	assert_true(!measures || most < 64 * 1024);
	close(l);
	end(n);
}

/* The next message about the back end itself. */
static void await_message(struct net *n, u8 which)
{
	do
		assert_true(wire_recv(n, (int)patient(60000)));
	while (n->n >= NET_FRAME_MIN);
	assert_int_equal(n->f[0], which);
}

static void comes_back(void **state)
{
	struct net_hostfwd fwd = { .host_port = (u16)free_port(SOCK_STREAM), .guest_port = 22 };
	struct net *n = start(&fwd, 1);
	unsigned port;
	int l = listener(&port);
	u64 longest = 0;
	u32 seq;
	u8 fl;

	(void)state;
	for (unsigned i = 0; i < kills; i++) {
		pid_t was = slirp_pid(n);
		assert_int_equal(kill(was, i & 1 ? SIGABRT : SIGKILL), 0);
		u64 from = clock_mono_ns();
		await_message(n, NET_MSG_DOWN);
		tcp_send(n, 30000 + i, port, 1000, 0, SYN, ""); /* late or lost: either is well */
		await_message(n, NET_MSG_HELLO);
		longest = MAX(longest, clock_mono_ns() - from);
		assert_int_not_equal(slirp_pid(n), was);
		arp_gateway(n);
		/* both ways, as before */
		conn[20000 + i].state = 0;
		assert_int_equal(open_some(n, port, 20000 + i, 1), 1);
		int c;
		while ((c = accept(l, NULL, NULL)) >= 0)
			close(c);
		c = host_connect(SOCK_STREAM, fwd.host_port);
		do
			tcp_recv(n, &seq, &fl);
		while (get16(tcp(n) + 2) != 22);
		assert_int_equal(fl & (SYN | ACK), SYN);
		close(c);
	}
	print_message("killed %u times: back after %llu ms at most\n", kills, (unsigned long long)(longest / 1000000));
	close(l);
	end(n);
}

/* One that dies before it ever served is not tried again: mica-vmm is told at once. */
static void never_there(void **state)
{
	char dir[] = "/tmp/mica-slirp-XXXXXX", path[80], to[4096];
	const char *helpers = getenv("MICA_HELPER_DIR");
	struct err e = { 0 };
	struct net_backend b;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(to, sizeof(to), "%s/mica-net", helpers);
	snprintf(path, sizeof(path), "%s/mica-net", dir);
	assert_int_equal(symlink(to, path), 0);
	char *old = strdup(helpers);
	setenv("MICA_HELPER_DIR", dir, 1);
	assert_true(net_user_start(&b, NULL, 0, NULL, &e) < 0);
	assert_non_null(strstr(e.msg, "mica-slirp"));
	char slirp[80];
	snprintf(slirp, sizeof(slirp), "%s/mica-slirp", dir);
	assert_int_equal(symlink("/bin/false", slirp), 0);
	assert_true(net_user_start(&b, NULL, 0, NULL, &e) < 0);
	assert_non_null(strstr(e.msg, "ended before it was ready"));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	setenv("MICA_HELPER_DIR", old, 1);
	free(old);
	unlink(slirp);
	unlink(path);
	rmdir(dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_once),
		cmocka_unit_test(in_turns),
		cmocka_unit_test(comes_back),
		cmocka_unit_test(never_there),
	};

	unsetenv("MALLOC_PERTURB_"); /* of meson test: every buffer would be written at once */
	if (argc > 1 && !strcmp(argv[1], "long")) {
		turns = 20000;
		kills = 100;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
