# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices whose nodes a process has open: not taken away, and moved at once when they are let go."""

import contextlib

from lab import device_users
from lab.bus import device_property, manager_call, manager_refuses, wait_device_property
from lab.device import override, rule, settle
from lab.scenario import scenario

NIC, DISK, SMBUS = "0000:02:00.0", "0000:03:00.0", "0000:00:1f.3"
PAIR = ("0000:04:00.0", "0000:04:00.1")
POLICY = "/etc/driver-overrides.d/50-in-use.conf"
MACHINES = dict(used=dict(service=True, guard=True, lasts=90,
                          # Of a slot that is plugged, function 0 comes last: it tells the kernel of the others.
                          plugged=["e1000e,bus=rp1", "nvme,bus=rp2,serial=one,drive=d0",
                                   "e1000e,bus=rp3,addr=0.1,multifunction=on", "e1000e,bus=rp3,addr=0.0,multifunction=on"],
                          drives=["d0"]))


@contextlib.contextmanager
def held_open(vm, node):
    """A process that has a node open, and does nothing else; gives what the project says of it."""
    vm.run(f"test -c {node} -o -b {node}\nsleep 10000 3<{node} >/dev/null 2>&1 & echo $! >/run/holder")
    pid = vm.out("cat /run/holder")
    try:
        vm.wait_for(f"grep -q sleep /proc/{pid}/comm")
        yield f"{node} is open in sleep (process {pid})"
    finally:
        vm.run(f"kill {pid} 2>/dev/null; while [ -e /proc/{pid} ]; do sleep 0.1; done")


def blocked_until_closed(vm, device, node, before, driver="none"):
    """The dry run and SetOverride refuse and name the process; policy leaves the device blocked; then it is let go."""
    with held_open(vm, node) as reason:
        for dry in ("1 dry-run b true", "0"):
            manager_refuses(vm, reason, "SetOverride", f"sssa{{sv}} pci {device} {driver} {dry}")
        assert (vm.driver(device), override(vm, device)) == (before, ""), reason
        vm.write(POLICY, rule("used", Name=device, Driver=driver))
        wait_device_property(vm, device, "State", "blocked")
        assert reason in device_property(vm, device, "Reason"), device_property(vm, device, "Reason")
        assert vm.driver(device) == before
    wait_device_property(vm, device, "State", "enforced")
    assert (vm.driver(device), override(vm, device)) == ("" if driver == "none" else driver, driver)
    vm.run(f"rm {POLICY}")
    wait_device_property(vm, device, "State", "unmanaged")
    settle(vm)
    assert vm.driver(device) == before


@scenario("a disk that a process has open, though not exclusively, stays until the process closes it, and is moved then",
          machine="used", timeout=300)
def disk(vm):
    blocked_until_closed(vm, DISK, f"/dev/{device_users.disk_of(vm, DISK)}", "nvme")


@scenario("a disk that is mounted, and one that is swap, stays until that ends, and is moved then", machine="used", timeout=300)
def mounted(vm):
    for use in (device_users.mounted, device_users.swap):
        with use(vm, device_users.disk_of(vm, DISK)) as reason:
            vm.write(POLICY, rule("used", Name=DISK, Driver="none"))
            wait_device_property(vm, DISK, "State", "blocked")
            assert reason in device_property(vm, DISK, "Reason"), device_property(vm, DISK, "Reason")
            assert vm.driver(DISK) == "nvme"
        # Sooner than the minute after which it is tried in any case.
        vm.wait_for(f"! test -e /sys/bus/pci/devices/{DISK}/driver", 30)
        wait_device_property(vm, DISK, "State", "enforced")
        vm.run(f"rm {POLICY}")
        wait_device_property(vm, DISK, "State", "unmanaged")
        settle(vm)
        assert vm.driver(DISK) == "nvme"


@scenario("an SMBus controller whose i2c node is open stays until the node is closed, and is moved then", machine="used",
          timeout=300)
def i2c(vm):
    vm.run("modprobe -a i2c-i801 i2c-dev")
    node = vm.wait_for(f"ls -d /sys/bus/pci/devices/{SMBUS}/i2c-*/i2c-dev/i2c-* | head -n 1").rsplit("/", 1)[1]
    vm.wait_for(f"test -c /dev/{node}")
    blocked_until_closed(vm, SMBUS, f"/dev/{node}", "i801_smbus")


@scenario("a card at uio_pci_generic whose UIO node is open stays until the node is closed, and is moved then", machine="used",
          timeout=300)
def uio(vm):
    assert manager_call(vm, "SetOverride", f"sssa{{sv}} pci {NIC} uio_pci_generic 0") == 's "enforced"'
    node = "/dev/" + vm.wait_for(f"ls /sys/bus/pci/devices/{NIC}/uio | head -n 1")
    vm.wait_for(f"test -c {node}")
    with held_open(vm, node) as reason:
        for dry in ("1 dry-run b true", "0"):
            manager_refuses(vm, reason, "SetOverride", f"sssa{{sv}} pci {NIC} none {dry}")
        assert vm.driver(NIC) == "uio_pci_generic"
        manager_refuses(vm, reason, "ClearOverride", f"ssa{{sv}} pci {NIC} 0")
    assert manager_call(vm, "ClearOverride", f"ssa{{sv}} pci {NIC} 0") == 's "unmanaged"'
    assert vm.driver(NIC) == "e1000e"


@scenario("two functions of one card, one of which has an address, stay both, and are moved both when the address has gone",
          machine="used", timeout=300)
def card(vm):
    interface = device_users.interface_of(vm, PAIR[1])
    with device_users.address(vm, interface) as reason:
        vm.write(POLICY, rule("card", Name="0000:04:00.*", Driver="vfio-pci"))
        for device in PAIR:
            wait_device_property(vm, device, "State", "blocked")
            assert reason in device_property(vm, device, "Reason"), device_property(vm, device, "Reason")
            assert vm.driver(device) == "e1000e"
        vm.run(f"ip address flush dev {interface}")
        for device in PAIR:
            wait_device_property(vm, device, "State", "enforced")
            assert vm.driver(device) == "vfio-pci"
    vm.run(f"rm {POLICY}")
    for device in PAIR:
        wait_device_property(vm, device, "State", "unmanaged")
