#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""idle.py MICA KERNEL TIMER... - what a sleeping guest (kernel/idle64.c) costs, however it sets its timers.

TIMER is "NAME" (interrupts off: nobody looks at the ticks) or "NAME+taken" (each one is taken). CPU time of mica-vmm, all of
its threads, over a time on the wall; of three measurements the least is taken. A tick that is taken costs 10 us on a quiet
machine and ten times as much on one whose caches others use; so where it is not quiet, the number of ticks is what is
checked, and that a tick wakes the thread of the vCPU and no other."""
import os
import subprocess
import sys
import time

LIMIT = 0.03  # of a core
MEASURE_S = 1.0
TICKS_S = {"pit-fast": (100, 600), "rtc-fast": (100, 600), "apic-periodic": (100, 600),  # a second, when taken: at least, at most
           "all": (100, 1800), "pit-1000": (500, 1050), "rtc-1024": (500, 1080), "apic-1000": (500, 1050)}
QUIET = 0.5   # load, of each processor of this machine


def cpu_s(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def wakings(pid):
    """Of each thread."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as f:
            found += [int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches")]
    return found


def idle(mica, kernel, timer, extra):
    name, _, taken = timer.partition("+")
    p = subprocess.Popen([mica, "run", "--engine", "soft", "--memory", "64M", "--console", "stdio", "--kernel", kernel,
                          "--append", f"{name} {taken}", *extra], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        line = b""
        while b"asleep" not in line:
            line = p.stdout.readline()
            if not line:
                print(f"FAIL: {timer}: it ended with {p.wait()}")
                return False
        if taken and name in TICKS_S:
            p.stdout.readline()
            start, n = time.monotonic(), 0
            while time.monotonic() - start < MEASURE_S:
                n += 100 * (p.stdout.readline() == b"100 ticks\n")
            rate, (least, most) = n / (time.monotonic() - start), TICKS_S[name]
            print(f"{timer}: {rate:.0f} ticks a second")
            if not least <= rate <= most:
                print(f"FAIL: {timer}: {rate:.0f} ticks a second, {least} to {most} wanted")
                return False
        with open(f"/proc/{p.pid}/task/{p.pid}/children") as f:
            vmm = int(f.read().split()[0])
        time.sleep(0.2)
        shares = []
        woken = wakings(vmm)
        while len(shares) < 3 and (not shares or min(shares) > LIMIT / 2):
            cpu, wall = cpu_s(vmm), time.monotonic()
            time.sleep(MEASURE_S)
            shares.append((cpu_s(vmm) - cpu) / (time.monotonic() - wall))
        print(f"{timer}: {min(shares) * 100:.2f} % of a core")
        woken = sorted(after - before for before, after in zip(woken, wakings(vmm)))
        if taken and name in TICKS_S and sum(woken[:-1]) > woken[-1] / 4:
            print(f"FAIL: {timer}: threads woke {woken} times, one of them for each tick wanted")
            return False
        quiet = os.getloadavg()[0] < QUIET * os.cpu_count()
        if min(shares) > LIMIT and (quiet or not taken) and name not in ("pit-1000", "rtc-1024", "apic-1000"):
            print(f"FAIL: {timer}: a sleeping guest costs {min(shares) * 100:.1f} % of a core, {LIMIT * 100:.0f} % allowed")
            return False
        return True
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


def main():
    mica, kernel, *timers = sys.argv[1:]
    ok = True
    for timer in timers:
        ok &= idle(mica, kernel, timer, [])
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
