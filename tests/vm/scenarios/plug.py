# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cards plugged into the running system, with the module of their own driver gone before every plug, so that udev
loads it in the same event in which ours has to be first."""

import os

from lab.device import (ENFORCER, empty_ports, exists, inode, loaded, override, path, plug, probed, proper_order,
                        properties, record, rule, traced, trigger, unload, unplug)
from lab.scenario import scenario
from lab.trace import CLAIMS, first_driver

NIC, OTHER = "0000:01:00.0", "0000:03:00.0"  # in rp0 and rp2
CONF = "/etc/driver-overrides.d/50-nic.conf"
TIMES = 10 if os.environ.get("DRIVER_OVERRIDES_LAB_FULL") else 5

MACHINE = dict(lasts=60, written={CONF: rule("nic", Name=NIC, Driver="vfio-pci")})


def present(vm, driver="vfio-pci"):
    """The card, left by an earlier scenario or plugged now."""
    if not exists(vm, NIC):
        unload(vm)
        plug(vm, 0, NIC, driver)


@scenario(f"each of {TIMES} times that a card is plugged, its override is written before its first probe, and only "
          f"vfio-pci probes it",
          timeout=300)
def again_and_again(vm):
    for number in range(TIMES):
        assert not loaded(vm, "e1000e")
        trace = traced(vm)
        plug(vm, 0, NIC, "vfio-pci")
        events = proper_order(trace, NIC, "vfio-pci")
        assert [e.task for e in events if e.kind == "override"] == ["driver-override"]
        assert loaded(vm, "e1000e"), "udev did not load the other driver, so nothing was shown"
        assert f"e1000e {NIC}" not in vm.kernel_log()
        assert properties(vm, NIC)["_RULE"] == "nic"
        assert record(vm, NIC)["FIRST_PROBE"] == "won"
        if number < TIMES - 1:
            unplug(vm, 0, NIC)
            unload(vm)
            if number % 2:  # now vfio-pci's first probe comes when its module does, now at once
                unload(vm, "vfio-pci")


@scenario("with e1000e loaded and no guard, FirstProbe claims no more than the kernel's trace shows")
def raced(vm):
    empty_ports(vm)
    vm.run("modprobe e1000e")
    for _ in range(TIMES):
        trace = traced(vm)
        plug(vm, 0, NIC)
        probed(vm, NIC)
        first, claimed = first_driver(trace.read(device=NIC)), record(vm, NIC).get("FIRST_PROBE")
        assert claimed in CLAIMS[first], (first, claimed)
        unplug(vm, 0, NIC)
    unload(vm)


@scenario("a plugged card's change event keeps its properties in udev's database")
def change(vm):
    present(vm)
    before = properties(vm, NIC)
    assert (before[""], before["_SOURCE"], before["_MODALIAS"]) == ("vfio-pci", CONF + ":1", "vfio-pci"), before
    trigger(vm, "change", NIC)
    assert properties(vm, NIC) == before


@scenario("the enforcer's event, run by hand, prints the properties and leaves the driver bound, also when policy has changed")
def by_hand(vm):
    present(vm)
    trace = traced(vm)
    where = vm.out(f"realpath {path(NIC)}")
    for argument in (where, where.removeprefix("/sys")):
        lines = vm.out(f"{ENFORCER} event {argument}").splitlines()  # run() sees to the status
        assert lines == ["DRIVER_OVERRIDE=vfio-pci", "DRIVER_OVERRIDE_RULE=nic", f"DRIVER_OVERRIDE_SOURCE={CONF}:1",
                         "DRIVER_OVERRIDE_STATE=enforced", "DRIVER_OVERRIDE_MODALIAS=vfio-pci"], lines
    # Also when policy has changed its mind: what is bound stays bound.
    vm.write(CONF, rule("nic", Name=NIC, Driver="none"))
    lines = vm.out(f"{ENFORCER} event {where}").splitlines()
    assert {"DRIVER_OVERRIDE=none", "DRIVER_OVERRIDE_STATE=pending"} <= set(lines), lines
    assert (vm.driver(NIC), override(vm, NIC)) == ("vfio-pci", "none")
    vm.write(CONF, rule("nic", Name=NIC, Driver="vfio-pci"))
    vm.run(f"{ENFORCER} event {where}")
    assert (vm.driver(NIC), override(vm, NIC)) == ("vfio-pci", "vfio-pci")
    assert not [e for e in trace.read("uevent", NIC) if e.text in ("unbind", "bind")], "the driver was taken off"
    assert not trace.read("probe", NIC)


@scenario("the enforcer's event takes a device in every form that its help text names")
def forms(vm):
    present(vm)
    where = vm.out(f"realpath {path(NIC)}")
    answers = {form: vm.run(f"{ENFORCER} event {form}", check=False) for form in (where, path(NIC), f"pci/{NIC}", NIC)}
    assert {a.rc for a in answers.values()} == {0} and len({a.out for a in answers.values()}) == 1, answers


@scenario("the record of a card that is gone is not applied to a new card of the same name")
def successor(vm):
    present(vm)
    old_inode, old = inode(vm, NIC), record(vm, NIC)
    assert (old["INODE"], old["SET"]) == (old_inode, "vfio-pci"), old
    unplug(vm, 0, NIC)
    assert record(vm, NIC), "the old record is gone, so this shows nothing"
    unload(vm)
    trace = traced(vm)
    plug(vm, 0, NIC, "vfio-pci")
    proper_order(trace, NIC, "vfio-pci")
    assert inode(vm, NIC) != old_inode, "the kernel gave the folder its old inode"
    assert record(vm, NIC)["INODE"] == inode(vm, NIC)
    unplug(vm, 0, NIC)

    # No rule any more: a value that somebody writes into the successor is theirs, although the record has the same.
    vm.run(f"mv {CONF} {CONF}.off")
    unload(vm)
    trace = traced(vm)
    plug(vm, 0, NIC, "e1000e")
    assert not trace.read("override", NIC), trace.read("override", NIC)
    assert not properties(vm, NIC)
    vm.run(f"echo vfio-pci >{path(NIC)}/driver_override\n{ENFORCER} release\n{ENFORCER} release {NIC}")
    assert override(vm, NIC) == "vfio-pci", "a hand-set override was taken for ours"
    vm.run(f"mv {CONF}.off {CONF}")
    unplug(vm, 0, NIC)


def twins(vm, text, port, ours, other_port, other):
    """Plugs the one with a rule and then its twin. The twin comes second: the module that udev loads for it would
    otherwise be there before ours, and who wins then is another question."""
    empty_ports(vm)
    vm.write(CONF, text)
    unload(vm)
    unload(vm, "vfio-pci")
    trace = traced(vm)
    plug(vm, port, ours, "vfio-pci")
    plug(vm, other_port, other, "e1000e")
    proper_order(trace, ours, "vfio-pci")
    assert vm.driver(ours) == "vfio-pci"
    assert [e.text for e in trace.read("probe", other)] == ["e1000e"]
    assert override(vm, other) == "" and not trace.read("override", other)
    assert not properties(vm, other)
    assert vm.out(f"cat {path(ours)}/modalias") == vm.out(f"cat {path(other)}/modalias"), "no twins"
    unplug(vm, port, ours)
    unplug(vm, other_port, other)


@scenario("of two equal cards the one with the Name= goes to vfio-pci, its twin to e1000e", timeout=240)
def by_name(vm):
    twins(vm, rule("name", Name=OTHER, Driver="vfio-pci"), 2, OTHER, 0, NIC)


@scenario("of two equal cards the one at the Path= goes to vfio-pci, its twin to e1000e", timeout=240)
def by_path(vm):
    twins(vm, rule("path", Path="pci0000:00/10.0/00.0", Driver="vfio-pci"), 0, NIC, 2, OTHER)


@scenario("a plugged card with a Driver= that no module provides stays without a driver")
def unknown_driver(vm):
    empty_ports(vm)
    vm.write(CONF, rule("nic", Name=NIC, Driver="no-such-driver"))
    unload(vm)
    trace = traced(vm)
    plug(vm, 0, NIC)
    assert vm.driver(NIC) == "" and loaded(vm, "e1000e")
    assert not trace.read("probe", NIC)
    assert properties(vm, NIC)["_STATE"] == "pending"
    unplug(vm, 0, NIC)
