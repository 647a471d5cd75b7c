# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the Debian package, and an installation from source, do to a running machine that has dpkg, apt and a boot image."""

import io
import os
import re
import tarfile
import tempfile

from lab import build, command_line, deb
from lab.boot_again import reboot
from lab.device import drivers, override, path, plug, probed, record, remove, rescan
from lab.guard_unit import GUARD, device_lives, first_probe, guard_pid, repetitions
from lab.scenario import scenario
from lab.trace import Trace, first_driver

# Where the build under test is to come as a package, and nothing of it is there before: each distribution with its own generator.
# docs/results/packages.md has when forky, which takes minutes more, was tried last.
MACHINE = dict(boot_image=("debian12:initramfs-tools", *repetitions(("forky:dracut",), ())), overlay=False, guard=True, service=True, lasts=300)

NIC, OTHER = "0000:01:00.0", "0000:02:00.0"
SET = f"/etc/driver-overrides.d/10-set-pci-{NIC}.conf"
LISTED = "/var/tmp/files-before"
# What systemd, dpkg, the kernel, this lab and the boot image's own program write of their own accord.
LIST = (r"find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /var/lib/dpkg -o -path /var/cache -o -path /var/log "
        r"-o -path /var/lib/apt -o -path /tmp -o -path '/var/tmp/*' -o -path /root -o -path /boot -o -path /var/lib/initramfs-tools "
        r"-o -path /var/lib/systemd -o -path /etc/ld.so.cache \) -prune -o -print | sort")
TIMES = 3  # a card comes and goes at least so often beside an upgrade


def readme(heading, number):
    """The commands of the block of that number below a heading of README.md."""
    with open(os.path.join(deb.TOP, "README.md"), encoding="utf-8") as stream:
        section = stream.read().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)
    return [line.strip() for line in blocks[number].splitlines()]


def typed(vm, command):
    """As a person at a shell in root's folder: what it prints."""
    return vm.out(f"cd /root; {command}", timeout=300)


def overrides(vm):
    return vm.out("for file in /sys/bus/*/devices/*/driver_override; do read -r value <$file || continue\n"
                  "case $value in '(null)'|'') ;; *) echo $file $value;; esac; done")


def give(vm, name, source):
    with open(source, "rb") as stream:
        vm.write(f"/root/{name}", stream.read())


@scenario("README's first minute with the package, typed as it is written: the guard runs and no device is changed before policy "
          "is set, then the card is with VFIO", timeout=1200)
def first_minute(vm):
    plug(vm, 1, OTHER, "e1000e")  # the only network card of a machine would not be given away
    plug(vm, 0, NIC, "e1000e")
    # Making it takes minutes of emulation, and boot_image shows what is in it.
    vm.run("mkdir -p /etc/initramfs-tools; echo update_initramfs=no >>/etc/initramfs-tools/update-initramfs.conf")
    before = drivers(vm)
    vm.run(f"{LIST} >{LISTED}")
    package = deb.deb(deb.package())
    give(vm, os.path.basename(package), package)
    commands = readme("The first minute", 0)
    assert len(commands) == 5 and commands[0].startswith("apt install"), commands
    said = typed(vm, commands[0])
    assert re.search("Processing triggers for (initramfs-tools|dracut)", said), said
    assert vm.out(f"systemctl is-active {GUARD} driver-overrides-sweep.service").split() == ["active"] * 2
    assert vm.run("systemctl is-active driver-overrided.service", check=False).out.strip() == "inactive"
    assert (drivers(vm), overrides(vm)) == (before, "")
    assert NIC in typed(vm, commands[1]) and NIC in typed(vm, commands[2])
    assert "enforced" in typed(vm, commands[3])
    assert vm.driver(NIC) == "vfio-pci"
    shown = typed(vm, commands[4])
    assert re.search(r"vfio-pci", shown) and re.search(r"enforced", shown), shown
    vm.run(f"test -s {SET}")


@scenario("after that, a card whose driver is loaded has no other driver first when it is plugged again")
def plugged_again(vm):
    vm.run("modprobe e1000e")
    trace = Trace(vm).start()
    remove(vm, NIC)
    rescan(vm, NIC)
    probed(vm, NIC)
    assert first_probe(vm, NIC) == "guaranteed", record(vm, NIC)
    assert first_driver(trace.read(device=NIC)) == "vfio-pci"


def plugged_in_a_loop(vm):
    """A job: the card comes and goes until /run/lab/enough is there; prints how often."""
    return vm.spawn(f"rm -f /run/lab/enough; mkdir -p /run/lab; n=0\nwhile [ ! -e /run/lab/enough ] || [ $n -lt {TIMES} ]; do\n"
                    f"  echo 1 >{path(NIC)}/remove; echo 1 >/sys/bus/pci/rescan\n"
                    f"  for i in $(seq 300); do [ ! -e {path(NIC)}/driver ] || break; sleep 0.1; done; n=$((n + 1)); done; echo $n")


def changed_beside_plugs(vm, install):
    """Runs an installation while a card is plugged in a loop whose own driver is loaded: it never gets it first."""
    trace = Trace(vm)
    trace.clear()
    old = guard_pid(vm)
    loop = plugged_in_a_loop(vm)
    said = vm.run(install, timeout=400).out
    vm.run("touch /run/lab/enough")
    plugs = int(loop.wait(120).out.split()[-1])
    probed(vm, NIC)
    assert guard_pid(vm) not in (0, old), "the guard was not restarted"
    lives = device_lives(trace.read(device=NIC))
    assert len(lives) == plugs >= TIMES, (len(lives), plugs)
    assert [first_driver(life) for life in lives] == ["vfio-pci"] * plugs
    return said


