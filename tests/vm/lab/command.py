# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands for the guest that cost little: starting processes is what emulation is slowest at."""

import re

# Seconds for what the guest does at once on a machine that is not busy. A scenario fails by what it finds, not by how slow the lab is.
PATIENCE = 180

# Commands of one line that need no shell: words without a character that a shell reads in another way.
WORD = r"(?:[\w@+=:,./%-]|\{sv\})+"
PROGRAMS = "cat|readlink|udevadm|systemctl|busctl|modprobe|runuser|sleep|dmesg|journalctl|touch|stat|ls"
PLAIN = re.compile(rf"(?:/[\w./-]+|{PROGRAMS})(?: {WORD})*")

# "never" is a pipe of the agent's: the shell itself sleeps, without a process for it.
WAIT = """SECONDS=0
until {{
{command}
}} >/run/lab/wait.$$ 2>&1; do
    if [ $SECONDS -ge {timeout} ]; then cat /run/lab/wait.$$; exit 1; fi
    read -rt {interval} <>/run/lab/never || true
done
[ ! -s /run/lab/wait.$$ ] || cat /run/lab/wait.$$
rm /run/lab/wait.$$
"""


def words_of(command):
    """The words of a command that needs no shell; None for a script."""
    if isinstance(command, list):
        return command
    return command.split(" ") if PLAIN.fullmatch(command) else None
