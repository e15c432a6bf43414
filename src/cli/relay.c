/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * relay.c - see relay.h.
 *
 * Theory: one poll() loop, all signals through a signalfd, so that nothing runs between the
 * statements but the handler for our own crashes, which only gives the terminal back.
 *
 * Two buffers. `in` (to the guest): from a terminal it is always read, so that Ctrl-a x works
 * also when the guest reads nothing, and bytes that do not fit are dropped, as on a wire; from a pipe
 * it is read only when empty, so that nothing is lost. `out` (from the guest) is filled only when
 * empty: a slow reader of our output slows the relay, and mica-vmm keeps the guest running.
 *
 * The end comes in one of three ways: mica-vmm exits by itself; we ask it to quit (Ctrl-a x, a
 * signal, our output is closed) and it does; or it does not within QUIT_MS and is killed.
 */
#include "cli/relay.h"
#include "base/clock.h"
#include "base/i18n.h"
#include "cli/terminal.h"
#include "vmm/exit_status.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define QUIT_MS 5000
#define AGAIN_MS 500    /* timeout(1) and service managers signal twice in one breath */
#define KEY_ESCAPE 0x01 /* Ctrl-a */

/* ---- signals ---- */

static const int taken[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGCHLD };

static void taken_set(sigset_t *s)
{
	sigemptyset(s);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		sigaddset(s, taken[i]);
}

void relay_init(void)
{
	sigset_t s;

	taken_set(&s);
	sigprocmask(SIG_BLOCK, &s, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTOU, SIG_IGN); /* giving the terminal back from the background must not stop us */
}

/* ---- state ---- */

struct relay_state {
	struct relay *r;
	int sigfd;
	bool tty, stdin_open, stdout_open, escape;
	u8 in[65536];
	size_t in_len;
	u8 out[4096];
	size_t out_len;
	bool line_start; /* of errors, raw mode */
	u64 kill_at_ns;  /* 0: nobody asked it to quit */
	int status;      /* ours instead of mica-vmm's; -1: none */
	bool failed;     /* the VM did not start, and said why */
};

/* A VM that takes no commands hangs, and quitting has its deadline. */
static void command(struct relay_state *s, const char *name)
{
	client_request(s->r->vm->client, name, NULL, -1, 0, NULL, NULL, NULL);
}

/* The VM says how its start went. */
static void on_event(void *opaque, const char *name, const json_t *data)
{
	struct relay_state *s = opaque;
	struct err e;
	int status;

	if (spawn_heard(name, data, &e, &status) != SPAWN_FAILED)
		return;
	auto_free char *line = xasprintf("mica: %s\n", err_local(&e));
	terminal_say(line);
	s->failed = true;
}

static void quit(struct relay_state *s, int status)
{
	if (status >= 0 && s->status < 0)
		s->status = status;
	u64 now = clock_mono_ns();
	if (s->kill_at_ns) { /* asked once more: at once */
		if (now >= s->kill_at_ns - (QUIT_MS - AGAIN_MS) * 1000000ull)
			kill(s->r->vm->pid, SIGKILL);
		return;
	}
	s->kill_at_ns = now + QUIT_MS * 1000000ull;
	command(s, "quit");
}

/* ---- keys ---- */

static void guest_key(struct relay_state *s, u8 c)
{
	if (s->in_len < sizeof(s->in))
		s->in[s->in_len++] = c;
}

static void key(struct relay_state *s, u8 c)
{
	if (!s->escape) {
		if (c == KEY_ESCAPE)
			s->escape = true;
		else
			guest_key(s, c);
		return;
	}
	s->escape = false;
	switch (c) {
	case 'x':
	case 'X':
		terminal_say(_("\nmica: quit\n"));
		quit(s, STATUS_QUIT);
		break;
	case 'b':
	case 'B':
		terminal_say(_("\nmica: power button pressed\n"));
		command(s, "stop");
		break;
	case 'k':
	case 'K':
		terminal_say(_("\nmica: BREAK sent\n"));
		command(s, "break");
		break;
	case KEY_ESCAPE:
	case 'a':
		guest_key(s, KEY_ESCAPE);
		break;
	case 'h':
	case 'H':
	case '?':
		terminal_say(_("\nmica: Ctrl-a x       quit: end the VM at once\n"
			       "mica: Ctrl-a b       press the power button: the guest shuts down\n"
			       "mica: Ctrl-a k       send a BREAK to the serial port (SysRq in Linux)\n"
			       "mica: Ctrl-a Ctrl-a  send Ctrl-a to the guest\n"
			       "mica: Ctrl-a h       this help\n"));
		break;
	default:
		terminal_say(_("\nmica: no such key; Ctrl-a h helps\n"));
		break;
	}
}

