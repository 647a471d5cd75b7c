# SPDX-License-Identifier: LGPL-2.1-or-later
"""The D-Bus service with the real bus and the real polkitd: as root and as an ordinary user."""
import json

from lab.bus import (MANAGER, NOBODY, UNIT, busctl, device_property, manager_call, manager_refuses, object_path,
                     policy_files, wait_device_property)
from lab.device import empty_ports, override, path, plug, unplug
from lab.guard_unit import repetitions
from lab.scenario import scenario

CARD = "0000:01:00.0"
# A platform device that is there at every boot: so there is a decision, and the udev rule asks for the service.
POLICY = "[device watched]\nBus=platform\nName=QEMU0002:00\nDriver=none\n"
LET_NOBODY = """\
polkit.addRule(function(action, subject) {
    if (action.id == "org.driveroverrides1.set" && subject.user == "nobody" && action.lookup("bus") == "pci" &&
        action.lookup("driver") == "vfio-pci")
        return polkit.Result.YES;
    if (action.id == "org.driveroverrides1.reload" && subject.user == "nobody")
        return polkit.Result.YES;
});
"""
MACHINE = dict(service=True, lasts=120, files={"/etc/driver-overrides.d/50-boot.conf": POLICY})



@scenario("where a rule is in force at boot, the service runs though nobody has called it")
def from_boot(vm):
    vm.wait_for(f"systemctl -q is-active {UNIT}")
    status = vm.out(f"systemctl show -P StatusText {UNIT}")
    assert status.startswith("1 rules, 0 errors"), status
    assert vm.driver("QEMU0002:00", "platform") == ""
    assert device_property(vm, "QEMU0002:00", "State", "platform") == "enforced"
    assert device_property(vm, "QEMU0002:00", "Rule", "platform") == "watched"


@scenario("every method and property of the service works by busctl as root", timeout=600)
def as_root(vm):
    vm.run("modprobe e1000e; modprobe vfio-pci")
    plug(vm, 0, CARD, "e1000e")
    wait_device_property(vm, CARD, "Driver", "e1000e")
    listed = manager_call(vm, "ListDevices")
    assert CARD in listed and "QEMU0002:00" in listed, listed
    assert object_path(CARD) in manager_call(vm, "GetDevice", f"ss pci {CARD}")
    explained = json.loads(json.loads(busctl(vm, f"--json=short call {MANAGER} Explain ss pci {CARD}").out)["data"][0])
    assert explained["driver"] == "e1000e" and explained["decision"] == "", explained

    before = busctl(vm, f"introspect org.driveroverrides1 {object_path(CARD)}").out
    for name in ("Bus", "Name", "SysfsPath", "Path", "Driver", "Override", "Decision", "Rule", "Source", "State",
                 "Reason", "FirstProbe", "Group"):
        assert f".{name} " in before, (name, before)
    for name in ("Version", "Generation", "Rules", "Errors", "Buses", "Hold"):
        busctl(vm, f"get-property {MANAGER} {name}")

    assert manager_call(vm, "SetOverride", f"sssa{{sv}} pci {CARD} vfio-pci 1 dry-run b true") == 's "enforced"'
    assert vm.driver(CARD) == "e1000e"
    assert manager_call(vm, "SetOverride", f"sssa{{sv}} pci {CARD} vfio-pci 0") == 's "enforced"'
    assert vm.driver(CARD) == "vfio-pci" and override(vm, CARD) == "vfio-pci"
    assert f"10-set-pci-{CARD}.conf" in policy_files(vm), policy_files(vm)
    assert device_property(vm, CARD, "State") == "enforced" and device_property(vm, CARD, "Driver") == "vfio-pci"
    group = device_property(vm, CARD, "Group")
    for name in ("Id", "Members", "Viable", "Blockers"):
        busctl(vm, f"get-property org.driveroverrides1 {group} org.driveroverrides1.Group {name}")
    assert manager_call(vm, "Apply", f"ssa{{sv}} pci {CARD} 0") == 's "enforced"'
    assert CARD in manager_call(vm, "ApplyAll", "a{sv} 0")
    assert manager_call(vm, "Reload") == "a(sus) 0"
    assert manager_call(vm, "ClearOverride", f"ssa{{sv}} pci {CARD} 0") == 's "unmanaged"'
    assert vm.driver(CARD) == "e1000e" and override(vm, CARD) == ""

    device = f"call org.driveroverrides1 {object_path(CARD)} org.driveroverrides1.Device"
    busctl(vm, f"{device} SetOverride sa{{sv}} none 1 runtime b true")
    assert vm.driver(CARD) == "" and f"05-run-pci-{CARD}.conf" in policy_files(vm)
    busctl(vm, f"{device} Apply a{{sv}} 0")
    busctl(vm, f"{device} ClearOverride a{{sv}} 1 runtime b true")
    assert vm.driver(CARD) == "e1000e"
    assert policy_files(vm) == ["50-boot.conf"], policy_files(vm)


