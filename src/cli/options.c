/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.c - see options.h. */
#include "cli/options.h"
#include "cli/optarg.h"
#include "cli/options_int.h"
#include "cpu/cpu.h"
#include "device/class.h"
#include "vmm/boot_order.h"
#include "vmm/engine_options.h"
#include "vmm/identity.h"
#include "base/i18n.h"
#include "vnc/vnc.h"

#include <getopt.h>

struct opt {
	const char *name;
	const char *arg; /* NULL: takes none; not translated, it is syntax */
	int (*set)(struct run_opts *o, const char *arg, struct err *e);
	size_t flag; /* set == NULL: offset of a bool in struct vmm_config to make true */
	const char *help;
};

void options_put(char **where, const char *s)
{
	free(*where);
	*where = xstrdup(s);
}

/* ---- one function per option with a value ---- */

static int set_engine(struct run_opts *o, const char *arg, struct err *e)
{
	char **v = optarg_split(arg);
	struct vmm_config *c = &o->cfg;
	struct soft_options so;
	unsigned n = 0;
	int r = 0;

	while (v[n + 1])
		n++;
	if (strcmp(v[0], "auto") && strcmp(v[0], "kvm") && strcmp(v[0], "soft"))
		r = err_set(e, EINVAL, "'%s' is not known; write auto, kvm or soft", v[0]);
	if (r == 0 && (r = engine_options_allowed(v[0], n, e)) == 0)
		r = engine_options_parse(&so, v + 1, n, e);
	if (r == 0) {
		options_put(&c->engine, v[0]);
		while (c->nengine_options) /* given twice: the last counts */
			free(c->engine_options[--c->nengine_options]);
		for (unsigned i = 0; i < n; i++)
			vmm_strv_add(&c->engine_options, &c->nengine_options, v[1 + i]);
	}
	optarg_split_free(v);
	return r;
}

static int set_machine(struct run_opts *o, const char *arg, struct err *e)
{
	options_put(&o->cfg.machine, arg);
	return vmm_machine_parse(NULL, arg, e);
}

static int set_irqchip(struct run_opts *o, const char *arg, struct err *e)
{
	if (strcmp(arg, "split") && strcmp(arg, "kernel"))
		return err_set(e, EINVAL, "'%s' is not known; write split or kernel", arg);
	options_put(&o->cfg.irqchip, arg);
	return 0;
}

static int set_cpus(struct run_opts *o, const char *arg, struct err *e)
{
	return optarg_uint(&o->cfg.cpus, arg, 1, CPU_MAX, e);
}

/* The host's memory and swap together. */
static u64 host_memory(void)
{
	auto_fclose FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	unsigned long long kib;
	u64 sum = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemTotal: %llu", &kib) == 1 || sscanf(line, "SwapTotal: %llu", &kib) == 1)
			sum += kib * KIB;
	return sum;
}

static int set_memory(struct run_opts *o, const char *arg, struct err *e)
{
	u64 bytes, host = host_memory();
	int r = optarg_size(&bytes, arg, e);

	if (r < 0)
		return r;
	if (bytes < VMM_MEMORY_MIN)
		return err_set(e, ERANGE, "%s is too little; a guest needs at least 1M", arg);
	if (bytes > VMM_MEMORY_MAX)
		return err_set(e, ERANGE, "%s is too much; at most %lluG", arg, VMM_MEMORY_MAX / GIB);
	if (host && bytes > host)
		return err_set(e, ERANGE, "%s is more than this machine has (%llu MiB of memory and swap)", arg,
			       (unsigned long long)(host / MIB));
	if (bytes % PAGE_BYTES)
		return err_set(e, EINVAL, "%s is not a multiple of 4K", arg);
	o->cfg.memory_bytes = bytes;
	return 0;
}

static int set_cpu(struct run_opts *o, const char *arg, struct err *e)
{
	/* cpu_model_new() knows them and their features; whether this host can be one is found out by the VMM. */
	size_t n = strcspn(arg, ",");
	auto_free char *base = xasprintf("%.*s", (int)n, arg);

	if (strcmp(base, "mica-v2") && strcmp(base, "mica-v3") && strcmp(base, "host"))
		return err_set(e, EINVAL, "'%s' is no CPU model; write mica-v2, mica-v3 or host", base);
	options_put(&o->cfg.cpu, arg);
	return 0;
}

