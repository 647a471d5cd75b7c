# SPDX-License-Identifier: LGPL-2.1-or-later
"""A device that is stuck in its driver's probe, with its lock held, delays no other: not in the guard, although before
Linux 7 the thread that only reads the device's override sleeps until that probe ends; nor does what udev runs wait.

What is stuck is a virtio disk whose backend does not answer: virtio_blk reads the partition table, and the PCI device
is locked meanwhile. The disk is bound by hand: while a plugged card is probed, the kernel itself plugs no other."""

from lab.device import journal, path, plug, properties, record, rule, unplug, uptime
from lab.guard_unit import (CONF, GUARD, first_probe, guard_again, guard_pid, guard_status, plug_guaranteed, repetitions,
                            unplug_unsettled, wait_status)
from lab.scenario import scenario

CARD, DISK = "0000:01:00.0", "0000:02:00.0"
MACHINE = dict(
    guard=True, lasts=60,
    written={CONF: rule("card", Bus="pci", Name=CARD, Driver="vfio-pci")
           + rule("disk", Bus="pci", Name=DISK, Driver="virtio-pci"),
           # udev must not load it when the disk is plugged: we do, later.
           "/etc/modprobe.d/lab.conf": "blacklist virtio_blk\n"})


def asleep(vm):
    """How many of the guard's threads are asleep in the kernel and cannot be woken."""
    return int(vm.out(f"cat /proc/{guard_pid(vm)}/task/*/status | grep -c '^State:.D' || true"))


def throttle(vm, rate):
    """The disk in bytes a second; 0 is no limit, also for what waits."""
    others = {name: 0 for name in ("bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr")}
    vm.qmp("block_set_io_throttle", id="/machine/peripheral/plug1/virtio-backend", bps=rate, **others)


def reader(vm, file):
    return vm.spawn(f"cat {path(DISK)}/{file} >/dev/null")


def plug_stuck_disk(vm, node):
    """With the guard stopped, so that its event is still to be read when the disk is in its second probe. The job that
    hangs there."""
    vm.qmp("blockdev-add", **{"driver": "null-co", "node-name": node, "size": 1 << 20, "read-zeroes": True})
    vm.run(f"systemctl kill -s STOP {GUARD}")
    plug(vm, 1, DISK, "virtio-pci", model="virtio-blk-pci", drive=node)
    throttle(vm, 1)
    vm.run(f"echo {DISK} >{path(DISK)}/driver/unbind; modprobe virtio_blk")
    job = vm.spawn(f"echo $BASHPID >/run/lab/stuck; echo {DISK} >/sys/bus/pci/drivers/virtio-pci/bind")
    vm.wait_for("grep -q '^State:.D' /proc/$(cat /run/lab/stuck)/status && ls /sys/block | grep -q ^vd")
    return job


@scenario("while a device hangs in its probe, other cards are guaranteed as always, and the enforcer's event gives up in time",
          timeout=900)
def stuck(vm):
    vm.run("modprobe e1000e; modprobe vfio-pci")
    hangs = plug_stuck_disk(vm, "disk")
    readers = {file: reader(vm, file) for file in ("driver_override", "uevent")}
    vm.run("sleep 3")
    sleeps, udev_sleeps = (not readers[file].done() for file in ("driver_override", "uevent"))
    vm.run(f"systemctl kill -s CONT {GUARD}")
    if sleeps:  # where a reader does, the guard's thread does, too
        vm.wait_for(f"grep -q '^State:.D' /proc/{guard_pid(vm)}/task/*/status")

    for _ in range(repetitions(30, 3)):
        plug_guaranteed(vm, 0, CARD)
        unplug_unsettled(vm, 0, CARD)
    # The disk's own, while the guard was stopped.
    assert wait_status(vm, "EXPIRED", 1)["EXPIRED"] == "1", guard_status(vm)

    if udev_sleeps:
        # Linux 6.1 locks the device for its uevent file, which udev reads (as does journald, when the kernel logs
        # something about the device) before it runs anything: so this is what it would run.
        devpath = vm.out(f"realpath {path(DISK)}").removeprefix("/sys")
        begun = uptime(vm)
        state = vm.out(f"env ACTION=add SUBSYSTEM=pci DEVPATH={devpath} /usr/lib/udev/driver-override event"
                       " | sed -n s/^DRIVER_OVERRIDE_STATE=//p", 30)
        took = uptime(vm) - begun
        assert took < 10, took  # two seconds; the rest is the host's
    else:
        # udev gives an event 180 s.
        vm.run(f"udevadm trigger --action=add {path(DISK)}; udevadm settle --timeout=60", 70)
        state = properties(vm, DISK)["_STATE"]
        assert bool(journal(vm, "timed out after 1.8 s")) == sleeps, journal(vm, "timed out after 1.8 s")
    assert state == ("pending" if sleeps else "enforced"), state

    assert not hangs.done() and (asleep(vm) > 0) == sleeps, "stuck no longer, so nothing was shown"
    throttle(vm, 0)
    assert hangs.wait().rc == 0 and all(reader.wait().rc == 0 for reader in readers.values())
    vm.wait_for(f"! grep -q '^State:.D' /proc/{guard_pid(vm)}/task/*/status")
    assert first_probe(vm, DISK) != "guaranteed", record(vm, DISK)
    assert vm.driver(DISK) == "virtio-pci"


@scenario("when the guard is killed while one of its threads sleeps in the kernel, no device waits for it any more",
          timeout=600)
def killed_asleep(vm):
    unplug(vm, 1, DISK)
    vm.run("modprobe -r virtio_blk")
    hangs = plug_stuck_disk(vm, "other")
    reads = reader(vm, "driver_override")
    vm.run("sleep 3")
    sleeps, guard = not reads.done(), guard_pid(vm)
    links = f"ls -l /proc/{guard}/task/*/fd 2>/dev/null | grep -c bpf.link || true"
    assert int(vm.out(links)) > 0, "the hold's programs are not attached by links, so nothing was shown"
    vm.run(f"systemctl kill -s CONT {GUARD}")
    if sleeps:
        vm.wait_for(f"grep -q '^State:.D' /proc/{guard}/task/*/status")
    vm.run(f"kill -9 {guard}")
    vm.wait_for(f"[ $({links}) = 0 ]")
    if sleeps:
        assert int(vm.out(f"cat /proc/{guard}/task/*/status | grep -c '^State:.D' || true")) > 0, "it does not sleep any more"
    throttle(vm, 0)
    assert hangs.wait().rc == 0 and reads.wait().rc == 0
    vm.wait_for(f"! test -e /proc/{guard} && {guard_again(guard)} && [ $(systemctl show -P MainPID {GUARD}) != 0 ]")
    plug_guaranteed(vm, 0, CARD)
    unplug_unsettled(vm, 0, CARD)
