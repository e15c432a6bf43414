/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 16550A against its data sheet and against what a PC's drivers probe for. */
#include "base/base.h"
#include "base/clock.h"
#include "device/uart.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <cmocka.h>

#define BASE 0x3f8

struct fix {
	struct bus *bus;
	struct loop *loop;
	struct chr *chr;
	struct uart *uart;
	struct loop_timer stop;
	int host; /* the person's end */
	bool line;
	unsigned edges;
};

static void on_irq(void *opaque, unsigned gsi, bool level)
{
	struct fix *f = opaque;

	assert_int_equal(gsi, 4);
	if (level && !f->line)
		f->edges++;
	f->line = level;
}

static void on_stop(void *opaque)
{
	struct fix *f = opaque;
	loop_stop(f->loop);
}

/* Let the loop do what is due within 5 ms. */
static void spin(struct fix *f)
{
	loop_timer_arm(&f->stop, clock_mono_ns() + 5000000);
	loop_run(f->loop);
}

static u8 in(struct fix *f, unsigned reg)
{
	return (u8)bus_pio_read(f->bus, (u16)(BASE + reg), 1);
}

static void out(struct fix *f, unsigned reg, u8 v)
{
	bus_pio_write(f->bus, (u16)(BASE + reg), 1, v);
}

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));
	int sv[2];

	*state = f;
	f->bus = bus_new();
	assert_int_equal(loop_new(&f->loop, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	f->host = sv[0];
	assert_int_equal(chr_new(&f->chr, f->loop, sv[1], sv[1], NULL), 0);
	assert_int_equal(
	    uart_new(&f->uart, f->bus, BASE, (struct irq_line){ .set = on_irq, .opaque = f, .gsi = 4 }, f->chr), 0);
	loop_timer_init(f->loop, &f->stop, on_stop, f);
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	uart_free(f->uart);
	chr_free(f->chr);
	loop_timer_fini(&f->stop);
	loop_free(f->loop);
	bus_free(f->bus);
	close(f->host);
	free(f);
	return 0;
}

static void type(struct fix *f, const char *s)
{
	assert_int_equal(write(f->host, s, strlen(s)), strlen(s));
	spin(f);
}

static void transmit(void **state)
{
	struct fix *f = *state;
	char buf[16] = "";

	assert_int_equal(in(f, 5), 0x60);
	for (const char *p = "hello"; *p; p++)
		out(f, 0, (u8)*p);
	assert_int_equal(in(f, 5), 0x60);
	spin(f);
	assert_int_equal(recv(f->host, buf, sizeof(buf), MSG_DONTWAIT), 5);
	assert_string_equal(buf, "hello");
	/* wide accesses fall into consecutive registers */
	bus_pio_write(f->bus, BASE + 3, 1, 0x83);
	bus_pio_write(f->bus, BASE, 2, 0x1234);
	assert_int_equal(in(f, 0), 0x34);
	assert_int_equal(in(f, 1), 0x12);
	assert_int_equal(bus_pio_read(f->bus, BASE, 2), 0x1234);
	/* with DLAB set nothing was sent */
	spin(f);
	assert_int_equal(recv(f->host, buf, sizeof(buf), MSG_DONTWAIT), -1);
}

static void thre_interrupt(void **state)
{
	struct fix *f = *state;

	out(f, 2, 0x07);
	assert_int_equal(in(f, 2), 0xc1);
	out(f, 1, 2);
	assert_true(f->line);
	assert_int_equal(in(f, 2), 0xc2);
	assert_false(f->line); /* reading it reset it */
	assert_int_equal(in(f, 2), 0xc1);
	out(f, 0, 'x');
	assert_true(f->line);
	assert_int_equal(f->edges, 2);
	/* the probe for chips that forget: off and on again must interrupt again, twice */
	for (int i = 0; i < 2; i++) {
		out(f, 1, 0);
		assert_false(f->line);
		out(f, 1, 2);
		assert_int_equal(in(f, 2), 0xc2);
	}
	out(f, 1, 2); /* set already: no interrupt */
	assert_int_equal(in(f, 2), 0xc1);
}

static void receive_levels(void **state)
{
	struct fix *f = *state;
	static const struct {
		u8 fcr;
		unsigned level;
	} t[] = { { 0x01, 1 }, { 0x41, 4 }, { 0x81, 8 }, { 0xc1, 14 } };

	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		out(f, 2, 0);
		out(f, 2, t[i].fcr);
		out(f, 1, 1);
		assert_false(f->line);
		type(f, "0123456789abcd");
		assert_true(f->line);
		for (unsigned left = 14; left; left--) {
			assert_int_equal(in(f, 5), 0x61);
			assert_int_equal(in(f, 2), left >= t[i].level ? 0xc4 : 0xcc);
			assert_int_equal(in(f, 0), "0123456789abcd"[14 - left]);
		}
		assert_int_equal(in(f, 5), 0x60);
		assert_int_equal(in(f, 2), 0xc1);
		assert_false(f->line);
	}
}

