/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base.c - must() and allocation that does not fail. */
#include "base/base.h"

#include <stdarg.h>
#include <sys/mman.h>

void must_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "mica: internal error at %s:%d: %s\n", file, line, what);
	abort();
}

static noreturn_ cold_ void no_memory(size_t bytes)
{
	fprintf(stderr, "mica: out of memory (%zu bytes)\n", bytes);
	abort();
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);
	if (!p)
		no_memory(n * size);
	return p;
}

void *xmap_sparse(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		no_memory(bytes);
	madvise(p, bytes, MADV_NOHUGEPAGE); /* -EINVAL: the host has none */
	return p;
}

void unmap_sparse(void *p, size_t bytes)
{
	if (p)
		munmap(p, bytes);
}

void *xrealloc(void *p, size_t bytes)
{
	p = realloc(p, bytes ? bytes : 1);
	if (!p)
		no_memory(bytes);
	return p;
}

char *xstrdup(const char *s)
{
	char *p = strdup(s);
	if (!p)
		no_memory(strlen(s) + 1);
	return p;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	if (vasprintf(&p, fmt, ap) < 0)
		no_memory(0);
	va_end(ap);
	return p;
}
