# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shows that the lab itself works, with nothing of the project needed."""

from lab.device import probed
from lab.scenario import scenario
from lab.trace import Trace

MACHINE = dict(overlay=False, files={"/etc/lab-test": ("hello\n", 0o600)})

NIC = "0000:01:00.0"


def plug(vm):
    vm.device_add("e1000e", id="n0", bus="rp0")
    probed(vm, NIC)


@scenario("a guest boots without a failed unit, and the lab's commands run in it")
def boots(vm):
    assert vm.boot_settled() == "running", vm.out("systemctl --failed --no-legend")
    assert vm.out("id -u") == "0"
    assert vm.out("stat -c %a /etc/lab-test; cat /etc/lab-test") == "600\nhello"
    assert vm.run("echo 'a  b'; false; echo not reached", check=False) == (1, "a  b\n")
    assert len(vm.run("head -c 300000 /dev/zero | tr '\\0' x").out) == 300000


@scenario("the lab's commands run side by side, and one that takes long stops no other")
def side_by_side(vm):
    job = vm.spawn("sleep 2; echo late")
    assert vm.out("echo early") == "early"
    assert not job.done()
    assert job.wait().out == "late\n"


@scenario("udev, D-Bus and polkit run in a guest")
def services(vm):
    assert vm.out("systemctl is-active systemd-udevd dbus").split() == ["active"] * 2
    vm.run("busctl call org.freedesktop.PolicyKit1 /org/freedesktop/PolicyKit1/Authority org.freedesktop.DBus.Peer Ping")


@scenario("a guest's devices are in IOMMU groups, the chipset's three functions in one")
def groups(vm):
    assert vm.out("ls $(readlink -f /sys/bus/pci/devices/0000:00:1f.0/iommu_group)/devices").split() == [
        "0000:00:1f.0", "0000:00:1f.2", "0000:00:1f.3"]


@scenario("a hot-plugged card has its driver loaded, and the lab's trace sees its probe")
def hotplug(vm):
    trace = Trace(vm).start()
    assert vm.run("grep -q ^e1000e /proc/modules", check=False).rc == 1
    plug(vm)
    assert vm.driver(NIC) == "e1000e"
    kinds = [(e.kind, e.text) for e in trace.read(device=NIC)]
    assert ("probe", "e1000e") in kinds, kinds
    assert kinds.index(("uevent", "add")) < kinds.index(("probe", "e1000e")) < kinds.index(("uevent", "bind")), kinds
    assert "override" not in [kind for kind, _ in kinds]
    assert not any(e.synthetic for e in trace.read("uevent", NIC))
    vm.run(f"udevadm trigger --action=change --settle /sys/bus/pci/devices/{NIC}")
    last = trace.read("uevent", NIC)[-1]
    assert (last.text, last.synthetic, last.task) == ("change", True, "udevadm"), last


@scenario("a removed card can be plugged in again, twice")
def again(vm):
    for _ in range(2):
        vm.device_del("n0")
        vm.wait_for(f"! test -e /sys/bus/pci/devices/{NIC}")
        plug(vm)


@scenario("the lab's trace tells apart an override that is written, cleared and obeyed")
def override(vm):
    trace = Trace(vm)
    trace.clear()
    vm.run(f"modprobe vfio-pci; cd /sys/bus/pci/devices/{NIC}; echo vfio-pci >driver_override\n"
           f"echo {NIC} >driver/unbind; echo {NIC} >/sys/bus/pci/drivers_probe")
    assert vm.driver(NIC) == "vfio-pci"
    vm.run(f"cd /sys/bus/pci/devices/{NIC}; echo >driver_override")
    assert [e.text for e in trace.read("override", NIC)] == ["vfio-pci", "\n"]
    probes = trace.read("probe", NIC)
    assert [e.text for e in probes] == ["vfio-pci"], probes
    assert trace.read("bound", NIC)[0].time > probes[0].time > trace.read("override", NIC)[0].time
    trace.stop()
