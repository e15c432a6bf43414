/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_acpi.c - the ACPI tables: found as a guest finds them, checksums, contents; DSDT through iasl. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

#include "machine/acpi.h"
#include "machine/aml.h"
#include "machine/board_kind.h"
#include "machine/layout.h"
#include "machine/machine.h"

#define NCPUS 3

static struct ram *ram;

static int write_board(enum machine_kind kind, unsigned ncpus, unsigned has, struct err *e)
{
	const struct acpi_board b = {
		.kind = board_kind(kind), .ncpus = ncpus, .has = has, .nslots = kind == MACHINE_MICRO ? 3 : 0
	};

	return acpi_write_tables(ram, &b, e);
}

static int setup(void **unused)
{
	struct err e;

	if (ram_new(&ram, 4 * MIB, &e) < 0)
		return -1;
	return write_board(MACHINE_Q35, NCPUS, 0, &e);
}

/* With all that a machine may have besides. */
static int setup_all(void **unused)
{
	const unsigned all =
	    MACHINE_SCREEN | MACHINE_KEYBOARD | MACHINE_HPET | MACHINE_GENERATION | MACHINE_TPM | MACHINE_SERIAL2;

	return write_board(MACHINE_Q35, NCPUS, all, NULL);
}

static int teardown_all(void **unused)
{
	return write_board(MACHINE_Q35, NCPUS, 0, NULL);
}

static int teardown(void **unused)
{
	ram_free(ram);
	return 0;
}

static u8 *at(gpa_t gpa)
{
	return ram_ptr(ram, gpa, 1);
}

static u8 sum(gpa_t gpa, u32 bytes)
{
	u8 s = 0;

	for (u32 i = 0; i < bytes; i++)
		s = (u8)(s + *at(gpa + i));
	return s;
}

/* Find the RSDP by scanning, as a guest does, and walk one of its roots. */
static gpa_t find_table(const char *sig, bool xsdt)
{
	gpa_t rsdp = 0;

	for (gpa_t g = 0xe0000; g < MIB && !rsdp; g += 16)
		if (memcmp(at(g), "RSD PTR ", 8) == 0)
			rsdp = g;
	assert_int_equal(rsdp, LAYOUT_RSDP);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	gpa_t root = xsdt ? ld_le64(at(rsdp + 24)) : ld_le32(at(rsdp + 16));
	u32 bytes = ld_le32(at(root + 4)), each = xsdt ? 8 : 4;
	assert_memory_equal(at(root), xsdt ? "XSDT" : "RSDT", 4);
	assert_int_equal(sum(root, bytes), 0);
	for (u32 i = 36; i + each <= bytes; i += each) {
		gpa_t t = xsdt ? ld_le64(at(root + i)) : ld_le32(at(root + i));

		if (memcmp(at(t), sig, 4) == 0) {
			assert_int_equal(sum(t, ld_le32(at(t + 4))), 0);
			return t;
		}
	}
	fail_msg("no %s", sig);
	return 0;
}

static void test_roots_agree(void **unused)
{
	const char *const sigs[] = { "FACP", "APIC", "MCFG" };

	for (unsigned i = 0; i < ARRAY_LEN(sigs); i++)
		assert_int_equal(find_table(sigs[i], true), find_table(sigs[i], false));
}

static void test_fadt(void **unused)
{
	gpa_t t = find_table("FACP", true);
	gpa_t facs = ld_le32(at(t + 36)), dsdt = ld_le64(at(t + 140));

	assert_int_equal(ld_le32(at(t + 4)), 268);
	assert_memory_equal(at(facs), "FACS", 4);
	assert_int_equal(facs % 64, 0);
	assert_int_equal(ld_le32(at(t + 40)), dsdt);
	assert_memory_equal(at(dsdt), "DSDT", 4);
	assert_int_equal(sum(dsdt, ld_le32(at(dsdt + 4))), 0);
	assert_int_equal(ld_le16(at(t + 46)), LAYOUT_GSI_SCI);
	assert_int_equal(ld_le32(at(t + 48)), 0); /* always in ACPI mode */
	/* old and new fields say the same */
	assert_int_equal(ld_le32(at(t + 56)), ld_le64(at(t + 152)));
	assert_int_equal(ld_le32(at(t + 64)), ld_le64(at(t + 176)));
	assert_int_equal(ld_le32(at(t + 76)), ld_le64(at(t + 212)));
	assert_int_equal(ld_le32(at(t + 80)), ld_le64(at(t + 224)));
	assert_int_equal(ld_le64(at(t + 120)), 0xcf9);
	assert_int_equal(*at(t + 128), 6);
	u32 flags = ld_le32(at(t + 112));
	assert_true(flags & 1 << 10);   /* the reset register counts */
	assert_false(flags & 1 << 4);   /* there is a fixed power button */
	assert_false(flags & 1u << 20); /* not reduced hardware */
	assert_false(*at(t + 109) & 2); /* no 8042 */
}

