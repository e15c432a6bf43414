/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_gpu_res.c - resources of a display device: see virtio_gpu.h. */
#include "device/virtio/virtio_gpu.h"

#include "base/state.h"

/* Formats (5.7.6.8): where red, green, blue and alpha are in four bytes; alpha 4: there is none. */
static const struct format {
	u8 id, r, g, b, a;
} formats[] = {
	{ 1, 2, 1, 0, 3 },  { 2, 2, 1, 0, 4 },  { 3, 1, 2, 3, 0 },   { 4, 1, 2, 3, 4 },
	{ 67, 0, 1, 2, 3 }, { 68, 3, 2, 1, 4 }, { 121, 3, 2, 1, 0 }, { 134, 0, 1, 2, 4 },
};

static const struct format *format_of(u32 id)
{
	for (unsigned i = 0; i < ARRAY_LEN(formats); i++)
		if (formats[i].id == id)
			return &formats[i];
	return NULL;
}

struct gpu_resource *gpu_find(struct gpu *g, u32 id)
{
	for (unsigned i = 0; id && i < g->nres; i++)
		if (g->res[i].id == id)
			return &g->res[i];
	return NULL;
}

static u64 bytes_of(const struct gpu_resource *r)
{
	return 4ull * r->w * r->h;
}

u32 gpu_create(struct gpu *g, u32 id, u32 format, u32 w, u32 h)
{
	struct gpu_resource r = { .id = id, .format = format, .w = w, .h = h };

	if (!id || gpu_find(g, id))
		return GPU_ERR_RESOURCE;
	if (!format_of(format) || !w || !h || w > GPU_SIDE_MAX || h > GPU_SIDE_MAX)
		return GPU_ERR_PARAMETER;
	if (g->nres == GPU_RESOURCES_MAX || bytes_of(&r) > GPU_BYTES_MAX - g->bytes)
		return GPU_ERR_OUT_OF_MEMORY;
	r.pixels = xmap_sparse(bytes_of(&r));
	g->bytes += bytes_of(&r);
	g->res[g->nres++] = r;
	return 0;
}

void gpu_detach(struct gpu *g, struct gpu_resource *r)
{
	g->npages -= r->npages;
	r->npages = 0;
	free(steal(&r->pages));
}

void gpu_unref(struct gpu *g, struct gpu_resource *r)
{
	gpu_detach(g, r);
	unmap_sparse(r->pixels, bytes_of(r));
	g->bytes -= bytes_of(r);
	*r = g->res[--g->nres];
}

/* Entries (5.7.6.8, struct virtio_gpu_mem_entry) follow the command's 32 bytes. Nobody needs a page after the picture's
 * end, and none of no bytes. */
u32 gpu_attach(struct gpu *g, struct gpu_resource *r, u32 n)
{
	u64 at = 0;

	if (r->npages)
		return GPU_ERR_UNSPEC;
	if (!n || 32 + 16ull * n > g->ch.out_bytes)
		return GPU_ERR_PARAMETER;
	if (n > GPU_PAGES_MAX - g->npages)
		return GPU_ERR_OUT_OF_MEMORY;
	r->pages = xcalloc(n, sizeof(*r->pages));
	for (u32 i = 0; i < n; i++) {
		u8 e[16];

		virtio_chain_read(&g->ch, 32 + 16ull * i, e, sizeof(e));
		r->pages[i] = (struct gpu_page){ .gpa = ld_le64(e), .at = at, .bytes = ld_le32(e + 8) };
		at += r->pages[i].bytes;
	}
	r->npages = n;
	g->npages += n;
	virtio_charge(g->d, n * 2);
	return 0;
}

bool gpu_within(const struct gpu_resource *r, const struct gpu_rect *rect)
{
	return rect->w && rect->h && rect->x < r->w && rect->y < r->h && rect->w <= r->w - rect->x &&
	       rect->h <= r->h - rect->y;
}

/* The last entry that begins at or before `at`. */
static u32 find_page(const struct gpu_resource *r, u64 at)
{
	u32 lo = 0, hi = r->npages;

	while (hi - lo > 1) {
		u32 mid = lo + (hi - lo) / 2;

		if (r->pages[mid].at <= at)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

bool gpu_fill_line(struct gpu *g, struct gpu_resource *r, u64 at, u32 x, u32 y, u32 w)
{
	u8 *out = (u8 *)(r->pixels + (size_t)y * r->w + x);
	u64 left = 4ull * w;

	if (!r->npages)
		return false;
	for (u32 i = find_page(r, at); left && i < r->npages; i++) {
		const struct gpu_page *p = &r->pages[i];
		u64 in = at - p->at, n = p->bytes > in ? MIN(left, p->bytes - in) : 0;
		const u8 *from = n ? ram_ptr_ro(g->d->ram, p->gpa + in, n) : NULL;

		if (n && !from)
			return false;
		if (n)
			memcpy(out, from, n);
		out += n;
		at += n;
		left -= n;
	}
	return !left;
}

void gpu_refill(struct gpu *g)
{
	if (!g->restored)
		return;
	g->restored = false;
	for (unsigned i = 0; i < g->nres; i++) {
		struct gpu_resource *r = &g->res[i];

		for (u32 y = 0; y < r->h; y++)
			gpu_fill_line(g, r, 4ull * r->w * y, 0, y, r->w);
	}
	gpu_show_all(g);
	gpu_show_cursor(g);
}

void gpu_line_rgb(const struct gpu_resource *r, u32 x, u32 y, u32 w, u32 *out)
{
	const u32 *from = r->pixels + (size_t)y * r->w + x;
	const u8 *p = (const u8 *)from;
	const struct format *f = format_of(r->format);

	if (f->r == 2 && !f->b) { /* what nearly all drivers use is what is wanted */
		for (u32 i = 0; i < w; i++)
			out[i] = from[i] | (f->a < 4 ? 0 : 0xff000000u);
		return;
	}
	for (u32 i = 0; i < w; i++, p += 4)
		out[i] = (u32)(f->a < 4 ? p[f->a] : 255) << 24 | (u32)p[f->r] << 16 | (u32)p[f->g] << 8 | p[f->b];
}

/* What is loaded may come from anywhere: it is made as commands would. */
void gpu_resources_state(struct gpu *g, struct state_file *s)
{
	unsigned n = g->nres;

	state_uint(s, &n, GPU_RESOURCES_MAX);
	for (unsigned i = 0; i < n; i++) {
		struct gpu_resource r = { 0 }, *own = &r;

		if (!state_loading(s))
			own = &g->res[i];
		state_u32(s, &own->id);
		state_u32(s, &own->format);
		state_u32(s, &own->w);
		state_u32(s, &own->h);
		u32 pages = own->npages;
		state_uint(s, &pages, GPU_PAGES_MAX);
		if (state_loading(s)) {
			if (gpu_create(g, r.id, r.format, r.w, r.h) || pages > GPU_PAGES_MAX - g->npages) {
				state_bad(s, "a display resource that no driver could have made");
				return;
			}
			own = gpu_find(g, r.id);
			own->pages = pages ? xcalloc(pages, sizeof(*own->pages)) : NULL;
			own->npages = pages;
			g->npages += pages;
		}
		u64 at = 0;
		for (u32 k = 0; k < pages; k++) {
			state_u64(s, &own->pages[k].gpa);
			state_u32(s, &own->pages[k].bytes);
			own->pages[k].at = at;
			at += own->pages[k].bytes;
		}
	}
}
