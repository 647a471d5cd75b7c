# SPDX-License-Identifier: LGPL-2.1-or-later
"""What scenarios ask the service on the guest's bus, by busctl as a person types it."""

import json

UNIT = "driver-overrided.service"
MANAGER = "org.driveroverrides1 /org/driveroverrides1 org.driveroverrides1.Manager"
NOBODY = "runuser -u nobody -- "


def busctl(vm, what, user="", check=True, timeout=120):
    return vm.run(f"{user}busctl --timeout=60 {what}", timeout=timeout, check=check)


def manager_call(vm, member, args="", user="", check=True):
    """A method of the manager. Its output."""
    result = busctl(vm, f"call {MANAGER} {member} {args}", user, check=False)
    if check:
        assert result.rc == 0, (member, args, result.out)
    return result.out.strip()


def manager_refuses(vm, text, member, args="", user=""):
    result = busctl(vm, f"call {MANAGER} {member} {args}", user, check=False)
    assert result.rc != 0 and text in result.out, (member, args, result)
    return result.out


def object_path(device, bus="pci"):
    """The object path of a device."""
    name = "".join(c if c.isalnum() and not (i == 0 and c.isdigit()) else f"_{ord(c):02x}" for i, c in enumerate(device))
    return f"/org/driveroverrides1/device/{bus}/{name}"


def device_property(vm, device, name, bus="pci", user=""):
    out = busctl(vm, f"--json=short get-property org.driveroverrides1 {object_path(device, bus)} org.driveroverrides1.Device {name}",
                 user).out
    return json.loads(out)["data"]


def wait_device_property(vm, device, name, value, bus="pci"):
    vm.wait_for(f"busctl get-property org.driveroverrides1 {object_path(device, bus)} org.driveroverrides1.Device {name} "
                f"| grep -qx 's \"{value}\"'", timeout=90, interval=0.5)


def policy_files(vm):
    return vm.out("cd /etc/driver-overrides.d; ls -A; cd /run/driver-overrides.d 2>/dev/null && ls -A; true").split()
