# SPDX-License-Identifier: LGPL-2.1-or-later
"""What VFIO makes of devices and their groups: variants, groups that somebody has open, blockers, no IOMMU at all.
e1000e is loaded throughout, so that it is there to be kept off."""

import contextlib
import json

from lab import device_users
from lab.bus import MANAGER, busctl, device_property, manager_call, object_path, wait_device_property
from lab.device import exists, loaded, override, path, plug, probed, proper_order, record, rule, settle, traced, unplug
from lab.guard_unit import CONF, first_probe, guard_status, repetitions, wait_status, write_policy
from lab.machine import program
from lab.scenario import scenario

FIRST, SECOND = "0000:04:00.0", "0000:04:00.1"  # in rp3, one group
BRIDGE, SATA, SMBUS = "0000:00:1f.0", "0000:00:1f.2", "0000:00:1f.3"  # of the chipset, one group
CARD = "0000:01:00.0"
ALIASES = "/lib/modules/$(uname -r)/modules.alias"

HOLDER = {"/usr/local/bin/hold-vfio": program("hold-vfio")}
COMMON = dict(guard=True, service=True)
MACHINES = dict(
    pair=dict(plugged=["e1000e,bus=rp3,addr=0.1,multifunction=on", "e1000e,bus=rp3,addr=0.0,multifunction=on"],
              written={**HOLDER, CONF: rule("first", Name=FIRST, Driver="vfio")}, lasts=150, **COMMON),
    chipset=dict(files={CONF: rule("smbus", Name=SMBUS, Driver="vfio")}, written=HOLDER, **COMMON),
    bare=dict(cmdline="intel_iommu=off", devices=["e1000e,bus=rp1"],
              files={CONF: rule("card", Name="0000:02:00.0", Driver="vfio")}, **COMMON))


def group_of(vm, device):
    return device_property(vm, device, "Group")


def group_property(vm, device, name):
    out = busctl(vm, f"--json=short get-property org.driveroverrides1 {group_of(vm, device)} "
                     f"org.driveroverrides1.Group {name}").out
    return json.loads(out)["data"]


def second_again(vm):
    """Takes the second function away and lets the kernel find it again. The trace of that."""
    vm.run(f"modprobe e1000e; [ ! -e {path(SECOND)} ] || echo 1 >{path(SECOND)}/remove")
    trace = traced(vm)
    vm.run(f"echo 1 >/sys/bus/pci/rescan; until [ -e {path(SECOND)} ]; do sleep 0.1; done")
    return trace


def first_rule(group, more=""):
    return rule("first", Name=FIRST, Driver="vfio", Group=group) + more


def guaranteed(vm, group, driver, times):
    """Time after time the second function's first probe is that driver's (none: nobody's)."""
    write_policy(vm, first_rule(group))
    for _ in range(times):
        trace = second_again(vm)
        if driver != "none":
            probed(vm, SECOND, 60)
        assert first_probe(vm, SECOND) == "guaranteed", record(vm, SECOND)
        settle(vm)
        proper_order(trace, SECOND, driver, companion=True)
        assert vm.driver(FIRST) == "vfio-pci" and not trace.read("override", FIRST)


def with_every_group(vm, times):
    guaranteed(vm, "hold", "none", times)
    assert device_property(vm, SECOND, "State") == "held"
    guaranteed(vm, "vfio-pci", "vfio-pci", times)


@scenario("each time it is added, the second function of a group is held, given to vfio-pci or left to e1000e, as "
          "Group= says",
          machine="pair",
          timeout=1800)
def free(vm):
    probed(vm, FIRST)
    assert vm.driver(FIRST) == "vfio-pci"
    with_every_group(vm, repetitions(30, 2))
    write_policy(vm, first_rule("leave"))
    for _ in range(repetitions(30, 2)):
        trace = second_again(vm)
        probed(vm, SECOND, 60)
        settle(vm)
        assert vm.driver(SECOND) == "e1000e"
        assert [e.text for e in trace.read("probe", SECOND)] == ["e1000e"] and not trace.read("override", SECOND)
    wait_device_property(vm, SECOND, "State", "unmanaged")
    assert group_property(vm, FIRST, "Viable") is False
    assert group_property(vm, FIRST, "Blockers") == [object_path(SECOND)]


@scenario("when a group becomes viable, the bus's blockers and signals say so, and a program can read its device's "
          "config space",
          machine="pair")
