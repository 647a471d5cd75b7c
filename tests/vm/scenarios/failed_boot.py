# SPDX-License-Identifier: LGPL-2.1-or-later
"""Boots that fail, on a machine that keeps its disk from boot to boot: policy is given up by itself, and a person decides what is
next. Each of the many boots takes long, so between the full counts only dracut of Debian 12 counts boots."""

import re

from lab.boot_again import reboot
from lab.device import journal, override, rule
from lab.guard_unit import repetitions
from lab.machine import link
from lab.scenario import scenario

NIC, DISK = "0000:02:00.0", "0000:00:1d.0"
KEPT = "/var/lib/driver-overrides"
POLICY = "/etc/driver-overrides.d/50-lab.conf"
GOOD = rule("good", Name=NIC, Driver="pci-stub")
BAD = rule("bad", Name=NIC, Driver="none")
WIDE = rule("wide", Class="01*", Driver="vfio-pci")

# Whether boots are complete is up to this file.
CHECK = "/etc/systemd/system/lab-check.service"
CHECK_UNIT = """[Unit]
Before=boot-complete.target
After=multi-user.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=test ! -e /var/lib/lab-fails
"""

MACHINES = {
    "counted": dict(
        boot_image=repetitions(("initramfs-tools", "dracut"), ("debian12:dracut",)), guard=True, service=True, lasts=240, devices=["e1000e,bus=rp1"],
        files={POLICY: GOOD, CHECK: CHECK_UNIT,
               "/etc/systemd/system/boot-complete.target.requires/lab-check.service": link("../lab-check.service")}),
    # A disk of virtio cannot be taken where systemd is in the image: udev loads its driver in a virtual machine before any unit runs.
    "wide": dict(boot_image=repetitions(("initramfs-tools", "dracut"), ("initramfs-tools",)), root_disk="nvme", timeout=420,
                 guard=True, service=True, lasts=200, devices=["e1000e,bus=rp1"],
                 files={POLICY: WIDE, f"{KEPT}/boots": "good=0123456789abcdef\ntried=\nattempts=0\n",
                        f"{KEPT}/policies/0123456789abcdef/50-lab.conf": GOOD}),
}


# A boot that has only just been counted.
BEGUN = "test -e /run/driver-overrides/boot-policy"


def override_comes(vm, text):
    vm.wait_for(f"test $(cat /sys/bus/pci/devices/{NIC}/driver_override) = {text}")


def changed(vm, text):
    """Policy that a person has written; the boot images do not have it."""
    vm.write(POLICY, text)
    vm.run("sync")


# An emulated machine needs a minute for an image that boots. This one does not have to: it is made of little more than ours.
IMAGE_MADE = {
    "initramfs-tools": """
cd /usr/share/initramfs-tools/hooks
for hook in *; do [ $hook = driver-overrides ] || chmod -x $hook; done
update-initramfs -u -k $(uname -r)
""",
    "dracut": "V=$(uname -r); dracut --force --no-kernel --no-compress --nohardlink --no-early-microcode --modules driver-overrides "
              "/boot/initrd.img-$V $V",
}


def good_is_known(vm):
    """The boot with which a machine begins here is complete, and its policy is the good one."""
    vm.wait_for(f"grep -q good=. {KEPT}/boots && grep -qx tried= {KEPT}/boots")


@scenario("a policy that boot images do not have is said by check, on the bus and in the journal, and an image made anew ends that",
          "counted", timeout=500)
def stale(vm):
    good_is_known(vm)
    vm.run("overridectl list")
    image = "busctl get-property org.driveroverrides1 /org/driveroverrides1 org.driveroverrides1.Manager BootImage"
    assert vm.out(image) == 's "current"', vm.out(image)
    changed(vm, GOOD + BAD.replace(NIC, "0000:09:00.0"))
    vm.wait_for(f"{image} | grep -q 'has another policy than the disk'")
    command = "update-initramfs -u -k all" if vm.image.generator == "initramfs-tools" else "dracut --regenerate-all --force"
    assert f"run: {command}" in vm.out("overridectl --no-legend check")
    assert f"run: {command}" in vm.out("journalctl --sync; journalctl -b --no-pager -o cat -u driver-overrided.service")
    vm.run(IMAGE_MADE[vm.image.generator], 200)
    vm.wait_for(f"{image} | grep -q current")
    assert "another policy" not in vm.out("overridectl --no-legend check")


@scenario("a policy with which two boots were not complete is given up in the third, and that is said wherever one looks", "counted",
          timeout=600)
def third_boot(vm):
    good_is_known(vm)
    assert override(vm, NIC) == "pci-stub"
    vm.run("touch /var/lib/lab-fails")
    changed(vm, BAD)
    # In the first one boot-complete.target is not reached, and the second one comes to an end early.
    reboot(vm)
    assert override(vm, NIC) == "none"
    assert vm.out("systemctl show -P ActiveState driver-overrides-boot-complete.service") != "active"
    reboot(vm, BEGUN)
    override_comes(vm, "none")
    reboot(vm)
    assert override(vm, NIC) == "pci-stub"
    assert "boots with this policy have failed" in vm.out("overridectl list; overridectl --no-legend check")
    assert "boots with this policy" in vm.out("busctl get-property org.driveroverrides1 /org/driveroverrides1 org.driveroverrides1.Manager "
                                 "FailedPolicy")
    assert journal(vm, "with the last policy that was good")
    assert "driver-overrides: /etc/driver-overrides.d: boots with this policy have failed" in vm.console.text()


@scenario("a policy that was given up stays so from boot to boot, even if they are complete, until a person has it tried again",
          "counted", timeout=400)
def until_decided(vm):
    vm.run("rm /var/lib/lab-fails")
    reboot(vm)
    vm.wait_for("systemctl is-active driver-overrides-boot-complete.service")
    assert override(vm, NIC) == "pci-stub"
    vm.run("overridectl reload --retry")
    override_comes(vm, "none")
    assert "boots with this policy" not in vm.out("overridectl list")
    reboot(vm, BEGUN)
    override_comes(vm, "none")
    assert "attempts=1" in vm.out(f"cat {KEPT}/boots").split()
    if vm.image.generator == "dracut":  # what follows is the same with each, and takes long
        vm.wait_for("systemctl is-active driver-overrides-boot-complete.service")
        assert "tried=" in vm.out(f"cat {KEPT}/boots").split()


@scenario("a wide rule that was written by hand takes the root disk in the boot image, and the very same boot comes up by the last "
          "policy that was good", "wide", timeout=300)
def wide_rule(vm):
    assert vm.driver(DISK) == "nvme"
    assert override(vm, NIC) == "pci-stub"
    assert "the root file system did not come in this boot" in vm.out("overridectl list; overridectl --no-legend check || true")
    assert "this boot goes on with the last policy that was good" in vm.console.text()
    refused = vm.run("overridectl rehearse", check=False)
    # Once may have been a slow disk, so the next boot tries it again, and would go back again.
    assert refused.rc == 1 and re.search(r"the root file system +\S+ +lost", refused.out), refused
