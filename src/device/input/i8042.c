/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * i8042.c - the keyboard controller (Intel 8042 as in IBM's PS/2: Hardware Interface Technical Reference, "Keyboard and
 * Auxiliary Device Controller"), with a keyboard at its first port and a mouse at its second.
 *
 * Theory of operation. There is one byte for the guest to read (port 60), and status that says whether it is there and
 * whose it is (port 64). It is the controller's own answer, or the next one of the keyboard, or of the mouse, in that
 * order; refill() puts it there as soon as the last one was read, and raises the interrupt of whose it is, where the
 * mode wants that. So all that happens here happens in accesses of the guest and in the coming of a key.
 *
 * A20 is always open on this board; the bit is kept. The reset output is the machine's reset.
 */
#include "device/class.h"
#include "device/input/key.h"
#include "device/input/ps2.h"
#include "machine/layout.h"
#include "machine/machine.h"

#include <pthread.h>

#define ST_FULL 0x01
#define ST_SYSTEM 0x04
#define ST_COMMAND 0x08
#define ST_UNLOCKED 0x10
#define ST_MOUSE 0x20

#define MODE_KEYBOARD_IRQ 0x01
#define MODE_MOUSE_IRQ 0x02
#define MODE_SYSTEM 0x04
#define MODE_KEYBOARD_OFF 0x10
#define MODE_MOUSE_OFF 0x20
#define MODE_TRANSLATE 0x40

#define OUT_RESET 0x01 /* low: reset */
#define OUT_POWER_ON 0xcf

enum from { FROM_CONTROLLER, FROM_KEYBOARD, FROM_MOUSE };

struct i8042 {
	struct device dev;
	struct machine *machine;
	struct io_region data, command;
	struct irq_line keyboard_irq, mouse_irq;
	pthread_mutex_t lock; /* guards what follows */
	u8 status, mode, output, byte;
	u8 arg; /* the command whose byte comes next through port 60; 0: none */
	bool from_mouse;
	bool after_f0;             /* translation: the next code is of a key that goes up */
	struct ps2_queue own;      /* the controller's answers */
	bool own_mouse[PS2_QUEUE]; /* ... which are to look as if the mouse had sent them */
	struct ps2_keyboard keyboard;
	struct ps2_mouse mouse;
};

/* ---- the byte that waits ---- */

static void interrupts(struct i8042 *c)
{
	bool full = c->status & ST_FULL, mouse = c->status & ST_MOUSE;

	irq_set(&c->keyboard_irq, full && !mouse && c->mode & MODE_KEYBOARD_IRQ);
	irq_set(&c->mouse_irq, full && mouse && c->mode & MODE_MOUSE_IRQ);
}

/* What of a keyboard's byte reaches the guest; false: nothing yet. */
static bool translated(struct i8042 *c, u8 *v)
{
	if (!(c->mode & MODE_TRANSLATE))
		return true;
	if (*v == 0xf0) {
		c->after_f0 = true;
		return false;
	}
	*v = key_translate(*v);
	if (c->after_f0)
		*v |= 0x80;
	c->after_f0 = false;
	return true;
}

static bool next_of_keyboard(struct i8042 *c, u8 *v)
{
	while (!(c->mode & MODE_KEYBOARD_OFF) && ps2_keyboard_read(&c->keyboard, v))
		if (translated(c, v))
			return true;
	return false;
}

static void refill(struct i8042 *c)
{
	u8 v;

	if (!(c->status & ST_FULL)) {
		bool mouse = false, own = c->own.count;

		if (own)
			mouse = c->own_mouse[c->own.head];
		if ((own && ps2_get(&c->own, &v)) || next_of_keyboard(c, &v)) {
			c->byte = v;
			c->status = (u8)((c->status & ~ST_MOUSE) | ST_FULL | (mouse ? ST_MOUSE : 0));
		} else if (!(c->mode & MODE_MOUSE_OFF) && ps2_mouse_read(&c->mouse, &v)) {
			c->byte = v;
			c->status |= ST_FULL | ST_MOUSE;
		}
	}
	interrupts(c);
}

static void answer(struct i8042 *c, u8 v, bool mouse)
{
	if (c->own.count == PS2_QUEUE)
		return;
	c->own_mouse[(c->own.head + c->own.count) % PS2_QUEUE] = mouse;
	ps2_put(&c->own, v);
}

/* ---- what is written; true: reset ---- */

static bool command(struct i8042 *c, u8 v)
{
	c->status |= ST_COMMAND;
	c->arg = 0;
	switch (v) {
	case 0x20:
		answer(c, c->mode, false);
		break;
	case 0x21 ... 0x3f: /* the controller's own memory */
		answer(c, 0, false);
		break;
	case 0x60 ... 0x7f:
	case 0xd1 ... 0xd4:
		c->arg = v;
		break;
	case 0xa4: /* is there a password? */
		answer(c, 0xf1, false);
		break;
	case 0xa7:
		c->mode |= MODE_MOUSE_OFF;
		break;
	case 0xa8:
		c->mode &= (u8)~MODE_MOUSE_OFF;
		break;
	case 0xa9:
	case 0xab:
		answer(c, 0, false);
		break;
	case 0xaa:
		c->status |= ST_SYSTEM;
		answer(c, 0x55, false);
		break;
	case 0xad:
		c->mode |= MODE_KEYBOARD_OFF;
		break;
	case 0xae:
		c->mode &= (u8)~MODE_KEYBOARD_OFF;
		break;
	case 0xc0:
		answer(c, 0x80, false);
		break;
	case 0xd0:
		answer(c, c->output, false);
		break;
	case 0xe0:
		answer(c, 0, false);
		break;
	case 0xf0 ... 0xff: /* pulse the outputs whose bits are zero */
		return !(v & OUT_RESET);
	default:
		break;
	}
	return false;
}

static bool data(struct i8042 *c, u8 v)
{
	u8 arg = c->arg;

	c->arg = 0;
	c->status &= (u8)~ST_COMMAND;
	switch (arg) {
	case 0x60:
		c->mode = v;
		c->status = (u8)((c->status & ~ST_SYSTEM) | (v & MODE_SYSTEM));
		break;
	case 0x61 ... 0x7f:
		break;
	case 0xd1:
		c->output = v | OUT_RESET;
		return !(v & OUT_RESET);
	case 0xd2:
	case 0xd3:
		answer(c, v, arg == 0xd3);
		break;
	case 0xd4:
		c->mode &= (u8)~MODE_MOUSE_OFF;
		ps2_mouse_write(&c->mouse, v);
		break;
	default: /* what is sent to a device switches its port on */
		c->mode &= (u8)~MODE_KEYBOARD_OFF;
		ps2_keyboard_write(&c->keyboard, v);
	}
	return false;
}

/* ---- ports ---- */

static void written(struct i8042 *c, bool (*what)(struct i8042 *c, u8 v), u8 v)
{
	pthread_mutex_lock(&c->lock);
	bool reset = what(c, v);
	refill(c);
	pthread_mutex_unlock(&c->lock);
	if (reset)
		machine_ask_reset(c->machine);
}

static u64 data_read(void *dev, u64 off, unsigned bytes)
{
	struct i8042 *c = dev;

	pthread_mutex_lock(&c->lock);
	u8 v = c->byte;
	c->status &= (u8)~ST_FULL;
	interrupts(c); /* low, so that the next byte is an edge */
	refill(c);
	pthread_mutex_unlock(&c->lock);
	return v;
}

static u64 status_read(void *dev, u64 off, unsigned bytes)
{
	struct i8042 *c = dev;

	pthread_mutex_lock(&c->lock);
	u8 v = c->status;
	pthread_mutex_unlock(&c->lock);
	return v;
}

static void data_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	written(dev, data, (u8)val);
}

