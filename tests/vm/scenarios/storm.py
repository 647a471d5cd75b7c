# SPDX-License-Identifier: LGPL-2.1-or-later
"""Events by the thousand, none of which any probe waits for, while cards are plugged: every first probe is held up
until the guard has decided, and the guard does not grow."""

import re

from lab.device import properties, rule, traced
from lab.guard_unit import (CONF, guard_pid, guard_status, plug_guaranteed, prefer_lab, repetitions, start_load,
                            unplug_unsettled)
from lab.scenario import scenario

CARDS = {0: "0000:01:00.0", 1: "0000:02:00.0", 2: "0000:03:00.0"}
MACHINE = dict(guard=True, alone=True,
               written={CONF: rule("cards", Bus="pci", Name=" ".join(CARDS.values()), Driver="vfio-pci")})

# Three coldplugs of all devices, one after the other; network namespaces, made and deleted; and "add" written into
# uevent files, at least so often, and on until somebody says that it is enough.
STORM = r"""
(while ! [ -e /run/lab/enough ]; do ip netns add storm; ip netns del storm; done) &
(for i in 1 2 3; do udevadm trigger --action=add; done) &
files=$(for file in $(find /sys/devices -name uevent); do [ -e ${file%%/uevent}/subsystem ] && echo $file; done)
written=0
until [ $written -ge %d ] && [ -e /run/lab/enough ]; do
    for file in $files; do
        echo add 2>/dev/null >$file && written=$((written + 1))
    done
    echo $written >/run/lab/written
done
wait
echo $written
"""


def memory(vm):
    """Of the guard: resident and data, in KiB, and its threads."""
    text = vm.out(f"grep -E '^(VmRSS|VmData|Threads):' /proc/{guard_pid(vm)}/status")
    return {key: int(value) for key, value in re.findall(r"(\w+):\s+(\d+)", text)}


def storm(vm, writes, plugs):
    """Plugs cards while it storms: so many at least, and on until so many events were written. How many were."""
    before = guard_status(vm)
    prefer_lab(vm)
    traced(vm)
    vm.run("rm -f /run/lab/enough /run/lab/written")
    job = start_load(vm, STORM % writes)
    vm.wait_for("test -e /run/lab/written", 120)
    number = 0
    while number < plugs or int(vm.out("cat /run/lab/written") or 0) < writes:
        port = number % len(CARDS)
        plug_guaranteed(vm, port, CARDS[port])
        unplug_unsettled(vm, port, CARDS[port])
        number += 1
    vm.run("touch /run/lab/enough")
    written = int(job.wait(600).out.split()[-1])
    # The status is told after each plug; what is left of the storm may still be queued at the first ones.
    for _ in range(20):
        plug_guaranteed(vm, 0, CARDS[0])
        number += 1
        after = guard_status(vm)
        if int(after["SYNTHETIC"]) >= int(before["SYNTHETIC"]) + written:
            break
        unplug_unsettled(vm, 0, CARDS[0])
        vm.run("sleep 3")
    assert int(after["SYNTHETIC"]) >= int(before["SYNTHETIC"]) + written, (before, written, after)
    assert after["EXPIRED"] == before["EXPIRED"] and after["NO_ROOM"] == before["NO_ROOM"], after
    assert after["LOST"] == before["LOST"] and after["WON"] == before["WON"], after
    # Whatever udev has made of all this in the end, it agrees.
    vm.run("udevadm settle --timeout=900", 910)
    assert vm.driver(CARDS[0]) == "vfio-pci" and properties(vm, CARDS[0])["_STATE"] == "enforced"
    unplug_unsettled(vm, 0, CARDS[0])
    return number, written


@scenario("during storms of coldplug, synthetic and network namespace events every plug is guaranteed, and the "
          "guard does not grow",
          timeout=1800)
def stormy(vm):
    vm.run("modprobe e1000e; modprobe vfio-pci")
    storm(vm, repetitions(2000, 500), 1)
    warm = memory(vm)
    plugs, written = storm(vm, repetitions(10000, 2000), repetitions(30, 4))
    grown = memory(vm)
    vm.note(f"# {plugs} plugs, {written} events; guard before {warm}, after {grown}")
    # A thread has a stack of 256 KiB, locked, and some room beside it.
    threads = max(0, grown["Threads"] - warm["Threads"])
    assert grown["Threads"] <= 68, grown
    for key in ("VmRSS", "VmData"):
        assert grown[key] - warm[key] <= 256 + threads * 320, (warm, grown)
