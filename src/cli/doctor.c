/* SPDX-License-Identifier: GPL-2.0-or-later */
/* doctor.c - mica doctor: what this host offers, and what each thing it lacks costs. */
#include "base/base.h"
#include "cli/cmd.h"
#include "cpu/cpu.h"
#include "cpu/probe.h"
#include "base/i18n.h"
#include "vmm/cpu_promise_json.h"
#include "vmm/exit_status.h"

#include <fcntl.h>
#include <jansson.h>
#include <linux/io_uring.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE (1 << 1)
#endif

struct finding {
	bool ok;
	char detail[320];
};

struct check {
	const char *key;
	const char *what;
	void (*look)(struct finding *f);
	const char *cost; /* of its absence */
	int cap;          /* look NULL: a capability of KVM's, looked for where there is a /dev/kvm */
};

static void found(struct finding *f, bool ok, const char *fmt, ...) printf_like(3, 4);
static void found(struct finding *f, bool ok, const char *fmt, ...)
{
	va_list ap;

	f->ok = ok;
	va_start(ap, fmt);
	vsnprintf(f->detail, sizeof(f->detail), fmt, ap);
	va_end(ap);
}

static void refused(struct finding *f, int code)
{
	found(f, false, "%s", strerror(code));
}

/* ---- the checks ---- */

static void look_kvm(struct finding *f)
{
	struct kvm_probe p;

	kvm_probe(&p);
	found(f, p.verdict == KVM_USABLE, "%s", p.why);
}

static int open_kvm(void)
{
	return open("/dev/kvm", O_RDWR | O_CLOEXEC);
}

static void look_cap(struct finding *f, int cap)
{
	auto_close int fd = open_kvm();
	bool has = fd >= 0 && ioctl(fd, KVM_CHECK_EXTENSION, cap) > 0;

	found(f, has, "%s", has ? _("offered") : _("not offered by this host's KVM"));
}

/* KVM says so by the CPUID it supports. */
static void look_steal(struct finding *f)
{
	struct cpu_model_promise p = { 0 };
	struct cpu_model *m;
	struct err e;

	if (cpu_model_new(&m, "host", 1, &e) == 0) {
		if (cpu_engine_limit(CPU_ENGINE_KVM, m, &e) == 0)
			cpu_model_promise(m, &p);
		cpu_model_free(m);
	}
	bool has = p.word[CW_PV_EAX] & 1u << 5;
	found(f, has, "%s", has ? _("offered") : _("not offered by this host's KVM"));
}

static void look_fsgsbase(struct finding *f)
{
	bool ok = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;

	found(f, ok, "%s",
	      ok ? _("programs may use it") : _("the processor or its kernel does not let programs use it"));
}

/* A process may have one, and it counts for its children: container managers use it. */
static void look_listener(struct finding *f)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog p = { 1, &allow };
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		bool ok = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &p) >= 0 &&
			  syscall(SYS_close_range, ~0u, ~0u, 0) == 0;
		_exit(ok ? 0 : errno);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		found(f, false, "%s", strerror(pid < 0 ? errno : EIO));
	else if (WEXITSTATUS(status))
		found(f, false, _("refused (%s): Linux before 5.9, or this container has one already"),
		      strerror(WEXITSTATUS(status)));
	else
		found(f, true, _("a filter with a listener is possible"));
}

static void look_avx(struct finding *f)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f"))
		found(f, true, "AVX-512");
	else if (__builtin_cpu_supports("avx2"))
		found(f, true, "AVX2");
	else
		found(f, false, "%s", __builtin_cpu_supports("avx") ? "AVX" : "SSE");
}

static void look_models(struct finding *f)
{
	static const char *const names[] = { "mica-v2", "mica-v3", "host" };
	size_t at = 0;

	f->ok = true;
	f->detail[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct cpu_model *m;
		struct err e;

		if (cpu_model_new(&m, names[i], 1, &e) < 0) {
			f->ok = false;
			continue;
		}
		cpu_model_free(m);
		at += (size_t)snprintf(f->detail + at, sizeof(f->detail) - at, "%s%s", at ? ", " : "", names[i]);
	}
}

static void look_io_uring(struct finding *f)
{
	struct io_uring_params p = { 0 };
	auto_close int fd = (int)syscall(SYS_io_uring_setup, 2, &p);

	if (fd < 0)
		refused(f, errno);
	else
		found(f, true, _("works"));
}

static void look_userfaultfd(struct finding *f)
{
	auto_close int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		refused(f, errno);
	else
		found(f, true, _("works"));
}

static void look_namespaces(struct finding *f)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) < 0 ? errno : 0);
	if (pid < 0)
		refused(f, errno);
	else if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		found(f, false, _("cannot try"));
	else if (WEXITSTATUS(status))
		refused(f, WEXITSTATUS(status));
	else
		found(f, true, _("work"));
}

static void look_tun(struct finding *f)
{
	auto_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		refused(f, errno);
	else
		found(f, true, _("can be opened"));
}

