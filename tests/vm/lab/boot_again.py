# SPDX-License-Identifier: LGPL-2.1-or-later
"""The next boot of a machine that keeps its disk."""


def reboot(vm):
    """By the reset button, after all has been written to the disk: waits for the next boot."""
    before = vm.out("sync; cat /proc/sys/kernel/random/boot_id")
    vm.reset()
    # A systemctl that asks early in a boot has been seen not to return, long after the boot was over; with --wait, too.
    vm.wait_for("timeout 15 systemctl is-system-running | grep -q -e running -e degraded", 400, 1)
    assert vm.out("cat /proc/sys/kernel/random/boot_id") != before
