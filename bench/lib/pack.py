# SPDX-License-Identifier: GPL-2.0-or-later
"""pack.py - builds the workloads and packs what all sides run: one tree of files, as an initramfs for the guests and as a
folder for the host itself. Programs, libraries and data are the same bytes everywhere."""
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
import initramfs  # noqa: E402

SOURCES = os.path.join(TOP, "bench", "workloads")
FLAGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Wno-missing-field-initializers", "-static", "-pthread"]
PROGRAMS = {
    "work": (["harness", "integer", "branchy", "memory", "fp", "os", "command", "jit", "parallel"], []),
    "work-sqlite": (["harness", "sqlite"], ["-lsqlite3", "-lz", "-lm", "-ldl"]),
}
# The same built for 32 bits, for `bench/engine --bits 32`. Without gcc-multilib, which does not go together with cross
# compilers: what it adds besides is the path of the kernel's headers.
FLAGS_32 = ["-m32", "-march=i686", "-msse2", "-mfpmath=sse"]
PROGRAMS_32 = {"work-32": (["harness", "integer", "branchy", "memory", "fp", "os"], [])}
GROUPS_32 = ("integer", "branchy", "memory", "fp", "os")
# The first process of a guest with a 32-bit kernel, which would not execute busybox.
AGENT_32 = {"agent-32": (["agent"], [])}
ONLY_64 = ("perl", "lua", "exec-static", "exec-dynamic")  # they are, or execute, Debian's 64-bit programs
COMPILED_IN_THE_GUEST = ["harness.c", "integer.c", "branchy.c", "parallel.c"]

