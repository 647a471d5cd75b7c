# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices whose nodes a process has open: not taken away, and moved at once when they are let go."""

import contextlib

from lab import device_users
from lab.bus import device_property, manager_call, manager_refuses, wait_device_property
from lab.device import override, path, rule, settle
from lab.machine import program
from lab.scenario import scenario

NIC, DISK, SMBUS = "0000:02:00.0", "0000:03:00.0", "0000:00:1f.3"
PAIR = ("0000:04:00.0", "0000:04:00.1")
PHYSICAL, VIRTUAL = "0000:05:00.0", "0000:05:00.1"
POLICY = "/etc/driver-overrides.d/50-in-use.conf"
MACHINES = dict(used=dict(service=True, guard=True, lasts=90,
                          # Of a slot that is plugged, function 0 comes last: it tells the kernel of the others.
                          plugged=["e1000e,bus=rp1", "nvme,bus=rp2,serial=one,drive=d0",
                                   "e1000e,bus=rp3,addr=0.1,multifunction=on", "e1000e,bus=rp3,addr=0.0,multifunction=on",
                                   "nvme,bus=rp4,serial=two,subsys=sub0,max_ioqpairs=26,msix_qsize=26,sriov_max_vfs=1,"
                                   "sriov_vq_flexible=9,sriov_vi_flexible=6"],
                          drives=["d0"],
                          written={f"/usr/local/bin/{name}": program(name) for name in ("hold-vfio", "vduse-device")}))


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


@contextlib.contextmanager
def virtual_function_held(vm):
    with device_users.vfio(vm, VIRTUAL) as reason:
        yield f"its virtual function {VIRTUAL}: {reason}"


def blocked_until_let_go(vm, device, use, bus="pci"):
    """While a process uses it the dry run and SetOverride refuse and name the process, and policy leaves the device
    blocked; when it is let go it is moved, and given back when the policy goes."""
    before = vm.driver(device, bus)
    with use as reason:
        for dry in ("1 dry-run b true", "0"):
            manager_refuses(vm, reason, "SetOverride", f"sssa{{sv}} {bus} {device} none {dry}")
        assert (vm.driver(device, bus), override(vm, device, bus)) == (before, ""), reason
        vm.write(POLICY, rule("used", Bus=bus, Name=device, Driver="none"))
        wait_device_property(vm, device, "State", "blocked", bus)
        assert reason in device_property(vm, device, "Reason", bus), device_property(vm, device, "Reason", bus)
        assert vm.driver(device, bus) == before
    wait_device_property(vm, device, "State", "enforced", bus)
    assert (vm.driver(device, bus), override(vm, device, bus)) == ("", "none")
    vm.run(f"rm {POLICY}")
    wait_device_property(vm, device, "State", "unmanaged", bus)
    settle(vm)
    assert vm.driver(device, bus) == before


@scenario("a disk that a process has open, though not exclusively, stays until the process closes it, and is moved then",
          machine="used", timeout=300)
def disk(vm):
    blocked_until_let_go(vm, DISK, held_open(vm, f"/dev/{device_users.disk_of(vm, DISK)}"))
    assert vm.driver(DISK) == "nvme"


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
    assert vm.driver(SMBUS) == "i801_smbus"
    blocked_until_let_go(vm, SMBUS, held_open(vm, f"/dev/{node}"))


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


@scenario("a physical function stays with its driver while a process has one of its virtual functions, and is moved when that "
          "is let go", machine="used", timeout=300)
def physical_function(vm):
    assert vm.driver(PHYSICAL) == "nvme"
    vm.run(f"echo 1 >{path(PHYSICAL)}/sriov_numvfs\nudevadm settle")
    assert manager_call(vm, "SetOverride", f"sssa{{sv}} pci {VIRTUAL} vfio-pci 0") == 's "enforced"'
    blocked_until_let_go(vm, PHYSICAL, virtual_function_held(vm))
    # It is not taken away from the function that nobody uses, either: the kernel leaves virtual functions where they are.
    assert vm.driver(VIRTUAL) == "vfio-pci"
    assert manager_call(vm, "ClearOverride", f"ssa{{sv}} pci {VIRTUAL} 0") == 's "unmanaged"'
    vm.run(f"echo 0 >{path(PHYSICAL)}/sriov_numvfs")


@scenario("a vDPA device stays with vhost_vdpa while a process has its node open, though the node's folder in sysfs has no "
          "subsystem, and is moved when the node is closed", machine="used", timeout=300, guests=("debian13", "forky"))
def vdpa(vm):
    # VDUSE is the only maker of vDPA devices that needs no such card; Debian 12's kernel has none.
    vm.run("modprobe -a vduse vhost_vdpa; vduse-device lab >/run/vduse 2>&1 & echo $! >/run/vduse.pid")
    vm.wait_for("grep -q ready /run/vduse")
    vm.run("vdpa dev add name lab mgmtdev vduse")
    vm.wait_for("test -c /dev/vhost-vdpa-0")
    settle(vm)
    assert vm.driver("lab", "vdpa") == "vhost_vdpa"
    blocked_until_let_go(vm, "lab", held_open(vm, "/dev/vhost-vdpa-0"), "vdpa")
    vm.run("vdpa dev del lab; kill $(cat /run/vduse.pid)")