static int set_file(char **where, const char *arg, struct err *e)
{
	if (access(arg, R_OK) < 0)
		return err_sys(e, errno, "%s: cannot read it", arg);
	options_put(where, arg);
	return 0;
}

static int set_kernel(struct run_opts *o, const char *arg, struct err *e)
{
	return set_file(&o->cfg.kernel, arg, e);
}

static int set_initrd(struct run_opts *o, const char *arg, struct err *e)
{
	return set_file(&o->cfg.initrd, arg, e);
}

static int set_append(struct run_opts *o, const char *arg, struct err *e)
{
	(void)e;
	options_put(&o->cfg.append, arg);
	return 0;
}

static int set_firmware(struct run_opts *o, const char *arg, struct err *e)
{
	if (!vmm_firmware_is_word(arg))
		return set_file(&o->cfg.firmware, arg, e);
	options_put(&o->cfg.firmware, arg);
	return 0;
}

static int set_nvram(struct run_opts *o, const char *arg, struct err *e)
{
	if (!*arg)
		return err_set(e, EINVAL, "no path given");
	options_put(&o->cfg.nvram, arg);
	return 0;
}

static int set_boot(struct run_opts *o, const char *arg, struct err *e)
{
	char **v = optarg_split(arg);

	while (o->cfg.nboot) /* given twice: the last counts */
		free(o->cfg.boot[--o->cfg.nboot]);
	for (unsigned i = 0; v[i]; i++)
		vmm_strv_add(&o->cfg.boot, &o->cfg.nboot, v[i]);
	optarg_split_free(v);
	return boot_order_check(o->cfg.boot, o->cfg.nboot, e);
}

static int set_smbios(struct run_opts *o, const char *arg, struct err *e)
{
	char **v = optarg_split(arg);

	while (o->cfg.nsmbios) /* given twice: the last counts */
		free(o->cfg.smbios[--o->cfg.nsmbios]);
	for (unsigned i = 0; v[i]; i++)
		vmm_strv_add(&o->cfg.smbios, &o->cfg.nsmbios, v[i]);
	optarg_split_free(v);
	return identity_parse(NULL, o->cfg.smbios, o->cfg.nsmbios, e);
}

static int set_fw_cfg(struct run_opts *o, const char *arg, struct err *e)
{
	struct vmm_fw_cfg item;
	int r = vmm_fw_cfg_parse(&item, arg, e);

	if (r == 0 && item.file && access(item.file, R_OK) < 0)
		r = err_sys(e, errno, "%s: cannot read it", item.file);
	vmm_fw_cfg_fini(&item);
	if (r == 0)
		vmm_strv_add(&o->cfg.fw_cfg, &o->cfg.nfw_cfg, arg);
	return r;
}

static int set_module(struct run_opts *o, const char *arg, struct err *e)
{
	auto_free char *file = xstrdup(arg);

	file[strcspn(file, " ")] = '\0';
	if (access(file, R_OK) < 0)
		return err_sys(e, errno, "%s: cannot read it", file);
	vmm_strv_add(&o->cfg.modules, &o->cfg.nmodules, arg);
	return 0;
}

static int set_chardev(enum run_console *kind, char **path, const char *arg, bool wide, struct err *e)
{
	if (!strcmp(arg, "pty")) {
		*kind = CONSOLE_PTY;
	} else if (!strncmp(arg, "unix:", 5) && arg[5]) {
		*kind = CONSOLE_UNIX;
		options_put(path, arg + 5);
	} else if (wide && !strcmp(arg, "stdio")) {
		*kind = CONSOLE_STDIO;
	} else if (!strcmp(arg, "none")) {
		*kind = CONSOLE_NONE;
	} else {
		return err_set(e, EINVAL,
			       wide ? N_("'%s' is not known; write stdio, pty, unix:PATH or none")
				    : N_("'%s' is not known; write pty, unix:PATH or none"),
			       arg);
	}
	return 0;
}

static int set_console(struct run_opts *o, const char *arg, struct err *e)
{
	return set_chardev(&o->console, &o->cfg.console_path, arg, true, e);
}

