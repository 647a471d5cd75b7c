# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtual functions under the guard: the driver of the physical function is loaded and would take them at once
(sriov_drivers_autoprobe stays 1), and those that the kernel itself has given away stay so."""

from lab.device import override, path, probed, properties, record, rule, settle, traced
from lab.guard_unit import CONF, device_lives, first_probe, guard_status, repetitions, write_policy
from lab.scenario import scenario

PF = "0000:02:00.0"
FIRST, SECOND, THIRD = FUNCTIONS = ("0000:02:00.1", "0000:02:00.2", "0000:02:00.3")
PLACE = "pci0000:00/11.0/00.0/vf"

MACHINE = dict(
    guard=True, lasts=60,
    plugged=["nvme,bus=rp1,serial=lab,subsys=sub0,max_ioqpairs=26,msix_qsize=26,sriov_max_vfs=3,"
             "sriov_vq_flexible=9,sriov_vi_flexible=6"],
    written={CONF: rule("nobody", Name="no-such-device", Driver="none")})


def create(vm):
    """Makes the three virtual functions anew; the trace of that."""
    vm.run(f"echo 0 >{path(PF)}/sriov_numvfs; udevadm settle")
    trace = traced(vm)
    vm.run(f"echo 3 >{path(PF)}/sriov_numvfs")
    return trace


def decides(vm, policy, wanted):
    """With that policy every first probe is the wanted driver's (None: not decided, so nvme's), time after time."""
    vm.run("modprobe vfio-pci")
    assert vm.driver(PF) == "nvme" and vm.out(f"cat {path(PF)}/sriov_drivers_autoprobe") == "1"
    write_policy(vm, policy)
    before = guard_status(vm)
    for _ in range(repetitions(10, 2)):
        trace = create(vm)
        for device, driver in zip(FUNCTIONS, wanted):
            if driver == "vfio-pci":
                probed(vm, device)
            if driver:
                assert first_probe(vm, device) == "guaranteed", record(vm, device)
            else:
                trace.wait("probe", device)  # nvme's comes from another thread
            events = trace.read(device=device)
            assert len(device_lives(events)) == 1, events
            probes = [e.text for e in events if e.kind == "probe"]
            written = [e.text for e in events if e.kind == "override"]
            assert probes[:1] == {"none": [], None: ["nvme"]}.get(driver, [driver]), events
            assert written == ([driver] if driver else []), events
    settle(vm)
    assert guard_status(vm)["EXPIRED"] == before["EXPIRED"], guard_status(vm)
    for device, driver in zip(FUNCTIONS, wanted):
        # Nobody has brought them online, so nvme's probe is in vain; but it comes first where it is not kept off.
        assert vm.driver(device) == {"none": "", None: ""}.get(driver, driver)


@scenario("with the guard, a rule by Path= gives one virtual function to vfio-pci, one by Name= and vendor keeps "
          "another from all drivers, and a third goes to nvme",
          timeout=600)
def own(vm):
    decides(vm, rule("place", Path=PLACE + "1", Driver="vfio-pci")
            + rule("itself", Name=THIRD, **{"Attr.vendor": "0x1b36"}, Driver="none"), (None, "vfio-pci", "none"))


@scenario("with the guard, a rule by PhysFn= decides about all virtual functions that no earlier rule names", timeout=600)
def physical(vm):
    decides(vm, rule("place", Path=PLACE + "0", Driver="none") + rule("function", PhysFn=PF, Driver="vfio-pci"),
            ("none", "vfio-pci", "vfio-pci"))


@scenario("virtual functions of a physical function at vfio-pci keep the override that the kernel itself gave them",
          timeout=600)
def kernels_own(vm):
    vm.run(f"echo 0 >{path(PF)}/sriov_numvfs; echo 1 >/sys/module/vfio_pci/parameters/enable_sriov")
    write_policy(vm, rule("function", PhysFn=PF, Driver="none"))
    vm.run(f"echo vfio-pci >{path(PF)}/driver_override; echo {PF} >{path(PF)}/driver/unbind\n"
           f"echo {PF} >/sys/bus/pci/drivers_probe")
    assert vm.driver(PF) == "vfio-pci"
    for _ in range(repetitions(10, 2)):
        trace = create(vm)
        for device in FUNCTIONS:
            probed(vm, device)
        settle(vm)
        for device in FUNCTIONS:
            assert (vm.driver(device), override(vm, device)) == ("vfio-pci", "vfio-pci")
            # Newer kernels set theirs by the function that is traced: by whoever made the virtual functions.
            written = trace.read("override", device)
            assert not [e for e in written if e.task.startswith("driver-override") or e.text != "vfio-pci"], written
            assert [e.text for e in trace.read("probe", device)] == ["vfio-pci"]
            found = properties(vm, device)
            assert (found["_RULE"], found["_STATE"]) == ("function", "foreign"), found
            vm.wait_for(f"grep -qx STATE=foreign /run/driver-overrides/devices/pci:{device}")
            assert not record(vm, device).get("SET") and record(vm, device).get("FIRST_PROBE") != "guaranteed"
