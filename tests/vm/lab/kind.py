# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is there when a machine boots. Machines that have all of it in common are booted once for each guest and saved; each
further one begins where that one was saved, and only then gets the files and cards that are its own.

A saved machine lives for one run: the build under test is in it.
"""

import os
import shutil
import tempfile

from . import machine

# What Machine.start() takes of a scenario file's MACHINE.
START_KEYS = ("cpus", "memory", "cmdline", "devices", "qemu", "packed", "files", "timeout")
COMMAND_KEYS = ("cpus", "memory", "cmdline", "devices", "qemu", "packed")

NO_GUARD = {f"/etc/systemd/system/driver-override-guard.{kind}": machine.link("/dev/null")
            for kind in ("service", "socket")}
NO_SERVICE = {"/etc/systemd/system/driver-overrided.service": machine.link("/dev/null")}


class Kind:
    """boot: the arguments of Machine.start(). late_files: the files that the settings mean for the running machine."""

    def __init__(self, settings):
        self.overlay = settings.get("overlay", True)
        self.disk = "boot_image" in settings
        self.boot = {key: settings[key] for key in START_KEYS if key in settings}
        self.late_files = dict(settings.get("written", {}))
        files = dict(settings.get("files", {}))
        # Nothing starts the service in a boot without policy files. So it can be masked later, and the machine is of one kind
        # with those that have it.
        masks = {} if settings.get("service") else NO_SERVICE
        if files or self.disk:
            files = {**masks, **files}
        else:
            self.late_files = {**masks, **self.late_files}
        if not settings.get("guard"):
            files = {**NO_GUARD, **files}
        if files:
            self.boot["files"] = files
        self.key = repr((self.overlay, sorted(self.boot.items())))

    def start(self, vm, overlays):
        if self.disk:  # files and build are on it
            vm.start(**{key: value for key, value in self.boot.items() if key != "files"})
        else:
            vm.start(overlays=overlays if self.overlay else (), **self.boot)

    def restore(self, vm, path):
        vm.restore(path, **{key: value for key, value in self.boot.items() if key in COMMAND_KEYS})


class Saved:
    """The saved machine of one kind and guest: at first nobody has made it, then somebody is about to, then it is there."""

    def __init__(self, path):
        self.path, self.users = path, 0
        self.maker = None  # who is about to
        self.ready = False

    def forget(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.ready = False


ROOM = 8 << 30  # more than all that is saved at a time


def saved_folder():
    """A new folder for saved machines: in memory where there is much of it."""
    memory = "/dev/shm"
    roomy = os.path.isdir(memory) and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    return tempfile.TemporaryDirectory(prefix="driver-overrides-saved-", dir=memory if roomy else None)