def viable(vm):
    vm.run("busctl monitor --json=short org.driveroverrides1 >/run/lab/signals 2>/dev/null & echo $! >/run/lab/monitor")
    write_policy(vm, first_rule("none"))
    wait_device_property(vm, SECOND, "Decision", "none")
    manager_call(vm, "Apply", f"ssa{{sv}} pci {SECOND} 1 force b true")
    wait_device_property(vm, SECOND, "State", "held")
    assert group_property(vm, FIRST, "Viable") is True and group_property(vm, FIRST, "Blockers") == []
    assert sorted(group_property(vm, FIRST, "Members")) == sorted([object_path(FIRST), object_path(SECOND)])
    vm.wait_for("grep -F PropertiesChanged /run/lab/signals | grep -F Viable | grep -qF '\"data\":true'")
    vm.run("kill $(cat /run/lab/monitor)")
    with device_users.vfio(vm, FIRST):
        assert vm.out("cat /run/held") == "open 8086:10d3"


@scenario("while a process has a group open, a member that is added is held or vfio-pci's, and the kernel refuses e1000e",
          machine="pair", timeout=1800)
def owned(vm):
    guaranteed(vm, "hold", "none", 1)
    with device_users.vfio(vm, FIRST):
        owner = f"hold-vfio (process {vm.out('cat /run/holder')})"
        with_every_group(vm, repetitions(30, 1))
        write_policy(vm, first_rule("leave"))
        for _ in range(repetitions(30, 1)):
            trace = second_again(vm)
            settle(vm)
            wait_device_property(vm, SECOND, "State", "held")
            assert owner in device_property(vm, SECOND, "Reason"), device_property(vm, SECOND, "Reason")
            assert vm.driver(SECOND) == "" and not trace.read("override", SECOND)
    # Nobody decides about it: it is as the kernel has left it.
    wait_device_property(vm, SECOND, "State", "unmanaged")
    assert vm.driver(SECOND) == ""


@scenario("a group member that the kernel refused its driver while the group was open gets it when the group is closed",
          machine="pair", timeout=600)
def refused(vm):
    for driver in ("e1000e", "default"):
        guaranteed(vm, "hold", "none", 1)
        with device_users.vfio(vm, FIRST):
            write_policy(vm, first_rule("leave", rule("second", Name=SECOND, Driver=driver)))
            second_again(vm)
            wait_device_property(vm, SECOND, "State", "held")
            assert "is in use by hold-vfio" in device_property(vm, SECOND, "Reason")
            vm.run("sleep 3")
            assert vm.driver(SECOND) == "" and device_property(vm, SECOND, "State") == "held"
        wait_device_property(vm, SECOND, "Driver", "e1000e")
        wait_device_property(vm, SECOND, "State", "enforced")


@scenario("after a group was open and closed, a member that is added is held or given to vfio-pci as before",
          machine="pair", timeout=900)
def closed(vm):
    with_every_group(vm, repetitions(30, 1))


@contextlib.contextmanager
def variant(vm, module):
    """The card's model has an alias of its own meanwhile, of that module, as a variant driver's; and a rule."""
    vm.run(f"cp {ALIASES} /run/lab/aliases\n"
           f"echo 'alias vfio_pci:v00008086d000010D3sv*sd*bc*sc*i* {module}' >>{ALIASES}")
    try:
        write_policy(vm, rule("card", Name=CARD, Driver="vfio", Group="leave"))
        yield
    finally:
        before = int(guard_status(vm)["POLICY_LOADED"])
        vm.run(f"cp /run/lab/aliases {ALIASES}")
        wait_status(vm, "POLICY_LOADED", before + 1)  # it has heard of that


@scenario("Driver=vfio chooses the VFIO driver whose alias fits the card best, and sets the driver's name, not its module's",
          machine="pair", timeout=600)
def best(vm):
    # That it is pci-stub lets it be seen that the driver's name is not its module's.
    vm.run("modprobe pci-stub")
    with variant(vm, "pci_stub"):
        trace = traced(vm)
        plug(vm, 0, CARD, "pci-stub")
        proper_order(trace, CARD, "pci-stub")
        wait_device_property(vm, CARD, "State", "enforced")
        assert device_property(vm, CARD, "Decision") == "pci-stub"
        unplug(vm, 0, CARD)


