# SPDX-License-Identifier: LGPL-2.1-or-later
"""Declares and runs scenarios: each file has its machine(s) on every guest, its functions run in order.

A file has `MACHINE = dict(...)` (see MACHINE_KEYS), or `MACHINES = {name: dict(...)}`, and functions decorated with
@scenario("what it shows") that take the running machine. A failed assertion fails that scenario alone; a guest that
crashed or hangs fails all that remain on it. Nothing is ever skipped while it runs.

A runner of its own, and not pytest: machines run side by side in processes that die with the runner, two with the same
beginning share one boot, and a fault of the lab's (see lost.py) takes back what a machine has shown and starts it anew. Of
pytest's nothing would be left but the collecting of functions and the report, which are short here (see runner.py; JUnit's
format is one of its options).
"""

import contextlib
import importlib.util
import linecache
import os
import re
import signal
import time
import traceback

from . import guard_unit, kind, lost, machine

# What a scenario file may say about a machine. The first eight are there when it boots, see Machine.start().
MACHINE_KEYS = kind.START_KEYS + (
    "guests",       # those that it is for; None, or not said: all
    "boot_image",   # generators (see disk_image.py): a machine for each that the guest has, which boots from a disk by such an image
    "root_disk",    # of disk_image.ROOT_DISKS, for a machine that boots from a disk
    "overlay",      # False: without the build under test
    "guard",        # True: with the guard; else it is masked, so that what is seen is the enforcer's work alone
    "service",      # True: with driver-overrided; else it is masked, and nobody moves what enforcer and guard have left
    "written",      # as files, but written when the machine is up: it shares its boot with others
    "plugged",      # as devices, but plugged when these files are there
    "drives",       # for those: ids of disks of nothing
    "alone",        # True: no other machine runs beside it, for what it shows is about time
    "lasts",        # seconds that its scenarios take, about: what lasts long begins early
    "kernel_log",   # regular expressions: lines of the kernel's log that this machine provokes on purpose
)

TROUBLE = re.compile(
    r"\bBUG: |\bWARNING: |soft lockup|hard LOCKUP|detected stall|self-detected stall|possible circular locking"
    r"|possible recursive locking|inconsistent lock state|blocked for more than \d+ seconds|\bOops\b|Kernel panic(?!.*NMI: Not continuing)"
    r"|general protection fault|refcount_t:|list_(add|del) corruption|unregister_netdevice: waiting for")

# Lines that a guest without the project has, too; each with the guest (None: all) and the reason.
ACCEPTED = ()

# An emulated machine now and then does not come up on a busy host (a timer of a virtual CPU is lost before user
# space is reached). Nothing has been tested by then, so it may try again, and that is printed.
BOOT_TRIES = 3
# A guest that failed because of the lab itself (evidence: see lost.py) is booted anew, as often as this at most, and that is
# printed.
ANEW = 2

KERNEL_LOG = "kernel log is clean"  # what is shown beside the scenarios for each machine

_loading = []


class Declared:
    """One scenario of a file."""

    def __init__(self, function, words, machine_name, timeout, guests, generators):
        self.function, self.words, self.machine, self.timeout = function, words, machine_name, timeout
        self.guests, self.generators = guests, generators

    def is_for(self, guest_name, generator):
        # A kernel with PREEMPT_RT has what the usual one of its release has.
        return (self.guests is None or guest_name.removesuffix("-rt") in self.guests) and (self.generators is None or generator in self.generators)


class Overdue(BaseException):
    """A scenario ran into its limit. Not an Exception, so that no scenario's own handlers swallow it."""


def scenario(words, machine=None, timeout=900, guests=None, generators=None):  # pylint: disable=redefined-outer-name
    """Decorator. machine: a name in the file's MACHINES. timeout: seconds for the whole function. guests: those whose
    kernels have what it is about; None: all. generators: likewise, of a machine that has a boot image."""
    def register(function):
        _loading.append(Declared(function, words, machine, timeout, guests, generators))
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


def title(file, machine_name, generator):
    return "/".join(filter(None, [file.name, machine_name, generator]))


