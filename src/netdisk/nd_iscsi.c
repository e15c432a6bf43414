/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nd_iscsi.c - iSCSI (RFC 7143), by libiscsi: one session with one connection for a logical unit.
 *
 * Connecting takes three steps: log in, READ CAPACITY (16), and MODE SENSE (6) for whether it can be written (SBC-3).
 * libiscsi's own way to reconnect is off: the core does that. A context's end calls back for each of its commands;
 * these go nowhere.
 */
#include "netdisk/nd.h"

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#define ISCSI_FLIGHT 32u
#define BLOCK 512u
#define WRITE_PROTECTED 0x80u /* of the device-specific parameter */

struct iscsi {
	struct nd *d;
	struct iscsi_context *c;
	enum { LOG_IN, CAPACITY, MODE, KNOWN, UP } step;
	bool ending, lost;
	u64 bytes;
	u32 flags;
	unsigned flight;
	char password[256];
	/* what has ended in this turn */
	struct {
		struct nd_io *io;
		int res;
	} done[NETDISK_SLOTS + 2];
	unsigned ndone;
	struct err why;
};

static int fail(struct iscsi *s, struct err *e)
{
	const char *why = iscsi_get_error(s->c);

	return err_set(e, EIO, "%s", why && *why ? why : "iSCSI");
}

/* ---- connecting ---- */

static void asked(struct iscsi *s, struct scsi_task *t)
{
	if (t)
		return;
	s->lost = true;
	fail(s, &s->why);
}

static void on_mode(struct iscsi_context *c, int status, void *data, void *opaque)
{
	struct scsi_task *t = data;
	struct iscsi *s = opaque;

	(void)c;
	if (!s->ending) {
		/* A target that does not know the command takes writes, or fails them. */
		if (status == SCSI_STATUS_GOOD && t->datain.size >= 4 && t->datain.data[2] & WRITE_PROTECTED)
			s->flags |= NETDISK_READONLY;
		s->step = KNOWN;
	}
	scsi_free_scsi_task(t);
}

static void on_capacity(struct iscsi_context *c, int status, void *data, void *opaque)
{
	struct scsi_task *t = data;
	struct iscsi *s = opaque;

	if (!s->ending) {
		struct scsi_readcapacity16 *rc = status == SCSI_STATUS_GOOD ? scsi_datain_unmarshall(t) : NULL;
		if (!rc) {
			s->lost = true;
			fail(s, &s->why);
		} else if (rc->block_length != BLOCK || rc->returned_lba >= NETDISK_BYTES_MAX / BLOCK) {
			s->lost = true;
			err_set(&s->why, ENOTSUP, "its blocks have %u bytes, and only those of 512 are used",
				rc->block_length);
		} else {
			s->bytes = (rc->returned_lba + 1) * BLOCK;
			s->flags = rc->lbpme ? NETDISK_CAN_DISCARD : 0;
			s->step = MODE;
			asked(s, iscsi_modesense6_task(c, (int)s->d->url.lun, 1, SCSI_MODESENSE_PC_CURRENT,
						       SCSI_MODEPAGE_RETURN_ALL_PAGES, 0, 255, on_mode, s));
		}
	}
	scsi_free_scsi_task(t);
}

static void on_login(struct iscsi_context *c, int status, void *data, void *opaque)
{
	struct iscsi *s = opaque;

	(void)data;
	if (s->ending)
		return;
	if (status != SCSI_STATUS_GOOD) {
		s->lost = true;
		fail(s, &s->why);
		return;
	}
	s->step = CAPACITY;
	asked(s, iscsi_readcapacity16_task(c, (int)s->d->url.lun, on_capacity, s));
}

static int iscsi_begin(struct nd *d, struct err *e)
{
	struct iscsi *s = d->own;
	bool v6 = strchr(d->url.host, ':');
	auto_free char *portal = xasprintf("%s%s%s:%s", v6 ? "[" : "", d->url.host, v6 ? "]" : "", d->url.port);

	s->c = iscsi_create_context(d->initiator ? d->initiator : ND_INITIATOR);
	s->step = LOG_IN;
	if (!s->c)
		return err_set(e, ENOMEM, "cannot prepare iSCSI");
	iscsi_set_noautoreconnect(s->c, 1);
	if (iscsi_set_targetname(s->c, d->url.name) || iscsi_set_session_type(s->c, ISCSI_SESSION_NORMAL) ||
	    iscsi_set_header_digest(s->c, ISCSI_HEADER_DIGEST_NONE_CRC32C) ||
	    (d->user && iscsi_set_initiator_username_pwd(s->c, d->user, s->password)) ||
	    iscsi_full_connect_async(s->c, portal, (int)d->url.lun, on_login, s))
		return fail(s, e);
	return 0;
}

