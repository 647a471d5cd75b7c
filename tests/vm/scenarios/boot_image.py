# SPDX-License-Identifier: LGPL-2.1-or-later
"""A boot from a disk, by a boot image that the guest's own generator has made and that has the drivers of all disks: policy is in
force before udev loads the first of them there, whether it comes with the image, the kernel's command line, or a credential."""

import base64

from lab.boot_trace import CMDLINE, BootTrace
from lab.device import ENFORCER, journal, override, record, rule
from lab.guard_unit import (GUARD, PluggedAgain, first_probe, guard_has_taken_over, guard_pid, guard_status, hold_is_active,
                            holds_expired, repetitions)
from lab.machine import NULL_DRIVE, link, program
from lab.scenario import scenario

GIVEN, BARRED, OTHER = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"  # two NVMe disks and a controller with a SATA disk
CHIPSET, ROOT = "0000:00:1f.2", "0000:00:1d.0"  # a SATA controller that has no rule, and the root disk
CARD, PORT = "0000:04:00.0", "0000:00:13.0"  # a card that comes again and again, and what it is below
ETC, LIB = "/etc/driver-overrides.d", "/usr/lib/driver-overrides.d"
POLICY = f"{ETC}/50-disks.conf"

DISKS = dict(
    boot_image=("initramfs-tools", "dracut"), guard=True, lasts=60,
    devices=["nvme,serial=given,drive=one,bus=rp0", "ich9-ahci,id=barred,bus=rp1", "ide-hd,drive=two,bus=barred.0",
             "nvme,serial=other,drive=three,bus=rp2"],
    qemu=[word for ident in ("one", "two", "three") for word in ("-drive", f"if=none,id={ident},{NULL_DRIVE}")])
GIVE, BAR = dict(Name=GIVEN, Driver="vfio-pci"), dict(Name=BARRED, Driver="none")

# Where the kernel's command line has lab.plug, the image loads the card's own driver and begins with it.
PLUG_UNIT = "/etc/systemd/system/lab-plug.service"
PLUG_LINK = PLUG_UNIT.replace("/lab-plug", "/sysinit.target.wants/lab-plug")
PLUG = f"{PluggedAgain.PROGRAM} {PORT} {CARD}"
PLUG_SCRIPT = '#!/bin/sh\n[ "$1" != prereqs ] || exit 0\n'
PLUG_FILES = {
    PluggedAgain.PROGRAM: program("plug-again"),
    "/etc/initramfs-tools/hooks/plug": (
        f"{PLUG_SCRIPT}. /usr/share/initramfs-tools/hook-functions\nmanual_add_modules e1000e\ncopy_exec {PluggedAgain.PROGRAM}\n", 0o755),
    "/etc/initramfs-tools/scripts/init-premount/plug": (
        f"{PLUG_SCRIPT}grep -q lab.plug /proc/cmdline || exit 0\nmodprobe e1000e\nmodprobe vfio-pci\n{PLUG}\n", 0o755),
    "/etc/dracut.conf.d/91-plug.conf": f'add_drivers+=" e1000e "\ninstall_items+=" {PluggedAgain.PROGRAM} {PLUG_UNIT} {PLUG_LINK} "\n',
    PLUG_UNIT: "[Unit]\nDefaultDependencies=no\nAfter=driver-override-guard-relief.service systemd-udevd.service\nIgnoreOnIsolate=yes\n"
               "ConditionPathExists=/etc/initrd-release\nConditionKernelCommandLine=lab.plug\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
               f"KillMode=process\nExecStartPre=-modprobe e1000e\nExecStartPre=-modprobe vfio-pci\nExecStart={PLUG}\n",
    PLUG_LINK: link("../lab-plug.service"),
}

FILES = {
    **PLUG_FILES,
    POLICY: rule("given", **GIVE) + rule("barred", **BAR) + rule("card", Name=CARD, Driver="vfio-pci"),
    f"{LIB}/40-masked.conf": rule("masked", Name=OTHER, Driver="none"),
    f"{ETC}/40-masked.conf": link("/dev/null"),
}

NO_HOLD = {f"/etc/systemd/system/{GUARD}.d/no-hold.conf": "[Service]\nExecStart=\nExecStart=/usr/libexec/driver-override-guard --no-hold\n"}

MACHINES = {
    "policy": dict(DISKS, devices=[*DISKS["devices"], "e1000e,bus=rp3"], cmdline=f"lab.plug {CMDLINE}", files=FILES),
    # The image has no policy.
    "none": dict(DISKS, files=NO_HOLD, boot_image=repetitions(DISKS["boot_image"], ("initramfs-tools", "forky:dracut")),
                 cmdline=f"driver_overrides.rule=Name={GIVEN},Driver=vfio-pci {CMDLINE}",
                 qemu=[*DISKS["qemu"], "-smbios", "type=11,value=io.systemd.credential.binary:driver-overrides.disks="
                       + base64.b64encode(rule("barred", **BAR).encode()).decode()]),
    # udev loads the driver of a virtio disk before any unit of a systemd in the image runs. In those the wait for the root is 50 s.
    "taken": dict(boot_image=repetitions(DISKS["boot_image"], ("initramfs-tools",)), root_disk="nvme", lasts=90,
                  timeout=420, files={POLICY: rule("root", Name=ROOT, Driver="none")}),
    "off": dict(DISKS, boot_image=repetitions(DISKS["boot_image"], ("initramfs-tools",)),
                cmdline=f"driver_overrides=off {CMDLINE}", files=FILES),
}


