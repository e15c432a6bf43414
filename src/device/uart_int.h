/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uart_int.h - between uart.c, the chip, and uart_class.c, which makes a device of it. */
#ifndef MICA_UART_INT_H
#define MICA_UART_INT_H

#include "device/uart.h"

#include <pthread.h>

enum {
	UART_FCR_ENABLE = 1,
	UART_LSR_ERRORS = 0x1e, /* overrun, parity, framing, break */
};

#define UART_FIFO_BYTES 16u

struct uart {
	struct device dev;
	u32 instance;
	struct bus *bus;
	struct io_region io;
	struct irq_line irq;
	struct chr *chr;

	pthread_mutex_t lock; /* guards what follows; the interrupt wire and chr are used with it held */
	u8 ier, fcr, lcr, mcr, scr, dll, dlm;
	u8 lsr_errors;
	u8 msr; /* lines and deltas as the guest reads them */
	u8 rx[UART_FIFO_BYTES];
	unsigned rx_head, rx_count;
	u16 rx_break;      /* which of rx[] are breaks that LSR has not told of */
	bool break_waits;  /* for a place in the FIFO */
	bool thre_pending; /* the transmitter-empty interrupt has not been seen */
	bool starved;      /* the host has more bytes than the FIFO had room for */
	bool line;
};

/* With the lock held: bring the wire in line; take what waits with the host. */
void uart_update_irq(struct uart *u);
void uart_feed(struct uart *u);

#endif
