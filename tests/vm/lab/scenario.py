# SPDX-License-Identifier: LGPL-2.1-or-later
"""Declares, selects and runs scenarios: each file boots its machine(s) on every guest, its functions run in order.

A file has `MACHINE = dict(...)` (see MACHINE_KEYS), or `MACHINES = {name: dict(...)}`, and functions decorated with
@scenario("what it shows") that take the running machine. A failed assertion fails that scenario alone; a guest that
crashed or hangs fails all that remain on it. Nothing is ever skipped.
"""

import argparse
import contextlib
import ctypes
import fnmatch
import glob
import importlib.util
import linecache
import multiprocessing
import multiprocessing.connection
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback

from . import build, guest, lost, machine

# What a scenario file may say about a machine. The first seven go to Machine.start().
START_KEYS = ("cpus", "memory", "cmdline", "devices", "qemu", "files", "timeout")
MACHINE_KEYS = START_KEYS + (
    "overlay",      # False: without the build under test
    "enable",       # False: the build's units are installed, but not enabled
    "guard",        # True: with the guard; else it is masked, so that what is seen is the enforcer's work alone
    "service",      # True: with driver-overrided; else it is masked, and nobody moves what enforcer and guard have left
    "settled",      # False: scenarios begin as soon as the shell answers, maybe before the boot is over
    "alone",        # True: no other machine runs beside it, for what it shows is about time
    "kernel_log",   # regular expressions: lines of the kernel's log that this machine provokes on purpose
)

TROUBLE = re.compile(
    r"\bBUG: |\bWARNING: |soft lockup|hard LOCKUP|detected stall|self-detected stall|possible circular locking"
    r"|possible recursive locking|inconsistent lock state|blocked for more than \d+ seconds|\bOops\b|Kernel panic(?!.*NMI: Not continuing)"
    r"|general protection fault|refcount_t:|list_(add|del) corruption|unregister_netdevice: waiting for")

# Lines that a guest without the project has, too; each with the guest (None: all) and the reason.
ACCEPTED = ()

NO_GUARD = {f"/etc/systemd/system/driver-override-guard.{kind}": machine.link("/dev/null")
            for kind in ("service", "socket")}
NO_SERVICE = {"/etc/systemd/system/driver-overrided.service": machine.link("/dev/null")}
# An emulated machine now and then does not come up on a busy host (a timer of a virtual CPU is lost before user
# space is reached). Nothing has been tested by then, so it may try again, and that is printed.
BOOT_TRIES = 3
# A guest with which something went wrong by a fault of the lab's, shown by what it left (see lost.py), is booted anew, as often
# as this at most, and that is printed.
ANEW = 2

_loading = []


class Declared:
    """One scenario of a file."""

    def __init__(self, function, words, machine_name, timeout):
        self.function, self.words, self.machine, self.timeout = function, words, machine_name, timeout


class Overdue(BaseException):
    """A scenario ran into its limit. Not an Exception, so that no scenario's own handlers swallow it."""


def scenario(words, machine=None, timeout=300):  # pylint: disable=redefined-outer-name
    """Decorator. machine: a name in the file's MACHINES. timeout: seconds for the whole function."""
    def register(function):
        _loading.append(Declared(function, words, machine, timeout))
        return function
    return register


