# SPDX-License-Identifier: LGPL-2.1-or-later
"""A machine's serial console, as QEMU writes it to a file: what the kernel says also where no user space runs."""

import time

from .command import PATIENCE
from .errors import CommandTimeout


class Console:
    def __init__(self, path):
        self.path = path

    def text(self, begin=0):
        """What has been written since, in bytes."""
        with open(self.path, "rb") as stream:
            stream.seek(begin)
            return stream.read().decode("utf-8", "replace")

    def wait_for(self, text, timeout=PATIENCE):
        deadline = time.monotonic() + timeout
        while text not in self.text():
            if time.monotonic() > deadline:
                raise CommandTimeout(f"not on the console after {timeout} s: {text}\n" + self.tail())
            time.sleep(0.1)

    def tail(self, lines=15):
        try:
            return "console: " + "console: ".join(self.text().splitlines(True)[-lines:])
        except OSError:
            return ""
