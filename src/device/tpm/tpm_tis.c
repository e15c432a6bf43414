/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tpm_tis.c - a TPM 2.0 as a PC has it: the FIFO interface at FED40000H (TCG PC Client Platform TPM Profile 1.05,
 * chapter 6; TIS to Linux), in front of swtpm. It has no interrupt; drivers poll.
 *
 * Five localities have 4 KiB of registers each; one of them has the TPM at a time. Its driver goes through:
 *
 *     IDLE --commandReady--> READY --a byte--> RECEPTION --go--> EXECUTION --response--> COMPLETION
 *                              ^------------------- commandReady -----------------------------'
 *
 * A command cannot be cancelled on its way: swtpm hears nothing meanwhile. Who gives up has its response dropped when
 * it comes.
 */
#include "base/log.h"
#include "device/class.h"
#include "device/tpm/tpm_int.h"
#include "machine/layout.h"
#include "machine/machine.h"

#define LOCALITIES 5u
#define LOCALITY_DRTM 4u /* the chipset's: none here asks for it */
#define LOCALITY_BYTES 0x1000u

#define REG_ACCESS 0x00u
#define REG_CAPABILITY 0x14u
#define REG_STS 0x18u
#define REG_FIFO 0x24u
#define REG_INTERFACE 0x30u
#define REG_XFIFO 0x80u
#define REG_ID 0xf00u
#define REG_REVISION 0xf04u

#define ACCESS_VALID 0x80u
#define ACCESS_ACTIVE 0x20u
#define ACCESS_SEIZED 0x10u
#define ACCESS_SEIZE 0x08u
#define ACCESS_PENDING 0x04u
#define ACCESS_REQUEST 0x02u
#define ACCESS_NO_ESTABLISHMENT 0x01u

#define STS_FAMILY_2 (1u << 26)
#define STS_BURST(n) ((u32)MIN((n), 0xffffu) << 8)
#define STS_VALID 0x80u
#define STS_READY 0x40u
#define STS_GO 0x20u
#define STS_DATA 0x10u
#define STS_EXPECT 0x08u
#define STS_SELF_TEST_DONE 0x04u
#define STS_RETRY 0x02u

#define CAPABILITY (3u << 28 | 3u << 9) /* interface 1.3, transfers up to 64 bytes, no interrupts */
/* FIFO, five localities, transfers up to 64 bytes, and nothing to choose (table 23). */
#define INTERFACE (1u << 19 | 1u << 13 | 3u << 11 | 1u << 8)
#define ID 0x00011014u /* IBM's, whose code swtpm is; it says so itself */
#define REVISION 1u

static struct tpm *of_link(struct swtpm *s)
{
	return container_of(s, struct tpm, sw);
}

void tpm_lock(struct swtpm *s)
{
	pthread_mutex_lock(&of_link(s)->lock);
}

void tpm_unlock(struct swtpm *s)
{
	pthread_mutex_unlock(&of_link(s)->lock);
}

/* ---- a command ---- */

/* Nobody wants what is under way: then, it is ready for the next one, or idle. */
static void abort_command(struct tpm *t, bool ready)
{
	if (t->state == TIS_EXECUTION) {
		t->dropped = true;
		t->ready = ready;
		return;
	}
	t->state = ready ? TIS_READY : TIS_IDLE;
	t->sw.bytes = t->at = 0;
}

void tpm_answered(struct swtpm *s)
{
	struct tpm *t = of_link(s);

	if (t->state != TIS_EXECUTION)
		return;
	t->state = TIS_COMPLETION;
	t->at = 0;
	if (t->dropped)
		abort_command(t, t->ready);
	t->dropped = false;
}

