# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the service says and does where a device is in use, where its policy cannot be written, and over a suspend."""

from lab import device_users
from lab.bus import (MANAGER, UNIT, device_property, manager_call, manager_refuses, object_path, policy_files,
                     wait_device_property)
from lab.device import override, path, settle, traced, uptime
from lab.machine import program
from lab.scenario import scenario

NIC, DISK = "0000:02:00.0", "0000:03:00.0"
RULES = "/etc/driver-overrides.d"
COMMON = dict(service=True, guard=True, plugged=["e1000e,bus=rp1", "nvme,bus=rp2,serial=one,drive=d0"], drives=["d0"])
MACHINES = dict(
    awake=dict(
        lasts=120,
        written={"/usr/local/bin/hold-vfio": program("hold-vfio"), "/usr/local/bin/bus-latency": program("bus-latency", "systemd")},
        # A disk that is taken away while it is in use, on purpose.
        kernel_log=[r"EXT4-fs|Buffer I/O|JBD2|nvme"], **COMMON),
    # QEMU 10 often ends by an assertion (iotlb_to_section) where two emulated CPUs go through this.
    asleep=dict(cpus=1, packed=True, **COMMON))


def set_to(vm, device, driver, *options):
    pairs = " ".join(f"{name} b true" for name in options)
    return manager_call(vm, "SetOverride", f"sssa{{sv}} pci {device} {driver} {len(options)} {pairs}")


def clear(vm, device, *options):
    pairs = " ".join(f"{name} b true" for name in options)
    return manager_call(vm, "ClearOverride", f"ssa{{sv}} pci {device} {len(options)} {pairs}")


def in_use_until_forced(vm, device, reason, driver):
    """By the bus: refused with the user named and nothing changed; done by force; given back."""
    manager_refuses(vm, reason, "SetOverride", f"sssa{{sv}} pci {device} none 0")
    assert (vm.driver(device), override(vm, device), policy_files(vm)) == (driver, "", []), reason
    assert device_property(vm, device, "State") == "unmanaged"
    assert set_to(vm, device, "none", "force") == 's "enforced"'
    assert (vm.driver(device), override(vm, device)) == ("", "none")
    assert clear(vm, device, "force") == 's "unmanaged"'
    assert (vm.driver(device), override(vm, device), policy_files(vm)) == (driver, "", [])
    settle(vm)


@scenario("SetOverride on a disk in use in any of four ways is refused, names the use, and is done with force",
          machine="awake", timeout=900)
def disks(vm):
    for use in device_users.DISK_USES:
        with use(vm, device_users.disk_of(vm, DISK)) as reason:
            in_use_until_forced(vm, DISK, reason, "nvme")


@scenario("SetOverride on a network card in use in any of three ways is refused, names the use, and is done with force",
          machine="awake", timeout=900)
def cards(vm):
    for use in device_users.INTERFACE_USES:
        with use(vm, device_users.interface_of(vm, NIC)) as reason:
            in_use_until_forced(vm, NIC, reason, "e1000e")


def latency(vm):
    """The median of ten pairs of questions, and the longest, in microseconds."""
    median, most = vm.out(f"bus-latency 10 pci {DISK}", 60).split()
    return int(median), int(most)


@scenario("SetOverride on an open VFIO device is refused; with force it gets stuck while the bus still answers, and "
          "it recovers",
          machine="awake", timeout=600)
