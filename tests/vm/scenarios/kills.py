# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guard killed at any moment around the addition of a card: before, during, just after."""

import re

from lab.device import empty_ports, override, path, plug, probed, record, rule, settle, traced, unplug
from lab.guard_unit import (CONF, GUARD, device_lives, first_probe, guard_again, guard_pid, plug_guaranteed, repetitions,
                            unplug_unsettled)
from lab.scenario import scenario
from lab.trace import first_driver

CARD = "0000:01:00.0"
LIMIT = 1.0  # of a hold, in seconds: to that the guard raises it at most
# What an emulated machine on a busy host may need beside. A hold without an end would last for ten seconds and more.
SLACK = 2.0
MACHINE = dict(guard=True, lasts=60, written={CONF: rule("card", Bus="pci", Name=CARD, Driver="vfio-pci")})

# Lives of the card: it comes, and meanwhile the guard is killed, at a moment that differs from life to life. Told about
# each, once the guard is back: its driver, its override, and what the record claims.
LIFE = r"""
device=%s guard=%s
where=/sys/bus/pci/devices/$device record=/run/driver-overrides/devices/pci:$device
for i in $(seq %d); do
    pid=$(systemctl show -P MainPID $guard)
    (sleep 0.$(printf %%03d $((RANDOM %% 400))); kill -KILL $pid) &
    killer=$!
    sleep 0.1
    echo 1 >/sys/bus/pci/rescan
    wait $killer
    for j in $(seq 300); do [ -e $where/driver ] && break; sleep 0.1; done
    until %s; do sleep 0.1; done
    udevadm settle --timeout=60
    sleep 1
    claimed=nothing
    if grep -qsx INODE=$(stat -Lc %%i $where) $record; then
        claimed=$(grep ^FIRST_PROBE= $record || echo =nothing)
    fi
    echo "life driver=$(basename $(readlink $where/driver)) override=$(cat $where/driver_override) claimed=${claimed#*=}"
    echo 1 >$where/remove
done
"""


def judge(number, life, told):
    """One life, by the kernel's own account and what the programs say of it."""
    shown = f"life {number}: {told}, {[(round(e.time, 3), e.kind, e.text, e.task) for e in life]}"
    probes = [e for e in life if e.kind == "probe"]
    assert probes, f"never probed: {shown}"
    assert probes[0].time - life[0].time < LIMIT + SLACK, f"held for too long: {shown}"
    assert told["driver"] in ("vfio-pci", "e1000e"), f"left without a driver: {shown}"
    assert told["override"] == "vfio-pci", f"left without its override: {shown}"
    assert {e.text for e in life if e.kind == "override"} <= {"vfio-pci"}, shown
    first = first_driver(life)
    if first == "vfio-pci":
        assert told["driver"] == "vfio-pci" and told["claimed"] != "lost", f"claimed: {shown}"
    elif not first:
        assert told["driver"] == "vfio-pci" and told["claimed"] != "guaranteed", f"claimed: {shown}"
    else:
        assert told["claimed"] not in ("guaranteed", "won"), f"claimed: {shown}"
    return probes[0].text


@scenario("with the guard killed at any moment while a card is added, no hold exceeds the limit and the card gets "
          "its override",
          timeout=3600)
def killed(vm):
    vm.run("modprobe e1000e; modprobe vfio-pci")
    plug_guaranteed(vm, 0, CARD)
    settle(vm)
    vm.run(f"echo 1 >{path(CARD)}/remove")
    outcomes = []
    for _ in range(repetitions(10, 1)):
        trace = traced(vm)
        out = vm.out(LIFE % (CARD, GUARD, repetitions(10, 3), guard_again("$pid")), timeout=600)
        told = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in out.splitlines() if line.startswith("life ")]
        found = device_lives(trace.read(device=CARD))
        assert len(found) == len(told) == repetitions(10, 3), (len(found), len(told))
        for life, words in zip(found, told):
            outcomes.append((judge(len(outcomes), life, words), words["claimed"]))
    vm.note(f"# first probe, claimed: { {o: outcomes.count(o) for o in sorted(set(outcomes))} }")
    vm.run("echo 1 >/sys/bus/pci/rescan")
    assert first_probe(vm, CARD) == "guaranteed", record(vm, CARD)
    unplug_unsettled(vm, 0, CARD)
    assert int(vm.out(f"systemctl show -P NRestarts {GUARD}")) >= len(outcomes)


@scenario("with the guard killed at any moment while a card is plugged, no hold exceeds the limit and the card gets "
          "its override",
          timeout=1800)
def plugged(vm):
    vm.run("modprobe e1000e; modprobe vfio-pci")
    empty_ports(vm)
    for number in range(repetitions(20, 2)):
        trace = traced(vm)
        guard = guard_pid(vm)
        job = vm.spawn(f"sleep 0.{number * 37 % 400:03d}; kill -KILL {guard}")
        plug(vm, 0, CARD)
        job.wait()
        probed(vm, CARD)
        vm.wait_for(guard_again(guard))
        settle(vm)
        vm.run("sleep 1")
        judge(number, device_lives(trace.read(device=CARD))[0],
              dict(driver=vm.driver(CARD), override=override(vm, CARD), claimed=record(vm, CARD).get("FIRST_PROBE")))
        unplug(vm, 0, CARD)
    plug_guaranteed(vm, 0, CARD)
    unplug_unsettled(vm, 0, CARD)