static int set_serial2(struct run_opts *o, const char *arg, struct err *e)
{
	return set_chardev(&o->serial2, &o->cfg.serial2_path, arg, false, e);
}

static int set_virtio_console(struct run_opts *o, const char *arg, struct err *e)
{
	return set_chardev(&o->virtio_console, &o->cfg.virtio_console_path, arg, false, e);
}

static int set_screen(struct vmm_config *c, const char *name, struct err *e)
{
	if (!device_class_of(DEVICE_DISPLAY, name))
		return err_set(e, EINVAL,
			       "'%s' is not known; write none, vga, virtio, vnc=unix:PATH or vnc=ADDRESS:PORT", name);
	options_put(&c->screen, name);
	return 0;
}

static int set_vnc_part(struct vmm_config *c, const char *part, struct err *e)
{
	const char *password = optarg_key(part, "password-file"), *cert = optarg_key(part, "tls-cert");
	const char *key = optarg_key(part, "tls-key"), *screen = optarg_key(part, "screen");

	if (password)
		return set_file(&c->vnc_password_file, password, e);
	if (cert)
		return set_file(&c->vnc_tls_cert, cert, e);
	if (key)
		return set_file(&c->vnc_tls_key, key, e);
	if (screen)
		return set_screen(c, screen, e);
	return err_set(e, EINVAL,
		       "'%s' is not known; write screen=vga or screen=virtio, password-file=FILE, tls-cert=FILE or "
		       "tls-key=FILE",
		       part);
}

static int set_vnc(struct vmm_config *c, const char *where, char **v, struct err *e)
{
	int r = 0;

	options_put(&c->screen, "vga");
	for (; *v && r == 0; v++)
		r = set_vnc_part(c, *v, e);
	if (r == 0 && c->vnc_tls_key && !c->vnc_tls_cert)
		r = err_set(e, EINVAL, "tls-key=%s: write tls-cert=FILE as well, the certificate it belongs to",
			    c->vnc_tls_key);
	if (r == 0)
		r = vnc_check(where, c->vnc_password_file != NULL, e);
	if (r == 0)
		options_put(&c->vnc, where);
	return r;
}

static int set_display(struct run_opts *o, const char *arg, struct err *e)
{
	char **v = optarg_split(arg);
	const char *where = optarg_key(v[0], "vnc");
	int r = 0;

	if (where)
		r = set_vnc(&o->cfg, where, v + 1, e);
	else if (!strcmp(arg, "none"))
		options_put(&o->cfg.screen, arg);
	else
		r = set_screen(&o->cfg, arg, e);
	optarg_split_free(v);
	return r;
}

static int set_name(struct run_opts *o, const char *arg, struct err *e)
{
	if (!*arg || strlen(arg) > 63)
		return err_set(e, EINVAL, "'%s': a name has 1 to 63 bytes", arg);
	options_put(&o->cfg.name, arg);
	return 0;
}

static int set_control(struct run_opts *o, const char *arg, struct err *e)
{
	if (!*arg)
		return err_set(e, EINVAL, "no path given");
	options_put(&o->cfg.control_path, arg);
	return 0;
}

static int set_restore(struct run_opts *o, const char *arg, struct err *e)
{
	char **v = optarg_split(arg);
	int r = 0;

	if (strncmp(v[0], "fd:", 3))
		r = set_file(&o->restore, v[0], e);
	else
		options_put(&o->restore, v[0]);
	for (unsigned i = 1; v[i] && r == 0; i++) {
		const char *on = optarg_key(v[i], "trust");
		r = on ? optarg_switch(&o->restore_trust, "trust", on, e)
		       : err_set(e, EINVAL, "'%s' is not known; write trust=on", v[i]);
	}
	optarg_split_free(v);
	return r;
}

static int set_trace(struct run_opts *o, const char *arg, struct err *e)
{
	static const char *const known[] = { "exec", "exc", "intr", "block" };
	char **v = optarg_split(arg);
	int r = 0;

	for (unsigned i = 0; r == 0 && v[i]; i++) {
		unsigned k = 0;
		while (k < ARRAY_LEN(known) && strcmp(known[k], v[i]))
			k++;
		if (k == ARRAY_LEN(known))
			r = err_set(e, EINVAL, "'%s' is not known; write exec, exc, intr or block", v[i]);
		else
			vmm_strv_add(&o->cfg.trace, &o->cfg.ntrace, v[i]);
	}
	optarg_split_free(v);
	return r;
}