static void test_madt(void **unused)
{
	gpa_t t = find_table("APIC", true), end = t + ld_le32(at(t + 4));
	unsigned cpus = 0, ioapics = 0, nmis = 0, pit = 0, level = 0;

	assert_int_equal(ld_le32(at(t + 36)), LAYOUT_LAPIC);
	gpa_t p = t + 44;
	while (p < end) {
		assert_true(*at(p + 1) >= 6 && p + *at(p + 1) <= end);
		switch (*at(p)) {
		case 0:
			assert_int_equal(*at(p + 3), cpus);
			assert_int_equal(ld_le32(at(p + 4)), 1);
			cpus++;
			break;
		case 1:
			assert_int_equal(ld_le32(at(p + 4)), LAYOUT_IOAPIC);
			ioapics++;
			break;
		case 2:
			pit += *at(p + 3) == 0 && ld_le32(at(p + 4)) == 2;
			if (*at(p + 3) == ld_le32(at(p + 4)) && ld_le16(at(p + 8)) == 0xd)
				level |= 1u << *at(p + 3);
			break;
		case 4:
			nmis++;
			break;
		default:
			fail_msg("unexpected entry %u", *at(p));
		}
		p += *at(p + 1);
	}
	assert_int_equal(p, end);
	assert_int_equal(cpus, NCPUS);
	assert_int_equal(ioapics + nmis + pit, 3);
	assert_int_equal(level, 1 << 9 | LAYOUT_PIRQ_IRQS); /* the SCI, and lines that PCI may be steered to */
}

static void test_mcfg(void **unused)
{
	gpa_t t = find_table("MCFG", true);

	assert_int_equal(ld_le32(at(t + 4)), 60);
	assert_int_equal(ld_le64(at(t + 44)), LAYOUT_ECAM);
	assert_int_equal(*at(t + 54), 0);
	assert_int_equal(*at(t + 55), LAYOUT_PCI_LAST_BUS);
}

static void test_limits(void **unused)
{
	struct err e;

	assert_int_equal(write_board(MACHINE_Q35, 0, 0, &e), -EINVAL);
	assert_int_equal(write_board(MACHINE_Q35, 256, 0, &e), -EINVAL);
	assert_int_equal(write_board(MACHINE_Q35, 255, 0, &e), 0);
	assert_int_equal(write_board(MACHINE_Q35, NCPUS, 0, &e), 0);
}

/* PkgLength at each border of its encodings, decoded as the specification says. */
static void test_pkg_length(void **unused)
{
	static const size_t bodies[] = {
		0, 57, 58, 59, 60, 61, 62, 63, 4084, 4085, 4086, 4087, 4088, 4089, 4100, 60000
	};
	static u8 buf[70000], s[65000];

	for (unsigned i = 0; i < ARRAY_LEN(bodies); i++) {
		struct aml a;

		memset(s, 'x', bodies[i]);
		s[bodies[i]] = 0;
		aml_init(&a, buf, sizeof(buf));
		size_t mark = aml_package(&a, 1);
		aml_string(&a, (char *)s);
		aml_end(&a, mark);
		assert_true(aml_ok(&a));
		unsigned more = buf[1] >> 6;
		size_t len = more ? buf[1] & 0xf : buf[1] & 0x3f;
		for (unsigned k = 0; k < more; k++)
			len |= (size_t)buf[2 + k] << (4 + 8 * k);
		assert_int_equal(len, a.len - 1);
		assert_int_equal(buf[2 + more], 1);    /* elements */
		assert_int_equal(buf[3 + more], 0x0d); /* the string */
		assert_int_equal(buf[a.len - 1], 0);
	}
	struct aml a;
	aml_init(&a, buf, 100);
	aml_string(&a, (char *)s);
	assert_false(aml_ok(&a));
}

static char *slurp(const char *path)
{
	char *text = xcalloc(1, 1 << 20);
	auto_fclose FILE *f = fopen(path, "r");

	if (f)
		text[fread(text, 1, (1 << 20) - 1, f)] = 0;
	return text;
}

/* What a part of the board says of itself. */
static void test_parts(void **unused)
{
	const u8 *t = at(find_table("HPET", true));
	gpa_t dsdt = ld_le64(at(find_table("FACP", true) + 140));
	u32 bytes = ld_le32(at(dsdt + 4));

	assert_int_equal(ld_le32(t + 4), 56);
	assert_int_equal(ld_le64(t + 44), LAYOUT_HPET);
	assert_non_null(memmem(at(dsdt), bytes, "VM_Gen_Counter", 15));
	assert_non_null(memmem(at(dsdt), bytes, "_E05", 4));
	t = at(find_table("TPM2", true));
	assert_int_equal(ld_le32(t + 48), 6); /* registers at their place */
	assert_non_null(memmem(at(dsdt), bytes, "MSFT0101", 9));
}