static void read_stdin(struct relay_state *s)
{
	u8 buf[4096];
	size_t room = s->tty ? sizeof(buf) : MIN(sizeof(buf), sizeof(s->in) - s->in_len);
	ssize_t n = read(STDIN_FILENO, buf, room);

	if (n <= 0) {
		if (n == 0 || (errno != EINTR && errno != EAGAIN))
			s->stdin_open = false; /* the VM goes on */
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (s->tty)
			key(s, buf[i]);
		else
			guest_key(s, buf[i]);
	}
}

/* ---- bytes ---- */

static void write_guest(struct relay_state *s)
{
	ssize_t n = send(s->r->console, s->in, s->in_len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	size_t done = n < 0 ? s->in_len : (size_t)n;
	s->in_len -= done;
	memmove(s->in, s->in + done, s->in_len);
}

static void write_stdout(struct relay_state *s)
{
	ssize_t n = write(STDOUT_FILENO, s->out, s->out_len);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		/* Nobody reads any more, as when piped into head(1). */
		s->stdout_open = false;
		s->out_len = 0;
		quit(s, STATUS_SIGNAL + SIGPIPE);
		return;
	}
	s->out_len -= (size_t)n;
	memmove(s->out, s->out + n, s->out_len);
}

/* False at the end of the stream, or when nothing is there (the fd is read without waiting). */
static bool read_guest(struct relay_state *s)
{
	ssize_t n = recv(s->r->console, s->out, sizeof(s->out), MSG_DONTWAIT);

	if (n <= 0)
		return false;
	s->out_len = s->stdout_open ? (size_t)n : 0;
	return true;
}

/* mica-vmm's messages, in raw mode with the carriage returns the terminal then needs. */
static bool read_errors(struct relay_state *s)
{
	char buf[1024], cooked[2 * sizeof(buf)];
	size_t m = 0;
	ssize_t n = read(s->r->errors, buf, sizeof(buf));

	if (n <= 0)
		return false;
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] == '\n' && terminal_is_raw())
			cooked[m++] = '\r';
		cooked[m++] = buf[i];
	}
	for (size_t off = 0; off < m;) {
		ssize_t w = write(STDERR_FILENO, cooked + off, m - off);
		if (w <= 0)
			break;
		off += (size_t)w;
	}
	return true;
}

/* ---- signals ---- */

/* True when mica-vmm has ended; *wstatus is how. */
static bool on_signals(struct relay_state *s, int *wstatus)
{
	struct signalfd_siginfo si;

	while (read(s->sigfd, &si, sizeof(si)) == sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGCHLD:
			if (spawn_reap(s->r->vm, wstatus))
				return true;
			break;
		case SIGTSTP:
			terminal_restore();
			raise(SIGSTOP);
			break;
		case SIGCONT:
			terminal_again();
			break;
		default:
			quit(s, STATUS_SIGNAL + (int)si.ssi_signo);
			break;
		}
	}
	return false;
}

static int ended(struct relay_state *s, int wstatus)
{
	if (WIFEXITED(wstatus))
		return s->status >= 0 ? s->status : WEXITSTATUS(wstatus);
	if (s->kill_at_ns && WTERMSIG(wstatus) == SIGKILL) {
		fprintf(stderr, _("mica: the VM did not end when asked and was killed\n"));
		return s->status >= 0 ? s->status : STATUS_HOST;
	}
	struct err e;
	if (spawn_why_ended(s->r->vm, wstatus, &e))
		fprintf(stderr, "mica: %s\n", err_local(&e));
	return s->status >= 0 ? s->status : STATUS_HOST;
}

