#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mica image from outside: its command line, what it prints, its exit statuses, the files that it makes; beside qemu-img where that is installed."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools"))
import patience  # noqa: E402

MICA = os.environ["MICA"]
SRC = os.environ["MICA_SOURCE"]
KIB, MIB = 1 << 10, 1 << 20
VERBS = "create info convert resize check snapshot commit rebase map compare measure".split()
# Our name: (qemu-img's, its options for a new image).
FORMATS = {"raw": ("raw", []), "qcow2": ("qcow2", []), "vdi": ("vdi", []), "vpc": ("vpc", ["force_size=on"]), "vhdx": ("vhdx", []), "vmdk": ("vmdk", []),
           "parallels": ("parallels", [])}


def run(*args, **kw):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=patience.seconds(60), **kw)


def mica(*args, **env):
    return run(MICA, "image", *args, env={**os.environ, **env})


def source(path):
    with open(os.path.join(SRC, path), encoding="utf-8") as f:
        return f.read()


def formats():
    """{name: can be made}, as the help says."""
    text = mica("create", "--help").stdout
    return {name: "(read only)" not in rest for name, rest in re.findall(r"(?m)^  ([a-z0-9]+) +(\S.*)$", text[text.index("(-o)"):])}


def opts(options):
    return ["-o", ",".join(options)] if options else []