@scenario("SetOverride with an unknown driver or device is refused, names it and changes nothing")
def nonsense(vm):
    manager_refuses(vm, "nosuchdriver", "SetOverride", f"sssa{{sv}} pci {CARD} nosuchdriver 0")
    manager_refuses(vm, "no device", "SetOverride", "sssa{sv} pci 0000:77:00.0 none 0")
    assert vm.driver(CARD) == "e1000e" and override(vm, CARD) == ""
    assert policy_files(vm) == ["50-boot.conf"], policy_files(vm)


@scenario("SetOverride on a card whose interface has an address is refused, names the interface, and is done with force",
          timeout=600)
def in_use(vm):
    interface = vm.out(f"ls {path(CARD)}/net")
    vm.run(f"ip addr add 192.0.2.1/24 dev {interface}")
    out = manager_refuses(vm, interface, "SetOverride", f"sssa{{sv}} pci {CARD} vfio-pci 0")
    assert "192.0.2.1" in out or "address" in out, out
    assert vm.driver(CARD) == "e1000e" and policy_files(vm) == ["50-boot.conf"]
    assert manager_call(vm, "SetOverride", f"sssa{{sv}} pci {CARD} vfio-pci 1 force b true") == 's "enforced"'
    assert vm.driver(CARD) == "vfio-pci"
    manager_call(vm, "ClearOverride", f"ssa{{sv}} pci {CARD} 0")
    assert vm.driver(CARD) == "e1000e"


@scenario("an ordinary user may read everything and change nothing until a polkit rule allows it", timeout=600)
def as_user(vm):
    assert CARD in manager_call(vm, "ListDevices", user=NOBODY)
    assert device_property(vm, CARD, "Driver", user=NOBODY) == "e1000e"
    manager_call(vm, "Explain", f"ss pci {CARD}", user=NOBODY)
    # By the policy's defaults an administrator's password is needed, and nobody is there to type it.
    for member, args in (("SetOverride", f"sssa{{sv}} pci {CARD} vfio-pci 0"), ("ClearOverride", f"ssa{{sv}} pci {CARD} 0"),
                         ("Apply", f"ssa{{sv}} pci {CARD} 0"), ("ApplyAll", "a{sv} 0"), ("Reload", "")):
        result = busctl(vm, f"call {MANAGER} {member} {args}", NOBODY, check=False)
        assert result.rc != 0, (member, result)
        result = busctl(vm, f"--allow-interactive-authorization=false call {MANAGER} {member} {args}", NOBODY, check=False)
        assert result.rc != 0 and "password" in result.out, (member, result)
    assert vm.driver(CARD) == "e1000e" and policy_files(vm) == ["50-boot.conf"]

    vm.write("/etc/polkit-1/rules.d/10-lab.rules", LET_NOBODY)
    vm.run("systemctl restart polkit.service")
    vm.wait_for("busctl status org.freedesktop.PolicyKit1")
    assert manager_call(vm, "SetOverride", f"sssa{{sv}} pci {CARD} vfio-pci 0", NOBODY) == 's "enforced"'
    assert vm.driver(CARD) == "vfio-pci"
    # The rule is about that driver, and not about force.
    for args in (f"sssa{{sv}} pci {CARD} none 0", f"sssa{{sv}} pci {CARD} vfio-pci 1 force b true"):
        assert busctl(vm, f"call {MANAGER} SetOverride {args}", NOBODY, check=False).rc != 0
    manager_call(vm, "Reload", user=NOBODY)
    assert vm.driver(CARD) == "vfio-pci"
    manager_call(vm, "ClearOverride", f"ssa{{sv}} pci {CARD} 0")
    # Without polkit, only root.
    vm.run("systemctl mask --runtime --now polkit.service")
    try:
        manager_refuses(vm, "Access denied", "SetOverride", f"sssa{{sv}} pci {CARD} vfio-pci 0", NOBODY)
        assert manager_call(vm, "SetOverride", f"sssa{{sv}} pci {CARD} none 0") == 's "enforced"'
    finally:
        vm.run("systemctl unmask --runtime polkit.service")
    manager_call(vm, "ClearOverride", f"ssa{{sv}} pci {CARD} 0")
    assert vm.driver(CARD) == "e1000e" and policy_files(vm) == ["50-boot.conf"]