class Boot:
    """One machine of one file on one guest, with its scenarios: the unit that runs in a process of its own."""

    def __init__(self, guest_name, file, machine_name, generator, scenarios):
        self.guest, self.file, self.machine_name, self.scenarios = guest_name, file, machine_name, scenarios
        self.generator = generator  # of its boot image; None: it has none
        self.settings = file.machines[machine_name]
        self.kind = kind.Kind(self.settings)
        self.title = title(file, machine_name, generator)
        self.name = f"{guest_name}-{self.title}".replace("/", "-")
        self.log_name = self.name
        self.anew = 0

    def run(self, image, overlays, saved, log_dir, tell):
        """saved: a kind.Saved, or None. tell("result", words, reason or None, seconds) for every scenario and for the kernel's
        log; tell("booted"), tell("restored"), tell("not restored"), and tell("saved", bool) where saved is to be made."""
        told = set()

        def report_once(words, reason, seconds):
            if words not in told:
                told.add(words)
                tell("result", words, reason, seconds)

        while True:
            try:
                self._attempt(image, overlays, saved, log_dir, report_once, tell)
                return
            except lost.LabFault as fault:
                self.anew += 1
                saved = None  # whatever is wrong may have been saved with it
                print_line(f"# {self.guest} {self.title}: the lab's fault, once more from its boot: {fault}")
                self.log_name = f"{self.name}-again{self.anew}"

    def _attempt(self, image, overlays, saved, log_dir, report, tell):
        waiting = list(self.scenarios)
        reached = "not run"
        with contextlib.suppress(FileNotFoundError):  # of an earlier run with the same log directory
            os.unlink(os.path.join(log_dir, self.log_name + ".failures"))
        try:
            with contextlib.ExitStack() as stack:
                if self.generator:
                    reached = "disk"
                    image = image.image(self.kind.boot.get("files", {}), self.kind.overlay, self.settings.get("root_disk", "virtio"))
                reached = "boot"
                vm = self._machine(image, overlays, saved, log_dir, stack, tell)
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
                report(KERNEL_LOG, trouble, time.monotonic() - begun)
                print_line(f"# {self.guest} {self.title}: {vm.cpu_seconds():.0f} s of CPU time in "
                      f"{time.monotonic() - vm.started:.0f} s")
        except lost.LabFault:
            raise
        except Exception as error:  # pylint: disable=broad-except
            with open(os.path.join(log_dir, self.log_name + ".failures"), "a", encoding="utf-8") as log:
                log.write(f"{reached}\n{traceback.format_exc()}\n")
            for declared in waiting:
                report(declared.words, f"{reached}: {first_line(error)}", 0.0)
            report(KERNEL_LOG, f"unknown; {reached}: {console_trouble(log_dir, self.log_name)}", 0.0)

    def _machine(self, image, overlays, saved, log_dir, stack, tell):
        """A machine that is up, with all that belongs to it, on the stack for its end."""
        vm = None
        if saved and saved.ready:
            vm = self._restore(image, saved, log_dir, stack)
            tell("restored" if vm else "not restored")
        if not vm:
            vm = self._boot(image, overlays, log_dir, stack)
            tell("booted")
        if saved and saved.maker:
            tell("saved", self._save(vm, saved))
        try:
            self._dress(vm)
        except machine.LabError:
            self._examine(vm)
            raise
        return vm

    def _restore(self, image, saved, log_dir, stack):
        """None: it is to be booted instead, and that has been said."""
        begun = time.monotonic()
        with contextlib.ExitStack() as attempt:
            vm = attempt.enter_context(machine.Machine(image, log_dir, self.log_name))
            try:
                self.kind.restore(vm, saved.path)
            except machine.LabError as error:
                print_line(f"# {self.guest} {self.title}: NOT RESTORED, booted instead: {first_line(error)}")
                return None
            stack.push(attempt.pop_all())
        print_line(f"# {self.guest} {self.title}: restored in {time.monotonic() - begun:.1f} s")
        return vm

    def _save(self, vm, saved):
        """For others of this kind. False: it could not be, which has been said; they boot themselves."""
        begun = time.monotonic()
        try:
            fault = lost.why_deaf(vm)
            if not fault:
                vm.save(saved.path)
        except machine.LabError as error:
            fault = first_line(error)
        print_line(f"# {self.guest} {self.title}: " + (f"NOT SAVED: {fault}" if fault else f"saved in {time.monotonic() - begun:.1f} s"))
        return not fault

    def _dress(self, vm):
        """Files and cards that are its own, and were not there at the boot."""
        files = self.kind.late_files
        policy = any("/driver-overrides.d/" in path for path in files)
        with guard_unit.policy_read(vm) if policy and self.settings.get("guard") else contextlib.nullcontext():
            for path, what in files.items():
                vm.place(path, what)
        if any(path.startswith(("/etc/modprobe.d/", "/etc/udev/")) for path in files):
            vm.run("udevadm control --reload")
        for path in files:
            if files[path] == machine.link("/dev/null") and path.endswith(".service"):
                state = vm.out(f"systemctl show -P LoadState {os.path.basename(path)}")
                assert state == "masked", f"{path}: {state}"
        vm.plug_in(self.settings.get("plugged", ()), self.settings.get("drives", ()))

    def _boot(self, image, overlays, log_dir, stack):
        for tries in range(1, BOOT_TRIES + 1):
            begun = time.monotonic()
            with contextlib.ExitStack() as attempt:
                vm = attempt.enter_context(machine.Machine(image, log_dir, self.log_name))
                try:
                    self.kind.start(vm, overlays)
                except machine.LabError as error:
                    if tries == BOOT_TRIES:
                        raise
                    print_line(f"# {self.guest} {self.title}: did not come up, once more: {first_line(error)}: "
                          f"{lost.why_deaf(vm) or console_trouble(log_dir, self.log_name)}")
                    continue
                try:
                    vm.boot_settled()
                except machine.LabError:
                    self._examine(vm)
                    raise
                stack.push(attempt.pop_all())
            print_line(f"# {self.guest} {self.title}: booted in {time.monotonic() - begun:.0f} s "
                  f"({machine.accelerator(image.kernel)})")
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
            print_line(f"# {self.guest} {self.title}: the lab's fault again: {fault}")
            return True

    def _logs(self, vm, log_dir):
        for log_kind, command in (("journal", "journalctl -b --no-pager -o short-monotonic"), ("dmesg", "dmesg")):
            with open(os.path.join(log_dir, f"{self.log_name}.{log_kind}"), "w", encoding="utf-8") as log, \
                    contextlib.suppress(machine.CommandTimeout):
                log.write(vm.spawn(command).wait(60).out)

    def _trouble(self, vm):
        allowed = list(self.settings.get("kernel_log", ()))
        allowed += [pattern for where, pattern, _ in ACCEPTED if where in (None, self.guest)]
        found = [line for line in vm.kernel_log().splitlines()
                 if TROUBLE.search(line) and not any(re.search(pattern, line) for pattern in allowed)]
        return f"{len(found)} line(s), first: {found[0].strip()}" if found else None


def print_line(text):
    """In one piece, whatever other processes print meanwhile."""
    print(text + "\n", end="", flush=True)


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
