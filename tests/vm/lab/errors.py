# SPDX-License-Identifier: LGPL-2.1-or-later
"""How the lab itself, or a guest, fails."""


class LabError(Exception):
    """The lab or the guest failed, as opposed to an assertion about the project."""


class CommandFailed(LabError):
    """A command in the guest ended with a status other than 0."""


class CommandTimeout(LabError):
    """A command in the guest did not end in time. It still runs there."""


class MachineDead(LabError):
    """QEMU ended, or the guest no longer answers."""
