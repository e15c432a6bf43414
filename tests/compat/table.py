# SPDX-License-Identifier: GPL-2.0-or-later
"""table.py - the programs of `make compat`: a line or a few for each.

A program is a job in bash (agent.sh tells in what surroundings) whose status and whole output count. So a job says nothing of times, addresses,
processes or the processor; what is not the same every time is filtered out in the job itself. $SRC has src/, $BIN what `build` made.
"""
from dataclasses import dataclass, field

SLOW = ("default", "default-4")  # what takes long, or adds little where an engine is slow
ALL = ("default", "default-4", "direct=off", "direct=always", "translate=off", "heat=1")
FAST = tuple(m for m in ALL if m != "translate=off")


@dataclass
class Program:
    name: str
    packages: str  # Debian packages that it needs in the tree
    run: str
    build: str = ""  # bash, in the tree, writes to $BIN
    modes: tuple = FAST
    seconds: int = 60  # at most, on this host when it is idle; each side has a factor of its own
    short: bool = False  # belongs to `make test` as well
    expect: str = ""  # a file in expect/: where neither the host nor QEMU is right
    oracle: str = "host"  # or "qemu": what a host that is a virtual machine itself may get wrong
    i386: str = ""  # packages that it needs in /i386
    needs: list = field(default_factory=list)


# Where neither this host nor QEMU is right, expect/ has what the manuals say: ldt (QEMU's TCG checks no segment limits), signals-32 (nor alignment,
# and x87 faults and error codes of INT n come otherwise), gdb (it stops
# before an access that is watched for reading, a processor after it); the 64-bit editions of the same were compared with a processor.
def cxx(flags):
    return f"g++ {flags} -pthread $SRC/exceptions.cc"


SANE = "sed -E 's/0x[0-9a-f]+/ADDRESS/g; s/\\(process [0-9]+\\)/(process N)/'"

