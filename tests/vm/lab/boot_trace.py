# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the kernel saw from before its first process on: the probes of trace.py, asked for on the kernel command line.

At boot nothing in user space can start a trace before the first driver is probed; the kernel itself can.
"""

from .device import journal
from .trace import PROBES, events_chosen, parse

# Uevents would fill the buffer: every read of a "uevent" file counts as one.
KINDS = ("override", "probe", "bound")


def _definitions():
    for kind in KINDS:
        for number, (name, arguments) in enumerate(PROBES[kind]):
            suffix = str(number + 1) if number else ""
            yield f"p:lab/lab_{kind}{suffix},{name},{arguments.replace(' ', ',')}"


# A function that this kernel does not have costs a line in its log, no more. The buffer keeps its small size of early
# boot (7 KiB) until the first event of trace_event=; the loading of modules is good to know, too.
CMDLINE = ("trace_clock=mono trace_buf_size=2M trace_event=module:module_load kprobe_event="
           + ";".join(_definitions()))


class BootTrace:
    """The boot's trace of a machine with CMDLINE on its command line."""

    def __init__(self, vm):
        self.vm = vm
        lost = vm.out("cat /sys/kernel/tracing/per_cpu/cpu*/stats |"
                      "awk '/overrun|dropped/ { n += $NF } END { print n }'")
        if lost != "0":
            raise AssertionError(f"{lost} events of the boot are lost: no event would prove nothing")

    def read(self, kind=None, device=None):
        """As Trace.read()."""
        raw = self.vm.out("grep -v -e '^#' -e ': module_load: ' /sys/kernel/tracing/trace || true")
        return events_chosen(parse(raw), kind, device)

    def modules(self):
        """Modules in the order in which they were loaded."""
        return self.vm.out("sed -n 's/.*: module_load: \\([^ ]*\\).*/\\1/p' /sys/kernel/tracing/trace").split()


def in_time(vm, device, state="enforced"):
    """What the coldplug's event has told of a state: on a starved host it may have come to the end of its two seconds,
    and then it says so in the journal."""
    late = [line for line in journal(vm, "timed out after 1.8 s") if f"/{device}:" in line]
    return "pending" if late else state
