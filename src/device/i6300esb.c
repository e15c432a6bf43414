/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * i6300esb.c - a watchdog timer (Intel 6300ESB I/O Controller Hub datasheet, chapter 16): PCI, as Linux (i6300esb),
 * BSDs and Windows (Intel's driver) know it.
 *
 * It counts down twice. The end of the first stage is an interrupt, if the guest wants one; the end of the second is
 * what the watchdog is for, unless the guest has turned its output off. A reload begins the first stage anew. In
 * free-running mode there is the first stage alone, which the second one's end, told to nobody, begins anew.
 *
 * Registers are 8 to 32 bits wide; to change a preload or to reload, 80H and 86H are written to the reload register
 * before, each time.
 *
 *     off --enable--> stage 1 --time--> stage 2 --time--> expired: off, TIMEOUT is set, which a reset leaves alone
 *                        ^---- reload ----'
 *
 * Time does not go on while the VM is saved.
 */
#include "device/i6300esb.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/state.h"
#include "machine/machine.h"

#include <pthread.h>

#define VENDOR 0x8086
#define DEVICE 0x25ab
#define CLASS_REV (0x088000u << 8 | 2)
#define BAR_BYTES 16

#define CFG_CONFIG 0x60
#define CONFIG_INT 0x0003u /* 0: an interrupt at the end of stage 1; 2: an SMI, 3: nothing */
#define CONFIG_FAST 0x0004u
#define CONFIG_NO_OUTPUT 0x0020u
#define CFG_LOCK 0x68
#define LOCK_LOCKED 0x01u
#define LOCK_ENABLE 0x02u
#define LOCK_FREE_RUN 0x04u

#define PRELOAD_MAX 0xfffffu
#define LEAST_NS 1000000ull /* of a stage: free-running costs the host little */
#define RELOAD_RELOAD 0x0100u
#define RELOAD_TIMEOUT 0x0200u

struct watchdog {
	struct pci_dev pci;
	pthread_mutex_t lock;
	struct loop_timer timer;
	void (*fn)(void *opaque);
	void *opaque;
	enum device_watch { WATCH_RESET, WATCH_POWEROFF, WATCH_NMI, WATCH_PAUSE, WATCH_NONE } action;
	struct machine *machine;
	struct device_listener listener;
	/* lock */
	u32 preload[2];
	unsigned stage;    /* 1 or 2 while it counts; 0: it does not */
	unsigned unlocked; /* how many of the two bytes came */
	u16 config;
	u8 locking;
	bool interrupt, timeout;
	bool quiesced;
	u64 left_ns; /* while it is quiesced */
	u64 end_ns;
};

/* ---- counting ---- */

/* The clock is PCI's, divided by 2^15 or 2^5; preloads count in twice that (16.2.3). */
static u64 stage_ns(const struct watchdog *w, unsigned stage)
{
	u64 ticks = (u64)w->preload[stage - 1] << (w->config & CONFIG_FAST ? 5 : 15);

	return MAX(ticks * 1000 / 33, LEAST_NS);
}

static void begin(struct watchdog *w, unsigned stage)
{
	w->stage = stage;
	if (!stage) {
		loop_timer_disarm(&w->timer);
		return;
	}
	w->left_ns = stage_ns(w, stage);
	w->end_ns = clock_mono_ns() + w->left_ns;
	if (!w->quiesced)
		loop_timer_arm(&w->timer, w->end_ns);
}

static void set_interrupt(struct watchdog *w, bool on)
{
	w->interrupt = on;
	pci_intx(&w->pci, on);
}

static void on_timer(void *opaque)
{
	struct watchdog *w = opaque;
	bool expired = false;

	pthread_mutex_lock(&w->lock);
	if (w->quiesced || !w->stage || clock_mono_ns() < w->end_ns) {
		/* it was reloaded meanwhile, or is saved */
	} else if (w->stage == 1) {
		if (!(w->config & CONFIG_INT))
			set_interrupt(w, true);
		begin(w, 2);
	} else if (w->locking & LOCK_FREE_RUN) {
		begin(w, 1);
	} else {
		w->timeout = true;
		expired = !(w->config & CONFIG_NO_OUTPUT);
		begin(w, 0);
	}
	pthread_mutex_unlock(&w->lock);
	if (expired)
		w->fn(w->opaque);
}

/* ---- registers ---- */

static u32 reg_read(const struct watchdog *w, unsigned reg)
{
	switch (reg) {
	case 0x0:
		return w->preload[0];
	case 0x4:
		return w->preload[1];
	case 0x8:
		return w->interrupt;
	default:
		return w->timeout ? RELOAD_TIMEOUT : 0;
	}
}

static u64 bar_read(void *dev, u64 off, unsigned bytes)
{
	struct watchdog *w = dev;
	u64 v = 0;

	pthread_mutex_lock(&w->lock);
	for (unsigned i = 0; i < bytes; i++)
		v |= (u64)(reg_read(w, (unsigned)(off + i) & ~3u) >> 8 * ((off + i) & 3) & 0xff) << 8 * i;
	pthread_mutex_unlock(&w->lock);
	return v;
}

static void reload(struct watchdog *w, u32 val)
{
	if (val == 0x80 || (val == 0x86 && w->unlocked == 1)) {
		w->unlocked = val == 0x80 ? 1 : 2;
		return;
	}
	if (w->unlocked == 2 && val & RELOAD_TIMEOUT)
		w->timeout = false;
	if (w->unlocked == 2 && val & RELOAD_RELOAD && w->stage)
		begin(w, 1);
	w->unlocked = 0;
}

static void bar_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct watchdog *w = dev;

	pthread_mutex_lock(&w->lock);
	switch (off) {
	case 0x0:
	case 0x4:
		if (w->unlocked == 2 && bytes >= 4)
			w->preload[off / 4] = (u32)val & PRELOAD_MAX;
		w->unlocked = 0;
		break;
	case 0x8:
		if (val & 1)
			set_interrupt(w, false);
		break;
	case 0xc:
		reload(w, (u32)val);
		break;
	default:
		break;
	}
	pthread_mutex_unlock(&w->lock);
}