/* Disassemble, compile again: iasl must find no fault and the bytes must be the same. */
/* Its text; the caller's to free. */
static char *disassemble(void)
{
	char dir[] = "/tmp/mica-acpi-XXXXXX", cmd[256], path[64];
	gpa_t dsdt = ld_le64(at(find_table("FACP", true) + 140));
	u32 bytes = ld_le32(at(dsdt + 4));

	if (system("command -v iasl >/dev/null 2>&1") != 0)
		skip(); /* does not return */
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/dsdt.aml", dir);
	{
		auto_fclose FILE *f = fopen(path, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(at(dsdt), 1, bytes, f), bytes);
	}
	snprintf(cmd, sizeof(cmd),
		 "cd %s && iasl -d dsdt.aml >log 2>&1 && iasl -oa -p again -we dsdt.dsl >>log 2>&1 && cmp dsdt.aml "
		 "again.aml -i 36 >>log 2>&1",
		 dir);
	int rc = system(cmd);
	snprintf(path, sizeof(path), "%s/log", dir);
	auto_free char *log = slurp(path);
	snprintf(path, sizeof(path), "%s/dsdt.dsl", dir);
	char *dsl = slurp(path);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	must(system(cmd) == 0);
	if (rc != 0 || strstr(dsl, "Error"))
		fail_msg("iasl is not content:\n%s", log);
	return dsl;
}

static void test_iasl(void **unused)
{
	auto_free char *dsl = disassemble();

	assert_non_null(strstr(dsl, "Name (\\_S5, Package (0x04)"));
	assert_non_null(strstr(dsl, "Device (PCI0)"));
	assert_non_null(strstr(dsl, "EisaId (\"PNP0501\")"));
	/* Interrupts for who uses the 8259s: links, which steer by the LPC bridge's registers. */
	assert_non_null(strstr(dsl, "Method (\\_PIC, 1, Serialized)"));
	assert_non_null(strstr(dsl, "OperationRegion (RTS, PCI_Config, 0x60, 0x0C)"));
	for (char c = 'A'; c <= 'H'; c++) {
		char name[16], reg[16];

		snprintf(name, sizeof(name), "Device (LNK%c)", c);
		snprintf(reg, sizeof(reg), "RT%c,    8,", c);
		assert_non_null(strstr(dsl, name));
		assert_true(strstr(dsl, reg) || c == 'D' || c == 'H');
	}
}

/* The board for old systems: a bus without PCI Express, four wires, steered to lines in any case. */
static void test_pc(void **unused)
{
	const unsigned all = MACHINE_SCREEN | MACHINE_KEYBOARD | MACHINE_HPET | MACHINE_GENERATION | MACHINE_SERIAL2;

	assert_int_equal(write_board(MACHINE_PC, NCPUS, all, NULL), 0);
	auto_free char *dsl = disassemble();
	assert_int_equal(teardown_all(NULL), 0);
	assert_non_null(strstr(dsl, "EisaId (\"PNP0A03\")"));
	assert_null(strstr(dsl, "PNP0A08"));
	assert_null(strstr(dsl, "PNP0C02")); /* who claims the range of MCFG */
	assert_non_null(strstr(dsl, "Device (ISA)"));
	assert_non_null(strstr(dsl, "OperationRegion (RTS, PCI_Config, 0x60, 0x04)"));
	assert_non_null(strstr(dsl, "Device (LNKD)"));
	assert_null(strstr(dsl, "LNKE"));
	assert_null(strstr(dsl, "PRTA"));
	assert_non_null(strstr(dsl, "Device (COM2)"));
}

/* No PCI: devices in slots. */
static void test_micro(void **unused)
{
	assert_int_equal(write_board(MACHINE_MICRO, NCPUS, 0, NULL), 0);
	auto_free char *dsl = disassemble();
	assert_int_equal(teardown_all(NULL), 0);
	assert_null(strstr(dsl, "PCI0"));
	assert_null(strstr(dsl, "LNKA"));
	assert_non_null(strstr(dsl, "EisaId (\"PNP0501\")"));
	char *last = strstr(dsl, "Device (VR02)");
	assert_non_null(last);
	assert_non_null(strstr(last, "\"LNRO0005\""));
	assert_non_null(strstr(last, "0xD0002000,"));
	assert_non_null(strstr(last, "Interrupt (ResourceConsumer, Level, ActiveHigh, Shared"));
	assert_non_null(strstr(last, "0x00000012,"));
	assert_null(strstr(dsl, "VR03"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roots_agree),
		cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_madt),
		cmocka_unit_test(test_mcfg),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_pkg_length),
		cmocka_unit_test(test_iasl),
		cmocka_unit_test(test_pc),
		cmocka_unit_test(test_micro),
		cmocka_unit_test_setup_teardown(test_iasl, setup_all, teardown_all),
		cmocka_unit_test_setup_teardown(test_parts, setup_all, teardown_all),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
