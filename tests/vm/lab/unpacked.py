# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Linux kernel without its compression. QEMU starts it at its PVH entry: the kernel's own unpacking, which is emulated, takes up
to a fifth of a boot. What is left out with it is the choice of a random address for the kernel."""

import lzma
import struct
import subprocess

XZ, ZSTD, ELF = b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x7fELF"


def write(packed, path):
    """Writes the ELF file that is in a bzImage."""
    with open(packed, "rb") as stream:
        image = stream.read()
    # The boot protocol's header: sectors before the 32-bit code, where in it the payload begins, its length. The payload's last
    # four bytes are its length when unpacked.
    sectors = image[0x1f1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    begin = (sectors + 1) * 512 + offset
    payload = image[begin:begin + length - 4]
    if payload.startswith(XZ):
        kernel = lzma.LZMADecompressor().decompress(payload)
    elif payload.startswith(ZSTD):
        kernel = subprocess.run(["zstd", "-dc"], input=payload, stdout=subprocess.PIPE, check=True).stdout
    else:
        raise RuntimeError(f"{packed}: compressed in a way that is not known here")
    if not kernel.startswith(ELF):
        raise RuntimeError(f"{packed}: no ELF file is in it")
    with open(path, "wb") as stream:
        stream.write(kernel)
