# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packages of another Debian, only unpacked, none of their scripts run; and how a program is started with that Debian's C library and
libraries, and nothing else."""

import os
import subprocess

from . import store

LOADER, LIBRARIES = "usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu"


def unpack(suite, packages, root, log):
    """Unpacks them and what they depend on into the new folder root."""
    command = store.mmdebstrap("extract", suite, packages, root, "--format=directory", '--aptopt=APT::Install-Recommends "false"',
                               '--aptopt=Acquire::Check-Valid-Until "false"')  # as for the guest of that suite
    subprocess.run(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, check=True)


def loader(root):
    """What stands before a program's path in its command: the libraries in root are found first."""
    return [os.path.join(root, LOADER), "--library-path", os.path.join(root, LIBRARIES)]