/* How long the command says it is; 0: its header is not there yet. */
static u32 said(const struct tpm *t)
{
	const u8 *p = t->sw.buf + 2;

	return t->sw.bytes < 6 ? 0 : (u32)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

/* A length that no command has is taken as it is: the response will say so. */
static bool expects(const struct tpm *t)
{
	u32 bytes = said(t);

	return bytes ? t->sw.bytes < MIN(bytes, TPM_BUFFER_BYTES) : t->sw.bytes < 6;
}

static void fifo_write(struct tpm *t, u8 v)
{
	if (t->state == TIS_READY) {
		t->state = TIS_RECEPTION;
		t->sw.bytes = 0;
	}
	if (t->state == TIS_RECEPTION && expects(t))
		t->sw.buf[t->sw.bytes++] = v;
}

static u8 fifo_read(struct tpm *t)
{
	return t->state == TIS_COMPLETION && t->at < t->sw.bytes ? t->sw.buf[t->at++] : 0xff;
}

static void go(struct tpm *t)
{
	if (t->state != TIS_RECEPTION || expects(t))
		return;
	t->state = TIS_EXECUTION;
	if (said(t) < TPM_HEADER_BYTES || said(t) > TPM_BUFFER_BYTES) {
		/* TPM_RC_COMMAND_SIZE (TPM 2.0 part 2, 6.6.3) */
		memcpy(t->sw.buf, "\x80\x01\0\0\0\x0a\0\0\x01\x42", t->sw.bytes = TPM_HEADER_BYTES);
		tpm_answered(&t->sw);
		return;
	}
	swtpm_send(&t->sw, t->active);
}

static u32 status(const struct tpm *t)
{
	u32 v = STS_FAMILY_2 | STS_VALID | STS_SELF_TEST_DONE;

	switch (t->state) {
	case TIS_READY:
		return v | STS_READY | STS_BURST(TPM_BUFFER_BYTES);
	case TIS_RECEPTION:
		return v | (expects(t) ? STS_EXPECT : 0) | STS_BURST(TPM_BUFFER_BYTES - t->sw.bytes);
	case TIS_COMPLETION:
		return v | (t->at < t->sw.bytes ? STS_DATA : 0) | STS_BURST(t->sw.bytes - t->at);
	default:
		return v;
	}
}

static void status_write(struct tpm *t, u32 v)
{
	if (v & STS_READY && t->state != TIS_READY)
		abort_command(t, true);
	else if (v & STS_GO)
		go(t);
	else if (v & STS_RETRY && t->state == TIS_COMPLETION)
		t->at = 0;
}

/* ---- localities (6.5.2.4) ---- */

static u8 access_read(const struct tpm *t, unsigned l)
{
	u8 bit = (u8)(1u << l);

	return (u8)(ACCESS_VALID | ACCESS_NO_ESTABLISHMENT | (t->active == l ? ACCESS_ACTIVE : 0) |
		    (t->seized & bit ? ACCESS_SEIZED : 0) | (t->requested & ~bit ? ACCESS_PENDING : 0) |
		    (t->requested & bit ? ACCESS_REQUEST : 0));
}

static void give(struct tpm *t, unsigned l)
{
	t->active = (u8)l;
	t->requested &= (u8) ~(1u << l);
}

static void access_write(struct tpm *t, unsigned l, u8 v)
{
	u8 bit = (u8)(1u << l);

	if (l == LOCALITY_DRTM)
		return;
	if (v & ACCESS_ACTIVE) {
		t->requested &= (u8)~bit;
		if (t->active != l)
			return;
		abort_command(t, false);
		t->active = TPM_NOBODY;
		if (t->requested)
			give(t, 31u - (unsigned)__builtin_clz(t->requested));
	} else if (v & ACCESS_SEIZED) {
		t->seized &= (u8)~bit;
	} else if (v & ACCESS_SEIZE && t->active != TPM_NOBODY && t->active < l) {
		t->seized |= (u8)(1u << t->active);
		abort_command(t, false);
		give(t, l);
	} else if (v & (ACCESS_SEIZE | ACCESS_REQUEST) && t->active == TPM_NOBODY) {
		give(t, l);
	} else if (v & ACCESS_REQUEST && t->active != l) {
		t->requested |= bit;
	}
}

/* ---- registers ---- */

static u32 reg_read(const struct tpm *t, unsigned l, unsigned reg)
{
	switch (reg) {
	case REG_ACCESS:
		return access_read(t, l);
	case REG_CAPABILITY:
		return CAPABILITY;
	case REG_STS:
		return t->active == l ? status(t) : ~0u;
	case REG_INTERFACE:
		return INTERFACE;
	case REG_ID:
		return ID;
	case REG_REVISION:
		return REVISION;
	default:
		return 0;
	}
}

static bool is_fifo(unsigned reg)
{
	return (reg >= REG_FIFO && reg < REG_FIFO + 4) || (reg >= REG_XFIFO && reg < REG_XFIFO + 4);
}

static u64 tis_read(void *dev, u64 off, unsigned bytes)
{
	struct tpm *t = dev;
	unsigned l = (unsigned)off / LOCALITY_BYTES, reg = off % LOCALITY_BYTES;
	u64 v = 0;

	pthread_mutex_lock(&t->lock);
	for (unsigned i = 0; i < bytes; i++) {
		u8 b = is_fifo(reg) ? (t->active == l ? fifo_read(t) : 0xff)
				    : (u8)(reg_read(t, l, (reg + i) & ~3u) >> 8 * ((reg + i) & 3));
		v |= (u64)b << 8 * i;
	}
	pthread_mutex_unlock(&t->lock);
	return v;
}

static void tis_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct tpm *t = dev;
	unsigned l = (unsigned)off / LOCALITY_BYTES, reg = off % LOCALITY_BYTES;

	pthread_mutex_lock(&t->lock);
	if (reg == REG_ACCESS)
		access_write(t, l, (u8)val);
	else if (t->active == l && reg == REG_STS)
		status_write(t, (u32)val);
	else if (t->active == l && is_fifo(reg))
		for (unsigned i = 0; i < bytes; i++)
			fifo_write(t, (u8)(val >> 8 * i));
	pthread_mutex_unlock(&t->lock);
}

