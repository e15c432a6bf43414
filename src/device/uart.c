/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * uart.c - 16550A (PC16550D data sheet, sections 8.x named below).
 *
 * Theory: the transmitter is infinitely fast. A byte written to THR is with chr_write() at once, so
 * THRE and TEMT are always set and the transmitter-empty interrupt is pending again right after each
 * write. The receiver takes bytes from the host only as the FIFO (16 bytes; 1 with FIFOs off) has
 * room, so nothing overruns but in loop-back.
 *
 * A break takes a place in the FIFO like a byte (8.4): a zero with a mark. LSR tells of it when that is the next to be
 * read, so that the guest knows which bytes came before and which after.
 *
 * There is no clock in here. The character time-out (8.4, IIR 0xc) stands for "no more bytes came for
 * four character times": as the host's bytes come in bursts that end when recv() returns, bytes below
 * the trigger level count as timed out at once.
 *
 * OUT2 does not gate the interrupt, as on a PC it would: kernels written on other emulators forget it.
 */
#include "device/uart_int.h"

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

enum {
	IER_RX = 1,
	IER_THRE = 2,
	IER_LINE = 4,
	IER_MODEM = 8,

	IIR_NONE = 0x01,
	IIR_MODEM = 0x00,
	IIR_THRE = 0x02,
	IIR_RX = 0x04,
	IIR_LINE = 0x06,
	IIR_TIMEOUT = 0x0c,
	IIR_FIFO_ON = 0xc0,

	FCR_CLEAR_RX = 2,

	LCR_DLAB = 0x80,

	MCR_DTR = 1,
	MCR_RTS = 2,
	MCR_OUT1 = 4,
	MCR_OUT2 = 8,
	MCR_LOOP = 0x10,

	LSR_DATA = 1,
	LSR_OVERRUN = 2,
	LSR_BREAK = 0x10,
	LSR_FIFO_ERROR = 0x80,
	LSR_THRE = 0x20,
	LSR_TEMT = 0x40,

	MSR_TERI = 4,
	MSR_CTS = 0x10,
	MSR_DSR = 0x20,
	MSR_RI = 0x40,
	MSR_DCD = 0x80,
};

static const u8 trigger_level[4] = { 1, 4, 8, 14 };

static unsigned capacity(const struct uart *u)
{
	return u->fcr & UART_FCR_ENABLE ? UART_FIFO_BYTES : 1;
}

static bool break_next(const struct uart *u)
{
	return u->rx_count && u->rx_break >> u->rx_head & 1;
}

/* The highest-priority pending interrupt (8.6). */
static u8 iir(const struct uart *u)
{
	unsigned level = u->fcr & UART_FCR_ENABLE ? trigger_level[u->fcr >> 6] : 1;

	if (u->ier & IER_LINE && (u->lsr_errors || break_next(u)))
		return IIR_LINE;
	if (u->ier & IER_RX && u->rx_count)
		return u->rx_count >= level ? IIR_RX : IIR_TIMEOUT;
	if (u->ier & IER_THRE && u->thre_pending)
		return IIR_THRE;
	if (u->ier & IER_MODEM && u->msr & 0x0f)
		return IIR_MODEM;
	return IIR_NONE;
}

void uart_update_irq(struct uart *u)
{
	bool on = iir(u) != IIR_NONE;

	if (on != u->line) {
		u->line = on;
		irq_set(&u->irq, on);
	}
}

static void rx_push(struct uart *u, u8 b)
{
	if (u->rx_count >= capacity(u)) {
		u->lsr_errors |= LSR_OVERRUN;
		if (!(u->fcr & UART_FCR_ENABLE))
			u->rx[u->rx_head] = b; /* RBR is overwritten; a full FIFO keeps what it has (8.4) */
		return;
	}
	unsigned at = (u->rx_head + u->rx_count++) % UART_FIFO_BYTES;

	u->rx[at] = b;
	u->rx_break &= (u16) ~(1u << at);
}