static int set_help(struct run_opts *o, const char *arg, struct err *e)
{
	(void)arg, (void)e;
	o->help = true;
	return 0;
}

/* ---- the table ---- */

#define CFG(m) offsetof(struct vmm_config, m)

static const struct opt table[] = {
	{ "kernel", "FILE", set_kernel, 0, N_("boot this kernel: bzImage, ELF with a PVH note, Multiboot") },
	{ "initrd", "FILE", set_initrd, 0, N_("initial RAM disk for the kernel") },
	{ "append", "STRING", set_append, 0, N_("kernel command line") },
	{ "module", "\"FILE ARGS\"", set_module, 0, N_("Multiboot module with its arguments; repeatable") },
	{ "firmware", "auto|bios|uefi|none|FILE", set_firmware, 0,
	  N_("what boots: bios (SeaBIOS), uefi (OVMF), none for a kernel, a ROM image, or what the disks ask for; "
	     "default auto") },
	{ "nvram", "FILE", set_nvram, 0,
	  N_("where UEFI keeps its variables; made if it is not there; default beside the first disk") },
	{ "boot", "KIND[,KIND]...[,menu=on]", set_boot, 0,
	  N_("what firmware tries first: disk, cdrom, net, in this order; menu=on: it asks; default disk,cdrom,net") },
	{ "fw-cfg", "name=NAME,file=FILE|string=TEXT", set_fw_cfg, 0,
	  N_("a file for firmware and guest to read by fw_cfg; repeatable") },
	{ "smbios", "KEY=VALUE[,KEY=VALUE]...", set_smbios, 0,
	  N_("what SMBIOS says of the VM: manufacturer, product, version, serial, sku, family, uuid") },
	{ "disk", "FILE|vhost-user=SOCKET[,KEY=VALUE]...", options_set_disk, 0,
	  N_("disk image: format=raw|qcow2|vmdk|... (default: as it looks), backing=any (files that it names may lie "
	     "anywhere), readonly=on, snapshot=on (writes are lost at the end), direct=on, serial=TEXT, id=NAME, "
	     "bus=BUS; vhost-user: a disk that another process serves there; repeatable") },
	{ "cdrom", "FILE|none[,KEY=VALUE]...", options_set_cdrom, 0,
	  N_("CD-ROM with this medium, or an empty drive: id=NAME, bus=BUS; repeatable") },
	{ "net", "user|vhost-user=SOCKET[,KEY=VALUE]...|none", options_set_net, 0,
	  N_("network card behind NAT: hostfwd=tcp:ADDR:PORT-:PORT, tftp=FOLDER, bootfile=NAME, mac=ADDRESS, id=NAME, "
	     "model=MODEL; vhost-user: a network that another process serves there: queues=N, mac=ADDRESS, id=NAME; "
	     "repeatable; default none") },
	{ "device", "NAME[,KEY=VALUE]...", options_set_device, 0,
	  N_("another device: id=NAME and what it takes, see below; repeatable") },
	{ "share", "DIR,tag=NAME[,ro=on]", options_set_share, 0,
	  N_("a folder of this host for the guest, which mounts it by its tag: mount -t virtiofs NAME /mnt; ro=on: to "
	     "read "
	     "only; repeatable") },
	{ "vsock", "path=SOCKET[,cid=N]", options_set_vsock, 0,
	  N_("sockets between guest and host (AF_VSOCK): \"CONNECT PORT\" written to SOCKET leads to a port of the "
	     "guest, "
	     "port N of the host is SOCKET_N; cid: the guest's address, default 3") },
	{ "machine", "q35|pc|micro", set_machine, 0,
	  N_("the board: q35 (Intel Q35, ICH9), pc (Intel 440FX, PIIX3, for old systems), micro (no PCI, for a "
	     "kernel); default q35") },
	{ "tpm", "FOLDER", options_set_tpm, 0,
	  N_("TPM 2.0 by swtpm, which keeps its state in this folder; made if it is not there") },
	{ "cpus", "N", set_cpus, 0, N_("number of CPUs, 1 to 64; default 1") },
	{ "memory", "SIZE", set_memory, 0, N_("memory, as 512M or 2G; default 512M") },
	{ "cpu", "MODEL[,-FEATURE]...", set_cpu, 0,
	  N_("CPU model: mica-v2, mica-v3 or host; features to leave out; default mica-v2") },
	{ "engine", "auto|kvm|soft[,KEY=VALUE]...", set_engine, 0,
	  N_("what executes the guest's instructions; default auto. To look into soft: translate=on|off|exact, "
	     "direct=on|off|always, heat=N, cache=SIZE, check=on|all|report, perfmap=on") },
	{ "irqchip", "split|kernel", set_irqchip, 0,
	  N_("under KVM: who has the interrupt chips besides the CPUs' own; default split, the VM's process") },
	{ "console", "stdio|pty|unix:PATH|none", set_console, 0, N_("where the serial port goes; default stdio") },
	{ "serial2", "pty|unix:PATH|none", set_serial2, 0,
	  N_("where a second serial port, ttyS1 or COM2, goes; default none, and there is none") },
	{ "virtio-console", "pty|unix:PATH|none", set_virtio_console, 0,
	  N_("a second, faster console (hvc0); default none") },
	{ "display", "none|vga|virtio|vnc=WHERE", set_display, 0,
	  N_("a screen with keyboard and mouse: vga, or virtio for guests with a driver (mica screenshot looks at it); "
	     "vnc=unix:PATH or vnc=ADDRESS:PORT for VNC clients, with screen=virtio, password-file=FILE, and for TLS "
	     "tls-cert=FILE and tls-key=FILE; default none") },
	{ "no-reboot", NULL, NULL, CFG(no_reboot), N_("end when the guest resets the machine, status 3 or 4") },
	{ "debug-exit", NULL, NULL, CFG(debug_exit), N_("port 0xf4 ends the VM with status (value << 1) | 1") },
	{ "name", "NAME", set_name, 0, N_("name of the VM; default vm") },
	{ "restore", "FILE[,trust=on]", set_restore, 0,
	  N_("go on from a state that mica save wrote, with its machine; trust=on: with the files and networks that "
	     "it names, else all of them are to be named here") },
	{ "control", "PATH", set_control, 0, N_("listen for control commands on this unix socket") },
	{ "trace", "WHAT[,WHAT]...", set_trace, 0,
	  N_("write to standard error what the CPUs do: exec, exc, intr, block") },
	{ "stats", NULL, NULL, CFG(stats), N_("print counters to standard error at the end") },
	{ "verbose", NULL, NULL, CFG(verbose), N_("say what is chosen and why") },
	{ "help", NULL, set_help, 0, N_("print this help and end") },
};