static void first_line(const char *path, char *buf, size_t bytes)
{
	auto_fclose FILE *f = fopen(path, "re");

	if (!f || !fgets(buf, (int)bytes, f))
		buf[0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
}

/* Guest memory is shared memory (a memfd), so the setting for that is what counts. */
static void look_hugepages(struct finding *f)
{
	char thp[128], pool[32];

	first_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled", thp, sizeof(thp));
	first_line("/proc/sys/vm/nr_hugepages", pool, sizeof(pool));
	char *open = strchr(thp, '['), *shut = open ? strchr(open, ']') : NULL;
	if (shut)
		*shut = '\0';
	const char *mode = shut ? open + 1 : "never";
	found(f, strcmp(mode, "never") && strcmp(mode, "deny"), _("for shared memory: %s; reserved: %s"), mode,
	      pool[0] ? pool : "0");
}

static const struct check checks[] = {
	{ "kvm", "KVM", look_kvm,
	  N_("guests run in the software engine: complete, and several times slower in the kernel") },
	{ "kvm_tsc_scaling", N_("KVM: TSC scaling"), NULL,
	  N_("a VM saved on a host whose TSC has another frequency cannot go on here under KVM"), KVM_CAP_TSC_CONTROL },
	{ "kvm_tsc_deadline", N_("KVM: TSC-deadline timer"), NULL,
	  N_("guests set their timers in a way that costs more"), KVM_CAP_TSC_DEADLINE_TIMER },
	{ "kvm_dirty_ring", N_("KVM: dirty ring"), NULL,
	  N_("what a guest wrote is found by looking through a bitmap of all its memory"), KVM_CAP_DIRTY_LOG_RING },
	{ "kvm_coalesced_pio", N_("KVM: coalesced I/O"), NULL,
	  N_("some more stops of a CPU while a guest sets up its devices"), KVM_CAP_COALESCED_PIO },
	{ "kvm_irqchip", N_("KVM: interrupt chips in the kernel"), NULL, N_("--irqchip kernel is not possible"),
	  KVM_CAP_PIT_STATE2 },
	{ "kvm_ioeventfd", N_("KVM: ioeventfds of any width"), NULL,
	  N_("a device notified by an access of unusual width stops the CPU"), KVM_CAP_IOEVENTFD_ANY_LENGTH },
	{ "kvm_steal_time", N_("KVM: stolen time"), look_steal,
	  N_("guests do not see that the host keeps their CPUs waiting") },
	{ "cpu_models", N_("CPU models"), look_models, N_("guests see fewer instructions; see --cpu") },
	{ "avx", N_("vector units"), look_avx, N_("guests have no AVX2: --cpu mica-v3 is not possible") },
	{ "fsgsbase", "FSGSBASE", look_fsgsbase,
	  N_("the software engine translates code of guest programs that uses these instructions, rather than execute "
	     "it directly") },
	{ "listener", N_("system-call listener"), look_listener,
	  N_("the software engine cannot execute programs of the guest directly: they compute at half the speed or "
	     "less") },
	{ "io_uring", "io_uring", look_io_uring, N_("disks use a pool of threads: more CPU time for each request") },
	{ "userfaultfd", "userfaultfd", look_userfaultfd,
	  N_("nothing yet; a VM cannot go on before its memory has come as a whole") },
	{ "namespaces", N_("user namespaces"), look_namespaces,
	  N_("the sandbox of a VM has no namespaces of its own, only its system-call filter and an empty root") },
	{ "tun", "/dev/net/tun", look_tun, N_("nothing yet; a bridged network is not possible") },
	{ "hugepages", N_("huge pages"), look_hugepages,
	  N_("guest memory is mapped in 4 KiB pages: more misses in the TLB, slower page faults") },
};

/* ---- the command ---- */

/* False: there is nothing to say, as KVM itself is not there. */
static bool look(const struct check *c, struct finding *f)
{
	if (!strncmp(c->key, "kvm_", 4)) {
		auto_close int fd = open_kvm();

		if (fd < 0)
			return false;
	}
	if (c->look)
		c->look(f);
	else
		look_cap(f, c->cap);
	return true;
}

void doctor_help(FILE *f)
{
	fprintf(f, _("Usage: mica doctor [--json]\n\n"
		     "Show what this host offers to virtual machines, and what each thing\n"
		     "it lacks costs. The exit status is 0 whatever is lacking.\n\n"
		     "  --json                  print JSON\n"
		     "  --help                  print this\n"));
}

static int print_json(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		struct finding f = { 0 };

		if (!look(&checks[i], &f))
			continue;
		json_t *o = json_pack("{s:s s:b s:s}", "name", checks[i].key, "ok", f.ok, "detail", f.detail);
		if (!f.ok)
			json_object_set_new(o, "cost", json_string(_(checks[i].cost)));
		json_array_append_new(list, o);
	}
	struct kvm_probe p;
	kvm_probe(&p);
	json_t *all = json_pack("{s:s s:o s:o}", "version", MICA_VERSION, "checks", list, "engines",
				promise_of_host(p.verdict == KVM_USABLE));
	int r = json_dumpf(all, stdout, JSON_INDENT(2));
	json_decref(all);
	putchar('\n');
	return r < 0 || fflush(stdout) ? STATUS_HOST : STATUS_OK;
}

static int print_text(void)
{
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		struct finding f = { 0 };

		if (!look(&checks[i], &f))
			continue;
		printf("%s %s: %s\n", f.ok ? "+" : "-", _(checks[i].what), f.detail);
		if (!f.ok)
			printf("      %s\n", _(checks[i].cost));
	}
	return fflush(stdout) ? STATUS_HOST : STATUS_OK;
}

int cmd_doctor(int argc, char **argv)
{
	bool json = argc == 2 && !strcmp(argv[1], "--json");

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		doctor_help(stdout);
		return STATUS_OK;
	}
	if (argc > 1 && !json) {
		fprintf(stderr, _("mica doctor: '%s': no such option; see mica help doctor\n"), argv[argc - 1]);
		return STATUS_USAGE;
	}
	return json ? print_json() : print_text();
}
