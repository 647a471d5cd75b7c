# SPDX-License-Identifier: LGPL-2.1-or-later
"""A cold boot: policy files decide who gets which driver, and no other driver sees those devices, not even once."""

from lab.boot_machine import (BARRED, BOOT_MACHINE, COMMAND_LINE, CREDENTIAL, FIRST, FW_CFG, GIVEN, NICS, SECOND, SPEAKER,
                              WATCHDOG)
from lab.boot_trace import BootTrace, in_time
from lab.device import ENFORCER, SWEEP, drivers, override, path, properties, record, traced, trigger, unload
from lab.scenario import scenario

MACHINE = dict(lasts=60, **BOOT_MACHINE)


@scenario("at boot no driver is ever asked about a card with Driver=none, while e1000e takes the card beside it")
def barred(vm):
    trace = BootTrace(vm)
    assert trace.read("probe", SECOND)[0].text == "e1000e", "the driver was not there to be kept off"
    assert not trace.read("probe", BARRED), trace.read(device=BARRED)
    assert [e.text for e in trace.read("override", BARRED)] == ["none"]
    assert (vm.driver(BARRED), override(vm, BARRED)) == ("", "none")
    assert f"e1000e {BARRED}" not in vm.kernel_log()


@scenario("at boot vfio-pci is loaded for a card with Driver=vfio-pci and is the only driver that ever probes it")
def given(vm):
    trace = BootTrace(vm)
    for device in (GIVEN, FIRST):
        written, probes = trace.read("override", device), trace.read("probe", device)
        assert [e.text for e in written] == ["vfio-pci"], written
        assert [e.text for e in probes] == ["vfio-pci"], probes
        assert written[0].time < probes[0].time
        assert vm.driver(device) == "vfio-pci"
        assert f"e1000e {device}" not in vm.kernel_log()
    assert {"vfio_pci", "e1000e"} <= set(trace.modules()), trace.modules()


@scenario("the boot's sweep writes the overrides of all devices that are present before any of their drivers is loaded")
def stood_first(vm):
    trace = BootTrace(vm)
    written = {e.device: e for e in trace.read("override")}
    assert {e.task for e in written.values()} == {"driver-override"}
    # Only those devices of the machine that a rule names were written to, once each.
    assert sorted(e.device for e in trace.read("override")) == sorted(
        (BARRED, GIVEN, FIRST, SPEAKER, WATCHDOG, FW_CFG)), written
    for device in (BARRED, GIVEN, FIRST):
        assert record(vm, device)["FIRST_PROBE"] == "won", record(vm, device)
    last = max(written[device].time for device in (BARRED, GIVEN, FIRST, SPEAKER))
    first = min(e.time for e in trace.read("probe") if e.text in ("e1000e", "vfio-pci", "ahci"))
    assert last < first, f"last override at {last}, first probe at {first}"


@scenario("a rule of the kernel command line and one of a credential are policy files of this boot, and are not written again")
def with_the_boot(vm):
    # What they are about is seen in the scenarios about these two devices.
    assert vm.out("ls /run/driver-overrides.d").split() == ["00-command-line.conf", "00-credential-speaker.conf"]
    assert f"Name={BARRED}\nDriver=none" in vm.out(f"cat {COMMAND_LINE}")
    vm.run(f"mv {COMMAND_LINE} /run/lab/; {ENFORCER} sweep; test ! -e {COMMAND_LINE}; mv /run/lab/00-command-line.conf "
           f"{COMMAND_LINE}")
    assert override(vm, BARRED) == "none"


@scenario("driver-overrides-sweep.service ends before any unit that loads modules begins, and stays active")
def unit_order(vm):
    def times(unit):
        text = vm.out(f"systemctl show {unit} -p ExecMainStartTimestampMonotonic -p ExecMainExitTimestampMonotonic "
                      "-p ConditionTimestampMonotonic -p ActiveState -p Result -p Before")
        return dict(line.split("=", 1) for line in text.splitlines())
    ours = times(SWEEP)
    assert (ours["ActiveState"], ours["Result"]) == ("active", "success"), ours
    ended = int(ours["ExecMainExitTimestampMonotonic"])
    assert ended > 0
    for unit in ("systemd-modules-load", "systemd-udevd", "systemd-udev-trigger"):
        other = times(unit)
        # A unit whose condition fails never starts; then the time at which systemd looked counts.
        began = int(other["ExecMainStartTimestampMonotonic"]) or int(other["ConditionTimestampMonotonic"])
        assert f"{unit}.service" in ours["Before"].split()
        assert ended < began, f"{unit} began at {began}, the sweep ended at {ended}"


