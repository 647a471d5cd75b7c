# SPDX-License-Identifier: LGPL-2.1-or-later
"""What became of a guest with which something went wrong, and whether that is the lab's fault: then what it showed says nothing
about the project, and it may be booted anew. Each fault is told by what it leaves behind, not by what it looks like:

- QEMU died of a signal: whatever a guest does, it cannot be to blame for that.
- A CPU is deaf: it may take interrupts, and its controller waits for the end of one that it never began with, though Linux
  ends an interrupt before it lets others in. A CPU that sleeps although an interrupt waits for it is deaf, too. Then no timer wakes it any more, while
  calls from other CPUs may: half of the guest goes on.
- RCU has counted no tick on an idle CPU for as long as it takes to complain. The guests' kernels tick on idle CPUs, too (nohz=off).
- Nothing runs and nothing waits, or a CPU sleeps that has a task to run: what should have woken it has got lost.
"""

import contextlib
import os
import re
import subprocess
import time

from .machine import LabError

INTERRUPT_FLAG = 1 << 9  # of RFLAGS


class LabFault(Exception):
    """What went wrong is the lab's fault."""


def monitor(vm, command):
    return vm.qmp("human-monitor-command", **{"command-line": command})


def _vectors(name, controller):
    found = re.search(rf"^{name}\s+(\d[\d ]*)$", controller, re.MULTILINE)
    return ", ".join(found[1].split()) if found else ""


def unheard(registers, controllers):
    """{CPU: what} of the CPUs that may be interrupted and are not, from `info registers -a` and, for each CPU, `info lapic`,
    all of one moment."""
    found = {}
    cpus = re.findall(r"RFL=(\w+).*?HLT=(\d)", registers, re.DOTALL)
    for number, ((flags, halted), controller) in enumerate(zip(cpus, controllers)):
        begun, waiting = _vectors("ISR", controller), _vectors("IRR", controller)
        if not int(flags, 16) & INTERRUPT_FLAG:
            continue
        if begun:
            found[number] = f"interrupt {begun} is never ended"
        elif waiting and halted == "1":
            found[number] = f"sleeps though interrupt {waiting} waits"
    return found


def deaf(vm, looks=3, pause=0.5):
    """Looks several times at a machine whose QEMU runs: a sentence about a CPU that is deaf each time; None if none is. The
    machine stands still for each look, so that registers and controllers are of one moment."""
    seen = None
    for _ in range(looks):
        vm.qmp("stop")
        try:
            registers = monitor(vm, "info registers -a")
            controllers = [monitor(vm, f"info lapic {number}") for number in range(registers.count("RFL="))]
        finally:
            vm.qmp("cont")
        now = unheard(registers, controllers)
        seen = now if seen is None else {cpu: what for cpu, what in seen.items() if now.get(cpu) == what}
        if not seen:
            return None
        time.sleep(pause)
    return "; ".join(f"CPU {cpu} is deaf: {what}" for cpu, what in seen.items())


def why_deaf(vm):
    """deaf() of a machine whose QEMU may be gone, or was never there."""
    with contextlib.suppress(LabError):
        return deaf(vm) if vm.control else None
    return None


def without_ticks(console):
    """What a kernel's console says of an idle CPU that got no tick while RCU waited for it; None. Of RCU's line of a CPU the
    second and third number behind "idle=" are not 0 where it is busy or in an interrupt."""
    found = re.search(r"rcu:\s+(\d+)-\S+ \(0 ticks this GP\) idle=\w+/0/0x0 ", console)
    return f"CPU {found[1]} has had no tick for long though it is idle, says RCU" if found else None


def autopsy(vm):
    """Examines a guest that does not answer: (what its CPUs and tasks do, as one line; True: it is the lab's fault, see
    verdict()). All registers go to the log NAME.lost; an NMI has the kernel write the stacks of all CPUs and tasks to
    its console, and ends it."""
    looks = []
    try:
        with open(os.path.join(vm.log_dir, f"{vm.name}.lost"), "w", encoding="utf-8") as log:
            for command in ("info registers -a", "info registers -a", "info lapic", "info pic"):
                looks.append(monitor(vm, command))
                log.write(f"# {command}\n{looks[-1]}\n")
                time.sleep(2)
        before = os.path.getsize(vm.console.path)
        vm.qmp("inject-nmi")
    except (LabError, OSError) as error:
        return f"QEMU does not answer either: {error}", False
    with contextlib.suppress(subprocess.TimeoutExpired):
        vm.child.wait(180)  # as long as it writes
    return verdict(looks, vm.console.text(before))


def verdict(looks, told):
    """What autopsy() says of two looks at the registers and of what the kernel has told. It is the lab's fault when
    all CPUs are idle and nothing waits for the kernel: then the way to the guest is lost. It is also when a CPU is idle that
    has a task to run: then it has slept through being told so."""
    cpus = [re.findall(r"RIP=(\w+).*?HLT=(\d)", look, re.DOTALL) for look in looks[:2]]
    tasks = re.findall(r"task:(\S+)\s+state:(\S)", told)
    waiting = sorted({name for name, state in tasks if state == "D"})
    text = "; then ".join(", ".join("halted" if halted == "1" else f"at {rip}" for rip, halted in look) for look in cpus)
    idle = bool(tasks) and not waiting and all(halted == "1" for look in cpus for _, halted in look)
    asleep = any(running != "0" and current == "0" for running, current in re.findall(
        r"cpu#\d+.*?\.nr_running\s*: (\d+).*?\.curr->pid\s*: (\d+)", told, re.DOTALL))
    text += "; one sleeps though it has a task to run" if asleep else ""
    return f"CPUs {text}; {len(tasks)} tasks, waiting for the kernel: {' '.join(waiting) or 'none'}", idle or asleep


def ended(vm):
    """How a QEMU that is gone has ended, and why, by its last word."""
    reason = "it said nothing"
    with contextlib.suppress(LabError):
        if word := vm.control and vm.control.wait_event(lambda event: event["event"] == "SHUTDOWN", 1):
            reason = word["data"].get("reason", "no reason given")
    return f"QEMU ended with status {vm.child.returncode}: {reason}"


def examine(vm):
    """After anything that went wrong with a guest: whether it does not answer any more. Raises LabFault where the lab is to
    blame for what went wrong; of another guest that does not answer it prints what there is to see."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        if vm.child.wait(1) < 0:  # of a signal that we have not sent
            raise LabFault(f"QEMU died of signal {-vm.child.returncode}")
    if fault := without_ticks(vm.console.text()):
        raise LabFault(fault)
    if vm.child.returncode is not None:
        print(f"# {vm.guest} {vm.name}: lost: {ended(vm)}", flush=True)
        return True
    if fault := why_deaf(vm):
        raise LabFault(fault)
    try:
        vm.run("journalctl -b --no-pager -n 100 -o short-monotonic", 60, check=False)
        return False
    except LabError:
        text, blameless = autopsy(vm)
    if blameless:
        raise LabFault(text)
    print(f"# {vm.guest} {vm.name}: lost: {text}", flush=True)
    return True
