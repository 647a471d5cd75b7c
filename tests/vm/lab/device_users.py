# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ways in which somebody uses a disk or a network interface of the guest. Each is a context; what it gives is the
reason for which the device is not to be taken away, as the project words it."""

import contextlib
import re

from .device import path, settle


def disk_of(vm, device):
    """The name of an NVMe device's block device: its own, or that of its multipath head."""
    own = vm.wait_for(f"ls -d {path(device)}/nvme/nvme*/nvme*n*").rsplit("/", 1)[1]
    name = re.sub(r"c\d+n", "n", own)
    vm.wait_for(f"test -b /dev/{name}")
    settle(vm)  # udev reads a new disk, and that is a use, too
    return name


def interface_of(vm, device):
    return vm.wait_for(f"ls {path(device)}/net | grep .")


@contextlib.contextmanager
def _use(vm, begin, reason, end):
    """The use ends also where an assertion fails: the next scenario must not find the device in use."""
    vm.run(begin, 120)
    try:
        yield reason
    finally:
        vm.run(end)


def mounted(vm, disk, where="/mnt"):
    return _use(vm, f"mkfs.ext4 -q -F /dev/{disk}; mkdir -p '{where}'; mount -t ext4 /dev/{disk} '{where}'",
                f"/dev/{disk} is mounted on {where}", f"umount -l '{where}'")


def swap(vm, disk):
    return _use(vm, f"mkswap -q /dev/{disk}; swapon /dev/{disk}", f"/dev/{disk} is swap", "swapoff -a || true")


def device_mapper(vm, disk):
    return _use(vm, f"echo 0 $(blockdev --getsz /dev/{disk}) linear /dev/{disk} 0 | dmsetup create lab",
                f"/dev/{disk} is used by device-mapper lab (dm-0)", "dmsetup remove --retry lab")


@contextlib.contextmanager
def mount_namespace(vm, disk):
    """Mounted in another mount namespace only."""
    vm.run(f"mkfs.ext4 -q -F /dev/{disk}", 120)
    vm.run(f"unshare -m --propagation private bash -c 'mount -t ext4 /dev/{disk} /mnt && exec sleep 10000' "
           ">/dev/null 2>&1 & echo $! >/run/holder")
    pid = vm.out("cat /run/holder")
    with _use(vm, f"until grep -q /dev/{disk} /proc/{pid}/mountinfo && grep -q sleep /proc/{pid}/comm; do sleep 0.1; done",
              f"/dev/{disk} is mounted on /mnt in the mount namespace of sleep (process {pid})", f"kill {pid}") as reason:
        assert vm.run(f"grep /dev/{disk} /proc/self/mountinfo", check=False).rc != 0
        yield reason


def address(vm, interface):
    return _use(vm, f"ip address flush dev {interface}; ip address add 10.9.8.7/24 dev {interface}",
                f"{interface} has the address 10.9.8.7", "true")  # gone with the interface


def bridge(vm, interface):
    return _use(vm, f"ip link add br0 type bridge; ip link set {interface} master br0", f"{interface} is a port of br0",
                "ip link del br0")


def network_namespace(vm, interface):
    return _use(vm, f"ip netns add blue; ip link set {interface} netns blue",
                f"{interface} is in the network namespace blue", "ip netns del blue")


@contextlib.contextmanager
def vfio(vm, device):
    """A process that has the device, which is bound to vfio-pci, open as a virtual machine has. It needs the program
    hold-vfio in the guest."""
    group = vm.out(f"basename $(readlink {path(device)}/iommu_group)")
    vm.run(f"hold-vfio {group} {device} >/run/held 2>&1 & echo $! >/run/holder")
    pid = vm.out("cat /run/holder")
    # What it says when it fails is worth more than the end of the time.
    opened = f"until grep -q ^open /run/held; do [ -e /proc/{pid} ] || {{ cat /run/held; exit 1; }}; sleep 0.1; done"
    with _use(vm, opened, f"/dev/vfio/{group} is open in hold-vfio (process {pid})",
              f"kill {pid}; while [ -e /proc/{pid} ]; do sleep 0.1; done") as reason:
        yield reason


DISK_USES = (mounted, swap, device_mapper, mount_namespace)
INTERFACE_USES = (address, bridge, network_namespace)
