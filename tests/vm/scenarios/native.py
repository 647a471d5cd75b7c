# SPDX-License-Identifier: LGPL-2.1-or-later
"""PCIe's own hot-plug (pciehp, in a kernel thread of the port's interrupt), where the other scenarios have ACPI's."""

from lab.device import rule
from lab.guard_unit import CONF, guard_status, plug_guaranteed, repetitions, unplug_unsettled
from lab.scenario import scenario

CARDS = {0: "0000:01:00.0", 2: "0000:03:00.0"}
MACHINE = dict(guard=True, qemu=["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"],
               files={CONF: rule("cards", Bus="pci", Name=" ".join(CARDS.values()), Driver="vfio-pci")})


@scenario("with e1000e loaded, each card plugged into a PCIe (not ACPI) hot-plug slot is guaranteed to vfio-pci", timeout=1500)
def native(vm):
    vm.run("modprobe e1000e; modprobe vfio-pci")
    for number in range(repetitions(30, 3)):
        port = list(CARDS)[number % len(CARDS)]
        plug_guaranteed(vm, port, CARDS[port])
        assert f"pciehp: Slot({port + 1})" in vm.kernel_log(), "not plugged by pciehp"
        unplug_unsettled(vm, port, CARDS[port])
        vm.run("dmesg --clear")
    assert guard_status(vm)["EXPIRED"] == "0", guard_status(vm)
