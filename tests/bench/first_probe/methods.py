# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ways to ask for a driver that are compared, each set up as its users do it.

All of them ask for the same: kinds.asked().
"""

import contextlib

from lab.guard_unit import GUARD, RECORD, guard_status, hold_is_active
from lab.guest import ASIDE
from lab.machine import CommandTimeout
from lab.kind import NO_SERVICE

from .kinds import CARDS, PF, SOUND, asked


class Method:
    """machine: methods with the same one share a boot, in their order. product: with the build under test. reset:
    shell, makes the method forget the devices. waits: who acts last on a device, see LIBRARY in kinds.py."""
    name = machine = ""
    product = False
    reset = ":"
    waits = "udev"

    def files(self):
        """There at boot."""
        return {}

    def setup(self, vm):
        """Once per boot and method; the version of the tool that is measured."""
        return ""

    def begin(self, vm):
        """Before each kind and load."""

    def end(self, _vm):
        """After it: counters to keep, and complaints."""
        return {}, []


class Hold(Method):
    """The product: the guard holds the kernel. udev's rule and the enforcer are there as well, as installed."""
    name, machine, product, waits = "hold", "ours", True, "record"
    arguments = ""

    def files(self):
        # Without the service, which would move what lost its first probe.
        return {**NO_SERVICE, "/etc/driver-overrides.d/50-first-probe.conf":
                f"[device cards]\nBus=pci\nName={' '.join(CARDS.values())}\nDriver=vfio-pci\n\n"
                f"[device functions]\nPhysFn={PF}\nDriver=vfio-pci\n\n"
                f"[device sound]\nBus=platform\nName={' '.join(SOUND)}\nDriver=none\n"}

    def begin(self, vm):
        # A guard of its own for each cell, so that its counters are the cell's.
        vm.run(f"mkdir -p /run/systemd/system/{GUARD}.d\n"
               f"printf '[Service]\\nExecStart=\\nExecStart=/usr/libexec/driver-override-guard {self.arguments}\\n'"
               f" >/run/systemd/system/{GUARD}.d/first-probe.conf\n"
               f"systemctl daemon-reload\nsystemctl restart {GUARD}\nudevadm settle --timeout=60", 120)
        self.check(guard_status(vm))

    def check(self, status):
        if not hold_is_active(status):
            raise AssertionError(f"no hold: {status['HOLD']}")

    def end(self, vm):
        with contextlib.suppress(CommandTimeout):
            vm.wait_for(f"! grep -qx HOLDS=0 {RECORD}", 3)  # written when the last device has settled
        status = guard_status(vm)
        counters = {"holds": int(status["HOLDS"]), "expired": int(status["EXPIRED"]),
                    "longest_ms": round(int(status["LONGEST_NS"]) / 1e6, 2)}
        return counters, [] if hold_is_active(status) else [f"the guard no longer holds: {status['HOLD']}"]


class NoHold(Hold):
    """The same guard, as fast as it can be, but nobody waits for it."""
    name, arguments = "no-hold", "--no-hold"

    def check(self, status):
        if hold_is_active(status):
            raise AssertionError("a guard with --no-hold holds")

    def end(self, vm):
        holds = guard_status(vm)["HOLDS"]
        return {}, [] if holds == "0" else [f"{holds} holds of a guard that was told not to hold"]


class Udev(Method):
    """A line a device, as in many a wiki."""
    name = machine = "udev"

    def files(self):
        return {"/etc/udev/rules.d/10-driver-override.rules": "".join(
            f'ACTION=="add", SUBSYSTEM=="{bus}", KERNEL=="{name}", ATTR{{driver_override}}="{driver}"\n'
            for bus, name, driver in asked())}


class Driverctl(Method):
    """The guest's own driverctl, as after `driverctl set-override` in an earlier boot."""
    name = machine = "driverctl"
    waits = "systemd"
    # Newer ones write the device's id to vfio-pci's new_id, which stays until somebody takes it out again.
    reset = """
        units=$(systemctl list-units --all --plain --no-legend 'driverctl@*' | awk '{ print $1 }')
        if [ -n "$units" ]; then systemctl stop $units; systemctl reset-failed $units 2>/dev/null || true; fi
        for id in '8086 10d3' '1b36 0010'; do
            echo "$id" >/sys/bus/pci/drivers/vfio-pci/remove_id || true
        done 2>/dev/null
    """

    def files(self):
        return {
            **{f"/etc/driverctl.d/{bus}-{name}": f"{driver}\n" for bus, name, driver in asked()},
            # Its unit refuses to be stopped by hand, and forgets a device only then, or at a reboot.
            "/etc/systemd/system/driverctl@.service.d/reset.conf": "[Unit]\nRefuseManualStop=no\n"}

    def setup(self, vm):
        vm.run(f"cp -a {ASIDE}/. /\nudevadm control --reload\nsystemctl daemon-reload")
        return vm.out(f"cat {ASIDE}.version")


METHODS = {method.name: method for method in (Hold(), NoHold(), Udev(), Driverctl())}
