# SPDX-License-Identifier: LGPL-2.1-or-later
"""One CPU, where the guard can only run while the kernel does not wait for it, or instead of it; and four. Idle, and with
every CPU busy."""

import contextlib

from lab.device import empty_ports, plug, probed, record, rule, traced, unplug
from lab.guard_unit import (CONF, GUARD, cpus_busy, first_probe, guard_pid, guard_status, plug_guaranteed, repetitions,
                            restart_guard, unplug_unsettled, wait_status)
from lab.scenario import scenario
from lab.trace import first_driver

CARD = "0000:01:00.0"
COMMON = dict(guard=True, lasts=60, written={CONF: rule("card", Bus="pci", Name=CARD, Driver="vfio-pci")
                                 + rule("sound", Bus="platform", Name="snd_dummy.*", Driver="none")})
# The first one shares its boot with a machine that is suspended. The second one shares it with none, so it can be one that is locked
# down as by Secure Boot, and all that is shown there is shown for such a kernel, too.
MACHINES = dict(one=dict(cpus=1, packed=True, **COMMON), four=dict(cpus=4, cmdline="lockdown=integrity", **COMMON))

# debugfs; what the kernel command line's preempt= sets, too.
PREEMPT = "/sys/kernel/debug/sched/preempt"


def plugs(vm, load):
    """Cards, and platform devices: with these the kernel comes from the uevent to the probe without a pause."""
    empty_ports(vm)
    vm.run("modprobe e1000e; modprobe vfio-pci")
    before = guard_status(vm)
    with load(vm):
        for _ in range(repetitions(30, 3)):
            plug_guaranteed(vm, 0, CARD)
            unplug_unsettled(vm, 0, CARD)
        for _ in range(repetitions(30, 5)):
            trace = traced(vm)
            # The module makes its device, finds that nothing binds it, and takes itself out again.
            assert vm.run("modprobe snd-dummy", check=False).rc != 0
            assert not trace.read("probe", "snd_dummy.0"), trace.read(device="snd_dummy.0")
        plug_guaranteed(vm, 0, CARD)
        unplug_unsettled(vm, 0, CARD)
    after = guard_status(vm)
    assert after["EXPIRED"] == before["EXPIRED"] and after["HOLD"] == "active", (before, after)


@scenario("with one CPU, idle, every first probe is guaranteed", machine="one", timeout=900)
def one_idle(vm):
    assert vm.out("nproc") == "1"
    plugs(vm, contextlib.nullcontext)


@scenario("with one CPU, kept busy, every first probe is guaranteed", machine="one", timeout=900)
def one_busy(vm):
    plugs(vm, cpus_busy)


@scenario("with one CPU and a stopped guard, three holds end at the limit, no more follow, and no first probe is "
          "claimed as guaranteed",
          machine="one", timeout=600)
def one_stopped(vm):
    empty_ports(vm)
    before = guard_status(vm)
    vm.run(f"systemctl kill -s STOP {GUARD}")
    for i in range(5):
        plug(vm, 0, CARD)
        probed(vm, CARD)
        assert record(vm, CARD).get("FIRST_PROBE") in (None, "lost", "won", "unknown"), (i, record(vm, CARD))
        unplug(vm, 0, CARD)
    vm.run(f"systemctl kill -s CONT {GUARD}")
    wait_status(vm, "EXPIRED", int(before["EXPIRED"]) + 3)
    plug_guaranteed(vm, 0, CARD)
    unplug_unsettled(vm, 0, CARD)
    assert int(guard_status(vm)["EXPIRED"]) == int(before["EXPIRED"]) + 3, guard_status(vm)


@scenario("with one CPU and as little kernel preemption as possible, the first hold that nobody can answer is "
          "the last, and is not claimed as guaranteed",
          machine="one", timeout=900)
def one_unpreempted(vm):
    empty_ports(vm)
    modes = vm.out(f"[ ! -e {PREEMPT} ] || cat {PREEMPT}") or "(full)"  # Linux 6.1 with PREEMPT_RT has no choice
    usual = modes[modes.index("(") + 1:modes.index(")")]
    if "none" not in modes:  # since Linux 7.0, and with PREEMPT_RT, a real-time thread always gets its turn
        assert usual in ("lazy", "full"), modes
        plugs(vm, contextlib.nullcontext)
        return
    restart_guard(vm)
    vm.run(f"echo none >{PREEMPT}")
    for i in range(repetitions(10, 3)):
        trace = traced(vm)
        plug(vm, 0, CARD)
        probed(vm, CARD)
        first, claimed = first_driver(trace.read(device=CARD)), first_probe(vm, CARD)
        assert claimed == "lost" if first == "e1000e" else claimed != "guaranteed", (i, first, record(vm, CARD))
        unplug(vm, 0, CARD)
    # The guard is kept out by the first one: there is no second one.
    counted = wait_status(vm, "EXPIRED", 1)
    assert counted["EXPIRED"] == "1" and counted["HOLD"].startswith("off: a hold kept the guard itself"), counted
    vm.run(f"echo {usual} >{PREEMPT}")
    restart_guard(vm)
    plug_guaranteed(vm, 0, CARD)
    unplug_unsettled(vm, 0, CARD)


@scenario("with lockdown=integrity on the kernel command line the hold is active, and a plug is guaranteed", machine="four")
def locked_down(vm):
    assert "[integrity]" in vm.out("cat /sys/kernel/security/lockdown")
    empty_ports(vm)
    vm.run("modprobe e1000e; modprobe vfio-pci")
    plug_guaranteed(vm, 0, CARD)
    unplug_unsettled(vm, 0, CARD)
    assert guard_status(vm)["HOLD"] == "active", guard_status(vm)


@scenario("with four CPUs, idle, every first probe is guaranteed", machine="four", timeout=900)
def four_idle(vm):
    assert vm.out("nproc") == "4"
    plugs(vm, contextlib.nullcontext)


@scenario("with four CPUs, kept busy, every first probe is guaranteed", machine="four", timeout=900)
def four_busy(vm):
    plugs(vm, cpus_busy)


def threads_on(vm, *cpus):
    """Waits until of the guard's threads one is on each of these lists of CPUs, and all others on all four, or three."""
    lists = f"sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/{guard_pid(vm)}/task/*/status | sort"
    vm.wait_for(f"[ \"$({lists} | grep -Evx '0-3|0,2-3' | paste -sd' ')\" = '{' '.join(cpus)}' ]")
    assert int(vm.out(f"{lists} | grep -Ecx '0-3|0,2-3'")) > 2, vm.out(lists)


@scenario("with CPUAffinity=0 for its unit, the guard's threads are on all four CPUs, the two standby threads on one half each, also "
          "when a CPU goes and comes",
          machine="four", timeout=600)
def affinity(vm):
    empty_ports(vm)
    folder = f"/run/systemd/system/{GUARD}.d"
    vm.write(f"{folder}/affinity.conf", "[Service]\nCPUAffinity=0\n")
    try:
        restart_guard(vm)
        assert "CPUAffinity=0" in vm.out(f"systemctl show -p CPUAffinity {GUARD}")
        threads_on(vm, "0,2", "1,3")
        online = "/sys/devices/system/cpu/cpu1/online"
        vm.run(f"echo 0 >{online}")
        threads_on(vm, "0,3", "2")
        plug_guaranteed(vm, 0, CARD)
        unplug_unsettled(vm, 0, CARD)
        vm.run(f"echo 1 >{online}")
        threads_on(vm, "0,2", "1,3")
    finally:
        vm.run(f"rm -r {folder}")
        restart_guard(vm)
