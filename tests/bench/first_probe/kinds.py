# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ways in which devices come while their driver is loaded: hot-plug, virtual functions, a platform device.

Each comes in pairs of plugs under one name. What happens to a device is taken from the kernel's trace, up to and with
its removal; marks in the trace tell one plug from the next, and what a method claims about a device is written there,
too, while the device is there to be claimed about.
"""

import contextlib

from lab.device import path, power_off
from lab.trace import INSTANCE

CARDS = {0: "0000:01:00.0", 2: "0000:03:00.0", 3: "0000:04:00.0"}
PF = "0000:02:00.0"
FUNCTIONS = tuple(f"0000:02:00.{number}" for number in range(1, 7))
SOUND = tuple(f"snd_dummy.{number}" for number in range(6))

# The physical function, below rp1. Its driver is loaded at boot, for it.
MACHINE_DEVICES = (
    "nvme,bus=rp1,serial=lab,subsys=sub0,max_ioqpairs=26,msix_qsize=26,sriov_max_vfs=6,"
    "sriov_vq_flexible=12,sriov_vi_flexible=6",)
PLUGS = ("first", "second")

# Sourced by every script below. WAITS: see methods.py.
LIBRARY = f"""
mark() {{ echo "$*" >{INSTANCE}/trace_marker; }}

# Nothing more will happen to the devices that are there.
quiet() {{
    udevadm settle --timeout=120
    [ "$WAITS" = systemd ] || return 0
    # systemd hears of a device from udev, and begins a job then: three looks without one are the end.
    local looks=0
    while [ $looks -lt 3 ]; do
        sleep 0.3
        if [ -z "$(systemctl list-jobs --no-legend)" ]; then looks=$((looks + 1)); else looks=0; fi
    done
}}

# What the record says about the device that is there now, not about an earlier one of its name.
claim() {{
    [ "$WAITS" = record ] || return 0
    local folder=/sys/bus/$1/devices/$2 file=/run/driver-overrides/devices/$1:$2 i text
    for i in {{1..150}}; do
        [ -e $folder ] || return 0
        if grep -qx "INODE=$(stat -Lc %i $folder)" $file 2>/dev/null; then
            text=$(sed -n 's/^FIRST_PROBE=//p' $file)
            if [ -n "$text" ]; then mark claim $2 $text; return 0; fi
        fi
        sleep 0.2
    done
    mark claim $2 nothing
}}

# A card that was plugged in a moment ago has been probed.
come() {{
    local i
    for i in {{1..300}}; do
        [ -e /sys/bus/pci/devices/$1/driver ] && return 0
        sleep 0.1
    done
}}

# All that is to be known of devices that came: claims BUS NAME...
claims() {{
    local bus=$1 name
    shift
    quiet
    for name; do claim $bus $name; done
}}
"""
LIBRARY_FILE = "/run/first-probe.sh"


class Kind:
    """bus, names: the devices, each of them a sample at every plug. driver: what is asked for them."""
    name = bus = driver = ""
    names = ()

    def setup(self, vm):
        """Once per boot: the devices' own driver is loaded before any of them comes."""

    def pairs(self, vm, shell, number):
        """That many times: forget, plug, unplug, plug, unplug. shell: prefix of a script."""
        raise NotImplementedError


class HotPlug(Kind):
    """e1000e cards in three root ports: each when the one before has a driver, and out of them together."""
    name, bus, driver, names = "hot-plug", "pci", "vfio-pci", tuple(CARDS.values())

    def setup(self, vm):
        vm.run("modprobe e1000e\nmodprobe vfio-pci")

    def pairs(self, vm, shell, number):
        for _ in range(number):
            for plug in PLUGS:
                vm.run(shell + (f"reset\nmark plug {plug}" if plug == PLUGS[0] else f"mark plug {plug}"), 120)
                for port, card in CARDS.items():
                    vm.device_add("e1000e", id=f"plug{port}", bus=f"rp{port}")
                    vm.run(shell + f"come {card}", 180)
                vm.run(shell + f"claims {self.bus} {' '.join(self.names)}", 300)
                power_off(vm, CARDS)


class Functions(Kind):
    """The virtual functions of an NVMe controller, all at once."""
    name, bus, driver, names = "vf", "pci", "vfio-pci", FUNCTIONS

    def setup(self, vm):
        vm.run("modprobe nvme\nmodprobe vfio-pci")
        assert vm.driver(PF) == "nvme"
        assert vm.out(f"cat {path(PF)}/sriov_drivers_autoprobe") == "1"

    def pairs(self, vm, shell, number):
        # Where nvme gets such a function it waits eight seconds for it, in vain, and sriov_numvfs with it.
        vm.run(shell + f"""
for pair in {{1..{number}}}; do
    reset
    for plug in {' '.join(PLUGS)}; do
        mark plug $plug
        echo {len(FUNCTIONS)} >{path(PF)}/sriov_numvfs
        claims {self.bus} {' '.join(self.names)}
        echo 0 >{path(PF)}/sriov_numvfs
        udevadm settle --timeout=120
    done
done""", 60 + 120 * number)


class Platform(Kind):
    """snd-dummy: a module that registers its driver, then its devices, and takes back those that do not bind."""
    name, bus, driver, names = "platform", "platform", "none", SOUND

    def pairs(self, vm, shell, number):
        vm.run(shell + f"""
for pair in {{1..{number}}}; do
    reset
    for plug in {' '.join(PLUGS)}; do
        mark plug $plug
        modprobe snd-dummy enable={','.join('1' * len(SOUND))} 2>/dev/null || true
        claims {self.bus} {' '.join(self.names)}
        ! grep -q '^snd_dummy ' /proc/modules || modprobe -r snd-dummy
        udevadm settle --timeout=120
    done
done""", 60 + 120 * number)


KINDS = {kind.name: kind for kind in (HotPlug(), Functions(), Platform())}


def asked():
    """All devices: (bus, name, driver asked for)."""
    return [(kind.bus, name, kind.driver) for kind in KINDS.values() for name in kind.names]


@contextlib.contextmanager
def load(vm, name):
    """"busy": an endless loop of the ordinary class on each CPU of the guest, while the block runs."""
    if name == "idle":
        yield
        return
    pids = vm.out("for cpu in $(seq 0 $(($(nproc) - 1))); do\n"
                  "taskset -c $cpu bash -c 'while :; do :; done' >/dev/null 2>&1 & echo $!\ndone").split()
    try:
        yield
    finally:
        vm.run(f"kill {' '.join(pids)}", 60)