class File:
    """A scenario file, loaded: its machines in the order in which its scenarios first name them."""

    def __init__(self, path):
        self.name = os.path.splitext(os.path.basename(path))[0]
        _loading.clear()
        spec = importlib.util.spec_from_file_location("scenarios_" + re.sub(r"\W", "_", self.name), path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        machines = dict(getattr(module, "MACHINES", {}))
        machines[None] = getattr(module, "MACHINE", {})
        self.groups = {}
        for declared in _loading:
            self.groups.setdefault(declared.machine, []).append(declared)
        for name in self.groups:
            if name not in machines:
                raise ValueError(f"{path}: no machine {name} in MACHINES")
            unknown = set(machines[name]) - set(MACHINE_KEYS)
            if unknown:
                raise ValueError(f"{path}: unknown machine key {', '.join(sorted(unknown))}")
        self.machines = machines


class Boot:
    """One machine of one file on one guest, with its scenarios: the unit that runs in a process of its own."""

    def __init__(self, guest_name, file, machine_name, scenarios):
        self.guest, self.file, self.machine_name, self.scenarios = guest_name, file, machine_name, scenarios
        self.settings = file.machines[machine_name]
        self.title = file.name + (f"/{machine_name}" if machine_name else "")
        self.name = f"{guest_name}-{file.name}" + (f"-{machine_name}" if machine_name else "")
        self.log_name = self.name
        self.anew = 0

    def run(self, image, build_dir, log_dir, report):
        """report(words, reason or None, seconds) for every scenario, and for the kernel's log."""
        told = set()

        def report_once(words, reason, seconds):
            if words not in told:
                told.add(words)
                report(words, reason, seconds)

        while True:
            try:
                self._attempt(image, build_dir, log_dir, report_once)
                return
            except lost.LabFault as fault:
                self.anew += 1
                print(f"# {self.guest} {self.title}: the lab's fault, once more from its boot: {fault}", flush=True)
                self.log_name = f"{self.name}-again{self.anew}"

    def _attempt(self, image, build_dir, log_dir, report):
        waiting = list(self.scenarios)
        reached = "not run"
        with contextlib.suppress(FileNotFoundError):  # of an earlier run with the same log directory
            os.unlink(os.path.join(log_dir, self.log_name + ".failures"))
        try:
            with tempfile.TemporaryDirectory(prefix="driver-overrides-overlay-") as work, contextlib.ExitStack() as stack:
                overlays = []
                if self.settings.get("overlay", True):
                    overlays = build.overlay(build_dir, os.path.join(work, "build.cpio"), self.settings.get("enable", True))
                reached = "boot"
                vm = self._boot(image, log_dir, overlays, stack)
                while waiting:
                    declared = waiting[0]
                    reached = "guest lost in: " + declared.words
                    begun = time.monotonic()
                    reason, gone = self._one(vm, declared)
                    waiting.pop(0)
                    report(declared.words, reason, time.monotonic() - begun)
                    if gone:
                        raise machine.MachineDead("crashed or hangs")
                self._logs(vm, log_dir)
                begun = time.monotonic()
                trouble = self._trouble(vm)
                if trouble:
                    self._examine(vm)
                report("kernel log is clean", trouble, time.monotonic() - begun)
                print(f"# {self.guest} {self.title}: {vm.cpu_seconds():.0f} s of CPU time", flush=True)
        except lost.LabFault:
            raise
        except Exception as error:  # pylint: disable=broad-except
            with open(os.path.join(log_dir, self.log_name + ".failures"), "a", encoding="utf-8") as log:
                log.write(f"{reached}\n{traceback.format_exc()}\n")
            for declared in waiting:
                report(declared.words, f"{reached}: {first_line(error)}", 0.0)
            report("kernel log is clean", f"unknown; {reached}: {console_trouble(log_dir, self.log_name)}", 0.0)

    def _boot(self, image, log_dir, overlays, stack):
        """A machine that is up, on the stack for its end."""
        settings = {k: self.settings[k] for k in START_KEYS if k in self.settings}
        if not self.settings.get("guard"):
            settings["files"] = {**NO_GUARD, **settings.get("files", {})}
        if not self.settings.get("service"):
            settings["files"] = {**NO_SERVICE, **settings.get("files", {})}
        for tries in range(1, BOOT_TRIES + 1):
            begun = time.monotonic()
            with contextlib.ExitStack() as attempt:
                vm = attempt.enter_context(machine.Machine(image, log_dir, self.log_name))
                try:
                    vm.start(overlays=overlays, **settings)
                except machine.LabError as error:
                    if tries == BOOT_TRIES:
                        raise
                    print(f"# {self.guest} {self.title}: did not come up, once more: {first_line(error)}: "
                          f"{lost.why_deaf(vm) or console_trouble(log_dir, self.log_name)}", flush=True)
                    continue
                if self.settings.get("settled", True):
                    try:
                        vm.boot_settled()
                    except machine.LabError:
                        self._examine(vm)
                        raise
                stack.push(attempt.pop_all())
            print(f"# {self.guest} {self.title}: booted in {time.monotonic() - begun:.0f} s "
                  f"({machine.accelerator(image.kernel)})", flush=True)
            return vm
        raise AssertionError("unreachable")

    def _one(self, vm, declared):
        """Runs a scenario: (reason of the failure or None, whether the guest is lost)."""
        def overdue(*_):
            raise Overdue()
        signal.signal(signal.SIGALRM, overdue)
        signal.alarm(declared.timeout)
        vm.note(f"# scenario: {declared.words}")
        trace = ""
        try:
            try:
                declared.function(vm)
                return None, False
            except BaseException:
                signal.alarm(0)
                trace = traceback.format_exc()
                raise
        except machine.MachineDead as error:
            reason, gone = f"guest lost: {first_line(error)}", True
        except Overdue:
            reason, gone = f"not finished after {declared.timeout} s", False
        except AssertionError as error:
            reason, gone = first_line(error) or asserted(error), False
        except Exception as error:  # pylint: disable=broad-except
            reason, gone = f"{type(error).__name__}: {first_line(error)}", False
        finally:
            signal.alarm(0)
        with open(os.path.join(vm.log_dir, self.log_name + ".failures"), "a", encoding="utf-8") as log:
            log.write(f"{declared.words}\n{trace}\n")
        vm.note(f"# FAILED: {reason}")
        return reason, self._examine(vm) or gone

    def _examine(self, vm):
        """lost.examine(), but when it has been booted anew often enough a fault of the lab's is printed and no more."""
        try:
            return lost.examine(vm)
        except lost.LabFault as fault:
            if self.anew < ANEW:
                raise
            print(f"# {self.guest} {self.title}: the lab's fault again: {fault}", flush=True)
            return True

    def _logs(self, vm, log_dir):
        for kind, command in (("journal", "journalctl -b --no-pager -o short-monotonic"), ("dmesg", "dmesg")):
            with open(os.path.join(log_dir, f"{self.log_name}.{kind}"), "w", encoding="utf-8") as log, \
                    contextlib.suppress(machine.CommandTimeout):
                log.write(vm.spawn(command).wait(60).out)

    def _trouble(self, vm):
        allowed = list(self.settings.get("kernel_log", ()))
        allowed += [pattern for where, pattern, _ in ACCEPTED if where in (None, self.guest)]
        found = [line for line in vm.kernel_log().splitlines()
                 if TROUBLE.search(line) and not any(re.search(pattern, line) for pattern in allowed)]
        return f"{len(found)} line(s), first: {found[0].strip()}" if found else None


def first_line(error):
    lines = str(error).strip().splitlines()
    return lines[0] if lines else ""


def asserted(error):
    """A bare assertion says nothing itself: its source line does."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"line {frame.lineno}: {linecache.getline(frame.filename, frame.lineno).strip()}"


def console_trouble(log_dir, name):
    with contextlib.suppress(OSError), \
            open(os.path.join(log_dir, name + ".console"), encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if TROUBLE.search(line):
                return line.strip()
    return "nothing on the console"


def worker(boot, image, build_dir, log_dir, pipe):
    """A process of its own for one Boot; ends its machine whatever happens to it or to the runner."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner's to handle; it sends SIGTERM
    boot.run(image, build_dir, log_dir, lambda *result: pipe.send(result))
    pipe.close()


class Runner:
    """Runs boots side by side and prints a line a scenario."""

    def __init__(self, images, build_dir, log_dir, jobs):
        self.images, self.build_dir, self.log_dir, self.jobs = images, build_dir, log_dir, jobs
        self.passed = self.failed = 0

    def _line(self, boot, words, reason, seconds):
        if reason is None:
            self.passed += 1
            print(f"ok {boot.guest} {boot.title}: {words} ({seconds:.1f} s)", flush=True)
        else:
            self.failed += 1
            print(f"FAIL {boot.guest} {boot.title}: {words}: {reason}", flush=True)

    def run(self, boots):
        for boot in boots:
            if boot.settings.get("alone"):
                self._side_by_side([boot])
        self._side_by_side([boot for boot in boots if not boot.settings.get("alone")])

    def _side_by_side(self, boots):
        context = multiprocessing.get_context("fork")
        waiting, running = list(boots), {}
        try:
            while waiting or running:
                while waiting and len(running) < self.jobs:
                    boot = waiting.pop(0)
                    ours, theirs = context.Pipe(duplex=False)
                    process = context.Process(
                        target=worker, args=(boot, self.images[boot.guest], self.build_dir, self.log_dir, theirs))
                    process.start()
                    theirs.close()
                    running[ours] = (boot, process, [])
                for pipe in multiprocessing.connection.wait(list(running)):
                    boot, process, seen = running[pipe]
                    try:
                        words, reason, seconds = pipe.recv()
                        seen.append(words)
                        self._line(boot, words, reason, seconds)
                    except EOFError:
                        process.join()
                        pipe.close()
                        del running[pipe]
                        for declared in boot.scenarios[len(seen):]:
                            self._line(boot, declared.words, f"the runner's process died ({process.exitcode})", 0)
        finally:
            for boot, process, _ in running.values():
                process.terminate()
                process.join()


def select(files, patterns):
    """Scenarios by pattern: FILE or FILE:WORDS, shell globs for the file, a part of its words for the scenario."""
    for file in files:
        for name, scenarios in file.groups.items():
            chosen = [s for s in scenarios if not patterns or any(
                fnmatch.fnmatchcase(file.name, p.partition(":")[0]) and p.partition(":")[2] in s.words for p in patterns)]
            if chosen:
                yield file, name, chosen


def main(folder):
    parser = argparse.ArgumentParser(prog="run-scenarios", description="Runs scenarios in virtual machines.")
    parser.add_argument("--guest", default="debian12", metavar="NAME[,NAME...]", help=f"of {', '.join(guest.GUESTS)}, or all")
    parser.add_argument("--build", metavar="DIR", help="meson build directory whose installation goes into the guest")
    # A machine waits for a good part of its time: one more than there are CPUs for each two of them keeps those busy.
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 2) * 3 // 2, metavar="N", help="machines at a time")
    parser.add_argument("--log-dir", metavar="DIR", help="consoles, transcripts, journals (default: a new temporary directory)")
    parser.add_argument("--list", action="store_true", help="print the scenarios and do nothing")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="FILE or FILE:WORDS")
    options = parser.parse_args()

    files = [File(path) for path in sorted(glob.glob(os.path.join(folder, "*.py")))]
    chosen = list(select(files, options.patterns))
    if options.list:
        for file, name, scenarios in chosen:
            for declared in scenarios:
                print(f"{file.name}{'/' + name if name else ''}: {declared.words}")
        return 0
    guests = list(guest.GUESTS) if options.guest == "all" else options.guest.split(",")
    log_dir = os.path.abspath(options.log_dir or tempfile.mkdtemp(prefix="driver-overrides-logs-"))
    os.makedirs(log_dir, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    images = {name: guest.image(name) for name in guests}
    if images:
        machine.accelerator(next(iter(images.values())).kernel)  # once, before the processes fork
    begun = time.monotonic()
    runner = Runner(images, options.build and os.path.abspath(options.build), log_dir, max(1, options.jobs))
    runner.run([Boot(name, *choice) for name in guests for choice in chosen])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"# {used.ru_utime + used.ru_stime:.0f} s of CPU time in {time.monotonic() - begun:.0f} s")
    if runner.failed:
        print(f"# logs: {log_dir}")
    print(f"{runner.passed} passed, {runner.failed} failed")
    return 0 if runner.passed and not runner.failed else 1
