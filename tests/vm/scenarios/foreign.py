# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is not ours stays as it is: overrides that somebody else wrote, with a rule for their device and without."""

from lab.device import ENFORCER, SWEEP, override, path, plug, properties, record, rule, traced, trigger, unload, unplug
from lab.scenario import scenario

BARE, RULED, OURS = "0000:02:00.0", "0000:03:00.0", "0000:04:00.0"
PLUGGED = "0000:01:00.0"
CONF = "/etc/driver-overrides.d/50-nics.conf"
OURS_ONLY = rule("ours", Name=OURS, Driver="vfio-pci")
BOTH = OURS_ONLY + rule("ruled", Name=RULED, Driver="vfio-pci")

# The one with a rule comes first, while e1000e is not loaded: nothing holds here.
MACHINE = dict(written={CONF: OURS_ONLY}, plugged=["e1000e,bus=rp3", "e1000e,bus=rp1", "e1000e,bus=rp2"])


def by_hand(vm, device, text):
    vm.run(f"echo {text} >{path(device)}/driver_override")
    assert override(vm, device) == text


def everything(vm):
    """All that makes the enforcer look at a device."""
    trigger(vm, subsystem="pci")
    trigger(vm, "change", subsystem="pci")
    vm.run(f"systemctl restart {SWEEP}")
    vm.run(f"{ENFORCER} event $(realpath {path(BARE)}); {ENFORCER} event $(realpath {path(RULED)})")


@scenario("an override set by hand on a device without a rule survives events, sweeps and release")
def without_rule(vm):
    by_hand(vm, BARE, "pci-stub")
    trace = traced(vm)
    everything(vm)
    vm.run(f"{ENFORCER} release {BARE}")
    assert override(vm, BARE) == "pci-stub" and not trace.read("override"), trace.read("override")
    assert vm.driver(BARE) == "e1000e"
    assert not properties(vm, BARE) and not record(vm, BARE).get("SET")


@scenario("an override set by hand on a device with a rule is not overwritten, and the device's state is foreign")
def with_rule(vm):
    by_hand(vm, RULED, "pci-stub")
    vm.write(CONF, BOTH)
    trace = traced(vm)
    everything(vm)
    assert override(vm, RULED) == "pci-stub" and not trace.read("override"), trace.read("override")
    assert vm.driver(RULED) == "e1000e"
    found = properties(vm, RULED)
    assert (found["_RULE"], found["_STATE"]) == ("ruled", "foreign"), found
    assert record(vm, RULED)["STATE"] == "foreign" and not record(vm, RULED).get("SET")


@scenario("an override set by hand to the very value of the rule is not cleared by release")
def same_value(vm):
    by_hand(vm, RULED, "vfio-pci")
    everything(vm)
    trace = traced(vm)
    vm.run(f"{ENFORCER} release {RULED}")
    assert override(vm, RULED) == "vfio-pci" and not trace.read("override"), trace.read("override")
    vm.run(f"echo >{path(RULED)}/driver_override")


@scenario("an override that the project set and somebody changed is foreign until somebody clears it")
def taken_over(vm):
    assert (vm.driver(OURS), override(vm, OURS)) == ("vfio-pci", "vfio-pci")
    by_hand(vm, OURS, "pci-stub")
    trace = traced(vm)
    everything(vm)
    assert override(vm, OURS) == "pci-stub"
    assert properties(vm, OURS)["_STATE"] == "foreign"
    assert not trace.read("override", OURS), trace.read("override", OURS)
    vm.run(f"{ENFORCER} release")
    assert override(vm, OURS) == "pci-stub"
    # Cleared, it is the policy's again.
    vm.run(f"echo >{path(OURS)}/driver_override")
    trigger(vm, "add", OURS)
    assert (override(vm, OURS), properties(vm, OURS)["_STATE"]) == ("vfio-pci", "enforced")


@scenario("release clears the overrides that the project set and no others, and leaves no record behind")
def release(vm):
    by_hand(vm, BARE, "pci-stub")
    assert override(vm, OURS) == "vfio-pci" and record(vm, OURS)["SET"] == "vfio-pci"
    trace = traced(vm)
    driver = vm.driver(OURS)
    vm.run(f"{ENFORCER} release")
    written = [(e.device, e.text) for e in trace.read("override") if e.device != RULED]
    assert written == [(OURS, "\n")], written
    assert override(vm, OURS) == "" and not record(vm, OURS)
    assert override(vm, BARE) == "pci-stub"
    assert vm.driver(OURS) == driver, "the driver was taken off"


@scenario("an override written by another udev rule before the project's own is left alone")
def other_rule(vm):
    # What driverctl and others do: a rule that runs before ours.
    vm.write("/run/udev/rules.d/04-other.rules",
             f'ACTION=="add", KERNEL=="{PLUGGED}", SUBSYSTEM=="pci", ATTR{{driver_override}}="pci-stub"\n')
    vm.write(CONF, BOTH + rule("plugged", Name=PLUGGED, Driver="vfio-pci"))
    vm.run("udevadm control --reload; modprobe pci-stub")
    unload(vm)
    trace = traced(vm)
    plug(vm, 0, PLUGGED)
    assert [e.text for e in trace.read("override", PLUGGED)] == ["pci-stub"], trace.read(device=PLUGGED)
    assert properties(vm, PLUGGED)["_STATE"] == "foreign"
    assert not {"vfio-pci", "e1000e"} & {e.text for e in trace.read("probe", PLUGGED)}
    unplug(vm, 0, PLUGGED)
    vm.run("rm /run/udev/rules.d/04-other.rules; udevadm control --reload")
