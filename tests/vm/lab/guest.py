#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes guest images (a Debian release's kernel, and a root file system as one cpio archive) and keeps them in a cache.

Trust: mmdebstrap verifies the archive's signature with the keys this machine has for its own packages
(debian-archive-keyring; Debian 12's holds the keys of trixie and of the archive's automatic key that signs forky).
Nothing is fetched unverified: a machine whose keyring is too old fails here and wants a newer debian-archive-keyring.
"""

import json
import os
import subprocess
import sys
import tarfile

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from lab import archive, store, unpacked
else:
    from . import archive, store, unpacked

KERNEL = "linux-image-amd64"
PACKAGES = """systemd systemd-sysv udev dbus polkitd kmod linux-image-amd64 libbpf1 libinih1 libjson-c5 libudev1 libkmod2
    libsmartcols1 pciutils iproute2 procps util-linux e2fsprogs dmsetup driverctl openssh-server""".split()

# An expired "Valid-Until" is accepted where a mirror may be a frozen copy of a release that is still moving. That gives
# up the protection against an old copy being replayed; the signature still counts, and the guest is thrown away.
GUESTS = {
    "debian12": dict(suite="bookworm"),
    "debian13": dict(suite="trixie"),
    # Its openssh-server does not depend on openssh-client any more.
    "forky": dict(suite="forky", expired=True, packages=["openssh-client"]),
}

# The same with a kernel that was built with PREEMPT_RT. These are for measurements and are asked for by their names: neither "all" nor CI
# has them.
RT_GUESTS = {f"{name}-rt": dict(entry, kernel="linux-image-rt-amd64") for name, entry in GUESTS.items()}
BY_NAME = {**GUESTS, **RT_GUESTS}

# Modules that tests use; their dependencies come along. What a kernel does not have, or has built in, is passed over.
MODULES = """virtio_pci virtio_console virtio_blk virtio_net virtio_scsi virtio_rng virtio_balloon
    e1000 e1000e igb igbvf nvme ahci sd_mod sr_mod xhci_pci
    vfio vfio-pci vfio_iommu_type1 iommufd pci-stub
    bochs qemu_fw_cfg pcspkr snd-dummy snd-intel8x0 snd-hda-intel i2c-i801 i2c-dev uio_pci_generic lpc_ich iTCO_wdt
    vduse vhost_vdpa
    ext4 loop dm-mod md-mod raid1 bridge bonding veth dummy tun overlay binfmt_misc configfs fuse autofs4 efivarfs
    msr zstd zstd_compress lzo lzo_rle""".split()

# Runs in the new system's root, first. POSIX shell; set -e is on. driverctl is there for tests/bench/first-probe, and
# nowhere else may its udev rule act: its files wait in ASIDE, in folders named as in the root (of a merged /usr).
ASIDE = "/usr/lib/lab/driverctl"
SET_ASIDE = r"""
mkdir -p $ASIDE
dpkg-query -W -f '${Version}\n' driverctl >$ASIDE.version
for file in $(dpkg -L driverctl | grep -v -e /share/doc -e /share/man); do
    [ -d "$file" ] && continue
    file=$(realpath -s "$(realpath "$(dirname "$file")")/$(basename "$file")")
    mkdir -p "$ASIDE$(dirname "$file")"
    mv "$file" "$ASIDE$file"
