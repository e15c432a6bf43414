/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * picture.c - see picture.h.
 *
 * libpng is loaded when a VM has a screen: with zlib and libm, which it needs, it is a twentieth of the time that a VM
 * without one takes to start.
 */
#include "vmm/picture.h"

#include <dlfcn.h>
#include <png.h>
#include <setjmp.h>

#define LEVEL 3 /* of zlib: a console is as small as with more, in a fraction of the time */

/* By their names without png_. */
#define FUNCTIONS(F) \
	F(create_write_struct) \
	F(create_info_struct) \
	F(destroy_write_struct) \
	F(set_write_fn) \
	F(get_io_ptr) \
	F(error) \
	F(longjmp) \
	F(set_longjmp_fn) \
	F(set_compression_level) \
	F(set_filter) \
	F(set_IHDR) \
	F(write_info) \
	F(write_row) \
	F(write_end)

static struct {
#define POINTER(name) __typeof__(png_##name) *name;
	FUNCTIONS(POINTER)
#undef POINTER
} lib;

int picture_begin(struct err *e)
{
	void *so = dlopen("libpng16.so.16", RTLD_NOW | RTLD_LOCAL);
	bool all = so;

#define LOAD(name) all = all && (lib.name = (__typeof__(lib.name))(uintptr_t)dlsym(so, "png_" #name));
	FUNCTIONS(LOAD)
#undef LOAD
	return all ? 0 : err_set(e, ENOENT, "a screen needs libpng for its pictures: %s", dlerror());
}

struct out {
	int fd, code;
};

static void put(png_structp png, png_bytep data, size_t bytes)
{
	struct out *o = lib.get_io_ptr(png);

	while (bytes) {
		ssize_t n = write(o->fd, data, bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			o->code = n < 0 ? errno : EIO;
			lib.error(png, "write");
		}
		data += n;
		bytes -= (size_t)n;
	}
}

static void flush(png_structp png)
{
	(void)png;
}

static noreturn_ void failed(png_structp png, png_const_charp text)
{
	(void)text;
	lib.longjmp(png, 1);
	__builtin_unreachable();
}

static void quiet(png_structp png, png_const_charp text)
{
	(void)png, (void)text;
}

static void write_all(png_structp png, png_infop info, const u32 *pixels, unsigned width, unsigned height, u8 *line)
{
	lib.set_compression_level(png, LEVEL);
	lib.set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE | PNG_FILTER_SUB);
	lib.set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
		     PNG_FILTER_TYPE_DEFAULT);
	lib.write_info(png, info);
	for (unsigned y = 0; y < height; y++, pixels += width) {
		for (unsigned x = 0; x < width; x++) {
			line[3 * x] = (u8)(pixels[x] >> 16);
			line[3 * x + 1] = (u8)(pixels[x] >> 8);
			line[3 * x + 2] = (u8)pixels[x];
		}
		lib.write_row(png, line);
	}
	lib.write_end(png, NULL);
}

int picture_write(int fd, const u32 *pixels, unsigned width, unsigned height, struct err *e)
{
	auto_free u8 *line = xcalloc(width, 3);
	struct out o = { .fd = fd };
	png_structp png = lib.create_write_struct(PNG_LIBPNG_VER_STRING, NULL, failed, quiet);
	png_infop info = png ? lib.create_info_struct(png) : NULL;

	if (!info || setjmp(*lib.set_longjmp_fn(png, longjmp, sizeof(jmp_buf)))) {
		lib.destroy_write_struct(&png, &info);
		return err_sys(e, o.code ? o.code : ENOMEM, "cannot write the picture");
	}
	lib.set_write_fn(png, &o, put, flush);
	write_all(png, info, pixels, width, height, line);
	lib.destroy_write_struct(&png, &info);
	return 0;
}
