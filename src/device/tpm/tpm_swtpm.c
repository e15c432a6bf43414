/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tpm_swtpm.c - see tpm_int.h and tpm/tpm.h: commands and responses, control commands, blobs of state. */
#include "base/clock.h"
#include "base/i18n.h"
#include "base/log.h"
#include "device/tpm/tpm_int.h"

#include <endian.h>
#include <sys/socket.h>

#define SWTPM_WAIT_S 5
#define RESPONSE_NS (300 * NSEC_PER_SEC) /* what Linux waits for the longest command */
#define HURRY_NS (20 * NSEC_PER_SEC)
#define BLOB_MAX (512 * KIB)

enum { CMD_INIT = 2, CMD_SET_LOCALITY = 5, CMD_GET_BLOB = 12, CMD_SET_BLOB = 13, CMD_STOP = 14 };
enum { BLOB_PERMANENT = 1, BLOB_VOLATILE = 2 };
#define INIT_FORGET 1u /* what it had been told since it began */
#define BLOB_PLAIN 1u

static u32 be32(const u8 *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static void put_be32(u8 *p, u32 v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

/* ---- the end of it ---- */

static void fail_response(struct swtpm *s)
{
	/* TPM_ST_NO_SESSIONS, ten bytes, TPM_RC_FAILURE (TPM 2.0 part 2, 6.6.3) */
	memcpy(s->buf, "\x80\x01\0\0\0\x0a\0\0\x01\x01", s->bytes = TPM_HEADER_BYTES);
	s->away = AWAY_NOT;
	loop_timer_disarm(&s->patience);
	tpm_answered(s);
}

/* The loop closes the sockets: it is woken by their end. */
static void lose(struct swtpm *s, const char *why)
{
	if (s->gone)
		return;
	s->gone = true;
	log_warn("the TPM's process (swtpm) is gone: %s; what the guest asks of its TPM fails from now on", _(why));
	shutdown(s->data, SHUT_RDWR);
	shutdown(s->control, SHUT_RDWR);
	if (s->away)
		fail_response(s);
}

/* On the loop. True: there is nothing more to hear. */
static bool closed(struct swtpm *s)
{
	if (!s->gone)
		return false;
	if (s->data >= 0) {
		loop_del(s->loop, &s->on_data);
		loop_del(s->loop, &s->on_control);
		close(steal_fd(&s->data));
		close(steal_fd(&s->control));
	}
	return true;
}

/* ---- control, where we wait for the answer ---- */

static int read_all(struct swtpm *s, u8 *out, size_t bytes, struct err *e)
{
	while (bytes) {
		ssize_t n = recv(s->control, out, bytes, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			lose(s, n ? N_("it does not answer") : N_("it ended"));
			return err_set(e, EPIPE, "the TPM's process (swtpm) does not answer, or has ended");
		}
		out += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int write_all(struct swtpm *s, const u8 *p, size_t bytes, struct err *e)
{
	while (bytes) {
		ssize_t n = send(s->control, p, bytes, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			lose(s, N_("it ended"));
			return err_set(e, EPIPE, "the TPM's process (swtpm) does not answer, or has ended");
		}
		p += n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* args: of 32 bits each, then `more`. Its first answer is the result, which must be 0. */
static int control(struct swtpm *s, u32 command, const u32 *args, unsigned n, const u8 *more, size_t bytes,
		   const char *what, struct err *e)
{
	u8 head[4 * 5], result[4];
	int r;

	must(n <= 4);
	if (s->gone)
		return err_set(e, EPIPE, "the TPM's process (swtpm) does not answer, or has ended");
	put_be32(head, command);
	for (unsigned i = 0; i < n; i++)
		put_be32(head + 4 + 4 * i, args[i]);
	if ((r = write_all(s, head, 4 + 4 * n, e)) < 0 || (r = write_all(s, more, bytes, e)) < 0 ||
	    (r = read_all(s, result, sizeof(result), e)) < 0)
		return r;
	return be32(result) ? err_set(e, EIO, "swtpm: cannot %s: error %#x", what, be32(result)) : 0;
}

/* An answer to what was asked without waiting comes before any other. */
static int settle(struct swtpm *s, struct err *e)
{
	u8 result[4];
	int r = s->away == AWAY_LOCALITY ? read_all(s, result, sizeof(result), e) : 0;

	if (s->away == AWAY_LOCALITY)
		s->away = AWAY_NOT;
	return r;
}

static int init(struct swtpm *s, u32 flags, struct err *e)
{
	s->locality = TPM_NOBODY;
	return control(s, CMD_INIT, &flags, 1, NULL, 0, N_("begin (does another VM use this state?)"), e);
}

/* It answers to nothing else before it has done the command that it has, whose response comes first. */
int swtpm_reset(struct swtpm *s, struct err *e)
{
	bool waits = s->away == AWAY_RESPONSE;
	int r = settle(s, e);

	if (r == 0)
		r = control(s, CMD_STOP, NULL, 0, NULL, 0, N_("stop"), e);
	while (r == 0 && waits && recv(s->data, s->buf, sizeof(s->buf), MSG_DONTWAIT) > 0)
		;
	s->away = AWAY_NOT;
	s->got = s->bytes = 0;
	loop_timer_disarm(&s->patience);
	return r < 0 ? r : init(s, INIT_FORGET, e);
}

/* ---- state ---- */

static int save_blob(struct swtpm *s, struct state_file *f, u32 type, struct err *e)
{
	const u32 args[] = { BLOB_PLAIN, type, 0 };
	u8 head[12]; /* flags, length of the blob, of this answer */
	int r = control(s, CMD_GET_BLOB, args, 3, NULL, 0, N_("give its state"), e);

	if (r == 0)
		r = read_all(s, head, sizeof(head), e);
	if (r < 0)
		return r;
	u32 bytes = be32(head + 4);
	if (bytes > BLOB_MAX || bytes != be32(head + 8)) {
		lose(s, N_("its state is of no length that there is"));
		return err_set(e, EPROTO, "swtpm: cannot give its state: %u bytes", bytes);
	}
	auto_free u8 *blob = xcalloc(1, bytes + 1);
	if ((r = read_all(s, blob, bytes, e)) < 0)
		return r;
	state_u32(f, &bytes);
	state_bytes(f, blob, bytes);
	return 0;
}

static int load_blob(struct swtpm *s, struct state_file *f, u32 type, struct err *e)
{
	u32 bytes = 0;

	state_u32(f, &bytes);
	if (bytes > BLOB_MAX) {
		state_bad(f, "a TPM's state is too long");
		return 0;
	}
	auto_free u8 *blob = xcalloc(1, bytes + 1);
	state_bytes(f, blob, bytes);
	const u32 args[] = { BLOB_PLAIN, type, bytes };
	return bytes ? control(s, CMD_SET_BLOB, args, 3, blob, bytes, N_("take the saved state"), e) : 0;
}

int swtpm_state(struct swtpm *s, struct state_file *f, struct err *e)
{
	bool loading = state_loading(f);
	int r = loading ? control(s, CMD_STOP, NULL, 0, NULL, 0, N_("stop"), e) : 0;

	for (u32 type = BLOB_PERMANENT; r == 0 && type <= BLOB_VOLATILE; type++)
		r = loading ? load_blob(s, f, type, e) : save_blob(s, f, type, e);
	return r == 0 && loading ? init(s, 0, e) : r;
}

/* ---- commands ---- */

static void send_command(struct swtpm *s)
{
	s->away = AWAY_RESPONSE;
	s->got = 0;
	loop_timer_arm(&s->patience, clock_mono_ns() + RESPONSE_NS);
	if (send(s->data, s->buf, s->bytes, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)s->bytes)
		lose(s, N_("it takes no command"));
}

void swtpm_send(struct swtpm *s, u8 locality)
{
	u8 set[8] = { 0 };

	if (s->gone) {
		fail_response(s);
		return;
	}
	if (s->locality == locality) {
		send_command(s);
		return;
	}
	put_be32(set, CMD_SET_LOCALITY);
	set[4] = locality;
	s->away = AWAY_LOCALITY;
	s->asked = locality;
	loop_timer_arm(&s->patience, clock_mono_ns() + RESPONSE_NS);
	if (send(s->control, set, sizeof(set), MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof(set))
		lose(s, N_("it takes no command"));
}

void swtpm_hurry(struct swtpm *s)
{
	loop_timer_arm(&s->patience, clock_mono_ns() + HURRY_NS);
}

static void on_control(void *opaque, u32 events)
{
	struct swtpm *s = opaque;
	u8 result[4];

	tpm_lock(s);
	if (!closed(s)) {
		ssize_t n = recv(s->control, result, sizeof(result), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			lose(s, N_("it ended"));
		} else if (n > 0 && (n != sizeof(result) || s->away != AWAY_LOCALITY)) {
			lose(s, N_("it says what nobody asked"));
		} else if (n > 0) {
			s->locality = be32(result) ? TPM_NOBODY : s->asked;
			send_command(s);
		}
	}
	tpm_unlock(s);
}

static void response(struct swtpm *s)
{
	u32 bytes = s->got < TPM_HEADER_BYTES ? 0 : be32(s->buf + 2);

	if (s->away != AWAY_RESPONSE ||
	    (bytes && (bytes < TPM_HEADER_BYTES || bytes > sizeof(s->buf) || bytes < s->got))) {
		lose(s, N_("it says what nobody asked"));
	} else if (bytes && s->got == bytes) {
		s->bytes = bytes;
		s->away = AWAY_NOT;
		loop_timer_disarm(&s->patience);
		tpm_answered(s);
	}
}

/* What is in buf is the command until its response begins; swtpm has read all of it by then. */
static void on_data(void *opaque, u32 events)
{
	struct swtpm *s = opaque;
	u8 none[1];

	tpm_lock(s);
	if (!closed(s)) {
		bool wanted = s->away == AWAY_RESPONSE && s->got < sizeof(s->buf);
		ssize_t n =
		    recv(s->data, wanted ? s->buf + s->got : none, wanted ? sizeof(s->buf) - s->got : 1, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			lose(s, N_("it ended"));
		} else if (n > 0) {
			s->got += (unsigned)n;
			response(s);
		}
	}
	tpm_unlock(s);
}

static void on_patience(void *opaque)
{
	struct swtpm *s = opaque;

	tpm_lock(s);
	if (s->away)
		lose(s, N_("it does not answer"));
	tpm_unlock(s);
}

/* ---- beginning and end ---- */

int swtpm_begin(struct swtpm *s, struct loop *loop, int data, int control, struct err *e)
{
	const struct timeval wait = { .tv_sec = SWTPM_WAIT_S };

	s->loop = loop;
	s->data = data;
	s->control = control;
	s->locality = TPM_NOBODY;
	loop_timer_init(loop, &s->patience, on_patience, s);
	setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(control, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (loop_add(loop, &s->on_data, data, EPOLLIN, on_data, s) < 0 ||
	    loop_add(loop, &s->on_control, control, EPOLLIN, on_control, s) < 0)
		return err_sys(e, errno, "cannot watch the TPM's process");
	return init(s, INIT_FORGET, e);
}

void swtpm_end(struct swtpm *s)
{
	loop_timer_fini(&s->patience);
	if (s->on_data.added)
		loop_del(s->loop, &s->on_data);
	if (s->on_control.added)
		loop_del(s->loop, &s->on_control);
	if (s->data >= 0)
		close(s->data);
	if (s->control >= 0)
		close(s->control);
}
