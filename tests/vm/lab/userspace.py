# SPDX-License-Identifier: LGPL-2.1-or-later
"""What scenarios do with all of a guest's userspace."""

import contextlib
import time

from .errors import CommandTimeout


def isolate(vm, target, timeout=240):
    """Returns when systemd has no job left."""
    vm.run(f"systemctl isolate {target}", timeout, check=False)
    vm.wait_for(f"systemctl -q is-active {target} && [ -z \"$(systemctl list-jobs --no-legend)\" ]", timeout)


def soft_reboot(vm, timeout=300):
    """Restarts userspace, and returns when the next one is up; the lab's agent is one of those that end."""
    count = "systemctl show -P SoftRebootsCount"
    wanted = str(int(vm.out(count)) + 1)
    vm.run("systemd-run --quiet --no-block systemctl soft-reboot", 60)
    deadline = time.monotonic() + timeout
    while True:
        # What is sent while nobody listens is read by the next agent; what an agent takes with it is never answered.
        with contextlib.suppress(CommandTimeout):
            if vm.run(count, 10, check=False).out.strip() == wanted:
                return vm.boot_settled(timeout)
        assert time.monotonic() < deadline, "the next userspace did not come\n" + vm.console.tail()
        time.sleep(0.5)


def other_root(vm, files):
    """The next soft-reboot goes into a root that is as this one, but for files below /etc: path -> text."""
    vm.run("mkdir -p /run/nextroot /run/other-etc\nmount --bind / /run/nextroot\nmount --make-private /run/nextroot\ncp -a /etc/. /run/other-etc\n"
           "mount --bind /run/other-etc /run/nextroot/etc")
    for path, text in files.items():
        vm.write("/run/other-etc" + path.removeprefix("/etc"), text)
