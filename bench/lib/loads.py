# SPDX-License-Identifier: GPL-2.0-or-later
"""loads.py - what bench/soak runs: loads, each a list of pieces (a line of shell that bench/workloads/soak.sh understands)."""
import os
import shutil

import pack

PROGRAMS = dict(pack.PROGRAMS)
PROGRAMS["work-soak"] = (["harness", "soak_cpu", "soak_code", "soak_memory", "jit"], [])

# How often the soak's own workloads repeat their work in a piece.
OWN = {"registers": 1500, "ordering": 400, "locks": 3000, "one-time": 20000, "patched-behind": 400, "written-by-one": 300,
       "side-by-side": 40000, "remapped": 300, "taken-back": 60, "copied": 20}
CODE = ("patched-behind", "written-by-one", "side-by-side", "remapped")

# Of stress-ng's some 300 classes those that verify something or put weight on what an engine does: CPU, vectors, memory,
# page tables, processes, signals, timers, futexes. Not those that ask for devices, root's powers or all memory.
STRESS = """cpu vm fork switch mmap kill timer futex cache vecmath matrix sigq mremap pthread vecwide pipe mprotect fp clone itimer
mutex qsort memfd vecfp sigsegv munmap context eventfd hash madvise timerfd sem vecshuf mincore vfork atomic zlib sigfpe
bsearch shm poll crypt tlb-shootdown heapsort msg sigtrap longjmp memcpy epoll str wait nanosleep funccall mmapmany
mergesort sem-sysv regs sigpending icache peterson radixsort fault clock randlist splice dekker hsearch sigchld prctl
tsearch yield mq matrix-3d usersyscall membarrier tree goto sigrt skiplist memthrash funcret fifo stackmmap vdso branch
shm-sysv wcs daemon ptrace sparsematrix session dup mcontend nop shellsort sockpair seccomp prefetch udp x86cpuid get
sigfd sock rmap locka vm-splice env mmapaddr mmapfixed jpeg zero""".split()


def gather(out, busybox):
    """(files, programs, what is missing), as pack.gather()."""
    files, programs, missing = pack.gather(out, busybox, PROGRAMS)
    files["bench/soak.sh"] = os.path.join(pack.SOURCES, "soak.sh")
    for name in ("sqlite3", "stress-ng"):
        path = shutil.which(name)
        if path:
            pack.with_libraries(files, "usr/bin/" + name, path)
        else:
            missing.add(name)
    return files, programs, missing


def make(programs, missing, counts):
    """{load: [piece, ...]}; counts: of each of bench/engine's workloads on this host."""
    box = "/bin/busybox"
    loads = {}
    if "compile" not in missing:
        loads["compile"] = [f"compile '{o}' {n}" for n, o in enumerate(("-O2", "-O0", "-Os -fPIC", "-O3 -march=x86-64-v2", "-O1 -g"))]
        loads["compile"] += [f"passes '{o}' {s}" for o in ("-O2", "-O3 -funroll-loops") for s in ("integer", "branchy", "harness")]
        loads["compile"].sort(key=lambda p: p[-3:])
    if "sqlite3" not in missing:
        loads["sqlite"] = [f"database {n} {j}" for n, j in enumerate(("delete", "wal", "memory", "truncate", "persist"), 1)]
        loads["sqlite"] += ["writers delete", "writers wal"]
    loads["scripts"] = [f"{s} {n}" for n in (2000, 7001) for s, need in
                        (("perl_loop", "perl"), ("lua_loop", "lua"), ("shell_loop", None), ("awk_loop", None)) if need not in missing]
    loads["gzip"] = [f"pack {level} {box} {skip} 24" for level, skip in ((6, 3), (1, 20), (9, 45), (6, 71))]
    loads["gzip"] += [f"digests {box} {skip}" for skip in (0, 40)] + [f"archive {box} {skip}" for skip in (100, 900)]
    loads["processes"] = ["processes 10", "processes 3"]
    works = [w for w in pack.workloads(programs, missing) if w["name"] not in OWN]
    # One program is in two files.
    works = {w["name"]: w for w in works if w["name"] != "compile"}.values()
    loads["programs"] = [f"program {w['program']} {w['name']} {counts[w['name']]}" for w in works if w["name"] in counts]
    code = [w for w in works if w["group"] == "jit" and w["name"] in counts]
    loads["code"] = [f"program /bench/work-soak {name} {OWN[name]}" for name in CODE]
    loads["code"] += [f"program {w['program']} {w['name']} {counts[w['name']]}" for w in code]
    loads["cpus"] = [f"program /bench/work-soak {name} {n}" for name, n in OWN.items() if name not in CODE]
    if "stress-ng" not in missing:
        for k in range(2):
            loads[f"stress-{k + 1}"] = [f"stress {name} {1 + (n % 5 == 0)}" for n, name in enumerate(STRESS) if n % 2 == k]
    return loads


INJECTED = {"mismatch": "mismatch", "status": "status", "warning": "kernel", "segfault": "kernel", "stuck": "stuck"}