static const struct io_ops bar_ops = { .read = bar_read, .write = bar_write, .max_bytes = 4 };

/* The two registers in config space: once locked, they stay as they are until a reset. */
static void cfg_written(struct pci_dev *d, unsigned off, unsigned bytes)
{
	struct watchdog *w = container_of(d, struct watchdog, pci);

	pthread_mutex_lock(&w->lock);
	if (!(w->locking & LOCK_LOCKED)) {
		bool was = w->locking & LOCK_ENABLE;
		w->config = ld_le16(d->cfg + CFG_CONFIG);
		w->locking = d->cfg[CFG_LOCK];
		if (was != !!(w->locking & LOCK_ENABLE))
			begin(w, was ? 0 : 1);
	}
	st_le16(d->cfg + CFG_CONFIG, w->config);
	d->cfg[CFG_LOCK] = w->locking;
	pthread_mutex_unlock(&w->lock);
}

/* ---- life ---- */

static struct watchdog *of(struct device *d)
{
	return container_of(pci_dev_of(d), struct watchdog, pci);
}

static void power_on(struct watchdog *w)
{
	w->preload[0] = w->preload[1] = PRELOAD_MAX;
	w->unlocked = 0;
	w->config = 0;
	w->locking = 0;
	st_le16(w->pci.cfg + CFG_CONFIG, 0);
	w->pci.cfg[CFG_LOCK] = 0;
	begin(w, 0);
	set_interrupt(w, false);
}

static void life_reset(struct device *d)
{
	struct watchdog *w = of(d);

	pthread_mutex_lock(&w->lock);
	power_on(w);
	pthread_mutex_unlock(&w->lock);
}

static bool life_quiesce(struct device *d)
{
	struct watchdog *w = of(d);
	u64 now = clock_mono_ns();

	pthread_mutex_lock(&w->lock);
	if (!w->quiesced && w->stage)
		w->left_ns = w->end_ns > now ? w->end_ns - now : 0;
	w->quiesced = true;
	pthread_mutex_unlock(&w->lock);
	return true;
}

static void life_resume(struct device *d)
{
	struct watchdog *w = of(d);

	pthread_mutex_lock(&w->lock);
	w->quiesced = false;
	if (w->stage) {
		w->end_ns = clock_mono_ns() + w->left_ns;
		loop_timer_arm(&w->timer, w->end_ns);
	}
	pthread_mutex_unlock(&w->lock);
}

