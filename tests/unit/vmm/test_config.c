/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_config.c - a VM's configuration as JSON: there and back, and what is refused. */
#include "vmm/config.h"
#include "vmm/device_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static int load(struct vmm_config *c, const char *text, struct err *e)
{
	json_t *j = json_loads(text, 0, NULL);
	assert_non_null(j);
	int r = vmm_config_from_json(c, j, e);
	json_decref(j);
	return r;
}

/* Every key with a value that is not its default. */
static const char full[] =
    "{\"name\":\"n\",\"engine\":\"soft\",\"engine_options\":[\"translate=exact\",\"heat=9\"],\"machine\":\"pc\","
    "\"irqchip\":\"kernel\","
    "\"cpu\":\"host\",\"cpus\":4,\"memory_bytes\":8589934592,\"kernel\":\"/k\","
    "\"initrd\":\"/i\",\"append\":\"a b\",\"modules\":[\"m 1\",\"m2\"],\"console\":\"unix\",\"console_path\":\"/c\","
    "\"console_fd\":7,\"virtio_console\":\"fd\",\"virtio_console_path\":\"/"
    "v\",\"virtio_console_fd\":8,\"serial2\":\"fd\",\"serial2_fd\":14,\"serial2_path\":\"/t\",\"shares\":[{\"path\":\"/"
    "s\",\"tag\":\"t\",\"readonly\":true}],\"vsock\":\"/"
    "v.sock\",\"vsock_cid\":9,\"tpm\":\"/tmp\",\"screen\":\"vga\",\"vnc\":\"unix:/"
    "s\",\"vnc_password_file\":\"/p\","
    "\"control_fd\":9,\"detached\":true,\"control_path\":\"/"
    "ctl\",\"trace\":[\"exec\"],\"no_reboot\":true,\"debug_exit\":true,"
    "\"firmware\":\"none\","
    "\"restore_fd\":11,\"restore_head_fd\":13,\"restore_disks\":true,"
    "\"stats\":true,\"verbose\":true,"
    "\"disks\":[{\"path\":\"/"
    "d\",\"format\":\"raw\",\"serial\":\"s\",\"readonly\":true,\"snapshot\":true,\"direct\":true,\"cdrom\":false,"
    "\"id\":\"system\",\"bus\":\"virtio\",\"params\":[\"queues=2\"]}],"
    "\"devices\":[{\"class\":\"virtio-rng\",\"id\":\"more\"}],"
    "\"nets\":[{\"type\":\"user\",\"fd\":12,\"mac\":\"02:00:00:00:00:01\",\"hostfwd\":[\"tcp::1-:2\"],"
    "\"id\":\"lan\",\"model\":\"virtio\"}]}";

static void test_round_trip(void **state)
{
	struct vmm_config c;
	struct err e;
	json_t *want = json_loads(full, 0, NULL);

	assert_int_equal(load(&c, full, &e), 0);
	assert_int_equal(c.cpus, 4);
	assert_int_equal(c.memory_bytes, 8 * GIB);
	assert_string_equal(c.modules[1], "m2");
	assert_true(c.disks[0].snapshot);
	assert_string_equal(c.nets[0].hostfwd[0], "tcp::1-:2");
	json_t *got = vmm_config_to_json(&c);
	assert_true(json_equal(want, got));
	json_decref(want);
	json_decref(got);
	vmm_config_fini(&c);
}

static void test_firmware(void **state)
{
	static const char text[] = "{\"firmware\":\"bios\",\"boot\":[\"net\",\"disk\",\"menu=on\"],"
				   "\"fw_cfg\":[\"name=opt/a,string=b,c\"]}";
	struct vmm_config c;
	struct vmm_fw_cfg f;
	struct err e;

	assert_int_equal(load(&c, text, &e), 0);
	assert_int_equal(c.nboot, 3);
	assert_string_equal(c.boot[2], "menu=on");
	json_t *got = vmm_config_to_json(&c);
	assert_string_equal(json_string_value(json_object_get(got, "firmware")), "bios");
	assert_int_equal(json_array_size(json_object_get(got, "boot")), 3);
	json_decref(got);
	assert_int_equal(vmm_fw_cfg_parse(&f, c.fw_cfg[0], &e), 0);
	assert_string_equal(f.name, "opt/a");
	assert_string_equal(f.string, "b,c");
	assert_null(f.file);
	vmm_fw_cfg_fini(&f);
	vmm_config_fini(&c);
}

static void test_defaults(void **state)
{
	struct vmm_config c;

	assert_int_equal(load(&c, "{\"kernel\":\"/k\"}", NULL), 0);
	assert_int_equal(c.cpus, 1);
	assert_int_equal(c.memory_bytes, 512 * MIB);
	assert_string_equal(c.console, "none");
	assert_int_equal(c.control_fd, -1);
	vmm_config_fini(&c);
}

