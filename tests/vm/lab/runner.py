# SPDX-License-Identifier: LGPL-2.1-or-later
"""Chooses scenarios and runs their machines side by side; a line for each scenario, JUnit's format on request."""

import argparse
import collections
import ctypes
import fnmatch
import glob
import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

from . import build, command_line, disk_image, guest, kind, machine
from .scenario import KERNEL_LOG, Boot, File, print_line, title


def run_in_worker(boot, image, overlays, saved, log_dir, pipe):
    """A process of its own for one Boot; ends its machine whatever happens to it or to the runner."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner's to handle; it sends SIGTERM
    boot.run(image, overlays, saved, log_dir, lambda *message: pipe.send(message))
    pipe.close()


class Runner:
    """Runs boots side by side and prints a line a scenario. overlays: archives of the build under test."""

    def __init__(self, images, overlays, log_dir, saved_dir, jobs):
        self.images, self.overlays, self.log_dir, self.saved_dir, self.jobs = images, overlays, log_dir, saved_dir, jobs
        self.passed = self.failed = 0
        self.counts = collections.Counter()
        self.results = []
        self.saved = {}

    def _line(self, boot, words, reason, seconds):
        self.results.append((boot, words, reason, seconds))
        if reason is None:
            self.passed += 1
            print_line(f"ok {boot.guest} {boot.title}: {words} ({seconds:.1f} s)")
        else:
            self.failed += 1
            print_line(f"FAIL {boot.guest} {boot.title}: {words}: {reason}")

    def run(self, boots):
        for boot in boots:
            path = os.path.join(self.saved_dir, f"{len(self.saved)}")
            self.saved.setdefault(self._saved_key(boot), kind.Saved(path)).users += 1
        # What others wait for comes first, then what lasts long, so that no CPU is idle at the end.
        boots = sorted(boots, key=lambda boot: (-self._saved(boot).users, -boot.settings.get("lasts", 20)))
        for boot in boots:
            if boot.settings.get("alone"):
                self._side_by_side([boot])
        self._side_by_side([boot for boot in boots if not boot.settings.get("alone")])

    @staticmethod
    def _saved_key(boot):
        # What has been written to a disk is not saved, so nobody shares a machine that has one.
        return (boot.guest, boot.title) if boot.generator else (boot.guest, boot.kind.key)

    def _saved(self, boot):
        return self.saved[self._saved_key(boot)]

    def _next(self, waiting):
        """The first that needs not wait for a machine that is just being saved; None."""
        for boot in waiting:
            saved = self._saved(boot)
            if not saved.maker:
                waiting.remove(boot)
                saved.maker = boot if not saved.ready and saved.users > 1 else None
                return boot
        return None

    def _side_by_side(self, boots):
        context = multiprocessing.get_context("fork")
        waiting, running = list(boots), {}
        try:
            while waiting or running:
                while len(running) < self.jobs and (boot := self._next(waiting)):
                    ours, theirs = context.Pipe(duplex=False)
                    process = context.Process(target=run_in_worker, args=(
                        boot, self.images[boot.guest, boot.generator], self.overlays, self._saved(boot), self.log_dir, theirs))
                    process.start()
                    theirs.close()
                    running[ours] = (boot, process, [])
                for pipe in multiprocessing.connection.wait(list(running)):
                    boot, process, seen = running[pipe]
                    try:
                        self._heard(boot, seen, *pipe.recv())
                    except EOFError:
                        process.join()
                        pipe.close()
                        del running[pipe]
                        self._ended(boot, process, seen)
        finally:
            for boot, process, _ in running.values():
                process.terminate()
                process.join()

    def _heard(self, boot, seen, what, *rest):
        if what == "result":
            seen.append(rest[0])
            self._line(boot, *rest)
        elif what == "saved":
            saved = self._saved(boot)
            saved.maker, saved.ready = None, rest[0]
            self.counts["saved" if rest[0] else "not saved"] += 1
        else:
            self.counts[what] += 1

    def _ended(self, boot, process, seen):
        for declared in boot.scenarios[len(seen):]:
            self._line(boot, declared.words, f"the runner's process died ({process.exitcode})", 0)
        saved = self._saved(boot)
        saved.users -= 1
        if saved.maker is boot:
            saved.maker = None
        if not saved.users:
            saved.forget()


def select(files, patterns):
    """Scenarios by pattern: FILE or FILE:WORDS, shell globs for the file, a part of its words for the scenario."""
    for file in files:
        for name, scenarios in file.groups.items():
            chosen = [s for s in scenarios if not patterns or any(
                fnmatch.fnmatchcase(file.name, p.partition(":")[0]) and p.partition(":")[2] in s.words for p in patterns)]
            if chosen:
                yield file, name, chosen


def on_guest(name, chosen):
    """What is there for a guest, of what was chosen, with the generator of its boot image, if it has one."""
    for file, machine_name, scenarios in chosen:
        settings = file.machines[machine_name]
        if name.removesuffix("-rt") not in (settings.get("guests") or [name.removesuffix("-rt")]):
            continue
        wanted = settings.get("boot_image")
        for generator in [None] if wanted is None else disk_image.generators(name, wanted):
            if own := [s for s in scenarios if s.is_for(name, generator)]:
                yield file, machine_name, generator, own


def print_list(guests, chosen):
    """What would be run: guest, file and title, a line each, sorted; no machine is needed for that."""
    lines = []
    for name in guests:
        for file, machine_name, generator, scenarios in on_guest(name, chosen):
            where = title(file, machine_name, generator)
            lines += [f"{name}\t{where}\t{words}" for words in [*(s.words for s in scenarios), KERNEL_LOG]]
    print("\n".join(sorted(lines)))


def write_junit(path, results):
    suites = ET.Element("testsuites")
    for boot in dict.fromkeys(boot for boot, *_ in results):
        own = [result for result in results if result[0] is boot]
        suite = ET.SubElement(suites, "testsuite", name=f"{boot.guest}.{boot.title}", tests=str(len(own)),
                              failures=str(sum(reason is not None for _, _, reason, _ in own)))
        for _, words, reason, seconds in own:
            case = ET.SubElement(suite, "testcase", classname=f"{boot.guest}.{boot.title}", name=words, time=f"{seconds:.1f}")
            if reason is not None:
                ET.SubElement(case, "failure", message=reason)
    ET.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def parse_options():
    parser = argparse.ArgumentParser(prog="run-scenarios", description="Runs scenarios in virtual machines.")
    parser.add_argument("--guest", default="debian12", metavar="NAME[,NAME...]", help=f"of {', '.join(guest.BY_NAME)}, or all: those without -rt")
    parser.add_argument("--build", metavar="DIR", help="meson build directory whose installation goes into the guest")
    # A machine waits for a good part of its time: one more than there are CPUs for each two of them keeps those busy.
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 2) * 3 // 2, metavar="N", help="machines at a time")
    parser.add_argument("--log-dir", metavar="DIR", help="consoles, transcripts, journals (default: a new temporary directory)")
    parser.add_argument("--junit", metavar="FILE", help="write the results to this file, too, in JUnit's format")
    parser.add_argument("--list", action="store_true", help="print guest, file and title of each scenario and do nothing")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="FILE or FILE:WORDS")
    return parser.parse_args()


def make_images(boots, build_dir, work):
    """What the machines are made from: for each guest, and for each of its generators of boot images that is needed."""
    installed = None
    if build_dir and any(boot.generator for boot in boots):
        installed = build.Installed(os.path.abspath(build_dir), os.path.join(work, "installed"))
    return {(boot.guest, boot.generator): disk_image.Base(boot.guest, boot.generator, installed) if boot.generator
            else guest.image(boot.guest) for boot in {(boot.guest, boot.generator): boot for boot in boots}.values()}


def main(folder):
    options = parse_options()
    chosen = list(select([File(path) for path in sorted(glob.glob(os.path.join(folder, "*.py")))], options.patterns))
    guests = list(guest.GUESTS) if options.guest == "all" else options.guest.split(",")
    if options.list:
        print_list(guests, chosen)
        return 0
    log_dir = os.path.abspath(options.log_dir or tempfile.mkdtemp(prefix="driver-overrides-logs-"))
    os.makedirs(log_dir, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    boots = [Boot(name, *choice) for name in guests for choice in on_guest(name, chosen)]
    if options.build:
        os.environ[command_line.BUILD] = os.path.abspath(options.build)
    with tempfile.TemporaryDirectory(prefix="driver-overrides-overlay-") as work, kind.saved_folder() as saved_dir:
        images = make_images(boots, options.build, work)
        if images:
            machine.accelerator(next(iter(images.values())).kernel)  # once, before the processes fork
            build.program("agent")
        begun = time.monotonic()
        overlays = build.overlay(options.build and os.path.abspath(options.build), os.path.join(work, "build.cpio"))
        runner = Runner(images, overlays, log_dir, saved_dir, max(1, options.jobs))
        runner.run(boots)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    counts = runner.counts
    print(f"# machines: {counts['booted']} booted, {counts['restored']} restored; {counts['not restored']} could not be "
          f"restored, {counts['not saved']} not saved")
    print(f"# {used.ru_utime + used.ru_stime:.0f} s of CPU time in {time.monotonic() - begun:.0f} s")
    if options.junit:
        write_junit(options.junit, runner.results)
    if runner.failed:
        print(f"# logs: {log_dir}")
    print(f"{runner.passed} passed, {runner.failed} failed")
    return 0 if runner.passed and not runner.failed else 1
