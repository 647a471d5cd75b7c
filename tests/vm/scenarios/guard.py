# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guard and its hold: drivers that are loaded already, on every bus, and what happens when the guard does not
answer."""
import re

from lab.device import empty_ports, path, plug, probed, proper_order, record, rule, traced, unplug
from lab.guard_unit import CONF, first_probe, guard_again, guard_status, hold_is_active, repetitions, write_policy
from lab.scenario import scenario
from lab.trace import INSTANCE

CARD = "0000:01:00.0"
POLICY = """\
[device plugged-cards]
Bus=pci
Name=0000:01:* 0000:02:*
Driver=vfio-pci

[device sound]
Bus=platform
Name=snd_dummy.*
Driver=none
"""
MACHINE = dict(guard=True, lasts=120, written={CONF: POLICY})


@scenario("at boot the guard starts before udev, and its hold is active")
def running(vm):
    assert vm.out("systemctl is-active driver-override-guard.service") == "active", \
        vm.out("systemctl status driver-override-guard.service --no-pager || true")
    assert hold_is_active(guard_status(vm)), guard_status(vm)
    guard = int(vm.out("systemctl show -P ActiveEnterTimestampMonotonic driver-override-guard.service"))
    udev = int(vm.out("systemctl show -P ExecMainStartTimestampMonotonic systemd-udevd.service"))
    assert 0 < guard < udev, (guard, udev)


@scenario("the kernel tells the guard of a new device before it tells udev")
def told_first(vm):
    traced(vm)
    waking = f"{INSTANCE}/events/sched/sched_waking/enable"
    vm.run(f"udevadm settle; echo 1 >{waking}; modprobe snd-dummy || true; echo 0 >{waking}")
    # The programs that the process that adds the devices wakes, for each of them; one that is at work is not woken.
    woken = vm.out(f"grep -oE '^ *modprobe-.*(ACTION=add|sched_waking: comm=(driver-override|systemd-udevd) )' {INSTANCE}/trace")
    events = [re.findall("comm=(\\S+)", text) for text in woken.split("ACTION=add")[1:]]
    both = [names for names in events if len(set(names)) == 2]
    assert both and all(names[0] == "driver-override" for names in both), events


@scenario("with e1000e loaded, the first probe of each plugged card is vfio-pci's", timeout=900)
def hotplug(vm):
    vm.run("modprobe e1000e; modprobe vfio-pci")
    for _ in range(repetitions(30, 5)):
        trace = traced(vm)
        plug(vm, 0, CARD, "vfio-pci")
        proper_order(trace, CARD, "vfio-pci")
        assert first_probe(vm, CARD) == "guaranteed", record(vm, CARD)
        unplug(vm, 0, CARD)
    counted = guard_status(vm)
    assert int(counted["EXPIRED"]) == 0 and int(counted["HOLDS"]) > 0, counted


@scenario("a platform device with Driver=none is never probed by its driver, though that is loaded", timeout=600)
def platform(vm):
    for _ in range(repetitions(30, 5)):
        trace = traced(vm)
        # The module makes its device, finds that nothing binds it, and takes itself out again.
        assert vm.run("modprobe snd-dummy", check=False).rc != 0
        events = trace.read(device="snd_dummy.0")
        assert [e.text for e in events if e.kind == "override"] == ["none"], events
        assert not [e for e in events if e.kind == "probe"], events
    assert int(guard_status(vm)["EXPIRED"]) == 0, guard_status(vm)


@scenario("of two functions plugged at once with e1000e loaded, the one with a rule gets vfio-pci and the other is held",
          timeout=repetitions(3600, 900))
def together(vm):
    first, second = "0000:01:00.0", "0000:01:00.1"
    vm.run("modprobe e1000e; modprobe vfio-pci")
    for i in range(repetitions(30, 4)):
        ruled, other = (first, second) if i % 2 else (second, first)
        write_policy(vm, rule("ruled", Name=ruled, Driver="vfio-pci"))
        trace = traced(vm)
        # Function 0 last: the kernel looks at a slot when that one arrives.
        vm.device_add("e1000e", id="plug9", bus="rp0", addr="0.1", multifunction=True)
        plug(vm, 0, first, addr="0.0", multifunction=True)
        probed(vm, ruled)
        proper_order(trace, ruled, "vfio-pci")
        proper_order(trace, other, "none", companion=True)
        assert first_probe(vm, ruled) == "guaranteed", record(vm, ruled)
        assert first_probe(vm, other) == "guaranteed", record(vm, other)
        vm.wait_for(f"grep -qx STATE=held /run/driver-overrides/devices/pci:{other}")
        empty_ports(vm)
        vm.wait_for(f"! test -e {path(first)} && ! test -e {path(second)}")
    write_policy(vm, POLICY)


@scenario("policy that changes on disk is in force in the guard at the next plug")
def changed(vm):
    write_policy(vm, POLICY.replace("Driver=vfio-pci", "Driver=none"))
    trace = traced(vm)
    plug(vm, 0, CARD)
    proper_order(trace, CARD, "none")
    assert first_probe(vm, CARD) == "guaranteed", record(vm, CARD)
    unplug(vm, 0, CARD)
    write_policy(vm, POLICY)


@scenario("with a stopped guard, three holds end at the limit, no more follow, and no first probe is claimed as guaranteed",
          timeout=600)
def stopped(vm):
    vm.run("kill -STOP $(systemctl show -P MainPID driver-override-guard.service)")
    for i in range(5):
        # No winner is expected: as long as the kernel waits, udev's rule has its chance, too.
        plug(vm, 0, CARD)
        probed(vm, CARD)
        assert record(vm, CARD).get("FIRST_PROBE") in (None, "lost", "won"), (i, record(vm, CARD))
        if i < 4:
            unplug(vm, 0, CARD)
    driver = vm.driver(CARD)
    vm.run("kill -CONT $(systemctl show -P MainPID driver-override-guard.service)")
    assert first_probe(vm, CARD) == ("won" if driver == "vfio-pci" else "lost"), (driver, record(vm, CARD))
    # All together last three limits: of holds that the host has made longer there are fewer.
    vm.wait_for("grep -qxE 'EXPIRED=[1-3]' /run/driver-overrides/guard")
    unplug(vm, 0, CARD)
    plug(vm, 0, CARD, "vfio-pci")
    assert first_probe(vm, CARD) == "guaranteed", record(vm, CARD)
    unplug(vm, 0, CARD)


@scenario("a guard that is killed is started again, and each card plugged meanwhile gets a driver", timeout=1800)
def killed(vm):
    empty_ports(vm)
    for i in range(repetitions(100, 2)):
        pid = vm.out("systemctl show -P MainPID driver-override-guard.service")
        vm.run(f"kill -KILL {pid}")
        plug(vm, 0, CARD)
        probed(vm, CARD)
        assert vm.driver(CARD) in ("e1000e", "vfio-pci"), i
        vm.wait_for(guard_again(pid))
        unplug(vm, 0, CARD)
    plug(vm, 0, CARD, "vfio-pci")
    assert first_probe(vm, CARD) == "guaranteed", record(vm, CARD)
    unplug(vm, 0, CARD)


@scenario("the guard does not wake up while nothing happens")
def idle(vm):
    vm.run("udevadm settle; sleep 2")
    pid = vm.out("systemctl show -P MainPID driver-override-guard.service")
    switches = f"cat /proc/{pid}/task/*/status | awk '/^voluntary/ {{ n += $2 }} END {{ print n }}'"
    counts = [vm.out(switches)]
    # On a busy host what happened before may still go on at first; from then on nothing wakes it up, twice as long as one look.
    while len(counts) < 6:
        vm.run(f"sleep {repetitions(60, 10)}")
        counts.append(vm.out(switches))
        if len(counts) > 2 and len(set(counts[-3:])) == 1:
            return
    raise AssertionError(f"wake-ups: {counts}")
