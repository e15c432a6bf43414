/* SPDX-License-Identifier: GPL-2.0-or-later */
/* terminal.c - see terminal.h. */
#include "cli/terminal.h"

#include <signal.h>
#include <termios.h>

static struct termios term_saved;
static bool ours;
static volatile sig_atomic_t term_raw;

static void set_raw(void)
{
	struct termios t = term_saved;

	cfmakeraw(&t);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0)
		term_raw = 1;
}

void terminal_restore(void)
{
	if (term_raw) {
		term_raw = 0;
		tcsetattr(STDIN_FILENO, TCSADRAIN, &term_saved);
	}
}

static void on_crash(int sig)
{
	terminal_restore();
	raise(sig); /* SA_RESETHAND: now it kills */
}

/* In the background the terminal belongs to somebody else, until SIGCONT brings us forward. One that is not our
 * controlling terminal (ENOTTY) knows no foreground. */
static bool foreground(void)
{
	pid_t fg = tcgetpgrp(STDIN_FILENO);

	return fg == getpgrp() || (fg < 0 && errno == ENOTTY);
}

bool terminal_take(void)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS };
	struct sigaction sa = { .sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND | SA_NODEFER };

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &term_saved) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
		sigaction(crashes[i], &sa, NULL);
	ours = true;
	if (foreground())
		set_raw();
	return true;
}

void terminal_again(void)
{
	if (ours && foreground())
		set_raw();
}

bool terminal_ours(void)
{
	return ours;
}

bool terminal_is_raw(void)
{
	return term_raw;
}

void terminal_say(const char *text)
{
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "\n");
		fprintf(stderr, "%.*s%s", (int)n, p, p[n] ? (term_raw ? "\r\n" : "\n") : "");
		p += n + (p[n] == '\n');
	}
}