int relay_run(struct relay *r)
{
	static struct relay_state s;
	sigset_t sigs;
	int wstatus = 0;
	bool gone = false;

	s = (struct relay_state){ .r = r, .stdout_open = true, .status = -1, .tty = terminal_ours() };
	s.stdin_open = r->console >= 0;
	taken_set(&sigs);
	s.sigfd = signalfd(-1, &sigs, SFD_CLOEXEC | SFD_NONBLOCK);
	must(s.sigfd >= 0);
	if (r->errors >= 0)
		fcntl(r->errors, F_SETFL, fcntl(r->errors, F_GETFL) | O_NONBLOCK);

	client_set_ops(r->vm->client, &(struct client_ops){ .event = on_event, .opaque = &s });
	enum { P_SIG, P_IN, P_OUT, P_CONSOLE, P_ERRORS, P_CONTROL, P_N };
	bool console_open = r->console >= 0, errors_open = r->errors >= 0;
	/* A child that ended before the signals were blocked in this loop shows here as well. */
	while (!gone) {
		struct pollfd p[P_N];
		int timeout = -1;

		for (unsigned i = 0; i < P_N; i++)
			p[i] = (struct pollfd){ .fd = -1 };
		p[P_SIG] = (struct pollfd){ s.sigfd, POLLIN, 0 };
		if (s.stdin_open && (s.tty ? terminal_is_raw() : s.in_len == 0))
			p[P_IN] = (struct pollfd){ STDIN_FILENO, POLLIN, 0 };
		if (s.out_len)
			p[P_OUT] = (struct pollfd){ STDOUT_FILENO, POLLOUT, 0 };
		if (console_open)
			p[P_CONSOLE] =
			    (struct pollfd){ r->console, (short)((s.out_len ? 0 : POLLIN) | (s.in_len ? POLLOUT : 0)),
					     0 };
		if (console_open && !p[P_CONSOLE].events)
			p[P_CONSOLE].fd = -1; /* a hang-up would be told again and again */
		if (errors_open)
			p[P_ERRORS] = (struct pollfd){ r->errors, POLLIN, 0 };
		p[P_CONTROL] = (struct pollfd){ client_fd(r->vm->client), client_wants(r->vm->client), 0 };
		if (s.kill_at_ns) {
			u64 now = clock_mono_ns();
			if (now >= s.kill_at_ns) {
				kill(r->vm->pid, SIGKILL);
				s.kill_at_ns = UINT64_MAX;
			} else if (s.kill_at_ns != UINT64_MAX) {
				timeout = (int)((s.kill_at_ns - now) / 1000000) + 1;
			}
		}
		if (poll(p, P_N, timeout) < 0)
			continue;
		if (p[P_SIG].revents)
			gone = on_signals(&s, &wstatus);
		if (p[P_IN].revents)
			read_stdin(&s);
		if (p[P_OUT].revents)
			write_stdout(&s);
		if (p[P_CONSOLE].revents & POLLOUT)
			write_guest(&s);
		if ((p[P_CONSOLE].revents & (POLLIN | POLLHUP | POLLERR)) && !s.out_len)
			console_open = read_guest(&s);
		if (p[P_ERRORS].revents)
			errors_open = read_errors(&s);
		if (p[P_CONTROL].revents)
			client_step(r->vm->client);
	}
	/* What it said last. */
	struct pollfd last = { client_fd(r->vm->client), POLLIN, 0 };
	while (client_fd(r->vm->client) >= 0 && poll(&last, 1, 0) > 0)
		client_step(r->vm->client);

	/* Everything it wrote is in the sockets by now. Our own reader may still be slow, or not want it. */
	while (s.stdout_open && (s.out_len || (r->console >= 0 && read_guest(&s)))) {
		struct pollfd p[2] = { { s.sigfd, POLLIN, 0 }, { STDOUT_FILENO, POLLOUT, 0 } };
		struct signalfd_siginfo si;
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents && read(s.sigfd, &si, sizeof(si)) == sizeof(si) && si.ssi_signo != SIGCHLD &&
		    si.ssi_signo != SIGCONT)
			break;
		if (p[1].revents && s.out_len) {
			ssize_t n = write(STDOUT_FILENO, s.out, s.out_len);
			if (n < 0 && errno != EAGAIN && errno != EINTR)
				break;
			s.out_len -= n < 0 ? 0 : (size_t)n;
			memmove(s.out, s.out + (n < 0 ? 0 : n), s.out_len);
		}
	}
	while (errors_open && read_errors(&s))
		;
	terminal_restore();
	close(s.sigfd);
	return ended(&s, wstatus);
}
