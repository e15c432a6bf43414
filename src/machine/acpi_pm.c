/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * acpi_pm.c - ACPI fixed hardware.
 *
 * Theory of operation: status bits are set by events and cleared by writing ones; SCI is a level, up
 * while any status bit has its enable bit on. There is no SMI: SCI_EN is always one, and FADT names no
 * SMI_CMD. The PM timer is computed from the clock; its carry (TMR_STS, every toggle of the top bit) is
 * found by comparing two looks, and has a timer of the event loop only while TMR_EN is on.
 */
#include "machine/acpi_pm.h"

#include "base/clock.h"
#include "base/state.h"
#include "machine/layout.h"

#include <pthread.h>

#define PM1_STS 0x00
#define PM1_EN 0x02
#define PM1_CNT 0x04
#define PM_TMR 0x08
#define GPE0_STS 0x20
#define GPE0_EN 0x24
#define PM_BYTES 0x28

#define STS_TIMER (1u << 0)
#define STS_POWER_BUTTON (1u << 8)
#define STS_WRITABLE 0x8731u /* timer, bus master, global, power and sleep button, RTC, wake */
#define EN_WRITABLE 0x0721u
#define CNT_SCI_EN (1u << 0)
#define CNT_SLP_EN (1u << 13)
#define CNT_SLP_TYP(v) (((v) >> 10) & 7)
#define CNT_KEPT 0x1c06u

struct acpi_pm {
	pthread_mutex_t lock;
	struct acpi_pm_config cfg;
	struct bus *bus;
	struct io_region region;
	struct loop_timer timer;
	u64 start_ns;
	u64 carries; /* toggles of the timer's top bit that were seen */
	u16 sts, en, cnt;
	u32 gpe_sts, gpe_en;
};

static u64 ticks(const struct acpi_pm *a)
{
	return mul_div(a->cfg.now_ns() - a->start_ns, ACPI_PM_HZ, NSEC_PER_SEC);
}

static unsigned top_bit(const struct acpi_pm *a)
{
	return a->cfg.timer_32bit ? 31 : 23;
}

static void sci_update(struct acpi_pm *a)
{
	irq_set(&a->cfg.sci, (a->sts & a->en & EN_WRITABLE) || (a->gpe_sts & a->gpe_en));
}

/* Notice a carry of the timer, and see that the next one is noticed if anybody cares. */
static void timer_update(struct acpi_pm *a)
{
	u64 carries = ticks(a) >> top_bit(a);

	if (carries != a->carries) {
		a->carries = carries;
		a->sts |= STS_TIMER;
	}
	if (a->cfg.loop) {
		u64 at = UINT64_MAX;

		if ((a->en & STS_TIMER) && !(a->sts & STS_TIMER))
			at = a->start_ns + mul_div((carries + 1) << top_bit(a), NSEC_PER_SEC, ACPI_PM_HZ) + 1;
		loop_timer_arm(&a->timer, at);
	}
}

static void timer_fired(void *opaque)
{
	struct acpi_pm *a = opaque;

	pthread_mutex_lock(&a->lock);
	timer_update(a);
	sci_update(a);
	pthread_mutex_unlock(&a->lock);
}

/* The register block as bytes: every access width works on it. */
static void to_bytes(struct acpi_pm *a, u8 b[PM_BYTES])
{
	memset(b, 0, PM_BYTES);
	st_le16(b + PM1_STS, a->sts);
	st_le16(b + PM1_EN, a->en);
	st_le16(b + PM1_CNT, a->cnt | CNT_SCI_EN);
	st_le32(b + PM_TMR, (u32)(ticks(a) & ((2ull << top_bit(a)) - 1)));
	st_le32(b + GPE0_STS, a->gpe_sts);
	st_le32(b + GPE0_EN, a->gpe_en);
}

static u64 pm_read(void *dev, u64 off, unsigned bytes)
{
	struct acpi_pm *a = dev;
	u8 b[PM_BYTES + 8] = { 0 };

	pthread_mutex_lock(&a->lock);
	if (off == PM_TMR && bytes == 4) { /* the one that is polled */
		u32 v = (u32)(ticks(a) & ((2ull << top_bit(a)) - 1));

		pthread_mutex_unlock(&a->lock);
		return v;
	}
	timer_update(a);
	to_bytes(a, b);
	pthread_mutex_unlock(&a->lock);
	return ld_le64(b + off);
}

