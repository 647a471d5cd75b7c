# SPDX-License-Identifier: LGPL-2.1-or-later
"""What scenarios ask of a device in the guest, and do with it."""

from .command import PATIENCE
from .trace import INSTANCE, Trace

ENFORCER = "/usr/lib/udev/driver-override"
SWEEP = "driver-overrides-sweep.service"


def rule(label, **keys):
    """The text of a rule: rule("nic", Name="0000:01:00.0", Driver="none"). A key with a dot: **{"Attr.vendor": ...}."""
    return f"[device {label}]\n" + "".join(f"{key}={value}\n" for key, value in keys.items())


def path(device, bus="pci"):
    return f"/sys/bus/{bus}/devices/{device}"


def exists(vm, device, bus="pci"):
    return vm.run(["exists", path(device, bus)], check=False).rc == 0


def inode(vm, device, bus="pci"):
    """The inode of the device's folder: a device that comes again under its old name has another one."""
    return vm.out(f"stat -L -c %i {path(device, bus)}")


def override(vm, device, bus="pci"):
    """The override as the kernel shows it, an empty string when there is none."""
    text = vm.out(f"cat {path(device, bus)}/driver_override")
    return "" if text == "(null)" else text


def properties(vm, device, bus="pci"):
    """What udev's database has about our decision, without the common prefix: {"": "vfio-pci", "_STATE": ...}."""
    lines = vm.out(f"udevadm info --query=property --path={path(device, bus)}").splitlines()
    pairs = (line.split("=", 1) for line in lines if line.startswith("DRIVER_OVERRIDE"))
    return {key[len("DRIVER_OVERRIDE"):]: value for key, value in pairs}


def drivers(vm):
    """The driver of every device of every bus: one text, good to compare."""
    return vm.out("for l in /sys/bus/*/devices/*/driver; do echo $l $(readlink $l); done")


def uptime(vm):
    """For how long the guest has run, in seconds."""
    return float(vm.out("cut -d' ' -f1 /proc/uptime"))


def settle(vm):
    vm.run("udevadm settle --timeout=60", 70)


def traced(vm):
    """The trace of this machine, empty, whichever scenario is the first to want it."""
    if vm.run(["empty", f"{INSTANCE}/trace"], check=False).rc:
        return Trace(vm).start()
    return Trace(vm)


def trigger(vm, action="add", device=None, bus="pci", subsystem=None):
    """A synthetic uevent for a device, for a subsystem or for all, and waits until udev has dealt with it."""
    which = path(device, bus) if device else f"--subsystem-match={subsystem}" if subsystem else ""
    vm.run(f"udevadm trigger --action={action} {which}\nudevadm settle --timeout=120", 130)


def unload(vm, module="e1000e"):
    """Takes a module out, so that the next device of its driver depends on udev loading it."""
    vm.run(f"modprobe -r {module}")
    assert not loaded(vm, module), f"{module} is still loaded"


def loaded(vm, module):
    return vm.run(["exists", f"/sys/module/{module.replace('-', '_')}/refcnt"], check=False).rc == 0


def remove(vm, *devices):
    """As if pulled: the kernel forgets the devices."""
    for device in devices:
        vm.run(f"echo 1 >{path(device)}/remove")
    settle(vm)


def rescan(vm, *devices):
    """The kernel finds them anew."""
    vm.run("echo 1 >/sys/bus/pci/rescan")
    for device in devices:
        vm.wait_for(f"test -e {path(device)}")
    settle(vm)


def probed(vm, device, timeout=PATIENCE):
    """Waits until a device has a driver and its probe has ended. The link to the driver is there from the beginning of
    the probe; whoever writes to power/control, be it what it says already, waits for the device's lock."""
    control = f"{path(device)}/power/control"
    vm.wait_for(f"test -e {path(device)}/driver && read -r control <{control} && echo $control >{control}", timeout)


def plug(vm, port, device, driver=None, model="e1000e", **more):
    """Plugs a card into root port rpN (0 to 3) and waits until udev has dealt with it, and for the driver if told."""
    vm.device_add(model, id=f"plug{port}", bus=f"rp{port}", **more)
    if driver:
        probed(vm, device)
    else:
        vm.wait_for(f"test -e {path(device)}/vendor")
    settle(vm)
    if driver:
        assert vm.driver(device) == driver, f"{device} has {vm.driver(device)}, not {driver}"


def unplug(vm, port, device):
    vm.device_del(f"plug{port}")
    vm.wait_for(f"! test -e {path(device)}")
    settle(vm)


def power_off(vm, ports):
    """Unplugs the cards {port: device} together, by switching off their slots' power: the attention button, which
    unplug() presses, takes five seconds each."""
    vm.run("cd /sys/bus/pci/slots\n" + "".join(
        f"echo 0 >$(dirname $(grep -lx {device.rpartition('.')[0]} */address))/power &\n" for device in ports.values())
        + "wait", 120)
    for port in ports:
        gone = vm.control.wait_event(
            lambda e, port=port: e["event"] == "DEVICE_DELETED" and e["data"].get("device") == f"plug{port}", 60)
        assert gone, f"the card in rp{port} did not go with its slot's power"


def empty_ports(vm):
    """Unplugs what plug() has left: a scenario that failed leaves its cards to the next one."""
    while True:
        left = [e["name"] for e in vm.qmp("qom-list", path="/machine/peripheral") if e["name"].startswith("plug")]
        if not left:
            break
        vm.device_del(left[0])  # and with it the other functions of its slot
    settle(vm)


def proper_order(trace, device, driver, companion=False):
    """Asserts from the kernel's own trace that a device which just came has one override, written before its first
    probe, and that this driver was the only one to probe it; for "none", that nothing probed it at all. The events.
    companion: another member of its group decides about it, maybe before the kernel has told of this one."""
    events = trace.read(device=device)
    shown = [(round(e.time, 4), e.kind, e.text, e.task) for e in events]
    added = [e for e in events if e.kind == "uevent" and e.text == "add" and not e.synthetic]
    written = [e for e in events if e.kind == "override"]
    probes = [e for e in events if e.kind == "probe"]
    assert len(added) == 1, f"not one real add event: {shown}"
    assert [e.text for e in written] == [driver], f"override written: {shown}"
    assert companion or added[0].time < written[0].time, f"written before the device was announced: {shown}"
    if driver == "none":
        assert not probes, f"probed: {shown}"
    else:
        assert [e.text for e in probes] == [driver], f"probed by others: {shown}"
        assert written[0].time < probes[0].time, f"probed before the override stood: {shown}"
        assert [e.kind for e in events if e.kind == "bound"], f"not bound: {shown}"
    return events


def record(vm, device, bus="pci"):
    """The enforcer's own record of a device; empty when there is none."""
    found = vm.run(["cat", f"/run/driver-overrides/devices/{bus}:{device}"], check=False)
    return {} if found.rc else record_fields(found.out)


def record_fields(text):
    return dict(line.split("=", 1) for line in text.splitlines())


def wait_journal(vm, unit, text, timeout=PATIENCE):
    """Waits until the unit has said this, or it has said it already."""
    vm.run(f"exec 3< <(exec journalctl -b -u {unit} --follow --no-tail --no-pager -o cat)\ntrap \"kill $!\" EXIT\n"
           f"timeout {timeout} grep -qm1 '{text}' <&3", timeout + 30)


def journal(vm, text):
    """The lines of the enforcer, of any of its processes, that have this text in them."""
    lines = vm.out("journalctl --sync; journalctl -b --no-pager -o cat -t driver-override").splitlines()
    return [line for line in lines if text in line]
