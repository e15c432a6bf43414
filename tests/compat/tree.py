# SPDX-License-Identifier: GPL-2.0-or-later
"""tree.py - the Debian tree that guest and host run programs in, and the programs that are compiled in it.

mmdebstrap installs the packages; `mke2fs -d` writes the tree as the guest's first disk (read-only), while the host uses the folder itself: the same
bytes on both sides. Packages that are 32-bit are unpacked into /i386 of the tree. A tree's name holds a hash of its packages and
recipe. What is compiled lies beside it, a folder for each program and a stamp of what it was made from, and becomes the second disk.

Without root everything that has owners is done in a user namespace, with the ids of /etc/subuid.
"""
import fcntl
import glob
import hashlib
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BASE = "bash coreutils util-linux gzip iproute2 hostname sed grep gawk findutils"
# Nothing that runs reads these. One qemu-user is enough, and one kind of Go's library.
LEFT_OUT = ["/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/lib/jvm/*/jmods/*", "/usr/libx32/*",
            "/usr/lib/ocaml/compiler-libs/*", "/usr/bin/qemu-[!xi]*", "/usr/bin/qemu-xtensa*"]
RECIPE = "1"  # raise it when make_tree() makes another tree out of the same packages
SOURCE_PACKAGE = "gcc-12-source"
SOURCES = ("gcc.c-torture/execute", "gcc.target/i386", "g++.dg/eh", "g++.old-deja/g++.eh", "config", "lib")


class TreeError(Exception):
    """What could not be made, and what to do."""


