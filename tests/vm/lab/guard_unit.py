# SPDX-License-Identifier: LGPL-2.1-or-later
"""What scenarios about the guard ask it and do with it."""

import contextlib
import os

from .command import PATIENCE
from .device import path, probed, proper_order, record, record_fields, traced
from .machine import program
from .trace import INSTANCE, Trace

GUARD = "driver-override-guard.service"
RECORD = "/run/driver-overrides/guard"
CONF = "/etc/driver-overrides.d/50-guard.conf"


def repetitions(often, seldom):
    """How many times: the full count on request, a few in CI."""
    return often if os.environ.get("DRIVER_OVERRIDES_LAB_FULL") else seldom


# Guests between which user space differs most. What it alone decides is shown on the third only in the full counts.
OUTER = repetitions(None, ("debian12", "forky"))


def guard_status(vm):
    """What the guard tells of itself; its counters are those of when it last had something to tell."""
    lines = vm.out(f"cat {RECORD}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def hold_is_active(status):
    """Whether the kernel waits for the guard, be it that no device has shown it yet."""
    return status["HOLD"].split(",")[0] == "active"


def wait_status(vm, key, least, timeout=PATIENCE):
    """The guard's status once this counter has come to that number."""
    vm.wait_for(f"[ $(sed -n s/^{key}=//p {RECORD}) -ge {least} ]", timeout)
    return guard_status(vm)


def guard_pid(vm):
    return int(vm.out(f"systemctl show -P MainPID {GUARD}"))


def guard_has_taken_over(vm):
    """Waits until the guard of the real root holds: systemd calls it active before that, while the boot image's guard holds."""
    vm.wait_for(f"grep -qsx PID=$(systemctl show -P MainPID {GUARD}) {RECORD}")


def guard_again(pid):
    """For wait_for(): a shell's condition that another guard than this one runs. A busy systemd calls the unit active for seconds
    after its end, and asking systemd keeps it busier, so the guard's own word comes first."""
    return (f"! grep -qsx PID={pid} {RECORD} && [ $(systemctl show -P MainPID {GUARD}) != {pid} ] && "
            f"systemctl -q is-active {GUARD}")


DROP_INS = f"/run/systemd/system/{GUARD}.d"

# What the drop-ins were when they were read last. systemd's own word for it (NeedDaemonReload=) does not know of a folder that is new.
RESTART = f"""
mkdir -p /run/lab
was=$(cat /run/lab/guard-drop-ins 2>/dev/null || true)
is=$(cat {DROP_INS}/* 2>/dev/null || true)
[ "$is" = "$was" ] || systemctl daemon-reload
echo "$is" >/run/lab/guard-drop-ins
systemctl stop {GUARD}
systemctl start {GUARD}
"""


def restart_guard(vm):
    """Another guard, by drop-ins in DROP_INS that may have changed. The first one is stopped before: `systemctl restart` would start
    one more for the time in between, which takes seconds; reading all unit files again does, too."""
    vm.run(RESTART, 90)


@contextlib.contextmanager
def policy_read(vm):
    """Ends when the guard has read the policy that was written meanwhile."""
    before = int(guard_status(vm)["POLICY_LOADED"])
    yield
    wait_status(vm, "POLICY_LOADED", before + 1)


def write_policy(vm, text):
    """Writes the policy, and waits until the guard has read it: the file is there already, so it is heard of when it
    is complete."""
    with policy_read(vm):
        vm.write(CONF, text)


def first_probe(vm, device, bus="pci"):
    """FirstProbe of the device that is there now, once the guard has settled it."""
    file = f"/run/driver-overrides/devices/{bus}:{device}"
    text = vm.wait_for(f"grep -qx INODE=$(stat -Lc %i {path(device, bus)}) {file} && grep -q ^FIRST_PROBE= {file} && cat {file}")
    return record_fields(text)["FIRST_PROBE"]


def prefer_lab(vm):
    """Has commands of the lab go before what keeps the guest busy (that is for start_load): else each takes seconds."""
    vm.run("renice -n -15 -p $(systemctl show -P MainPID lab-agent.service)")


def start_load(vm, script):
    """A job that the guest is to be busy with; as its other processes are, not as those of the lab."""
    return vm.spawn("renice -n 0 -p $$ >/dev/null\n" + script)


def plug_guaranteed(vm, port, device, driver="vfio-pci"):
    """Plugs a card whose own driver is loaded: by the kernel's trace nothing probed it before the override stood, and
    the guard knows that nothing can have. Does not wait for udev, which may have other things to do. Its events."""
    trace = traced(vm)
    vm.device_add("e1000e", id=f"plug{port}", bus=f"rp{port}")
    probed(vm, device, 60)
    found = first_probe(vm, device)
    events = proper_order(trace, device, driver)
    assert found == "guaranteed", f"{found}: {record(vm, device)}"
    return events


def unplug_unsettled(vm, port, device):
    """As unplug(), without waiting for udev."""
    vm.device_del(f"plug{port}")
    vm.wait_for(f"! test -e {path(device)}")


def device_lives(events):
    """The events of one device that came and went under its name: a list of lists, each from a real `add` to the
    next."""
    found = []
    for event in events:
        if event.kind == "uevent" and event.text == "add" and not event.synthetic:
            found.append([])
        if found:
            found[-1].append(event)
    return found


@contextlib.contextmanager
def cpus_busy(vm):
    """Loops that keep every CPU of the guest busy meanwhile."""
    flag = "/run/lab/busy"
    prefer_lab(vm)
    job = start_load(vm, f"touch {flag}\nfor i in $(seq $(nproc)); do while [ -e {flag} ]; do :; done & done; wait")
    vm.wait_for(f"test -e {flag}")
    try:
        yield
    finally:
        vm.run(f"rm {flag}")
    job.wait()


class PluggedAgain:
    """A device that comes and goes all the time, at the hand of a process that outlives what systemd ends."""

    PROGRAM, ENOUGH, COUNT = "/usr/lib/lab/plug-again", "/run/lab/plug-enough", "/run/lab/plugged"

    def __init__(self, vm, device, begin=True):
        """begin: else it goes on already."""
        self.vm, self.device = vm, device
        if begin:
            self._begin()

    def _begin(self):
        vm, device = self.vm, self.device
        vm.run(f"rm -f {self.ENOUGH} {self.COUNT}*")
        vm.place(self.PROGRAM, program("plug-again"))
        vm.run(f"{self.PROGRAM} $(basename $(realpath {path(device)}/..)) {device} </dev/null >/dev/null 2>&1")
        vm.wait_for(f"test -s {self.COUNT}")

    def count(self):
        return int(self.vm.out(f"cat {self.COUNT}"))

    def more(self, often):
        """Returns when the device has come so many times more."""
        self.vm.wait_for(f"[ $(cat {self.COUNT}) -ge {self.count() + often} ]", 120)

    def end(self):
        self.vm.run(f"touch {self.ENOUGH}")
        self.vm.wait_for(f"test -e {self.COUNT}.end")

    def all_won(self, driver):
        """Asserts from the kernel's own trace that no other driver ever looked at it. (Its override may stand before it is announced:
        an enforcer that was started for its predecessor finds it under the same name.)"""
        lives = device_lives(traced_events(self.vm, self.device))
        shown = [[(round(e.time, 4), e.kind, e.text, e.task) for e in life] for life in lives]
        lost = [one for one, life in zip(shown, lives) if {e.text for e in life if e.kind == "probe"} - {driver}]
        assert len(lives) >= self.count() > 0, (len(lives), self.count())
        assert len(lost) <= holds_expired(self.vm), f"{len(lost)} times, first: {lost[0]}"
        assert {e.text for life in lives for e in life if e.kind == "override"} <= {driver}, shown
        self.vm.note(f"# {self.device} came {len(lives)} times, {len(lost)} times another driver was first")


def holds_expired(vm):
    """How many holds reached their limit in this boot, as all guards have said: on a starved host that may happen."""
    said = vm.out("journalctl --sync; journalctl -b --no-pager -o cat | grep -oE '[0-9]+ holds reached the limit' || true")
    return sum(int(line.split()[0]) for line in said.splitlines())


def traced_events(vm, device):
    """Of the trace that traced() has begun; fails when some of it is lost."""
    lost = vm.out(f"cat {INSTANCE}/per_cpu/cpu*/stats | awk '/overrun|dropped/ {{ n += $NF }} END {{ print n }}'")
    assert lost == "0", f"{lost} events of the trace are lost"
    return Trace(vm).read(device=device)


@contextlib.contextmanager
def plugged_again_and_again(vm, device):
    """A device that is there is taken away and found anew, over and over, meanwhile."""
    plugged = PluggedAgain(vm, device)
    try:
        yield plugged
    finally:
        plugged.end()
