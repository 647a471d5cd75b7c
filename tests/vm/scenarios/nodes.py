# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nodes of VFIO and UIO: links by the rule's label, who may open them, and units that wait for them, which are those of
conf/examples with a program in QEMU's and DPDK's places that opens the card as these do."""

import os

from lab.device import exists, path, plug, probed, rule, settle, unplug
from lab.guard_unit import CONF, OUTER, write_policy
from lab.machine import program
from lab.scenario import scenario

EXAMPLES = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "..", "conf", "examples")
CARD, OTHER = "0000:01:00.0", "0000:02:00.0"  # in rp0 and rp1
FIRST, SECOND = "0000:04:00.0", "0000:04:00.1"  # in rp3, one group
LINKS = "/dev/vfio/by-rule"
# Says how it was called, and holds the card by the node that the link means.
STAND_IN = """#!/bin/sh
echo "$0 $*" >/run/by-unit/called-{label}
exec hold-vfio "$(basename "$(readlink -f {links}/{label})")" {device} obliging >/run/by-unit/held-{label}
"""


def example(name):
    with open(os.path.join(EXAMPLES, f"{name}-with-card.service"), encoding="utf-8") as stream:
        return stream.read()


def stand_in(label, device):
    return (STAND_IN.format(links=LINKS, label=label, device=device), 0o755)


def card_rule(label, device, **keys):
    return rule(label, Name=device, Driver="vfio", Group="vfio", **keys)


MACHINE = dict(
    guests=OUTER,
    guard=True, service=True, lasts=60,
    plugged=["e1000e,bus=rp3,addr=0.1,multifunction=on", "e1000e,bus=rp3,addr=0.0,multifunction=on"],
    written={
        "/usr/local/bin/hold-vfio": program("hold-vfio"),
        "/usr/bin/qemu-system-x86_64": stand_in("gpu", CARD), "/usr/bin/dpdk-testpmd": stand_in("nic", OTHER),
        "/etc/systemd/system/guest-with-card.service": example("guest"), "/etc/systemd/system/dpdk-with-card.service": example("dpdk"),
        CONF: card_rule("gpu", CARD, Access="vmuser:kvm:0660") + card_rule("nic", OTHER, Access="dpdk:dpdk:0600")})


def node_of(vm, link):
    """Where a link leads, and to whom that belongs."""
    return vm.out(f"readlink -f {LINKS}/{link}; stat -L -c %U:%G:%a {LINKS}/{link}").split()


def group_node(vm, device):
    return "/dev/vfio/" + vm.out(f"basename $(readlink {path(device)}/iommu_group)")


def unit_runs(vm, unit, label, port, device, called):
    vm.run(f"systemctl start --no-block {unit}; systemctl list-jobs | grep -q {unit}; ! test -e /run/by-unit/held-{label}")
    plug(vm, port, device, "vfio-pci")
    vm.wait_for(f"grep -qx 'open 8086:10d3' /run/by-unit/held-{label}")
    assert called in vm.out(f"cat /run/by-unit/called-{label}"), vm.out(f"cat /run/by-unit/called-{label}")


@scenario("units of QEMU and DPDK, which run as other users, start when their cards have come, and find link, owner and mode as the "
          "rules say")
def units(vm):
    vm.run("install -d -m 1777 /run/by-unit; useradd --system --user-group vmuser; useradd --system --user-group dpdk\n"
           "getent group kvm >/dev/null || groupadd --system kvm; systemctl daemon-reload")
    unit_runs(vm, "guest-with-card", "gpu", 0, CARD, f"-device vfio-pci,host={CARD}")
    unit_runs(vm, "dpdk-with-card", "nic", 1, OTHER, f"--in-memory -a {OTHER} -- --forward-mode=mac")
    assert node_of(vm, "gpu") == [group_node(vm, CARD), "vmuser:kvm:660"]
    assert node_of(vm, f"gpu-pci-{CARD}") == node_of(vm, "gpu")
    assert node_of(vm, "nic") == [group_node(vm, OTHER), "dpdk:dpdk:600"]
    assert vm.out("systemctl show -P User guest-with-card") == "vmuser"
    cdev = vm.out(f"ls {path(CARD)}/vfio-dev/*/dev 2>/dev/null | cut -d/ -f8 || true")
    if cdev:
        assert node_of(vm, "gpu.cdev") == [f"/dev/vfio/devices/{cdev}", "vmuser:kvm:660"]
    vm.run("systemctl stop guest-with-card dpdk-with-card")


@scenario("when a card goes, its link goes, and a unit that is bound to it ends; when it is back, it starts by itself")
def bound(vm):
    vm.run("systemctl enable --now guest-with-card")
    vm.wait_for("grep -qx 'open 8086:10d3' /run/by-unit/held-gpu")
    vm.run("rm /run/by-unit/held-gpu")
    vm.device_del("plug0")
    vm.wait_for(f"! test -e {path(CARD)} && ! test -e {LINKS}/gpu && ! systemctl is-active --quiet guest-with-card")
    plug(vm, 0, CARD, "vfio-pci")
    vm.wait_for("grep -qx 'open 8086:10d3' /run/by-unit/held-gpu")
    vm.run("systemctl disable guest-with-card; systemctl stop guest-with-card")
    unplug(vm, 0, CARD)
    unplug(vm, 1, OTHER)


@scenario("with a second card of a rule neither has the bare label, and each has its own")
def several(vm):
    write_policy(vm, rule("nics", Id="8086:10d3", Class="0200", Name=f"{CARD} {OTHER}", Driver="vfio", Access=":kvm:0660"))
    plug(vm, 0, CARD, "vfio-pci")
    vm.wait_for(f"test -e {LINKS}/nics")
    assert node_of(vm, "nics") == [group_node(vm, CARD), "root:kvm:660"]
    plug(vm, 1, OTHER, "vfio-pci")
    vm.wait_for(f"test -e {LINKS}/nics-pci-{OTHER} && ! test -L {LINKS}/nics")
    for device in (CARD, OTHER):
        assert node_of(vm, f"nics-pci-{device}") == [group_node(vm, device), "root:kvm:660"]


@scenario("when Access= is taken out of a rule, the nodes are root's again at their next event, and keep their links")
def taken_back(vm):
    write_policy(vm, rule("nics", Id="8086:10d3", Class="0200", Name=f"{CARD} {OTHER}", Driver="vfio"))
    for device in (CARD, OTHER):
        vm.run(f"udevadm trigger --action=change /sys/class/vfio/{os.path.basename(group_node(vm, device))}; udevadm settle")
        assert node_of(vm, f"nics-pci-{device}") == [group_node(vm, device), "root:root:600"]


@scenario("a member of a group that comes to VFIO later has its link then, and loses it when it goes")
def member(vm):
    write_policy(vm, rule("first", Name=FIRST, Driver="vfio", Group="leave"))
    vm.wait_for(f"test -e {LINKS}/first")
    assert not exists(vm, SECOND) or vm.driver(SECOND) != "vfio-pci"
    write_policy(vm, rule("first", Name=FIRST, Driver="vfio", Group="leave") + rule("second", Name=SECOND, Driver="vfio"))
    probed(vm, SECOND)
    vm.wait_for(f"test -e {LINKS}/second")
    assert node_of(vm, "second") == node_of(vm, "first")
    vm.run(f"echo {SECOND} >/sys/bus/pci/drivers/vfio-pci/unbind")
    vm.wait_for(f"test -e {LINKS}/first && ! test -L {LINKS}/second")


@scenario("a card at uio_pci_generic has a node of whom Access= says")
def uio(vm):
    unplug(vm, 1, OTHER)
    write_policy(vm, rule("nic", Name=OTHER, Driver="uio_pci_generic", Access="dpdk::0640"))
    plug(vm, 1, OTHER, "uio_pci_generic")
    node = "/dev/" + vm.wait_for(f"ls {path(OTHER)}/uio")
    settle(vm)
    assert vm.out(f"stat -c %U:%G:%a {node}") == "dpdk:root:640"
