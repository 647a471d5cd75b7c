# SPDX-License-Identifier: LGPL-2.1-or-later
"""A device is moved from its driver to the decided one while the system runs, unless somebody uses it."""

import contextlib

from lab import device_users
from lab.device import ENFORCER, loaded, override, path, record, rule, settle, traced, unload, uptime
from lab.machine import program
from lab.scenario import scenario

NIC, DISK, SHARED = "0000:02:00.0", "0000:03:00.0", "0000:04:00.0"
CARD, PORT = "0000:01:00.0", "0000:00:10.0"  # the one below the other
CONF = "/etc/driver-overrides.d/50-rebind.conf"
KEYS = ["STATE", "REASON", "ERROR", "DRIVER", "OVERRIDE", "DECISION", "CHANGED"]


MACHINE = dict(
    lasts=120,
    # The second disk belongs to an NVMe subsystem, so the kernel makes a multipath head for it.
    plugged=["e1000e,bus=rp1", "nvme,bus=rp2,serial=one,drive=d0",
             "nvme,id=shared,subsys=sub0,bus=rp3,serial=two",
             "nvme-ns,bus=shared,drive=d1", "bochs-display,bus=rp0"],
    drives=["d0", "d1"],
    written={"/usr/local/bin/hold-vfio": program("hold-vfio")},
    # Disks that are taken away while they are in use, on purpose.
    kernel_log=[r"EXT4-fs|Buffer I/O|JBD2|nvme"])


def rebind(vm, device, *options):
    """The answer as a dictionary; with the exit status as "rc"."""
    result = vm.run(f"{ENFORCER} rebind {' '.join(options)} {device} 2>/dev/null", 200, check=False)
    pairs = [line.split("=", 1) for line in result.out.splitlines()]
    found = dict(pairs)
    assert [key for key, _ in pairs] == [key for key in KEYS if key in found], result.out
    assert set(KEYS) - set(found) <= {"ERROR"}, result.out
    assert result.rc == (1 if "ERROR" in found else 0), result
    return found


def look(vm, device):
    """Its driver, its override and its inode, in one go."""
    driver, text, number = vm.out(
        f"cd {path(device)}; basename $(readlink driver || echo -); cat driver_override; stat -c %i .").splitlines()
    return "" if driver == "-" else driver, "" if text == "(null)" else text, number


def done(vm, device, state, driver, text, *options):
    """Asserts that it is done, and that it is then so."""
    answer = rebind(vm, device, *options)
    assert (answer["STATE"], answer.get("ERROR"), answer["DRIVER"], answer["OVERRIDE"]) == (state, None, driver, text), answer
    assert look(vm, device)[:2] == (driver, text), answer
    return answer


def refused(vm, device, error, reason):
    """Asserts that it is refused, and that the device is as before."""
    before = look(vm, device)
    answer = rebind(vm, device)
    assert (answer.get("ERROR"), answer["CHANGED"]) == (error, "0"), answer
    assert answer["REASON"] == reason, answer
    assert look(vm, device) == before
    assert record(vm, device)["REASON"] == reason, record(vm, device)
    return answer


def give_back(vm, device, driver):
    """Without its rule a device goes back to its own driver."""
    vm.run(f"rm -f {CONF}")
    answer = rebind(vm, device, "--rebind force")
    assert (answer["STATE"], answer["DRIVER"], answer["OVERRIDE"]) == ("unmanaged", driver, ""), answer
    assert not record(vm, device)
    settle(vm)


def in_use(vm, device, reason, driver):
    vm.write(CONF, rule("x", Name=device, Driver="none"))
    answer = refused(vm, device, "InUse", f"in use: {reason}")
    assert answer["STATE"] == "blocked" and answer["DRIVER"] == driver, answer


def in_use_until_forced(vm, device, reason, driver):
    """Refused with this reason, done by force, and back to its own driver."""
    in_use(vm, device, reason, driver)
    done(vm, device, "enforced", "", "none", "--rebind force")
    give_back(vm, device, driver)