static void command_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	written(dev, command, (u8)val);
}

static const struct io_ops data_ops = { .read = data_read, .write = data_write, .max_bytes = 1 };
static const struct io_ops command_ops = { .read = status_read, .write = command_write, .max_bytes = 1 };

/* ---- life ---- */

static struct i8042 *of(struct device *d)
{
	return container_of(d, struct i8042, dev);
}

static void life_reset(struct device *d)
{
	struct i8042 *c = of(d);

	pthread_mutex_lock(&c->lock);
	c->status = ST_UNLOCKED | ST_SYSTEM;
	c->mode = MODE_SYSTEM | MODE_KEYBOARD_OFF | MODE_MOUSE_OFF;
	c->output = OUT_POWER_ON;
	c->byte = c->arg = 0;
	c->after_f0 = false;
	c->own.count = 0;
	ps2_keyboard_reset(&c->keyboard);
	ps2_mouse_reset(&c->mouse);
	interrupts(c);
	pthread_mutex_unlock(&c->lock);
}

static int life_state(struct device *d, struct state_file *s, struct err *e)
{
	struct i8042 *c = of(d);
	int r = state_section(s, "i8042", 0, 1, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&c->lock);
	state_u8(s, &c->status);
	state_u8(s, &c->mode);
	state_u8(s, &c->output);
	state_u8(s, &c->byte);
	state_u8(s, &c->arg);
	state_bool(s, &c->after_f0);
	ps2_queue_state(&c->own, s);
	for (unsigned i = 0; i < PS2_QUEUE; i++)
		state_bool(s, &c->own_mouse[i]);
	ps2_keyboard_state(&c->keyboard, s);
	ps2_mouse_state(&c->mouse, s);
	if (state_loading(s)) {
		c->status = (c->status | ST_UNLOCKED) & (ST_FULL | ST_SYSTEM | ST_COMMAND | ST_UNLOCKED | ST_MOUSE);
		interrupts(c);
	}
	pthread_mutex_unlock(&c->lock);
	return state_end(s, e);
}

