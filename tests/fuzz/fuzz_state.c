/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_state.c - saved states that are hostile. Every byte of such a file is covered by checksums, which a fuzzer
 * never gets right but which an attacker does: so, by the first byte, either the input is a file as it is, or it is
 * cut into payloads that are framed properly and loaded as sections in the order of a real file.
 *
 * Whatever it says: loading ends with 0, or with an error that says something, and the board, the vCPU and the
 * devices can be used afterwards.
 */
#include "base/ram_state.h"
#include "base/log.h"
#include "base/state.h"
#include "cpu/state.h"
#include "device/chr.h"
#include "device/uart.h"
#include "device/virtio/virtio_devices.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "machine/pci.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define RAM_BYTES (2 * MIB)

static struct ram *ram;
static struct loop *loop;
static struct cpu_model *model;
static struct machine *machine;
static struct cpu_vm *cpus;
static struct uart *uart;
static struct chr *chr;

static void prepare(void)
{
	static const u8 mac[6] = { 2, 0, 0, 0, 0, 1 };
	struct virtio_dev *d;
	struct err e;
	int sv[2];

	log_level = LOG_LVL_ERROR;
	must(ram_new(&ram, RAM_BYTES, &e) == 0 && loop_new(&loop, &e) == 0);
	must(cpu_model_new(&model, "mica-v2", 1, &e) == 0);
	struct machine_config mc = { .ram = ram, .loop = loop, .ncpus = 1 };
	must(machine_new(&machine, &mc, &e) == 0);
	must(cpu_vm_new(&cpus, CPU_ENGINE_SOFT, machine_cpu_bus(machine), ram, model, 1, &e) == 0);
	machine_attach_cpus(machine, cpus);
	must(uart_new(&uart, machine_bus(machine), LAYOUT_UART1, machine_irq(machine, LAYOUT_GSI_UART1), NULL) == 0);
	machine_add_device(machine, uart_device(uart, 0));
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == 0);
	must(virtio_net_new(&d, ram, loop, sv[0], mac, &e) == 0 &&
	     virtio_pci_add(machine_pci(machine), d, -1, NULL, &e) == 0);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	must(chr_new(&chr, loop, -1, null, &e) == 0);
	must(virtio_console_new(&d, ram, loop, chr, &e) == 0 &&
	     virtio_pci_add(machine_pci(machine), d, -1, NULL, &e) == 0);
	must(virtio_rng_new(&d, ram, loop, &e) == 0 && virtio_pci_add(machine_pci(machine), d, -1, NULL, &e) == 0);
	must(virtio_balloon_new(&d, ram, loop, &e) == 0 && virtio_pci_add(machine_pci(machine), d, -1, NULL, &e) == 0);
	must(pci_bus_assign(machine_pci(machine)) == 0);
}

static int everything(struct state_file *s, struct err *e)
{
	static struct cpu_state c __attribute__((aligned(64)));
	struct cpu_model_promise p = { 0 };
	int r = cpu_promise_section(s, &p, e);

	cpu_model_promise(model, &p);
	if (r == 0)
		r = machine_board_section(s, MACHINE_Q35, e);
	if (!state_loading(s))
		cpu_get_state(cpu_vm_cpu(cpus, 0), &c);
	if (r == 0 && state_loading(s))
		r = ram_load(ram, s, e);
	if (r == 0)
		r = cpu_state_section(s, 0, &c, e);
	if (r == 0 && state_loading(s) && !(c.xcr0 & ~cpu_model_xcr0(model)))
		r = cpu_set_state(cpu_vm_cpu(cpus, 0), &c, e);
	must(machine_quiesce(machine));
	if (r == 0)
		r = machine_state(machine, s, e);
	return r < 0 ? r : state_finish(s, e);
}

/*
 * The names and instances of a real file of this machine, taken from one. Its payloads are where an input begins: each
 * is given to the fuzzer's bytes to change.
 */
static struct {
	char name[STATE_NAME_MAX + 1];
	u32 instance, version;
	u8 *bytes;
	size_t n;
} real[64];
static unsigned nreal;

static void learn(void)
{
	u8 h[48];
	struct state_file *s;
	struct err e;
	u64 nonzero;
	int fd = memfd_create("real", MFD_CLOEXEC);

	ram->host[5000] = 1;
	must(state_save_new(&s, fd, &e) == 0);
	struct cpu_model_promise p = { 0 };
	static struct cpu_state c __attribute__((aligned(64)));
	must(cpu_promise_section(s, &p, &e) == 0 && machine_board_section(s, MACHINE_Q35, &e) == 0 &&
	     ram_save(ram, s, &nonzero, &e) == 0);
	cpu_get_state(cpu_vm_cpu(cpus, 0), &c);
	must(cpu_state_section(s, 0, &c, &e) == 0 && machine_quiesce(machine) && machine_state(machine, s, &e) == 0);
	must(state_finish(s, &e) == 0);
	state_free(s);
	lseek(fd, 32, SEEK_SET);
	while (read(fd, h, sizeof(h)) == sizeof(h)) {
		must(nreal < ARRAY_LEN(real));
		memcpy(real[nreal].name, h, sizeof(real[nreal].name));
		real[nreal].instance = ld_le32(h + 16);
		real[nreal].version = ld_le32(h + 20);
		real[nreal].n = ld_le32(h + 24);
		real[nreal].bytes = xcalloc(1, real[nreal].n + 1);
		must(read(fd, real[nreal].bytes, real[nreal].n) == (ssize_t)real[nreal].n);
		nreal++;
	}
	close(fd);
}