@scenario("rebind moves a network card from e1000e to vfio-pci, loading its module, and Driver=default moves it back")
def there_and_back(vm):
    unload(vm, "vfio-pci")
    vm.write(CONF, rule("nic", Name=NIC, Driver="vfio-pci"))
    trace = traced(vm)
    answer = rebind(vm, NIC, "--dry-run")
    assert (answer["STATE"], answer["DRIVER"], answer["CHANGED"]) == ("enforced", "e1000e", "1"), answer
    assert not trace.read("override", NIC) and not loaded(vm, "vfio-pci") and vm.driver(NIC) == "e1000e"
    done(vm, NIC, "enforced", "vfio-pci", "vfio-pci")
    assert [e.text for e in trace.read("override", NIC)] == ["vfio-pci"]
    assert [e.text for e in trace.read("probe", NIC)] == ["vfio-pci"]
    assert record(vm, NIC)["SET"] == "vfio-pci" and record(vm, NIC)["STATE"] == "enforced"

    trace = traced(vm)
    assert done(vm, NIC, "enforced", "vfio-pci", "vfio-pci")["CHANGED"] == "0"
    assert not trace.read("override", NIC) and not trace.read("probe", NIC) and not trace.read("uevent", NIC)

    vm.write(CONF, rule("nic", Name=NIC, Driver="default"))
    trace = traced(vm)
    done(vm, NIC, "enforced", "e1000e", "")
    assert [e.text for e in trace.read("override", NIC)] == ["\n"]
    assert [e.text for e in trace.read("probe", NIC)] == ["e1000e"]
    assert done(vm, NIC, "enforced", "e1000e", "")["CHANGED"] == "0"


@scenario("rebind loads the device's own driver again when its module was unloaded meanwhile")
def own_module(vm):
    vm.write(CONF, rule("nic", Name=NIC, Driver="vfio-pci"))
    done(vm, NIC, "enforced", "vfio-pci", "vfio-pci")
    unload(vm)
    give_back(vm, NIC, "e1000e")


@scenario("rebind to a driver that does not exist fails with NoSuchDriver, and the device is as before")
def no_driver(vm):
    vm.write(CONF, rule("nic", Name=NIC, Driver="no-such-driver"))
    trace = traced(vm)
    refused(vm, NIC, "NoSuchDriver",
            "there is no driver no-such-driver on bus pci, and module no-such-driver cannot be loaded: Module no-such-driver not found in directory /lib/modules/" + vm.out("uname -r"))
    assert not trace.read("override", NIC) and not [e for e in trace.read("uevent", NIC) if e.text == "unbind"]
    vm.run(f"rm {CONF}")


@scenario("rebind to a driver that refuses the device tells the reason and gives the device back to its own driver")
def refusing_driver(vm):
    vm.write(CONF, rule("nic", Name=NIC, Driver="virtio-pci"))
    answer = rebind(vm, NIC)
    assert (answer["STATE"], answer.get("ERROR"), answer["DRIVER"], answer["OVERRIDE"]) == ("failed", "Failed", "e1000e", ""), answer
    assert answer["REASON"] == "probing by virtio-pci: No such device; it is back with e1000e", answer
    assert vm.driver(NIC) == "e1000e" and record(vm, NIC)["STATE"] == "failed"
    vm.run(f"rm {CONF}")


@scenario("rebind refuses to replace a foreign override, and replaces it with --overwrite")
def foreign(vm):
    vm.run(f"echo pci-stub >{path(NIC)}/driver_override")
    vm.write(CONF, rule("nic", Name=NIC, Driver="vfio-pci"))
    refused_answer = rebind(vm, NIC, "--rebind force")
    assert (refused_answer["STATE"], refused_answer["ERROR"]) == ("foreign", "Foreign"), refused_answer
    assert (vm.driver(NIC), override(vm, NIC)) == ("e1000e", "pci-stub")
    done(vm, NIC, "enforced", "vfio-pci", "vfio-pci", "--overwrite")
    give_back(vm, NIC, "e1000e")


@scenario("rebind refuses a PCI bridge that has a device below it")
def bridge(vm):
    vm.write(CONF, rule("port", Name=PORT, Driver="none"))
    refused(vm, PORT, "InUse", f"in use: it is a PCI bridge, with {CARD} below it")
    vm.run(f"rm {CONF}")


@scenario("rebind gives a disk that nobody uses to vfio-pci and back")
def unused_disk(vm):
    for device in (DISK, SHARED):
        device_users.disk_of(vm, device)
        vm.write(CONF, rule("disk", Name=device, Driver="vfio-pci"))
        done(vm, device, "enforced", "vfio-pci", "vfio-pci")
        give_back(vm, device, "nvme")


@scenario("rebind refuses a disk with a mounted file system, and moves it by force", timeout=600)
def mounted(vm):
    name = device_users.disk_of(vm, DISK)
    with device_users.mounted(vm, name, "/mnt/a b") as reason:
        in_use_until_forced(vm, DISK, reason, "nvme")