static const struct io_ops tis_ops = { .read = tis_read, .write = tis_write, .max_bytes = 4 };

/* ---- life ---- */

static struct tpm *of(struct device *d)
{
	return container_of(d, struct tpm, dev);
}

static void power_on(struct tpm *t)
{
	t->state = TIS_IDLE;
	t->active = TPM_NOBODY;
	t->requested = t->seized = 0;
	t->dropped = t->ready = false;
	t->at = t->sw.bytes = 0;
}

static void life_reset(struct device *d)
{
	struct tpm *t = of(d);
	struct err e;

	pthread_mutex_lock(&t->lock);
	if (!t->sw.gone && swtpm_reset(&t->sw, &e) < 0)
		log_warn("%s", err_local(&e));
	power_on(t);
	pthread_mutex_unlock(&t->lock);
}

static bool life_quiesce(struct device *d)
{
	struct tpm *t = of(d);

	pthread_mutex_lock(&t->lock);
	bool quiet = !t->sw.away;
	if (!quiet)
		swtpm_hurry(&t->sw);
	pthread_mutex_unlock(&t->lock);
	return quiet;
}

static int life_state(struct device *d, struct state_file *s, struct err *e)
{
	struct tpm *t = of(d);
	int r = state_section(s, "tpm", 0, 1, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&t->lock);
	unsigned state = t->state;
	state_uint(s, &state, TIS_COMPLETION);
	state_u8(s, &t->active);
	state_u8(s, &t->requested);
	state_u8(s, &t->seized);
	state_uint(s, &t->sw.bytes, TPM_BUFFER_BYTES);
	state_uint(s, &t->at, t->sw.bytes);
	state_bytes(s, t->sw.buf, t->sw.bytes);
	t->state = state;
	t->requested &= (1u << LOCALITY_DRTM) - 1;
	if ((t->active >= LOCALITY_DRTM && t->active != TPM_NOBODY) || state == TIS_EXECUTION)
		state_bad(s, "a TPM is in a state that cannot be");
	r = swtpm_state(&t->sw, s, e);
	pthread_mutex_unlock(&t->lock);
	return r < 0 ? r : state_end(s, e);
}

static void life_free(struct device *d)
{
	struct tpm *t = of(d);

	bus_unmap_mmio(machine_bus(t->machine), &t->region);
	swtpm_end(&t->sw);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static const struct device_ops ops = {
	.reset = life_reset,
	.quiesce = life_quiesce,
	.state = life_state,
	.free = life_free,
};

/* ---- the class ---- */

static int new_tpm(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct tpm *t = xcalloc(1, sizeof(*t));
	int r;

	t->machine = m;
	t->dev = (struct device){ .ops = &ops, .name = "tpm-tis" };
	t->region = (struct io_region){ .ops = &tis_ops, .dev = t, .name = "tpm-tis" };
	pthread_mutex_init(&t->lock, NULL);
	power_on(t);
	r = swtpm_begin(&t->sw, machine_loop(m), a->fd, a->control_fd, e);
	if (r == 0) {
		r = bus_map_mmio(machine_bus(m), &t->region, LAYOUT_TPM, LAYOUT_TPM_BYTES);
		if (r < 0)
			err_sys(e, -r, "cannot add the TPM");
	}
	if (r < 0) {
		life_free(&t->dev);
		return r;
	}
	machine_use(m, MACHINE_TPM);
	machine_add_device(m, &t->dev);
	*out = &t->dev;
	return 0;
}

const struct device_class tpm_tis_device_class = {
	.name = "tpm-tis",
	.help = N_("TPM 2.0, by swtpm (Linux: tpm_tis)"),
	.role = DEVICE_TPM,
	.new = new_tpm,
};