PROGRAMS = [
    # ---- C, C++: exceptions, signals, segments ----
    Program("c++-exceptions", "g++", "$BIN/exceptions 2000", cxx("-O2 -o $BIN/exceptions"), ALL, short=True),
    Program("c++-exceptions-static", "g++", "$BIN/exceptions-static 500", cxx("-O1 -static -o $BIN/exceptions-static"), ALL, short=True),
    Program("c++-exceptions-32", "g++-multilib", "$BIN/exceptions-32 300", cxx("-m32 -O2 -o $BIN/exceptions-32"), ALL, short=True),
    Program("c++-exceptions-32-static", "g++-multilib", "$BIN/exceptions-32s 100", cxx("-m32 -O0 -static -o $BIN/exceptions-32s")),
    Program("signals", "gcc libc6-dev", "ulimit -s 8192; $BIN/signals", "gcc -O1 -o $BIN/signals $SRC/signals.c -lm", ALL, short=True),
    Program("signals-32", "gcc-multilib", "ulimit -s 8192; $BIN/signals-32", "gcc -m32 -O1 -o $BIN/signals-32 $SRC/signals.c -lm", ALL, short=True,
            expect="signals-32"),
    Program("ldt", "gcc libc6-dev", "$BIN/ldt 30000000", "gcc -O1 -no-pie -o $BIN/ldt $SRC/ldt.c", FAST, short=True, expect="ldt"),
    Program("ldt-32", "gcc-multilib", "$BIN/ldt-32 300000", "gcc -m32 -O1 -o $BIN/ldt-32 $SRC/ldt.c", short=True, expect="ldt-32"),

    # ---- languages ----
    Program("perl", "perl", "perl $SRC/mixed.pl 1000", modes=ALL, short=True),
    Program("python", "python3", "python3 $SRC/mixed.py 1000", modes=ALL, short=True),
    Program("lua", "lua5.4", "lua5.4 $SRC/mixed.lua 300", modes=ALL, short=True),
    Program("luajit", "luajit", "luajit $SRC/mixed.lua 3000; luajit -joff $SRC/mixed.lua 100", modes=ALL, short=True),
    Program("node", "nodejs", "node $SRC/mixed.js 1000"),
    Program("node-wasm", "nodejs", "node --no-wasm-tier-up $SRC/mixed.js 200; node --jitless $SRC/mixed.js 100", modes=SLOW[:1]),
    Program("go", "golang-go", "$BIN/go-mixed 100; GOMAXPROCS=3 GOGC=5 $BIN/go-mixed 40",
            "cp $SRC/mixed.go /tmp/ && cd /tmp && GOCACHE=/tmp/go GO111MODULE=off go build -o $BIN/go-mixed mixed.go"),
    Program("java", "openjdk-17-jdk-headless", "java -XX:UseAVX=2 -Xmx400m -cp $BIN/java Mixed 4000", "javac -d $BIN/java $SRC/Mixed.java", seconds=90),
    Program("java-collectors", "openjdk-17-jdk-headless", "for c in Serial Parallel Shenandoah Z; do echo $c; java -XX:UseAVX=2 -Xmx400m -XX:+Use${c}GC "
            "-cp $BIN/java Mixed 800; done; java -Xint -Xmx400m -cp $BIN/java Mixed 300", modes=SLOW[:1], seconds=120, needs=["java"]),
    Program("pypy", "pypy3", "pypy3 $SRC/mixed.py 2000"),
    Program("mono", "mono-runtime mono-mcs libmono-system-core4.0-cil", "mono $BIN/mixed.exe", "mcs -out:$BIN/mixed.exe $SRC/mixed.cs"),
    Program("guile", "guile-3.0", "guile --no-auto-compile $SRC/mixed.scm; GUILE_JIT_THRESHOLD=0 guile --no-auto-compile $SRC/mixed.scm"),
    Program("erlang", "erlang-base", "erl -noshell -pa $BIN -s mixed main", "erlc -o $BIN $SRC/mixed.erl"),
    Program("php", "php-cli php8.2-opcache", "php -n $SRC/mixed.php 1000; for j in 1255 1205; do php -n -d zend_extension=opcache.so -d opcache.enable_cli=1 "
            "-d opcache.jit_buffer_size=32M -d opcache.jit=$j $SRC/mixed.php 2000; done"),
    Program("ruby", "ruby", "ruby $SRC/mixed.rb 500; ruby --yjit --yjit-call-threshold=2 $SRC/mixed.rb 1500"),
    Program("sbcl", "sbcl", "sbcl --script $SRC/mixed.lisp; sbcl --noinform --non-interactive --no-userinit --load $BIN/mixed.fasl",
            "sbcl --noinform --non-interactive --eval '(compile-file \"'$SRC'/mixed.lisp\" :output-file \"'$BIN'/mixed.fasl\")' >/dev/null 2>&1"),
    Program("ocaml", "ocaml-nox", "ulimit -s 8192; $BIN/ocaml-mixed; ocaml $SRC/mixed.ml",
            "cp $SRC/mixed.ml /tmp/ && cd /tmp && ocamlfind ocamlopt -o $BIN/ocaml-mixed mixed.ml 2>/dev/null || ocamlopt -o $BIN/ocaml-mixed mixed.ml"),
    Program("haskell-shellcheck", "shellcheck", "shellcheck -s sh -f gcc /usr/bin/gunzip /usr/bin/zgrep /usr/bin/ldd /usr/sbin/service"),
    Program("rust-ripgrep", "ripgrep", "rg -j4 --sort path -c '(?i)\\b[a-z]+ing\\b' /usr/share/perl /usr/lib/python3.11/json; "
            "rg --no-heading -j2 '^def (\\w+)\\(' -r '$1' --sort path /usr/lib/python3.11/json; seq 20000 | rg -c '(\\d)[13579]+$'"),
    Program("tcc", "tcc libc6-dev gcc", "tcc -run $SRC/signals.c 2>&1 | grep -c signal; echo 'int main(){double s=0;for(int i=1;i<3000000;i++)s+=1.0/i;"
            "printf(\"%.12f\\n\",s);}' | tcc -include stdio.h -run -"),
    Program("gawk-bc", "gawk bc", "echo 'scale=300; 4*a(1); e(1); sqrt(2); 2^500' | bc -l; gawk 'BEGIN { for (i = 1; i < 200000; i++) { s += sin(i) * i; a[i % 991] += i } "
            "n = asorti(a, b); printf \"%.9f %d %s\\n\", s, n, b[7] }'; seq 30000 | gawk '{ gsub(/[13]/, \"<&>\"); k += length } END { print k }'"),
    Program("coreutils", "coreutils gzip bzip2 xz-utils zstd", "for z in gzip bzip2 xz zstd; do $z -c </usr/bin/bash | tee >($z -dc | sha1sum) | sha1sum; done 2>&1 | sort; "
            "for s in md5sum sha1sum sha256sum sha512sum b2sum cksum; do $s /usr/bin/bash /usr/bin/perl; done; seq 100000 | sort -R --random-source=/usr/bin/bash | "
            "sort -n | md5sum; factor 9223372036854775837 18446744073709551557 1234567890123456789012345678901", modes=SLOW + ("direct=off", "heat=1")),

    # ---- what watches other programs ----
    Program("gdb", "gdb gcc", f"gdb -q -nx -batch -x $SRC/watch.gdb $BIN/watched 2>&1 | {SANE}", "gcc -g -O0 -no-pie -o $BIN/watched $SRC/watched.c", ALL, short=True, expect="gdb"),
    Program("gdb-32", "gdb gcc-multilib", f"sed '/^[ra]watch/,/^delete/d' $SRC/watch.gdb >w; gdb -q -nx -batch -x w $BIN/watched-32 2>&1 | {SANE}",
            "gcc -m32 -g -O0 -no-pie -o $BIN/watched-32 $SRC/watched.c", SLOW + ("direct=off",), oracle="qemu"),
    Program("strace", "strace", "strace -o log -e trace=execve,openat,read,write,lseek,chdir,dup2,kill,getcwd,exit_group,pipe2 sh -c "
            "'trap \"echo caught\" USR1; cd /usr; kill -USR1 $$; exec 3<src/../bin/env; ls -d bin/env bin/none >/tmp/o 2>&1; exec cat /tmp/o' 2>&1; "
            f"sed -E 's/kill.[0-9]+/kill(x/; s/si_[pu]id=[0-9]+/x/g; s/(SIGCHLD).*/\\1/; s/ELF[^,]*/ELF/' log | {SANE} | grep -v filesystems", modes=ALL, short=True),
    Program("strace-count", "strace", "strace -f -c -o log ls -l /usr/bin >/dev/null; awk '/[a-z]$/ && $4 > 20 { print $NF }' log | sort | head -20; "
            "strace -c -e inject=close:error=EIO:when=3+5 -o /dev/null cat /etc/hostname /etc/passwd | md5sum"),
    Program("valgrind", "valgrind gcc libc6-dbg", "for t in memcheck helgrind drd; do valgrind --tool=$t --error-exitcode=9 $BIN/leaky $t 2>&1 | sed -E 's/==[0-9]+==//; "
            "s/0x[0-9A-F]+/ADDRESS/g' | grep -vE 'Using Valgrind|Copyright|Command|suppressed'; echo \"status ${PIPESTATUS[0]}\"; done",
            "gcc -g -O0 -pthread -o $BIN/leaky $SRC/leaky.c", SLOW + ("direct=off",)),
    Program("cachegrind", "valgrind gcc", "valgrind --tool=cachegrind --cache-sim=yes --I1=32768,8,64 --D1=32768,8,64 --LL=8388608,16,64 --cachegrind-out-file=c $BIN/leaky none 2>&1 | awk '/I *refs/ { print int($NF) }'; "
            "valgrind --tool=lackey $BIN/leaky none 2>&1 | grep -cE 'Jccs|loads|stores'; valgrind --tool=none perl $SRC/mixed.pl 20 2>/dev/null | md5sum",
            modes=SLOW + ("direct=off",), needs=["valgrind"]),
    Program("perf", "linux-perf", "perf stat -x, -e page-faults,context-switches,task-clock,cpu-migrations -o log perl $SRC/mixed.pl 300; cut -d, -f3 log | grep -v '#'; "
            "perf record -q -e cpu-clock -o data perl $SRC/mixed.pl 2000 >/dev/null 2>&1; perf report -i data --stdio --sort comm 2>/dev/null | awk '$2 == \"perl\" && $1 + 0 > 50 { print \"perl has most\" }'"),

    # ---- whole systems ----
    Program("sqlite", "sqlite3", "sqlite3 -batch db <$SRC/mixed.sql; sqlite3 -batch db 'pragma integrity_check; select count(*), total(v) from t'", modes=ALL, short=True),
    Program("postgresql", "postgresql-15", "bash $SRC/postgres.sh", modes=SLOW + ("direct=off",), seconds=120),
    Program("openssl", "openssl", "bash $SRC/openssl.sh", modes=ALL, short=True),
    Program("openssl-plain", "openssl", "OPENSSL_ia32cap=~0x200000200000000:~0x0 bash $SRC/openssl.sh", modes=SLOW + ("direct=off",)),
    Program("zlib", "zlib1g-dev gcc", "$BIN/zlib-test; $BIN/zlib-test 9 </usr/bin/bash", "gcc -O1 -o $BIN/zlib-test $SRC/zlib.c -lz", ALL, short=True),
    Program("ffmpeg", "ffmpeg", "bash $SRC/ffmpeg.sh", modes=SLOW + ("direct=off",), seconds=120),
    Program("wine", "wine64 gcc-mingw-w64-x86-64-win32 mingw-w64-x86-64-dev", "bash $SRC/wine.sh run $BIN/wine",
            "bash $SRC/wine.sh build $BIN/wine && test -x $BIN/wine/winproc.exe # winproc.c", SLOW + ("direct=off",), seconds=120),
    Program("qemu-user", "qemu-user", "qemu-x86_64 /usr/bin/perl $SRC/mixed.pl 50; qemu-x86_64 -cpu max /usr/bin/python3 $SRC/mixed.py 50; "
            "qemu-i386 -L / $BIN/exceptions-32s 20", modes=SLOW + ("direct=off",), needs=["c++-exceptions-32-static"]),

    # ---- suites of others ----
    Program("numpy", "python3-numpy python3-pytest python3-hypothesis gcc", "bash $SRC/numpy.sh", modes=SLOW + ("direct=off",), seconds=240),
    Program("stress-ng", "stress-ng", "bash $SRC/stress.sh", modes=SLOW + ("direct=off", "direct=always", "heat=1"), seconds=240),
]

