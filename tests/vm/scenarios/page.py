# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/passthrough.md as it is written: every command of it, in order, prints what the page says."""

import os
import re

from lab.bus import MANAGER
from lab.device import path, settle
from lab.machine import NULL_DRIVE
from lab.scenario import scenario

PAGE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "..", "docs", "passthrough.md")

# Where the page says they are: a card of two functions, two equal network cards, a disk, and virtual functions.
MACHINE = dict(
    guard=True, service=True, lasts=120,
    # There at boot, for what becomes of the sound depends on that.
    devices=["bochs-display,bus=rp0,addr=0.0,multifunction=on", "intel-hda,bus=rp0,addr=0.1",
             "e1000e,bus=rp1", "e1000e,bus=rp2",
             "nvme,bus=rp3,serial=disk,drive=d0",
             "nvme,bus=rp4,serial=lab,subsys=sub0,max_ioqpairs=26,msix_qsize=26,sriov_max_vfs=3,"
             "sriov_vq_flexible=9,sriov_vi_flexible=6"],
    qemu=["-drive", f"if=none,id=d0,{NULL_DRIVE}"])


def sections():
    """{title: [[command, what it prints], ...]}. A here-document belongs to its command."""
    found, title, ends = {}, None, None
    with open(PAGE, encoding="utf-8") as stream:
        for line in stream.read().splitlines():
            if line.startswith("## "):
                title = line[3:]
            text = line[4:] if line.startswith("    ") else None
            calls = found.setdefault(title, [])
            if text is None:
                ends = None
            elif ends or (calls and calls[-1][0].endswith("\\")):
                calls[-1][0] += "\n" + text
                ends = None if text == ends else ends
            elif text.startswith("$ "):
                calls.append([text[2:], ""])
                here = re.search(r"<<'(\w+)'", text)
                ends = here and here.group(1)
            elif calls and calls[-1][0]:
                calls[-1][1] += text + "\n"
    return {title: calls for title, calls in found.items() if calls}


def clean(vm):
    """As before the page: no rules but none, every device with its own driver."""
    vm.run("rm -f /etc/driver-overrides.d/*.conf; echo 0 >/sys/bus/pci/devices/0000:05:00.0/sriov_numvfs\n"
           f"busctl call {MANAGER} Reload; sleep 1; busctl --timeout=60 call {MANAGER} ApplyAll 'a{{sv}}' 0", 120)
    settle(vm)


def follow(vm, title):
    clean(vm)
    calls = sections()[title]
    for command, expected in calls:
        result = vm.run(command, timeout=90, check=False)
        assert result.rc == 0 and result.out == expected, (command, expected, result)
        vm.run("udevadm settle; sleep 1")


@scenario("docs/passthrough.md: the commands for a graphics card and its sound print what the page says", timeout=600)
def graphics(vm):
    follow(vm, "A graphics card and its sound")
    vm.wait_for(f"[ $(basename $(readlink {path('0000:01:00.1')}/driver)) = vfio-pci ]", 120)


@scenario("docs/passthrough.md: the commands for one of two equal network cards print what the page says", timeout=600)
def twins(vm):
    follow(vm, "One of two equal network cards")


@scenario("docs/passthrough.md: the commands for an NVMe disk print what the page says", timeout=600)
def disk(vm):
    follow(vm, "An NVMe disk")
    assert vm.driver("0000:04:00.0") == "vfio-pci"


@scenario("docs/passthrough.md: the commands for virtual functions print what the page says, and each is in its own group",
          timeout=600)
def functions(vm):
    follow(vm, "Virtual functions for DPDK")
    assert vm.driver("0000:05:00.0") == "nvme"
    groups = {vm.out(f"basename $(readlink {path(f'0000:05:00.{n}')}/iommu_group)") for n in (0, 1, 2)}
    assert len(groups) == 3, groups


@scenario("docs/passthrough.md: the commands for whatever comes by Thunderbolt print what the page says", timeout=600)
def outside(vm):
    follow(vm, "Whatever comes by Thunderbolt")


@scenario("docs/passthrough.md: every section that has commands is followed by a scenario")
def complete(vm):
    followed = {"A graphics card and its sound", "One of two equal network cards", "An NVMe disk",
                "Virtual functions for DPDK", "Whatever comes by Thunderbolt"}
    assert set(sections()) == followed, set(sections()) ^ followed
