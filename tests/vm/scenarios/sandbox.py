# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the sandboxes of the guard and of the sweeps must not take away from them, nor from the kernel, which works in their
processes when a device is probed."""

from lab.device import SWEEP, path, rule
from lab.guard_unit import CONF, GUARD, guard_pid
from lab.machine import program
from lab.scenario import scenario

DISK = "0000:01:00.0"
MACHINE = dict(guard=True, drives=["v0"],
               written={CONF: rule("disk", Name=DISK, Driver="virtio-pci"), "/usr/bin/receive-buffers": program("receive-buffers")},
               plugged=["virtio-blk-pci,bus=rp0,drive=v0"])

# A partition of 10 MiB, as a PC's boot record has it.
PARTITION = r"printf '\0\0\0\0\203\0\0\0\0\010\0\0\0\120\0\0' | dd of=/dev/{disk} bs=1 seek=446 conv=notrunc; " \
            r"printf '\125\252' | dd of=/dev/{disk} bs=1 seek=510 conv=notrunc; blockdev --rereadpt /dev/{disk}"


def disk_of(vm):
    return vm.wait_for(f"ls {path(DISK)}/virtio*/block")


@scenario("a disk that the boot's sweep or the guard's has had probed has its partitions")
def partitions(vm):
    vm.run("modprobe virtio_blk")
    vm.run(PARTITION.format(disk=disk_of(vm)))
    vm.wait_for(f"test -e /sys/block/{disk_of(vm)}/{disk_of(vm)}1")
    # A new guard begins with a sweep.
    for begin in (f"systemctl restart {SWEEP}", f"kill -KILL {guard_pid(vm)}"):
        vm.run(f"echo {DISK} >{path(DISK)}/driver/unbind")
        vm.run(begin)
        vm.wait_for(f"test -e {path(DISK)}/driver")
        disk = disk_of(vm)
        vm.run("udevadm settle")
        assert vm.run(f"test -e /sys/block/{disk}/{disk}1", check=False).rc == 0, (begin, vm.out("dmesg | tail -5"))


@scenario("the guard leaves its socket the buffer that the socket unit has given it")
def buffer(vm):
    assert "ReceiveBuffer=64M" in vm.out("systemctl cat driver-override-guard.socket")
    sizes = [int(size) for size in vm.out(f"receive-buffers {guard_pid(vm)}").split()]
    assert max(sizes) == 2 * 64 << 20, sizes  # the kernel doubles it


@scenario("systemd-analyze calls the exposure of the guard and of the sweeps at most 5.0", guests=("debian12",))
def exposure(vm):
    for unit in (GUARD, SWEEP, "driver-overrides-settled.service"):
        found = vm.run(f"systemd-analyze security --no-pager --threshold=50 {unit}", check=False)
        assert found.rc == 0, found.out.strip().splitlines()[-1]