@scenario("an override that somebody else changed shows in State and is left so until Apply", timeout=600)
def drift(vm):
    manager_call(vm, "SetOverride", f"sssa{{sv}} pci {CARD} vfio-pci 0")
    # No uevent tells of that.
    vm.run(f"echo pci-stub >{path(CARD)}/driver_override")
    wait_device_property(vm, CARD, "State", "foreign")
    assert device_property(vm, CARD, "Override") == "pci-stub" and vm.driver(CARD) == "vfio-pci"
    # What libvirt does when a guest gives the card back.
    vm.run(f"echo >{path(CARD)}/driver_override\necho {CARD} >{path(CARD)}/driver/unbind\n"
           f"echo {CARD} >/sys/bus/pci/drivers_probe")
    wait_device_property(vm, CARD, "State", "pending")
    vm.run("sleep 3")
    assert vm.driver(CARD) == "e1000e" and override(vm, CARD) == ""
    assert "drifted" in device_property(vm, CARD, "Reason"), device_property(vm, CARD, "Reason")
    assert manager_call(vm, "Apply", f"ssa{{sv}} pci {CARD} 0") == 's "enforced"'
    assert vm.driver(CARD) == "vfio-pci"


@scenario("the service moves a plugged card that lost its first probe to the decided driver", timeout=600)
def lost_probe(vm):
    unplug(vm, 0, CARD)
    for _ in range(repetitions(10, 2)):
        plug(vm, 0, CARD)
        wait_device_property(vm, CARD, "State", "enforced")
        assert vm.driver(CARD) == "vfio-pci"
        unplug(vm, 0, CARD)


@scenario("a service killed at any moment leaves whole files with the last acknowledged change, and comes back by "
          "activation",
          timeout=repetitions(5000, 600))