@scenario("rebind refuses a disk with a mounted partition, and moves it by force", timeout=600)
def mounted_partition(vm):
    name = device_users.disk_of(vm, DISK)
    # One partition, of type Linux, 2048 sectors from the start and 65536 long.
    vm.run(f"printf '\\0\\0\\0\\0\\x83\\0\\0\\0\\0\\x8\\0\\0\\0\\0\\1\\0\\x55\\xaa' >/run/lab/table\n"
           f"dd if=/run/lab/table of=/dev/{name} bs=1 seek=446 count=16 conv=notrunc status=none\n"
           f"dd if=/run/lab/table of=/dev/{name} bs=1 skip=16 seek=510 conv=notrunc status=none\n"
           f"blockdev --rereadpt /dev/{name}; udevadm settle; mkfs.ext4 -q /dev/{name}p1; mount -t ext4 /dev/{name}p1 /mnt", 120)
    in_use_until_forced(vm, DISK, f"/dev/{name}p1 is mounted on /mnt", "nvme")
    vm.run("umount -l /mnt")
    name = device_users.disk_of(vm, DISK)
    vm.run(f"dd if=/dev/zero of=/dev/{name} bs=512 count=1 conv=notrunc status=none; blockdev --rereadpt /dev/{name}")


@scenario("rebind refuses a disk whose multipath head is mounted, and moves it by force", timeout=600)
def mounted_head(vm):
    name = device_users.disk_of(vm, SHARED)
    assert not vm.run(f"test -e {path(SHARED)}/nvme/nvme*/{name}", check=False).rc == 0, "no multipath head"
    with device_users.mounted(vm, name) as reason:
        in_use_until_forced(vm, SHARED, reason, "nvme")


@scenario("rebind refuses a disk that is swap, and moves it by force", timeout=600)
def swap(vm):
    with device_users.swap(vm, device_users.disk_of(vm, DISK)) as reason:
        in_use_until_forced(vm, DISK, reason, "nvme")


@scenario("rebind refuses a disk under device mapper, and moves it by force", timeout=600)
def device_mapper(vm):
    with device_users.device_mapper(vm, device_users.disk_of(vm, DISK)) as reason:
        in_use_until_forced(vm, DISK, reason, "nvme")


@scenario("rebind refuses a disk that is mounted in another mount namespace only, and moves it by force", timeout=600)
def mount_namespace(vm):
    with device_users.mount_namespace(vm, device_users.disk_of(vm, DISK)) as reason:
        in_use_until_forced(vm, DISK, reason, "nvme")


@scenario("rebind refuses a disk that is mounted in a mount namespace without a process, and moves it by force", timeout=600)
def mount_namespace_without_process(vm):
    name = device_users.disk_of(vm, DISK)
    vm.run(f"mkfs.ext4 -q -F /dev/{name}", 120)
    vm.run("mkdir -p /run/ns; mount --bind /run/ns /run/ns; mount --make-private /run/ns; touch /run/ns/m\n"
           f"unshare --mount=/run/ns/m --propagation private mount -t ext4 /dev/{name} /mnt\n"
           "sleep 1; udevadm settle --timeout=60")  # which looks into what mkfs has closed
    in_use_until_forced(
        vm, DISK, f"/dev/{name} is mounted in another mount namespace, or opened exclusively", "nvme")
    vm.run("umount /run/ns/m; umount /run/ns")


@scenario("rebind moves a network card whose interface has only link-local addresses")
def link_local(vm):
    name = device_users.interface_of(vm, NIC)
    vm.run(f"ip link set {name} up; ip address add 169.254.3.4/16 dev {name}; ip address add fe80::1234/64 dev {name}")
    vm.write(CONF, rule("nic", Name=NIC, Driver="none"))
    done(vm, NIC, "enforced", "", "none")
    give_back(vm, NIC, "e1000e")


@scenario("rebind refuses a network card whose interface has an address, and moves it by force")
def address(vm):
    name = device_users.interface_of(vm, NIC)
    vm.run(f"ip address add 2001:db8::7/64 dev {name}")
    in_use(vm, NIC, f"{name} has the address 2001:db8::7", "e1000e")
    with device_users.address(vm, name) as reason:
        # A caller that only asks is told the same.
        assert rebind(vm, NIC, "--dry-run")["REASON"] == f"in use: {reason}"
        in_use_until_forced(vm, NIC, reason, "e1000e")


@scenario("rebind refuses a network card whose interface has a route in any table, and moves it by force")
def route(vm):
    name = device_users.interface_of(vm, NIC)
    vm.run(f"ip link set {name} up")
    for text, reason in ((f"default dev {name} table 100", "the default route"),
                         (f"2001:db8:1::/48 dev {name}", "a route to 2001:db8:1::/48"),
                         (f"10.2.0.0/16 nexthop dev lo nexthop dev {name}", "a route to 10.2.0.0/16")):
        vm.run(f"ip route add {text}")
        in_use(vm, NIC, f"{name} has {reason}", "e1000e")
        vm.run(f"ip route del {text}")
    vm.run(f"ip route add 10.1.0.0/16 dev {name}")
    in_use_until_forced(vm, NIC, f"{name} has a route to 10.1.0.0/16", "e1000e")


