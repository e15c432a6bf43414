/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm_chips.c - KVM's own I/O APIC, 8259s and PIT (--irqchip kernel): made, reset, and to and from struct board_state.
 *
 * They know a little less than the board's: the kernel's 8259 has no single mode, its PIT starts channel 0's count anew
 * when state is set. A saved VM has the same sections either way.
 */
#include "base/clock.h"
#include "base/log.h"
#include "cpu/board_state.h"
#include "cpu/kvm/kvm.h"

#include <sys/ioctl.h>

#define RTE_LEVEL (1ull << 15)
#define PIT_MODE_NONE 0xff /* no control word yet */
#define SPEAKER_GATE 1     /* port 0x61 */
#define SPEAKER_DATA 2
#ifndef KVM_PIT_FLAGS_SPEAKER_DATA_ON
#define KVM_PIT_FLAGS_SPEAKER_DATA_ON 2 /* Linux 5.19 */
#endif

struct kvm_chips {
	struct kvm_irqchip chip[3]; /* KVM_IRQCHIP_PIC_MASTER, _SLAVE, _IOAPIC */
	struct kvm_pit_state2 pit;
};

static const struct {
	int cap;
	const char *name;
} needed[] = {
	{ KVM_CAP_IRQCHIP, MSG("interrupt controllers of its own") },
	{ KVM_CAP_PIT2, MSG("a PIT of its own") },
	{ KVM_CAP_PIT_STATE2, MSG("the state of its PIT") },
};

int kvm_chips_make(struct kvm_vm *vm, struct err *e)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (ioctl(vm->sys_fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return err_set(e, ENOTSUP, "the KVM of this host lacks %s; use --irqchip split",
				       needed[i].name);
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0ul) < 0)
		return err_sys(e, errno, "KVM cannot make its interrupt controllers");
	if (ioctl(vm->fd, KVM_CREATE_PIT2, &pit) < 0)
		return err_sys(e, errno, "KVM cannot make its PIT");
	return 0;
}

static int get_all(const struct kvm_vm *vm, struct kvm_chips *c)
{
	for (u32 i = 0; i < ARRAY_LEN(c->chip); i++) {
		c->chip[i] = (struct kvm_irqchip){ .chip_id = i };
		if (ioctl(vm->fd, KVM_GET_IRQCHIP, &c->chip[i]) < 0)
			return -errno;
	}
	return ioctl(vm->fd, KVM_GET_PIT2, &c->pit) < 0 ? -errno : 0;
}

static int set_all(const struct kvm_vm *vm, struct kvm_chips *c)
{
	for (u32 i = 0; i < ARRAY_LEN(c->chip); i++)
		if (ioctl(vm->fd, KVM_SET_IRQCHIP, &c->chip[i]) < 0)
			return -errno;
	return ioctl(vm->fd, KVM_SET_PIT2, &c->pit) < 0 ? -errno : 0;
}

/* As the kernel makes them is their power-on state, but for what firmware leaves. */
int kvm_chips_keep_reset(struct kvm_vm *vm, struct err *e)
{
	vm->chips_reset = xcalloc(1, sizeof(*vm->chips_reset));
	int r = get_all(vm, vm->chips_reset);
	if (r == 0) {
		vm->chips_reset->chip[KVM_IRQCHIP_PIC_MASTER].chip.pic.elcr = (u8)BOARD_ELCR;
		vm->chips_reset->chip[KVM_IRQCHIP_PIC_SLAVE].chip.pic.elcr = BOARD_ELCR >> 8;
		r = set_all(vm, vm->chips_reset);
	}
	return r < 0 ? err_sys(e, -r, "KVM does not tell the state of its chips") : 0;
}

void kvm_chips_reset(struct kvm_vm *vm)
{
	if (vm->chips_reset)
		must(set_all(vm, vm->chips_reset) == 0);
}

/* ---- 8259 ---- */

static void pic_from(struct pic_state *s, const struct kvm_pic_state *k)
{
	*s = (struct pic_state){
		.lines = k->last_irr,
		.irr = k->irr,
		.imr = k->imr,
		.isr = k->isr,
		.elcr = k->elcr,
		.base = k->irq_base,
		.lowest = (u8)(k->priority_add + 7) & 7,
		.init = k->init_state ? (u8)(k->init_state + 1) : 0,
		.icw4 = k->init4,
		.auto_eoi = k->auto_eoi,
		.rotate_aeoi = k->rotate_on_auto_eoi,
		.nested = k->special_fully_nested_mode,
		.special_mask = k->special_mask,
		.read_isr = k->read_reg_select,
		.poll = k->poll,
	};
}

static void pic_to(struct kvm_pic_state *k, const struct pic_state *s)
{
	u8 elcr_mask = k->elcr_mask; /* wired, not state */

	*k = (struct kvm_pic_state){
		.last_irr = s->lines,
		.irr = s->irr,
		.imr = s->imr,
		.isr = s->isr,
		.elcr = s->elcr & elcr_mask,
		.elcr_mask = elcr_mask,
		.irq_base = s->base,
		.priority_add = (u8)(s->lowest + 1) & 7,
		.init_state = s->init ? (u8)(s->init - 1) : 0,
		.init4 = s->icw4,
		.auto_eoi = s->auto_eoi,
		.rotate_on_auto_eoi = s->rotate_aeoi,
		.special_fully_nested_mode = s->nested,
		.special_mask = s->special_mask,
		.read_reg_select = s->read_isr,
		.poll = s->poll,
	};
}

/* ---- I/O APIC ---- */

