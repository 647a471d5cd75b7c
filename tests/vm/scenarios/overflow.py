# SPDX-License-Identifier: LGPL-2.1-or-later
"""More events than the guard's buffer holds: it says so and sweeps."""

from lab.device import empty_ports, override, path, probed, record, rule, traced, wait_journal
from lab.guard_unit import CONF, GUARD, guard_pid, plug_guaranteed
from lab.scenario import scenario

CARDS = {0: "0000:01:00.0", 1: "0000:02:00.0"}
SOCKET = "driver-override-guard.socket"
MACHINE = dict(guard=True, written={CONF: rule("cards", Bus="pci", Name=" ".join(CARDS.values()), Driver="vfio-pci")})

# Big ones, so that it takes fewer: a uevent has room for two kilobytes. Ends when the guard's socket has lost some.
FLOOD = r"""
socket=$(for fd in /proc/%d/fd/*; do readlink $fd; done | sed -n 's/^socket:.\(.*\)./\1/p')
dropped() {
    awk -v wanted=" $(echo $socket) " '$2 == 15 && index(wanted, " " $NF " ") { n += $(NF - 1) } END { exit !n }' \
        /proc/net/netlink
}
filler=$(head -c 1500 /dev/zero | tr '\0' x)
for i in $(seq 2000); do
    echo "add 12345678-1234-1234-1234-123456789abc FILLER=$filler" | tee /sys/devices/virtual/*/*/uevent >/dev/null
    dropped && exit 0
done
exit 1
"""


@scenario("a guard that lost events because its buffer was full says so and sweeps, and the next plug is guaranteed",
          timeout=900)
def overflow(vm):
    empty_ports(vm)
    # udev has a buffer of its own, which is not what is tested here, and would be busy for long.
    units = "systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udevd.service"
    # 64 MiB, as the buffer is, would take minutes to fill.
    vm.write(f"/run/systemd/system/{SOCKET}.d/small.conf", "[Socket]\nReceiveBuffer=1M\n")
    vm.run(f"modprobe e1000e; modprobe vfio-pci; systemctl daemon-reload; systemctl stop {units} {SOCKET} {GUARD}; "
           f"systemctl start {SOCKET} {GUARD}", 90)
    guard = guard_pid(vm)
    vm.run(f"kill -STOP {guard}")
    vm.run(FLOOD % guard, 600)
    # Nobody will ever hear of this one.
    trace = traced(vm)
    vm.device_add("e1000e", id="plug1", bus="rp1")
    probed(vm, CARDS[1], 60)
    assert [e.text for e in trace.read("probe", CARDS[1])] == ["e1000e"] and not override(vm, CARDS[1])
    vm.run(f"kill -CONT {guard}")
    wait_journal(vm, GUARD, "came faster than they were read", 120)
    vm.wait_for(f"grep -qx vfio-pci {path(CARDS[1])}/driver_override", 60)
    assert record(vm, CARDS[1]).get("FIRST_PROBE") in (None, "lost", "unknown"), record(vm, CARDS[1])
    plug_guaranteed(vm, 0, CARDS[0])
    assert guard_pid(vm) == guard
    vm.run(f"systemctl start {units}")
    empty_ports(vm)
