#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/troubleshooting.md: what it quotes is what the programs print, its verbs and options are there, and it recommends nothing
that does harm."""
import glob
import os
import re
import sys
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ("cli", "explain", "state", "enforce", "enforcer", "sysfs", "policy", "daemon", "daemon/*")


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def literals():
    """All that the programs may print: string literals, put together as the compiler does, cut where something is put in."""
    found = []
    for folder in FOLDERS:
        for path in glob.glob(os.path.join(TOP, folder, "*.c")):
            with open(path, encoding="utf-8") as f:
                text = re.sub(r'(?<=[^\\])"\s*\n\s*"', "", f.read())
            found += re.findall(r'"((?:[^"\\\n]|\\.)*)"', text)
    return "\n".join(re.sub(r"%[-0-9.*]*[a-z]+", "\n", literal) for literal in found)


PAGE = read("docs/troubleshooting.md")
BLOCKS = [line[4:] for line in PAGE.splitlines() if line.startswith("    ")]


class Page(unittest.TestCase):
    def test_programs_print_what_is_quoted(self):
        text = literals()
        quoted = [line.removeprefix("overridectl: ") for line in BLOCKS if not line.startswith("$ ")]
        self.assertGreater(len(quoted), 15)
        for line in quoted:
            for part in line.split("…"):
                self.assertIn(part.strip(" "), text, line)

    def test_being_switched_off_comes_first(self):
        self.assertIn("driver_overrides=off", BLOCKS[0])

    def test_verbs_are_there(self):
        verbs = set(re.findall(r'^\t\{ "([a-z]+)", "', read("cli/main.c"), re.MULTILINE))
        named = set(re.findall(r"overridectl ([a-z]+)", PAGE))
        self.assertGreater(len(named), 5)
        self.assertLessEqual(named, verbs)

    def test_udevadm_test_is_recommended_nowhere(self):
        pages = glob.glob(os.path.join(TOP, "docs", "*.[1-9m]*")) + [os.path.join(TOP, "README.md")]
        for path in pages:
            with open(path, encoding="utf-8") as f:
                text = re.sub(r"\\-", "-", " ".join(f.read().split()))
            for found in re.finditer(r"udevadm test", text):
                self.assertRegex(text[max(0, found.start() - 60):found.start()], "Do not use", path)

    def test_others_lead_to_it(self):
        for path in ("README.md", "docs/overridectl.1", "docs/driver-overrides.d.5", "docs/driver-overrided.8", "docs/driver-override.8",
                     "docs/driver-override-guard.8"):
            self.assertIn("troubleshooting.md", read(path), path)
        self.assertIn("troubleshooting.md", read("docs/meson.build"))


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main()
