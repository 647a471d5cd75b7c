# SPDX-License-Identifier: LGPL-2.1-or-later
"""A machine for pages of documentation that are run: a graphics card with its sound in one group, a disk's controller, two network
cards with an interface each, and programs overridectl, ssh, virsh and jq, which stand for the real ones. Nothing of the running system is
meant by a page's commands."""
import contextlib
import os
import subprocess

import command_line
import private

SYSFS_GROUPS = {"0000:01:00.0": 12, "0000:01:00.1": 12, "0000:02:00.0": 13, "0000:00:19.0": 14, "0000:00:1f.6": 15}
# A file of another machine's needs none of the places.
OVERRIDECTL = """#!/bin/sh
case " $* " in
*" --machine "*) exec {program} "$@" ;;
*" snapshot "*) exec {program} --sysfs {root}/sys "$@" ;;
esac
exec {program} {places} --address {address} "$@"
"""


def program(root, name, text):
    path = f"{root}/bin/{name}"
    private.write(path, text)
    os.chmod(path, 0o755)


def group(sysfs, name, parent, number):
    folder, devices = f"{sysfs}/devices/{parent}/{name}", f"{sysfs}/kernel/iommu_groups/{number}/devices"
    os.makedirs(devices, exist_ok=True)
    os.symlink(os.path.relpath(os.path.dirname(devices), folder), f"{folder}/iommu_group")
    os.symlink(os.path.relpath(folder, devices), f"{devices}/{name}")


def pci(root, name, model, driver, kind, **attributes):
    sysfs = f"{root}/sys"
    port = {"0000:01": "/0000:00:01.0", "0000:02": "/0000:00:1d.0"}.get(name[:7], "")
    if port and not os.path.isdir(f"{sysfs}/devices/pci0000:00{port}"):
        private.device(sysfs, "pci", "pci0000:00", port[1:], "pcieport", vendor="0x8086", device="0x1901", secondary_bus_number="1",
                       **{"class": "0x060400"})
        group(sysfs, port[1:], "pci0000:00", 1 if port.endswith("1.0") else 2)
    folder = private.device(sysfs, "pci", f"pci0000:00{port}", name, driver, vendor=model[:6], device=model[7:], numa_node="0",
                            subsystem_vendor="0x1043", subsystem_device="0x0001", **{"class": kind}, **attributes)
    group(sysfs, name, f"pci0000:00{port}", SYSFS_GROUPS[name])
    return folder


def class_device(root, kind, folder, name):
    """An interface or a disk of a device."""
    made = f"{folder}/{kind}/{name}"
    os.makedirs(made)
    os.symlink("../..", f"{made}/device")
    os.makedirs(f"{root}/sys/class/{kind}", exist_ok=True)
    os.symlink(os.path.relpath(made, f"{root}/sys/class/{kind}"), f"{root}/sys/class/{kind}/{name}")


@contextlib.contextmanager
def page_machine():
    """The machine, and a function that runs a command of a page there: (status, what it printed)."""
    with private.service() as root, contextlib.ExitStack() as stack:
        machine = command_line.Machine(root, stack)
        # The two devices of the tree are not on the page.
        private.stop(root)
        for path in ("bus/pci/devices/0000:00:03.0", "bus/platform/devices/fff51000.ethernet",
                     "kernel/iommu_groups/5/devices/0000:00:03.0"):
            os.unlink(f"{root}/sys/{path}")
        link = {"current_link_speed": "8.0 GT/s PCIe", "current_link_width": "8", "max_link_speed": "16.0 GT/s PCIe", "max_link_width": "16"}
        pci(root, "0000:01:00.0", "0x10de:0x1b80", "nouveau", "0x030000", reset_method="bus", **link)
        pci(root, "0000:01:00.1", "0x10de:0x10f0", "snd_hda_intel", "0x040300", reset_method="bus", **link)
        class_device(root, "block", pci(root, "0000:02:00.0", "0x144d:0xa808", "nvme", "0x010802", reset_method="flr bus"), "nvme0n1")
        class_device(root, "net", pci(root, "0000:00:1f.6", "0x8086:0x15b8", "e1000e", "0x020000", reset_method="flr"), "eth0")
        class_device(root, "net", pci(root, "0000:00:19.0", "0x8086:0x10d3", "e1000e", "0x020000", reset_method="flr"), "eth1")
        program(root, "overridectl", OVERRIDECTL.format(program=os.environ["OVERRIDECTL"], root=root, places=" ".join(machine.places()),
                                                        address=f"'{os.environ['DBUS_SYSTEM_BUS_ADDRESS']}'"))
        program(root, "ssh", "#!/bin/sh\nshift\nexec \"$@\"\n")
        program(root, "virsh", "#!/bin/sh\nexit 0\n")
        program(root, "jq", "#!/usr/bin/python3\nimport json, sys\njson.load(sys.stdin)\n")
        os.mkdir(f"{root}/home")
        private.write(f"{root}/lib/modules/{os.uname().release}/modules.alias", "# Aliases\n")
        environment = command_line.base_environment(LC_ALL="C.UTF-8")
        environment["PATH"] = f"{root}/bin:{environment['PATH']}"
        private.start(root)

        def run(command):
            done = subprocess.run(["bash", "-c", command.replace("/etc/driver-overrides.d", f"{root}/etc")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  cwd=f"{root}/home", env=environment, check=False, timeout=120)
            return done.returncode, command_line.without_places(done.stdout.decode(), root).replace("ROOT/etc", "/etc/driver-overrides.d").replace("ROOT", "")

        yield machine, run
