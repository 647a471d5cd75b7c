# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the lab makes once and keeps in a cache: guests, an emulator; and where the Debian archive is from which they are made."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

UNUSED = 24 * 3600  # seconds


def cache_dir():
    own = os.environ.get("DRIVER_OVERRIDES_LAB_CACHE")
    if own:
        return own
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "driver-overrides-lab")


def mirror():
    """The Debian archive this machine itself uses, from apt's own view of its configuration (both file formats).
    None: it has none (not a Debian), then mmdebstrap's own default serves."""
    own = os.environ.get("DRIVER_OVERRIDES_LAB_MIRROR")
    if own:
        return own
    try:
        listing = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(COMPONENT) $(REPO_URI) $(LABEL)", "Identifier: Packages"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    for line in listing.splitlines():
        component, uri, label = (line.split(" ", 2) + ["", ""])[:3]
        # The label stands in the release file, which may not have been fetched yet.
        if component == "main" and (label == "Debian" or (not label and uri.rstrip("/").endswith("/debian"))):
            return uri.rstrip("/")
    return None


def proxy_options():
    """mmdebstrap starts from an empty apt configuration; a proxy of this machine has to be handed on."""
    options = []
    for key in ("Acquire::http::Proxy", "Acquire::https::Proxy"):
        found = subprocess.run(["apt-config", "shell", "value", key], stdout=subprocess.PIPE, text=True, check=False).stdout
        if found.startswith("value='") and found.strip() != "value=''":
            options.append("--aptopt=%s \"%s\";" % (key, found.strip()[len("value='"):-1]))
    return options


def mmdebstrap(variant, suite, packages, target, *options):
    """The command that makes a system of these packages: a folder or an archive, by the target's name or by --format."""
    return ["mmdebstrap", f"--variant={variant}", "--include=" + ",".join(packages), *options, *proxy_options(), suite, target,
            *filter(None, [mirror()])]


def mmdebstrap_environment():
    """INITRD=No: the kernel package's hook would make an initramfs that nobody boots."""
    return dict(os.environ, INITRD="No", DEBIAN_FRONTEND="noninteractive", LC_ALL="C.UTF-8")


def kept(name, recipe, make, unused=UNUSED):
    """The folder of what make(folder, log file) makes by the recipe (a text), made now if the cache does not have it. Two
    runs at once: the second waits. unused: seconds after which what other recipes made goes, if nobody has asked for it."""
    cache = cache_dir()
    os.makedirs(cache, exist_ok=True)
    key = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    final = os.path.join(cache, f"{name}-{key}")
    with open(os.path.join(cache, f"{name}.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(final):
            print(f"# making {name}, once for this recipe", file=sys.stderr, flush=True)
            building = tempfile.mkdtemp(prefix=f".{name}-", dir=cache)
            log_path = os.path.join(cache, f"{name}.log")
            try:
                with open(log_path, "w", encoding="utf-8") as log:
                    make(building, log)
                os.chmod(building, 0o755)
                os.rename(building, final)
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                with contextlib.suppress(OSError), open(log_path, encoding="utf-8", errors="replace") as log:
                    sys.stderr.write("".join(log.readlines()[-20:]))
                raise
            _forget_older(cache, name, final, unused)
        os.utime(final)
    return final


def _forget_older(cache, name, final, unused):
    """Deletes what other recipes made, if nobody has asked for it for so long: another run may still use it."""
    for other in os.listdir(cache):
        path = os.path.join(cache, other)
        if re.fullmatch(re.escape(name) + "-[0-9a-f]{12}", other) and path != final and os.path.getmtime(path) < time.time() - unused:
            shutil.rmtree(path, ignore_errors=True)
