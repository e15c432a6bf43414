/* SPDX-License-Identifier: GPL-2.0-or-later */
/* picture.c - see picture.h. */
#include "vmm/picture.h"

#include <png.h>
#include <setjmp.h>

#define LEVEL 3 /* of zlib: a console is as small as with more, in a fraction of the time */

struct out {
	int fd, code;
};

static void put(png_structp png, png_bytep data, size_t bytes)
{
	struct out *o = png_get_io_ptr(png);

	while (bytes) {
		ssize_t n = write(o->fd, data, bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			o->code = n < 0 ? errno : EIO;
			png_error(png, "write");
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
	png_longjmp(png, 1);
}

static void quiet(png_structp png, png_const_charp text)
{
	(void)png, (void)text;
}

static void write_all(png_structp png, png_infop info, const u32 *pixels, unsigned width, unsigned height, u8 *line)
{
	png_set_compression_level(png, LEVEL);
	png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE | PNG_FILTER_SUB);
	png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
		     PNG_FILTER_TYPE_DEFAULT);
	png_write_info(png, info);
	for (unsigned y = 0; y < height; y++, pixels += width) {
		for (unsigned x = 0; x < width; x++) {
			line[3 * x] = (u8)(pixels[x] >> 16);
			line[3 * x + 1] = (u8)(pixels[x] >> 8);
			line[3 * x + 2] = (u8)pixels[x];
		}
		png_write_row(png, line);
	}
	png_write_end(png, NULL);
}

int picture_write(int fd, const u32 *pixels, unsigned width, unsigned height, struct err *e)
{
	auto_free u8 *line = xcalloc(width, 3);
	struct out o = { .fd = fd };
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, failed, quiet);
	png_infop info = png ? png_create_info_struct(png) : NULL;

	if (!info || setjmp(png_jmpbuf(png))) {
		png_destroy_write_struct(&png, &info);
		return err_sys(e, o.code ? o.code : ENOMEM, "cannot write the picture");
	}
	png_set_write_fn(png, &o, put, flush);
	write_all(png, info, pixels, width, height, line);
	png_destroy_write_struct(&png, &info);
	return 0;
}
