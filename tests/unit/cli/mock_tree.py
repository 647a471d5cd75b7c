# SPDX-License-Identifier: LGPL-2.1-or-later
"""A machine's tree for tests of overridectl: sysfs, what is beside it, policy and state, all in one folder. Meson sets OVERRIDECTL."""
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(f"{HERE}/../../bus")
from command_line import check_value  # noqa: E402 pylint: disable=wrong-import-position


def check_schema(verb, document):
    """Against docs/schema/VERB.json."""
    with open(f"{HERE}/../../../docs/schema/{verb}.json", encoding="utf-8") as stream:
        check_value(json.load(stream), document, verb)


def base_environment():
    """Nothing of the tester's own but the search path, and what the builds for tests need."""
    return {"LC_ALL": "C.UTF-8", **{name: value for name, value in os.environ.items()
                                    if name == "PATH" or name.startswith(("ASAN_", "UBSAN_", "LSAN_", "GCOV_"))}}


class Result:
    """What a call printed, and its status."""

    def __init__(self, process, root):
        self.status, self.bytes = process.returncode, process.stdout
        self.out = process.stdout.decode(errors="replace").replace(root, "ROOT")
        self.err = process.stderr.decode(errors="replace").replace(root, "ROOT")

    @property
    def json(self):
        return json.loads(self.out)


class Tree:
    """The folder; paths given to its methods are below it."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="driver-overrides-tree-")  # pylint: disable=consider-using-with
        self.root = self.folder.name
        for name in ("sys/bus", "sys/class", "policy", "state"):
            self.directory(name)

    def close(self):
        self.folder.cleanup()

    def path(self, name):
        return f"{self.root}/{name}"

    def directory(self, name):
        os.makedirs(self.path(name), exist_ok=True)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(text if isinstance(text, bytes) else text.encode())

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as stream:
            return stream.read()

    def link(self, name, to):
        """A relative link, as sysfs has it; `to` is below the root, too."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(os.path.relpath(self.path(to), os.path.dirname(path)), path)

    def policy(self, text, name="10-a.conf"):
        """In place of the one that was there, with the times of a file that nobody is writing to."""
        self.write(f"policy/{name}", text)
        old = time.time() - 10
        os.utime(self.path(f"policy/{name}"), (old, old))

    def device(self, bus, parent, name, driver=None, **attributes):
        """Returns its folder below the root."""
        folder = f"sys/devices/{parent}/{name}"
        self.write(f"{folder}/driver_override", attributes.pop("override", "(null)") + "\n")
        for key, value in attributes.items():
            self.write(f"{folder}/{key}", value + "\n")
        self.directory(f"sys/bus/{bus}/drivers")
        self.link(f"sys/bus/{bus}/devices/{name}", folder)
        self.link(f"{folder}/subsystem", f"sys/bus/{bus}")
        if driver:
            self.directory(f"sys/bus/{bus}/drivers/{driver}")
            self.link(f"{folder}/driver", f"sys/bus/{bus}/drivers/{driver}")
        return folder

    def pci(self, name, driver=None, vendor=0x8086, device=0x10d3, device_class=0x020000, parent="pci0000:00", **attributes):
        alias = (f"pci:v{vendor:08X}d{device:08X}sv00001AF4sd00001100bc{device_class >> 16:02X}sc{device_class >> 8 & 255:02X}"
                 f"i{device_class & 255:02X}")
        return self.device("pci", parent, name, driver, vendor=f"0x{vendor:04x}", device=f"0x{device:04x}",
                           subsystem_vendor="0x1af4", subsystem_device="0x1100", modalias=alias,
                           **{"class": f"0x{device_class:06x}"}, **attributes)

    def group(self, number, *folders):
        for folder in folders:
            self.link(f"sys/kernel/iommu_groups/{number}/devices/{os.path.basename(folder)}", folder)
            self.link(f"{folder}/iommu_group", f"sys/kernel/iommu_groups/{number}")

    def interface(self, folder, name):
        self.write(f"{folder}/net/{name}/address", "52:54:00:12:34:56\n")
        self.link(f"{folder}/net/{name}/device", folder)
        self.link(f"{folder}/net/{name}/subsystem", "sys/class/net")
        self.link(f"sys/class/net/{name}", f"{folder}/net/{name}")

    def disk(self, folder, name, number):
        self.write(f"{folder}/{name}/serial", "S3CR3T\n")
        self.link(f"sys/class/block/{name}", f"{folder}/{name}")
        self.link(f"sys/dev/block/{number}", f"{folder}/{name}")

    def run(self, *words, places=True):
        """overridectl on this tree; without places, only with what is said: --machine, for one."""
        command = [os.environ["OVERRIDECTL"], *(["--sysfs", self.path("sys"), "--state-dir", self.path("state")] if places else []),
                   "--conf-dir", self.path("policy"), *words]
        return Result(subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                                     timeout=120, env=base_environment()), self.root)