def in_image(vm, event):
    """Whether it was before the real root's systemd began."""
    return event.time * 1e6 < int(vm.out("systemctl show -P UserspaceTimestampMonotonic"))


def never_touched(vm):
    """By the kernel's trace, which has all of the boot: the host's drivers were there, and did not see the two devices."""
    trace = BootTrace(vm)
    for device, driver in ((OTHER, "nvme"), (CHIPSET, "ahci")):
        probes = trace.read("probe", device)
        assert [e.text for e in probes] == [driver], probes
        assert in_image(vm, probes[0]), f"{driver} came after the boot image"
    assert [e.text for e in trace.read("override", GIVEN)] == ["vfio-pci"], trace.read(device=GIVEN)
    assert [e.text for e in trace.read("probe", GIVEN)] == ["vfio-pci"], trace.read(device=GIVEN)
    assert [e.text for e in trace.read("override", BARRED)] == ["none"], trace.read(device=BARRED)
    assert not trace.read("probe", BARRED), trace.read(device=BARRED)
    assert vm.driver(GIVEN) == "vfio-pci" and vm.driver(BARRED) == "" and override(vm, BARRED) == "none"
    return trace


@scenario("a card that comes again and again from the boot image on is never probed by another driver, in the image, during the switch of "
          "root, or after it", "policy", timeout=600)
def plugged_all_through(vm):
    plugged = PluggedAgain(vm, CARD, begin=False)
    guard_has_taken_over(vm)
    guard = float(vm.out("cut -d ' ' -f 1 /proc/uptime"))
    plugged.more(repetitions(50, 2))
    plugged.end()
    assert first_probe(vm, CARD) == "guaranteed"
    trace = BootTrace(vm)
    assert "e1000e" in trace.modules()
    probes, written = trace.read("probe", CARD), trace.read("override", CARD)
    # The first time, before that module was loaded, is the sweep's.
    lost = [e for e in probes if e.text != "vfio-pci"]
    assert len(lost) <= holds_expired(vm), lost
    assert {e.text for e in written} == {"vfio-pci"} and written[0].time < probes[0].time
    phases = [sum(in_image(vm, e) for e in probes), 0, sum(e.time >= guard for e in probes)]
    phases[1] = len(probes) - sum(phases)
    vm.note(f"# {CARD} came {len(probes)} times: in the image, then before and after the real root's guard held: {phases}")
    assert all(phases) and len(probes) >= plugged.count(), (phases, plugged.count())


@scenario("with policy in the boot image nvme and ahci, which are loaded there, never probe the devices with other drivers", "policy")
def by_files(vm):
    trace = never_touched(vm)
    assert in_image(vm, trace.read("override", BARRED)[0])
    assert in_image(vm, trace.read("probe", GIVEN)[0]), "vfio-pci was not in the image"
    assert vm.out("findmnt -no SOURCE,FSTYPE /").split() == ["/dev/vda", "ext4"]


@scenario("records of the boot image are those of the real root, and claim what was seen", "policy")
def records(vm):
    for device in (GIVEN, BARRED):
        found = record(vm, device)
        assert (found["STATE"], found["FIRST_PROBE"]) == ("enforced", "won"), found
        assert found["SOURCE"].startswith(POLICY + ":"), found


@scenario("the boot image's guard goes on over the switch of root until the boot is over and that of the real root holds, and ends then", "policy")
def handed_over(vm):
    guard_has_taken_over(vm)
    said = vm.out("journalctl --sync; journalctl -b --no-pager -o cat -t driver-override-guard").splitlines()
    assert [line for line in said if "the system has another root" in line], said
    # A hold that was given up on a starved host is nothing that the next guard waits beside.
    waited = [line for line in said if "holds by the same policy until the boot is over" in line]
    assert waited or holds_expired(vm), said
    assert not waited or [line for line in said if "taking over from the guard before this one" in line], said
    vm.wait_for(f"test \"$(pgrep -f driver-override-guard)\" = {guard_pid(vm)}")
    assert hold_is_active(guard_status(vm)), guard_status(vm)


@scenario("the image has the policy's digest, which is that of the disk, and the kernel's note says so", "policy")
def digest(vm):
    told = vm.out(f"cat /run/driver-overrides/image-digest; echo; {ENFORCER} image digest; "
                  "sed -n s/^digest=//p /var/lib/driver-overrides/images/$(uname -r)").split()
    assert len(told) == 3 and len(set(told)) == 1, told


