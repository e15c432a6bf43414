// SPDX-License-Identifier: GPL-2.0-or-later
// exceptions.cc - C++ exceptions through everything that unwinds: frames with destructors, rethrow, threads, std::terminate.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

static int destroyed;

struct Counted {
	int n;
	explicit Counted(int n) : n(n) {}
	~Counted() { destroyed += n; }
};

struct Base { virtual ~Base() {} virtual const char *name() const { return "base"; } };
struct Left : virtual Base { const char *name() const override { return "left"; } };
struct Right : virtual Base { const char *name() const override { return "right"; } };
struct Both : Left, Right { const char *name() const override { return "both"; } };

__attribute__((noinline)) static double deep(int depth, double x)
{
	Counted c(depth);
	if (depth == 0) {
		if (x < 0)
			throw std::domain_error("negative: " + std::to_string((long)x));
		return x;
	}
	return deep(depth - 1, x) * 1.5 + c.n;
}

template <typename T> __attribute__((noinline)) static void throw_it(T t) { throw t; }

static void kinds()
{
	try { throw_it(42); } catch (long) { puts("long?"); } catch (int n) { printf("int %d\n", n); }
	try { throw_it("text"); } catch (const char *s) { printf("text %s\n", s); }
	try { throw_it(2.5); } catch (...) { puts("anything"); }
	try { throw Both(); } catch (Right &r) { printf("as right: %s, left %s\n", r.name(), dynamic_cast<Left *>(&r) ? "too" : "not"); }
	try {
		try { std::map<int, int>().at(3); } catch (std::out_of_range &) { throw; }
	} catch (std::logic_error &) { puts("out of range, thrown again"); }
	try {
		try { throw_it(std::string("inner")); } catch (std::string &s) { std::throw_with_nested(std::runtime_error("outer " + s)); }
	} catch (std::exception &e) {
		printf("%s\n", e.what());
		try { std::rethrow_if_nested(e); } catch (std::string &s) { printf("nested %s\n", s.c_str()); }
	}
	Base *b = nullptr;
	try { printf("%s\n", dynamic_cast<Both &>(*new Left()).name()); } catch (std::bad_cast &) { puts("bad cast"); }
	try { std::vector<char> v; v.reserve(~(size_t)0 / 2 + 9); } catch (std::length_error &) { puts("length error"); }
	try { (void)!(new char[~(size_t)0 / 4]); } catch (std::bad_alloc &) { puts("bad alloc"); }
	delete b;
}

static void loops(int rounds)
{
	long sum = 0;
	for (int i = 0; i < rounds; i++) {
		try {
			sum += (long)deep(i % 23, i % 3 ? -i : i);
		} catch (const std::domain_error &e) {
			sum += strtol(e.what() + 10, nullptr, 10);
		}
	}
	printf("sum %ld, destroyed %d\n", sum, destroyed);
}

static void threads()
{
	std::vector<std::thread> all;
	std::mutex lock;
	std::map<int, std::string> said;
	for (int t = 0; t < 6; t++)
		all.emplace_back([&, t] {
			thread_local int mine = 0;
			for (int i = 0; i < 300; i++) {
				try { if (i % 2) throw_it(i * t); mine += 1; } catch (int n) { mine += n; }
			}
			std::lock_guard<std::mutex> held(lock);
			said[t] = std::to_string(mine);
		});
	for (auto &t : all)
		t.join();
	for (auto &s : said)
		printf("thread %d: %s\n", s.first, s.second.c_str());
	auto f = std::async(std::launch::async, [] { deep(9, -7); });
	try { f.get(); } catch (std::exception &e) { printf("from a thread: %s\n", e.what()); }
}

static void terminated(const char *what, void (*f)())
{
	fflush(stdout);
	int status = 0;
	pid_t pid = fork();
	if (!pid) {
		(void)!freopen("/dev/null", "w", stderr);
		f();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	printf("%s: %s %d\n", what, WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void no_more() noexcept { throw_it(1); }

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 2000;
	kinds();
	loops(rounds);
	threads();
	terminated("uncaught", [] { throw_it(1); });
	terminated("through noexcept", no_more);
	terminated("handler of terminate", [] { std::set_terminate([] { _exit(7); }); throw_it(1); });
	return 0;
}
