# SPDX-License-Identifier: LGPL-2.1-or-later
"""The next boot of a machine that keeps its disk."""


def reboot(vm, until=None):
    """By the reset button, after all has been written to the disk: waits for the next boot, to its end, or until this command
    succeeds."""
    before = vm.out("sync; cat /proc/sys/kernel/random/boot_id")
    vm.reset()
    if until:
        vm.wait_for(until, 400, 1)
    else:
        vm.boot_settled(400)
    assert vm.out("cat /proc/sys/kernel/random/boot_id") != before