static void life_free(struct device *d)
{
	struct i8042 *c = of(d);

	bus_unmap_pio(machine_bus(c->machine), &c->data);
	bus_unmap_pio(machine_bus(c->machine), &c->command);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static const struct device_ops ops = { .reset = life_reset, .state = life_state, .free = life_free };

/* ---- the class ---- */

static int new_i8042(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct i8042 *c = xcalloc(1, sizeof(*c));
	int r;

	(void)a;
	c->machine = m;
	c->dev.ops = &ops;
	c->dev.name = "i8042";
	c->keyboard_irq = machine_irq(m, LAYOUT_GSI_KEYBOARD);
	c->mouse_irq = machine_irq(m, LAYOUT_GSI_MOUSE);
	c->data = (struct io_region){ .ops = &data_ops, .dev = c, .name = "i8042-data" };
	c->command = (struct io_region){ .ops = &command_ops, .dev = c, .name = "i8042" };
	pthread_mutex_init(&c->lock, NULL);
	life_reset(&c->dev);
	machine_use(m, MACHINE_KEYBOARD);
	if ((r = bus_map_pio(machine_bus(m), &c->data, LAYOUT_KEYBOARD_DATA, 1)) < 0 ||
	    (r = bus_map_pio(machine_bus(m), &c->command, LAYOUT_KEYBOARD, 1)) < 0) {
		life_free(&c->dev);
		return err_sys(e, -r, "cannot add the keyboard controller");
	}
	machine_add_device(m, &c->dev);
	*out = &c->dev;
	return 0;
}

static int class_keys(struct device *d, const u16 *events, unsigned n)
{
	struct i8042 *c = of(d);

	pthread_mutex_lock(&c->lock);
	int r = ps2_keys(&c->keyboard, events, n);
	refill(c);
	pthread_mutex_unlock(&c->lock);
	return r;
}

static void class_pointer(struct device *d, int dx, int dy, int wheel, unsigned buttons)
{
	struct i8042 *c = of(d);

	pthread_mutex_lock(&c->lock);
	ps2_pointer(&c->mouse, dx, dy, wheel, buttons);
	refill(c);
	pthread_mutex_unlock(&c->lock);
}

const struct device_class i8042_device_class = {
	.name = "i8042",
	.help = N_("PS/2 keyboard and mouse"),
	.role = DEVICE_INPUT,
	.new = new_i8042,
	.keys = class_keys,
	.pointer = class_pointer,
};
