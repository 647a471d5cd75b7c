# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the project's package for Debian 12, and roots to make and to try it in.

Both roots are made once and kept in the lab's cache. Nothing of this machine is mounted in them, only a /proc of their own, so
nothing in them can reach its devices. Root's rights are needed for chroot.
"""

import contextlib
import fcntl
import glob
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile

from . import store

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
SUITE = "bookworm"
# What a machine has that the package is installed on.
SMALL = "systemd systemd-sysv udev dbus kmod libbpf1 libexpat1 libinih1 libjson-c5 libkmod2 libsmartcols1 libsystemd0 libudev1".split()
# Options of a build without its tests: the other steps run them.
NOCHECK = ["DEB_BUILD_OPTIONS=nocheck parallel=2", "DEB_BUILD_PROFILES=nocheck"]
BASE_ENV = ["HOME=/nonexistent", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def build_depends():
    """The names in Build-Depends; of alternatives those that Debian 12 has, which are the last ones."""
    with open(os.path.join(TOP, "debian", "control"), encoding="utf-8") as stream:
        field = re.search(r"^Build-Depends:((?:.*\n)(?:[ \t].*\n)*)", stream.read(), re.MULTILINE)[1]
    entries = [entry.strip() for entry in field.split(",") if "<!nocheck>" not in entry]
    names = [re.match(r"[a-z0-9.+-]+", entry.split("|")[-1].strip())[0] for entry in entries if entry]
    return sorted({"debhelper" if name == "debhelper-compat" else name for name in names})


def _mmdebstrap(variant, packages, target, log):
    subprocess.run(store.mmdebstrap(variant, SUITE, packages, target), stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True,
                   env=store.mmdebstrap_environment())


def build_root():
    """A folder with a system that has what building the package needs."""
    packages = [*build_depends(), "ccache", "faketime"]
    folder = store.kept("package-build", f"{SUITE} {packages} 1", lambda made, log: _mmdebstrap("buildd", packages, made + "/root", log))
    return os.path.join(folder, "root")


def small_archive():
    """The archive of a small system that the package can be installed in."""
    folder = store.kept("package-small", f"{SUITE} {SMALL} 1", lambda made, log: _mmdebstrap("minbase", SMALL, made + "/root.tar", log))
    return os.path.join(folder, "root.tar")


@contextlib.contextmanager
def small_root():
    """A fresh folder with that system."""
    with tempfile.TemporaryDirectory(prefix="driver-overrides-root-") as root:
        os.chmod(root, 0o755)
        subprocess.run(["tar", "-xf", small_archive(), "--numeric-owner", "-C", root], check=True)
        yield root


def run_in(root, command, env=(), cwd="/", **options):
    """Runs a command in a root, with a /proc of its own. What it started and left ends with it."""
    script = 'mount -t proc proc "$1/proc" && root=$1 && shift && exec chroot "$root" "$@"'
    wanted = ["env", "-i", f"PATH={PATH}", *BASE_ENV, *env, "sh", "-c", 'cd "$0" && exec "$@"', cwd, *command]
    return subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script, "sh", root, *wanted],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          check=False, **options)


def source_files():
    """The tree as it stands here, without what git ignores."""
    listing = subprocess.run(["git", "-C", TOP, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             stdout=subprocess.PIPE, check=True).stdout.decode()
    return sorted(name for name in set(listing.split("\0")) - {""} if os.path.lexists(os.path.join(TOP, name)))


def copy_source(target):
    for name in source_files():
        os.makedirs(os.path.join(target, os.path.dirname(name)), exist_ok=True)
        shutil.copy2(os.path.join(TOP, name), os.path.join(target, name), follow_symlinks=False)


def build(out, place="build", before=()):
    """Builds the package in a folder of the build root, `before` standing before dpkg-buildpackage. Its files get to the folder
    out. RuntimeError with the end of what was printed."""
    root = build_root()
    work = os.path.join(root, place, "driver-overrides")
    os.makedirs(os.path.dirname(work), exist_ok=True)
    # The folder's name is the same each time: with link-time optimization, objects that ccache has kept of another folder name that one.
    with open(work + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(work, ignore_errors=True)
        try:
            copy_source(os.path.join(work, "source"))
            r = run_in(root, [*before, "dpkg-buildpackage", "-b", "-us", "-uc"], timeout=1800, cwd=f"/{place}/driver-overrides/source",
                       env=[*NOCHECK, "PATH=/usr/lib/ccache:" + PATH, f"CCACHE_DIR=/{place}/ccache"])
            if r.returncode != 0:
                raise RuntimeError("dpkg-buildpackage:\n" + "\n".join(r.stdout.splitlines()[-40:]))
            for path in glob.glob(os.path.join(work, "*.*")):
                shutil.copy2(path, out)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def package():
    """A folder with the package of the tree as it stands here, built now if the cache does not have it."""
    tree = hashlib.sha256()
    for name in source_files():
        path = os.path.join(TOP, name)
        tree.update(shlex.quote(name).encode() + b"\n")
        if os.path.isfile(path):
            with open(path, "rb") as stream:
                tree.update(hashlib.sha256(stream.read()).digest())
    return store.kept("built-package", tree.hexdigest(), lambda made, _log: build(made))


def deb(folder, name="driver-overrides"):
    """The one .deb of this name in a folder."""
    found, = glob.glob(os.path.join(folder, name + "_*.deb"))
    return found


def newer(deb_path, version, out):
    """The same package as another version, in the folder out: an upgrade that changes nothing else."""
    with tempfile.TemporaryDirectory(prefix="driver-overrides-deb-") as work:
        subprocess.run(["dpkg-deb", "-R", deb_path, work], check=True)
        control = os.path.join(work, "DEBIAN", "control")
        with open(control, encoding="utf-8") as stream:
            text = stream.read()
        with open(control, "w", encoding="utf-8") as stream:
            stream.write(re.sub(r"(?m)^Version: .*$", f"Version: {version}", text))
        target = os.path.join(out, f"driver-overrides_{version}_amd64.deb")
        subprocess.run(["dpkg-deb", "-b", "--root-owner-group", work, target], check=True, stdout=subprocess.DEVNULL)
    return target