#define DISK(more) "{\"kernel\":\"/k\",\"disks\":[{\"path\":\"/d\"," more "}]}"
#define DEVICE(name) "{\"kernel\":\"/k\",\"devices\":[{\"class\":\"" name "\"}]}"

static void test_refused(void **state)
{
	static const struct {
		const char *text, *message;
	} bad[] = {
		{ "[]", "an object" },
		{ "{\"kernel\":\"/k\",\"kernal\":1}", "kernal: no such key" },
		{ "{\"kernel\":1}", "kernel: not a string" },
		{ "{\"kernel\":\"/k\",\"cpus\":\"1\"}", "cpus: not a whole number" },
		{ "{\"kernel\":\"/k\",\"cpus\":0}", "cpus: 0 is out of range" },
		{ "{\"kernel\":\"/k\",\"cpus\":65}", "cpus: 65 is out of range" },
		{ "{\"kernel\":\"/k\",\"cpus\":-1}", "cpus: not a whole number" },
		{ "{\"kernel\":\"/k\",\"cpus\":4294967297}", "cpus: not a whole number" },
		{ "{\"kernel\":\"/k\",\"memory_bytes\":4096}", "memory: 4096 bytes" },
		{ "{\"kernel\":\"/k\",\"memory_bytes\":1048577}", "memory: 1048577 bytes" },
		{ "{\"kernel\":\"/k\",\"memory_bytes\":9223372036854775807}", "memory: " },
		{ "{\"kernel\":\"/k\",\"engine\":\"hvf\"}", "engine: 'hvf'" },
		{ "{\"kernel\":\"/k\",\"machine\":\"amiga\"}", "machine: 'amiga'" },
		{ "{\"machine\":\"micro\",\"disks\":[{\"path\":\"/d\"}]}", "micro has no firmware" },
		{ "{\"machine\":\"micro\",\"kernel\":\"/k\",\"disks\":[{\"path\":\"/d\",\"bus\":\"nvme\"}]}",
		  "disk: /d: nvme is a PCI device, and --machine micro" },
		{ "{\"machine\":\"micro\",\"kernel\":\"/k\",\"screen\":\"vga\"}", "vga is a PCI device" },
		{ "{\"kernel\":\"/k\",\"engine\":\"soft\",\"engine_options\":[\"heat=0\"]}", "engine: heat=0: write" },
		{ "{\"kernel\":\"/k\",\"engine\":\"kvm\",\"engine_options\":[\"heat=2\"]}",
		  "engine: kvm takes nothing" },
		{ "{\"kernel\":\"/k\",\"cpus\":2,\"engine\":\"soft\",\"engine_options\":[\"check=on\"]}",
		  "one CPU only" },
		{ "{\"kernel\":\"/k\",\"irqchip\":\"x\"}", "irqchip: 'x'" },
		{ "{\"kernel\":\"/k\",\"vsock\":\"/s\",\"vsock_cid\":2}", "vsock: cid=2 is out of range" },
		{ "{\"kernel\":\"/k\",\"shares\":[{\"path\":\"/s\",\"tag\":\"a b\"}]}", "tag=a b: write" },
		{ "{\"kernel\":\"/k\",\"vsock\":\"/s/\"}", "write the path of a socket" },
		{ "{\"kernel\":\"/k\",\"tpm\":\"/a,b\"}", "tpm: /a,b: swtpm takes no folder with a comma" },
		{ "{\"kernel\":\"/k\",\"tpm\":\"/dev/null\"}", "not a folder" },
		{ "{}", "nothing to boot" },
		{ "{\"firmware\":\"none\",\"disks\":[{\"path\":\"/d\"}]}", "nothing to boot" },
		{ "{\"kernel\":\"/k\",\"firmware\":\"bios\"}", "would not be booted" },
		{ "{\"kernel\":\"/k\",\"boot\":[\"disk\"]}", "there is none where a kernel is given" },
		{ "{\"firmware\":\"bios\",\"nvram\":\"/n\"}", "only UEFI keeps variables" },
		{ "{\"firmware\":\"bios\",\"boot\":[\"floppy\"]}", "boot: 'floppy'" },
		{ "{\"firmware\":\"bios\",\"boot\":[\"net\",\"net\"]}", "twice" },
		{ "{\"kernel\":\"k\",\"smbios\":[\"colour=red\"]}", "smbios: 'colour=red' is not known" },
		{ "{\"kernel\":\"k\",\"smbios\":[\"uuid=12\"]}", "smbios: 'uuid=12' is no UUID" },
		{ "{\"kernel\":\"k\",\"smbios\":[\"serial=a\",\"serial=b\"]}", "once is enough" },
		{ "{\"kernel\":\"k\",\"smbios\":[\"serial=\\n\"]}", "all of them of ASCII" },
		{ "{\"firmware\":\"bios\",\"fw_cfg\":[\"name=,file=/x\"]}", "fw-cfg: 'name=" },
		{ "{\"firmware\":\"bios\",\"fw_cfg\":[\"name=a,fil=/x\"]}", "fw-cfg: 'name=a,fil" },
		{ "{\"kernel\":\"/k\",\"disks\":{}}", "disks: not a list" },
		{ "{\"kernel\":\"/k\",\"disks\":[1]}", "disks: : not an object" },
		{ "{\"kernel\":\"/k\",\"disks\":[{}]}", "no file given" },
		{ "{\"kernel\":\"/k\",\"disks\":[{\"path\":\"/d\",\"serial\":\"012345678901234567890\"}]}",
		  "too long" },
		{ "{\"kernel\":\"/k\",\"disks\":[{\"path\":\"/d\",\"readonly\":1}]}", "disks: readonly: not true" },
		{ "{\"kernel\":\"/k\",\"nets\":[{\"type\":\"tap\"}]}", "net: 'tap'" },
		{ "{\"kernel\":\"/k\",\"nets\":[{\"type\":\"fd\"}]}", "net: type fd has the descriptor" },
		{ "{\"kernel\":\"/k\",\"nets\":[{\"type\":\"fd\",\"fd\":2}]}", "net: type fd has the descriptor" },
		{ "{\"kernel\":\"/k\",\"nets\":[{\"type\":\"fd\",\"fd\":9,\"hostfwd\":[\"tcp::1-:2\"]}]}",
		  "no hostfwd" },
		{ "{\"kernel\":\"/k\",\"nets\":[{\"type\":\"user\",\"fd\":12,\"hostfwd\":[1]}]}",
		  "hostfwd: not a list" },
		{ "{\"kernel\":\"/k\",\"nets\":[{\"type\":\"user\",\"fd\":12,\"mac\":\"02:00:00:00:00\"}]}",
		  "is not an address" },
		{ "{\"kernel\":\"/k\",\"nets\":[{\"type\":\"user\",\"fd\":12,\"mac\":\"02:00:00:00:00:0g\"}]}",
		  "is not an address" },
		{ "{\"kernel\":\"/k\",\"nets\":[{\"type\":\"user\",\"fd\":12,\"mac\":\"01:00:00:00:00:00\"}]}",
		  "multicast" },
		{ "{\"kernel\":\"/k\",\"console\":\"fd\"}", "console: no descriptor" },
		{ DISK("\"bus\":\"mfm\""), "disk: /d: bus=mfm is not known; there is: virtio" },
		{ DISK("\"params\":[\"queues=0\"]"), "disk: /d: queues=0: write a number from 1 to 32" },
		{ DISK("\"params\":[\"queues=0x2\"]"), "queues=0x2: write a number" },
		{ DISK("\"params\":[\"queues=99999999999999999999\"]"), "write a number from 1 to 32" },
		{ DISK("\"params\":[\"queues\"]"), "'queues' is not known; virtio-blk takes queues=N" },
		{ DISK("\"params\":[\"cache=none\"]"), "'cache=none' is not known; virtio-blk takes queues=N" },
		{ DISK("\"params\":[\"queues=1\",\"queues=2\"]"), "'queues=1' and 'queues=2': once is enough" },
		{ DISK("\"id\":\"\""), "id=: write a letter" },
		{ DISK("\"id\":\"a/b\""), "id=a/b: write a letter" },
		{ DISK("\"id\":\"serial0\""), "two devices are called 'serial0'" },
		{ "{\"kernel\":\"/k\",\"nets\":[{\"type\":\"user\",\"fd\":12,\"model\":\"e2000\"}]}",
		  "net: model=e2000 is not known" },
		{ "{\"kernel\":\"/k\",\"nets\":[{\"type\":\"user\",\"fd\":12,\"params\":[\"x=1\"]}]}",
		  "virtio-net takes legacy=on|off" },
		{ "{\"kernel\":\"/k\",\"nets\":[{\"type\":\"user\",\"fd\":12,\"id\":\"net1\"},{\"type\":\"user\"}]}",
		  "two devices are called 'net1'" },
		{ "{\"kernel\":\"/k\",\"devices\":[{}]}", "device: '' is no device" },
		{ DEVICE("floppy"), "device: 'floppy' is no device that can be added; there is: virtio-rng" },
		{ DEVICE("virtio-balloon"), "every machine has one virtio-balloon" },
		{ DEVICE("virtio-blk"), "virtio-blk is a disk; write --disk FILE,bus=virtio" },
		{ DEVICE("virtio-net"), "virtio-net is a network card; write --net user,model=virtio" },
		{ DEVICE("uart"), "'uart' is no device that can be added" },
		{ "{\"kernel\":\"/k\",\"console\":\"unix\"}", "console: no socket path" },
		{ "{\"kernel\":\"/k\",\"console\":\"tcp\"}", "console: 'tcp'" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct vmm_config c;
		struct err e = { 0 };
		int r = load(&c, bad[i].text, &e);
		vmm_config_fini(&c);
		if (r != -e.code || r >= 0 || !strstr(e.msg, bad[i].message))
			fail_msg("%s: %d '%s'", bad[i].text, r, e.msg);
	}
}

/* Places never change: a guest numbers by them, and a saved state names them. */
static void test_plan(void **state)
{
	static const char *const want[] = { "serial0 uart",
					    "system virtio-blk",
					    "disk1 virtio-blk",
					    "net0 virtio-net",
					    "console0 virtio-console",
					    "virtio-rng0 virtio-rng",
					    "virtio-balloon0 virtio-balloon",
					    "virtio-rng1 virtio-rng",
					    "dice virtio-rng",
					    "serial1 uart" };
	struct vmm_config c;
	struct vmm_planned *plan;
	struct err e;
	unsigned n;

	assert_int_equal(load(&c,
			      "{\"kernel\":\"/k\",\"disks\":[{\"path\":\"/a\",\"id\":\"system\","
			      "\"params\":[\"queues=3\"]},{\"path\":\"/b\"}],\"nets\":[{\"type\":\"user\"}],"
			      "\"virtio_console\":\"fd\",\"virtio_console_fd\":3,\"serial2\":\"fd\",\"serial2_fd\":4,"
			      "\"devices\":[{\"class\":\"virtio-rng\"},{\"class\":\"virtio-rng\",\"id\":\"dice\"}]}",
			      &e),
			 0);
	assert_int_equal(vmm_device_plan(&plan, &n, &c, &e), 0);
	assert_int_equal(n, ARRAY_LEN(want));
	for (unsigned i = 0; i < n; i++) {
		char got[64];
		snprintf(got, sizeof(got), "%s %s", plan[i].id, plan[i].cls->name);
		assert_string_equal(got, want[i]);
	}
	struct device_args a = { .params = plan[1].params, .nparams = plan[1].nparams };
	assert_int_equal(device_number(&a, "queues", 1), 3);
	assert_int_equal(device_number(&a, "queue", 1), 1);
	free(plan);
	vmm_config_fini(&c);
}

/* Parameters of each kind, of a class that is in no table. */
static void test_params(void **state)
{
	static const struct device_param params[] = { { "loud", "on|off", "", DEVICE_SWITCH },
						      { "word", "TEXT", "", DEVICE_TEXT, .hi = 3 },
						      { "n", "N", "", DEVICE_NUMBER, 2, UINT64_MAX },
						      { NULL } };
	static const struct device_class c = { .name = "horn", .params = params };
	static const char *const good[] = {
		"loud=on", "loud=off", "word=", "word=abc", "n=2", "n=18446744073709551615"
	};
	static const struct {
		const char *item, *message;
	} bad[] = {
		{ "loud=yes", "loud=yes: write loud=on or loud=off" },
		{ "word=abcd", "word=abcd is too long; at most 3 bytes" },
		{ "n=1", "n=1: write a number from 2 to 18446744073709551615" },
		{ "n=-3", "n=-3: write a number" },
		{ "n= 3", "n= 3: write a number" },
		{ "n=3k", "n=3k: write a number" },
		{ "n=18446744073709551616", "write a number" },
		{ "m=1", "'m=1' is not known; horn takes loud=on|off, word=TEXT, n=N" },
		{ "lou=on", "'lou=on' is not known" },
		{ "", "'' is not known" },
	};
	struct device_args a = { .params = good, .nparams = 4 };
	struct err e;

	for (unsigned i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(vmm_param_check(&c, good[i], &e), 0);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(vmm_param_check(&c, bad[i].item, &e), -EINVAL);
		if (!strstr(e.msg, bad[i].message))
			fail_msg("%s: %s", bad[i].item, e.msg);
	}
	assert_true(device_switch(&a, "loud", false));
	assert_true(device_switch(&a, "soft", true));
	assert_string_equal(device_text(&a, "word", "x"), "");
	assert_string_equal(device_text(&a, "wor", "x"), "x");
	assert_int_equal(device_number(&a, "n", 9), 9);
}

static void test_not_utf8(void **state)
{
	struct vmm_config c;

	vmm_config_init(&c);
	c.kernel = xstrdup("/caf\xe9");
	assert_null(vmm_config_to_json(&c));
	vmm_config_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_firmware), cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_refused),    cmocka_unit_test(test_plan),     cmocka_unit_test(test_params),
		cmocka_unit_test(test_not_utf8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
