# SPDX-License-Identifier: LGPL-2.1-or-later
"""overridectl import, from a configuration that the guest's own driverctl has made, and from lines of modprobe.d: the card has the
driver from its first probe on that it had before, when what made it so has gone."""

import json

from lab.device import empty_ports, plug, proper_order, settle, traced, unload, unplug
from lab.guard_unit import CONF, first_probe, policy_read, repetitions
from lab.guest import ASIDE
from lab.machine import link
from lab.scenario import scenario

CARD = "0000:01:00.0"
DRIVERCTL = ("/usr/lib/udev/rules.d/05-driverctl.rules", "/usr/lib/systemd/system/driverctl@.service", "/usr/sbin/driverctl")
# A rule about something else, so that there is a policy, as later.
MACHINE = dict(guests=repetitions(None, ("debian12",)), guard=True, service=True, lasts=30, written={CONF: "[device none]\nName=0000:77:00.0\nDriver=none\n"})


def imported(vm, source, rules):
    """What import says with --write; what is written by then is in force, and a second import changes nothing."""
    shown = json.loads(vm.out(f"overridectl import {source} --json"))
    assert [rule["label"] for rule in shown["rules"]] == rules and not shown["written"] and not shown["errors"], shown
    assert vm.run(f"test -e {shown['file']}", check=False).rc != 0, "written without --write"
    with policy_read(vm):
        written = json.loads(vm.out(f"overridectl import {source} --write --json"))
    assert written["written"] and not written["errors"], written
    before = vm.out(f"stat -c '%i %y' {written['file']}; cat {written['file']}")
    assert not json.loads(vm.out(f"overridectl import {source} --write --json"))["written"]
    assert vm.out(f"stat -c '%i %y' {written['file']}; cat {written['file']}") == before
    return written


def retire(vm, told):
    """Runs the commands that end the old way, but those for the boot image, which this machine has not."""
    for note in told["retire"]:
        if not note["command"].startswith("update-initramfs"):
            vm.run(note["command"])


def first_probes(vm):
    """Of the card, when it is plugged, with neither driver loaded."""
    for module in ("e1000e", "vfio-pci"):
        unload(vm, module)
    trace = traced(vm)
    plug(vm, 0, CARD, "vfio-pci")
    return trace


@scenario("after import modprobe, with the lines of modprobe.d gone, a card has the first probe that they gave it", timeout=300)
def modprobe(vm):
    vm.write("/etc/modprobe.d/passthrough.conf", "options vfio-pci ids=8086:10d3\nsoftdep e1000e pre: vfio-pci\n")
    vm.run("udevadm control --reload")
    before = [event.text for event in first_probes(vm).read("probe", CARD)]
    assert before == ["vfio-pci"], before
    retire(vm, imported(vm, "modprobe", ["vfio-pci-8086:10d3"]))
    assert not json.loads(vm.out("overridectl import modprobe --json"))["rules"]
    vm.run("udevadm control --reload")
    unplug(vm, 0, CARD)
    proper_order(first_probes(vm), CARD, "vfio-pci")
    assert first_probe(vm, CARD) == "guaranteed"


@scenario("after import driverctl, with driverctl removed, a card that it had goes to its driver with the first probe", timeout=300)
def driverctl(vm):
    # Whatever the scenario before has left.
    empty_ports(vm)
    if vm.run("ls /etc/driver-overrides.d/20-import-*", check=False).rc == 0:
        with policy_read(vm):
            vm.run("rm /etc/driver-overrides.d/20-import-* /etc/modprobe.d/passthrough.conf*")
    for name in DRIVERCTL:
        vm.place(name, link(ASIDE + name))
    vm.run("udevadm control --reload; systemctl daemon-reload; modprobe e1000e; modprobe vfio-pci")
    plug(vm, 0, CARD, "e1000e")
    vm.run(f"driverctl set-override {CARD} vfio-pci")
    assert vm.out("cd /etc/driverctl.d; grep . *") == f"pci-{CARD}:vfio-pci" or vm.out(f"cat /etc/driverctl.d/pci-{CARD}") == "vfio-pci"
    # As driverctl does it when the card comes.
    unplug(vm, 0, CARD)
    plug(vm, 0, CARD)
    vm.wait_for(f"driverctl list-overrides | grep -qx '{CARD} vfio-pci'")
    retire(vm, imported(vm, "driverctl", [f"pci-{CARD}"]))
    assert vm.run("ls -A /etc/driverctl.d/* 2>/dev/null", check=False).out == ""
    vm.run("rm " + " ".join(DRIVERCTL) + "; udevadm control --reload; systemctl daemon-reload")
    unplug(vm, 0, CARD)
    settle(vm)
    trace = traced(vm)
    plug(vm, 0, CARD, "vfio-pci")
    proper_order(trace, CARD, "vfio-pci")
    assert first_probe(vm, CARD) == "guaranteed"
