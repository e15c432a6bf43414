#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The mica command from outside: help against man page and completion, translations, usage errors."""
import json
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools"))
import patience  # noqa: E402

MICA = os.environ["MICA"]
SRC = os.environ["MICA_SOURCE"]


def mica(*args, **env):
    return subprocess.run([MICA, *args], capture_output=True, text=True, env={**os.environ, **env},
                          stdin=subprocess.DEVNULL, timeout=patience.seconds(20))


def help_options():
    out = mica("run", "--help").stdout
    return re.findall(r"^  --([a-z-]+)", out, re.M)


def source(path):
    with open(os.path.join(SRC, path), encoding="utf-8") as f:
        return f.read()


class Documents(unittest.TestCase):
    def test_man_page_and_help_agree(self):
        opts = help_options()
        self.assertGreater(len(opts), 10)
        man = re.findall(r"^\.It Fl -([a-z-]+)", source("man/mica-run.1"), re.M)
        self.assertEqual(sorted(opts), sorted(man))

    def test_completion_and_help_agree(self):
        text = source("completion/mica")
        last = text[text.rindex("compgen"):]
        self.assertEqual(sorted(help_options()), sorted(re.findall(r"--([a-z-]+[a-z])", last)))

    def test_completion_completes(self):
        script = 'source "$1"; COMP_WORDS=(mica run --mem); COMP_CWORD=2; _mica; echo "${COMPREPLY[@]}"'
        out = subprocess.run(["bash", "-c", script, "-", os.path.join(SRC, "completion/mica")], capture_output=True,
                             text=True, timeout=patience.seconds(20))
        self.assertEqual(out.stdout.split(), ["--memory"])

    def test_devices_of_help_are_documented(self):
        """One table of devices feeds help, completion and checks; man page and docs list the same."""
        found = {}
        for line in mica("run", "--help").stdout.splitlines():
            m = re.match(r"  ((?:disk|net|device) \S+)", line)
            if m:
                name = m.group(1)
                found[name] = []
            m = re.match(r"      ([a-z]+)=", line)
            if m:
                found[name].append(m.group(1))
        self.assertIn("disk bus=virtio", found)
        man = source("man/mica-run.1")
        man, listed, name = man[man.index(".Sh DEVICES"):man.index(".Sh EXIT")], {}, ""
        for kind, text, key in re.findall(r"(?m)^\.It (?:(disk|net|device) (\S+)|Cm ([a-z]+)=)", man):
            if kind:
                name = f"{kind} {text}"
                listed[name] = []
            else:
                listed[name].append(key)
        self.assertEqual(found, listed)
        docs = dict(re.findall(r"(?m)^\| `((?:disk|net|device) \S+)` \|[^|]*\|(.*)\|$", source("docs/run.md")))
        self.assertEqual(found, {name: re.findall(r"`([a-z]+)=", takes) for name, takes in docs.items()})

    def test_completion_knows_devices(self):
        def completed(*words):
            script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mica 2>/dev/null; echo "${COMPREPLY[@]}"'
            return subprocess.run(["bash", "-c", script, "-", os.path.join(SRC, "completion/mica"), MICA, "run", *words],
                                  capture_output=True, text=True, timeout=patience.seconds(20)).stdout.split()
        self.assertIn("virtio-rng", completed("--device", ""))
        self.assertEqual(completed("--disk", "x.img,bus=v"), ["x.img,bus=virtio"])
        self.assertEqual(completed("--disk", "x.img,qu"), ["x.img,queues="])
        self.assertEqual(completed("--net", "user,model=v"), ["user,model=virtio"])
        self.assertIn("user,model=e1000e", completed("--net", "user,mo"))

    def test_help_fits_a_terminal(self):
        for line in mica("run", "--help").stdout.splitlines():
            self.assertLessEqual(len(line), 80, line)

    def test_man_status_table(self):
        # The statuses of vmm/exit_status.h are all in the man page.
        man = source("man/mica-run.1")
        section = man[man.index(".Sh EXIT STATUS"):]
        for value in re.findall(r"STATUS_(?!SIGNAL)\w+ = (\d+)", source("src/vmm/exit_status.h")):
            self.assertRegex(section, rf"(?m)^\.It {value}$")


    def test_control_socket_tables(self):
        """docs/control-socket.md against the tables of the source."""
        doc = source("docs/control-socket.md")

        def rows(first):
            table = doc[doc.index(f"| {first} |"):].split("\n\n")[0]
            return [name for line in table.splitlines()[2:] for name in re.findall(r"`([\w-]+)`", line.split("|")[1])]
        commands = source("src/vmm/control_command.c")
        self.assertEqual(sorted(rows("command")), sorted(re.findall(r'\{ "([\w-]+)", (?:control_)?cmd_', commands)))
        events = source("src/vmm/control_event.c")
        self.assertEqual(sorted(rows("event")), sorted(re.findall(r'\[VM_EVENT_\w+\] = "(\w+)"', events)))
        names = set(re.findall(r'\{ E\w+, "([\w-]+)"', source("src/base/err_names.c")))
        for folder, _, files in os.walk(os.path.join(SRC, "src")):
            for name in files:
                if name.endswith(".c"):
                    text = source(os.path.relpath(os.path.join(folder, name), SRC))
                    names.update(re.findall(r'\berr_named\(&?\w+, "([a-z-]+)"\)', text))
        for name in ("command", "keys", "screen"):
            names.update(re.findall(r'\bcontrol_fail\(e, "([a-z-]+)"\)', source(f"src/vmm/control_{name}.c")))
        self.assertEqual(sorted(rows("code")), sorted(names))


