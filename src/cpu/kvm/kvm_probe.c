/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm_probe.c - see cpu/probe.h.
 *
 * Theory of operation: the guest is one loop of five instructions with a store and a load, ended by an OUT that hands
 * the next count to run to RDI. A first short round warms everything (page tables, caches); longer rounds
 * are timed until the verdict is clear: hardware takes about one cycle an instruction, a processor that is itself
 * emulated some tens, a KVM that emulates kernel mode thousands.
 */
#include "base/clock.h"
#include "cpu/probe.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define LIMIT_MS 400 /* of a processor's time */
#define WAIT_MS 4000 /* for the processor as well */
#define CODE 0x8000u
#define DATA 0x9000u
#define MEM_BYTES 0x10000u
#define LOOP_INSNS 5
#define SLOW_PER_100 10000u      /* a hundred cycles an instruction: not usable */
#define HOPELESS_PER_100 100000u /* no need to look longer */

static const struct {
	int cap;
	const char *name;
} needed[] = {
	{ KVM_CAP_USER_MEMORY, "user memory slots" },
	{ KVM_CAP_READONLY_MEM, "read-only memory slots (Linux 3.7)" },
	{ KVM_CAP_SPLIT_IRQCHIP, "a split interrupt controller (Linux 4.4)" },
	{ KVM_CAP_SIGNAL_MSI, "message-signalled interrupts" },
	{ KVM_CAP_IRQ_ROUTING, "interrupt routing" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate exits (Linux 4.11)" },
	{ KVM_CAP_EXT_CPUID, "extended CPUID" },
	{ KVM_CAP_XSAVE, "XSAVE state" },
	{ KVM_CAP_VCPU_EVENTS, "event state" },
	{ KVM_CAP_DEBUGREGS, "debug registers" },
	{ KVM_CAP_MP_STATE, "run states" },
	{ KVM_CAP_GET_TSC_KHZ, "the TSC's frequency" },
};

int kvm_check_caps(int fd, struct err *e)
{
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);

	if (version != KVM_API_VERSION)
		return err_set(e, ENOTSUP, "/dev/kvm speaks version %d of its interface, not %d", version,
			       KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (ioctl(fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return err_set(e, ENOTSUP, "the KVM of this host lacks %s", needed[i].name);
	return 0;
}

/* ---- in the child ---- */

static const u8 code[] = {
	/* next: */
	0x48, 0x89, 0x06,       /* mov [rsi], rax */
	0x48, 0x03, 0x46, 0x08, /* add rax, [rsi + 8] */
	0x48, 0x83, 0xc0, 0x03, /* add rax, 3 */
	0x48, 0xff, 0xcf,       /* dec rdi */
	0x75, 0xf0,             /* jnz next */
	0x31, 0xc0,             /* xor eax, eax */
	0x0f, 0xa2,             /* cpuid */
	0xe6, 0x10,             /* out 0x10, al */
	0xeb, 0xe8,             /* jmp next */
};

struct guest {
	int fd, vcpu;
	struct kvm_run *run;
	u8 *mem;
};

static int fail(struct err *e, const char *what)
{
	return err_sys(e, errno, "the KVM of this host does not run a 64-bit guest (%s)", what);
}

static struct kvm_segment flat(u16 sel, u8 type, bool is_code)
{
	return (struct kvm_segment){ .limit = UINT32_MAX,
				     .selector = sel,
				     .type = type,
				     .present = 1,
				     .db = !is_code,
				     .s = 1,
				     .l = is_code,
				     .g = 1 };
}

static int enter_long_mode(struct guest *g, struct err *e)
{
	struct kvm_sregs s;

	if (ioctl(g->vcpu, KVM_GET_SREGS, &s) < 0)
		return fail(e, "KVM_GET_SREGS");
	/* Identity map of the first 2 MiB: PML4 at 0x1000, PDPT at 0x2000, PD at 0x3000. */
	st_le64(g->mem + 0x1000, 0x2003);
	st_le64(g->mem + 0x2000, 0x3003);
	st_le64(g->mem + 0x3000, 0x83);
	s.cs = flat(8, 11, true);
	s.ds = s.es = s.ss = s.fs = s.gs = flat(16, 3, false);
	s.cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
	s.cr3 = 0x1000;
	s.cr4 = 0x20;   /* PAE */
	s.efer = 0x500; /* LME LMA */
	if (ioctl(g->vcpu, KVM_SET_SREGS, &s) < 0)
		return fail(e, "KVM_SET_SREGS");
	return 0;
}

static int set_cpuid(struct guest *g, int sys, struct err *e)
{
	struct kvm_cpuid2 *c = xcalloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));

	c->nent = 256;
	int r =
	    ioctl(sys, KVM_GET_SUPPORTED_CPUID, c) < 0 || ioctl(g->vcpu, KVM_SET_CPUID2, c) < 0 ? fail(e, "CPUID") : 0;
	free(c);
	return r;
}

static int make_guest(struct guest *g, int sys, struct err *e)
{
	struct kvm_userspace_memory_region m = { .memory_size = MEM_BYTES };
	u64 identity = 0xfffbc000;

	g->fd = ioctl(sys, KVM_CREATE_VM, 0ul);
	if (g->fd < 0)
		return fail(e, "KVM_CREATE_VM");
	/* VT-x without unrestricted guests wants them; others do not mind. */
	ioctl(g->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	ioctl(g->fd, KVM_SET_TSS_ADDR, 0xfffbd000ul);
	g->mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g->mem == MAP_FAILED)
		return fail(e, "mmap");
	m.userspace_addr = (u64)(uintptr_t)g->mem;
	if (ioctl(g->fd, KVM_SET_USER_MEMORY_REGION, &m) < 0)
		return fail(e, "KVM_SET_USER_MEMORY_REGION");
	memcpy(g->mem + CODE, code, sizeof(code));
	g->vcpu = ioctl(g->fd, KVM_CREATE_VCPU, 0ul);
	if (g->vcpu < 0)
		return fail(e, "KVM_CREATE_VCPU");
	g->run =
	    mmap(NULL, (size_t)ioctl(sys, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	if (g->run == MAP_FAILED)
		return fail(e, "mmap");
	int r = set_cpuid(g, sys, e);
	return r < 0 ? r : enter_long_mode(g, e);
}

/* Cycles per hundred instructions of `loops` turns; 0: it failed. */
static u64 round_of(struct guest *g, u64 loops, struct err *e)
{
	struct kvm_regs r = { .rip = CODE, .rsi = DATA, .rdi = loops, .rflags = 2 };

	if (ioctl(g->vcpu, KVM_SET_REGS, &r) < 0) {
		fail(e, "KVM_SET_REGS");
		return 0;
	}
	u64 t = clock_tsc();
	if (ioctl(g->vcpu, KVM_RUN, 0) < 0) {
		fail(e, "KVM_RUN");
		return 0;
	}
	t = clock_tsc() - t;
	if (g->run->exit_reason != KVM_EXIT_IO || g->run->io.port != 0x10 ||
	    ld_le64(g->mem + DATA) != 3 * (loops - 1)) {
		err_set(e, EIO, "the KVM of this host does not run a 64-bit guest: it stopped for reason %u",
			g->run->exit_reason);
		return 0;
	}
	return MAX(t * 100 / (loops * LOOP_INSNS), 1);
}

static void child(struct kvm_probe *p, int sys)
{
	static const u64 rounds[] = { 200, 200, 2000, 10000 };
	struct guest g = { 0 };
	struct err e = { 0 };

	p->verdict = KVM_LACKING;
	if (kvm_check_caps(sys, &e) == 0 && make_guest(&g, sys, &e) == 0) {
		for (size_t i = 0; i < ARRAY_LEN(rounds); i++) {
			u64 n = round_of(&g, rounds[i], &e);
			if (!n)
				break;
			if (i == 0)
				continue;
			p->cycles_per_100 = n;
			p->verdict = n < SLOW_PER_100 ? KVM_USABLE : KVM_EMULATED;
			if (n < SLOW_PER_100 || (i > 1 && n > HOPELESS_PER_100))
				break;
		}
	}
	if (e.msg[0]) {
		p->verdict = KVM_LACKING;
		snprintf(p->why, sizeof(p->why), "%.250s", e.msg);
	}
}

/* ---- in the caller ---- */

static void reap(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void say_why(struct kvm_probe *p)
{
	u64 n = p->cycles_per_100;

	if (p->verdict == KVM_USABLE)
		snprintf(p->why, sizeof(p->why), "it ran a 64-bit guest at %llu.%02llu cycles an instruction",
			 (unsigned long long)n / 100, (unsigned long long)n % 100);
	else if (p->verdict == KVM_EMULATED)
		snprintf(p->why, sizeof(p->why),
			 "it emulates kernel code: %llu cycles an instruction, where hardware takes about one",
			 (unsigned long long)n / 100);
}

static u64 clock_ns(clockid_t clock)
{
	struct timespec t = { 0 };

	clock_gettime(clock, &t);
	return (u64)t.tv_sec * NSEC_PER_SEC + (u64)t.tv_nsec;
}

/* Does the child say something while it uses LIMIT_MS of a processor? That it had to wait for one, as on a busy host,
 * says nothing about KVM. */
static bool answers(int fd, pid_t pid)
{
	u64 end = clock_mono_ns() + WAIT_MS * 1000000ull;
	struct pollfd pf = { .fd = fd, .events = POLLIN };
	clockid_t used;

	if (pid < 0 || clock_getcpuclockid(pid, &used))
		return false;
	do {
		if (poll(&pf, 1, 20) == 1)
			return true;
	} while (clock_ns(used) < LIMIT_MS * 1000000ull && clock_mono_ns() < end);
	return false;
}

void kvm_probe(struct kvm_probe *p)
{
	int fds[2];

	*p = (struct kvm_probe){ .verdict = KVM_ABSENT };
	auto_close int sys = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (sys < 0) {
		int errnum = errno;
		snprintf(p->why, sizeof(p->why), "cannot open /dev/kvm: %s%s", strerror(errnum),
			 errnum == EACCES   ? " (is this user in the group kvm?)"
			 : errnum == ENOENT ? " (no KVM module is loaded, or the processor's virtualization is off)"
					    : "");
		return;
	}
	if (pipe2(fds, O_CLOEXEC) < 0) {
		snprintf(p->why, sizeof(p->why), "cannot try it: %s", strerror(errno));
		return;
	}
	pid_t pid = fork();
	if (pid == 0) {
		struct kvm_probe out = { 0 };
		alarm(2 * WAIT_MS / 1000); /* should the parent be gone */
		child(&out, sys);
		ssize_t n = write(fds[1], &out, sizeof(out));
		_exit(n != sizeof(out));
	}
	close(fds[1]);
	struct kvm_probe got;
	if (answers(fds[0], pid) && read(fds[0], &got, sizeof(got)) == sizeof(got)) {
		*p = got;
		say_why(p);
	} else {
		p->verdict = KVM_EMULATED;
		snprintf(p->why, sizeof(p->why),
			 "it did not get through a few thousand instructions in %d ms of a processor's time", LIMIT_MS);
	}
	close(fds[0]);
	if (pid > 0)
		reap(pid);
}
