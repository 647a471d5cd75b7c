# SPDX-License-Identifier: LGPL-2.1-or-later
"""The three builds that all steps share, and running programs in the top folder."""
import json
import os
import re
import subprocess

from .schedule import Failed

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# name: compiler, options. Folders are build-NAME, and are kept between runs.
BUILDS = {
    # What is installed: for the guests and the benchmarks, which are to be of what users have.
    "release": ("gcc", ["--werror"]),
    # Unit and bus tests, and what the former cover. gcc's warnings about all, the tests included; but for those that the
    # sanitizers' own code makes gcc see where there is nothing (the other build has them).
    "check": ("gcc", ["--werror", "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Db_lto=false", "-Db_coverage=true",
                      "--buildtype=debugoptimized", "-Dc_args=-Wno-stringop-overread"]),
    # clang's warnings, clang-tidy's list of commands, the fuzzers.
    "clang": ("clang", ["--werror", "-Dfuzz=true", "-Db_lto=false", "-Db_lundef=false", "--buildtype=debugoptimized"]),
}


def tail(text, lines=60):
    return "\n".join(text.splitlines()[-lines:])


def run(command, timeout=1800, env=None, check=True, cwd=TOP):
    """Runs a command in the top folder; its output as text. Failed with the output's end if it fails."""
    r = subprocess.run(command, cwd=cwd, timeout=timeout, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if check and r.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit status {r.returncode}\n" + tail(r.stdout))
    return r


def folder(name):
    return f"build-{name}"


def build(name):
    """Configures and compiles one of BUILDS."""
    compiler, options = BUILDS[name]
    if not os.path.exists(os.path.join(TOP, folder(name), "build.ninja")):
        run(["meson", "setup", folder(name), *options], env={"CC": compiler})
    run(["ninja", "-C", folder(name), *(release_targets() if name == "release" else ())])


def targets(name):
    return json.loads(run(["meson", "introspect", "--targets", folder(name)]).stdout)


def release_targets():
    """All but the tests: linking each of them with link-time optimization takes longer than everything else."""
    return [os.path.relpath(path, os.path.join(TOP, folder("release"))) for target in targets("release")
            if target["type"] != "run" and (target["installed"] or target["name"].startswith(("bench-", "fake-")))
            for path in target["filename"]]


def sources():
    return run(["git", "ls-files", "*.c", "*.h"]).stdout.split()


def scripts(interpreter):
    """Files in git that begin with #!…interpreter, and .py files where that is python3."""
    found = []
    for path in run(["git", "ls-files", "boot", "tests", "tools", ".ci", "findings", "debian", "packaging"]).stdout.split():
        if path.endswith(".py") and interpreter == "python3":
            found.append(path)
        elif "." not in re.sub(r"(\.sh)?(\.in)?$", "", os.path.basename(path)):
            with open(os.path.join(TOP, path), "rb") as stream:
                first = stream.readline().decode(errors="replace")
            if first.startswith("#!") and first.split("/")[-1].split()[-1:] in ([interpreter], ["a" + interpreter], ["ba" + interpreter]):
                found.append(path)
    return found