static void iscsi_end(struct nd *d)
{
	struct iscsi *s = d->own;

	if (!s->c)
		return;
	s->ending = true;
	iscsi_destroy_context(s->c);
	s->c = NULL;
	s->ending = s->lost = false;
	s->flight = s->ndone = 0;
	s->step = LOG_IN;
}

/* ---- waiting ---- */

static unsigned iscsi_poll(struct nd *d, struct pollfd p[ND_POLL_MAX], int *timeout_ms)
{
	struct iscsi *s = d->own;

	*timeout_ms = s->lost || s->ndone ? 0 : MIN(*timeout_ms, 1000);
	p[0] = (struct pollfd){ .fd = iscsi_get_fd(s->c), .events = (short)iscsi_which_events(s->c) };
	return p[0].fd >= 0;
}

static int iscsi_serve(struct nd *d, const struct pollfd *p, unsigned n, struct err *e)
{
	struct iscsi *s = d->own;

	if (iscsi_service(s->c, n ? p[0].revents : 0) < 0 && !s->lost) {
		s->lost = true;
		fail(s, &s->why);
	}
	for (unsigned i = 0; i < s->ndone; i++) {
		s->flight--;
		nd_done(d, s->done[i].io, s->done[i].res);
	}
	s->ndone = 0;
	if (s->lost) {
		*e = s->why;
		return -ENOLINK;
	}
	if (s->step == KNOWN) {
		s->step = UP;
		nd_up(d, s->bytes, s->flags, true);
	}
	return 0;
}

/* ---- requests ---- */

static int result(const struct scsi_task *t, const struct nd_io *io)
{
	if (t->sense.key == SCSI_SENSE_ILLEGAL_REQUEST && (io->op == NETDISK_FLUSH || io->op == NETDISK_DISCARD))
		return 0; /* it keeps nothing to itself; a hint */
	return t->sense.key == SCSI_SENSE_DATA_PROTECTION ? -EROFS : -EIO;
}

static void on_end(struct iscsi_context *c, int status, void *data, void *opaque)
{
	struct scsi_task *t = data;
	struct nd_io *io = opaque;
	struct iscsi *s = io->own;

	(void)c;
	if (!s->ending) {
		bool attention = status == SCSI_STATUS_CHECK_CONDITION && t->sense.key == SCSI_SENSE_UNIT_ATTENTION;
		if (status == SCSI_STATUS_GOOD || (status == SCSI_STATUS_CHECK_CONDITION && !attention)) {
			s->done[s->ndone].io = io;
			s->done[s->ndone++].res = status == SCSI_STATUS_GOOD ? 0 : result(t, io);
		} else if (!s->lost) { /* the target was reset, or is busy: a new session asks again */
			s->lost = true;
			fail(s, &s->why);
		}
	}
	scsi_free_scsi_task(t);
}

static int iscsi_start(struct nd *d, struct nd_io *io)
{
	struct iscsi *s = d->own;
	struct unmap_list list = { .lba = io->off / BLOCK, .num = io->bytes / BLOCK };
	int lun = (int)d->url.lun;
	struct scsi_task *t = NULL;
	u64 lba = io->off / BLOCK;

	if (s->flight >= ISCSI_FLIGHT)
		return -EAGAIN;
	io->own = s;
	switch (io->op) {
	case NETDISK_READ:
		t = iscsi_read16_task(s->c, lun, lba, io->bytes, BLOCK, 0, 0, 0, 0, 0, on_end, io);
		if (t && scsi_task_add_data_in_buffer(t, (int)io->bytes, io->data))
			return -ENOMEM;
		break;
	case NETDISK_WRITE:
		t = iscsi_write16_task(s->c, lun, lba, io->data, io->bytes, BLOCK, 0, 0, 0, 0, 0, on_end, io);
		break;
	case NETDISK_FLUSH:
		t = iscsi_synchronizecache16_task(s->c, lun, 0, 0, 0, 0, on_end, io);
		break;
	case NETDISK_DISCARD:
		t = iscsi_unmap_task(s->c, lun, 0, 0, &list, 1, on_end, io);
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (!t) /* the session is gone, which service() finds */
		return -EAGAIN;
	s->flight++;
	return 0;
}

/* ---- before the walls ---- */

static int iscsi_open(struct nd *d, struct err *e)
{
	struct iscsi *s = xcalloc(1, sizeof(*s));

	d->own = s;
	s->d = d;
	return nd_read_password(d, s->password, sizeof(s->password), e);
}

const struct nd_proto nd_proto_iscsi = {
	.name = "iSCSI",
	.open = iscsi_open,
	.connect = iscsi_begin,
	.poll = iscsi_poll,
	.service = iscsi_serve,
	.start = iscsi_start,
	.disconnect = iscsi_end,
};