@scenario("upgraded to a newer build and back while a card is plugged in a loop, the card never gets another driver first; policy stays, "
          "and no other device is moved", timeout=1200)
def upgraded(vm):
    before = drivers(vm)
    pid = vm.out("systemctl show -P MainPID driver-overrided.service")
    with tempfile.TemporaryDirectory() as work:
        give(vm, "newer.deb", deb.newer(deb.deb(deb.package()), "0.1.0-2", work))
    for package in ("newer.deb", "driver-overrides_*.deb"):
        changed_beside_plugs(vm, f"dpkg -i /root/{package}")
        assert drivers(vm) == before
        vm.run(f"test -s {SET}")
    assert vm.out("systemctl show -P MainPID driver-overrided.service") not in ("0", pid)
    assert typed(vm, "overridectl show 01:00.0 | grep -c enforced") != "0"


@scenario("after a reboot the card is with VFIO again, and no other driver has had it before", timeout=600)
def rebooted(vm):
    vm.write("/etc/modules-load.d/lab.conf", "e1000e\n")
    reboot(vm)
    vm.run("udevadm settle; rm /etc/modules-load.d/lab.conf")
    assert (vm.driver(NIC), vm.driver(OTHER)) == ("vfio-pci", "e1000e")
    assert first_probe(vm, NIC) in ("won", "guaranteed"), record(vm, NIC)
    assert "enforced" in typed(vm, "overridectl show 01:00.0")


@scenario("removed, the package gives nothing back by itself and lists what keeps its override; nothing of it runs", timeout=600)
def removed(vm):
    said = vm.run("dpkg -r driver-overrides", timeout=300).out
    assert NIC in said and "overridectl release --all" in said, said
    assert (vm.driver(NIC), override(vm, NIC)) == ("vfio-pci", "vfio-pci")
    assert vm.out("systemctl list-units --no-legend --all 'driver-override*' | grep -v not-found || true") == ""
    assert vm.run("pgrep -fl driver-override", check=False).out == ""


@scenario("installed again where there is policy, the package lists the device that is not as decided, and it is moved", timeout=600)
def policy_first(vm):
    # As after a boot without the package.
    vm.run(f"rm -rf /run/driver-overrides; cd {path(NIC)}; echo >driver_override; echo {NIC} >driver/unbind; echo {NIC} >/sys/bus/pci/drivers_probe")
    assert vm.driver(NIC) == "e1000e"
    said = vm.run("dpkg -i /root/driver-overrides_*.deb", timeout=300).out
    assert re.search(rf"{NIC} +e1000e .*vfio", said), said
    vm.wait_for(f"[ $(basename $(readlink {path(NIC)}/driver)) = vfio-pci ]")


@scenario("after `overridectl release --all`, a purge leaves no file, unit, link, property or override, and each device has its own driver; "
          "a file that a person wrote stays", timeout=600)
def purged(vm):
    vm.write("/etc/driver-overrides.d/50-mine.conf", "[device mine]\nName=0000:77:00.0\nDriver=none\n")
    vm.run("modprobe e1000e; overridectl release --all")
    assert vm.driver(NIC) == "e1000e"
    vm.run("dpkg --purge driver-overrides", timeout=300)
    vm.run("udevadm settle")
    assert overrides(vm) == ""
    assert vm.out("grep -l DRIVER_OVERRIDE /run/udev/data/* || true") == ""
    assert vm.out("systemctl list-units --no-legend --all 'driver-override*' | grep -v not-found || true") == ""
    assert vm.driver(NIC) == "e1000e"
    left = set(vm.out(f"{LIST} | comm -13 {LISTED} -").splitlines())
    ours = {name for name in left if "override" in name} - {"/etc/driver-overrides.d", "/etc/driver-overrides.d/50-mine.conf"}
    assert not ours and "/etc/driver-overrides.d/50-mine.conf" in left, sorted(left)
    assert not [name for name in left if not name.startswith(("/run/", "/etc/driver-overrides.d"))], sorted(left)
    vm.run("rm -r /etc/driver-overrides.d")


def roots_own(member):
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def installed_tree(build_dir):
    """What `meson install` puts on a machine, as an archive."""
    with tempfile.TemporaryDirectory() as root:
        build.install(build_dir, root, "--strip")
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for name in sorted(os.listdir(root)):
                tar.add(os.path.join(root, name), name, filter=roots_own)
        return out.getvalue()


@scenario("README's first minute from source, typed as it is written after `make && make install`: the card is with VFIO", timeout=600)
def from_source(vm):
    commands = readme("The first minute", 1)
    assert commands[0] == "make && make install" and len(commands) == 5, commands
    vm.write("/root/installed.tar.gz", installed_tree(os.environ[command_line.BUILD]))
    vm.run("tar -C / --keep-directory-symlink -xf /root/installed.tar.gz")
    for command in commands[1:4]:
        typed(vm, command)
    assert vm.driver(NIC) == "vfio-pci"
    assert "enforced" in typed(vm, commands[4])
