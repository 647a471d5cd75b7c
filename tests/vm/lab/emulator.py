# SPDX-License-Identifier: LGPL-2.1-or-later
"""QEMU: the machine's own where it is new enough, else forky's, unpacked into the cache and run from there.

Emulation with a thread for each CPU has been mended more than once, and a kernel that is tested hard finds what was not yet:

- 7.2 is not fit for a kernel that changes its own code while it runs (static keys, probes): a CPU goes round for ever in a breakpoint
  that has been taken out again. Three of three machines whose kernels switch a static key in a loop were lost within 90 s [measured].
- 10.0 loses interrupts where more CPUs are emulated than there are cores: RCU complains of a CPU that sleeps and gets no timer
  interrupt. Three of some seventy machines in one run, beside other builds; one of twelve in five minutes of loading and unloading a
  module, and of 11.1 none of twelve [measured]. The cause is probably a word without a lock that tells a CPU of its interrupts,
  mended in 10.2; neither that nor a version between was tried.
"""

import os
import re
import shutil
import subprocess

from . import other_debian, store

PROGRAM = "qemu-system-x86_64"
FIT = (10, 2)
SUITE, PACKAGE = "forky", "qemu-system-x86"


def version(command):
    """(major, minor) of an emulator that can be run; None."""
    try:
        told = subprocess.run([*command, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"version (\d+)\.(\d+)", told)
    return (int(found[1]), int(found[2])) if found else None


def _unpacked(root):
    """The command for the QEMU of another Debian in a folder."""
    return [*other_debian.loader(root), f"{root}/usr/bin/{PROGRAM}", "-L", f"{root}/usr/share/qemu", "-L", f"{root}/usr/share/seabios"]


def _make(folder, log):
    root = os.path.join(folder, "root")
    other_debian.unpack(SUITE, [PACKAGE], root, log)
    if not version(_unpacked(root)):
        raise RuntimeError(f"{PACKAGE} of {SUITE} does not run here")


_found = []


def command():
    """How QEMU is started on this machine, as a list; to be followed by its options."""
    if not _found:
        own = version([PROGRAM])
        if own and own >= FIT:
            _found.append([shutil.which(PROGRAM)])
        else:
            made = store.kept("emulator", f"{SUITE} {PACKAGE} format 1", _make)
            _found.append(_unpacked(os.path.join(made, "root")))
    return _found[0]
