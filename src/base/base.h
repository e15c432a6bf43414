/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * base.h - the words every room uses: integer shorthands, address types,
 * cleanup attributes, must().
 */
#ifndef MICA_BASE_H
#define MICA_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

/* Address kinds. Never pass one as another without a translation. */
typedef u64 gpa_t; /* guest physical */
typedef u64 gva_t; /* guest linear ("virtual") */

#define PAGE_SHIFT 12
#define PAGE_BYTES 4096u
#define PAGE_MASK (~(u64)(PAGE_BYTES - 1))

#define KIB (1024ull)
#define MIB (1024ull * KIB)
#define GIB (1024ull * MIB)

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ROUND_UP(x, n) (((x) + (n)-1) / (n) * (n))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define printf_like(f, a) __attribute__((format(printf, f, a)))
#define noreturn_ __attribute__((noreturn))
#define cold_ __attribute__((cold, noinline))
#define unused_ __attribute__((unused))

/* Our own bugs only, never guest- or user-driven conditions; kept in release. */
#define must(cond) \
	do { \
		if (unlikely(!(cond))) \
			must_fail(__FILE__, __LINE__, #cond); \
	} while (0)
noreturn_ cold_ void must_fail(const char *file, int line, const char *what);

/* Cleanup attributes: auto_free char *p; auto_close int fd = -1; */
static inline void auto_free_(void *p)
{
	free(*(void **)p);
}
static inline void auto_close_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void auto_fclose_(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define auto_free __attribute__((cleanup(auto_free_)))
#define auto_close __attribute__((cleanup(auto_close_)))
#define auto_fclose __attribute__((cleanup(auto_fclose_)))

/* Take the value out of a cleanup variable, leaving it empty. */
static inline void *steal_ptr_(void *pp)
{
	void *p = *(void **)pp;
	*(void **)pp = NULL;
	return p;
}
#define steal(pp) ((__typeof__(*(pp)))steal_ptr_(pp))
static inline int steal_fd(int *fd)
{
	int v = *fd;
	*fd = -1;
	return v;
}

/* Allocation that ends the process on ENOMEM: host trouble, sizes never chosen by a guest. */
void *xcalloc(size_t n, size_t size);
/* Zeros, of which little may ever be touched: they cost memory page by page, on hosts that give everybody huge pages,
 * too. */
void *xmap_sparse(size_t bytes);
void unmap_sparse(void *p, size_t bytes);
void *xrealloc(void *p, size_t bytes);
char *xstrdup(const char *s);
char *xasprintf(const char *fmt, ...) printf_like(1, 2);

/* Unaligned little-endian access. */
#define DEF_LE(bits) \
	static inline u##bits ld_le##bits(const void *p) \
	{ \
		u##bits v; \
		memcpy(&v, p, sizeof(v)); \
		return v; \
	} \
	static inline void st_le##bits(void *p, u##bits v) \
	{ \
		memcpy(p, &v, sizeof(v)); \
	}
DEF_LE(16)
DEF_LE(32)
DEF_LE(64)
#undef DEF_LE

#endif
