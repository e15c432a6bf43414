/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_perf.c - names of translated code for perf(1): /tmp/perf-PID.map, a line "start size name" for each piece
 * (tools/perf/Documentation/jit-interface.txt in Linux). The file is opened before the sandbox closes, and then only
 * written to. Code memory that was emptied and filled again has several names; perf takes one of them.
 */
#include "cpu/soft/jit/jit_emit.h"

#include <fcntl.h>
#include <stdarg.h>

int jit_perf_open(struct jit_code *k, struct err *e)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	unlink(path); /* of an older process; O_EXCL follows no link that somebody else put there */
	k->perf_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
	if (k->perf_fd < 0)
		return err_sys(e, errno, "perfmap=on: cannot make %s", path);
	return 0;
}

__attribute__((format(printf, 4, 5))) void jit_perf_name(struct jit_code *k, const u8 *code, u32 bytes,
							 const char *name, ...)
{
	char line[160];
	va_list ap;

	if (k->perf_fd < 0 || !bytes)
		return;
	int n = snprintf(line, sizeof(line), "%llx %x ", (unsigned long long)(uintptr_t)code, bytes);
	va_start(ap, name);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n, name, ap);
	va_end(ap);
	n = MIN(n, (int)sizeof(line) - 2);
	line[n++] = '\n';
	if (write(k->perf_fd, line, (size_t)n) != n) { /* disk full: what is there, is there */
		close(k->perf_fd);
		k->perf_fd = -1;
	}
}
