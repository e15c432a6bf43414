/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reset_ports.c - reset ports, and the keyboard controller that is there for its reset line.
 *
 * Theory of operation: no keyboard or mouse is plugged in, but kernels poll the 8042's status before
 * they pulse its reset output or open A20, and would wait for ever on a port of all ones. So the
 * controller answers its own commands (self test, command byte, output port), and reports a time-out
 * for what is sent on to a device. After power-on it has FEh with a time-out and a parity error to report, of its own
 * look for a keyboard: UEFI's driver takes both for "none" and goes on, where it would else wait for seconds.
 * A20 is always open; the bits are kept for the guest.
 */
#include "machine/reset_ports.h"

#include "base/state.h"
#include "machine/layout.h"

#include <pthread.h>

#define PORT_SYSTEM_A 0x92

#define KBC_OBF 0x01     /* a byte waits in 0x60 */
#define KBC_SYSTEM 0x04  /* self test passed */
#define KBC_COMMAND 0x08 /* the last write was to 0x64 */
#define KBC_UNLOCKED 0x10
#define KBC_TIMEOUT 0x40 /* of the byte that came last; so is parity */
#define KBC_PARITY 0x80
#define KBC_OUT_RESET 0x01 /* output port: low resets */

#define RST_SYSTEM 0x02 /* 0xcf9 */
#define RST_CPU 0x04
#define A_FAST_RESET 0x01
#define A_A20 0x02

struct reset {
	pthread_mutex_t lock;
	struct reset_config cfg;
	struct bus *bus;
	struct io_region rst, data, kbc, sys, dbg;
	u8 cf9, port92;
	u8 kbc_status, kbc_mode, kbc_out, kbc_byte;
	u8 kbc_arg; /* the command whose data byte comes next through 0x60; 0: none */
};

static void fire(struct reset *r)
{
	if (r->cfg.reset)
		r->cfg.reset(r->cfg.opaque);
}

/* ---- 0xcf9 ---- */

static u64 cf9_read(void *dev, u64 off, unsigned bytes)
{
	struct reset *r = dev;

	return __atomic_load_n(&r->cf9, __ATOMIC_RELAXED);
}

static void cf9_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct reset *r = dev;
	u8 old = __atomic_exchange_n(&r->cf9, val & 0x0e, __ATOMIC_RELAXED);

	if ((val & RST_CPU) && !(old & RST_CPU))
		fire(r);
}

/* ---- the keyboard controller ---- */

static void kbc_answer(struct reset *r, u8 v, u8 status)
{
	r->kbc_byte = v;
	r->kbc_status = (u8)((r->kbc_status & ~(KBC_TIMEOUT | KBC_PARITY)) | KBC_OBF | status);
}

static bool kbc_output(struct reset *r, u8 v)
{
	r->kbc_out = v | KBC_OUT_RESET;
	return !(v & KBC_OUT_RESET);
}

/* True: reset. */
static bool kbc_command(struct reset *r, u8 cmd)
{
	r->kbc_status |= KBC_COMMAND;
	r->kbc_arg = 0;
	switch (cmd) {
	case 0x20:
		kbc_answer(r, r->kbc_mode, 0);
		break;
	case 0x60:
	case 0xd1: /* write output port */
	case 0xd2: /* as if the keyboard, or the mouse, had sent it */
	case 0xd3:
	case 0xd4: /* to the mouse */
		r->kbc_arg = cmd;
		break;
	case 0xa7: /* mouse off, on */
		r->kbc_mode |= 0x20;
		break;
	case 0xa8:
		r->kbc_mode &= (u8)~0x20;
		break;
	case 0xa9: /* interface tests */
	case 0xab:
		kbc_answer(r, 0, 0);
		break;
	case 0xaa:
		r->kbc_status |= KBC_SYSTEM;
		kbc_answer(r, 0x55, 0);
		break;
	case 0xad: /* keyboard off, on */
		r->kbc_mode |= 0x10;
		break;
	case 0xae:
		r->kbc_mode &= (u8)~0x10;
		break;
	case 0xc0: /* input port */
		kbc_answer(r, 0x80, 0);
		break;
	case 0xd0:
		kbc_answer(r, r->kbc_out, 0);
		break;
	case 0xf0 ... 0xff: /* pulse the output bits that are zero */
		return !(cmd & KBC_OUT_RESET);
	}
	return false;
}

static bool kbc_data(struct reset *r, u8 v)
{
	u8 cmd = r->kbc_arg;

	r->kbc_arg = 0;
	r->kbc_status &= (u8)~KBC_COMMAND;
	switch (cmd) {
	case 0x60:
		r->kbc_mode = v;
		break;
	case 0xd1:
		return kbc_output(r, v);
	case 0xd2:
	case 0xd3:
		kbc_answer(r, v, 0);
		break;
	default: /* to a device: nobody answers */
		kbc_answer(r, 0xfe, KBC_TIMEOUT);
	}
	return false;
}

static u64 kbc_read(void *dev, u64 off, unsigned bytes)
{
	struct reset *r = dev;

	pthread_mutex_lock(&r->lock);
	u8 v = r->kbc_status;
	pthread_mutex_unlock(&r->lock);
	return v;
}

