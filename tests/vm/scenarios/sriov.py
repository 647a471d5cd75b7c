# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtual functions: found by their physical function or their place, before the kernel has linked the two."""

from lab.device import override, path, probed, properties, rule, traced
from lab.scenario import scenario

PF = "0000:02:00.0"
FUNCTIONS = ("0000:02:00.1", "0000:02:00.2", "0000:02:00.3")
CONF = "/etc/driver-overrides.d/50-vf.conf"

MACHINE = dict(
    plugged=["nvme,bus=rp1,serial=lab,subsys=sub0,max_ioqpairs=26,msix_qsize=26,sriov_max_vfs=3,"
             "sriov_vq_flexible=9,sriov_vi_flexible=6"],
    written={CONF: rule("place", Path="pci0000:00/11.0/00.0/vf1", Driver="vfio-pci")
           + rule("function", PhysFn=PF, Driver="none")})


def create(vm, number):
    """Makes that many virtual functions, anew. nvme is loaded, as always when there is a PF: sriov_drivers_autoprobe=0
    leaves it to us to have them probed, where they have a decision."""
    vm.run(f"cd {path(PF)}; echo 0 >sriov_numvfs; echo 0 >sriov_drivers_autoprobe; udevadm settle")
    trace = traced(vm)
    vm.run(f"echo {number} >{path(PF)}/sriov_numvfs; udevadm settle")
    assert vm.driver(PF) == "nvme"
    return trace


def happened(trace, device):
    """Overrides and binds of a virtual function, in their order. Probes would say nothing: the kernel begins one for a
    driver that is loaded, and the bus ends it at once because of sriov_drivers_autoprobe=0."""
    return [(e.kind, e.text) for e in trace.read(device=device)
            if e.kind == "override" or (e.kind == "uevent" and e.text == "bind" and not e.synthetic)]


@scenario("without the guard, a rule by Path= gives one virtual function to vfio-pci, and a rule by PhysFn= keeps "
          "the others from all drivers")
def decided(vm):
    for _ in range(3):
        trace = create(vm, 3)
        probed(vm, FUNCTIONS[1])
        assert vm.driver(FUNCTIONS[1]) == "vfio-pci"
        assert happened(trace, FUNCTIONS[1]) == [("override", "vfio-pci"), ("uevent", "bind")]
        assert properties(vm, FUNCTIONS[1])["_RULE"] == "place"
        for device in (FUNCTIONS[0], FUNCTIONS[2]):
            assert happened(trace, device) == [("override", "none")]
            assert (vm.driver(device), override(vm, device)) == ("", "none")
            assert properties(vm, device)["_RULE"] == "function"
            # Not even when somebody asks for a probe.
            vm.run(f"echo {device} >/sys/bus/pci/drivers_probe")
            assert vm.driver(device) == ""
        assert not properties(vm, PF) and not trace.read("override", PF)


@scenario("a virtual function without a rule has no decision, and is not probed on the project's account")
def undecided(vm):
    vm.write(CONF, rule("place", Path="pci0000:00/11.0/00.0/vf7", Driver="vfio-pci"))
    trace = create(vm, 1)
    assert not trace.read("override") and not properties(vm, FUNCTIONS[0])
    assert vm.driver(FUNCTIONS[0]) == "" and not happened(trace, FUNCTIONS[0])
