# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many virtual functions of one device: QEMU's NVMe controller in the second root port."""

from .device import path

PF = "0000:02:00.0"


def nvme(functions):
    """QEMU's device with so many virtual functions, and queues for each."""
    return (f"nvme,bus=rp1,serial=lab,subsys=sub0,max_ioqpairs={2 * functions + 2},msix_qsize={functions + 2},"
            f"sriov_max_vfs={functions},sriov_vq_flexible={2 * functions},sriov_vi_flexible={functions}")


def functions_there(vm, number):
    """The names of the virtual functions; fails if there is another number of them."""
    names = vm.out(f"for l in {path(PF)}/virtfn*; do basename $(readlink $l); done | sort").splitlines()
    assert len(names) == number, names
    return names
