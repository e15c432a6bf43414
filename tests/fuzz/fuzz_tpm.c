/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_tpm.c - a TPM between a hostile driver and a hostile swtpm.
 *
 * The input is a script of steps of 8 bytes: an access to a register of some locality, or bytes of one of swtpm's two
 * sockets, or the loop's turn. swtpm's answer to the first command, which is waited for, is right; the machine must
 * come to rest afterwards, whatever came.
 */
#include "base/log.h"
#include "base/loop.h"
#include "base/ram.h"
#include "device/class.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "machine/memory.h"

#include <sys/socket.h>

#define STEPS_MAX 2000
#define STEP_BYTES 8

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

extern const struct device_class tpm_tis_device_class;

static struct loop *loop;

static void stop(void *opaque)
{
	loop_stop(loop);
}

static void turn(void)
{
	for (unsigned i = 0; i < 2; i++) {
		loop_post(loop, stop, NULL);
		loop_run(loop);
	}
}

static void step(struct bus *b, const u8 *s, int data, int control)
{
	static const u16 known[] = { 0x00, 0x18, 0x24, 0x24, 0x24, 0x80, 0x18, 0x30 };
	static const u8 values[] = { 0x02, 0x20, 0x40, 0x20, 0x08, 0x02, 0x10, 0x60 };
	u64 at = LAYOUT_TPM + 0x1000ull * (s[1] % 5) + (s[2] & 0x80 ? ld_le16(s + 2) & 0xfff : known[s[2] % 8]);
	u8 sink[256];

	switch (s[0] & 7) {
	case 0:
		turn();
		break;
	case 1:
		(void)!send(data, s + 2, 1 + s[1] % 6, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 2:
		(void)!send(control, s[1] & 1 ? (const u8 *)"\0\0\0\0" : s + 2, 4, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 3:
		while (recv(data, sink, sizeof(sink), MSG_DONTWAIT) > 0 ||
		       recv(control, sink, sizeof(sink), MSG_DONTWAIT) > 0)
			;
		break;
	case 4:
		bus_mmio_read(b, at, 1u << (s[3] & 3));
		break;
	default:
		bus_mmio_write(b, at, 1u << (s[3] & 3), s[4] & 1 ? values[s[5] % 8] : ld_le32(s + 4));
	}
}

int LLVMFuzzerTestOneInput(const u8 *in, size_t size)
{
	static struct ram *ram;
	struct device_args a = { .id = "t", .slot = -1 };
	struct machine *m;
	struct device *dev;
	int d[2], c[2];

	if (!loop) {
		log_level = LOG_LVL_ERROR;
		must(loop_new(&loop, NULL) == 0 && ram_new_with_room(&ram, 2 * MIB, MEMORY_ROOM, NULL) == 0);
	}
	struct machine_config mc = { .ram = ram, .loop = loop, .ncpus = 1 };
	must(machine_new(&m, &mc, NULL) == 0);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, d) == 0);
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, c) == 0);
	a.fd = d[1];
	a.control_fd = c[1];
	must(send(c[0], "\0\0\0\0", 4, 0) == 4);
	must(tpm_tis_device_class.new(&dev, m, &a, NULL) == 0);
	for (size_t i = 0; i + STEP_BYTES <= size && i < STEPS_MAX * STEP_BYTES; i += STEP_BYTES)
		step(machine_bus(m), in + i, d[0], c[0]);
	close(d[0]);
	close(c[0]);
	turn();
	must(machine_quiesce(m));
	machine_reset(m);
	machine_free(m);
	return 0;
}