# The suites that the package gcc-12-source brings, compiled once in the tree; `suite.sh` tells how.
for name, packages, seconds, modes in (
        ("gcc-torture", "gcc", 240, ALL), ("gcc-torture-32", "gcc-multilib", 240, FAST), ("gcc-ieee", "gcc", 60, ALL), ("gcc-ieee-32", "gcc-multilib", 60, FAST),
        ("gcc-i386", "gcc", 120, ALL), ("gcc-i386-32", "gcc-multilib", 120, FAST), ("g++-eh", "g++", 60, ALL), ("g++-eh-32", "g++-multilib", 60, FAST)):
    PROGRAMS.append(Program(name, packages, f"bash $SRC/suite.sh run $BIN/{name}", f"bash $SRC/suite.sh build {name} $BIN/{name}", modes, seconds, needs=["gcc-12-source"]))

# 32-bit editions of what exists, in a tree of its own at /i386.
for name, packages, run in (
        ("perl-32", "perl-base", "chroot /i386 perl -I/usr/share/perl/5.36.0 - 100 <$SRC/mixed.pl"),
        ("lua-32", "lua5.4", "chroot /i386 lua5.4 - <$SRC/mixed.lua"),
        ("luajit-32", "luajit", "chroot /i386 luajit - <$SRC/mixed.lua"),
        ("python-32", "python3-minimal libpython3-stdlib", "chroot /i386 python3 - 100 <$SRC/mixed.py"),
        ("sqlite-32", "sqlite3", "chroot /i386 sqlite3 -batch <$SRC/mixed.sql"),
        ("openssl-32", "openssl", "mount --bind /tmp /i386/tmp; sed '/^openssl prime/d; s/cmp - .tmp.in/sha1sum/' $SRC/openssl.sh | chroot /i386 bash -s"),
        ("gzip-32", "gzip bash coreutils", "chroot /i386 bash -c 'export LC_ALL=C; gzip -9n </bin/bash | sha1sum; gzip -3 </bin/bash | gzip -d | sha1sum; sha512sum /bin/ls'"),
        ("pypy-32", "pypy3", "chroot /i386 pypy3 - 50 <$SRC/mixed.py")):
    PROGRAMS.append(Program(name, "", run, modes=FAST, i386=packages))