/* More than the FIFO holds: nothing is lost, nothing overruns. */
static void receive_long(void **state)
{
	struct fix *f = *state;
	char text[301];

	for (unsigned i = 0; i < 300; i++)
		text[i] = (char)('a' + i % 26);
	text[300] = 0;
	out(f, 2, 0xc1);
	type(f, text);
	for (unsigned i = 0; i < 300; i++) {
		u8 lsr = in(f, 5);
		if (!(lsr & 1)) {
			spin(f);
			lsr = in(f, 5);
		}
		assert_int_equal(lsr, 0x61);
		assert_int_equal(in(f, 0), text[i]);
	}
	assert_int_equal(in(f, 5), 0x60);
	/* 16450 mode: one byte at a time */
	out(f, 2, 0);
	assert_int_equal(in(f, 2), 0x01);
	type(f, "yz");
	assert_int_equal(in(f, 0), 'y');
	assert_int_equal(in(f, 5), 0x60);
	spin(f);
	assert_int_equal(in(f, 0), 'z');
}

static void loopback(void **state)
{
	struct fix *f = *state;
	char c;

	/* the modem lines as autodetection looks at them */
	out(f, 4, 0x1a);
	assert_int_equal(in(f, 6) & 0xf0, 0x90);
	out(f, 4, 0x15);
	assert_int_equal(in(f, 6) & 0xf0, 0x60);
	out(f, 4, 0x11);
	assert_int_equal(in(f, 6), 0x24); /* RI fell: TERI */
	out(f, 4, 0x15);
	assert_int_equal(in(f, 6), 0x60); /* RI rose: no delta */
	/* data comes back and does not leave */
	out(f, 2, 0xc7);
	out(f, 1, 5);
	for (unsigned i = 0; i < 17; i++)
		out(f, 0, (u8)('A' + i));
	assert_int_equal(in(f, 2), 0xc6); /* the 17th overran: line status comes first */
	assert_int_equal(in(f, 5), 0x63);
	assert_int_equal(in(f, 5), 0x61); /* errors clear on read */
	assert_int_equal(in(f, 2), 0xc4);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(in(f, 0), 'A' + i);
	assert_int_equal(in(f, 5), 0x60);
	/* the pin is cut off: bytes wait for the end of loop-back */
	type(f, "q");
	assert_int_equal(in(f, 5), 0x60);
	out(f, 4, 0x0b);
	spin(f);
	assert_int_equal(in(f, 5), 0x61);
	assert_int_equal(in(f, 0), 'q');
	assert_int_equal(recv(f->host, &c, 1, MSG_DONTWAIT), -1);
}

static void modem_interrupt(void **state)
{
	struct fix *f = *state;

	assert_int_equal(in(f, 6), 0xb0);
	out(f, 1, 8);
	assert_false(f->line);
	out(f, 4, 0x10);
	assert_true(f->line);
	assert_int_equal(in(f, 2), 0x00);
	assert_int_equal(in(f, 6), 0x0b);
	assert_false(f->line);
	assert_int_equal(in(f, 2), 0x01);
}

/* What has no 16550A meaning reads as on one: no EFR, no UUE, no 64-byte FIFO. */
static void identify(void **state)
{
	struct fix *f = *state;

	out(f, 1, 0xff);
	assert_int_equal(in(f, 1), 0x0f);
	out(f, 1, 0);
	out(f, 2, 0x21);
	assert_int_equal(in(f, 2) & 0xe0, 0xc0);
	out(f, 7, 0xa5);
	assert_int_equal(in(f, 7), 0xa5);
	out(f, 3, 0xbf);
	assert_int_equal(in(f, 3), 0xbf);
	assert_int_not_equal(in(f, 2), 0);
	out(f, 4, 0xff);
	assert_int_equal(in(f, 4), 0x1f);
	out(f, 3, 3);
	uart_reset(f->uart);
	assert_int_equal(in(f, 4), 0);
	assert_int_equal(in(f, 2), 0x01);
	assert_int_equal(in(f, 6), 0xb0);
}

