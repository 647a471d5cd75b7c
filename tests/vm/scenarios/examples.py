# SPDX-License-Identifier: LGPL-2.1-or-later
"""The units of conf/examples with the real QEMU and DPDK, which open the cards of their rules. Only in the full counts: emulated CPUs
take long to start these programs. That units wait for their cards is shown each time, with other programs in their place; see nodes.py."""

import os

from lab import programs_disk
from lab.device import plug, rule, traced, unplug
from lab.guard_unit import CONF, first_probe, repetitions
from lab.scenario import scenario

GUESTS = repetitions(None, ())
EXAMPLES = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "..", "conf", "examples")
GPU, NIC = "0000:01:00.0", "0000:02:00.0"  # in rp0 and rp1
RULES = {"gpu": (GPU, "vmuser:kvm:0660"), "nic": (NIC, "dpdk:dpdk:0600")}
MACHINE = dict(guard=True, service=True, lasts=120, written={CONF: "".join(
    rule(label, Name=device, Driver="vfio", Group="vfio", Access=access) for label, (device, access) in RULES.items())})
# What a machine without KVM and with little memory says otherwise, and how it is asked afterwards.
SMALLER = {"-accel kvm -cpu host -m 8G": "-accel tcg -cpu max -m 64M -S -monitor tcp:127.0.0.1:4444,server=on,wait=off"}


def install(vm, unit, changes=()):
    """The example as it is, but for these words of it."""
    with open(os.path.join(EXAMPLES, f"{unit}.service"), encoding="utf-8") as stream:
        text = stream.read()
    for old, new in dict(changes).items():
        assert old in text, (unit, old)
        text = text.replace(old, new)
    vm.write(f"/etc/systemd/system/{unit}.service", text)


def starts_with_its_card(vm, unit, port, device, **properties):
    """The unit waits until the card comes, which is at its own driver elsewhere: e1000e is loaded, and never probes this one."""
    vm.run(f"modprobe e1000e; systemctl daemon-reload; systemctl start --no-block {unit}; systemctl list-jobs | grep -q {unit}")
    assert vm.out(f"systemctl show -P ActiveState {unit}") == "inactive"
    trace = traced(vm)
    plug(vm, port, device, "vfio-pci", **properties)
    probes = [e.text for e in trace.read("probe", device)]
    assert probes == ["vfio-pci"] and first_probe(vm, device) == "guaranteed", probes


def holds(vm, unit, label, user):
    """The unit's process is that user's, and has open what the rule's link leads to."""
    pid = vm.out(f"systemctl show -P MainPID {unit}")
    assert vm.out(f"stat -c %U /proc/{pid}") == user
    assert vm.out(f"readlink -f /dev/vfio/by-rule/{label}") in vm.out(f"readlink /proc/{pid}/fd/*").splitlines()


def ends(vm, unit, port, device):
    """The card can be taken out once the program has ended."""
    vm.run(f"systemctl stop {unit}")
    unplug(vm, port, device)
    assert vm.out(f"systemctl show -P Result {unit}") == "success", vm.out(f"systemctl status {unit} || true")


@scenario("QEMU's example unit starts when its card comes, and QEMU has it on its PCI bus", guests=GUESTS)
def guest(vm):
    programs_disk.attach(vm, "rp4")
    vm.run("useradd --system --user-group vmuser; getent group kvm >/dev/null || groupadd --system kvm; ip link set lo up\n"
           "install -d -o vmuser /var/lib/vmuser; truncate -s 1M /var/lib/vmuser/guest.qcow2; chown vmuser /var/lib/vmuser/guest.qcow2")
    install(vm, "guest-with-card", SMALLER)
    starts_with_its_card(vm, "guest-with-card", 0, GPU)
    vm.wait_for("(exec 3<>/dev/tcp/127.0.0.1/4444 && printf 'info pci\\nno-command\\n' >&3 && timeout 60 sed '/unknown command/q' <&3) "
                "| grep -q 'PCI device 8086:10d3'")
    holds(vm, "guest-with-card", "gpu", "vmuser")
    ends(vm, "guest-with-card", 0, GPU)


@scenario("DPDK's example unit starts when its card comes, and DPDK's own driver has it as a port", guests=GUESTS)
def port(vm):
    programs_disk.attach(vm, "rp4")
    vm.run("useradd --system --user-group dpdk; sysctl -q vm.nr_hugepages=256")
    install(vm, "dpdk-with-card")
    starts_with_its_card(vm, "dpdk-with-card", 1, NIC, mac="52:54:00:aa:bb:cc")
    # What it reads out of the card.
    vm.wait_for("journalctl -b -u dpdk-with-card -o cat | grep -qx 'Port 0: 52:54:00:AA:BB:CC'")
    holds(vm, "dpdk-with-card", "nic", "dpdk")
    ends(vm, "dpdk-with-card", 1, NIC)