@scenario("in an image of initramfs-tools the script that enforces policy comes before udev's", "policy", generators=["initramfs-tools"])
def order(vm):
    vm.run("unmkinitramfs /boot/initrd.img-$(uname -r) /run/lab/image", 240)
    lines = vm.out("cat /run/lab/image/scripts/init-top/ORDER").splitlines()
    scripts = [line.split()[0].rpartition("/")[2] for line in lines if line.startswith("/scripts/")]
    assert {"driver-overrides", "udev"} <= set(scripts) and scripts.index("driver-overrides") < scripts.index("udev"), scripts
    assert vm.out(f"readlink /run/lab/image{ETC}/40-masked.conf") == "/dev/null"


def hook_in(vm, folder):
    """Runs our hook of initramfs-tools as mkinitramfs does, for an image in this folder."""
    vm.run(f"mkdir -p {folder}/usr/lib; ln -s usr/lib {folder}/lib\nexport DESTDIR={folder} CONFDIR=/etc/initramfs-tools verbose=n "
           "version=$(uname -r)\n/usr/share/initramfs-tools/hooks/driver-overrides", 120)
    return set(vm.out(f"cd {folder}; find . -type f -o -type l").replace("./", "/").split())


UDEV_RULES, GUARD_PROGRAM = "udev/rules.d/05-driver-overrides.rules", "/usr/libexec/driver-override-guard"


@scenario("initramfs-tools: a rule of /etc replaces ours, a policy link is followed, and DRIVER_OVERRIDES_GUARD=no leaves the guard out",
          "policy", generators=["initramfs-tools"])
def hook_replaced(vm):
    files = {f"/etc/{UDEV_RULES}": "# replaced\n", f"{ETC}/70-link.conf": link("/run/lab/linked"), "/run/lab/linked": "# linked\n",
             "/etc/initramfs-tools/conf.d/driver-overrides": "DRIVER_OVERRIDES_GUARD=no\n"}
    for path, what in files.items():
        vm.place(path, what)
    found = hook_in(vm, "/run/lab/replaced")
    vm.run("rm " + " ".join(files))
    assert vm.out(f"cat /run/lab/replaced/usr/lib/{UDEV_RULES} /run/lab/replaced{ETC}/70-link.conf").split() == "# replaced # linked".split()
    assert ENFORCER in found and not [path for path in found if "guard" in path or "libbpf" in path], found


@scenario("initramfs-tools: masked in /etc, neither our udev rule nor the guard is in the image", "policy", generators=["initramfs-tools"])
def hook_masked(vm):
    unit = "/etc/systemd/system/driver-override-guard.service"
    vm.run(f"ln -s /dev/null /etc/{UDEV_RULES}; ln -s /dev/null {unit}")
    found = hook_in(vm, "/run/lab/masked")
    vm.run(f"rm /etc/{UDEV_RULES} {unit}")
    assert {ENFORCER, POLICY} <= found and not {GUARD_PROGRAM, f"/usr/lib/{UDEV_RULES}"} & found, found
    assert GUARD_PROGRAM in hook_in(vm, "/run/lab/plain")


@scenario("rules of the command line and of a credential are in force in an image that has no policy, and are the real root's, too", "none")
def by_boot(vm):
    trace = never_touched(vm)
    for device in (GIVEN, BARRED):
        assert in_image(vm, trace.read("override", device)[0])
        assert record(vm, device)["FIRST_PROBE"] == "won", record(vm, device)
    assert vm.out("ls /run/driver-overrides.d").split() == ["00-command-line.conf", "00-credential-disks.conf"]
    assert not vm.out(f"ls {ETC}")


@scenario("with --no-hold for the real root's guard, that of the boot image ends as soon as it is there, and not when the boot is over", "none")
def no_hold(vm):
    guard_has_taken_over(vm)
    said = vm.out("journalctl --sync; journalctl -b --no-pager -o cat -t driver-override-guard")
    assert "the system has another root" in said and "until the boot is over" not in said, said
    assert guard_status(vm)["HOLD"].startswith("turned off"), guard_status(vm)


@scenario("a policy that takes the root disk in the image is given up there, and the boot goes on in the same boot", "taken")
def taken(vm):
    assert (vm.driver(ROOT), override(vm, ROOT)) == ("nvme", "")
    assert len(journal(vm, "the root file system has not come")) == 1, journal(vm, "")


@scenario("booted with driver_overrides=off, no program in the boot image writes an override, and nvme and ahci probe as without it", "off", guests=["debian12"])
def off(vm):
    trace = BootTrace(vm)
    assert not trace.read("override"), trace.read("override")
    for device, driver in ((GIVEN, "nvme"), (BARRED, "ahci")):
        probes = trace.read("probe", device)
        assert [e.text for e in probes] == [driver] and in_image(vm, probes[0]), probes
        assert (vm.driver(device), override(vm, device)) == (driver, "")
    assert vm.run("test -e /run/driver-overrides", check=False).rc == 1
    said = vm.out("journalctl -b -o short-monotonic -t driver-override | grep driver_overrides=off").splitlines()
    began = int(vm.out("systemctl show -P UserspaceTimestampMonotonic")) / 1e6
    times = [float(line.strip("[").split("]")[0]) for line in said]
    assert any(time < began for time in times) and any(time > began for time in times), (began, said)
