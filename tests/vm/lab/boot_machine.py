# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machine of the scenario files about a boot with policy: cards and rules are there from the beginning, and the kernel's
own trace has all of the boot. Booted once, and each of the files gets it as it was then."""

import base64

from .boot_trace import CMDLINE
from .device import rule

UNRULED, BARRED, GIVEN, FIRST, SECOND = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0", "0000:04:00.0", "0000:04:00.1"
SPEAKER, WATCHDOG, FW_CFG = "pcspkr", "iTCO_wdt.1.auto", "QEMU0002:00"

ETC, RUN, LIB = (f"{folder}/driver-overrides.d" for folder in ("/etc", "/run", "/usr/lib"))
NICS, PLATFORM, THIRD = f"{ETC}/50-nics.conf", f"{LIB}/60-platform.conf", f"{LIB}/30-third.conf"
COMMAND_LINE, CREDENTIAL = f"{RUN}/00-command-line.conf", f"{RUN}/00-credential-speaker.conf"
BROKEN, WRITABLE = f"{ETC}/20-broken.conf", f"{ETC}/40-writable.conf"

BOOT_MACHINE = dict(
    devices=["e1000e,bus=rp0", "e1000e,bus=rp1", "e1000e,bus=rp2",
             # Two functions of one slot are one IOMMU group. The second has no rule, and shows that e1000e was there. Without
             # multifunction=on for both the kernel puts one that it finds later into a group of its own.
             "e1000e,bus=rp3,addr=0.0,multifunction=on", "e1000e,bus=rp3,addr=0.1,multifunction=on"],
    # Two of the rules come with the boot: no file of the root file system has them.
    cmdline=f"driver_overrides.rule=Name={BARRED},Driver=none {CMDLINE}",
    qemu=["-smbios", "type=11,value=io.systemd.credential.binary:driver-overrides.speaker="
                     + base64.b64encode(rule("speaker", Bus="platform", Name=SPEAKER, Driver="none").encode()).decode()],
    files={
        NICS: rule("given", Name=GIVEN, Driver="vfio-pci"),
        THIRD: rule("first", Name=FIRST, Driver="vfio-pci"),
        PLATFORM: rule("watchdog", Bus="platform", Name="iTCO_wdt.*", Driver="none")
                  + rule("fw-cfg", Bus="platform", Name=FW_CFG, Driver="none"),
        # These two are not in force: one has an error, the other may be written by everybody.
        BROKEN: "# a comment\n" + rule("two", Name=UNRULED, Driver="none") + rule("wrong", Name=BARRED, Drvier="vfio-pci"),
        WRITABLE: (rule("writable", Name=UNRULED, Driver="none"), 0o666),
    })