def held(vm):
    assert set_to(vm, NIC, "vfio-pci") == 's "enforced"'
    usual = latency(vm)
    with device_users.vfio(vm, NIC) as reason:
        manager_refuses(vm, reason, "SetOverride", f"sssa{{sv}} pci {NIC} none 0")
        assert vm.driver(NIC) == "vfio-pci" and override(vm, NIC) == "vfio-pci"
        begun = uptime(vm)
        caller = vm.spawn(f"busctl --timeout=60 call {MANAGER} SetOverride sssa{{sv}} pci {NIC} none 1 force b true")
        vm.wait_for(f"! test -e {path(NIC)}/driver")
        meanwhile = latency(vm)
        assert not caller.done(), "the call has ended, so nothing was shown"
        answer = caller.wait(60)
        took = uptime(vm) - begun
        assert answer.rc != 0 and "did not come back" in answer.out, answer
        assert took < 40, took  # 20 of the service; the rest is the machine's
        wait_device_property(vm, NIC, "State", "stuck")
        stuck = latency(vm)
        # Another device is moved as ever.
        assert set_to(vm, DISK, "none") == 's "enforced"'
        assert clear(vm, DISK) == 's "unmanaged"'
        assert device_property(vm, NIC, "State") == "stuck"
    vm.note(f"# answers, usually {usual}, meanwhile {meanwhile}, when stuck {stuck} microseconds (median, longest)")
    # Were one answer to wait for what hangs, it would take the call's 20 s. How fast it is depends on what else the
    # machine does.
    assert max(meanwhile[1], stuck[1]) < 2_000_000, (usual, meanwhile, stuck)
    # The holder has ended, and nobody has to say so. What could not be acknowledged is not policy: it is as before.
    wait_device_property(vm, NIC, "State", "enforced")
    assert vm.driver(NIC) == "vfio-pci" and override(vm, NIC) == "vfio-pci"
    assert set_to(vm, NIC, "vfio-pci") == 's "enforced"'
    assert clear(vm, NIC) == 's "unmanaged"'
    assert vm.driver(NIC) == "e1000e" and policy_files(vm) == []


@scenario("SetOverride on a full or read-only file system fails and leaves policy and device as before",
          machine="awake", timeout=600)
def unwritable(vm):
    assert set_to(vm, NIC, "vfio-pci") == 's "enforced"'
    for options, error in (("size=64k", "No space left"), ("ro", "Read-only file system")):
        vm.run(f"mkdir -p /run/lab/rules; cp -a {RULES}/. /run/lab/rules; mount -t tmpfs -o size=64k,mode=755 lab {RULES}\n"
               f"cp -a /run/lab/rules/. {RULES}\n"
               f"dd if=/dev/zero of={RULES}/filler bs=1k 2>/dev/null || true\n"
               f"mount -o remount,{options} {RULES}; systemctl restart {UNIT}")
        before = vm.out(f"cd {RULES}; ls -A; cat *.conf")
        out = manager_refuses(vm, error, "SetOverride", f"sssa{{sv}} pci {NIC} none 0")
        assert RULES in out, out
        manager_refuses(vm, error, "SetOverride", f"sssa{{sv}} pci {DISK} none 0")
        if options == "ro":
            manager_refuses(vm, error, "ClearOverride", f"ssa{{sv}} pci {NIC} 0")
        assert vm.out(f"cd {RULES}; ls -A; cat *.conf") == before
        assert (vm.driver(NIC), override(vm, NIC), device_property(vm, NIC, "State")) == ("vfio-pci", "vfio-pci", "enforced")
        assert (vm.driver(DISK), override(vm, DISK), device_property(vm, DISK, "State")) == ("nvme", "", "unmanaged")
        # What is not written there is as ever.
        assert manager_call(vm, "SetOverride", f"sssa{{sv}} pci {DISK} none 1 runtime b true") == 's "enforced"'
        assert manager_call(vm, "ClearOverride", f"ssa{{sv}} pci {DISK} 1 runtime b true") == 's "unmanaged"'
        vm.run(f"systemctl stop {UNIT}; umount {RULES}; systemctl start {UNIT}")
    assert clear(vm, NIC) == 's "unmanaged"'


@scenario("across a suspend the project writes no override, moves no device and sends no signal",
          machine="asleep", timeout=600)
def suspend(vm):
    assert set_to(vm, NIC, "vfio-pci") == 's "enforced"'
    settle(vm)
    trace = traced(vm)
    signals = vm.spawn("timeout 60 busctl --match \"type='signal',sender='org.driveroverrides1'\" monitor --json=short "
                       ">/run/lab/signals 2>/dev/null; true")
    vm.wait_for("pgrep -x busctl")
    for _ in range(2):
        vm.run("rtcwake -m mem -s 5", 120)
    assert int(vm.out("cat /sys/power/suspend_stats/success")) >= 2
    settle(vm)
    vm.run("sleep 2; pkill -x busctl")
    signals.wait()
    probed = [e for device in (NIC, DISK) for e in trace.read("probe", device)]
    assert not trace.read("override") and not probed, trace.read()
    assert device_property(vm, NIC, "State") == "enforced" and device_property(vm, DISK, "State") == "unmanaged"
    about = vm.out(f"grep -c -e {object_path(NIC)} -e {object_path(DISK)} /run/lab/signals || true")
    assert about == "0", vm.out("cat /run/lab/signals")
    clear(vm, NIC)
