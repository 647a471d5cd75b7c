#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Machines that boot as installed ones do: from a disk, by a boot image that the guest's own generator has made.

A base is made once for each guest and generator: a folder with Debian's packages. For each build and each set of files a copy of
it gets both, the generator runs in it, and the whole becomes the disk. Nothing is mounted for that but a /proc of the chroot's own,
so this needs root (or a container's), and no loop devices.
"""

import contextlib
import glob
import hashlib
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from lab import build, guest, store, unpacked
else:
    from . import build, guest, store, unpacked

# What the boot needs, and the two drivers that scenarios are about: a real boot image has those of all disks.
BOOT_MODULES = "virtio_pci virtio_blk virtio_console ext4 nvme ahci sd_mod"

INITRAMFS_TOOLS = {
    # "most" would be four times as large and "dep" looks at the machine that makes the image. What is in
    # /etc/initramfs-tools/modules would be loaded by name, what a hook adds is loaded for its device.
    "/etc/initramfs-tools/conf.d/lab": ("MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\nFSTYPE=ext4\nRESUME=none\n", 0o644),
    "/etc/initramfs-tools/hooks/lab": ('#!/bin/sh\n[ "$1" != prereqs ] || exit 0\n. /usr/share/initramfs-tools/hook-functions\n'
                                       f"manual_add_modules {BOOT_MODULES}\n", 0o755),
}
DRACUT = {
    # Host-only as a real installation has it, but for what dracut would ask the machine that makes the image.
    "/etc/dracut.conf.d/90-lab.conf": (
        f'hostonly="yes"\nhostonly_cmdline="no"\nhostonly_default_device="no"\nfilesystems+=" ext4 "\n'
        # The level stands twice, for 059 and for newer ones, which take 15 otherwise.
        f'add_drivers+=" {BOOT_MODULES} "\ncompress="zstd -1"\ncompress_level_zstd="1"\n', 0o644),
}

# For each generator how its image is made, $VERSION being the kernel's.
GENERATORS = {
    "initramfs-tools": dict(packages=["initramfs-tools", "busybox", "zstd"], files=INITRAMFS_TOOLS,
                            generate="update-initramfs -c -k $VERSION"),
    "dracut": dict(packages=["dracut", "zstd"], files=DRACUT,
                   generate="dracut --force /boot/initrd.img-$VERSION $VERSION"),
}

# Of each guest those that its release has, and that the lab knows how to start.
VARIANTS = {"debian12": ("initramfs-tools", "dracut"), "forky": ("dracut",)}

PACKAGES = [name for name in guest.PACKAGES if name not in ("driverctl", "openssh-server")]

# Of the kernel's modules what the guests without a disk have, and by what the boot image's systemd finds credentials. Each other one that
# udev finds a device for is loaded at every boot.
MODULES = [*guest.MODULES, *BOOT_MODULES.split(), "dmi-sysfs"]

# Runs in the new system's root. Packages can still be installed in it.
TRIM = guest.KEEP_MODULES + r"""
rm -rf /boot/initrd* /var/cache/apt /var/lib/apt/lists/* /usr/share/doc /usr/share/man /usr/share/locale /usr/lib/linux-image-* \
    /usr/lib/udev/hwdb*
mkdir -p /var/lib/apt/lists/partial /var/cache/apt/archives/partial
"""

# dracut gives up being host-only where these four are no mounts. But for /proc they are the root's own folders: nothing of this machine
# can be seen in them.
GENERATE = r"""
set -e
mount -t proc proc "$1/proc"
for folder in sys dev run; do
    mount --bind "$1/$folder" "$1/$folder"
done
VERSION=$2 exec chroot "$1" sh -ec "$3"
"""

FREE = 128 << 20  # bytes of the disk that are left for the guest


def _base_recipe(name, generator):
    return json.dumps([guest.GUESTS[name], GENERATORS[generator]["packages"], PACKAGES, MODULES, TRIM, guest.TWEAK, "disk 2"], sort_keys=True)


def _unpack_modules(root, version):
    """An emulated machine needs seconds of each boot for modules that are packed by xz."""
    folder = os.path.join(root, "usr/lib/modules", version)
    for path in glob.glob(f"{glob.escape(folder)}/**/*.ko.xz", recursive=True):
        with lzma.open(path) as packed, open(path.removesuffix(".xz"), "wb") as whole:
            shutil.copyfileobj(packed, whole)
        os.unlink(path)
    subprocess.run(["chroot", root, "depmod", version], check=True)


def _make_base(name, generator, folder, log):
    if os.geteuid():
        raise RuntimeError("machines with a disk are made by root only, also a container's")
    root, hook = os.path.join(folder, "root"), os.path.join(folder, "hook")
    with open(hook, "w", encoding="utf-8") as stream:
        stream.write(f"set -e\nMODULES='{' '.join(MODULES)}'\n" + TRIM + guest.TWEAK)
    command = guest.debootstrap(name, PACKAGES + GENERATORS[generator]["packages"], hook, "directory", root)
    subprocess.run(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=store.mmdebstrap_environment(), check=True)
    for path, text in guest.IDENTITY.items():
        _put(root, path, text, 0o644)
    version, = os.listdir(os.path.join(root, "usr/lib/modules"))
    _unpack_modules(root, version)
    shutil.copy(os.path.join(root, "boot/vmlinuz-" + version), os.path.join(folder, "vmlinuz"))
    unpacked.write(os.path.join(folder, "vmlinuz"), os.path.join(folder, "vmlinux"))
    with open(os.path.join(folder, "version"), "w", encoding="ascii") as stream:
        stream.write(version + "\n")


def _put(root, path, what, mode):
    """A file of the guest in a folder of this machine; what: as for Machine.start(files={})."""
    if isinstance(what, tuple) and what[0] == "program":
        what, mode = build.program(*what[1:]), 0o755
    elif isinstance(what, tuple) and what[0] != "link":
        what, mode = what
    folder, name = os.path.split(path.lstrip("/"))
    # A link of the guest's must not lead out of its folder.
    folder = os.path.realpath(os.path.join(root, folder))
    if os.path.commonpath([folder, os.path.realpath(root)]) != os.path.realpath(root):
        raise ValueError(f"{path} leads out of the guest's root")
    os.makedirs(folder, exist_ok=True)
    full = os.path.join(folder, name)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(full)
    if isinstance(what, tuple):
        os.symlink(what[1], full)
        return
    with open(full, "wb") as stream:
        stream.write(what if isinstance(what, bytes) else what.encode())
    os.chmod(full, mode)


def _make_disk(base, files, installed, folder, log):
    with tempfile.TemporaryDirectory(prefix=".root-", dir=folder) as work:
        root = os.path.join(work, "root")
        for source in [os.path.join(base.folder, "root"), *([installed.folder] if installed else [])]:
            subprocess.run(["cp", "-a", "--reflink=auto", f"{source}/.", root + "/"], stdout=log, stderr=log, check=True)
        generator = GENERATORS[base.generator]
        _put(root, "/usr/lib/lab/agent", build.program("agent"), 0o755)
        for path, what in {**generator["files"], **files}.items():
            _put(root, path, what, 0o644)
        # Namespaces of its own: what is mounted there ends with it, and what runs there does not outlive it.
        subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", GENERATE, "sh", root, base.version,
                        generator["generate"]], stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True,
                       env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TMPDIR": "/tmp"})
        shutil.copy(os.path.join(root, f"boot/initrd.img-{base.version}"), os.path.join(folder, "initrd"))
        used = int(subprocess.run(["du", "-s", "-B1", root], stdout=subprocess.PIPE, check=True).stdout.split()[0])
        # A quarter more: small files take a page of 4 KiB, and the file system has tables of its own.
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-L", "lab-root", "-E", "lazy_itable_init=1", "-d", root,
                        os.path.join(folder, "disk"), f"{(used * 5 // 4 + FREE) >> 10}k"], stdout=log, stderr=log, check=True)


