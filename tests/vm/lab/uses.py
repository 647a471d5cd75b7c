# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ways in which somebody uses a disk or a network interface of the guest. Each is a context; what it gives is the
reason for which the device is not to be taken away, as the project words it."""

import contextlib


@contextlib.contextmanager
def mounted(vm, disk, where="/mnt"):
    vm.run(f"mkfs.ext4 -q -F /dev/{disk}; mkdir -p '{where}'; mount /dev/{disk} '{where}'", 120)
    yield f"/dev/{disk} is mounted on {where}"
    vm.run(f"umount -l '{where}'")


@contextlib.contextmanager
def swap(vm, disk):
    vm.run(f"mkswap -q /dev/{disk}; swapon /dev/{disk}")
    yield f"/dev/{disk} is swap"
    vm.run("swapoff -a || true")


@contextlib.contextmanager
def device_mapper(vm, disk):
    vm.run(f"echo 0 $(blockdev --getsz /dev/{disk}) linear /dev/{disk} 0 | dmsetup create lab")
    yield f"/dev/{disk} is used by device-mapper lab (dm-0)"
    vm.run("dmsetup remove --retry lab")


@contextlib.contextmanager
def mount_namespace(vm, disk):
    """Mounted in another mount namespace only."""
    vm.run(f"mkfs.ext4 -q -F /dev/{disk}", 120)
    vm.run(f"unshare -m --propagation private bash -c 'mount /dev/{disk} /mnt && exec sleep 10000' "
           ">/dev/null 2>&1 & echo $! >/run/holder")
    pid = vm.out("cat /run/holder")
    vm.wait_for(f"grep -q /dev/{disk} /proc/{pid}/mountinfo && grep -q sleep /proc/{pid}/comm")
    assert vm.run(f"grep /dev/{disk} /proc/self/mountinfo", check=False).rc != 0
    yield f"/dev/{disk} is mounted on /mnt in the mount namespace of sleep (process {pid})"
    vm.run(f"kill {pid}")


@contextlib.contextmanager
def address(vm, interface):
    vm.run(f"ip address flush dev {interface}; ip address add 10.9.8.7/24 dev {interface}")
    yield f"{interface} has the address 10.9.8.7"


@contextlib.contextmanager
def bridge(vm, interface):
    vm.run(f"ip link add br0 type bridge; ip link set {interface} master br0")
    yield f"{interface} is a port of br0"
    vm.run("ip link del br0")


@contextlib.contextmanager
def network_namespace(vm, interface):
    vm.run(f"ip netns add blue; ip link set {interface} netns blue")
    yield f"{interface} is in the network namespace blue"
    vm.run("ip netns del blue")


@contextlib.contextmanager
def vfio(vm, device):
    """A process that has the device, which is bound to vfio-pci, open as a virtual machine has. It needs the program
    hold-vfio in the guest. Its own end is the caller's affair, too: kill `cat /run/holder`."""
    group = vm.out(f"basename $(readlink /sys/bus/pci/devices/{device}/iommu_group)")
    vm.run(f"hold-vfio {group} {device} >/run/held 2>&1 & echo $! >/run/holder")
    vm.wait_for("grep -qx open /run/held || ! cat /run/held")
    pid = vm.out("cat /run/holder")
    yield f"/dev/vfio/{group} is open in hold-vfio (process {pid})"
    vm.run(f"kill {pid} 2>/dev/null || true")
    vm.wait_for(f"! test -e /proc/{pid}")


DISK_USES = (mounted, swap, device_mapper, mount_namespace)
INTERFACE_USES = (address, bridge, network_namespace)