static void without_console(void **state)
{
	struct fix *f = *state;
	struct uart *u;
	struct irq_line none = { 0 };

	assert_int_equal(uart_new(&u, f->bus, BASE, none, NULL), -EBUSY);
	assert_int_equal(uart_new(&u, f->bus, 0x2f8, none, NULL), 0);
	bus_pio_write(f->bus, 0x2f8, 1, 'x');
	bus_pio_write(f->bus, 0x2fa, 1, 7);
	assert_int_equal(bus_pio_read(f->bus, 0x2fd, 1), 0x60);
	uart_free(u);
	assert_int_equal(bus_pio_read(f->bus, 0x2fd, 1), 0xff);
}

enum { LSR_DR = 1, LSR_BI = 0x10, LSR_FIFOE = 0x80, LSR_IDLE = 0x60 };

/* A break is a zero among the bytes; LSR tells of it when it is next, once, and interrupts (8.3, 8.4). */
static void test_break(void **state)
{
	struct fix *f = *state;

	out(f, 2, 0x01); /* FIFOs on, trigger at 1 */
	out(f, 1, 0x05); /* data, line status */
	assert_int_equal(write(f->host, "ab", 2), 2);
	spin(f);
	uart_break(f->uart);
	assert_int_equal(write(f->host, "c", 1), 1);
	spin(f);
	assert_int_equal(in(f, 5), LSR_IDLE | LSR_DR | LSR_FIFOE); /* not yet: 'a' is next */
	assert_int_equal(in(f, 2) & 0xf, 4);
	assert_int_equal(in(f, 0), 'a');
	assert_int_equal(in(f, 0), 'b');
	assert_int_equal(in(f, 2) & 0xf, 6); /* receiver line status */
	assert_true(f->line);
	assert_int_equal(in(f, 5), LSR_IDLE | LSR_DR | LSR_BI | LSR_FIFOE);
	assert_int_equal(in(f, 5), LSR_IDLE | LSR_DR);
	assert_int_equal(in(f, 2) & 0xf, 4);
	assert_int_equal(in(f, 0), 0);
	assert_int_equal(in(f, 5), LSR_IDLE | LSR_DR);
	assert_int_equal(in(f, 0), 'c');
	assert_int_equal(in(f, 5), LSR_IDLE);
	assert_false(f->line);

	/* Into a full FIFO: when there is room. Without FIFOs: after the one byte, and no bit 7. */
	assert_int_equal(write(f->host, "0123456789abcdef", 16), 16);
	spin(f);
	uart_break(f->uart);
	for (unsigned i = 0; i < 16; i++) {
		assert_false(in(f, 5) & LSR_BI);
		assert_int_equal(in(f, 0), "0123456789abcdef"[i]);
	}
	assert_true(in(f, 5) & LSR_BI);
	assert_int_equal(in(f, 0), 0);
	out(f, 2, 0);
	uart_break(f->uart);
	assert_int_equal(in(f, 2) & 0xf, 6);
	assert_int_equal(in(f, 5), LSR_IDLE | LSR_DR | LSR_BI);
	assert_int_equal(in(f, 0), 0);
	/* The input is cut off in loop-back; a cleared FIFO forgets; so does one that was read without a look at LSR.
	 */
	out(f, 4, 0x10);
	uart_break(f->uart);
	assert_int_equal(in(f, 5), LSR_IDLE);
	out(f, 4, 0);
	out(f, 2, 1);
	uart_break(f->uart);
	out(f, 2, 3);
	assert_int_equal(in(f, 5), LSR_IDLE);
	uart_break(f->uart);
	assert_int_equal(in(f, 0), 0);
	assert_int_equal(in(f, 5), LSR_IDLE);
	assert_false(f->line);
}

/* Quiesced, nothing comes in, or it would be in no saved state; what was there can be read, and the rest follows. */
static void test_quiesce(void **state)
{
	struct fix *f = *state;
	struct device *d = uart_device(f->uart, 0);

	out(f, 2, 1); /* FIFOs on */
	type(f, "a");
	assert_true(device_quiesce(d));
	type(f, "bc");
	uart_break(f->uart);
	assert_int_equal(in(f, 0), 'a');
	spin(f);
	assert_int_equal(in(f, 5) & 0x11, 0);
	device_resume(d);
	spin(f);
	assert_int_equal(in(f, 5) & 0x11, 0x11); /* the break, then the bytes */
	assert_int_equal(in(f, 0), 0);
	spin(f);
	assert_int_equal(in(f, 0), 'b');
	assert_int_equal(in(f, 0), 'c');
	assert_int_equal(in(f, 5) & 1, 0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(transmit),        T(thre_interrupt), T(receive_levels),  T(receive_long), T(loopback),
		T(modem_interrupt), T(identify),       T(without_console), T(test_break),   T(test_quiesce),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
