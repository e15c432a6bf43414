/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uart_class.c - the serial port as a device: saved state, life, class. */
#include "base/state.h"
#include "device/class.h"
#include "device/uart_int.h"
#include "machine/layout.h"
#include "machine/machine.h"

int uart_state(struct uart *u, u32 instance, struct state_file *s, struct err *e)
{
	int r = state_section(s, "uart", instance, 2, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&u->lock);
	state_u8(s, &u->ier);
	state_u8(s, &u->fcr);
	state_u8(s, &u->lcr);
	state_u8(s, &u->mcr);
	state_u8(s, &u->scr);
	state_u8(s, &u->dll);
	state_u8(s, &u->dlm);
	state_u8(s, &u->lsr_errors);
	state_u8(s, &u->msr);
	state_bytes(s, u->rx, sizeof(u->rx));
	state_uint(s, &u->rx_head, UART_FIFO_BYTES - 1);
	state_uint(s, &u->rx_count, UART_FIFO_BYTES);
	state_bool(s, &u->thre_pending);
	if (state_version(s) >= 2) {
		state_u16(s, &u->rx_break);
		state_bool(s, &u->break_waits);
	} else {
		u->rx_break = 0;
		u->break_waits = false;
	}
	if (state_loading(s)) {
		for (unsigned i = u->rx_count; i < UART_FIFO_BYTES; i++) /* marks are of what is in the FIFO */
			u->rx_break &= (u16) ~(1u << (u->rx_head + i) % UART_FIFO_BYTES);
		u->ier &= 0x0f;
		u->fcr = u->fcr & UART_FCR_ENABLE ? u->fcr & 0xc9 : 0;
		u->mcr &= 0x1f;
		u->lsr_errors &= UART_LSR_ERRORS;
		u->starved = true; /* whatever waits with the host is wanted as soon as there is room */
		uart_update_irq(u);
		uart_feed(u);
	}
	pthread_mutex_unlock(&u->lock);
	return state_end(s, e);
}

/* ---- as a device of the board ---- */

static struct uart *of(struct device *d)
{
	return container_of(d, struct uart, dev);
}

static void life_reset(struct device *d)
{
	uart_reset(of(d));
}

/* What the host sends from now on stays there: it would be in no saved state. */
static bool life_quiesce(struct device *d)
{
	struct uart *u = of(d);

	pthread_mutex_lock(&u->lock);
	u->quiesced = true;
	pthread_mutex_unlock(&u->lock);
	return true;
}

static void life_resume(struct device *d)
{
	struct uart *u = of(d);

	pthread_mutex_lock(&u->lock);
	u->quiesced = false;
	uart_feed(u);
	uart_update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

static int life_state(struct device *d, struct state_file *s, struct err *e)
{
	return uart_state(of(d), of(d)->instance, s, e);
}

static void life_free(struct device *d)
{
	uart_free(of(d));
}

static const struct device_ops uart_ops = {
	.reset = life_reset,
	.quiesce = life_quiesce,
	.resume = life_resume,
	.state = life_state,
	.free = life_free,
};

struct device *uart_device(struct uart *u, u32 instance)
{
	u->dev.ops = &uart_ops;
	u->dev.name = "uart";
	u->instance = instance;
	return &u->dev;
}

/* ---- the class: COM1 or COM2 ---- */

static int new_port(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	static const struct {
		u16 port;
		unsigned gsi;
	} place[] = { { LAYOUT_UART1, LAYOUT_GSI_UART1 }, { LAYOUT_UART2, LAYOUT_GSI_UART2 } };
	struct uart *u;

	must(a->port < ARRAY_LEN(place));
	int r = uart_new(&u, machine_bus(m), place[a->port].port, machine_irq(m, place[a->port].gsi), a->chr);

	if (r < 0)
		return err_sys(e, -r, "cannot add the serial port COM%u", a->port + 1);
	*out = uart_device(u, a->port);
	if (a->port)
		machine_use(m, MACHINE_SERIAL2);
	machine_add_device(m, *out);
	return 0;
}

static void line_break(struct device *d)
{
	uart_break(of(d));
}

const struct device_class uart_device_class = {
	.name = "uart",
	.help = N_("serial port, a 16550A"),
	.role = DEVICE_SERIAL,
	.new = new_port,
	.line_break = line_break,
};
