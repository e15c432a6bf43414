// SPDX-License-Identifier: GPL-2.0-or-later
// Programs as Debian ships them: busybox, Perl, Lua, and gcc with its assembler and linker compiling a small project
// (some of these very files). The checksum is of what they write to standard output.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "work.h"

#define TEXT "/tmp/bench-text"
#define PACKED "/tmp/bench-text.gz"
#define TEXT_BYTES (1u << 20)

static char *const environment[] = { "PATH=/usr/bin:/bin", "PERL_HASH_SEED=0", "LC_ALL=C", "TMPDIR=/tmp", NULL };

// Runs a program to its end; its output goes to the file `to`, or into the checksum.
static uint64_t output_of(uint64_t sum, char *const argv[], const char *to)
{
	uint8_t data[65536];
	int ends[2], status;
	ssize_t got;

	must(!pipe(ends), "pipe");
	pid_t child = fork();
	must(child >= 0, "fork");
	if (child == 0) {
		int out = to ? open(to, O_CREAT | O_TRUNC | O_WRONLY, 0600) : ends[1];
		must(out >= 0 && dup2(out, 1) == 1, "output");
		close(ends[0]);
		close(ends[1]);
		execve(argv[0], argv, environment);
		must(false, argv[0]);
	}
	close(ends[1]);
	for (size_t fill = 0;;) { // whole buffers, so that the sum does not depend on how the output comes in
		got = read(ends[0], data + fill, sizeof data - fill);
		must(got >= 0, "read");
		fill += (size_t)got;
		if (got == 0 || fill == sizeof data) {
			sum = mix_bytes(sum, data, fill);
			fill = 0;
		}
		if (got == 0)
			break;
	}
	close(ends[0]);
	must(waitpid(child, &status, 0) == child, "waitpid");
	if (status) {
		fprintf(stderr, "work: %s failed: status %#x\n", argv[0], (unsigned)status);
		_exit(1);
	}
	return sum;
}

// Words of a small vocabulary, the short ones often: compresses about as text does.
static void make_text(void)
{
	static char words[512][12], text[TEXT_BYTES];
	uint64_t state = 31;
	size_t at = 0;
	FILE *f = fopen(TEXT, "w");

	must(f, TEXT);
	for (int w = 0; w < 512; w++)
		for (int i = 0, length = 1 + w / 64 + (int)(next_random(&state) >> 20) % 3; i < length; i++)
			words[w][i] = (char)('a' + (next_random(&state) >> 13) % 26);
	while (at < sizeof text) {
		uint64_t r = next_random(&state);
		for (const char *w = words[(r >> 8 & 511) * (r >> 20 & 511) / 512]; *w && at < sizeof text; w++)
			text[at++] = *w;
		if (at < sizeof text)
			text[at++] = (r >> 40 & 15) ? ' ' : '\n';
	}
	must(fwrite(text, 1, sizeof text, f) == sizeof text && !fclose(f), TEXT);
}

static uint64_t gzip(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum = output_of(sum, (char *const[]){ "/bin/busybox", "gzip", "-c", TEXT, NULL }, NULL);
	return sum;
}

static void make_packed(void)
{
	make_text();
	output_of(0, (char *const[]){ "/bin/busybox", "gzip", "-c", TEXT, NULL }, PACKED);
}

static uint64_t gunzip(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum = output_of(sum, (char *const[]){ "/bin/busybox", "gunzip", "-c", PACKED, NULL }, NULL);
	return sum;
}

// Runs a script once, with n for its argument.
static uint64_t script(uint64_t n, char *program, char *option, char *file)
{
	char count[24];
	char *argv[6] = { program };
	int argc = 1;

	snprintf(count, sizeof count, "%llu", (unsigned long long)n);
	if (option)
		argv[argc++] = option;
	argv[argc++] = file;
	argv[argc] = count;
	return output_of(0, argv, NULL);
}

static uint64_t shell(uint64_t n)
{
	return script(n, "/bin/busybox", "sh", "/bench/loop.sh");
}

static uint64_t perl(uint64_t n)
{
	return script(n, "/usr/bin/perl", NULL, "/bench/loop.pl");
}

static uint64_t lua(uint64_t n)
{
	return script(n, "/usr/bin/lua5.4", NULL, "/bench/loop.lua");
}

static uint64_t compile(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		output_of(0,
			  (char *const[]){ "/usr/bin/gcc", "-O2", "-pthread", "-o", "/tmp/bench-compiled",
					   "/bench/src/harness.c", "/bench/src/integer.c", "/bench/src/branchy.c",
					   "/bench/src/parallel.c", NULL },
			  NULL);
		sum = output_of(sum, (char *const[]){ "/bin/busybox", "cat", "/tmp/bench-compiled", NULL }, NULL);
		sum = output_of(sum, (char *const[]){ "/tmp/bench-compiled", "list", NULL }, NULL);
	}
	return sum;
}

const struct workload command_workloads[] = {
	{ "perl", "branchy", "Perl: a loop with hashes, strings and patterns", perl },
	{ "lua", "branchy", "Lua: a loop with tables, closures and strings", lua },
	{ "gzip", "busybox", "busybox gzip of 1 MiB of text", gzip, make_text },
	{ "gunzip", "busybox", "busybox gunzip of it", gunzip, make_packed },
	{ "sh", "busybox", "a loop in busybox's shell", shell },
	{ "compile", "further", "gcc -O2 of four C files, and the link", compile, NULL, 2 },
	{ 0 },
};
