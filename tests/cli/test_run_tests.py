#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/run-tests itself: which time limits there are, and what is said of a test that fails and then passes."""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import sys
import tempfile
import unittest
from unittest import mock

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("run_tests", os.path.join(TOP, "tools", "run-tests"))
run_tests = importlib.util.module_from_spec(importlib.util.spec_from_loader("run_tests", loader))
loader.exec_module(run_tests)
import patience  # noqa: E402

REPORT = '<testsuites><testsuite tests="{n}" failures="{bad}" errors="0" skipped="0">{cases}</testsuite></testsuites>'


class Limits(unittest.TestCase):
    def test_none_for_the_whole(self):
        """A step begins hours after the first one: it has all of its time."""
        runner = run_tests.Runner("build", 30)
        later = run_tests.time.monotonic() + 10 * 3600
        with mock.patch.object(run_tests.time, "monotonic", lambda: later):
            self.assertEqual(runner.call([sys.executable, "-c", "pass"]), 0)

    def test_a_hang_is_ended(self):
        runner = run_tests.Runner("build", 0.2)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            self.assertIsNone(runner.call(["sleep", "600"]))
        self.assertIn("(ended after 0 s)", said.getvalue())

    def test_the_factor_stretches_them(self):
        runner = run_tests.Runner("build", 0.05)
        runner.factor = 1000.0
        self.assertEqual(runner.call([sys.executable, "-c", "import os, time; time.sleep(0.5); "
                                      "raise SystemExit(os.environ['MICA_TEST_PATIENCE'] != '1000.0')"]), 0)

    def test_a_busy_machine_has_more(self):
        for load, cpus, want in ((0.1, 2, 5), (2.0, 2, 5), (8.0, 2, 20), (4.0, 1, 20)):
            with mock.patch.object(os, "getloadavg", lambda load=load: (load, 0, 0)), mock.patch.object(os, "cpu_count", lambda cpus=cpus: cpus):
                self.assertAlmostEqual(patience.factor_now(), want)

    def test_meson_and_c_see_it(self):
        calls = []
        runner = run_tests.Runner("build", 30)
        runner.factor = 7.5
        with mock.patch.object(runner, "call", lambda argv, **k: calls.append(argv) or 1), contextlib.redirect_stdout(io.StringIO()):
            runner.meson_test("/nowhere", "meson")
        at = calls[0].index("--timeout-multiplier")
        self.assertEqual(calls[0][at + 1], "7.5")


class Flakes(unittest.TestCase):
    def run_step(self, *rounds):
        """Each round: the names that fail of a, b, c. Returns (totals, what was printed)."""
        left = list(rounds)
        with tempfile.TemporaryDirectory() as build, contextlib.redirect_stdout(io.StringIO()) as said:
            os.symlink("/bin/true", os.path.join(build, "mica"))
            runner = run_tests.Runner(build, 30)

            def call(argv, **_):
                report = next(a for a in argv if a.startswith("--junitxml=")).split("=", 1)[1]
                bad = left.pop(0)
                cases = "".join(f'<testcase name="{n}">' + "<failure/>" * (n in bad) + "</testcase>" for n in "abc")
                with open(report, "w", encoding="ascii") as f:
                    f.write(REPORT.format(n=3, bad=len(bad), cases=cases))
                return 1 if bad else 0
            made = mock.Mock(returncode=0, stdout="/image\n")
            with mock.patch.object(runner, "call", call), mock.patch.object(run_tests.subprocess, "run", lambda *a, **k: made):
                runner.step_kvm()
        self.assertEqual(left, [])
        return runner.totals, said.getvalue()

    def test_failed_then_passed_is_named(self):
        totals, said = self.run_step(["b", "c"], ["c"])
        self.assertEqual((totals.passed, totals.failed), (2, 1))
        self.assertEqual(totals.flaky, ["kvm: b"])
        self.assertEqual(totals.notes, ["kvm: c"])
        self.assertIn("2 failed: b, c; once more", said)

    def test_nothing_failed(self):
        totals, _ = self.run_step([])
        self.assertEqual((totals.passed, totals.failed, totals.flaky), (3, 0, []))

    def test_the_summary_has_it(self):
        def kvm(runner):
            runner.totals.add(1, 0)
            runner.totals.flaky.append("kvm: b")
        said = io.StringIO()
        with mock.patch.object(run_tests.Runner, "step_kvm", kvm), mock.patch.object(sys, "argv", ["run-tests", "kvm"]), \
                contextlib.redirect_stdout(said):
            self.assertEqual(run_tests.main(), 0)
        self.assertEqual(said.getvalue().splitlines()[-2:], ["flaky: kvm: b: failed, and passed when it was run again", "1 passed, 0 failed"])


if __name__ == "__main__":
    unittest.main()