/*
 * The rest of the input is edits of 5 bytes: section, offset (2 bytes), value, kind. They change bytes of a payload, or
 * its length, or where sections are: doubled, left out, behind the next one, of another version, with flags, and with
 * optional ones in front of them.
 */
enum {
	CUT = 0xff,
	TWICE = 0xfe,
	DROP = 0xfd,
	LATER = 0xfc,
	FLAGS = 0xfb,
	VERSION = 0xfa,
	STRANGERS = 0xf9,
	OTHER = 0xf8
};

struct place {
	struct state_kind kind;
	u32 instance;
	unsigned times;
	bool later;
	u8 strangers;
	u8 bytes[1 << 16];
	size_t n;
};

static void edit(struct place *p, const u8 *e)
{
	size_t at = ld_le16(e + 1) % (p->n + 1);

	switch (e[4]) {
	case CUT:
		p->n = at;
		break;
	case TWICE:
		p->times = 1 + e[3] % 4;
		break;
	case DROP:
		p->times = 0;
		break;
	case LATER:
		p->later = true;
		break;
	case FLAGS:
		p->kind.flags = e[3] & 0x80 ? (u32)ld_le16(e + 1) << 16 : e[3];
		break;
	case VERSION:
		p->kind.version = 1 + e[3] % 4;
		break;
	case STRANGERS:
		p->strangers = e[3];
		break;
	case OTHER:
		p->instance = e[3];
		break;
	default:
		if (at < p->n)
			p->bytes[at] = e[3];
	}
}

static void put(struct state_file *s, const struct place *p)
{
	for (unsigned i = 0; i < p->strangers; i++) {
		static const u8 zeros[4096];
		const struct state_kind stranger = { "stranger", 1, STATE_OPTIONAL };
		must(state_section_of(s, &stranger, p->instance * 256 + i, NULL) == 0);
		state_bytes(s, (void *)(uintptr_t)zeros, sizeof(zeros));
		must(state_end(s, NULL) == 0);
	}
	for (unsigned i = 0; i < p->times; i++) {
		must(state_section_of(s, &p->kind, p->instance, NULL) == 0);
		state_bytes(s, (void *)(uintptr_t)p->bytes, p->n);
		must(state_end(s, NULL) == 0);
	}
}

static void framed(int fd, const u8 *data, size_t size)
{
	static struct place place[2];
	struct place *late = NULL;
	struct state_file *s;

	must(state_save_new(&s, fd, NULL) == 0);
	for (unsigned i = 0; i + 1 < nreal; i++) {
		struct place *p = &place[late == &place[0]];

		p->kind = (struct state_kind){ real[i].name, real[i].version };
		p->instance = real[i].instance;
		p->times = 1;
		p->later = false;
		p->strangers = 0;
		p->n = MIN(real[i].n, sizeof(p->bytes));
		memcpy(p->bytes, real[i].bytes, p->n);
		for (size_t k = 0; k + 5 <= size; k += 5)
			if (data[k] % nreal == i)
				edit(p, data + k);
		if (p->later && !late) {
			late = p;
			continue;
		}
		put(s, p);
		if (late)
			put(s, late);
		late = NULL;
	}
	if (late)
		put(s, late);
	must(state_finish(s, NULL) == 0);
	state_free(s);
}

/* What a guest and a person would do next. */
static void use(void)
{
	const struct cpu_bus *cb = machine_cpu_bus(machine);
	u64 v;

	machine_resume(machine);
	for (unsigned port = 0x20; port < 0x400; port++)
		if (port < 0x60 || port > 0x64)
			cb->pio_read(cb->opaque, 0, (u16)port, 1);
	cb->pio_read(cb->opaque, 0, LAYOUT_ACPI_PM, 4);
	for (unsigned off = 0; off < 0x400; off += 0x10)
		cb->mmio_read(cb->opaque, 0, LAYOUT_LAPIC + off, 4);
	cb->msr_read(cb->opaque, 0, 0x6e0, &v);
	for (unsigned i = 0; i < 20; i++)
		cb->intr_ack(cb->opaque, 0);
	cb->mmio_write(cb->opaque, 0, LAYOUT_LAPIC + 0xb0, 4, 0);
	cb->park(cb->opaque, 0);
	cb->unpark(cb->opaque, 0);
	machine_power_button(machine);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct state_file *s;
	struct err e = { 0 };

	if (!ram) {
		prepare();
		learn();
	}
	if (!size)
		return 0;
	int fd = memfd_create("state", MFD_CLOEXEC);
	must(fd >= 0);
	if (data[0] & 1)
		framed(fd, data + 1, size - 1);
	else
		must(write(fd, data + 1, size - 1) == (ssize_t)(size - 1));
	lseek(fd, 0, SEEK_SET);
	int r = state_load_new(&s, fd, &e);
	if (r == 0) {
		r = everything(s, &e);
		state_free(s);
	}
	must(r == 0 || (r < 0 && e.code == -r && e.msg[0]));
	use();
	/* As after power-on, for the next input; memory as it was. */
	machine_reset(machine);
	cpu_reset(cpu_vm_cpu(cpus, 0));
	must(pci_bus_assign(machine_pci(machine)) == 0);
	ram_discard(ram, 0, RAM_BYTES);
	close(fd);
	return 0;
}
