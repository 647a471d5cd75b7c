# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the kernel itself saw, by kprobes in the guest: override writes, driver probes, uevents, with their times.

Only the functions' own arguments are read. The first member of a struct device is its kobject, and a kobject's and a
device_driver's first member is the name: so no offset depends on the kernel's version.
"""

import dataclasses
import re
import time

from .command import PATIENCE

INSTANCE = "/sys/kernel/tracing/instances/lab"
EVENTS = "/sys/kernel/tracing/kprobe_events"

# kind -> functions, the first one the kernel has is taken, with the event's arguments for it
PROBES = {
    "override": (
        ("__device_set_driver_override", "dev=+0(+0($arg1)):string text=+0($arg2):string"),
        ("driver_set_override", "dev=+0(+0($arg1)):string text=+0($arg3):string"),
    ),
    "probe": (
        ("really_probe", "dev=+0(+0($arg1)):string text=+0(+0($arg2)):string"),
    ),
    "bound": (
        ("driver_bound", "dev=+0(+0($arg1)):string"),
    ),
    # The last function about uevents that may be probed: those in lib/ are not traceable (Debian's kernels).
    # It fills the environment just before the message leaves. envp[] begins at 24; [0] is ACTION=, and [3] SYNTH_UUID=
    # when a person (or udevadm trigger) wrote to "uevent". A mere read of that file comes here too, without an ACTION.
    "uevent": (
        ("dev_uevent", "dev=+0(+0($arg1)):string synth=+0(+48($arg2)):string text=+0(+24($arg2)):string"),
    ),
}

HEADER = re.compile(
    r"^\s*(?P<task>.{1,16}?)-(?P<pid>\d+)\s+\[\d+\]\s+\S+\s+(?P<time>\d+\.\d+): lab_(?P<kind>\w+): ", re.MULTILINE)
MARK = re.compile(r"^.*: tracing_mark_write: (?P<text>.*)\n", re.MULTILINE)
BODY = re.compile(r'^\([^)]*\) dev="(?P<dev>.*?)"(?: synth=(?P<synth>\S*))?(?: text=(?P<text>.*))?$', re.DOTALL)


@dataclasses.dataclass
class Event:
    """time: the guest's CLOCK_MONOTONIC in seconds. text: what was written, the driver's name, or the uevent's action.
    synthetic: a uevent that somebody asked for by writing to the device's "uevent". task and pid: who did it (a write comes from the writing process; a probe often from a kernel worker)."""
    time: float
    kind: str
    device: str
    text: str
    task: str
    pid: int
    synthetic: bool = False


def events_chosen(events, kind, device):
    """Those of one kind or device, or of both; None: any."""
    return [e for e in events if (kind is None or e.kind == kind) and (device is None or e.device == device)]


def parse(raw):
    """A list of Event from the text of a trace file, in the order of time."""
    events = []
    heads = list(HEADER.finditer(raw))
    # A written text has its newline in it, so an event lasts until the next one's header.
    for head, follower in zip(heads, heads[1:] + [None]):
        body = BODY.match(raw[head.end():follower.start() if follower else len(raw)].rstrip("\n"))
        if not body:
            continue
        found = head["kind"].rstrip("2")
        text = body["text"] or ""
        text = text[1:-1] if text.startswith('"') else text
        if found == "uevent":
            if not text.startswith("ACTION="):
                continue
            text = text[len("ACTION="):]
        elif text.endswith("\n") and text != "\n":
            text = text[:-1]
        events.append(Event(float(head["time"]), found, body["dev"], text, head["task"].strip(), int(head["pid"]),
                            "SYNTH_UUID" in (body["synth"] or "")))
    events.sort(key=lambda event: event.time)
    return events


# What a record may claim where nothing holds and vfio-pci is asked for, by first_driver().
CLAIMS = {"vfio-pci": ("won", "unknown"), "e1000e": ("lost",), "": ("won", "lost", "unknown")}


