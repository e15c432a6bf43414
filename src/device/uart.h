/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uart.h - a 16550A serial port (National Semiconductor PC16550D) on eight I/O ports. */
#ifndef MICA_UART_H
#define MICA_UART_H

#include "base/base.h"
#include "device/chr.h"
#include "machine/bus.h"
#include "machine/device.h"

struct uart;

/* chr is borrowed and may be NULL: then what is sent is lost and nothing comes. -EBUSY when the
 * ports are taken. */
int uart_new(struct uart **out, struct bus *bus, u16 base_port, struct irq_line irq, struct chr *chr);
void uart_free(struct uart *u); /* on the loop's thread, or when the loop does not run */
void uart_reset(struct uart *u);
/* A break comes in on the line; after what is in the receive FIFO, before what waits with the host. Any thread. */
void uart_break(struct uart *u);

/* For machine_add_device(): this port, which is number `instance` of the board's. The board ends it. */
struct device *uart_device(struct uart *u, u32 instance);
/* Save or load; no vCPU runs, on the loop's thread. */
int uart_state(struct uart *u, u32 instance, struct state_file *s, struct err *e);

#endif