# Reads command lines from the console and runs them. Every side runs this, the host too.
AGENT = b"""#!/bin/busybox sh
export PATH=/bin:/usr/bin
echo "@ready"
while read -r line; do
	[ "$line" != end ] || break
	eval "$line" </dev/null
	echo "@done $?"
done
"""
INIT = b"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /tmp /sys
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tmpfs tmp /tmp
/bin/busybox stty -echo </dev/console
/agent
/bin/busybox poweroff -f
/bin/busybox sleep 60
"""
BOOT_INIT = b"#!/bin/busybox sh\necho @init\n/bin/busybox poweroff -f\n/bin/busybox sleep 60\n"


class PackError(Exception):
    """What is missing, and what to do."""


def lock(out):
    """Keeps a second run out of the same folder, whose programs the first is running; held until this process ends."""
    os.makedirs(out, exist_ok=True)
    held = open(os.path.join(out, "lock"), "w", encoding="utf-8")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print(f"waiting for another run in {out} to finish", flush=True)
        fcntl.flock(held, fcntl.LOCK_EX)
    return held


def output(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()


def build_programs(out, wanted, flags=()):
    """Compiles the workloads; returns {name: path}."""
    made = {}
    for name, (sources, libraries) in wanted.items():
        made[name] = os.path.join(out, name)
        argv = ["gcc", *FLAGS, *flags, "-o", made[name], *(os.path.join(SOURCES, s + ".c") for s in sources), *libraries]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode and name != "work-sqlite":
            raise PackError(f"the workloads do not compile (tools/deps.sh bench installs what they need):\n{done.stdout.strip()[-2000:]}")
        if done.returncode:
            print(f"{name} is left out (tools/deps.sh bench installs what it needs):\n{done.stdout.strip()[-300:]}")
            del made[name]
    return made


def with_libraries(files, target, path):
    """Adds a program and the shared libraries that it names."""
    files[target] = os.path.realpath(path)
    for line in output("ldd", path).splitlines():
        found = re.search(r"(/\S+) \(0x", line)
        if found:
            files[found.group(1).lstrip("/")] = os.path.realpath(found.group(1))


def compiler(files):
    """gcc with all it needs to compile and link COMPILED_IN_THE_GUEST; returns whether it is all there."""
    added = {}
    gcc = shutil.which("gcc")
    if not gcc or not shutil.which("as") or not shutil.which("ld"):
        return False
    with_libraries(added, "usr/bin/gcc", gcc)
    for tool in ("as", "ld"):
        with_libraries(added, "usr/bin/" + tool, shutil.which(tool))
    for part in ("cc1", "collect2", "lto-wrapper"):
        path = output(gcc, "-print-prog-name=" + part)
        if not os.path.isabs(path):
            return False
        with_libraries(added, os.path.normpath(path).lstrip("/"), path)
    for part in ("liblto_plugin.so", "Scrt1.o", "crti.o", "crtn.o", "crtbeginS.o", "crtendS.o", "libgcc.a", "libgcc_s.so",
                 "libgcc_s.so.1", "libc.so", "libc.so.6", "libc_nonshared.a", "libpthread.a"):
        path = output(gcc, "-print-file-name=" + part)
        if not os.path.isabs(path):
            return False
        added[os.path.normpath(path).lstrip("/")] = os.path.realpath(path)
    for source in COMPILED_IN_THE_GUEST:
        for header in output(gcc, "-O2", "-M", os.path.join(SOURCES, source)).replace("\\\n", " ").split()[1:]:
            header = os.path.normpath(header)
            if not header.startswith(SOURCES):
                added[header.lstrip("/")] = os.path.realpath(header)
    for name in COMPILED_IN_THE_GUEST + ["work.h"]:
        added["bench/src/" + name] = os.path.join(SOURCES, name)
    files.update(added)
    return True


def gather(out, busybox, wanted):
    """Builds the programs `wanted` into `out`; returns (files, programs, what is missing): files are {path in a guest: bytes or path
    here}, programs {name: path here}."""
    os.makedirs(out, exist_ok=True)
    programs = build_programs(out, wanted)
    files = {"init": INIT, "agent": AGENT, "bin/busybox": busybox}
    missing = set()
    for name, path in programs.items():
        files["bench/" + name] = path
    if "work-sqlite" not in programs:
        missing.add("sqlite")
    for script in ("loop.sh", "loop.pl", "loop.lua"):
        files["bench/" + script] = os.path.join(SOURCES, script)
    for name, target, path in (("exec-dynamic", "bench/dash", "/bin/dash"), ("perl", "usr/bin/perl", "/usr/bin/perl"),
                               ("lua", "usr/bin/lua5.4", "/usr/bin/lua5.4")):
        if os.path.exists(path):
            with_libraries(files, target, path)
        else:
            missing.add(name)
    if not compiler(files):
        missing.add("compile")
    return files, programs, missing


def write_root(root, files):
    """The files as a folder, for the host itself."""
    shutil.rmtree(root, ignore_errors=True)
    for name in ("proc", "dev", "tmp", "sys"):
        os.makedirs(os.path.join(root, name))
    for name, source in files.items():
        target = os.path.join(root, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if isinstance(source, bytes):
            with open(target, "wb") as f:
                f.write(source)
        else:
            shutil.copyfile(source, target)
        os.chmod(target, 0o755)


def workloads(programs, missing):
    """What the programs offer, but for what is missing."""
    found = []
    for name in sorted(programs):
        for line in output(programs[name], "list").splitlines():
            workload, group, cpus, what = line.split("\t")
            if workload not in missing:
                found.append({"name": workload, "group": group, "parallel": cpus != "1", "what": what, "program": "/bench/" + name})
    return found


def build_32(out, wanted):
    return build_programs(out, wanted, [*FLAGS_32, "-idirafter", "/usr/include/" + output("gcc", "-print-multiarch")])


def add_32(out, files, work):
    """Adds the 32-bit programs; returns the workloads that they have, each with "program_32"."""
    programs = build_32(out, PROGRAMS_32)
    files["bench/work-32"] = programs["work-32"]
    # Not by asking it for a list: not every host executes 32-bit code.
    return [{**w, "program_32": "/bench/work-32"} for w in work if w["group"] in GROUPS_32 and w["name"] not in ONLY_64]


def guest_32(out, files):
    """The files of a guest whose kernel has 32 bits."""
    return {"init": build_32(out, AGENT_32)["agent-32"], "bench/work-32": files["bench/work-32"]}


def pack(out, busybox, bits=64):
    """Builds into `out`; returns {"initrd", ("initrd_32",) "boot_initrd", "root", "key", "work": [workload, ...]}, each workload a dict."""
    files, programs, missing = gather(out, busybox, PROGRAMS)
    if missing:
        print(f"left out, because packages are missing (tools/deps.sh bench installs them): {' '.join(sorted(missing))}")
    packed = {"initrd": os.path.join(out, "initrd"), "boot_initrd": os.path.join(out, "boot-initrd"),
              "root": os.path.join(out, "root"), "work": workloads(programs, missing)}
    if bits == 32:
        packed["work"] = add_32(out, files, packed["work"])
        packed["initrd_32"] = os.path.join(out, "initrd-32")
        initramfs.write_files(packed["initrd_32"], guest_32(out, files))
    initramfs.write_files(packed["initrd"], files)
    initramfs.write_files(packed["boot_initrd"], {"init": BOOT_INIT, "bin/busybox": busybox})
    write_root(packed["root"], files)
    digest = hashlib.sha256()
    for name in sorted(programs):
        with open(programs[name], "rb") as f:
            digest.update(f.read())
    packed["key"] = digest.hexdigest()[:16]
    return packed
