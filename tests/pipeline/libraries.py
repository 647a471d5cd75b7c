# SPDX-License-Identifier: LGPL-2.1-or-later
"""The step `libraries` of tests/run-all: the tests of overridectl as a person runs it, its tables, trees and JSON among them, with the
libraries of newer releases of Debian than the one that it is built on. Command line and service run with these; what the tests start
besides does not."""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import tempfile

from lab import other_debian, store

from .builds import TOP, folder, tail
from .schedule import Failed

SUITES = ("trixie", "forky")
PACKAGES = "libc6 libexpat1 libinih1 libjson-c5 libkmod2 libsmartcols1 libsystemd0 libudev1".split()
PROGRAMS = {"OVERRIDECTL": "cli/overridectl", "DRIVER_OVERRIDED": "daemon/driver-overrided"}
HELPERS = {"DRIVER_OVERRIDE": "enforcer/driver-override", "FAKE_ENFORCER": "tests/bus/fake-enforcer",
           "FAKE_SYSTEMD": "tests/bus/fake-systemd"}


def newer_libraries(suite):
    """A folder with the libraries of a Debian."""
    made = store.kept(f"libraries-{suite}", f"{PACKAGES} 1",
                      lambda made, log: other_debian.unpack(suite, PACKAGES, os.path.join(made, "root"), log))
    return os.path.join(made, "root")


def library_roots(_args, _out):
    """What the step needs, which mostly waits for packages."""
    for suite in SUITES:
        newer_libraries(suite)
    return 0, 0


def program_of_build(name):
    return os.path.join(TOP, folder("release"), name)


def started_with(root, work):
    """The environment for the tests, with commands in the folder work that start the programs with the libraries of root. These are
    copied there: a test runs the command line as a user who cannot read the cache."""
    for name in (other_debian.LIBRARIES, os.path.dirname(other_debian.LOADER)):
        shutil.copytree(os.path.join(root, name), os.path.join(work, name), symlinks=True)
    found = {name: program_of_build(path) for name, path in HELPERS.items()}
    for name, path in PROGRAMS.items():
        found[name] = os.path.join(work, os.path.basename(path))
        with open(found[name], "w", encoding="utf-8") as stream:
            stream.write("#!/bin/sh\nexec " + " ".join([*other_debian.loader(work), program_of_build(path)]) + ' "$@"\n')
        os.chmod(found[name], 0o755)
    os.chmod(work, 0o755)
    return found


def check_linked(work):
    """The libraries that the programs are started with are the ones that were copied, each of them. What they are, in words."""
    files = set()
    for path in PROGRAMS.values():
        listed = subprocess.run([*other_debian.loader(work), "--list", program_of_build(path)], stdout=subprocess.PIPE, text=True, check=True).stdout
        places = re.findall(r"=> (\S+)", listed)
        others = [place for place in places if not place.startswith(work + "/")]
        if others or not places:
            raise Failed(f"{path} would be tested with this machine's own {' '.join(others)}:\n{listed}")
        files.update(os.path.basename(os.path.realpath(place)) for place in places)
    return " ".join(sorted(name for name in files if re.search("json-c|smartcols|systemd|udev", name)))


def tests_of(program, environment):
    """Runs a program of tests; how many passed and failed, and the end of what it printed."""
    r = subprocess.run([program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                       env={**os.environ, **environment}, check=False, timeout=600)
    ran = re.search(r"^Ran (\d+) tests? ", r.stdout, re.MULTILINE)
    if not ran or (r.returncode == 0) != r.stdout.endswith("\nOK\n"):
        raise Failed(f"{program}: exit status {r.returncode}\n" + tail(r.stdout))
    failed = sum(int(number) for number in re.findall(r"(?:failures|errors)=(\d+)", r.stdout.splitlines()[-1]))
    return int(ran[1]) - failed, failed, "" if r.returncode == 0 else tail(r.stdout)


def libraries(_args, out):
    """These mostly wait, as those of the step `bus` do. One more is counted for each Debian: that its libraries were used."""
    programs = sorted(glob.glob(os.path.join(TOP, "tests/bus/test-overridectl-*")))
    with tempfile.TemporaryDirectory(prefix="driver-overrides-libraries-") as top, concurrent.futures.ThreadPoolExecutor(4) as pool:
        os.chmod(top, 0o755)
        running = []
        for suite in SUITES:
            work = os.path.join(top, suite)
            environment = started_with(newer_libraries(suite), work)
            out(f"{suite}: {check_linked(work)}")
            running += [(suite, pool.submit(tests_of, program, environment)) for program in programs]
        passed, failed = len(SUITES), 0
        for suite, result in running:
            good, bad, printed = result.result()
            passed, failed = passed + good, failed + bad
            if bad:
                out(f"{suite}:\n{printed}")
    return passed, failed
