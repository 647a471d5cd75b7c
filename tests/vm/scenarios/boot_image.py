# SPDX-License-Identifier: LGPL-2.1-or-later
"""A boot from a disk, by a boot image that the guest's own generator has made."""

from lab.scenario import scenario

MACHINE = dict(boot_image=("initramfs-tools", "dracut"), lasts=60)


@scenario("the boot image's udev finds the root disk, and the boot goes on from it with this build installed")
def from_disk(vm):
    assert vm.out("findmnt -no SOURCE,FSTYPE /").split() == ["/dev/vda", "ext4"]
    assert "rdinit=" not in vm.out("cat /proc/cmdline")
    assert vm.driver("0000:00:1d.0") == "virtio-pci"
    assert vm.out("systemctl show -P Result driver-overrides-sweep.service") == "success"
    # Packages can be installed.
    vm.run("dpkg-query -W linux-image-amd64 udev")
