# SPDX-License-Identifier: LGPL-2.1-or-later
"""The steps of tests/run-all. Each is given the command line's arguments and where to say things, and returns how many
checks passed and how many failed."""
import concurrent.futures
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile

from lab import disk_image, emulator, guest

from .builds import TOP, folder, run, scripts, sources, tail, targets
from .schedule import Failed

# The unit tests must reach so many lines of these.
LIBRARIES = ["base", "policy", "state", "sysfs", "enforce", "enforcer"]
COVERED_PERCENT = 93


# For what may take long: it gets what others leave of the CPUs, and guests do not notice it.
BESIDE = ["chrt", "--idle", "0"]


def compiled(_args, _out):
    """The build, which is needed before this, is the check."""
    return 1, 0


def source_format(_args, _out):
    run(["clang-format", "--dry-run", "-Werror", *sources()])
    return 1, 0


def python(_args, _out):
    """Undefined names, which would be noticed an hour later in a virtual machine; and tests of what the lab takes for its own fault."""
    run(["pyflakes3", *scripts("python3")])
    return 1 + unittests("tests/vm/check-lab"), 0


def unittests(*programs):
    return sum(int(re.search(r"^Ran (\d+) tests? ", run([program]).stdout, re.MULTILINE)[1]) for program in programs)


def house(_args, _out):
    """Names, sizes, arrows between folders, mutations that still apply; and that the checks find what is planted."""
    found = [line for command in (["tools/check-names"], ["tools/check-layers"], ["tools/mutate", "--check"])
             for line in run(command, check=False).stdout.splitlines()]
    if found:
        raise Failed(f"{len(found)} lines:\n" + "\n".join(found))
    return 3 + unittests(*sorted(os.path.relpath(path, TOP) for path in glob.glob(os.path.join(TOP, "tests/tools/test_*.py")))), 0


def spelling(_args, _out):
    """Words in everything but the results of machines."""
    files = [f for f in run(["git", "ls-files"]).stdout.split() if not f.endswith((".jsonl", "LICENSE", ".dict"))
             and not f.startswith(("tests/fuzz/corpus", "LICENSES/"))]
    run(["codespell", "--ignore-words", "tools/spelling-words", *files])
    return 1, 0


def shell(_args, _out):
    run(["shellcheck", *scripts("sh")])
    return 1, 0


def commands_once():
    """A folder with clang's list of commands, each file once: fuzzers and tests compile the libraries anew, with the same
    macros, and clang-tidy would go through a file once for each command."""
    with open(os.path.join(TOP, folder("clang"), "compile_commands.json"), encoding="utf-8") as f:
        once = {entry["file"]: entry for entry in reversed(json.load(f))}
    made = os.path.join(TOP, folder("clang"), "tidy")
    os.makedirs(made, exist_ok=True)
    with open(os.path.join(made, "compile_commands.json"), "w", encoding="utf-8") as f:
        json.dump(list(once.values()), f)
    return made


def tidy(args, _out):
    # BPF is C for another machine, with attributes of its own.
    files = [f for f in sources() if f.endswith(".c") and not f.endswith(".bpf.c") and not f.startswith("tests/")]
    made = commands_once()
    with concurrent.futures.ThreadPoolExecutor(args.cpus) as pool:
        outputs = list(pool.map(lambda f: run([*BESIDE, "clang-tidy", "--quiet", "-p", made, f], check=False), files))
    bad = [o.stdout for o in outputs if o.returncode != 0]
    if bad:
        raise Failed("clang-tidy:\n" + tail("\n".join(bad), 100))
    return 1, 0