class Temporary(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.before = os.getcwd()
        os.chdir(self.dir)
        self.addCleanup(os.chdir, self.before)

    def ok(self, *args):
        r = mica(*args)
        self.assertEqual((r.returncode, r.stderr), (0, ""), args)
        return r.stdout

    def fails(self, status, words, *args):
        r = mica(*args)
        self.assertEqual(r.returncode, status, (args, r.stdout, r.stderr))
        self.assertIn(words, r.stderr, args)

    def raw(self, name, size=4 * MIB, seed=1, parts=12):
        """A sparse raw disk: pieces of data, zeros, and holes, at sectors."""
        rnd = random.Random(seed)
        with open(name, "wb") as f:
            f.truncate(size)
            for _ in range(parts):
                n = rnd.choice((512, 4 * KIB, 64 * KIB, 200 * KIB)) // 512 * 512
                f.seek(rnd.randrange((size - n) // 512) * 512)
                f.write(bytes(n) if rnd.random() < 0.2 else rnd.randbytes(n))
        return name


class CommandLine(Temporary):
    def test_man_page_and_help_agree(self):
        man = source("man/mica-image.1")
        self.assertEqual(re.findall(r"(?m)^  (\w+)", mica("--help").stdout[mica("--help").stdout.index("Verbs:"):]), VERBS)
        for verb in VERBS:
            text = mica(verb, "--help").stdout
            section = re.search(rf"(?ms)^\.Ss mica image {verb}\n(.*?)^\.S[sh] ", man).group(1)
            self.assertEqual(sorted(re.findall(r"(?m)^\s+(?:-., )?--([a-z-]+)", text)), sorted(re.findall(r"(?m)^\.It Fl -([a-z-]+)", section)), verb)

    def test_completion(self):
        def completed(*words):
            script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mica 2>/dev/null; echo "${COMPREPLY[@]}"'
            return run("bash", "-c", script, "-", os.path.join(SRC, "completion/mica"), MICA, *words).stdout.split()
        self.assertEqual([w for w in completed("image", "") if w[0] != "-"], VERBS)
        self.assertEqual(completed("image", "check", "--rep"), ["--repair"])
        self.assertEqual(completed("image", "convert", "-O", "ra"), ["raw"])

    def test_usage_errors(self):
        self.raw("a")
        for args, words in ((["frob"], "'frob' is not a verb"), ([], "Usage"), (["info"], "a file is missing"), (["info", "a", "b"], "'b': one thing too many"),
                            (["info", "--frob", "a"], "--frob: no such option"), (["create", "-f"], "-f: needs a value")):
            self.fails(2, words, *args)
        self.fails(1, "No such file", "info", "none")
        self.fails(1, "neither a file nor a block device", "info", self.dir)
        self.fails(1, "'frob' is no format; there are raw", "info", "-f", "frob", "a")
        self.fails(1, "is not a size", "create", "b", "12Q")
        self.fails(1, "how large", "create", "b")
        self.fails(1, "no such option", "create", "-o", "frob=1", "b", "1M")
        self.fails(2, "NAME=VALUE", "create", "-o", "frob", "b", "1M")
        self.fails(1, "--backing all", "info", "--backing", "all", "a")
        self.assertEqual(os.listdir("."), ["a"])

    def test_raw_is_said(self):
        self.raw("a")
        for verb, *more in (("map",), ("check",), ("resize", "1M"), ("convert", "b"), ("measure",)):
            self.fails(1, "if it is raw, say so", verb, "a", *more)
        self.fails(2, "if it is raw, say so", "compare", "a", "a")
        self.assertIn("say -f raw", self.ok("info", "a"))
        self.assertNotIn("say -f raw", self.ok("info", "-f", "raw", "a"))
        self.assertEqual(os.listdir("."), ["a"])

    def test_korean(self):
        self.raw("a")
        r = mica("info", "a", LC_ALL="C.UTF-8", LANGUAGE="ko")
        self.assertIn("가상 크기: 4 MiB", r.stdout)


class Raw(Temporary):
    def test_create_and_replace(self):
        self.ok("create", "a", "1M")
        self.assertEqual((os.stat("a").st_size, os.stat("a").st_mode & 0o777 & ~0o666), (MIB, 0))
        self.fails(1, "a: there is one already", "create", "a", "2M")
        self.ok("create", "--force", "a", "2M")
        self.assertEqual((os.stat("a").st_size, os.listdir(".")), (2 * MIB, ["a"]))

    def test_info_and_map(self):
        self.ok("create", "a", "1M")
        with open("a", "r+b") as f:
            f.seek(64 * KIB)
            f.write(b"x" * 4096)
        info = json.loads(self.ok("info", "--json", "a"))
        self.assertEqual((info["format"], info["virtual-size"], info["guessed"], info["snapshots"]), ("raw", MIB, True, []))
        runs = json.loads(self.ok("map", "-f", "raw", "--json", "a"))
        self.assertEqual([(r["start"], r["length"], r["data"], r["zero"]) for r in runs],
                         [(0, 64 * KIB, False, True), (64 * KIB, 4096, True, False), (68 * KIB, MIB - 68 * KIB, False, True)])
        self.assertEqual(runs[1]["offset"], 64 * KIB)
        part = json.loads(self.ok("map", "-f", "raw", "--json", "-s", "64K", "-l", "512", "a"))
        self.assertEqual([(r["start"], r["length"]) for r in part], [(64 * KIB, 512)])

    def test_resize(self):
        self.ok("create", "a", "1M")
        self.ok("resize", "-f", "raw", "a", "+1M")
        self.assertEqual(os.stat("a").st_size, 2 * MIB)
        self.fails(1, "--shrink", "resize", "-f", "raw", "a", "1M")
        self.ok("resize", "-f", "raw", "--shrink", "--", "a", "-1536K")
        self.assertEqual(os.stat("a").st_size, 512 * KIB)
        self.fails(1, "new size", "resize", "-f", "raw", "--shrink", "--", "a", "-1G")

    def test_convert_keeps_it_sparse(self):
        self.raw("a", 64 * MIB)
        with open("a", "r+b") as f:
            f.seek(32 * MIB)
            f.write(bytes(8 * MIB))
        self.ok("convert", "-f", "raw", "a", "b")
        self.assertEqual(run("cmp", "a", "b").stdout, "")
        self.assertLess(os.stat("b").st_blocks * 512, os.stat("a").st_blocks * 512 - 7 * MIB)
        self.ok("convert", "-f", "raw", "-S", "0", "a", "c")
        self.assertGreaterEqual(os.stat("c").st_blocks * 512, 64 * MIB)
        self.ok("convert", "-f", "raw", "-t", "unsafe", "--force", "a", "c")
        self.assertEqual(run("cmp", "a", "c").stdout, "")
        self.assertLess(os.stat("c").st_blocks * 512, 8 * MIB)

    def test_convert_into_an_existing_one(self):
        self.raw("a")
        with open("b", "wb") as f:
            f.write(b"\xff" * (5 * MIB))
        self.fails(1, "there is one already", "convert", "-f", "raw", "a", "b")
        self.ok("convert", "-f", "raw", "-n", "a", "b")
        self.ok("compare", "-f", "raw", "-F", "raw", "a", "b")
        self.ok("resize", "-f", "raw", "--shrink", "b", "1M")
        self.fails(1, "does not hold", "convert", "-f", "raw", "-n", "a", "b")

    def test_compare(self):
        self.raw("a")
        shutil.copy("a", "b")
        two = ["compare", "-f", "raw", "-F", "raw", "a", "b"]
        self.assertEqual(self.ok(*two), "what they hold is the same\n")
        with open("b", "r+b") as f:
            f.truncate(5 * MIB)
        self.assertIn("different sizes", self.ok(*two))
        self.assertEqual(mica(*two, "-s").returncode, 1)
        with open("b", "r+b") as f:
            f.seek(5 * MIB - 1)
            f.write(b"1")
        r = mica(*two, "--json")
        self.assertEqual(r.returncode, 1)
        self.assertEqual(json.loads(r.stdout), {"same": False, "sizes": [4 * MIB, 5 * MIB], "offset": 5 * MIB - 1, "difference": "tail"})
        with open("b", "r+b") as f:
            f.seek(3 * MIB + 5)
            was = f.read(1)
            f.seek(3 * MIB + 5)
            f.write(bytes([was[0] ^ 1]))
        r = mica(*two, "--json")
        self.assertEqual((r.returncode, json.loads(r.stdout)["offset"]), (1, 3 * MIB + 5))
        self.fails(2, "No such file", "compare", "-f", "raw", "-F", "raw", "a", "c")

    def test_check_and_measure(self):
        self.raw("a")
        self.fails(63, "nothing that could be checked", "check", "-f", "raw", "a")
        sizes = json.loads(self.ok("measure", "-f", "raw", "--json", "a"))
        self.assertEqual(sizes["fully-allocated"], 4 * MIB)
        self.assertEqual(json.loads(self.ok("measure", "--size", "3M", "--json")), {"required": 0, "fully-allocated": 3 * MIB})
        self.fails(1, "either", "measure", "--size", "3M", "-f", "raw", "a")

    def test_in_use(self):
        """A lock as mica-vmm takes it (block/image_lock.h)."""
        self.ok("create", "a", "1M")
        import fcntl
        import struct
        with open("a", "r+b") as f:
            fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))  # F_OFD_SETLK
            self.assertEqual(mica("resize", "-f", "raw", "a", "2M").returncode, 1)
            self.assertEqual(mica("create", "--force", "a", "2M").returncode, 1)
            self.assertEqual(mica("info", "a").returncode, 1)
            self.ok("info", "-U", "a")
        self.ok("resize", "-f", "raw", "a", "2M")

    def test_ctrl_c_leaves_nothing(self):
        with open("a", "wb") as f:
            f.truncate(1 << 40)
            for i in range(3000):
                f.seek(i * 200 * MIB)
                f.write(b"x")
        p = subprocess.Popen([MICA, "image", "convert", "-f", "raw", "-p", "-S", "0", "a", "b"], stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + patience.seconds(20)
        while len(os.listdir(".")) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.1)
        p.send_signal(signal.SIGINT)
        self.assertIn("given up", p.communicate(timeout=patience.seconds(20))[1])
        self.assertEqual((p.returncode, os.listdir(".")), (130, ["a"]))


def have(name):
    return name in formats()


class Chains(Temporary):
    """Images that are based on others, made without anybody's help: convert -B keeps what differs."""

    def setUp(self):
        super().setUp()
        if not have("qcow2"):
            self.skipTest("no format here is based on others")
        self.raw("old", seed=1)
        shutil.copy("old", "new")
        with open("new", "r+b") as f:
            for off, data in ((70000, b"a" * 5000), (MIB, bytes(MIB)), (3 * MIB + 512, b"b" * 300000)):
                f.seek(off)
                f.write(data)
        self.ok("convert", "-f", "raw", "-O", "qcow2", "old", "base")
        self.ok("convert", "-f", "raw", "-O", "qcow2", "-B", "base", "new", "top")

    def same(self, image, raw):
        self.ok("compare", "-f", "raw", "-F", "qcow2", raw, image)
        self.assertIn("no errors", self.ok("check", "-f", "qcow2", image))

    def test_what_differs_is_written(self):
        self.same("top", "new")
        self.assertLess(os.stat("top").st_size, MIB)
        info = json.loads(self.ok("info", "--chain", "--json", "-f", "qcow2", "top"))
        self.assertEqual([(i["filename"], i["format"], i.get("backing-filename")) for i in info], [("top", "qcow2", "base"), ("base", "qcow2", None)])
        depths = {r["depth"] for r in json.loads(self.ok("map", "--json", "-f", "qcow2", "top")) if r["data"]}
        self.assertEqual(depths, {0, 1})

    def test_commit(self):
        self.ok("commit", "-f", "qcow2", "top")
        self.same("base", "new")
        self.same("top", "new")
        self.assertNotIn(0, {r["depth"] for r in json.loads(self.ok("map", "--json", "-f", "qcow2", "top"))})
        self.fails(1, "based on no other image", "commit", "-f", "qcow2", "base")

    def test_commit_and_keep(self):
        self.ok("commit", "-f", "qcow2", "-d", "top")
        self.same("base", "new")
        self.assertIn(0, {r["depth"] for r in json.loads(self.ok("map", "--json", "-f", "qcow2", "top"))})

    def test_commit_into_a_smaller_one(self):
        self.ok("resize", "-f", "qcow2", "top", "6M")
        with open("new", "r+b") as f:
            f.truncate(6 * MIB)
        self.ok("commit", "-f", "qcow2", "top")
        self.same("base", "new")

    def test_rebase(self):
        self.raw("third", seed=9)
        self.ok("convert", "-f", "raw", "-O", "qcow2", "third", "base3")
        self.ok("rebase", "-f", "qcow2", "-b", "base3", "top")
        self.assertEqual(json.loads(self.ok("info", "--json", "-f", "qcow2", "top"))["backing-filename"], "base3")
        self.same("top", "new")
        self.ok("rebase", "-f", "qcow2", "-b", "", "top")
        self.assertNotIn("backing-filename", json.loads(self.ok("info", "--json", "-f", "qcow2", "top")))
        os.unlink("base3")
        self.same("top", "new")
        shutil.move("base", "moved")
        self.ok("convert", "-f", "raw", "-O", "qcow2", "-B", "moved", "new", "top2")
        shutil.move("moved", "base")
        self.fails(1, "No such file", "map", "-f", "qcow2", "top2")
        self.fails(1, "say the format", "rebase", "-f", "qcow2", "-u", "-b", "base", "top2")
        self.ok("rebase", "-f", "qcow2", "-u", "-b", "base", "-F", "qcow2", "top2")
        self.same("top2", "new")

    def test_names_lead_nowhere_else(self):
        os.mkdir("sub")
        self.ok("create", "-f", "qcow2", "-b", "../base", "sub/top.qcow2")
        self.fails(1, "--backing any", "map", "sub/top.qcow2")
        self.ok("map", "--backing", "any", "sub/top.qcow2")
        self.ok("info", "sub/top.qcow2")
        self.fails(1, "could have written that", "map", "top")
        self.ok("create", "-f", "qcow2", "-u", "-b", "json:{}", "-F", "qcow2", "j.qcow2", "1M")
        self.fails(1, "no file", "map", "j.qcow2")

    def test_killed_at_any_moment(self):
        """Whatever was going on: the image shows the same disk, and has no errors; at the end it is done."""
        rnd = random.Random(4)
        for verb in (["commit"], ["rebase", "-b", ""]):
            for _ in range(4):
                p = subprocess.Popen([MICA, "image", verb[0], "-f", "qcow2", *verb[1:], "top"], stderr=subprocess.DEVNULL)
                time.sleep(rnd.random() * 0.03)
                p.kill()
                p.wait()
                for image in ("top", "base"):
                    end = time.monotonic() + patience.seconds(10)
                    while mica("check", "-f", "qcow2", "-r", "leaks", image).returncode == 1 and time.monotonic() < end:
                        time.sleep(0.01)  # its process has the lock for a moment longer
                self.same("top", "new")


class Snapshots(Temporary):
    def test_snapshots(self):
        if not have("qcow2"):
            self.skipTest("no format here has snapshots")
        self.raw("a", seed=1)
        self.raw("b", seed=2)
        self.ok("convert", "-f", "raw", "-O", "qcow2", "a", "i.qcow2")
        self.ok("snapshot", "-c", "first", "i.qcow2")
        self.ok("convert", "-f", "raw", "-O", "qcow2", "-n", "b", "i.qcow2")
        self.ok("compare", "-f", "raw", "b", "i.qcow2")
        self.assertIn("first", self.ok("snapshot", "i.qcow2"))
        self.ok("snapshot", "-a", "first", "i.qcow2")
        self.ok("compare", "-f", "raw", "a", "i.qcow2")
        self.ok("snapshot", "-d", "first", "i.qcow2")
        self.assertEqual(json.loads(self.ok("snapshot", "--json", "i.qcow2"))["snapshots"], [])
        self.assertEqual(mica("snapshot", "-d", "first", "i.qcow2").returncode, 1)
        self.fails(1, "at a time", "snapshot", "-l", "-c", "x", "i.qcow2")
        self.ok("check", "i.qcow2")


class Pairs(Temporary):
    """Every format into every other one, and beside qemu-img."""

    def setUp(self):
        super().setUp()
        self.formats = {n: FORMATS[n] for n, can in formats().items() if can and n in FORMATS}
        self.raw("a", seed=7)

    def same(self, name, image):
        self.ok("compare", "-f", "raw", "-F", name, "a", image)
        if name != "raw" and mica("check", "-f", name, image).returncode not in (0, 63):
            self.fail(f"{name}: errors")

    def test_every_pair(self):
        """One copy of the copy before, on a way that takes each pair of formats once."""
        names = list(self.formats)
        left, way, circuit = {n: list(names) for n in names}, ["raw"], []
        while way:
            circuit += [] if left[way[-1]] else [way.pop()]
            if way and left[way[-1]]:
                way.append(left[way[-1]].pop())
        self.assertEqual(len(circuit), len(names) ** 2 + 1)
        shutil.copy("a", "one")
        for one, two in zip(circuit, circuit[1:]):
            self.ok("convert", "--force", "-t", "unsafe", "-f", one, "-O", two, *opts(self.formats[two][1]), "one", "two")
            os.rename("two", "one")
            if one == two:
                self.same(one, "one")
        self.same(circuit[-1], "one")

    def test_compressed(self):
        for name, (_, options) in self.formats.items():
            r = mica("convert", "--force", "-f", "raw", "-O", name, *opts(options), "-c", "a", "c")
            if name == "qcow2":
                self.assertEqual((r.returncode, r.stderr), (0, ""))
            if r.returncode == 0:
                self.same(name, "c")
            else:
                self.assertIn("not compressed", r.stderr)

    @unittest.skipUnless(shutil.which("qemu-img"), "no qemu-img")
    def test_beside_qemu_img(self):
        for name, (theirs, options) in self.formats.items():
            self.ok("convert", "--force", "-f", "raw", "-O", name, *opts(options), "a", "ours")
            r = run("qemu-img", "compare", "-f", "raw", "-F", theirs, "a", "ours")
            self.assertEqual((r.returncode, r.stdout), (0, "Images are identical.\n"), name)
            r = run("qemu-img", "convert", "-f", "raw", "-O", theirs, *opts(options), "a", "theirs")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.same(name, "theirs")
            # Both see the same disk where they agree about what lies in which place.
            mine = json.loads(self.ok("map", "-f", name, "--json", "theirs"))
            qemu = json.loads(run("qemu-img", "map", "-f", theirs, "--output=json", "theirs").stdout)
            self.assertEqual(sum(r["length"] for r in mine), sum(r["length"] for r in qemu))
            if name in ("raw", "qcow2"):
                def places(runs):
                    return [(r["start"], r["length"], r["offset"]) for r in runs if r["data"]]
                self.assertEqual(places(mine), places(qemu), name)

    @unittest.skipUnless(shutil.which("qemu-io") and shutil.which("qemu-img"), "no qemu-io")
    def test_written_to_by_qemu_io(self):
        """Random writes, zeros and discards by QEMU into an overlay of ours; then ours commits it."""
        if not have("qcow2"):
            self.skipTest("no format here is based on others")
        rnd = random.Random(3)
        self.ok("convert", "-f", "raw", "-O", "qcow2", "a", "base")
        self.ok("create", "-f", "qcow2", "-b", "base", "-F", "qcow2", "-o", "cluster_size=4k", "top")
        commands = []
        with open("a", "r+b") as f:
            for _ in range(60):
                n = rnd.randrange(1, 200) * 512
                off = rnd.randrange((4 * MIB - n) // 512) * 512
                byte = rnd.randrange(1, 255)
                zero = rnd.random() < 0.3
                commands += ["-c", f"write -z {off} {n}" if zero else f"write -P {byte} {off} {n}"]
                f.seek(off)
                f.write(bytes(n) if zero else bytes([byte]) * n)
        r = run("qemu-io", "-f", "qcow2", *commands, "top")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.same("qcow2", "top")
        self.ok("commit", "-f", "qcow2", "top")
        self.same("qcow2", "base")
        r = run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", "a", "base")
        self.assertEqual(r.returncode, 0, r.stdout)
        for image in ("top", "base"):
            self.assertEqual(run("qemu-img", "check", "-f", "qcow2", image).returncode, 0)

    @unittest.skipUnless(shutil.which("qemu-img"), "no qemu-img")
    def test_measure(self):
        for name, (theirs, _) in self.formats.items():
            if theirs != "qcow2":
                continue
            mine = json.loads(self.ok("measure", "-f", "raw", "-O", name, "--json", "a"))
            qemu = json.loads(run("qemu-img", "measure", "-f", "raw", "-O", theirs, "--output=json", "a").stdout)
            self.assertEqual(mine, {k: qemu[k] for k in mine}, name)


if __name__ == "__main__":
    sys.exit(unittest.main())
