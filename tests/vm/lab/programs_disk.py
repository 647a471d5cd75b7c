# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk with QEMU and DPDK, of Debian 13, for a guest of any Debian: too large for the archive that guests boot from, and with libraries
that are not theirs."""

import glob
import os
import shutil
import subprocess

from . import other_debian, store

SUITE, PACKAGES = "trixie", ["qemu-system-x86", "dpdk-dev"]
# DPDK loads all drivers that are in its folder whenever it starts. There are more than a hundred, and emulated CPUs: these are enough.
DPDK_DRIVERS = ("bus_pci", "bus_vdev", "mempool_ring", "net_e1000")
PLACE = "/opt"
PLUGINS = other_debian.LIBRARIES + "/dpdk"
COMMANDS = {"/usr/bin/qemu-system-x86_64": "-L {0}/usr/share/qemu -L {0}/usr/share/seabios", "/usr/bin/dpdk-testpmd": ""}


def _trim(root):
    """Leaves what running the programs needs."""
    for name in ("usr/include", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl", "usr/lib/python3*", "usr/lib/*/perl*", "var"):
        for path in glob.glob(os.path.join(root, name)):
            shutil.rmtree(path)
    for base, _, files in os.walk(root):
        for name in files:
            if name.endswith(".a"):
                os.unlink(os.path.join(base, name))


def _make(folder, log):
    root = os.path.join(folder, "root")
    other_debian.unpack(SUITE, PACKAGES, root, log)
    _trim(root)
    used = int(subprocess.run(["du", "-s", "-B1", root], stdout=subprocess.PIPE, check=True).stdout.split()[0])
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-O", "^has_journal", "-d", root, os.path.join(folder, "disk"),
                    f"{(used * 5 // 4 + (16 << 20)) >> 10}k"], stdout=log, stderr=log, check=True)
    shutil.rmtree(root)


def attach(vm, port):
    """Plugs the disk into a root port of a running guest, once. The programs can be called there as those of packages then."""
    if vm.run(["exists", f"{PLACE}/usr"], check=False).rc == 0:
        return
    folder = store.kept("programs-disk", f"{SUITE} {PACKAGES} 1", _make)
    vm.qmp("blockdev-add", **{"driver": "raw", "node-name": "programs", "read-only": True,
                              "file": {"driver": "file", "filename": os.path.join(folder, "disk"), "locking": "off"}})
    vm.device_add("virtio-blk-pci", id="programs", bus=port, drive="programs")
    vm.wait_for("test -b /dev/vda")
    # DPDK takes drivers from no folder that everybody may write to, or that lies in one. The first root file system of a kernel is one.
    vm.run(f"chmod go-w /; mount -o ro /dev/vda {PLACE}\nfor folder in {PLACE}/{PLUGINS}/pmds-*; do\n"
           f"mkdir -p ${{folder#{PLACE}}}; cd ${{folder#{PLACE}}}\n"
           f"for driver in {' '.join(DPDK_DRIVERS)}; do ln -s $folder/librte_$driver.so* .; done\ndone")
    for path, options in COMMANDS.items():
        words = [*other_debian.loader(PLACE), PLACE + path, options.format(PLACE)]
        vm.write(path, f'#!/bin/sh\nexec {" ".join(words)} "$@"\n', 0o755)
