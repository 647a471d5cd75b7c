# SPDX-License-Identifier: LGPL-2.1-or-later
"""overridectl on the private bus and the mock tree of private.py, for its tests. Meson sets OVERRIDECTL, and the variables of
private.py."""
import contextlib
import functools
import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
import unittest

import private

HERE = os.path.dirname(os.path.abspath(__file__))
CARD = "pci/0000:00:03.0"
ETHERNET = "platform/fff51000.ethernet"
SOMEBODY = 65534


@functools.lru_cache(None)
def uncounted_folder():
    """Where a build for coverage leaves its counts, which nobody looks at. Anybody may write there: where it cannot, it says so on
    standard error."""
    folder = tempfile.TemporaryDirectory(prefix="driver-overrides-counts-")  # pylint: disable=consider-using-with
    os.chmod(folder.name, 0o1777)
    return folder


def base_environment(**more):
    """Nothing of the tester's own but the search path, and what the builds for tests need."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("ASAN_", "UBSAN_", "LSAN_"))}
    if "GCOV_PREFIX" in os.environ:
        kept.update(GCOV_PREFIX=uncounted_folder().name, GCOV_PREFIX_STRIP="99", GCOV_ERROR_FILE="/dev/null")
    return {"PATH": os.environ["PATH"], **kept, **more}


# Where a command that is shown asks: the places that each call of these tests names.
PLACES = re.compile(r"(?<=overridectl)(?: --address='[^']*')? --sysfs=ROOT/sys --state-dir=ROOT/state(?: --conf-dir=ROOT/\w+)+(?= )")


def without_places(text, root):
    """Text with ROOT in the place of the folder, and with the commands in it as they would be of an installed system."""
    return PLACES.sub("", text.replace(root, "ROOT"))


class Result:
    """What a call printed, and its status. Of the commands that are shown, the places are left out of all but `shown`, which has them
    as words."""

    def __init__(self, process, root):
        self.status, self.bytes = process.returncode, process.stdout
        err, out = process.stderr.decode(), process.stdout.decode(errors="replace")
        self.shown = [shlex.split(line.split(": overridectl ")[1]) for line in err.splitlines() if ": overridectl " in line]
        self.err, self.out = (without_places(text, root) for text in (err, out))

    @property
    def json(self):
        return json.loads(self.out)


class Machine:
    """The tree, its bus and its service, which may be stopped."""

    def __init__(self, root, stack):
        self.root, self.stack = root, stack

    def places(self):
        words = ["--sysfs", f"{self.root}/sys", "--state-dir", f"{self.root}/state"]
        for name in ("etc", "run", "usr"):
            words += ["--conf-dir", f"{self.root}/{name}"]
        return words

    def command(self, *arguments, address=True):
        bus = ["--address", os.environ["DBUS_SYSTEM_BUS_ADDRESS"]] if address else []
        return [os.environ["OVERRIDECTL"], *self.places(), *bus, *arguments]

    def run(self, *arguments, address=True, user=None, **options):
        environment = base_environment(**{"LC_ALL": "C.UTF-8", **options.pop("env", {})})
        return Result(subprocess.run(self.command(*arguments, address=address), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, check=False, timeout=120, user=user, env=environment, **options),
                      self.root)

    def run_from_afar(self, *arguments, user=None):
        """A call with --host=far, over a program that stands for ssh and joins this machine's bus; ssh-calls has a line for each."""
        ssh = f"{self.root}/bin/ssh"
        private.write(ssh, f"#!/bin/sh\n{{ echo >>{self.root}/ssh-calls; }} 2>/dev/null\n"
                           f"exec systemd-stdio-bridge --bus-path={os.environ['DBUS_SYSTEM_BUS_ADDRESS']}\n")
        os.chmod(ssh, 0o755)
        environment = base_environment(LC_ALL="C.UTF-8")
        environment["PATH"] = f"{self.root}/bin:{environment['PATH']}"
        return Result(subprocess.run([os.environ["OVERRIDECTL"], "--host=far", *arguments], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, check=False, timeout=60, user=user),
                      self.root)

    def run_unread(self, *arguments):
        """Status and errors of a call with SIGPIPE ignored, as below systemd, whose output nobody reads any more."""
        reader, writer = os.pipe()
        os.close(reader)
        before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        try:
            done = subprocess.run(self.command(*arguments), stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE, check=False,
                                  timeout=60, text=True, env=base_environment(), restore_signals=False)
        finally:
            signal.signal(signal.SIGPIPE, before)
            os.close(writer)
        return done.returncode, done.stderr

    def write(self, path, text):
        """At once and whole, so that a policy file counts at once: its two times must be of different ticks of the kernel."""
        private.write(f"{self.root}/new", text)
        time.sleep(0.02)
        os.rename(f"{self.root}/new", f"{self.root}/{path}")

    def read(self, path):
        with open(f"{self.root}/{path}", encoding="utf-8") as stream:
            return stream.read()

    def faults(self, text):
        """What the fake enforcer is to find; see fake-enforcer.c."""
        self.write("faults", text)

    def policy(self, text, name="50-a.conf", folder="etc"):
        """A person's file, which the service has read and enforced when this returns."""
        self.write(f"{folder}/{name}", text)
        self.run("reload")
        self.wait(lambda: all(device["state"] != "pending" for device in self.run("list", "--json").json["devices"]))

    @staticmethod
    def wait(condition):
        """However slow the machine is."""
        end = time.monotonic() + 60
        while not condition():
            if time.monotonic() > end:
                raise AssertionError("it does not come")
            time.sleep(0.02)

    def driver(self, device=CARD):
        link = f"{self.root}/sys/bus/{device.replace('/', '/devices/', 1)}/driver"
        return os.path.basename(os.readlink(link)) if os.path.islink(link) else ""


