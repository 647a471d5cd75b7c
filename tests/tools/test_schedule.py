#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The order in which tests/pipeline/schedule.py runs jobs, what runs beside what, and what it adds up."""
import os
import sys
import threading
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests"))
sys.dont_write_bytecode = True

from pipeline import schedule  # noqa: E402  pylint: disable=wrong-import-position


class Order(unittest.TestCase):
    def setUp(self):
        self.lock = threading.Lock()
        self.events, self.running, self.beside, self.lines = [], set(), {}, []
        self.gates = {}

    def job(self, name, counts=(1, 0), gate=None, **options):
        """A job that notes when it ran and beside which others; with a gate, it ends when that is opened."""
        def run(out):
            with self.lock:
                self.events.append(name)
                self.running.add(name)
                for other in self.running:
                    self.beside.setdefault(other, set()).update(self.running - {other})
            for opened in self.gates.get(name, ()):
                opened.set()
            if gate:
                self.assertTrue(gate.wait(20))
            out(f"of {name}")
            out(f"more of {name}")
            with self.lock:
                self.running.discard(name)
            return counts
        return schedule.Job(name, run, **options)

    def run_jobs(self, *jobs, cpus=2):
        return schedule.Schedule(list(jobs), cpus, self.lines.append).run()

    def test_jobs_that_take_all_cpus_run_one_after_the_other(self):
        self.assertEqual(self.run_jobs(self.job("a"), self.job("b"), self.job("c")), (3, 0))
        self.assertEqual(self.events, ["a", "b", "c"])
        self.assertEqual(self.beside, {"a": set(), "b": set(), "c": set()})

    def test_a_job_that_waits_runs_beside_one_that_takes_all_cpus(self):
        gate = threading.Event()
        self.gates["cpu"] = [gate]
        self.run_jobs(self.job("wait", gate=gate, cpus=0), self.job("cpu"))
        self.assertEqual(self.beside["wait"], {"cpu"})

    def test_two_that_take_one_cpu_run_side_by_side_and_a_third_later(self):
        gate = threading.Event()
        self.gates["b"] = [gate]
        self.run_jobs(self.job("a", gate=gate, cpus=1), self.job("b", gate=gate, cpus=1), self.job("c", cpus=2))
        self.assertEqual((self.events[2], self.beside["c"], self.beside["a"]), ("c", set(), {"b"}))

    def test_one_alone_has_nothing_beside_it_and_is_not_overtaken(self):
        self.run_jobs(self.job("wait", cpus=0), self.job("alone", alone=True), self.job("last", cpus=0))
        self.assertEqual(self.events, ["wait", "alone", "last"])
        self.assertEqual(self.beside["alone"], set())

    def test_a_job_waits_for_what_it_needs_and_is_not_run_when_that_failed(self):
        counts = self.run_jobs(self.job("build", counts=(0, 1), counted=False), self.job("after", needs=["build"]),
                               self.job("other"))
        self.assertEqual((counts, self.events), ((1, 2), ["build", "other"]))
        self.assertIn("after: not run, because build failed", self.lines)

    def test_an_exception_is_one_failure_and_the_others_go_on(self):
        def broken(_out):
            raise KeyError("x")
        self.assertEqual(self.run_jobs(schedule.Job("broken", broken), self.job("other")), (1, 1))

    def test_the_output_of_a_job_stays_together(self):
        gate = threading.Event()
        self.gates["b"] = [gate]
        self.run_jobs(self.job("a", gate=gate, cpus=0), self.job("b", cpus=0))
        for name in "ab":
            at = self.lines.index(f"== {name}")
            self.assertEqual(self.lines[at:at + 3], [f"== {name}", f"of {name}", f"more of {name}"])
            self.assertRegex(self.lines[at + 3], rf"^== {name}: 1 passed, 0 failed \(\d+ s\)$")

    def test_what_failed_is_named_once_more_and_nothing_else(self):
        def failing(out):
            out("ok this\n  FAIL that: because\nok more")
            return 2, 1
        def warned(out):
            out("1 warning generated.\nfile.c:1:2: error: what it is\n   a = b;\n     ^\nnote: 1\nnote: 2\nnote: 3\nnote: 4")
            return 0, 1
        jobs = [schedule.Job("vm", failing, live=True), schedule.Job("tidy", warned), schedule.Job("few", lambda out: out("words alone") or (0, 1)), self.job("fine")]
        scheduled = schedule.Schedule(jobs, 2, self.lines.append)
        self.assertEqual(scheduled.run(), (3, 3))
        self.assertEqual(list(scheduled.failures()), ["vm: FAIL that: because", "tidy: file.c:1:2: error: what it is", "few: words alone"])

    def test_a_build_is_not_counted_when_it_went_well(self):
        self.assertEqual(self.run_jobs(self.job("build", counted=False)), (0, 0))

    def test_a_named_job_comes_with_what_it_needs(self):
        jobs = [self.job("build"), self.job("unit", needs=["build"]), self.job("coverage", needs=["unit"]), self.job("x")]
        self.assertEqual([j.name for j in schedule.with_needs(jobs, ["coverage"])], ["build", "unit", "coverage"])


if __name__ == "__main__":
    unittest.main()