@scenario("after the boot udev's database has each device's decision, rule, source, state and module")
def in_database(vm):
    assert properties(vm, GIVEN) == {
        "": "vfio-pci", "_RULE": "given", "_SOURCE": f"{NICS}:1",
        "_STATE": "pending", "_MODALIAS": "vfio-pci"}  # pending: udev itself loads the module after that event
    assert properties(vm, BARRED) == {
        "": "none", "_RULE": "command-line-1", "_SOURCE": f"{COMMAND_LINE}:3",
        "_STATE": in_time(vm, BARRED)}
    assert properties(vm, SPEAKER, "platform") == {
        "": "none", "_RULE": "speaker", "_STATE": in_time(vm, SPEAKER),
        "_SOURCE": f"{CREDENTIAL}:1"}
    assert vm.out(f"udevadm info -q property -p {path(GIVEN)} | grep ^DRIVER=") == "DRIVER=vfio-pci"
    late = in_time(vm, SECOND, "")
    assert properties(vm, SECOND) == ({"_STATE": late} if late else {})


@scenario("a group member without a rule that was present at boot keeps its driver")
def companion(vm):
    assert vm.out(f"ls {path(FIRST)}/iommu_group/devices").split() == [FIRST, SECOND]
    assert (vm.driver(SECOND), override(vm, SECOND)) == ("e1000e", "")
    assert not BootTrace(vm).read("override", SECOND)


@scenario("Driver=none keeps platform devices from their drivers, whether present from the start or added during the boot")
def platform(vm):
    trace = BootTrace(vm)
    for device, module in ((SPEAKER, "pcspkr"), (WATCHDOG, "iTCO_wdt")):
        assert module in trace.modules(), f"{module} was not there to be kept off"
        assert vm.run(f"test -e /sys/bus/platform/drivers/{module}", check=False).rc == 0
        assert not trace.read("probe", device), trace.read(device=device)
        assert (vm.driver(device, "platform"), override(vm, device, "platform")) == ("", "none")


@scenario("a platform device with Driver=none stays without a driver when that driver's module is loaded again")
def platform_later(vm):
    for device, module in ((SPEAKER, "pcspkr"), (WATCHDOG, "iTCO_wdt")):
        unload(vm, module)
        vm.run(f"modprobe {module}\nudevadm settle")
        assert vm.run(f"test -e /sys/bus/platform/drivers/{module}", check=False).rc == 0
        assert vm.driver(device, "platform") == ""
        assert not BootTrace(vm).read("probe", device)


@scenario("a device that was bound before the boot's sweep could run stays bound and is reported as pending")
def too_early(vm):
    # systemd itself loads qemu_fw_cfg, for its credentials, before it starts any unit.
    trace = BootTrace(vm)
    assert trace.read("probe", FW_CFG)[0].time < trace.read("override", FW_CFG)[0].time
    assert (vm.driver(FW_CFG, "platform"), override(vm, FW_CFG, "platform")) == ("fw_cfg", "none")
    assert properties(vm, FW_CFG, "platform")["_STATE"] == "pending"


@scenario("repeating every device's add event, twice, writes no override and changes no driver")
def trigger_again(vm):
    trace = traced(vm)
    before = drivers(vm)
    records = "stat -c '%n %i %y' /run/driver-overrides/devices/*"
    trigger(vm)
    after_one = vm.out(records)
    trigger(vm)
    assert not trace.read("override"), trace.read("override")
    assert len([e for e in trace.read("uevent", GIVEN) if e.text == "add"]) == 2, "no event came"
    for device in (BARRED, GIVEN, FIRST, SECOND, SPEAKER, WATCHDOG):
        assert not trace.read("probe", device), trace.read(device=device)
    assert drivers(vm) == before
    assert vm.out(records) == after_one, "the second round rewrote records"


@scenario("change and bind events keep a device's properties in udev's database")
def later_events(vm):
    before = properties(vm, GIVEN)
    assert before["_RULE"] == "given", before
    for action in ("change", "bind", "change"):
        trigger(vm, action, GIVEN)
        assert properties(vm, GIVEN) == before, action


@scenario("a second sweep writes no override and keeps the list of devices that were present at boot")
def sweep_again(vm):
    trace = traced(vm)
    present = vm.out("cat /run/driver-overrides/present")
    assert present.split()[1] == "complete", "the end of the boot was not noted"
    vm.run(f"systemctl restart {SWEEP}")
    assert not trace.read("override"), trace.read("override")
    assert vm.out("cat /run/driver-overrides/present") == present


@scenario("after the release of all overrides each device gets the driver from which it was kept")
def released(vm):
    # The other half of the proof: without us they would have been bound at once.
    unload(vm, "vfio-pci")
    vm.run(f"{ENFORCER} release", 120)
    assert vm.driver(SPEAKER, "platform") == "pcspkr"
    assert vm.driver(WATCHDOG, "platform") == "iTCO_wdt"
    for device in (BARRED, GIVEN, FIRST):
        assert (vm.driver(device), override(vm, device)) == ("e1000e", ""), device