# Disks that the root can be on: what the kernel calls it, and QEMU's device. One that is not virtio's is nobody's before udev runs.
ROOT_DISKS = {"virtio": ("/dev/vda", "virtio-blk-pci"), "nvme": ("/dev/nvme0n1", "nvme,serial=root")}


class Image:
    """What guest.Image is, for a machine that boots from a disk, of one of ROOT_DISKS; these files are in it."""

    def __init__(self, base, folder, root_disk):
        self.guest, self.version, self.generator = base.guest, base.version, base.generator
        self.kernel, self.packed = base.kernel, base.packed
        self.initrd, disk = os.path.join(folder, "initrd"), os.path.join(folder, "disk")
        name, device = ROOT_DISKS[root_disk]
        self.cmdline = f"root={name} rw"
        # What the guest writes is gone with it.
        self.qemu = ["-drive", f"if=none,id=root,file={disk},format=raw,snapshot=on,file.locking=off",
                     "-device", f"{device},drive=root,bus=pcie.0,addr=1d.0"]


class Base:
    """A guest with a generator, and the build that is to be in its machines (build.Installed, or None)."""

    def __init__(self, name, generator, installed):
        self.guest, self.generator, self.installed = name, generator, installed
        self.folder = store.kept(f"{name}-{generator}", _base_recipe(name, generator),
                                 lambda folder, log: _make_base(name, generator, folder, log))
        self.kernel, self.packed = os.path.join(self.folder, "vmlinux"), os.path.join(self.folder, "vmlinuz")
        with open(os.path.join(self.folder, "version"), encoding="ascii") as stream:
            self.version = stream.read().strip()

    def image(self, files, with_build=True, root_disk="virtio"):
        """A disk with these files, of which the boot image has what its generator takes."""
        installed = self.installed if with_build else None
        told = repr([os.path.basename(self.folder), GENERATORS[self.generator], sorted(files.items()), installed and installed.digest,
                     hashlib.sha256(build.program("agent")).hexdigest(), GENERATE, FREE, "format 1"])
        # A build lives for minutes where people work on it, and each disk takes some hundred MiB.
        return Image(self, store.kept(f"disk-{self.guest}-{self.generator}", told,
                                      lambda folder, log: _make_disk(self, files, installed, folder, log), unused=1800), root_disk)


def generators(name, wanted):
    """Those of the wanted generators that there are for this guest. "GUEST:GENERATOR" is wanted on that guest only."""
    return [generator for generator in VARIANTS.get(name, ()) if generator in wanted or f"{name}:{generator}" in wanted]


if __name__ == "__main__":
    for known in sys.argv[1:] or [f"{name}-{generator}" for name, all_of in VARIANTS.items() for generator in all_of]:
        found = re.fullmatch(r"([^-]*)-(.*)", known)
        made = Base(found[1], found[2], None)
        print(known, made.version, made.folder)