def meson_tests(suite, out, processes):
    """Runs a suite; counts the single checks of libcheck programs, and one for each other test."""
    r = run(["meson", "test", "-C", folder("check"), "--no-rebuild", "--suite", suite, "--logbase", suite, "--print-errorlogs",
             "--num-processes", str(processes), "--timeout-multiplier", "4"], check=False,
            env={"ASAN_OPTIONS": "detect_stack_use_after_return=0:strict_string_checks=1",
                 "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"})
    passed = failed = 0
    with open(os.path.join(TOP, folder("check"), "meson-logs", f"{suite}.json"), encoding="utf-8") as f:
        for line in f:
            test = json.loads(line)
            counts = re.findall(r"Checks: (\d+), Failures: (\d+), Errors: (\d+)", test.get("stdout") or "")
            if counts:
                total = sum(int(c[0]) for c in counts)
                bad = sum(int(c[1]) + int(c[2]) for c in counts)
                if test["result"] != "OK" and bad == 0:
                    bad, total = bad + 1, total + 1
                passed, failed = passed + total - bad, failed + bad
            elif test["result"] in ("OK", "EXPECTEDFAIL"):
                passed += 1
            else:
                failed += 1
    if failed or r.returncode != 0:
        out(tail("\n".join(line for line in r.stdout.splitlines() if not line.startswith("profiling:")), 120))
    if r.returncode != 0 and failed == 0:
        failed = 1
    if passed + failed == 0:
        raise Failed("no test was run")
    return passed, failed


def unit(args, out):
    for path in glob.glob(os.path.join(TOP, folder("check"), "**", "*.gcda"), recursive=True):
        os.unlink(path)  # what an earlier run has covered counts for nothing
    return meson_tests("unit", out, args.cpus)


def bus(args, out):
    """These mostly wait, so more of them run at a time than there are CPUs. What they cover is not counted (tests/bus/meson.build)."""
    return meson_tests("bus", out, args.cpus + 1)


def coverage(_args, out):
    """Checks what the unit tests reached, which were run before."""
    r = run(["gcovr", "--root", ".", "--object-directory", folder("check"),
             *[word for library in LIBRARIES for word in ("--filter", library + "/")],
             "--exclude-unreachable-branches", "--txt", "-"])
    out(r.stdout)
    covered = int(re.search(r"^TOTAL.*?(\d+)%", r.stdout, re.M).group(1))
    if covered < COVERED_PERCENT:
        raise Failed(f"{covered} % of the lines of the libraries are covered, at least {COVERED_PERCENT} % must be")
    return 1, 0


def docs(_args, _out):
    """Man pages that man itself cannot read are no man pages; examples with errors are no examples."""
    for example in run(["git", "ls-files", "conf/examples/*.conf"]).stdout.split():
        run([f"{folder('release')}/cli/overridectl", "check", example])
    pages = run(["git", "ls-files", "docs/*.[1-8]"]).stdout.split()
    for page in pages:
        r = run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page], env={"MANPAGER": "cat", "LC_ALL": "C.UTF-8"})
        if "warning" in r.stdout.split("x T utf8")[0]:
            raise Failed(f"{page}:\n" + tail(r.stdout, 10))
    return len(pages) + 1, 0