static void pm_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct acpi_pm *a = dev;
	u8 b[PM_BYTES];
	bool off_now = false;

	pthread_mutex_lock(&a->lock);
	timer_update(a);
	/* Status: ones clear, so bytes not written are zeros. The rest: bytes not written stay. */
	to_bytes(a, b);
	memset(b + PM1_STS, 0, 2);
	memset(b + GPE0_STS, 0, 4);
	for (unsigned i = 0; i < bytes && off + i < PM_BYTES; i++)
		b[off + i] = (u8)(val >> (8 * i));
	a->sts &= (u16) ~(ld_le16(b + PM1_STS) & STS_WRITABLE);
	a->en = ld_le16(b + PM1_EN) & EN_WRITABLE;
	u16 cnt = ld_le16(b + PM1_CNT);
	a->cnt = cnt & CNT_KEPT;
	off_now = (cnt & CNT_SLP_EN) && CNT_SLP_TYP(cnt) == LAYOUT_SLP_TYP_S5;
	a->gpe_sts &= ~ld_le32(b + GPE0_STS);
	a->gpe_en = ld_le32(b + GPE0_EN);
	timer_update(a);
	sci_update(a);
	pthread_mutex_unlock(&a->lock);
	if (off_now && a->cfg.poweroff)
		a->cfg.poweroff(a->cfg.opaque);
}

static const struct io_ops ops = { .read = pm_read, .write = pm_write };

void acpi_pm_power_button(struct acpi_pm *a)
{
	pthread_mutex_lock(&a->lock);
	a->sts |= STS_POWER_BUTTON;
	sci_update(a);
	pthread_mutex_unlock(&a->lock);
}

void acpi_pm_gpe(struct acpi_pm *a, unsigned n)
{
	must(n < 32);
	pthread_mutex_lock(&a->lock);
	a->gpe_sts |= 1u << n;
	sci_update(a);
	pthread_mutex_unlock(&a->lock);
}

void acpi_pm_reset(struct acpi_pm *a)
{
	pthread_mutex_lock(&a->lock);
	a->start_ns = a->cfg.now_ns();
	a->carries = 0;
	a->sts = a->en = a->cnt = 0;
	a->gpe_sts = a->gpe_en = 0;
	timer_update(a);
	sci_update(a);
	pthread_mutex_unlock(&a->lock);
}

void acpi_pm_state(struct acpi_pm *a, struct state_file *s)
{
	pthread_mutex_lock(&a->lock);
	timer_update(a);
	u64 now = a->cfg.now_ns(), ran_ns = now - a->start_ns;
	state_u64(s, &ran_ns);
	state_u64(s, &a->carries);
	state_u16(s, &a->sts);
	state_u16(s, &a->en);
	state_u16(s, &a->cnt);
	state_u32(s, &a->gpe_sts);
	state_u32(s, &a->gpe_en);
	if (state_loading(s)) {
		a->start_ns = now - ran_ns;
		a->sts &= STS_WRITABLE;
		a->en &= EN_WRITABLE;
		a->cnt &= CNT_KEPT;
		timer_update(a);
		sci_update(a);
	}
	pthread_mutex_unlock(&a->lock);
}

int acpi_pm_new(struct acpi_pm **out, struct bus *bus, const struct acpi_pm_config *cfg)
{
	struct acpi_pm *a = xcalloc(1, sizeof(*a));

	pthread_mutex_init(&a->lock, NULL);
	a->cfg = *cfg;
	a->bus = bus;
	if (cfg->loop)
		loop_timer_init(cfg->loop, &a->timer, timer_fired, a);
	a->region = (struct io_region){ .ops = &ops, .dev = a, .name = "acpi-pm" };
	acpi_pm_reset(a);
	int rc = bus_map_pio(bus, &a->region, LAYOUT_ACPI_PM, PM_BYTES);
	if (rc < 0) {
		acpi_pm_free(a);
		return rc;
	}
	*out = a;
	return 0;
}

void acpi_pm_free(struct acpi_pm *a)
{
	if (!a)
		return;
	bus_unmap_pio(a->bus, &a->region);
	if (a->cfg.loop)
		loop_timer_fini(&a->timer);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
