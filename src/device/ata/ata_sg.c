/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ata_sg.c - see ata_sg.h. */
#include "device/ata/ata_sg.h"

#define PIECE_BYTES (512 * KIB) /* what the host copies between two looks at the clock */

void ata_sg_rewind(struct ata_sg *g)
{
	g->at = g->off = g->niov = 0;
}

/* Undo what is more than whole sectors; the next piece begins with it. */
static u64 cut(struct ata_sg *g, struct ata_cmd *c, u64 got)
{
	u64 more = got % BLK_SECTOR;

	got -= more;
	while (more) {
		struct iovec *v = &c->iov[g->niov - 1];
		u64 n = MIN(v->iov_len, more);

		v->iov_len -= n;
		more -= n;
		g->at = g->iov_at[g->niov - 1];
		g->off = g->iov_off[g->niov - 1] + (u32)v->iov_len;
		if (!v->iov_len)
			g->niov--;
	}
	return got;
}

s64 ata_sg_next(struct ata_sg *g, struct ata_cmd *c)
{
	u64 want = MIN(c->bytes - c->moved, PIECE_BYTES), got = 0, bytes;
	bool last = false;
	gpa_t at;

	g->niov = 0;
	while (got < want && g->niov < ATA_IOV_MAX && g->at < g->entries && !last) {
		/* It may have been changed meanwhile: off may be beyond it now. */
		if (!g->read(g, g->at, &at, &bytes, &last) || bytes <= g->off)
			return -1;
		u64 n = MIN(bytes - g->off, want - got);
		u8 *mem = c->dir == ATA_TO_HOST ? ram_ptr(g->ram, at + g->off, n)
						: (u8 *)(uintptr_t)ram_ptr_ro(g->ram, at + g->off, n);
		if (!mem)
			return -1;
		c->iov[g->niov] = (struct iovec){ mem, n };
		g->iov_at[g->niov] = (u16)g->at;
		g->iov_off[g->niov++] = g->off;
		got += n;
		g->off += (u32)n;
		if (g->off < bytes) {
			last = false;
		} else {
			g->at = last ? g->entries : g->at + 1;
			g->off = 0;
		}
	}
	return (s64)(got < want ? cut(g, c, got) : got);
}

void ata_sg_moved(struct ata_sg *g, const struct ata_cmd *c)
{
	for (unsigned i = 0; c->dir == ATA_TO_HOST && i < g->niov; i++)
		ram_wrote_at(g->ram, (u64)((u8 *)c->iov[i].iov_base - g->ram->host), c->iov[i].iov_len);
	g->niov = 0;
}