def killed(vm):
    empty_ports(vm)
    vm.run("rm -f /etc/driver-overrides.d/10-set-*; systemctl reset-failed; busctl call %s Reload" % MANAGER)
    plug(vm, 0, CARD)
    vm.run("mkdir -p /etc/systemd/system/driver-overrided.service.d\n"
           "printf '[Unit]\\nStartLimitIntervalSec=0\\n[Service]\\nRestart=no\\n' "
           ">/etc/systemd/system/driver-overrided.service.d/lab.conf\nsystemctl daemon-reload")
    script = f"""
file=/etc/driver-overrides.d/10-set-pci-{CARD}.conf
for i in $(seq {repetitions(1000, 5)}); do
    want=none
    [ $((i % 2)) = 0 ] && want=vfio-pci
    if [ $((i % 3)) = 0 ]; then want=; set -- ClearOverride ssa{{sv}} pci {CARD} 0
    else set -- SetOverride sssa{{sv}} pci {CARD} $want 0; fi
    before=$(cat $file 2>/dev/null || true)
    busctl --timeout=60 call {MANAGER} "$@" >/tmp/answer 2>&1 & caller=$!
    sleep 0.$((RANDOM % 5))$((RANDOM % 10))
    kill -KILL $(systemctl show -P MainPID {UNIT}) 2>/dev/null || true
    acknowledged=0
    wait $caller && acknowledged=1
    now=$(cat $file 2>/dev/null || true)
    is=$(sed -n s/^Driver=//p $file 2>/dev/null || true)
    if [ "$is" != "$want" ] && {{ [ $acknowledged = 1 ] || [ "$now" != "$before" ]; }}; then
        echo "round $i: acknowledged=$acknowledged wanted '$want' is '$is'"; exit 1
    fi
    # The first may still go to the one that has just been killed, before the bus has noticed.
    busctl --timeout=60 get-property {MANAGER} Rules >/dev/null 2>&1 || busctl --timeout=60 get-property {MANAGER} Rules >/dev/null
    echo $i $acknowledged >>/run/lab/rounds
    left=$(ls -A /etc/driver-overrides.d | grep -v -e '^10-set-' -e '^50-boot.conf$' || true)
    [ -z "$left" ] || {{ echo "round $i: left over: $left"; exit 1; }}
done
"""
    vm.run(script, timeout=repetitions(4900, 500))
    vm.note(f"# {vm.out('grep -c . /run/lab/rounds')} kills, {vm.out('grep -c 1$ /run/lab/rounds || true')} changes acknowledged all the same")
    vm.run("rm /etc/systemd/system/driver-overrided.service.d/lab.conf; systemctl daemon-reload")
    manager_call(vm, "ClearOverride", f"ssa{{sv}} pci {CARD} 0")


@scenario("systemd-analyze security rates the service's unit at 4.0 or less")
def exposure(vm):
    out = vm.out(f"systemd-analyze security --no-pager {UNIT} | tail -n 1")
    figure = float(out.split(":")[1].split()[0])
    print(f"# exposure {figure}")
    assert figure <= 4.0, out


@scenario("where no rule is in force, the service exits when idle and starts when it is called", timeout=300)
def idle(vm):
    vm.run("rm /etc/driver-overrides.d/*.conf")
    vm.wait_for(f"! test -e /sys/fs/cgroup/system.slice/{UNIT} && ! systemctl -q is-active {UNIT}")
    assert vm.out(f"systemctl show -P Result {UNIT}") == "success"
    assert "QEMU0002:00" in manager_call(vm, "ListDevices")
    assert vm.out(f"systemctl is-active {UNIT}") == "active"


@scenario("a device event that ran out of time for a decision has the service started", timeout=300)
def undecided(vm):
    empty_ports(vm)
    vm.run("rm -f /etc/driver-overrides.d/*.conf")
    vm.wait_for(f"! test -e /sys/fs/cgroup/system.slice/{UNIT} && ! systemctl -q is-active {UNIT}")
    # What the enforcer says and writes when it has run out of time before it could decide.
    vm.write("/root/out-of-time", "#!/bin/sh\necho DRIVER_OVERRIDE_STATE=pending\n: >/run/driver-overrides/service-wanted\n", 0o755)
    vm.run("mount --bind /root/out-of-time /usr/lib/udev/driver-override")
    before = vm.out(f"systemctl show -P InvocationID {UNIT}")
    try:
        plug(vm, 0, CARD)
        vm.wait_for(f"[ \"$(systemctl show -P InvocationID {UNIT})\" != '{before}' ]")
    finally:
        vm.run("umount /usr/lib/udev/driver-override")
    unplug(vm, 0, CARD)