class Commands(unittest.TestCase):
    def test_version(self):
        r = mica("--version")
        self.assertEqual(r.returncode, 0)
        self.assertRegex(r.stdout, r"^mica \d+\.\d+")

    def test_help(self):
        for args in (["--help"], ["help"], ["-h"]):
            r = mica(*args)
            self.assertEqual((r.returncode, r.stderr), (0, ""))
            self.assertIn("run", r.stdout)
        self.assertEqual(mica("help", "run").stdout, mica("run", "--help").stdout)

    def test_doctor(self):
        r = mica("doctor", "--json")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        checks = json.loads(r.stdout)["checks"]
        names = [c["name"] for c in checks]
        documented = re.findall(r"(?m)^\.It (\w+)$", source("man/mica-doctor.1"))
        # What KVM offers is looked at where there is KVM.
        if next(c for c in checks if c["name"] == "kvm")["ok"]:
            self.assertEqual(sorted(names), sorted(documented))
        else:
            self.assertEqual(sorted(names), sorted(n for n in documented if n in names or not n.startswith("kvm_")))
        for c in checks:
            self.assertIsInstance(c["ok"], bool)
            self.assertTrue(c["detail"])
            self.assertEqual("cost" in c, not c["ok"], c)
        # KVM is judged by running it, so the words must fit the machine.
        kvm = next(c for c in checks if c["name"] == "kvm")
        if not os.path.exists("/dev/kvm"):
            self.assertFalse(kvm["ok"])
        text = mica("doctor")
        self.assertEqual(text.returncode, 0)
        self.assertEqual([line[0] == "+" for line in text.stdout.splitlines() if line[0] in "+-"],
                         [c["ok"] for c in checks])
        self.assertEqual(mica("doctor", "--frob").returncode, 2)

    def test_usage_errors(self):
        for args, words in ((["frob"], "'frob' is not a command"),
                            ([], "Usage"),
                            (["run"], "nothing to boot"),
                            (["run", "--memory", "12Q"], "mica run: --memory: '12Q' is not a size; write 512M or 2G"),
                            (["run", "--frob"], "--frob: no such option")):
            r = mica(*args)
            self.assertEqual((r.returncode, r.stdout), (2, ""), args)
            self.assertIn(words, r.stderr)

    def test_commands_for_a_vm_are_called_alike(self):
        words = {"save": ["--output", "/dev/null/x"], "insert": ["x"], "eject": [], "screenshot": ["x"], "type": ["x"], "sendkey": ["x"]}
        for name, rest in words.items():
            for args, complaint in (([], "no VM: name its control socket with --control PATH"), (["--control"], "--control: needs a value"),
                                    (["--frob"], f"--frob: no such option; see mica {name} --help"),
                                    (["--control", "c", *rest, "y", "z"], "one thing too many")):
                r = mica(name, *args)
                self.assertEqual((r.returncode, r.stdout), (2, ""), (name, args))
                self.assertIn(complaint, r.stderr)
            r = mica(name, "--control", "/nonexistent", *rest)
            self.assertEqual((r.returncode, r.stderr), (1, f"mica {name}: /nonexistent: cannot reach a VM there: No such file or directory\n"))
            if rest:
                self.assertRegex(mica(name, "--control", "/nonexistent").stderr, rf"^mica {name}: no (file|medium|text|key): ")
            self.assertIn("--control PATH", mica(name, "--help").stdout)
            self.assertEqual(mica(name, "--help").stdout, mica("help", name).stdout)
            self.assertIn(".Fl -control Ar path", source(f"man/mica-{name}.1"))


class Korean(unittest.TestCase):
    def test_help_is_korean(self):
        out = mica("run", "--help", LC_ALL="C.UTF-8", LANGUAGE="ko").stdout
        self.assertRegex(out, "[가-힣]")

    def test_all_is_translated(self):
        try:
            files = [os.path.join(SRC, f) for f in source("po/POTFILES").split()]
            pot = subprocess.run(["xgettext", *source("po/options").split(), "-o", "-", *files],
                                 capture_output=True, check=True, timeout=patience.seconds(30)).stdout
            po = os.path.join(SRC, "po/ko.po")
            merged = subprocess.run(["msgmerge", "-q", "--no-fuzzy-matching", "-o", "-", po, "-"], input=pot,
                                    capture_output=True, check=True, timeout=patience.seconds(30)).stdout
        except FileNotFoundError:
            self.skipTest("no gettext tools")
        for flag in ("--untranslated", "--only-fuzzy"):
            left = subprocess.run(["msgattrib", flag, "--no-obsolete", "-"], input=merged, capture_output=True, check=True).stdout
            self.assertEqual(left.decode(), "", "messages without a Korean translation")
        subprocess.run(["msgfmt", "--check", "-o", "/dev/null", po], check=True)

    def sources(self):
        for folder, _, names in os.walk(os.path.join(SRC, "src")):
            for name in sorted(names):
                if name.endswith(".c"):
                    yield os.path.relpath(os.path.join(folder, name), SRC)

    def test_every_file_with_messages_is_listed(self):
        listed = source("po/POTFILES").split()
        have = [path for path in self.sources() if re.search(r"\b(err_set|err_sys|err_prefix|state_bad|log_error|log_warn|log_guest|MSG|N?_)\(", source(path))]
        self.assertEqual(sorted(have), sorted(listed))

    def test_errors_are_translated_where_they_are_shown(self):
        """Not where they are made: what goes into struct err is English (base/err.h)."""
        for path in self.sources():
            for call in re.findall(r"\berr_(?:set|sys|prefix)\([^;]*;", source(path)):
                self.assertNotRegex(call, r"\W_\(", path)


if __name__ == "__main__":
    sys.exit(unittest.main())
