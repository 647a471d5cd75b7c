# SPDX-License-Identifier: LGPL-2.1-or-later
"""driver_overrides=off on the kernel command line: as if nothing were installed, and that is said."""

from lab.boot_trace import CMDLINE, BootTrace
from lab.device import (ENFORCER, SWEEP, journal, override, path, plug, properties, rule, traced, trigger, unload,
                        unplug)
from lab.guard_unit import repetitions
from lab.scenario import scenario

NIC, PLUGGED = "0000:02:00.0", "0000:01:00.0"

MACHINE = dict(
    devices=["e1000e,bus=rp1"],
    cmdline="driver_overrides=off " + CMDLINE,
    files={"/etc/driver-overrides.d/50-nics.conf":
           rule("nic", Name=NIC, Driver="none") + rule("plugged", Name=PLUGGED, Driver="vfio-pci")})
# Which one counts is the same text on each.
LAST = {**MACHINE, "guard": True, "guests": repetitions(None, ("debian12",))}
MACHINES = {"off-last": {**LAST, "cmdline": "driver_overrides=on driver_overrides=off " + CMDLINE},
            "on-last": {**LAST, "cmdline": "driver_overrides=off driver_overrides=on " + CMDLINE}}


@scenario("booted with driver_overrides=off, no override is written and the card has its driver")
def boot(vm):
    trace = BootTrace(vm)
    assert not trace.read("override"), trace.read("override")
    assert [e.text for e in trace.read("probe", NIC)] == ["e1000e"]
    assert (vm.driver(NIC), override(vm, NIC)) == ("e1000e", "")
    assert not properties(vm, NIC)
    assert vm.run("test -e /run/driver-overrides", check=False).rc == 1


@scenario("with driver_overrides=off the sweep says so in the journal, and its unit is active")
def said(vm):
    assert vm.out(f"journalctl -b --no-pager -u {SWEEP} | grep -c driver_overrides=off") == "1"
    assert vm.out(f"systemctl show -P Result {SWEEP}; systemctl is-active {SWEEP}").split() == ["success", "active"]


@scenario("with driver_overrides=off neither plugs nor events nor the enforcer's verbs write an override")
def later(vm):
    said_before = len(journal(vm, "driver_overrides=off"))
    trace = traced(vm)
    trigger(vm, subsystem="pci")
    unload(vm)
    plug(vm, 0, PLUGGED, "e1000e")
    for verb in ("sweep", "release", f"event {path(PLUGGED)}"):
        vm.run(f"{ENFORCER} {verb}")
    assert not trace.read("override"), trace.read("override")
    assert not properties(vm, PLUGGED)
    assert len(journal(vm, "driver_overrides=off")) == said_before, "every event says it"
    unplug(vm, 0, PLUGGED)


@scenario("off after on is off: no override is written, and the guard says so once and stays", "off-last")
def off_last(vm):
    assert (vm.driver(NIC), override(vm, NIC)) == ("e1000e", "")
    assert vm.out("systemctl is-active driver-override-guard.service driver-overrides-settled.service").split() == ["active"] * 2
    assert vm.out("systemctl show -P NRestarts driver-override-guard.service") == "0"
    plug(vm, 0, PLUGGED, "e1000e")
    assert override(vm, PLUGGED) == ""
    assert vm.out("journalctl -b --no-pager -u driver-override-guard.service | grep -c driver_overrides=off") == "1"
    unplug(vm, 0, PLUGGED)


@scenario("on after off is on: overrides are written, the guard holds first probes", "on-last")
def on_last(vm):
    assert (vm.driver(NIC), override(vm, NIC)) == ("", "none")
    assert vm.out("systemctl is-active driver-override-guard.service driver-overrides-settled.service "
                  "driver-overrided-wanted.path").split() == ["active"] * 3
    assert not journal(vm, "driver_overrides=off")
