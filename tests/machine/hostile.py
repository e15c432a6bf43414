#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""hostile.py MICA KERNEL ATTACK... - kernel/hostile64.c attacks; meanwhile the VM must answer, and end when told to.

The event loop's longest turn is what the VM says itself (`stats`), in CPU time of its thread: that does not depend on what
else this machine does. What a person would see, the time to an answer and to the end, has a generous limit: without a
bound it is not long, it is for ever."""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TURN_CPU_US = 10_000  # what docs/control-socket.md promises
ANSWER_S = 2.0        # on a machine that has other things to do
END_S = 5.0
ATTACK_S = 1.5
SAVED = {"disk-write", "disk-zeroes"}  # in the middle of the attack


def place(attack):
    """Where the disk is. What a virtual host does for one that is flushed thousands of times a second counts as anybody's
    CPU time here, so that one is in memory."""
    return "/dev/shm" if attack == "disk-flush" and os.access("/dev/shm", os.W_OK) else None


def fail(attack, why):
    print(f"FAIL: {attack}: {why}")
    return False


class Control:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(ANSWER_S)
        self.s.connect(path)
        self.f = self.s.makefile()

    def ask(self, command, **more):
        self.s.send((json.dumps({"command": command, **more}) + "\n").encode())
        return json.loads(self.f.readline())["result"]


def console(path, stop):
    """The other end of the virtio console: sends without end, and reads nothing."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(0.1)
        s.connect(path)
        while not stop.is_set():
            try:
                s.send(b"x" * 65536)
            except OSError:
                time.sleep(0.01)


def attack_once(mica, kernel, attack, tmp):
    path, disk, con = (os.path.join(tmp, n) for n in ("ctl", "disk", "con"))
    with open(disk, "wb") as f:
        for _ in range(64):
            f.write(os.urandom(1 << 20))
    command = [mica, "run", "--engine", "soft", "--cpus", "2", "--memory", "64M", "--console", "stdio", "--debug-exit",
               "--kernel", kernel, "--append", attack, "--control", path]
    if attack.startswith("disk") or attack == "registers":
        command += ["--disk", disk]
    if attack.startswith(("ahci", "nvme")):
        command += ["--disk", f"{disk},bus={attack[:4]}"]
    if attack.startswith("e1000"):
        command += ["--net", "user,model=e1000"]
    if attack.startswith("vsock"):
        command += ["--vsock", f"path={tmp}/vsock"]
    if attack.startswith("fs"):
        command += ["--share", f"{tmp},tag=t"]
    if attack.startswith("xhci"):
        command += ["--device", "xhci"]
    if attack == "tpm":
        command += ["--tpm", f"{tmp}/tpm"]
    if attack.startswith("net"):
        command += ["--net", "user"]
    if attack.startswith("console"):
        command += ["--virtio-console", "unix:" + con]
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    stop = threading.Event()
    helpers = []
    try:
        if attack.startswith("console"):
            while not os.path.exists(con):
                time.sleep(0.02)
            helpers.append(threading.Thread(target=console, args=(con, stop)))
            helpers[-1].start()
        line = b""
        while b"attack" not in line:
            line = p.stdout.readline()
            if not line or b"FAIL" in line:
                return fail(attack, f"it never began: {line!r} {p.stderr.read(400)!r}")
        if attack != "uart":  # whose output nobody reads until it ends
            helpers.append(threading.Thread(target=p.stdout.read))
            helpers[-1].start()
        c, worst, stats = Control(path), 0, {}
        until = time.monotonic() + ATTACK_S
        while time.monotonic() < until:
            for what in (("status", {}), ("balloon", {"bytes": 1 << 20}), ("stats", {})):
                t = time.monotonic()
                try:
                    stats = c.ask(what[0], **what[1])
                except (OSError, ValueError, KeyError) as e:
                    return fail(attack, f"no answer to {what[0]} within {ANSWER_S} s ({e!r})")
                worst = max(worst, time.monotonic() - t)
            time.sleep(0.02)
        if attack in SAVED:
            # It waits for what is in flight, which is gigabytes; nobody else does.
            saver = Control(path)
            with open(os.path.join(tmp, "state"), "wb") as f:
                socket.send_fds(saver.s, [b'{"command": "save"}\n'], [f.fileno()])
            time.sleep(0.3)
            t = time.monotonic()
            try:
                state = c.ask("status")["state"]
            except OSError as e:
                return fail(attack, f"no answer to status during a save ({e!r})")
            if state not in ("stopping", "paused"):
                return fail(attack, f"{state} in the middle of a save")
            print(f"{attack}: {state} while it is saved; answer {(time.monotonic() - t) * 1000:.0f} ms")
        if attack == "disk-zeroes":
            # Its ring is never empty; but what is not in flight belongs to who goes on from the saved state.
            saver.s.settimeout(20)
            answer = json.loads(saver.f.readline())
            if not answer["ok"]:
                return fail(attack, f"save: {answer}")
            before = os.stat(disk)
            time.sleep(0.3)
            after = os.stat(disk)
            if (before.st_mtime_ns, before.st_ctime_ns) != (after.st_mtime_ns, after.st_ctime_ns):
                return fail(attack, "a paused VM writes to its disk")
            if not saver.ask("resume") == {} or c.ask("status")["state"] != "running":
                return fail(attack, "it does not go on")
            until = time.monotonic() + END_S
            while os.stat(disk).st_mtime_ns == after.st_mtime_ns:
                if time.monotonic() > until:
                    return fail(attack, "after resume the disk is not served")
                time.sleep(0.05)
        with open(f"/proc/{p.pid}/task/{p.pid}/children") as f:
            vmm = int(f.read().split()[0])
        t = time.monotonic()
        os.kill(vmm, signal.SIGTERM)
        while os.path.exists(f"/proc/{vmm}"):
            if time.monotonic() - t > END_S:
                return fail(attack, f"SIGTERM did not end it within {END_S} s")
            time.sleep(0.01)
        ended = time.monotonic() - t
        if attack == "uart":
            p.stdout.read()
        p.wait()
        print(f"{attack}: turn {stats['loop_turn_max_cpu_us']} us of CPU time, {stats['loop_turn_max_us']} us in all, "
              f"{stats['loop_wait_max_us']} us for a lock; {stats['loop_turns']} turns; answer {worst * 1000:.0f} ms, "
              f"end {ended * 1000:.0f} ms")
        if stats["loop_turn_max_cpu_us"] > TURN_CPU_US:
            fail(attack, f"a turn of the loop took {stats['loop_turn_max_cpu_us']} us of CPU time")
            return None
        if p.returncode != 128 + signal.SIGTERM:
            return fail(attack, f"status {p.returncode}: {p.stderr.read(1000).decode(errors='replace')}")
        return True
    finally:
        stop.set()
        if p.poll() is None:
            p.kill()
            p.wait()
        for h in helpers:
            h.join()
        p.stdout.close()
        p.stderr.close()


def main():
    mica, kernel, *attacks = sys.argv[1:]
    ok = True
    for attack in attacks:
        with tempfile.TemporaryDirectory(prefix="mica-hostile-", dir=place(attack)) as tmp:
            good = attack_once(mica, kernel, attack, tmp)
        if good is None:
            # Where the host is a virtual machine, time that it was not given counts as its own. What a guest can do to the
            # loop it can do again.
            print(f"{attack}: once more")
            with tempfile.TemporaryDirectory(prefix="mica-hostile-", dir=place(attack)) as tmp:
                good = attack_once(mica, kernel, attack, tmp)
        ok &= bool(good)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