const char *run_opts_name(unsigned i)
{
	return i < ARRAY_LEN(table) ? table[i].name : NULL;
}

_Static_assert(ARRAY_LEN(table) <= 64, "run_opts.given has a bit for each");

bool run_opts_given(const struct run_opts *o, const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(table); i++)
		if (!strcmp(table[i].name, name))
			return o->given >> i & 1;
	must(!"an option's name");
}

void run_opts_init(struct run_opts *o)
{
	memset(o, 0, sizeof(*o));
	vmm_config_init(&o->cfg);
	o->console = CONSOLE_STDIO;
	o->serial2 = o->virtio_console = CONSOLE_NONE;
}

void run_opts_fini(struct run_opts *o)
{
	vmm_config_fini(&o->cfg);
	free(o->restore);
}

/* The same as --disk; but who mistyped an option or forgot its dashes is told so. */
static int set_positional(struct run_opts *o, const char *arg, struct err *e)
{
	auto_free char *file = xstrdup(arg);

	file[strcspn(file, ",")] = '\0';
	if (access(file, F_OK) < 0)
		return err_set(e, EINVAL,
			       "'%s': neither an option nor a disk that is there; a kernel is given with --kernel FILE",
			       arg);
	return options_set_disk(o, arg, e);
}

int run_opts_parse(struct run_opts *o, int argc, char **argv, struct err *e)
{
	struct option longs[ARRAY_LEN(table) + 1] = { { 0 } };
	int c, r;

	for (unsigned i = 0; i < ARRAY_LEN(table); i++)
		longs[i] = (struct option){ table[i].name, table[i].arg ? required_argument : no_argument, NULL,
					    (int)i + 256 };
	optind = 0; /* start afresh (getopt(3), GNU) */
	opterr = 0;
	for (;;) {
		c = getopt_long(argc, argv, "+:h", longs, NULL);
		if (c == -1 && optind < argc) { /* not an option: a disk */
			r = set_positional(o, argv[optind++], e);
			if (r < 0)
				return r;
			continue;
		}
		if (c == -1)
			break;
		const char *shown = argv[optind - 1];
		if (c == 'h') {
			o->help = true;
			continue;
		}
		if (c == ':')
			return err_set(e, EINVAL, "%s: needs a value; see mica run --help", shown);
		if (c == '?') {
			if (optopt >= 256)
				return err_set(e, EINVAL, "--%s: takes no value", table[optopt - 256].name);
			if (optopt)
				return err_set(e, EINVAL, "-%c: no such option; see mica run --help", optopt);
			return err_set(e, EINVAL, "%s: no such option; see mica run --help", shown);
		}
		const struct opt *t = &table[c - 256];
		o->given |= 1ull << (c - 256);
		if (!t->set) {
			*(bool *)((char *)&o->cfg + t->flag) = true;
			continue;
		}
		r = t->set(o, optarg, e);
		if (r < 0)
			return err_prefix(e, "--%s", t->name);
	}
	if (o->help)
		return 0;
	if ((r = options_check_devices(o, e)) < 0)
		return r;
	struct soft_options so;
	if (engine_options_parse(&so, o->cfg.engine_options, o->cfg.nengine_options, e) == 0 && so.check &&
	    o->cfg.cpus > 1)
		return err_set(e, EINVAL, "--engine: check= compares one CPU only; write --cpus 1");
	if (!o->cfg.kernel && !o->restore && (o->cfg.initrd || o->cfg.append || o->cfg.nmodules))
		return err_set(e, EINVAL,
			       "--initrd, --append and --module belong to a kernel; give it with --kernel FILE");
	return 0;
}