def mkimage():
    """tools/mkimage as a module: it knows the host's mirror."""
    loader = importlib.machinery.SourceFileLoader("mkimage", os.path.join(TOP, "tools", "mkimage"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("mkimage", loader))
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


def privileged():
    return [] if os.geteuid() == 0 else ["unshare", "--user", "--map-auto", "--map-root-user"]


def call(argv, log, what, env=None):
    with open(log, "a", encoding="utf-8") as f:
        status = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT,
                                env=dict(env or os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")).returncode
    if status:
        with open(log, encoding="utf-8", errors="replace") as f:
            tail = "".join("    " + line for line in f.readlines()[-12:])
        raise TreeError(f"{what} failed (status {status}); the end of {log}:\n{tail}")


def remove(path):
    if os.path.lexists(path):
        subprocess.run(privileged() + ["rm", "-rf", "--one-file-system", path], check=True)


def digest(*parts):
    h = hashlib.sha256()
    for p in parts:
        h.update(p if isinstance(p, bytes) else p.encode())
        h.update(b"\0")
    return h.hexdigest()[:12]


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Tree:
    def __init__(self, cache, kind, programs, say):
        """kind: a name; programs: all that the tree is for; say(text) shows progress."""
        self.say = say
        self.kind = kind
        self.packages = sorted(set(BASE.split()).union(*(p.packages.split() for p in programs)))
        self.i386 = sorted(set().union(*(p.i386.split() for p in programs)))
        key = digest(RECIPE, *self.packages, "", *self.i386, "", *LEFT_OUT)
        self.cache = os.path.abspath(cache)
        self.path = os.path.join(self.cache, f"compat-{kind}-{key}")
        self.root = os.path.join(self.path, "tree")
        self.disk = os.path.join(self.path, "tree.raw")
        self.programs = os.path.join(self.path, "programs")
        self.programs_disk = os.path.join(self.path, "programs.raw")
        self.log = os.path.join(self.path, "log")

    def make(self):
        os.makedirs(self.cache, exist_ok=True)
        with open(os.path.join(self.cache, ".lock-compat"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(self.disk):
                # Several GiB that nobody will use again.
                for old in glob.glob(os.path.join(self.cache, f"compat-{self.kind}-*")):
                    remove(old)
                self.make_tree()
        return self

    def make_tree(self):
        os.makedirs(self.path)
        self.debootstrap("amd64", "minbase", self.packages, self.root)
        if self.i386:
            self.debootstrap("i386", "extract", self.i386, os.path.join(self.root, "i386"))
        self.say("writing the disk")
        call(privileged() + ["sh", "-ec", 'cd "$0"; rm -rf dev/* proc/* sys/* run/* tmp/*; mkdir -p compat; echo compat >etc/hostname; '
                             'printf "127.0.0.1 localhost compat\\n" >etc/hosts; for d in i386; do [ ! -d $d ] || mkdir -p $d/tmp $d/proc $d/dev; done',
                             self.root], self.log, "cleaning the tree")
        self.write_disk(self.root, self.disk)

    def debootstrap(self, arch, variant, packages, target):
        self.say(f"installing {len(packages)} packages of Debian 12 ({arch}; once, kept in {os.path.relpath(self.path)})")
        image = mkimage()
        argv = ["mmdebstrap", f"--variant={variant}", f"--architectures={arch}", "--format=directory", "--mode=root", "--include=" + ",".join(packages),
                "--skip=check/empty"]
        argv += ["--aptopt=" + o for o in image.host_apt_options() + ['Acquire::Languages "none"', 'APT::Install-Recommends "false"']]
        argv += ["--dpkgopt=force-unsafe-io"] + ["--dpkgopt=path-exclude=" + p for p in LEFT_OUT]
        sources = image.host_sources()
        if variant == "extract":  # nothing of it is shared with the rest, so the release as it was published will do
            sources = [line for line in sources if image.RELEASE + "-security" not in line]
        argv += [image.RELEASE, target] + sources
        call(privileged() + argv, self.log, "mmdebstrap", dict(os.environ, LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive"))

    def write_disk(self, folder, disk):
        used = int(subprocess.run(privileged() + ["du", "-sk", folder], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0])
        files = int(subprocess.run(privileged() + ["du", "-s", "--inodes", folder], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0])
        new = disk + ".new"
        remove(new)
        # No journal: it is mounted read-only.
        call(privileged() + ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-N", str(files + 1000), "-E", "lazy_itable_init=0",
                             "-d", folder, new, f"{used + used // 8 + 40000}k"], self.log, "mke2fs")
        os.rename(new, disk)

    # ---- what is compiled ----

    def key_of(self, program):
        """Of all that makes a program's result."""
        sources = sorted(glob.glob(os.path.join(HERE, "src", "*")))
        return digest(self.path, program.run, program.build, *(read(p) for p in sources if os.path.basename(p) in program.run + program.build))

    def fetch_sources(self):
        """The suites of gcc's package of sources, in programs/gcc."""
        target = os.path.join(self.programs, "gcc")
        if os.path.exists(target):
            return
        self.say(f"fetching {SOURCE_PACKAGE}")
        work = target + ".new"
        remove(work)
        os.makedirs(work)
        sources = " ".join(f"'*/testsuite/{s}/*'" for s in SOURCES)
        call(["sh", "-ec", f'cd "$0"; apt-get -q -o APT::Sandbox::User= download {SOURCE_PACKAGE}; dpkg-deb --fsys-tarfile *.deb | tar xf - --wildcards "*/gcc-*.tar.xz"; '
              f'tar xf usr/src/*/gcc-*.tar.xz --strip-components=1 --wildcards {sources}; rm -rf *.deb usr', work], self.log, f"fetching {SOURCE_PACKAGE}")
        os.rename(work, target)

    def build(self, programs, env):
        """Compiles what has changed and writes the second disk; returns {name: why} of what does not compile. env: a folder with the jobs'
        surroundings."""
        os.makedirs(os.path.join(self.programs, "bin"), exist_ok=True)
        stamps = os.path.join(self.path, "stamps")
        os.makedirs(stamps, exist_ok=True)
        if any(SOURCE_PACKAGE in p.needs for p in programs):
            self.fetch_sources()
        sources = {os.path.basename(p): read(p) for p in sorted(glob.glob(os.path.join(HERE, "src", "*")))}
        folder = os.path.join(self.programs, "src")
        changed = not os.path.exists(self.programs_disk)
        if not os.path.isdir(folder) or {n: read(os.path.join(folder, n)) for n in os.listdir(folder)} != sources:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(os.path.join(HERE, "src"), folder)
            # gdb says so when a source is younger than what was made of it.
            for name in sources:
                os.utime(os.path.join(folder, name), (0, 0))
            changed = True
        failed = {}
        for p in programs:
            if not p.build:
                continue
            stamp = os.path.join(stamps, p.name)
            want = digest(p.build, *(data for name, data in sources.items() if name in p.build))
            if os.path.exists(stamp) and read(stamp).decode() == want:
                continue
            self.say(f"compiling {p.name}")
            try:
                call([os.path.join(HERE, "inside"), self.root, self.programs, env, "rw", "bash", "-ec",
                      f"export LC_ALL=C.UTF-8 HOME=/tmp SRC=/compat/src BIN=/compat/bin; cd /tmp; {p.build}"], self.log, f"compiling {p.name}")
            except TreeError as e:
                failed[p.name] = str(e)
                continue
            with open(stamp, "w", encoding="utf-8") as f:
                f.write(want)
            changed = True
        if changed:
            self.say("writing the disk of programs")
            self.write_disk_of_programs()
        return failed

    def write_disk_of_programs(self):
        # Without the suites' sources.
        stage = self.programs + ".stage"
        remove(stage)
        os.makedirs(stage)
        for part in ("src", "bin"):
            call(["cp", "-al", os.path.join(self.programs, part), stage], self.log, "copying")
        self.write_disk(stage, self.programs_disk)
        remove(stage)
