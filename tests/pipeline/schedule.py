# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs jobs side by side as far as the machine's CPUs allow, and keeps the output of each together.

A job says how many CPUs it keeps busy: all of them, one, or none, because it mostly waits. Jobs start in the order of
their list as soon as the jobs they need have ended well and there are CPUs left for them. A job that needs the machine
for itself (a benchmark) has nothing beside it, and nothing that comes later in the list overtakes it.
"""
import re
import subprocess
import threading
import time

ALL = -1

# How a line about what failed is known: of the lab and of meson, of check, and of compilers and clang-tidy.
FAILED_LINE = re.compile(r"\bFAIL\b|\bTIMEOUT\b|:[FE]:|: error: ")


class Failed(Exception):
    """A job that could not even count."""


class Job:
    """`run(out)` returns (passed, failed). What is not `counted` (a build) counts only when it fails."""

    def __init__(self, name, run, cpus=ALL, needs=(), alone=False, counted=True, live=False):
        self.name, self.run, self.cpus, self.needs = name, run, cpus, tuple(needs)
        self.alone, self.counted, self.live = alone, counted, live
        self.state = "waiting"  # running, passed, failed
        self.counts = (0, 0)
        self.out = []

    def slots(self, total):
        """All CPUs is what a job alone has too; more than there are is the same."""
        return total if self.alone or self.cpus == ALL else min(self.cpus, total)


class Schedule:
    """One run of a list of jobs."""

    def __init__(self, jobs, cpus, write):
        self.jobs, self.cpus, self.write = jobs, max(cpus, 1), write
        self.by_name = {job.name: job for job in jobs}
        self.changed = threading.Condition()
        self.printing = threading.Lock()

    def failures(self):
        """What the jobs that failed said of it, a few lines each: for who sees only the end of a long output."""
        for job in self.jobs:
            if job.state == "failed":
                said = [line for line in job.out if FAILED_LINE.search(line)] or job.out[-5:]
                yield from (f"{job.name}: {line.strip()[:400]}" for line in said[:20])

    def run(self):
        """Runs all; (passed, failed) of all together."""
        threads = []
        with self.changed:
            while any(job.state == "waiting" for job in self.jobs):
                job = self._next()
                if job is None:
                    self.changed.wait()
                    continue
                job.state = "running"
                threads.append(threading.Thread(target=self._run, args=(job,)))
                threads[-1].start()
        for thread in threads:
            thread.join()
        return tuple(sum(job.counts[i] for job in self.jobs) for i in (0, 1))

    def _next(self):
        running = [job for job in self.jobs if job.state == "running"]
        free = self.cpus - sum(job.slots(self.cpus) for job in running)
        if any(job.alone for job in running):
            return None
        for job in self.jobs:
            if job.state != "waiting":
                continue
            needed = [self.by_name[name] for name in job.needs]
            if job.alone and (running or any(n.state == "waiting" for n in needed)):
                return None
            if all(n.state in ("passed", "failed") for n in needed) and job.slots(self.cpus) <= free:
                return job
        return None

    def _run(self, job):
        start = time.monotonic()
        if job.live:
            self._print([f"== {job.name}"])
        broken = [name for name in job.needs if self.by_name[name].state == "failed"]
        try:
            if broken:
                raise Failed(f"not run, because {', '.join(broken)} failed")
            passed, failed = job.run(lambda text: self._say(job, text))
        except Exception as e:  # pylint: disable=broad-except  # whatever it is, the others go on and it is counted
            known = isinstance(e, (Failed, OSError, subprocess.SubprocessError))
            self._say(job, f"{job.name}: {e if known else repr(e)}")
            passed, failed = 0, 1
        if not job.counted:
            passed = 0
        lines = [] if job.live else ([f"== {job.name}"] if job.counted or job.out else []) + job.out
        counts = f"{passed} passed, {failed} failed " if job.counted or failed else ""
        self._print(lines + [f"== {job.name}: {counts}({time.monotonic() - start:.0f} s)"])
        with self.changed:
            job.counts = (passed, failed)
            job.state = "failed" if failed else "passed"
            self.changed.notify_all()

    def _say(self, job, text):
        lines = text.rstrip("\n").split("\n")
        job.out += lines
        if job.live:
            self._print(lines)

    def _print(self, lines):
        with self.printing:
            for line in lines:
                self.write(line)


def with_needs(jobs, names):
    """The jobs of these names and what they need, in the order of the list."""
    wanted = set(names)
    for job in reversed(jobs):
        if job.name in wanted:
            wanted.update(job.needs)
    return [job for job in jobs if job.name in wanted]
