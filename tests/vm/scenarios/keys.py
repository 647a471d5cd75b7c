# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every match key decides about a real device at a cold boot, and the device beside it that does not match is left."""

from lab.boot_trace import CMDLINE, BootTrace
from lab.device import override, path, properties, rule
from lab.machine import link
from lab.scenario import scenario

ETC, LIB = "/etc/driver-overrides.d", "/usr/lib/driver-overrides.d"

# device, words, its driver, the keys of its rule. Several are equal cards, so that a key must tell them apart. No
# virtio: systemd itself loads drivers for some of these before any unit runs.
DECIDED = (
    ("0000:00:02.0", "id", "vfio-pci", {"Id": "8086:100e"}),
    ("0000:00:03.0", "id of a subsystem", "vfio-pci", {"Id": "8086:10D3:1AF4:1234"}),
    ("0000:00:04.0", "class", "vfio-pci", {"Class": "0108"}),
    ("0000:00:05.0", "modalias", "none", {"Modalias": "pci:v00008086d0000293Esv*"}),
    ("0000:00:06.0", "attr", "none", {"Attr.vendor": "0x1b36", "Attr.device": "0x000d"}),
    ("0000:02:00.0", "ancestor", "vfio-pci", {"Ancestor": "0000:00:11.0"}),
    ("0000:03:00.0", "firmware", "vfio-pci", {"Firmware": "\\_SB_.PCI0.S90_.S00_"}),
    ("0000:00:07.0", "several keys and values", "vfio-pci",
     {"Bus": "platform pci", "Name": "0000:00:0[7a].0", "Path": "pci0000:00/0?.0", "Class": "02"}),
)
EXEMPT, MASKED, LEFT = "0000:04:00.0", "0000:00:08.0", "0000:00:09.0"

MACHINE = dict(
    devices=["e1000,bus=pcie.0,addr=2.0", "e1000e,bus=pcie.0,addr=3.0,subsys_ven=0x1af4,subsys=0x1234",
             "nvme,bus=pcie.0,addr=4.0,serial=lab", "ich9-intel-hda,bus=pcie.0,addr=5.0",
             "qemu-xhci,bus=pcie.0,addr=6.0", "e1000e,bus=pcie.0,addr=7.0", "AC97,bus=pcie.0,addr=8.0,audiodev=silence",
             "e1000e,bus=pcie.0,addr=9.0", "e1000e,bus=rp1", "e1000e,bus=rp2", "e1000e,bus=rp3"],
    cmdline=CMDLINE,
    files={
        **{f"{ETC}/{number}0-{words.replace(' ', '-')}.conf":
           rule(words, Driver="vfio" if words == "class" else driver, **keys)
           for number, (_, words, driver, keys) in enumerate(DECIDED, 1)},
        # One card is exempt from a later rule that would catch it, as it is from its own wider one.
        f"{LIB}/95-exempt.conf": rule("exempt", Name=EXEMPT, Driver="default"),
        f"{LIB}/96-wide.conf": rule("wide", Ancestor="0000:00:13.0", Driver="vfio-pci"),
        # A distribution's file, masked by the administrator.
        f"{LIB}/20-masked.conf": rule("masked", Name=MASKED, Driver="none"),
        f"{ETC}/20-masked.conf": link("/dev/null"),
        # All keys of a rule must match: this one would take LEFT, if one were enough.
        f"{ETC}/90-not-all.conf": rule("not-all", Name=LEFT, Class="0108", Driver="none"),
    })


def decides(device, words, driver, number):
    def check(vm):
        events = BootTrace(vm).read(device=device)
        assert [e.text for e in events if e.kind == "override"] == [driver], events
        assert [e.text for e in events if e.kind == "probe"] == ([] if driver == "none" else [driver]), events
        assert vm.driver(device) == ("" if driver == "none" else driver)
        assert override(vm, device) == driver
        found = properties(vm, device)
        assert (found.get(""), found.get("_RULE"), found.get("_SOURCE")) == (
            driver, words, f"{ETC}/{number}0-{words.replace(' ', '-')}.conf:1"), found
    return check


for _number, (_device, _words, _driver, _keys) in enumerate(DECIDED, 1):
    scenario(f"at boot a rule with {' '.join(f'{k}={v}' for k, v in _keys.items())} decides about the device that matches")(
        decides(_device, _words, _driver, _number))


@scenario("Driver=default exempts a card from a later, wider rule")
def exempt(vm):
    assert properties(vm, EXEMPT)["_RULE"] == "exempt"
    assert override(vm, EXEMPT) == "" and not BootTrace(vm).read("override", EXEMPT)
    assert [e.text for e in BootTrace(vm).read("probe", EXEMPT)] == ["e1000e"]
    assert vm.driver(EXEMPT) == "e1000e"


@scenario("the boot writes overrides to no device but those that a rule decides about")
def nothing_else(vm):
    written = [e.device for e in BootTrace(vm).read("override")]
    assert sorted(written) == sorted(device for device, *_ in DECIDED), written


@scenario("a policy file in /usr/lib is masked by a link to /dev/null in /etc")
def masked(vm):
    assert vm.driver(MASKED) == "snd_intel8x0" and not properties(vm, MASKED)
    assert not BootTrace(vm).read("override", MASKED)
    # So it is the link that does it.
    vm.run(f"rm {ETC}/20-masked.conf")
    lines = vm.out(f"/usr/lib/udev/driver-override event $(realpath {path(MASKED)})").splitlines()
    assert "DRIVER_OVERRIDE_RULE=masked" in lines, lines
    vm.run(f"ln -s /dev/null {ETC}/20-masked.conf; /usr/lib/udev/driver-override release {MASKED}")


@scenario("a rule of which only one key matches decides nothing")
def left(vm):
    assert vm.driver(LEFT) == "e1000e" and not properties(vm, LEFT)
    assert not BootTrace(vm).read("override", LEFT)
