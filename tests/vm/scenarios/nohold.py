# SPDX-License-Identifier: LGPL-2.1-or-later
"""Kernels that do not let the guard hold: it says why, still decides about every device, and claims no more than
happened."""

from lab.device import empty_ports, path, plug, probed, record, traced, unplug
from lab.guard_unit import DROP_INS, GUARD, first_probe, repetitions, restart_guard
from lab.scenario import scenario
from lab.trace import CLAIMS, first_driver

CARD = "0000:01:00.0"
FILES = {"/etc/driver-overrides.d/50-guard.conf": f"[device card]\nName={CARD}\nDriver=vfio-pci\n"}

MACHINES = {
    "locked-down": dict(guard=True, written=FILES),
    "open": dict(guard=True, written=FILES),
}


def hold_text(vm):
    return vm.out("sed -n s/^HOLD=//p /run/driver-overrides/guard")


def claimed_for(vm):
    """FirstProbe of the card that is there now, once it has a driver and the guard has settled what it saw."""
    probed(vm, CARD)
    first_probe(vm, CARD)
    vm.run("sleep 1")
    return record(vm, CARD)["FIRST_PROBE"]


def race(vm):
    """A card is plugged while e1000e is loaded; FirstProbe must not be better than what the kernel saw."""
    vm.run("modprobe e1000e; modprobe vfio-pci")
    for _ in range(repetitions(3, 2)):
        trace = traced(vm)
        plug(vm, 0, CARD)
        claimed = claimed_for(vm)
        events = trace.read(device=CARD)
        assert claimed in CLAIMS[first_driver(events)], (
            claimed, [(round(e.time, 4), e.kind, e.text) for e in events])
        unplug(vm, 0, CARD)


@scenario("on a kernel that is locked down the guard says that it cannot hold, and still writes overrides",
          machine="locked-down")
def locked_down(vm):
    # As by lockdown= on the kernel command line; nobody can take it back.
    vm.run("echo confidentiality >/sys/kernel/security/lockdown")
    restart_guard(vm)
    assert "[confidentiality]" in vm.out("cat /sys/kernel/security/lockdown")
    assert hold_text(vm) == "the kernel is locked down (confidentiality)", hold_text(vm)
    assert "locked down" in vm.out(f"systemctl show -P StatusText {GUARD}")
    # No tracing in such a kernel; what can be seen is who has the card, and that nothing better is claimed.
    vm.run("modprobe e1000e")
    plug(vm, 0, CARD)
    claimed, driver = claimed_for(vm), vm.driver(CARD)
    assert vm.out(f"cat {path(CARD)}/driver_override") == "vfio-pci"
    assert claimed == ("lost" if driver == "e1000e" else "won"), (driver, claimed)
    empty_ports(vm)


@scenario("a guard that may not use BPF says what it lacks", machine="open")
def forbidden(vm):
    vm.write(f"{DROP_INS}/capabilities.conf", "[Service]\nCapabilityBoundingSet=\nCapabilityBoundingSet=CAP_SYS_PTRACE CAP_PERFMON\n")
    restart_guard(vm)
    assert hold_text(vm).endswith("not permitted to use BPF without CAP_BPF"), hold_text(vm)
    vm.run(f"rm -r {DROP_INS}")


@scenario("on a kernel without BTF the guard says that it cannot hold, and claims no first probe that it did not win",
          machine="open")
def no_btf(vm):
    vm.run("mount -t tmpfs none /sys/kernel/btf")
    restart_guard(vm)
    assert hold_text(vm) == "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)", hold_text(vm)
    race(vm)
    vm.run("umount /sys/kernel/btf")


@scenario("a guard with --no-hold says so and claims no first probe that it did not win", machine="open")
def turned_off(vm):
    vm.write(f"{DROP_INS}/no-hold.conf", "[Service]\nExecStart=\nExecStart=/usr/libexec/driver-override-guard --no-hold\n")
    restart_guard(vm)
    assert hold_text(vm) == "turned off by --no-hold", hold_text(vm)
    race(vm)
    # None of the three kept anything from the next guard.
    vm.run(f"rm -r {DROP_INS}")
    restart_guard(vm)
    assert hold_text(vm) == "active, not yet seen to hold", hold_text(vm)