static void ioapic_from(const struct kvm_vm *vm, struct ioapic_state *s, const struct kvm_ioapic_state *k)
{
	*s = (struct ioapic_state){ .select = (u8)k->ioregsel, .id = k->id << 24 & 0x0f000000 };
	for (unsigned i = 0; i < BOARD_IOAPIC_PINS; i++)
		s->rte[i] = k->redirtbl[i].bits & ~(1ull << 12); /* delivery status: never pending here */
	/* Pin 2 has the PIT's wire, which is the kernel's own and a pulse. */
	s->pins = vm->wires & ~5u;
}

static void ioapic_to(struct kvm_ioapic_state *k, const struct ioapic_state *s)
{
	k->ioregsel = s->select;
	k->id = s->id >> 24;
	k->irr = 0;
	for (unsigned i = 0; i < BOARD_IOAPIC_PINS; i++) {
		k->redirtbl[i].bits = s->rte[i];
		/* What is asserted and level-triggered comes again unless the guest is about to finish it. */
		if (s->pins >> i & 1 && s->rte[i] & RTE_LEVEL)
			k->irr |= 1u << i;
	}
}

/* ---- PIT ---- */

/* What of a two-byte transfer is next: 1 low byte only, 2 high byte only, 3 low then high, 4 high of a pair. */
static void channel_from(struct pit_channel_state *s, const struct kvm_pit_channel_state *k, u64 now_ns)
{
	bool set = k->mode != PIT_MODE_NONE;

	*s = (struct pit_channel_state){
		.mode = set ? k->mode % 8 > 5 ? k->mode % 8 - 4 : k->mode % 8 : 0,
		.access = k->rw_mode ? k->rw_mode & 3 : 3,
		.bcd = k->bcd,
		.gate = k->gate,
		.loaded = set && k->count,
		.started = set && k->count,
		.reload = k->count ? MIN(k->count, 0x10000u) : 0x10000,
		.ran_ns = now_ns > (u64)k->count_load_time ? now_ns - (u64)k->count_load_time : 0,
		.write_high = k->write_state == 4,
		.read_high = k->read_state == 4,
		.write_low = k->write_latch,
		.latched = k->count_latched == 3 ? 2
			   : k->count_latched    ? 1
						 : 0,
		.latch = k->latched_count,
		.status_latched = k->status_latched,
		.status = k->status,
	};
	/* Interrupts of periods that are over have been given. */
	s->ticks_out = mul_div(s->ran_ns, 1193182, NSEC_PER_SEC) / s->reload;
}

static void channel_to(struct kvm_pit_channel_state *k, const struct pit_channel_state *s, u64 now_ns)
{
	*k = (struct kvm_pit_channel_state){
		.count = s->loaded ? s->reload : 0,
		.latched_count = s->latch,
		.count_latched = s->latched == 2   ? 3
				 : s->latched == 0 ? 0
				 : s->access == 3  ? 4
						   : s->access,
		.status_latched = s->status_latched,
		.status = s->status,
		.read_state = s->read_high ? 4 : s->access,
		.write_state = s->write_high ? 4 : s->access,
		.write_latch = s->write_low,
		.rw_mode = s->access,
		.mode = s->loaded ? s->mode : PIT_MODE_NONE,
		.bcd = s->bcd,
		.gate = s->gate,
		.count_load_time = (s64)(now_ns > s->ran_ns ? now_ns - s->ran_ns : 0),
	};
}

/* ---- all of it ---- */

void kvm_chips_get(struct kvm_vm *vm, struct board_state *b)
{
	auto_free struct kvm_chips *c = xcalloc(1, sizeof(*c));
	u64 now = clock_mono_ns();

	must(get_all(vm, c) == 0);
	pic_from(&b->pic[0], &c->chip[KVM_IRQCHIP_PIC_MASTER].chip.pic);
	pic_from(&b->pic[1], &c->chip[KVM_IRQCHIP_PIC_SLAVE].chip.pic);
	pthread_mutex_lock(&vm->lock);
	ioapic_from(vm, &b->ioapic, &c->chip[KVM_IRQCHIP_IOAPIC].chip.ioapic);
	pthread_mutex_unlock(&vm->lock);
	for (unsigned i = 0; i < 3; i++)
		channel_from(&b->pit.ch[i], &c->pit.channels[i], now);
	b->pit.speaker = (u8)((c->pit.channels[2].gate ? SPEAKER_GATE : 0) |
			      (c->pit.flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? SPEAKER_DATA : 0));
}

int kvm_chips_set(struct kvm_vm *vm, const struct board_state *b, struct err *e)
{
	auto_free struct kvm_chips *c = xcalloc(1, sizeof(*c));
	u64 now = clock_mono_ns();
	int r = get_all(vm, c);

	if (r < 0)
		return err_sys(e, -r, "KVM does not tell the state of its chips");
	pic_to(&c->chip[KVM_IRQCHIP_PIC_MASTER].chip.pic, &b->pic[0]);
	pic_to(&c->chip[KVM_IRQCHIP_PIC_SLAVE].chip.pic, &b->pic[1]);
	ioapic_to(&c->chip[KVM_IRQCHIP_IOAPIC].chip.ioapic, &b->ioapic);
	for (unsigned i = 0; i < 3; i++)
		channel_to(&c->pit.channels[i], &b->pit.ch[i], now);
	c->pit.flags &= ~(u32)KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	if (b->pit.speaker & SPEAKER_DATA)
		c->pit.flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	r = set_all(vm, c);
	return r < 0 ? err_sys(e, -r, "KVM refuses the state of its chips") : 0;
}