def first_driver(events):
    """The driver that probed a device first, from its events. "": one that was turned away. The PCI code compares once
    more when really_probe() has begun (pci_match_device() in __pci_device_probe()), and does not call the probe function
    of a driver that the override has come to exclude; from outside one can see its link for a moment, or nothing."""
    steps = [e for e in events if e.kind in ("probe", "bound")]
    assert steps and steps[0].kind == "probe", "never probed"
    away = len(steps) > 1 and steps[1].kind == "probe" and steps[1].text != steps[0].text
    return "" if away else steps[0].text


class Trace:
    """A trace in one machine. start(), then read() as often as wanted; clear() forgets what was seen."""

    def __init__(self, vm, kinds=tuple(PROBES)):
        self.vm = vm
        self.kinds = kinds

    def start(self):
        """Once per boot; another Trace object of the same machine may read on without it."""
        # A function that this kernel does not have cannot be probed; a kernel may have both override functions, each with its own
        # buses. Asking for the list of all functions would take longer than all the rest.
        script = ["mountpoint -q /sys/kernel/tracing || mount -t tracefs nodev /sys/kernel/tracing",
                  f"mkdir -p {INSTANCE}", f"echo 8192 >{INSTANCE}/buffer_size_kb",
                  f"echo mono >{INSTANCE}/trace_clock"]
        for kind in self.kinds:
            for number, (name, arguments) in enumerate(PROBES[kind]):
                event = f"lab_{kind}{number + 1 if number else ''}"
                script.append(f"if [ -d {INSTANCE}/events/lab/{event} ] || {{ echo 'p:lab/{event} {name} {arguments}' "
                              f">>{EVENTS}; }} 2>/dev/null; then echo 1 >{INSTANCE}/events/lab/{event}/enable; echo {kind}; fi")
        script.append(f"echo 1 >{INSTANCE}/tracing_on")
        missing = set(self.kinds) - set(self.vm.out("\n".join(script)).split())
        if missing:
            raise AssertionError(f"this kernel has none of the functions for {missing}")
        return self

    def clear(self):
        """Forgets what was seen so far."""
        self.vm.run(["empty", f"{INSTANCE}/trace"])

    def stop(self):
        """Takes every probe out of the kernel again."""
        self.vm.run(f"echo 0 >{INSTANCE}/events/enable\nrmdir {INSTANCE}\n"
                    f"for probe in $(sed -n 's/^p:\\(lab.lab_[a-z0-9]*\\) .*/\\1/p' {EVENTS}); do\n"
                    f"echo \"-:$probe\" >>{EVENTS}\ndone")

    def read(self, kind=None, device=None):
        """All events so far in the order of time, or those of one kind or device. Does not take them away."""
        # The guest filters, so that most of a storm of events stays there. A written text may have its newline in it.
        wanted = ["-A1", "--no-group-separator", "-F", f'dev="{device}"'] if device else ["-v", "^#"]
        found = self.vm.run(["grep", *wanted, f"{INSTANCE}/trace"], 120, check=False)
        if found.rc > 1:  # 1: no such line
            raise AssertionError(found.out)
        return events_chosen(parse(found.out.strip()), kind, device)

    def wait(self, kind, device, timeout=PATIENCE):
        """As read(), once there is something."""
        deadline = time.monotonic() + timeout
        while not (found := self.read(kind, device)):
            assert time.monotonic() < deadline, f"no {kind} of {device} in {timeout} s: {self.read(device=device)}"
            time.sleep(0.2)
        return found

    def sections(self):
        """What was seen, cut at the texts that somebody in the guest wrote into this trace's trace_marker: a list of
        (text, events until the next one). Fails when the kernel lost events: then the absence of one proves nothing."""
        lost = self.vm.out(f"cat {INSTANCE}/per_cpu/cpu*/stats |"
                           "awk '/overrun|dropped/ { n += $NF } END { print n }'")
        if lost != "0":
            raise AssertionError(f"{lost} events of the trace are lost")
        raw = self.vm.run(f"grep -v '^#' {INSTANCE}/trace || true", 120).out
        marks = list(MARK.finditer(raw))
        ends = [mark.start() for mark in marks[1:]] + [len(raw)]
        return [(mark["text"], parse(raw[mark.end():end])) for mark, end in zip(marks, ends)]
