# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the archive of the build under test: what `meson install` would install, as an overlay over a guest's base."""

import functools
import hashlib
import os
import re
import subprocess
import tempfile

from . import archive


def _enable(root):
    """The links that a distribution's package makes when it enables the units it installs, read from their [Install]
    sections (`systemctl --root` would do it too, but need not exist on the machine that runs the tests)."""
    made = []
    for folder in ("usr/lib/systemd/system", "lib/systemd/system"):
        folder = os.path.join(root, folder)
        for unit in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            if os.path.isdir(os.path.join(folder, unit)):  # links that the installation itself makes
                continue
            with open(os.path.join(folder, unit), encoding="utf-8") as stream:
                text = stream.read()
            for key, values in re.findall(r"^(WantedBy|RequiredBy|Alias)=(.*)$", text, re.MULTILINE):
                for value in values.split():
                    name = value if key == "Alias" else os.path.join(
                        value + (".wants" if key == "WantedBy" else ".requires"), unit)
                    link = os.path.join(root, "etc/systemd/system", name)
                    os.makedirs(os.path.dirname(link), exist_ok=True)
                    if not os.path.lexists(link):
                        os.symlink("/usr/lib/systemd/system/" + unit, link)
                        made.append(name)
    return made


def _source(name):
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "programs", name + ".c")


@functools.lru_cache(maxsize=None)
def program(name, *libraries):
    """The bytes of a program of tests/vm/programs, compiled once in a process, linked statically: it depends on nothing that is in the guest, but
    for these libraries, which every guest has, if any are named."""
    with tempfile.TemporaryDirectory(prefix="driver-overrides-program-") as work:
        target = os.path.join(work, name)
        subprocess.run([os.environ.get("CC", "cc"), "-O1", "-s", "-Wall", "-Wextra", "-Werror", "-o", target, _source(name),
                        *([f"-l{library}" for library in libraries] or ["-static"])], check=True)
        with open(target, "rb") as stream:
            return stream.read()


def _digest(root):
    """What is in a folder of this machine, as a short text: names, modes, contents."""
    told = hashlib.sha256()
    for folder, names, files in os.walk(root):
        names.sort()
        for name in sorted(files + [n for n in names if os.path.islink(os.path.join(folder, n))]):
            full = os.path.join(folder, name)
            told.update(repr((os.path.relpath(full, root), os.lstat(full).st_mode)).encode())
            if os.path.islink(full):
                told.update(os.readlink(full).encode())
            else:
                with open(full, "rb") as stream:
                    told.update(stream.read())
    return told.hexdigest()


def install(build_dir, folder, *options):
    """Puts what `meson install` puts on a machine into a folder."""
    subprocess.run(["meson", "install", "--no-rebuild", "--quiet", *options, "-C", build_dir, "--destdir", folder],
                   check=True, stdout=subprocess.DEVNULL)


class Installed:
    """A build as a package of it would be in a guest, in a folder that is empty before."""

    def __init__(self, build_dir, folder):
        self.folder = folder
        # Its programs are copied into boot images, whose size counts.
        install(build_dir, folder, "--strip")
        _enable(folder)
        self.digest = _digest(folder)


def overlay(build_dir, path, enable=True):
    """Writes the overlay archive of a build directory to path; None as build directory: no overlay. The list of
    overlays for Machine.start()."""
    if build_dir is None:
        return []
    with tempfile.TemporaryDirectory(prefix="driver-overrides-install-") as root:
        install(build_dir, root)
        if enable:
            _enable(root)
        with archive.Writer(path) as out:
            out.add_tree(root)
    return [path]
