/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_options.c - the command line of mica run. */
#include "cli/options.h"
#include "cli/optarg.h"
#include "vmm/engine_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>

static char dir[] = "/tmp/mica-test-options-XXXXXX";

/* Parse words separated by '|', so that a word may have blanks. */
static int parse(struct run_opts *o, const char *line, struct err *e)
{
	char *argv[48] = { xstrdup("run") }, *save = NULL;
	auto_free char *copy = xstrdup(line);
	int argc = 1;

	for (char *w = strtok_r(copy, "|", &save); w; w = strtok_r(NULL, "|", &save))
		argv[argc++] = xstrdup(w);
	run_opts_init(o);
	int r = run_opts_parse(o, argc, argv, e);
	while (argc)
		free(argv[--argc]);
	return r;
}

static void test_all(void **state)
{
	struct run_opts o;
	struct err e = { 0 };
	int r = parse(
	    &o,
	    "--kernel|k|--initrd=i|--append|console=ttyS0 quiet|--module|m one two|--disk|a,,b,readonly=on,"
	    "serial=x|--disk|d,snapshot=on,queues=2,direct=on,format=raw,bus=virtio,id=data|"
	    "--net|user,hostfwd=tcp::2222-:22,mac=02:00:00:00:00:01,model=virtio|--device|virtio-rng,id=dice|"
	    "--cpus|4|--memory|64m|--cpu|host|--engine|soft,translate=exact,heat=7,cache=300K,direct=off|--irqchip|"
	    "kernel|--console|unix:/tmp/c|--serial2|unix:/tmp/s|--virtio-console|pty|--machine|pc|"
	    "--no-reboot|--debug-exit|--name|web|--control|/tmp/ctl|--trace|exc,intr|--stats|--verbose",
	    &e);

	assert_string_equal(e.msg, "");
	assert_int_equal(r, 0);
	assert_string_equal(o.cfg.kernel, "k");
	assert_string_equal(o.cfg.initrd, "i");
	assert_string_equal(o.cfg.irqchip, "kernel");
	assert_string_equal(o.cfg.append, "console=ttyS0 quiet");
	assert_string_equal(o.cfg.modules[0], "m one two");
	assert_int_equal(o.cfg.ndisks, 2);
	assert_string_equal(o.cfg.disks[0].path, "a,b");
	assert_true(o.cfg.disks[0].readonly && !o.cfg.disks[0].snapshot);
	assert_string_equal(o.cfg.disks[0].serial, "x");
	assert_true(o.cfg.disks[1].snapshot && o.cfg.disks[1].direct);
	assert_string_equal(o.cfg.disks[1].id, "data");
	assert_string_equal(o.cfg.disks[1].bus, "virtio");
	assert_int_equal(o.cfg.disks[1].nparams, 1);
	assert_string_equal(o.cfg.disks[1].params[0], "queues=2");
	assert_string_equal(o.cfg.nets[0].hostfwd[0], "tcp::2222-:22");
	assert_string_equal(o.cfg.nets[0].model, "virtio");
	assert_string_equal(o.cfg.devices[0].class, "virtio-rng");
	assert_string_equal(o.cfg.devices[0].id, "dice");
	assert_string_equal(o.cfg.nets[0].mac, "02:00:00:00:00:01");
	assert_int_equal(o.cfg.cpus, 4);
	assert_string_equal(o.cfg.machine, "pc");
	assert_int_equal(o.cfg.memory_bytes, 64 * MIB);
	assert_string_equal(o.cfg.cpu, "host");
	assert_string_equal(o.cfg.engine, "soft");
	assert_int_equal(o.cfg.nengine_options, 4);
	assert_string_equal(o.cfg.engine_options[2], "cache=300K");
	assert_string_equal(o.cfg.engine_options[3], "direct=off");
	assert_int_equal(o.console, CONSOLE_UNIX);
	assert_string_equal(o.cfg.console_path, "/tmp/c");
	assert_int_equal(o.virtio_console, CONSOLE_PTY);
	assert_int_equal(o.serial2, CONSOLE_UNIX);
	assert_string_equal(o.cfg.serial2_path, "/tmp/s");
	assert_true(o.cfg.no_reboot && o.cfg.debug_exit && o.cfg.stats && o.cfg.verbose);
	assert_string_equal(o.cfg.name, "web");
	assert_string_equal(o.cfg.control_path, "/tmp/ctl");
	assert_int_equal(o.cfg.ntrace, 2);
	run_opts_fini(&o);
}