done
test -x $ASIDE/usr/sbin/driverctl || test -x $ASIDE/usr/bin/driverctl
"""

# Runs after that. Of the kernel's modules, leaves $MODULES and what these need.
KEEP_MODULES = r"""
version=$(ls /lib/modules)
cd /lib/modules/$version
mkdir /keep
for module in $MODULES; do
    modprobe -S "$version" --show-depends "$module" 2>/dev/null || true
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sed "s,^.*/lib/modules/$version/,," | sort -u >/keep.list
cp -a --parents $(cat /keep.list) /keep/
cp -a modules.builtin modules.builtin.modinfo modules.order /keep/
cd /
rm -rf "/lib/modules/$version" /keep.list
mv /keep "/lib/modules/$version"
depmod "$version"
"""

TRIM = KEEP_MODULES + r"""
rm -rf /boot/initrd* /initrd* /vmlinuz* /var/log/* /var/lib/dpkg/info \
    /usr/share/doc /usr/share/man /usr/share/locale /usr/share/info /usr/share/lintian /usr/share/bug /usr/share/i18n \
    /usr/share/zoneinfo /usr/share/perl5 /usr/share/common-licenses /usr/lib/*/gconv /usr/lib/*/perl-base \
    /usr/lib/udev/hwdb* /usr/lib/linux-image-* /usr/share/bash-completion /usr/share/zsh /usr/share/gdb \
    /usr/share/dh-* /usr/lib/apt /usr/lib/*/libapt-* /var/backups/* \
    /usr/share/perl /usr/lib/*/perl /usr/lib/*/libperl.so* /usr/bin/perl* /usr/bin/dpkg* /usr/bin/apt* /usr/bin/gpgv \
    /usr/share/misc /usr/share/xml /usr/share/sgml
"""

# Runs in the new system's root after TRIM.
TWEAK = r"""
printf '127.0.0.1 localhost lab\n' >/etc/hosts
: >/etc/fstab
rm -f /var/lib/dbus/machine-id
sed -i 's/^root:[^:]*:/root::/' /etc/shadow
mkdir -p /etc/systemd/journald.conf.d /etc/systemd/system.conf.d
printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nForwardToConsole=no\n' >/etc/systemd/journald.conf.d/lab.conf
# Emulation is slow, and a guest that is shut down has nothing to save.
printf '[Manager]\nDefaultTimeoutStopSec=10s\n' >/etc/systemd/system.conf.d/lab.conf
for unit in getty.target getty@.service serial-getty@.service console-getty.service autovt@.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    systemd-pstore.service ldconfig.service systemd-hwdb-update.service systemd-firstboot.service \
    systemd-networkd-wait-online.service systemd-update-done.service systemd-random-seed.service \
    systemd-sysusers.service systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-logind.service \
    systemd-user-sessions.service systemd-journal-flush.service systemd-remount-fs.service systemd-tmpfiles-clean.timer \
    dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount systemd-hibernate-clear.service \
    systemd-tpm2-setup.service systemd-tpm2-setup-early.service systemd-pcrphase.service systemd-machine-id-commit.service \
    systemd-journal-catalog-update.service systemd-udev-load-credentials.service ssh.service ssh.socket; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
# A scenario that wants sshd starts it; at boot neither Debian's units nor systemd's own sockets for it do.
mkdir -p /etc/systemd/system-generators
ln -sf /dev/null /etc/systemd/system-generators/systemd-ssh-generator
ln -sf /lib/systemd/system/multi-user.target /etc/systemd/system/default.target
mkdir -p /etc/systemd/system/sysinit.target.wants
ln -sf ../lab-agent.service /etc/systemd/system/sysinit.target.wants/lab-agent.service
"""

AGENT_UNIT = """[Unit]
Description=Runs the commands of the test lab
DefaultDependencies=no
After=systemd-modules-load.service
IgnoreOnIsolate=yes

[Service]
# Its own driver, so that it does not depend on the udev under test.
ExecStartPre=/sbin/modprobe -aq virtio_pci virtio_console
ExecStart=/usr/lib/lab/agent
Restart=always
RestartSec=0
StartLimitBurst=1000
OOMScoreAdjust=-900
KillMode=process
Environment=TERM=dumb HOME=/root LC_ALL=C.UTF-8 SYSTEMD_PAGER= SYSTEMD_COLORS=0
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
"""

# What comes last. The first two mmdebstrap resets at its end. A machine that was booted before has an identity: systemd's "first boot"
# would enable every unit by its preset.
IDENTITY = {
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "etc/hostname": "lab\n",
    "etc/systemd/system/lab-agent.service": AGENT_UNIT,
}


class Image:
    """A finished guest: paths of its kernel and base archive, and its kernel version."""

    def __init__(self, guest, folder):
        self.guest = guest
        self.folder = folder
        self.kernel, self.packed = os.path.join(folder, "vmlinux"), os.path.join(folder, "vmlinuz")
        self.base = os.path.join(folder, "base.cpio")
        self.config = os.path.join(folder, "config")
        self.cmdline, self.qemu = "rdinit=/sbin/init", []
        self.initrd = None  # made for each machine
        with open(os.path.join(folder, "version"), encoding="ascii") as stream:
            self.version = stream.read().strip()


def recipe(guest):
    entry = BY_NAME[guest]
    return json.dumps([entry, PACKAGES, MODULES, ASIDE, SET_ASIDE, TRIM, TWEAK, AGENT_UNIT, "format 3"], sort_keys=True)


def with_kernel(guest, packages):
    """These packages, but with the guest's own kernel."""
    return [BY_NAME[guest].get("kernel", KERNEL) if package == KERNEL else package for package in packages]


def debootstrap(guest, packages, hook, form, target):
    """The command that makes a guest's root file system, of these packages; hook: a file with a script that runs in it at the end."""
    entry = BY_NAME[guest]
    options = [f"--format={form}", *("--dpkgopt=path-exclude=/usr/share/%s/*" % name for name in ("doc", "man", "locale"))]
    if entry.get("expired"):
        options.append('--aptopt=Acquire::Check-Valid-Until "false";')
    options.append('--customize-hook=chroot "$1" sh -s <"%s"' % hook)
    return store.mmdebstrap("minbase", entry["suite"], with_kernel(guest, packages), target, *options)


def _make(guest, folder, log):
    entry = BY_NAME[guest]
    with open(os.path.join(folder, "hook"), "w", encoding="utf-8") as hook:
        hook.write("set -e\nMODULES='%s'\nASIDE='%s'\n%s%s%s" % (" ".join(MODULES), ASIDE, SET_ASIDE, TRIM, TWEAK))
    command = debootstrap(guest, PACKAGES + entry.get("packages", []), os.path.join(folder, "hook"), "tar", "-")
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, env=store.mmdebstrap_environment())
    version = []

    def divert(name):
        if name.startswith("boot/"):
            kind, _, rest = name[len("boot/"):].partition("-")
            if kind == "vmlinuz":
                version.append(rest)
            return os.path.join(folder, kind) if kind in ("vmlinuz", "config") else os.devnull
        return None

    try:
        with tarfile.open(fileobj=child.stdout, mode="r|") as tar, \
                archive.Writer(os.path.join(folder, "base.cpio")) as out:
            out.add_tar(tar, divert)
            for path, text in IDENTITY.items():
                out.file(path, text)
    except tarfile.ReadError:
        pass  # mmdebstrap failed before its first byte; its status is reported below
    finally:
        child.stdout.close()
        status = child.wait()
    if status or len(version) != 1:
        raise RuntimeError(f"making guest {guest} failed (mmdebstrap status {status}, kernels {version})")
    unpacked.write(os.path.join(folder, "vmlinuz"), os.path.join(folder, "vmlinux"))
    with open(os.path.join(folder, "version"), "w", encoding="ascii") as stream:
        stream.write(version[0] + "\n")


def image(guest):
    """The image of a guest, made now if the cache does not have it. Two runs at once: the second waits."""
    if guest not in BY_NAME:
        raise ValueError(f"unknown guest {guest}; there are: {', '.join(BY_NAME)}")
    return Image(guest, store.kept(guest, recipe(guest), lambda folder, log: _make(guest, folder, log)))


if __name__ == "__main__":
    for wanted in sys.argv[1:] or list(GUESTS):
        made = image(wanted)
        print(wanted, made.version, made.folder, os.path.getsize(made.base) >> 20, "MiB")