@scenario("rebind refuses a network card that is a port of a bridge, and moves it by force")
def bridged(vm):
    with device_users.bridge(vm, device_users.interface_of(vm, NIC)) as reason:
        in_use_until_forced(vm, NIC, reason, "e1000e")


@scenario("rebind refuses a network card whose interface is in a named network namespace, and moves it by force")
def named_namespace(vm):
    with device_users.network_namespace(vm, device_users.interface_of(vm, NIC)) as reason:
        assert vm.out(f"ls {path(NIC)}/net") == "", "it still shows, so nothing is shown here"
        in_use_until_forced(vm, NIC, reason, "e1000e")


@scenario("rebind refuses a network card whose interface is in the network namespace of a process, and moves it by force")
def process_namespace(vm):
    name = device_users.interface_of(vm, NIC)
    vm.run("unshare -n sleep 10000 >/dev/null 2>&1 & echo $! >/run/holder")
    pid = vm.out("cat /run/holder")
    vm.wait_for(f"grep -q sleep /proc/{pid}/comm")
    vm.run(f"ip link set {name} netns {pid}")
    in_use_until_forced(vm, NIC, f"{name} is in the network namespace of sleep (process {pid})", "e1000e")
    vm.run(f"kill {pid}")


@scenario("rebind refuses a graphics card whose DRM device is open, and moves it by force")
def drm(vm):
    node = vm.wait_for(f"ls -d {path(CARD)}/drm/card*").rsplit("/", 1)[1]
    vm.run(f"bash -c 'exec 3</dev/dri/{node}; exec sleep 10000' >/dev/null 2>&1 & echo $! >/run/holder")
    pid = vm.out("cat /run/holder")
    vm.wait_for(f"grep -q sleep /proc/{pid}/comm")
    driver = vm.driver(CARD)
    in_use_until_forced(vm, CARD, f"/dev/dri/{node} is open in sleep (process {pid})", driver)
    vm.run(f"kill {pid}")


@contextlib.contextmanager
def held(vm):
    """The card at vfio-pci and a process that has it; why it is in use. Its rule is to give it back."""
    vm.write(CONF, rule("nic", Name=NIC, Driver="vfio-pci"))
    done(vm, NIC, "enforced", "vfio-pci", "vfio-pci")
    with device_users.vfio(vm, NIC) as reason:
        vm.write(CONF, rule("nic", Name=NIC, Driver="default"))
        yield reason


@scenario("rebind refuses a VFIO device that a process has open, and names the process")
def vfio(vm):
    with held(vm) as reason:
        refused(vm, NIC, "InUse", f"in use: {reason}")
        # Also where the process cannot be seen, as from a container.
        answer = vm.run(f"unshare --pid --fork --mount-proc {ENFORCER} rebind --dry-run {NIC}", check=False)
        unseen = reason.replace(reason[reason.index("hold-vfio"):], "a process that cannot be seen from here")
        assert f"REASON=in use: {unseen}" in answer.out, answer
    done(vm, NIC, "enforced", "e1000e", "")
    vm.run(f"rm {CONF}")


@scenario("a forced rebind of an open VFIO device ends as stuck within its deadline, delays no other device, and "
          "recovers when the process ends",
          timeout=600)
def stuck(vm):
    with held(vm):
        begun = uptime(vm)
        answer = rebind(vm, NIC, "--rebind force --timeout 6")
        # The kernel takes the `driver` link away before it asks the driver to give the device up.
        assert (answer["STATE"], answer["ERROR"], answer["DRIVER"]) == ("stuck", "Stuck", ""), answer
        assert "(unbind)" in answer["REASON"] and "did not come back" in answer["REASON"], answer
        assert uptime(vm) - begun < 60
        assert record(vm, NIC)["STATE"] == "stuck"
        left = vm.out("pgrep -x driver-override")
        assert len(left.split()) == 1, left

        # A second one is not sent after it, and other devices are not kept waiting.
        answer = rebind(vm, NIC, "--rebind force --timeout 2")
        assert (answer["STATE"], answer["ERROR"]) == ("stuck", "Stuck") and "another rebind" in answer["REASON"], answer
        vm.write(CONF, rule("nic", Name=NIC, Driver="default") + rule("disk", Name=DISK, Driver="none"))
        done(vm, DISK, "enforced", "", "none")
        assert vm.out("pgrep -x driver-override") == left

    vm.wait_for(f"! test -e /proc/{left}")
    done(vm, NIC, "enforced", "e1000e", "")
    assert record(vm, NIC)["STATE"] == "enforced"
    give_back(vm, DISK, "nvme")