/* ---- help ---- */

#define HELP_COL 26
#define HELP_WIDTH 78

/* Print text from column HELP_COL on, wrapped; Korean letters are two columns wide, close enough to their bytes. */
static void wrap(FILE *f, const char *text)
{
	int col = HELP_COL;

	while (*text) {
		size_t n = strcspn(text, " ");
		if (col > HELP_COL && col + 1 + (int)n > HELP_WIDTH) {
			fprintf(f, "\n%*s", HELP_COL, "");
			col = HELP_COL;
		} else if (col > HELP_COL) {
			fputc(' ', f);
			col++;
		}
		fprintf(f, "%.*s", (int)n, text);
		col += (int)n;
		text += n;
		text += strspn(text, " ");
	}
	fputc('\n', f);
}

void options_help_line(FILE *f, const char *what, const char *text)
{
	int n = fprintf(f, "  %s", what);

	if (n > HELP_COL - 2)
		fprintf(f, "\n%*s", HELP_COL, "");
	else
		fprintf(f, "%*s", HELP_COL - n, "");
	wrap(f, text);
}

void run_opts_help(FILE *f)
{
	fprintf(f, _("Usage: mica run [DISK]... [OPTION]...\n"
		     "Run a virtual machine here, with its serial console on this terminal.\n\n"));
	for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
		auto_free char *what =
		    xasprintf("--%s%s%s", table[i].name, table[i].arg ? " " : "", table[i].arg ? table[i].arg : "");
		options_help_line(f, what, _(table[i].help));
	}
	options_help_devices(f);
	fprintf(f, _("\nAt the console: Ctrl-a x quits, Ctrl-a h helps.\n"
		     "Exit status: 0 the guest powered off, 1 the VM or the host failed, 2 usage,\n"
		     "3 reset and 4 triple fault under --no-reboot, 5 the CPU engine failed,\n"
		     "130 quit by you, 128+N ended by signal N. More in mica-run(1).\n"));
}
