/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main.c - mica-vmm: the process of one VM.
 *
 * The order is the security of it: read the configuration; open and build everything; give up every
 * privilege; start the vCPU threads, parked; lock the system-call filter; only then let the guest run.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "vmm/config.h"
#include "vmm/control.h"
#include "vmm/firmware.h"
#include "vmm/identity.h"
#include "base/i18n.h"
#include "vmm/listen.h"
#include "vmm/net_backends.h"
#include "vmm/sandbox.h"
#include "vmm/exit_status.h"
#include "vmm/vm.h"
#include "vnc/vnc.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>

#define THREAD_STACK_BYTES (512 * KIB)

static int read_config(struct vmm_config *cfg, const char *fd_text, struct err *e)
{
	char *end;
	long fd = strtol(fd_text, &end, 10);
	json_error_t je;

	vmm_config_init(cfg);
	if (!*fd_text || *end || fd < 0 || fd > INT32_MAX)
		return err_set(e, EINVAL, "--config-fd: '%s' is not a descriptor", fd_text);
	auto_fclose FILE *f = fdopen((int)fd, "r"); /* json_loadfd() makes a system call for each byte */
	if (!f)
		return err_sys(e, errno, "configuration: %s", fd_text);
	json_t *j = json_loadf(f, JSON_REJECT_DUPLICATES, &je);
	if (!j)
		return err_set(e, EINVAL, "configuration: %s", je.text);
	vmm_config_fini(cfg);
	int r = vmm_config_from_json(cfg, j, e);
	json_decref(j);
	return r;
}

/* No helper process inherits what is ours alone. */
static void keep_private(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/*
 * The usual 8 MiB hold whole huge pages: where the host gives them to everybody, the first byte of a vCPU's stack cost
 * 2 MiB. No thread of ours needs an eighth of this.
 */
static void small_stacks(void)
{
	pthread_attr_t a;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, THREAD_STACK_BYTES);
	pthread_setattr_default_np(&a);
	pthread_attr_destroy(&a);
}

struct signals {
	struct loop_fd lf;
	int fd;
	struct vm *vm;
};

static void on_signal(void *opaque, u32 events)
{
	struct signals *s = opaque;
	struct signalfd_siginfo si;

	if (read(s->fd, &si, sizeof(si)) == sizeof(si))
		vm_ask(s->vm, VM_QUIT, STATUS_SIGNAL + si.ssi_signo);
}

static int watch_signals(struct signals *s, struct loop *loop, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL); /* before any thread: all inherit it */
	signal(SIGPIPE, SIG_IGN);
	s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->fd < 0 || loop_add(loop, &s->lf, s->fd, EPOLLIN, on_signal, s) < 0)
		return err_sys(e, errno, "cannot watch for signals");
	return 0;
}

static int open_control(struct control **out, struct loop *loop, struct vm *vm, const struct vmm_config *cfg,
			struct err *e)
{
	int r = control_new(out, loop, vm, e);

	if (r == 0 && cfg->control_fd >= 0) {
		/* Whoever started us is at the other end: its death is ours, even should this loop hang. */
		if (!cfg->detached)
			prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		r = control_client(*out, cfg->control_fd, cfg->detached ? CONTROL_STARTER : CONTROL_PARENT, e);
	}
	if (r == 0 && cfg->control_path) {
		int fd = unix_listen(cfg->control_path, e);
		r = fd < 0 ? fd : control_listen(*out, fd, e);
	}
	return r;
}

/* A process of its own serves it, which is started before there are threads. */
static int open_vnc(struct vnc_link *l, const struct vmm_config *cfg, struct err *e)
{
	*l = (struct vnc_link){ .fd = -1 };
	if (!cfg->vnc)
		return 0;
	const struct vnc_access a = { cfg->vnc_password_file, cfg->vnc_tls_cert, cfg->vnc_tls_key };
	bool path = !strncmp(cfg->vnc, "unix:", 5);
	auto_close int fd = path ? unix_listen(cfg->vnc + 5, e) : vnc_listen(cfg->vnc, e);

	return fd < 0 ? fd : vnc_start(l, fd, &a, cfg->name, e);
}

/* Until there are control clients. */
static void on_early_event(void *opaque, const struct vm_event *ev)
{
	const struct vmm_config *cfg = opaque;

	if (cfg->control_fd >= 0)
		control_tell_starter(cfg->control_fd, ev);
}

static int run(struct vmm_config *cfg, struct err *e)
{
	struct net_backend nets[VMM_NETS_MAX];
	struct vnc_link vnc;
	struct signals signals = { .fd = -1 };
	struct control *control = NULL;
	struct loop *loop;
	int status = STATUS_HOST, r = loop_new(&loop, e);

	if (r == 0)
		r = watch_signals(&signals, loop, e);
	if (r == 0)
		r = firmware_choose(cfg, e);
	if (r == 0)
		identity_choose(cfg);
	if (r == 0)
		r = net_backends_open(nets, cfg, e);
	if (r == 0)
		r = open_vnc(&vnc, cfg, e);
	if (r == 0)
		r = vm_new(&signals.vm, loop, cfg, nets, on_early_event, (void *)(uintptr_t)cfg, &status, e);
	if (r < 0)
		return status;
	r = open_control(&control, loop, signals.vm, cfg, e);
	if (r == 0) {
		sandbox_isolate();
		r = vm_start(signals.vm, &vnc, e);
	}
	if (r == 0)
		r = sandbox_lock(e);
	if (r < 0)
		return STATUS_HOST;
	vm_go(signals.vm);
	control_ready(control);
	loop_run(loop);

	control_free(control);
	status = vm_free(signals.vm);
	vnc_close(&vnc);
	loop_del(loop, &signals.lf);
	close(signals.fd);
	loop_free(loop);
	e->msg[0] = '\0';
	return status;
}

#ifdef __SANITIZE_ADDRESS__
/* LeakSanitizer looks for leaks at the end by ptrace(), and the sandbox forbids that. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

int main(int argc, char **argv)
{
	struct vmm_config cfg;
	struct err e = { 0 };

	i18n_init();
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("mica-vmm %s\n", MICA_VERSION);
		return STATUS_OK;
	}
	if (argc != 3 || strcmp(argv[1], "--config-fd")) {
		fprintf(stderr, _("mica-vmm is started by mica run: mica-vmm --config-fd N\n"));
		return STATUS_USAGE;
	}
	clock_begin();
	sandbox_malloc();
	small_stacks();
	int status = STATUS_HOST;
	if (read_config(&cfg, argv[2], &e) == 0) {
		int given[VMM_FDS_MAX];
		unsigned n = vmm_config_fds(&cfg, given);
		process_alone(given, n);
		for (unsigned i = 0; i < n; i++)
			keep_private(given[i]);
		log_level = cfg.verbose ? LOG_LVL_INFO : LOG_LVL_WARN;
		status = run(&cfg, &e);
	}
	/* Whoever started us shows it, in its own language; else we do. */
	if (e.msg[0] && (cfg.control_fd < 0 || !control_failed(cfg.control_fd, &e, status)))
		fprintf(stderr, "mica: %s\n", err_local(&e));
	vmm_config_fini(&cfg);
	return status;
}