def fuzz(args, _out):
    """Each fuzzer for its part of the time. What one finds lies in the build's folder."""
    fuzzers = sorted(t["filename"][0] for t in targets("clang") if t["name"].startswith("fuzz-") and t["type"] == "executable")
    for fuzzer in fuzzers:
        name = os.path.basename(fuzzer)[len("fuzz-"):]
        corpus = os.path.join(TOP, folder("clang"), "corpus-" + name)
        os.makedirs(corpus, exist_ok=True)
        seconds = max(args.fuzz_seconds // len(fuzzers), 1)
        run([fuzzer, corpus, f"tests/fuzz/corpus-{name}", f"-dict=tests/fuzz/{name}.dict",
             f"-max_total_time={seconds}", "-max_len=8192", "-timeout=10", f"-artifact_prefix={folder('clang')}/"],
            timeout=seconds + 300)
    if not fuzzers:
        raise Failed("there is no fuzzer")
    return len(fuzzers), 0


def dist(_args, _out):
    """A release's archive has every file of the tree, and can be built without git and without tests."""
    for old in glob.glob(os.path.join(TOP, folder("release"), "meson-dist", "*")):
        os.unlink(old)
    run(["meson", "dist", "-C", folder("release"), "--no-tests", "--allow-dirty", "--formats", "gztar"])
    archive, = glob.glob(os.path.join(TOP, folder("release"), "meson-dist", "*.tar.gz"))
    with tempfile.TemporaryDirectory(prefix="driver-overrides-dist-") as work:
        shutil.unpack_archive(archive, work)
        name, = os.listdir(work)
        there = {os.path.relpath(os.path.join(base, f), os.path.join(work, name))
                 for base, _, files in os.walk(os.path.join(work, name)) for f in files}
        missing = set(run(["git", "ls-tree", "-r", "--name-only", "HEAD"]).stdout.split()) - there
        if missing:
            raise Failed(f"the archive lacks {' '.join(sorted(missing))}")
        top = os.path.join(work, name)
        run(["meson", "setup", "build", "-Dtests=false", "-Db_lto=false", "-Doptimization=0"], cwd=top)
        run(["ninja", "-C", "build"], cwd=top)
        run(["meson", "install", "-C", "build", "--no-rebuild", "--destdir", os.path.join(work, "installed")], cwd=top)
    return 1, 0


def counted(command, out):
    """Runs a program that ends with "N passed, M failed", showing what it prints before that."""
    r = subprocess.Popen(command, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    last = ""
    for line in r.stdout:
        last = line.strip() or last
        if not re.fullmatch(r"\d+ passed, \d+ failed", line.strip()):
            out("  " + line)
    status = r.wait()
    counts = re.fullmatch(r"(\d+) passed, (\d+) failed", last)
    if not counts:
        raise Failed(f"{command[0]} ended without a count, exit status {status}")
    passed, failed = int(counts[1]), int(counts[2])
    return passed, failed if failed or status == 0 else 1


def portability(_args, out):
    """Another C library and other processors: compiled only."""
    return counted(["tests/portability", "--build", folder("release")], out)


def guests(args):
    return list(guest.GUESTS) if args.guest in (None, "all") else args.guest.split(",")


def images(args, _out):
    """What the lab keeps in its cache: where that is empty, it mostly waits for packages, so it begins first."""
    emulator.command()
    for name in guests(args):
        guest.image(name)
        for generator in disk_image.VARIANTS.get(name, ()):
            disk_image.Base(name, generator, None)
    return 0, 0


def logs():
    return os.path.join(TOP, folder("release"), "logs")


def vm(args, out):
    """All scenarios, on all guests if none is named."""
    return counted(["tests/vm/run-scenarios", "--build", folder("release"), "--log-dir", logs(), "--guest", ",".join(guests(args))], out)


def first_probe(args, out):
    """The cells of the hold must be 100 %. What others do (udev, driverctl) takes an hour more and says nothing about
    this project: tests/bench/first-probe shows it, see docs/results. Guests side by side: here times do not count."""
    with concurrent.futures.ThreadPoolExecutor(len(guests(args))) as pool:
        counts = list(pool.map(lambda name: counted(
            ["tests/bench/first-probe", "--guest", name, "--build", folder("release"), "-n", "5", "--method", "hold",
             "--log-dir", logs()], out), guests(args)))
    return sum(c[0] for c in counts), sum(c[1] for c in counts)


def bench(_args, out):
    """Figures to read. One of them is a check: it fails where memory is allocated while the kernel waits for the guard."""
    release = folder("release")
    out(run([f"{release}/tests/bench/bench-enforcer", f"{release}/enforcer/driver-override", f"{release}/tests/bench/bench-nothing"]).stdout)
    out(run([f"{release}/tests/bench/bench-guard"]).stdout)
    out(run([f"{release}/tests/bench/bench-group"]).stdout)
    out(run([f"{release}/tests/bench/bench-check", f"{release}/cli/overridectl"]).stdout)
    # Not in /tmp: watching a directory takes the kernel time for each name in it that was looked up lately, and compilers and
    # tests have looked up thousands there.
    env = {"TMPDIR": "/var/tmp", "DRIVER_OVERRIDED": os.path.join(TOP, release, "daemon/driver-overrided"),
           "FAKE_ENFORCER": os.path.join(TOP, release, "tests/bus/fake-enforcer"),
           "OVERRIDECTL": os.path.join(TOP, release, "cli/overridectl"), "BENCH_SLACK": "2"}
    for name in ("service", "list"):
        out(run([f"{release}/tests/bench/bench-{name}"], env=env).stdout)
    env["DRIVER_OVERRIDE"] = os.path.join(TOP, release, "enforcer/driver-override")
    out(run([f"{release}/tests/bench/bench-in-use"], env=env).stdout)
    return 7, 0
