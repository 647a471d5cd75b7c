# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same devices in /etc/driverctl.d and in a drop-in, with other drivers: whoever has a device in the end, State, the
record, udev's properties and the journal say so."""

from lab.bus import UNIT, device_property, wait_device_property
from lab.device import empty_ports, journal, override, path, plug, probed, properties, record, rule, settle, unload, unplug
from lab.guard_unit import OUTER
from lab.guest import ASIDE
from lab.machine import link
from lab.scenario import scenario

BOOT, CARD = "0000:02:00.0", "0000:01:00.0"  # in rp1 and rp0
THEIRS, OURS = "pci-stub", "vfio-pci"

MACHINE = dict(
    guests=OUTER, service=True, lasts=60, devices=["e1000e,bus=rp1"],
    files={
        "/etc/driver-overrides.d/50-cards.conf": rule("boot", Name=BOOT, Driver=OURS) + rule("card", Name=CARD, Driver=OURS),
        **{f"/etc/driverctl.d/pci-{device}": f"{THEIRS}\n" for device in (BOOT, CARD)},
        # As the guest's own package installs it.
        **{name: link(ASIDE + name) for name in (
            "/usr/lib/udev/rules.d/05-driverctl.rules", "/usr/lib/systemd/system/driverctl@.service",
            "/usr/sbin/driverctl")},
    })


def says(vm, device, state, wanted, drivers=None):
    """Waits for the state on the bus; record and udev's properties must follow, the override be this one, and the driver it or
    one of these."""
    wait_device_property(vm, device, "State", state)
    vm.wait_for(f"grep -qx STATE={state} /run/driver-overrides/devices/pci:{device}")
    vm.wait_for(f"udevadm info --query=property --path={path(device)} | grep -qx DRIVER_OVERRIDE_STATE={state}")
    seen = vm.driver(device), override(vm, device)
    assert seen[1] == wanted and seen[0] in (drivers or (wanted,)), seen
    assert properties(vm, device)[""] == OURS and record(vm, device)["DECISION"] == OURS


def told(vm, device):
    """The journal's lines about who has taken the device from us. What an enforcer prints that the service has started for a
    move is of the service's stream."""
    lines = vm.out("journalctl --sync; journalctl -b --no-pager -o cat -p info -t driver-override -t driver-overrided").splitlines()
    return [line for line in lines if f"pci {device}: foreign: " in line]


@scenario("at boot the override is driverctl's in the end, and State, record, udev and one line of the journal say so", timeout=300)
def boot(vm):
    # Nobody has called either: the device has asked for both, though driverctl's rule assigns what it asks for. udevadm test
    # would not tell on newer systems: findings/udevadm-test-programs.sh.
    vm.wait_for(f"systemctl -q is-active {UNIT} && systemctl -q is-active 'driverctl@pci-{BOOT}.service'")
    # findings/driverctl-other-driver.sh: it looks for a driver to unbind before it writes the override. If the service has the device bound between the two,
    # driverctl's probe finds a driver there, is content with it, and says that it succeeded.
    says(vm, BOOT, "foreign", THEIRS, drivers=(THEIRS, OURS))
    lines = told(vm, BOOT)
    assert len(lines) == 1 and f"driver_override is {THEIRS}" in lines[0], lines


@scenario("at the first of three plugs driverctl has the card and is named, at the later ones we have it", timeout=300)
def three_plugs(vm):
    empty_ports(vm)
    vm.run("modprobe vfio-pci")
    for number in range(3):
        unload(vm)  # or the card would lose its first probe, and the service and driverctl would both be about to move it
        plug(vm, 0, CARD)
        if number == 0:
            vm.wait_for(f"systemctl -q is-active 'driverctl@pci-{CARD}.service'")
        probed(vm, CARD)
        settle(vm)
        # systemd starts a unit that a device wants when it is not active, and driverctl's stays so.
        says(vm, CARD, *(("foreign", THEIRS) if number == 0 else ("enforced", OURS)))
        lines = told(vm, CARD)
        assert len(lines) == 1 and "; written by driverctl (pid " in lines[0], lines
        assert f"driverctl@pci-{CARD}.service)" in lines[0], lines
        if number == 0:
            assert device_property(vm, CARD, "Reason") in lines[0], (device_property(vm, CARD, "Reason"), lines)
        unplug(vm, 0, CARD)


@scenario("driverctl's own command on a device that we have is one line with its name, and so is its end", timeout=300)
def by_hand(vm):
    empty_ports(vm)
    plug(vm, 0, CARD)
    probed(vm, CARD)
    says(vm, CARD, "enforced", OURS)
    before = len(told(vm, CARD))
    vm.run(f"driverctl --nosave set-override {CARD} {THEIRS}")
    says(vm, CARD, "foreign", THEIRS)
    assert len(told(vm, CARD)) == before + 1 and "; written by driverctl (pid " in told(vm, CARD)[-1], told(vm, CARD)
    # Nothing fights it, whatever makes us look.
    vm.run(f"udevadm trigger --action=add {path(CARD)}; udevadm trigger --action=change {path(CARD)}")
    settle(vm)
    says(vm, CARD, "foreign", THEIRS)
    assert len(told(vm, CARD)) == before + 1, told(vm, CARD)
    vm.run(f"driverctl --nosave set-override {CARD} {OURS}")
    says(vm, CARD, "enforced", OURS)
    assert len(journal(vm, f"pci {CARD}: enforced: others have made it as decided again")) == 1
    assert "/etc/driverctl.d/pci-" in vm.run("overridectl check", check=False).out
