# SPDX-License-Identifier: LGPL-2.1-or-later
"""For tests of what generators of boot images source: a folder in place of the root, stand-ins for our programs that write down how
they were called, and one for each function of the generator. Meson sets BOOT, the folder boot/ of the source tree."""
import os
import shlex
import shutil
import subprocess
import tempfile
import unittest

BOOT = os.environ.get("BOOT", f"{os.path.dirname(os.path.abspath(__file__))}/../../../boot")

ENFORCER, GUARD = "usr/lib/udev/driver-override", "usr/libexec/driver-override-guard"
UNITS = "etc/systemd/system"
RULES = "05-driver-overrides.rules"

# Writes down that it was called. `image` has its answer from a file, and fails without it; it knows no files but those of the folders given.
PROGRAM = """#!/bin/sh
echo "$(basename "$0")" "$@" >>{root}/calls
echo a line of the log >&2
[ "$1" = image ] && [ "$2" != note ] || exit 0
verb=$2
shift 2
[ "$verb" = files ] && [ $# -gt 0 ] || exec cat {root}/answer-"$verb"
for folder in "$@"; do grep "^$folder/" {root}/answer-files; done
exit 0
"""


class ImageCase(unittest.TestCase):
    """One image being made."""

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="driver-overrides-image-")
        self.addCleanup(shutil.rmtree, self.root)
        for program in (ENFORCER, GUARD):
            self.write(program, PROGRAM.format(root=self.root), 0o755)
        self.answer("files", "/etc/driver-overrides.d/50-gpu.conf\n/usr/lib/driver-overrides.d/20-vendor.conf\n")
        self.answer("modules", "vfio_iommu_type1\nvfio_pci\n")
        self.answer("digest", "0123456789abcdef\n")

    def path(self, name):
        return os.path.join(self.root, name.lstrip("/"))

    def write(self, name, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as stream:
            return stream.read()

    def mask(self, name):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        os.symlink("/dev/null", self.path(name))

    def answer(self, verb, text):
        self.write(f"answer-{verb}", text)

    def source(self, name):
        """A file of boot/ as the build makes it, but that it looks for everything of the administrator's and ours in the test's root."""
        with open(os.path.join(BOOT, name + ".in"), encoding="utf-8") as stream:
            text = stream.read()
        for key, folder in (("udevdir", "usr/lib/udev"), ("libexecdir", "usr/libexec"), ("unitdir", "usr/lib/systemd/system")):
            text = text.replace(f"@{key}@", f"{self.root}/{folder}")
        self.assertNotRegex(text, "@[a-z]+dir@")
        for folder in ("udev", "systemd"):
            text = text.replace(f"/etc/{folder}/", f"{self.root}/etc/{folder}/")
        text = text.replace("/dev/kmsg", f"{self.root}/kmsg")
        return self.write(f"under-test/{name}", text)

    def run_shell(self, shell, script, **variables):
        """The script's status, and the calls it led to, a line each, without the test's root."""
        calls = self.path("calls")
        if os.path.exists(calls):
            os.unlink(calls)
        self.write("script", script)
        done = subprocess.run([shell, self.path("script")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **variables}, text=True, check=False)
        self.output = done.stdout
        lines = self.read("calls").splitlines() if os.path.exists(calls) else []
        return done.returncode, [line.replace(self.root, "") for line in lines]

    def stand_ins(self, names, also=""):
        """Shell text with a function for each name, that writes down what it is called with."""
        said = f"echo \"$*\" >>{shlex.quote(self.path('calls'))}"
        return "".join(f"{name}() {{ set -- {name} \"$@\"; {said}; }}\n" for name in names) + also

    def runtime(self, script):
        """What the enforcer and the guard are called with by a script of the image, which must go on behind it, whatever they answer.
        A path of the image is one of the test's root. What they log goes into the kernel's log: nobody reads the console later."""
        status, calls = self.run_shell("sh", script + "\necho went on\n")
        self.assertEqual((status, self.output.splitlines()[-1:]), (0, ["went on"]), self.output)
        self.assertNotIn("a line of the log", self.output)
        return calls

    def check_runtime(self, script):
        """The sweep, then the guard; neither is missed, and neither ends the boot."""
        both = ["driver-override sweep --boot", "driver-override-guard --boot-image"]
        self.assertEqual(self.runtime(script), both)
        for program in (ENFORCER, GUARD):
            self.write(program, PROGRAM.format(root=self.root).replace("exit 0", "exit 1"), 0o755)
        self.assertEqual(self.runtime(script), both)
        os.unlink(self.path(GUARD))
        self.assertEqual(self.runtime(script), both[:1])