static void take_break(struct uart *u)
{
	if (u->break_waits && u->rx_count < capacity(u)) {
		u->break_waits = false;
		rx_push(u, 0);
		u->rx_break |= (u16)(1u << (u->rx_head + u->rx_count - 1) % UART_FIFO_BYTES);
	}
}

/* Bytes from the host; the loop's thread. */
static size_t on_recv(void *opaque, const u8 *buf, size_t bytes)
{
	struct uart *u = opaque;
	size_t n = 0;

	pthread_mutex_lock(&u->lock);
	if (!(u->mcr & MCR_LOOP)) { /* the input pin is cut off in loop-back (8.5) */
		take_break(u);
		while (n < bytes && u->rx_count < capacity(u))
			rx_push(u, buf[n++]);
	}
	u->starved = n < bytes;
	uart_update_irq(u);
	pthread_mutex_unlock(&u->lock);
	return n;
}

void uart_break(struct uart *u)
{
	pthread_mutex_lock(&u->lock);
	if (!(u->mcr & MCR_LOOP)) {
		u->break_waits = true;
		take_break(u);
	}
	uart_update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

void uart_feed(struct uart *u)
{
	take_break(u);
	if (u->starved && !u->rx_count && !(u->mcr & MCR_LOOP)) {
		u->starved = false;
		if (u->chr)
			chr_ready(u->chr);
	}
}

/* The modem input lines: the other side is always there; in loop-back they are MCR's outputs (8.5). */
static u8 modem_lines(const struct uart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (u8)((u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
		    (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void update_modem(struct uart *u)
{
	u8 now = modem_lines(u), was = u->msr & 0xf0, delta = (now ^ was) >> 4;

	/* TERI tells of the trailing edge only (8.7). */
	if (delta & MSR_TERI && now & MSR_RI)
		delta &= (u8)~MSR_TERI;
	u->msr = now | (u->msr & 0x0f) | delta;
}

static u8 read_reg(struct uart *u, unsigned reg)
{
	u8 v;

	switch (reg) {
	case RBR_THR:
		if (u->lcr & LCR_DLAB)
			return u->dll;
		v = u->rx[u->rx_head];
		if (u->rx_count) {
			u->rx_break &= (u16) ~(1u << u->rx_head);
			u->rx_head = (u->rx_head + 1) % UART_FIFO_BYTES;
			u->rx_count--;
			uart_feed(u);
		}
		return v;
	case IER:
		return u->lcr & LCR_DLAB ? u->dlm : u->ier;
	case IIR_FCR:
		v = iir(u);
		if (v == IIR_THRE)
			u->thre_pending = false; /* reading it as the source resets it (8.6) */
		return v | (u->fcr & UART_FCR_ENABLE ? IIR_FIFO_ON : 0);
	case LCR:
		return u->lcr;
	case MCR:
		return u->mcr;
	case LSR:
		v = (u8)(LSR_THRE | LSR_TEMT | u->lsr_errors | (u->rx_count ? LSR_DATA : 0));
		if (u->fcr & UART_FCR_ENABLE && u->rx_break)
			v |= LSR_FIFO_ERROR;
		if (break_next(u))
			v |= LSR_BREAK;
		u->rx_break &= (u16) ~(1u << u->rx_head);
		u->lsr_errors = 0;
		return v;
	case MSR:
		v = u->msr;
		u->msr &= 0xf0;
		return v;
	default:
		return u->scr;
	}
}

static void write_fcr(struct uart *u, u8 v)
{
	/* A change of the enable bit clears the FIFOs; the other bits count only with it set (8.4). */
	if ((v ^ u->fcr) & UART_FCR_ENABLE || (v & UART_FCR_ENABLE && v & FCR_CLEAR_RX))
		u->rx_head = u->rx_count = u->rx_break = 0;
	u->fcr = v & UART_FCR_ENABLE ? v & 0xc9 : 0;
	uart_feed(u);
}

static void write_reg(struct uart *u, unsigned reg, u8 v)
{
	switch (reg) {
	case RBR_THR:
		if (u->lcr & LCR_DLAB) {
			u->dll = v;
			break;
		}
		if (u->mcr & MCR_LOOP)
			rx_push(u, v);
		else if (u->chr)
			chr_write(u->chr, &v, 1);
		/* Full, then empty again: a new edge. A FIFO would not have drained since the last byte. */
		if (!(u->fcr & UART_FCR_ENABLE) && u->line && iir(u) == IIR_THRE) {
			u->line = false;
			irq_set(&u->irq, false);
		}
		u->thre_pending = true;
		break;
	case IER:
		if (u->lcr & LCR_DLAB) {
			u->dlm = v;
			break;
		}
		/* Enabling it with an empty transmitter interrupts (8.8). */
		if (v & IER_THRE && !(u->ier & IER_THRE))
			u->thre_pending = true;
		u->ier = v & 0x0f;
		break;
	case IIR_FCR:
		write_fcr(u, v);
		break;
	case LCR:
		u->lcr = v;
		break;
	case MCR:
		u->mcr = v & 0x1f;
		update_modem(u);
		uart_feed(u);
		break;
	case LSR: /* factory test and read only (8.3, 8.7) */
	case MSR:
		break;
	default:
		u->scr = v;
	}
}

static u64 io_read(void *dev, u64 off, unsigned bytes)
{
	struct uart *u = dev;
	u64 v = 0;

	pthread_mutex_lock(&u->lock);
	for (unsigned i = 0; i < bytes; i++)
		v |= (u64)(off + i < 8 ? read_reg(u, (unsigned)(off + i)) : 0xff) << (8 * i);
	uart_update_irq(u);
	pthread_mutex_unlock(&u->lock);
	return v;
}

static void io_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct uart *u = dev;

	pthread_mutex_lock(&u->lock);
	for (unsigned i = 0; i < bytes && off + i < 8; i++)
		write_reg(u, (unsigned)(off + i), (u8)(val >> (8 * i)));
	uart_update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

static const struct io_ops uart_io = { io_read, io_write };

static void reset_locked(struct uart *u)
{
	u->ier = u->fcr = u->lcr = u->mcr = u->scr = 0;
	u->dll = 0x0c; /* what a PC's firmware leaves: 9600 baud */
	u->dlm = 0;
	u->lsr_errors = 0;
	u->rx_head = u->rx_count = u->rx_break = 0;
	u->break_waits = false;
	u->thre_pending = false;
	u->msr = modem_lines(u);
	uart_update_irq(u);
	uart_feed(u);
}

void uart_reset(struct uart *u)
{
	pthread_mutex_lock(&u->lock);
	reset_locked(u);
	pthread_mutex_unlock(&u->lock);
}

int uart_new(struct uart **out, struct bus *bus, u16 base_port, struct irq_line irq, struct chr *chr)
{
	struct uart *u = xcalloc(1, sizeof(*u));

	u->bus = bus;
	u->irq = irq;
	u->chr = chr;
	u->io = (struct io_region){ .ops = &uart_io, .dev = u, .name = "uart" };
	pthread_mutex_init(&u->lock, NULL);
	reset_locked(u);
	int r = bus_map_pio(bus, &u->io, base_port, 8);
	if (r < 0) {
		pthread_mutex_destroy(&u->lock);
		free(u);
		return r;
	}
	if (chr)
		chr_set_recv(chr, on_recv, u);
	*out = u;
	return 0;
}

void uart_free(struct uart *u)
{
	if (!u)
		return;
	if (u->chr)
		chr_set_recv(u->chr, NULL, NULL);
	bus_unmap_pio(u->bus, &u->io);
	pthread_mutex_destroy(&u->lock);
	free(u);
}