class Case(unittest.TestCase):
    """A test with a machine of its own."""
    maxDiff = None

    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        root = stack.enter_context(private.service())
        os.chmod(root, 0o755)
        self.machine = Machine(root, stack)

    def run_verb(self, *arguments, status=0, **options):
        """Runs it, and checks the status."""
        result = self.machine.run(*arguments, **options)
        self.assertEqual(result.status, status, f"{arguments}: {result.out}{result.err}")
        return result

    def check_golden(self, name, *arguments, **options):
        """What is printed as text and as JSON is what golden/NAME.txt and NAME.json have; JSON is compared by its content, since
        json-c from 0.18 on prints empty lists in another way. With GOLDEN=write in the environment, the files are written."""
        text = without_inodes(re.sub(r"[ \t]+\n", "\n", self.run_verb(*arguments, **options).out))
        document = self.run_verb("--json", *arguments, **options)
        self.assertEqual(document.out.count("\n"), 1)
        self.assertEqual(self.run_verb("--json=pretty", *arguments, **options).json, document.json)
        self.compare(f"{name}.txt", text, lambda found: found)
        self.compare(f"{name}.json", without_inodes(json.dumps(document.json, indent=1, ensure_ascii=False)) + "\n", json.loads)
        self.check_schema(arguments[0] if arguments else "list", document.json)

    def compare(self, name, text, parse):
        path = f"{HERE}/golden/{name}"
        if os.environ.get("GOLDEN") == "write":
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)
        with open(path, encoding="utf-8") as stream:
            self.assertEqual(parse(text), parse(stream.read()), name)

    def check_schema(self, verb, document):
        """Against docs/schema/VERB.json."""
        with open(f"{HERE}/../../docs/schema/{verb}.json", encoding="utf-8") as stream:
            check_value(json.load(stream), document, verb)


def without_inodes(text):
    """Identities begin with a number that differs from run to run."""
    return re.sub(r"\b\d+:(?=(pci|of|platform|acpi):|\n)", "INODE:", text)


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}


def check_value(schema, value, where):
    """As much of JSON Schema as docs/schema uses, so that no package is needed."""
    unknown = set(schema) - {"$schema", "title", "description", "type", "properties", "required", "additionalProperties", "items",
                             "enum"}
    if unknown:
        raise AssertionError(f"{where}: the schema has {unknown}, which is not checked")
    kind = TYPES[schema["type"]]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise AssertionError(f"{where}: {value!r} is not of type {schema['type']}")
    if "enum" in schema and value not in schema["enum"]:
        raise AssertionError(f"{where}: {value!r} is none of {schema['enum']}")
    if kind is dict:
        properties = schema["properties"]
        if set(value) - set(properties):
            raise AssertionError(f"{where}: {set(value) - set(properties)} is not in the schema")
        if set(schema["required"]) - set(value):
            raise AssertionError(f"{where}: {set(schema['required']) - set(value)} is missing")
        for key, member in value.items():
            check_value(properties[key], member, f"{where}.{key}")
    elif kind is list:
        for index, member in enumerate(value):
            check_value(schema["items"], member, f"{where}[{index}]")
