// SPDX-License-Identifier: GPL-2.0-or-later
// The first process of a guest whose kernel executes no 64-bit programs: takes command lines from the console and runs
// them, as the script of bench/lib/pack.py does elsewhere. A line is a path and arguments, by blanks; "end" powers off.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define WORDS 8

static void mount_all(void)
{
	static const char *const at[][2] = {
		{ "proc", "/proc" }, { "sysfs", "/sys" }, { "devtmpfs", "/dev" }, { "tmpfs", "/tmp" }
	};

	for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
		mkdir(at[i][1], 0755);
		mount(at[i][0], at[i][1], at[i][0], 0, NULL);
	}
}

static void no_echo(void)
{
	struct termios t;

	if (tcgetattr(0, &t))
		return;
	t.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(0, TCSANOW, &t);
}

// The status as a shell would show it.
static int run(char *line)
{
	char *argv[WORDS + 1] = { 0 }, *rest = line;
	int status, n = 0;

	while (n < WORDS && (argv[n] = strtok_r(rest, " \r\n", &rest)))
		n++;
	if (!n)
		return 0;
	pid_t pid = fork();
	if (!pid) {
		dup2(open("/dev/null", O_RDONLY), 0);
		execv(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 126;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(void)
{
	char line[256];

	mount_all();
	no_echo();
	puts("@ready");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) && strncmp(line, "end", 3)) {
		printf("@done %d\n", run(line));
		fflush(stdout);
	}
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
