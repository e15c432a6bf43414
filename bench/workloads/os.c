// SPDX-License-Identifier: GPL-2.0-or-later
// The kernel's fast paths, as seen from a process: system calls, context switches, processes, faults, signals, files.
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "work.h"

#define PAGE 4096u
#define FAULT_PAGES 64u
#define FILE_BYTES (1u << 20)
#define FILE_PATH "/tmp/bench-file"

static uint64_t parent_loop(uint64_t n)
{
	pid_t parent = getppid();
	uint64_t same = 0;

	for (uint64_t i = 0; i < n; i++)
		same += syscall(SYS_getppid) == parent;
	return same;
}

static uint64_t exit_of(pid_t child)
{
	int status;

	must(child > 0, "fork");
	must(waitpid(child, &status, 0) == child && WIFEXITED(status), "a child did not exit");
	return (uint64_t)WEXITSTATUS(status);
}

// Two processes hand a byte back and forth.
static uint64_t pipe_ping_pong(uint64_t n)
{
	int there[2], back[2];
	uint64_t sum = 0;

	must(!pipe(there) && !pipe(back), "pipe");
	pid_t child = fork();
	if (child == 0) {
		uint8_t byte;
		for (uint64_t i = 0; i < n; i++) {
			must(read(there[0], &byte, 1) == 1, "read");
			byte++;
			must(write(back[1], &byte, 1) == 1, "write");
		}
		_exit(7);
	}
	for (uint64_t i = 0; i < n; i++) {
		uint8_t byte = (uint8_t)i;
		must(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "pipe");
		sum = mix(sum, byte);
	}
	for (int end = 0; end < 2; end++) {
		close(there[end]);
		close(back[end]);
	}
	return mix(sum, exit_of(child));
}

static uint64_t fork_wait(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		pid_t child = fork();
		if (child == 0)
			_exit((int)(i & 63));
		sum = mix(sum, exit_of(child));
	}
	return sum;
}

#ifdef __x86_64__ // what is executed is a 64-bit program
static uint64_t fork_exec(uint64_t n, char *const argv[])
{
	static char *const env[] = { NULL };
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		pid_t child = fork();
		if (child == 0) {
			execve(argv[0], argv, env);
			_exit(127);
		}
		uint64_t status = exit_of(child);
		must(status == 0, argv[0]);
		sum = mix(sum, status + i);
	}
	return sum;
}

static uint64_t exec_static(uint64_t n)
{
	return fork_exec(n, (char *const[]){ "/bin/busybox", "true", NULL });
}

static uint64_t exec_dynamic(uint64_t n)
{
	return fork_exec(n, (char *const[]){ "/bench/dash", "-c", ":", NULL });
}
#endif

static uint64_t page_faults(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint8_t *p = mmap(NULL, FAULT_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(p != MAP_FAILED, "mmap");
		for (size_t page = 0; page < FAULT_PAGES; page++) {
			p[page * PAGE] = (uint8_t)page;
			sum += p[page * PAGE] + p[page * PAGE + 1];
		}
		munmap(p, FAULT_PAGES * PAGE);
	}
	return sum;
}

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
	caught += number == SIGUSR1;
}

static uint64_t signals(uint64_t n)
{
	struct sigaction action = { .sa_handler = on_signal };
	pid_t self = getpid();

	caught = 0;
	must(!sigaction(SIGUSR1, &action, NULL), "sigaction");
	for (uint64_t i = 0; i < n; i++)
		kill(self, SIGUSR1);
	return (uint64_t)caught;
}

static void make_file(void)
{
	static uint64_t data[FILE_BYTES / 8];
	uint64_t state = 13;
	int fd = open(FILE_PATH, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	for (size_t i = 0; i < FILE_BYTES / 8; i++)
		data[i] = next_random(&state);
	must(fd >= 0 && write(fd, data, sizeof data) == (ssize_t)sizeof data, FILE_PATH);
	close(fd);
}

static uint64_t mmap_file(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		int fd = open(FILE_PATH, O_RDONLY | O_CLOEXEC);
		uint64_t *p = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
		must(fd >= 0 && p != MAP_FAILED, FILE_PATH);
		for (size_t at = 0; at < FILE_BYTES / 8; at += PAGE / 8)
			sum += p[at];
		munmap(p, FILE_BYTES);
		close(fd);
	}
	return sum;
}

static uint64_t read_file(uint64_t n)
{
	static uint64_t piece[PAGE / 8];
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		int fd = open(FILE_PATH, O_RDONLY | O_CLOEXEC);
		must(fd >= 0, FILE_PATH);
		while (read(fd, piece, sizeof piece) == (ssize_t)sizeof piece)
			sum += piece[i % (PAGE / 8)];
		close(fd);
	}
	return sum;
}

// Two threads on one CPU take turns: each turn is a wake-up, a sleep and a switch.
static uint32_t turn;

static void wait_turn(uint32_t mine)
{
	uint32_t seen;

	while ((seen = __atomic_load_n(&turn, __ATOMIC_ACQUIRE)) != mine)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void give_turn(uint32_t to)
{
	__atomic_store_n(&turn, to, __ATOMIC_RELEASE);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *other_thread(void *count)
{
	for (uint64_t i = 0, n = *(uint64_t *)count; i < n; i++) {
		wait_turn(1);
		give_turn(0);
	}
	return NULL;
}

static uint64_t futex_ping_pong(uint64_t n)
{
	pthread_t thread;

	turn = 0;
	must(!pthread_create(&thread, NULL, other_thread, &n), "pthread_create");
	for (uint64_t i = 0; i < n; i++) {
		wait_turn(0);
		give_turn(1);
	}
	pthread_join(thread, NULL);
	return mix(n, turn);
}

const struct workload os_workloads[] = {
	{ "getppid", "os", "the shortest system call", parent_loop, NULL, 0.5 },
	{ "pipe", "os", "two processes hand a byte back and forth", pipe_ping_pong, NULL, 0.7 },
	{ "fork", "os", "fork, exit, wait", fork_wait, NULL, 0.7 },
#ifdef __x86_64__
	{ "exec-static", "os", "fork and exec of a static program", exec_static, NULL, 0.7 },
	{ "exec-dynamic", "os", "fork and exec of a dynamically linked shell", exec_dynamic, NULL, 0.7 },
#endif
	{ "page-fault", "os", "map 64 pages, touch each, unmap", page_faults, NULL, 0.5 },
	{ "signal", "os", "a signal to oneself, with a handler", signals, NULL, 0.7 },
	{ "mmap-file", "os", "map a file of 1 MiB, touch each page, unmap", mmap_file, make_file, 0.7 },
	{ "file-read", "os", "read a file of 1 MiB, 4 KiB at a time", read_file, make_file, 0.7 },
	{ "futex", "os", "two threads on one CPU take turns", futex_ping_pong, NULL, 0.7 },
	{ 0 },
};
