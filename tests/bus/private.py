# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the service on a private bus and a mock tree of two devices, for tests that use the bus from outside. The programs are
found by the environment variables DRIVER_OVERRIDED and FAKE_ENFORCER, which meson sets."""
import contextlib
import os
import subprocess
import tempfile
import time

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/>
<allow receive_type="signal"/></policy></busconfig>
"""


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


def device(sysfs, bus, parent, name, driver, **attributes):
    """A device in the mock tree, bound to its own driver."""
    folder = f"{sysfs}/devices/{parent}/{name}"
    write(f"{folder}/driver_override", "(null)\n")
    for key, value in {**attributes, "own_driver": driver}.items():
        write(f"{folder}/{key}", value + "\n")
    for made in (f"{sysfs}/bus/{bus}/devices", f"{sysfs}/bus/{bus}/drivers/{driver}", f"{sysfs}/bus/{bus}/drivers/vfio-{bus}"):
        os.makedirs(made, exist_ok=True)
    os.symlink(f"../../../devices/{parent}/{name}", f"{sysfs}/bus/{bus}/devices/{name}")
    os.symlink(os.path.relpath(f"{sysfs}/bus/{bus}", folder), f"{folder}/subsystem")
    os.symlink(os.path.relpath(f"{sysfs}/bus/{bus}/drivers/{driver}", folder), f"{folder}/driver")
    return folder


def group(sysfs, number, folder):
    made = f"{sysfs}/kernel/iommu_groups/{number}/devices"
    os.makedirs(made)
    os.symlink(os.path.relpath(os.path.dirname(made), folder), f"{folder}/iommu_group")
    os.symlink(os.path.relpath(folder, made), f"{made}/{os.path.basename(folder)}")


def has_owner(name):
    """Whether some connection has that name. `busctl status` would say more, but reads /sys/fs/cgroup for it, which a chroot may
    not have."""
    r = subprocess.run(["busctl", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner",
                        "s", name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return r.stdout == "b true\n"


RUNNING = {}


def start(root):
    """Starts the service of a tree, and waits for its name."""
    command = [os.environ["DRIVER_OVERRIDED"], "--enforcer", os.environ["FAKE_ENFORCER"], "--events", f"{root}/events",
               "--sysfs", f"{root}/sys", "--state-dir", f"{root}/state"]
    for name in ("etc", "run", "usr"):
        command += ["--conf-dir", f"{root}/{name}"]
    child = RUNNING[root] = subprocess.Popen(command)
    end = time.monotonic() + 60
    while not has_owner("org.driveroverrides1"):
        if child.poll() is not None or time.monotonic() > end:
            stop(root)
            raise RuntimeError("the service does not come up")
        time.sleep(0.02)


def stop(root):
    """Ends it, if it runs."""
    child = RUNNING.pop(root, None)
    if child:
        child.terminate()
        child.wait()


def start_systemd(root, stack):
    """A systemd that has timers, on the bus; see fake-systemd.c. What was asked of it is in the file systemd-log."""
    child = subprocess.Popen([os.environ["FAKE_SYSTEMD"], f"{root}/systemd-log", f"{root}/systemd-refuses",
        f"{root}/systemd-hurries"])
    stack.callback(lambda: (child.kill(), child.wait()))
    end = time.monotonic() + 60
    while not has_owner("org.freedesktop.systemd1"):
        if child.poll() is not None or time.monotonic() > end:
            raise RuntimeError("the fake systemd does not come up")
        time.sleep(0.02)


@contextlib.contextmanager
def service():
    """Runs the service; DBUS_SYSTEM_BUS_ADDRESS is set meanwhile."""
    with tempfile.TemporaryDirectory(prefix="driver-overrides-bus-") as root, contextlib.ExitStack() as stack:
        sysfs = f"{root}/sys"
        card = device(sysfs, "pci", "pci0000:00", "0000:00:03.0", "e1000e", vendor="0x8086", device="0x10d3",
                      subsystem_vendor="0x1af4", subsystem_device="0x1100",
                      modalias="pci:v00008086d000010D3sv00001AF4sd00001100bc02sc00i00", **{"class": "0x020000"})
        group(sysfs, 5, card)
        device(sysfs, "platform", "platform", "fff51000.ethernet", "calxedaxgmac", modalias="of:NethernetT(null)Ccalxeda")
        for name in ("etc", "run", "usr"):
            os.mkdir(f"{root}/{name}")
        os.mkfifo(f"{root}/events")
        write(f"{root}/bus.conf", CONFIG)
        bus = subprocess.Popen(["dbus-daemon", "--nofork", "--nopidfile", "--print-address", f"--config-file={root}/bus.conf"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        stack.callback(lambda: (bus.terminate(), bus.wait(), bus.stdout.close()))
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = bus.stdout.readline().strip()
        start(root)
        stack.callback(lambda: stop(root))
        yield root