static void test_direct(void **state)
{
	static const struct {
		const char *item;
		enum soft_direct is;
	} ways[] = { { "direct=on", SOFT_DIRECT_ON },
		     { "direct=off", SOFT_DIRECT_OFF },
		     { "direct=always", SOFT_DIRECT_ALWAYS },
		     { "heat=2", SOFT_DIRECT_ON } };

	for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
		char *items[] = { (char *)(uintptr_t)ways[i].item };
		struct soft_options o = { .direct = SOFT_DIRECT_OFF };
		struct err e = { 0 };
		assert_int_equal(engine_options_parse(&o, items, 1, &e), 0);
		assert_int_equal(o.direct, ways[i].is);
	}
	/* Without a translator there is no direct execution; to say so is no error. */
	char *both[] = { (char *)(uintptr_t) "translate=off", (char *)(uintptr_t) "direct=on" };
	struct soft_options o;
	struct err e = { 0 };
	assert_int_equal(engine_options_parse(&o, both, 2, &e), 0);
}

static void test_refused(void **state)
{
	static const struct {
		const char *line, *message;
	} bad[] = {
		{ "--memory|12Q", "--memory: '12Q' is not a size; write 512M or 2G" },
		{ "--memory|-1", "--memory: '-1' is not a size" },
		{ "--memory|", "--memory: needs a value" },
		{ "--memory|99999999999999999999", "--memory: '99999999999999999999' is larger" },
		{ "--memory|99999999T", "--memory: '99999999T' is larger" },
		{ "--memory|512K", "--memory: 512K is too little" },
		{ "--memory|2T", "--memory: 2T is too much" },
		{ "--memory|1019G", "more than this machine has" },
		{ "--memory|1048577", "--memory: 1048577 is not a multiple of 4K" },
		{ "--memory|512MB", "--memory: '512MB' is not a size" },
		{ "--cpus|0", "--cpus: 0 is out of range; write 1 to 64" },
		{ "--cpus|65", "--cpus: 65 is out of range" },
		{ "--cpus|two", "--cpus: 'two' is not a number" },
		{ "--cpus|99999999999999999999", "--cpus: " },
		{ "--engine|hvf", "--engine: 'hvf' is not known" },
		{ "--engine|kvm,translate=off", "--engine: kvm takes nothing after it" },
		{ "--engine|auto,heat=1", "--engine: auto takes nothing after it" },
		{ "--engine|soft,translate=maybe", "--engine: translate=maybe: write translate=on" },
		{ "--engine|soft,heat=0", "--engine: heat=0: write heat=1" },
		{ "--engine|soft,heat=x", "--engine: heat=x: write heat=1" },
		{ "--engine|soft,cache=1K", "--engine: cache=1K: write a size" },
		{ "--engine|soft,cache=20000000000G", "--engine: cache=20000000000G: write a size" },
		{ "--engine|soft,check=1", "--engine: check=1: write check=off" },
		{ "--engine|soft,perfmap=yes", "--engine: perfmap=yes: write perfmap=on" },
		{ "--engine|soft,direct=yes", "--engine: direct=yes: write direct=on, off or always" },
		{ "--engine|soft,direct=", "--engine: direct=: write direct=on" },
		{ "--engine|soft,direct", "--engine: 'direct' is not known; write translate=, direct=" },
		{ "--engine|kvm,direct=off", "--engine: kvm takes nothing after it" },
		{ "--engine|soft,fast", "--engine: 'fast' is not known; write translate=" },
		{ "--engine|soft,translate=off,heat=2", "--engine: translate=off leaves heat=" },
		{ "--cpus|2|--engine|soft,check=on", "--engine: check= compares one CPU only" },
		{ "--irqchip|none", "--irqchip: 'none' is not known; write split or kernel" },
		{ "--kernel|nothere", "--kernel: nothere: cannot read it: No such file" },
		{ "--initrd|nothere", "--initrd: nothere: cannot read it" },
		{ "--module|nothere a b", "--module: nothere: cannot read it" },
		{ "--disk|nothere", "--disk: nothere: cannot use it: No such file" },
		{ "--disk|,readonly=on", "--disk: no file given" },
		{ "--disk|d,readonly=yes", "--disk: readonly=yes: write readonly=on or readonly=off" },
		{ "--disk|d,readonly", "--disk: 'readonly' is not known" },
		{ "--disk|d,cache=none", "--disk: 'cache=none' is not known" },
		{ "--disk|d,format=qcow3", "--disk: format=qcow3 is not known; write one of raw, qcow2, vmdk" },
		{ "--disk|d,backing=all", "--disk: backing=all: write folder or any" },
		{ "--disk|d,serial=012345678901234567890", "--disk: serial=012345678901234567890 is too long" },
		{ "--disk|d,bus=sata", "--disk: bus=sata is not known; there is: virtio" },
		{ "--disk|d,queues=33", "--disk: queues=33: write a number from 1 to 32" },
		{ "--disk|d,cache=none", "serial=, id=, bus=, queues=, legacy=; of a disk on a server also" },
		{ "--disk|d,id=0", "--disk: id=0: write a letter" },
		{ "--net|user,model=rtl", "--net: model=rtl is not known; there is: virtio" },
		{ "--device|tape", "--device: 'tape' is no device that can be added; there is: virtio-rng" },
		{ "--device|virtio-rng,rate=1", "--device: 'rate=1' is not known; virtio-rng takes legacy=on|off" },
		{ "--device|virtio-rng,id=a|--device|virtio-rng,id=a", "two devices are called 'a'" },
		{ "--net|tap", "--net: 'tap' is not known" },
		{ "--net|user,foo=1", "--net: 'foo=1' is not known" },
		{ "--net|none,mac=1", "--net: none takes nothing" },
		{ "--net|none|--net|user", "--net: none and another network exclude" },
		{ "--console|tty", "--console: 'tty' is not known; write stdio" },
		{ "--console|unix:", "--console: 'unix:' is not known" },
		{ "--machine|apple2", "--machine: 'apple2' is not known; write q35, pc or micro" },
		{ "--serial2|stdio", "--serial2: 'stdio' is not known; write pty" },
		{ "--virtio-console|stdio", "--virtio-console: 'stdio' is not known; write pty" },
		{ "--trace|all", "--trace: 'all' is not known" },
		{ "--name|", "--name: needs a value" },
		{ "--frob", "--frob: no such option; see mica run --help" },
		{ "-x", "-x: no such option" },
		{ "--no-reboot=1", "--no-reboot: takes no value" },
		{ "disk.img", "'disk.img': neither an option" },
		{ "--append|x", "belong to a kernel" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct run_opts o;
		struct err e = { 0 };
		int r = parse(&o, bad[i].line, &e);
		run_opts_fini(&o);
		if (r >= 0 || r != -e.code || !strstr(e.msg, bad[i].message))
			fail_msg("%s: %d '%s', not '%s'", bad[i].line, r, e.msg, bad[i].message);
	}
}

static void test_sizes(void **state)
{
	u64 v;

	assert_int_equal(optarg_size(&v, "4096", NULL), 0);
	assert_int_equal(v, 4096);
	assert_int_equal(optarg_size(&v, "3k", NULL), 0);
	assert_int_equal(v, 3072);
	assert_int_equal(optarg_size(&v, "2G", NULL), 0);
	assert_int_equal(v, 2 * GIB);
	assert_int_equal(optarg_size(&v, "16777215T", NULL), 0);
	assert_int_equal(optarg_size(&v, "16777216T", NULL), -ERANGE);
	assert_int_equal(optarg_size(&v, "", NULL), -EINVAL);
	assert_int_equal(optarg_size(&v, " 1", NULL), -EINVAL);
	assert_int_equal(optarg_size(&v, "0x10", NULL), -EINVAL);
}

static void test_split(void **state)
{
	static const struct {
		const char *text, *items[5];
	} cases[] = {
		{ "a", { "a" } },           { "", { "" } },    { "a,b", { "a", "b" } }, { "a,,b", { "a,b" } },
		{ "a,,,b", { "a,", "b" } }, { ",,", { "," } }, { "a,", { "a", "" } },   { ",a", { "", "a" } },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char **v = optarg_split(cases[i].text);
		unsigned n = 0;
		for (; cases[i].items[n]; n++)
			assert_string_equal(v[n], cases[i].items[n]);
		assert_null(v[n]);
		optarg_split_free(v);
	}
}

static int setup(void **state)
{
	static const char *const names[] = { "k", "i", "m", "a,b", "d" };

	if (!mkdtemp(dir) || chdir(dir) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		close(open(names[i], O_CREAT | O_WRONLY, 0600));
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "k", "i", "m", "a,b", "d" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unlink(names[i]);
	return chdir("/") < 0 || rmdir(dir) < 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),   cmocka_unit_test(test_direct), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_sizes), cmocka_unit_test(test_split),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