static void kbc_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct reset *r = dev;

	pthread_mutex_lock(&r->lock);
	bool now = kbc_command(r, (u8)val);
	pthread_mutex_unlock(&r->lock);
	if (now)
		fire(r);
}

static u64 data_read(void *dev, u64 off, unsigned bytes)
{
	struct reset *r = dev;

	pthread_mutex_lock(&r->lock);
	u8 v = r->kbc_byte;
	r->kbc_status &= (u8)~KBC_OBF;
	pthread_mutex_unlock(&r->lock);
	return v;
}

static void data_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct reset *r = dev;

	pthread_mutex_lock(&r->lock);
	bool now = kbc_data(r, (u8)val);
	pthread_mutex_unlock(&r->lock);
	if (now)
		fire(r);
}

/* ---- 0x92 ---- */

static u64 sys_read(void *dev, u64 off, unsigned bytes)
{
	struct reset *r = dev;

	return __atomic_load_n(&r->port92, __ATOMIC_RELAXED);
}

static void sys_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct reset *r = dev;
	u8 old = __atomic_exchange_n(&r->port92, val & (A_A20 | A_FAST_RESET), __ATOMIC_RELAXED);

	if ((val & A_FAST_RESET) && !(old & A_FAST_RESET))
		fire(r);
}

/* ---- 0xf4 ---- */

static void dbg_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct reset *r = dev;

	if (r->cfg.debug_exited)
		r->cfg.debug_exited(r->cfg.opaque, (u32)val);
}

static const struct io_ops cf9_ops = { .read = cf9_read, .write = cf9_write, .max_bytes = 1 };
static const struct io_ops kbc_ops = { .read = kbc_read, .write = kbc_write, .max_bytes = 1 };
static const struct io_ops data_ops = { .read = data_read, .write = data_write, .max_bytes = 1 };
static const struct io_ops sys_ops = { .read = sys_read, .write = sys_write, .max_bytes = 1 };
static const struct io_ops dbg_ops = { .write = dbg_write };

void reset_reset(struct reset *r)
{
	pthread_mutex_lock(&r->lock);
	__atomic_store_n(&r->cf9, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&r->port92, A_A20, __ATOMIC_RELAXED);
	r->kbc_status = KBC_UNLOCKED | KBC_SYSTEM | KBC_OBF | KBC_TIMEOUT | KBC_PARITY;
	r->kbc_mode = 0x34; /* system flag, both interfaces off */
	r->kbc_out = 0xcf;  /* reset line high, A20 open */
	r->kbc_byte = 0xfe;
	r->kbc_arg = 0;
	pthread_mutex_unlock(&r->lock);
}

void reset_state(struct reset *r, struct state_file *s)
{
	pthread_mutex_lock(&r->lock);
	state_u8(s, &r->cf9);
	state_u8(s, &r->port92);
	state_u8(s, &r->kbc_status);
	state_u8(s, &r->kbc_mode);
	state_u8(s, &r->kbc_out);
	state_u8(s, &r->kbc_byte);
	state_u8(s, &r->kbc_arg);
	pthread_mutex_unlock(&r->lock);
}

void reset_without_keyboard(struct reset *r)
{
	bus_unmap_pio(r->bus, &r->data);
	bus_unmap_pio(r->bus, &r->kbc);
}

int reset_new(struct reset **out, struct bus *bus, const struct reset_config *cfg)
{
	struct reset *r = xcalloc(1, sizeof(*r));
	int rc;

	pthread_mutex_init(&r->lock, NULL);
	r->cfg = *cfg;
	r->bus = bus;
	r->rst = (struct io_region){ .ops = &cf9_ops, .dev = r, .name = "reset" };
	r->data = (struct io_region){ .ops = &data_ops, .dev = r, .name = "kbc-data" };
	r->kbc = (struct io_region){ .ops = &kbc_ops, .dev = r, .name = "kbc" };
	r->sys = (struct io_region){ .ops = &sys_ops, .dev = r, .name = "port92" };
	r->dbg = (struct io_region){ .ops = &dbg_ops, .dev = r, .name = "debug-exit" };
	reset_reset(r);
	if ((rc = bus_map_pio(bus, &r->rst, LAYOUT_RESET, 1)) < 0 ||
	    (rc = bus_map_pio(bus, &r->data, LAYOUT_KEYBOARD_DATA, 1)) < 0 ||
	    (rc = bus_map_pio(bus, &r->kbc, LAYOUT_KEYBOARD, 1)) < 0 ||
	    (rc = bus_map_pio(bus, &r->sys, PORT_SYSTEM_A, 1)) < 0 ||
	    (cfg->debug_exit && (rc = bus_map_pio(bus, &r->dbg, LAYOUT_DEBUG_EXIT, 4)) < 0)) {
		reset_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void reset_free(struct reset *r)
{
	if (!r)
		return;
	bus_unmap_pio(r->bus, &r->rst);
	bus_unmap_pio(r->bus, &r->data);
	bus_unmap_pio(r->bus, &r->kbc);
	bus_unmap_pio(r->bus, &r->sys);
	bus_unmap_pio(r->bus, &r->dbg);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
