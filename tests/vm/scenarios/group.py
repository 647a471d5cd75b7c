# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two functions of one slot are one IOMMU group. A rule for the first decides, by Group=, about the second."""

from lab.boot_machine import BOOT_MACHINE, FIRST, SECOND
from lab.boot_trace import BootTrace, in_time
from lab.device import (ENFORCER, SWEEP, exists, loaded, override, path, probed, proper_order, properties, record,
                        remove, rescan, rule, traced, trigger, unload)
from lab.scenario import scenario

# Comes before the rule for the first function that is there at boot, and says the same, but for Group=.
CONF = "/etc/driver-overrides.d/25-group.conf"

MACHINE = BOOT_MACHINE


def members(vm):
    return vm.out(f"ls {path(SECOND)}/iommu_group/devices").split()


def second_again(vm, **keys):
    """Takes the second function away and lets the kernel find it again, with e1000e to be loaded by udev only then.
    The trace of that."""
    vm.write(CONF, rule("first", Name=FIRST, Driver="vfio-pci", **keys))
    assert vm.driver(FIRST) == "vfio-pci", "the scenario before has left the first function without its driver"
    remove(vm, SECOND)
    unload(vm)
    trace = traced(vm)
    rescan(vm, SECOND)
    assert members(vm) == [FIRST, SECOND]
    assert loaded(vm, "e1000e"), "e1000e was not there to be kept off"
    assert not trace.read("override", FIRST) and vm.driver(FIRST) == "vfio-pci"
    return trace


@scenario("a group member that was present at boot is left with its driver, also by later events and sweeps")
def at_boot(vm):
    trace = BootTrace(vm)
    assert members(vm) == [FIRST, SECOND]
    assert (vm.driver(FIRST), vm.driver(SECOND)) == ("vfio-pci", "e1000e")
    assert [e.text for e in trace.read("probe", SECOND)] == ["e1000e"]
    assert not trace.read("override", SECOND)
    late = in_time(vm, SECOND, "")
    assert properties(vm, SECOND) == ({"_STATE": late} if late else {})
    later = traced(vm)
    trigger(vm, subsystem="pci")
    vm.run(f"systemctl restart {SWEEP}")
    assert (vm.driver(SECOND), override(vm, SECOND)) == ("e1000e", "")
    assert not later.read("override"), later.read("override")


@scenario("a group member that is added later is held: no driver probes it")
def held(vm):
    proper_order(second_again(vm), SECOND, "none")
    assert (vm.driver(SECOND), override(vm, SECOND)) == ("", "none")
    assert properties(vm, SECOND) == {"": "none", "_RULE": "first", "_SOURCE": CONF + ":1", "_STATE": "held"}


@scenario("a held group member stays held when the device with the rule is removed, through events and a sweep")
def kept(vm):
    trace = traced(vm)
    remove(vm, FIRST)
    assert not exists(vm, FIRST) and members(vm) == [SECOND]
    trigger(vm, "add", SECOND)
    vm.run(f"systemctl restart {SWEEP}")
    trigger(vm, "change", SECOND)
    vm.run(f"echo {SECOND} >/sys/bus/pci/drivers_probe")
    assert (vm.driver(SECOND), override(vm, SECOND)) == ("", "none")
    assert not trace.read("probe", SECOND) and not trace.read("override", SECOND)
    assert properties(vm, SECOND)["_STATE"] == "held"


@scenario("a held group member that is released gets its own driver and is not held again")
def released(vm):
    trace = traced(vm)
    vm.run(f"{ENFORCER} release {SECOND}")
    probed(vm, SECOND)
    assert (vm.driver(SECOND), override(vm, SECOND)) == ("e1000e", "")
    assert [e.text for e in trace.read("override", SECOND)] == ["\n"]
    assert not record(vm, SECOND)
    trigger(vm, "add", SECOND)
    assert (vm.driver(SECOND), override(vm, SECOND)) == ("e1000e", "")
    # The first function comes back, to a group whose other member has a driver by now: that one is not unbound.
    unload(vm)
    vm.run("modprobe -r vfio-pci")
    rescan(vm, FIRST)
    probed(vm, FIRST)
    assert vm.driver(FIRST) == "vfio-pci"


@scenario("Group=vfio-pci gives a group member that is added later to vfio-pci")
def given(vm):
    proper_order(second_again(vm, Group="vfio-pci"), SECOND, "vfio-pci")
    assert vm.driver(SECOND) == "vfio-pci"
    assert properties(vm, SECOND)[""] == "vfio-pci"


@scenario("Group=none keeps every driver from a group member that is added later")
def barred(vm):
    proper_order(second_again(vm, Group="none"), SECOND, "none")
    assert vm.driver(SECOND) == ""


@scenario("Group=leave leaves a group member that is added later to its own driver")
def left(vm):
    trace = second_again(vm, Group="leave")
    probed(vm, SECOND)
    assert vm.driver(SECOND) == "e1000e"
    assert [e.text for e in trace.read("probe", SECOND)] == ["e1000e"]
    assert not trace.read("override", SECOND) and not properties(vm, SECOND)
