# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever target comes or goes, and whoever restarts the guard: a device that is added meanwhile is held, and no other driver
ever probes it before its override stands."""

from lab.bus import UNIT
from lab.device import path, plug, rule, traced, unplug
from lab.guard_unit import CONF, GUARD, OUTER, first_probe, guard_pid, guard_status, plugged_again_and_again, repetitions
from lab.scenario import scenario
from lab.userspace import isolate, other_root, soft_reboot

CARD = "0000:01:00.0"
POLICY = f"[device card]\nName={CARD}\nDriver=vfio-pci\n"
INTERIM = "driver-override-guard-interim.service"
# Each takes half a minute and more, so CI has each on one guest or two; each version of systemd is among these.
OLDEST, NEWER = repetitions((None, ("debian13", "forky")), (("debian12",), ("debian13",)))
# Without the service, so that all that is seen is the guards' and the enforcer's work.
MACHINE = dict(guard=True, lasts=100, written={CONF: POLICY})
MACHINES = {"service": dict(guard=True, service=True, lasts=100, written={CONF: POLICY})}


def plug_card(vm):
    """Where no scenario before has."""
    if vm.run(f"test -e /sys/bus/pci/devices/{CARD}", check=False).rc:
        plug(vm, 0, CARD, "vfio-pci")


def present(vm):
    vm.run("modprobe e1000e; modprobe vfio-pci")
    plug_card(vm)
    traced(vm)


@scenario("a card that comes again and again while the guard is restarted is never probed by another driver", timeout=1800,
          guests=OLDEST)
def restarted(vm):
    present(vm)
    with plugged_again_and_again(vm, CARD) as plugged:
        for _ in range(repetitions(50, 1)):
            before = guard_pid(vm)
            vm.run(f"systemctl restart {GUARD}", 120)
            assert guard_pid(vm) != before
            plugged.more(1)
    plugged.all_won("vfio-pci")
    assert guard_status(vm)["HOLD"] == "active"
    vm.wait_for(f"! systemctl -q is-active {INTERIM}")
    assert vm.out(f"systemctl show -P Result {INTERIM}") == "success"


@scenario("a card that comes again and again over isolate rescue.target and back, and daemon-reexec, is never probed by another "
          "driver", timeout=1800, guests=OLDEST)
def other_targets(vm):
    present(vm)
    before = guard_pid(vm)
    with plugged_again_and_again(vm, CARD) as plugged:
        for _ in range(repetitions(20, 1)):
            isolate(vm, "rescue.target")
            plugged.more(1)
            vm.run("systemctl daemon-reexec", 120)
            plugged.more(1)
            isolate(vm, "multi-user.target")
            plugged.more(1)
    plugged.all_won("vfio-pci")
    assert guard_pid(vm) == before


@scenario("a card that comes again and again over a soft-reboot is never probed by another driver", timeout=1800,
          guests=NEWER)
def soft_rebooted(vm):
    present(vm)
    with plugged_again_and_again(vm, CARD) as plugged:
        for _ in range(repetitions(20, 1)):
            before = guard_pid(vm)
            soft_reboot(vm)
            plugged.more(1)
            assert guard_pid(vm) != before and guard_status(vm)["HOLD"] == "active"
    plugged.all_won("vfio-pci")


def service_is_back(vm):
    vm.wait_for(f"systemctl -q is-active {UNIT}", 120)
    assert vm.out("busctl --timeout=60 call org.driveroverrides1 /org/driveroverrides1 org.driveroverrides1.Manager ListDevices | "
                  f"grep -o {CARD} | head -n1") == CARD


@scenario("the service comes for a device with a decision, and comes back after isolate rescue.target", machine="service", timeout=900,
          guests=OUTER)
def rescue(vm):
    plug(vm, 0, CARD, "vfio-pci")
    service_is_back(vm)
    isolate(vm, "rescue.target")
    assert vm.run(f"systemctl is-active {UNIT}", check=False).out.strip() == "inactive"
    isolate(vm, "multi-user.target")
    service_is_back(vm)


@scenario("in emergency mode the guard is there, the service has not failed, and a device with a decision that is plugged pulls up "
          "neither sysinit.target nor D-Bus", machine="service", timeout=900, guests=OUTER)
def emergency(vm):
    unplug(vm, 0, CARD)
    isolate(vm, "emergency.target")
    assert vm.run(f"systemctl is-active {UNIT}", check=False).out.strip() == "inactive"
    assert vm.out("systemctl list-units --failed --no-legend 'driver-override*'") == ""
    # udev is of sysinit.target, and for this it is started by itself.
    vm.run("systemctl start systemd-udevd.service")
    plug(vm, 0, CARD, "vfio-pci")
    assert first_probe(vm, CARD) == "guaranteed"
    vm.wait_for("[ -z \"$(systemctl list-jobs --no-legend)\" ]")
    for unit in ("sysinit.target", "basic.target", "dbus.service", "dbus.socket", UNIT):
        assert vm.run(f"systemctl is-active {unit}", check=False).out.strip() == "inactive", unit
    isolate(vm, "multi-user.target")
    service_is_back(vm)


@scenario("after a soft-reboot into another root the service is back, and the policy of that root is enforced", machine="service",
          timeout=900, guests=("debian13", "forky"))
def soft_rebooted_elsewhere(vm):
    other = "0000:02:00.0"
    plug_card(vm)
    other_root(vm, {"/etc/driver-overrides.d/60-other.conf": rule("other", Name=other, Driver="none")})
    plug(vm, 1, other, "e1000e")
    soft_reboot(vm)
    assert "other-etc" in vm.out("findmnt -no SOURCE,FSROOT /etc")
    service_is_back(vm)
    vm.wait_for(f"grep -qx none {path(other)}/driver_override && ! test -e {path(other)}/driver")
    assert vm.out(f"systemctl is-active {GUARD} driver-overrides-sweep.service").split() == ["active", "active"]


@scenario("systemd finds no cycle among the units of a full boot", machine="service", timeout=600, guests=OUTER)
def no_cycles(vm):
    said = vm.run("systemd-analyze --man=no verify default.target driver-overrides-sweep.service driver-override-guard.service "
                  f"driver-override-guard-relief.service {INTERIM} {UNIT} driver-overrides-settled.service driver-overrided-wanted.service "
                  "driver-overrided-wanted.path 2>&1", 300, check=False).out
    ours = [line for line in said.splitlines() if "driver-override" in line or "cycle" in line.lower()]
    assert not ours, "\n".join(ours)
    assert "ordering cycle" not in vm.out("journalctl -b -o cat _PID=1 | grep -i cycle || true")
    # Nothing before basic.target waits for D-Bus.
    early = vm.out("systemctl show -P After driver-overrides-sweep.service driver-override-guard.service driver-override-guard.socket "
                   f"driver-override-guard-relief.service {INTERIM} driver-overrides-settled.service driver-overrided-wanted.service "
                   "driver-overrided-wanted.path")
    assert "dbus" not in early, early
