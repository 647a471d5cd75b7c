# SPDX-License-Identifier: LGPL-2.1-or-later
"""Policy files: which of them counts, and what happens when one of them is broken."""

from lab.boot_machine import BARRED, BOOT_MACHINE, BROKEN, ETC, FIRST, LIB, RUN, UNRULED, WRITABLE
from lab.device import SWEEP, journal, override, probed, properties, remove, rescan, rule, traced, trigger, unload
from lab.scenario import scenario

ONE, TWO, THREE = BARRED, UNRULED, FIRST

MACHINE = dict(lasts=60, **BOOT_MACHINE)


def again(vm, device):
    """The device comes anew, with its own driver's module to be loaded by udev; its trace."""
    remove(vm, device)
    unload(vm)
    trace = traced(vm)
    rescan(vm, device)
    return trace


@scenario("a policy file with an error is out of force as a whole, while the other files are in force")
def two_of_three(vm):
    assert (vm.driver(ONE), override(vm, ONE)) == ("", "none")
    assert vm.driver(THREE) == "vfio-pci", (properties(vm, THREE), override(vm, THREE))
    # Its first rule alone has no error.
    assert (vm.driver(TWO), override(vm, TWO)) == ("e1000e", "")
    assert not properties(vm, TWO)


@scenario("a policy error is in the journal once, with file and line, although every device had an event")
def once(vm):
    trigger(vm)
    lines = journal(vm, BROKEN)
    assert len(lines) >= 1, "not named"
    assert all(line.startswith(f"{BROKEN}:") and "none of its rules is in force" in line for line in lines), lines
    errors = {line.split(": ")[0] for line in lines}
    assert f"{BROKEN}:7" in errors, lines
    assert len(lines) == len(set(lines)), f"said more than once: {lines}"
    before = len(lines)
    vm.run(f"systemctl restart {SWEEP}")
    assert len(journal(vm, BROKEN)) == before
    # Another version of it is another matter.
    vm.write(BROKEN, "[device two]\nName=" + TWO + "\nDriver=none\nDriver=none\n")
    trigger(vm)
    lines = journal(vm, BROKEN)[before:]
    assert len(lines) == 1 and lines[0].startswith(f"{BROKEN}:4: "), lines


@scenario("a policy file that everybody may write is refused, and the journal names it")
def writable(vm):
    lines = journal(vm, WRITABLE)
    assert len(lines) == 1 and lines[0].startswith(f"{WRITABLE}: ") and "0666" in lines[0], lines
    vm.run(f"chmod 644 {WRITABLE}")
    trace = again(vm, TWO)
    assert (vm.driver(TWO), override(vm, TWO)) == ("", "none")
    assert not trace.read("probe", TWO)
    assert properties(vm, TWO)["_SOURCE"] == f"{WRITABLE}:1"
    vm.run(f"rm {WRITABLE}")


@scenario("when a policy file is broken while the system runs, its last good rules stay in force at the next plug")
def last_good(vm):
    vm.write(BROKEN, rule("two", Name=TWO, Driver="vfio-pci"))
    again(vm, TWO)
    assert vm.driver(TWO) == "vfio-pci"
    told = len(journal(vm, BROKEN + ":4: "))
    vm.write(BROKEN, rule("two", Name=TWO, Driver="vfio-pci") + "Nmae=x\n")
    unload(vm, "vfio-pci")
    trace = again(vm, TWO)
    probed(vm, TWO)
    assert vm.driver(TWO) == "vfio-pci"
    assert [e.text for e in trace.read("probe", TWO)] == ["vfio-pci"]
    lines = journal(vm, BROKEN + ":4: ")[told:]
    assert len(lines) == 1 and lines[0].startswith(f"{BROKEN}:4: ") and "last good" in lines[0], lines
    # A good version takes over at once.
    vm.write(BROKEN, rule("two", Name=TWO, Driver="none"))
    again(vm, TWO)
    assert (vm.driver(TWO), override(vm, TWO)) == ("", "none")
    vm.run(f"rm {BROKEN}")
    again(vm, TWO)
    probed(vm, TWO)
    assert (vm.driver(TWO), override(vm, TWO)) == ("e1000e", ""), "a removed file's rules live on"


@scenario("of policy files of one name, the one in /etc beats the one in /run, which beats the one in /usr/lib", timeout=180)
def same_name(vm):
    for folder, driver in ((LIB, "vfio-pci"), (RUN, "none"), (ETC, "pci-stub")):
        vm.write(f"{folder}/60-same.conf", rule("same", Name=TWO, Driver=driver))
        trace = again(vm, TWO)
        assert properties(vm, TWO)["_SOURCE"] == f"{folder}/60-same.conf:1"
        assert [e.text for e in trace.read("override", TWO)] == [driver]
        assert {e.text for e in trace.read("probe", TWO)} == {driver} - {"none"}
    vm.run(f"ln -sf /dev/null {ETC}/60-same.conf")
    again(vm, TWO)
    probed(vm, TWO)
    assert vm.driver(TWO) == "e1000e" and not properties(vm, TWO), "masked in /etc, the one in /run counts"
    vm.run(f"rm {LIB}/60-same.conf {RUN}/60-same.conf {ETC}/60-same.conf")


@scenario("policy files of different names are read in the order of their names, whatever their directory")
def by_name(vm):
    vm.write(f"{LIB}/61-early.conf", rule("early", Name=TWO, Driver="none"))
    vm.write(f"{ETC}/62-late.conf",
             rule("late", Name=TWO, Driver="vfio-pci") + rule("later", Name=TWO, Driver="default"))
    again(vm, TWO)
    assert properties(vm, TWO)["_RULE"] == "early" and vm.driver(TWO) == ""
    vm.run(f"mv {LIB}/61-early.conf {LIB}/63-early.conf")
    again(vm, TWO)
    assert properties(vm, TWO)["_RULE"] == "late" and vm.driver(TWO) == "vfio-pci"