static int life_state(struct device *d, struct state_file *s, struct err *e)
{
	struct watchdog *w = of(d);
	int r = state_section(s, "i6300esb", w->pci.devfn, 1, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&w->lock);
	for (unsigned i = 0; i < 2; i++) {
		state_u32(s, &w->preload[i]);
		w->preload[i] &= PRELOAD_MAX;
	}
	state_uint(s, &w->stage, 2);
	state_uint(s, &w->unlocked, 2);
	state_u16(s, &w->config);
	state_u8(s, &w->locking);
	state_bool(s, &w->interrupt);
	state_bool(s, &w->timeout);
	state_u64(s, &w->left_ns);
	w->left_ns = MIN(w->left_ns, 3600 * NSEC_PER_SEC); /* a preload is 18 minutes at the most */
	pthread_mutex_unlock(&w->lock);
	return state_end(s, e);
}

static void life_free(struct device *d)
{
	struct watchdog *w = of(d);

	loop_timer_fini(&w->timer);
	pci_dev_fini(&w->pci);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static const struct pci_dev_ops ops = {
	.life = {
		.reset = life_reset,
		.quiesce = life_quiesce,
		.resume = life_resume,
		.state = life_state,
		.free = life_free,
	},
	.cfg_written = cfg_written,
};

int i6300esb_new(struct device **out, struct pci_bus *bus, struct loop *loop, void (*fn)(void *opaque), void *opaque,
		 int slot, struct err *e)
{
	struct watchdog *w = xcalloc(1, sizeof(*w));

	w->fn = fn;
	w->opaque = opaque;
	pthread_mutex_init(&w->lock, NULL);
	loop_timer_init(loop, &w->timer, on_timer, w);
	pci_dev_init(&w->pci, &ops, "i6300esb", VENDOR, DEVICE, CLASS_REV);
	st_le16(w->pci.wmask + CFG_CONFIG, CONFIG_INT | CONFIG_FAST | CONFIG_NO_OUTPUT);
	w->pci.wmask[CFG_LOCK] = LOCK_LOCKED | LOCK_ENABLE | LOCK_FREE_RUN;
	pci_add_bar(&w->pci, 0, BAR_BYTES, false, &bar_ops, w);
	power_on(w);
	int r = pci_register(bus, &w->pci, slot);
	if (r < 0) {
		life_free(&w->pci.dev);
		return err_sys(e, -r, "cannot put %s on the PCI bus (slot %d)", "i6300esb", slot);
	}
	*out = &w->pci.dev;
	return 0;
}

/* ---- the class ---- */

static const char *const actions[] = {
	[WATCH_RESET] = "reset", [WATCH_POWEROFF] = "poweroff", [WATCH_NMI] = "nmi",
	[WATCH_PAUSE] = "pause", [WATCH_NONE] = "none",
};

static void expired(void *opaque)
{
	struct watchdog *w = opaque;

	log_guest("i6300esb: the watchdog's time is up: %s", actions[w->action]);
	device_tell(&w->listener, DEVICE_EXPIRED);
	if (w->action == WATCH_RESET)
		machine_ask_reset(w->machine);
	else if (w->action == WATCH_POWEROFF)
		machine_ask_poweroff(w->machine);
	else if (w->action == WATCH_NMI)
		machine_nmi(w->machine);
	else if (w->action == WATCH_PAUSE)
		machine_ask_pause(w->machine);
}

static int new_watchdog(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	const char *asked = device_text(a, "action", actions[WATCH_RESET]);
	unsigned action = 0;

	while (action < ARRAY_LEN(actions) && strcmp(actions[action], asked))
		action++;
	if (action == ARRAY_LEN(actions))
		return err_set(e, EINVAL, "i6300esb: action=%s: it is reset, poweroff, nmi, pause or none", asked);
	int r = i6300esb_new(out, machine_pci(m), machine_loop(m), expired, NULL, a->slot, e);
	if (r < 0)
		return r;
	struct watchdog *w = of(*out);
	w->action = action;
	w->opaque = w;
	w->machine = m;
	w->listener = a->listener;
	return 0;
}

static const struct device_param params[] = {
	{ "action", "WHAT", N_("when the guest does not call in time: reset, poweroff, nmi, pause or none"),
	  DEVICE_TEXT, 0, 15 },
	{ NULL },
};

const struct device_class i6300esb_device_class = {
	.pci = true,
	.name = "i6300esb",
	.help = N_("watchdog: acts when the guest does not call in time (Linux: i6300esb)"),
	.params = params,
	.new = new_watchdog,
};