@scenario("a VFIO variant driver whose module is missing makes the state failed, with the reason, and the card "
          "stays without a driver",
          machine="pair")
def missing(vm):
    with variant(vm, "no_such_vfio_pci"):
        trace = traced(vm)
        plug(vm, 0, CARD)
        wait_device_property(vm, CARD, "State", "failed")
        reason = device_property(vm, CARD, "Reason")
        assert "there is no driver no_such_vfio_pci on bus pci" in reason, reason
        assert "Module no_such_vfio_pci not found in directory" in reason, reason
        assert vm.driver(CARD) == "" and override(vm, CARD) == "no_such_vfio_pci"
        assert loaded(vm, "e1000e") and not trace.read("probe", CARD)
        unplug(vm, 0, CARD)
    plug(vm, 0, CARD, "vfio-pci")
    unplug(vm, 0, CARD)


@scenario("in the chipset's group blockers are named, and Group=hold leaves the bridge and the SATA controller alone",
          machine="chipset")
def chipset(vm):
    probed(vm, SMBUS, 60)
    assert vm.driver(SMBUS) == "vfio-pci"
    members = vm.out(f"ls {path(SMBUS)}/iommu_group/devices").split()
    assert members == [BRIDGE, SATA, SMBUS], members
    assert vm.driver(SATA) == "ahci" and override(vm, SATA) == "" and override(vm, BRIDGE) == ""
    for device in (BRIDGE, SATA):
        assert device_property(vm, device, "State") == "unmanaged" and device_property(vm, device, "Decision") == "", device
    assert group_property(vm, SMBUS, "Viable") is False
    blockers = [object_path(d) for d in members if vm.driver(d) not in ("", "vfio-pci")]
    assert object_path(SATA) in blockers and group_property(vm, SMBUS, "Blockers") == blockers


@scenario("Group=vfio gives VFIO the chipset's ISA bridge, which is a bridge by name only, and its SATA controller: no blocker is "
          "left, and a program gets the group", machine="chipset")
def chipset_given(vm):
    vm.run("modprobe lpc_ich")
    assert vm.driver(BRIDGE) == "lpc_ich"
    write_policy(vm, rule("smbus", Name=SMBUS, Driver="vfio", Group="vfio"))
    for device in (BRIDGE, SATA, SMBUS):
        wait_device_property(vm, device, "State", "enforced")
        assert vm.driver(device) == "vfio-pci", device
    assert group_property(vm, SMBUS, "Blockers") == [] and group_property(vm, SMBUS, "Viable") is True
    for device, found in ((SMBUS, "8086:2930"), (BRIDGE, "8086:2918")):
        with device_users.vfio(vm, device):
            assert vm.out("cat /run/held") == f"open {found}"


@scenario("without an IOMMU, state, journal and overridectl check say that VFIO drivers refuse the card", machine="bare")
def bare(vm):
    card = "0000:02:00.0"
    assert exists(vm, card) and not exists(vm, f"{card}/iommu_group")
    text = "it is in no IOMMU group, so VFIO drivers refuse it"
    vm.wait_for(f"busctl get-property org.driveroverrides1 {object_path(card)} org.driveroverrides1.Device Reason | grep -F '{text}'", 60)
    assert device_property(vm, card, "State") != "enforced" and device_property(vm, card, "Group") == "/"
    # What else it says of this guest, and hence its status, is of no interest here.
    assert text in vm.run("overridectl check", check=False).out
    assert text in vm.out("journalctl --sync; journalctl -b --no-pager -o cat")


@scenario("without an IOMMU, Apply is refused, or done where the kernel allows vfio-noiommu, with a warning", machine="bare")
def noiommu(vm):
    card = "0000:02:00.0"
    # Debian's kernels are built without it; others have it.
    unsafe = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
    answer = busctl(vm, f"call {MANAGER} Apply ssa{{sv}} pci {card} 0", check=False)
    assert answer.rc != 0 and "it is in no IOMMU group" in answer.out, answer
    assert vm.driver(card) != "vfio-pci"
    if vm.run(f"modprobe vfio; echo Y >{unsafe}", check=False).rc == 0:
        assert manager_call(vm, "Apply", f"ssa{{sv}} pci {card} 0") == 's "enforced"'
        assert vm.driver(card) == "vfio-pci"
        assert "can read and write all of the machine's memory" in device_property(vm, card, "Reason")
