#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Entries of the journal: code, catalogue and man page have the same message ids, and systemd can read the catalogue."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CATALOG = "conf/driver-overrides.catalog"


def text_of(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


class MessageIds(unittest.TestCase):
    def setUp(self):
        self.code = text_of("state/device-event.c")
        self.ids = set(re.findall(r'"([0-9a-f]{32})"', self.code))

    def test_catalogue_and_man_page_have_each_id(self):
        self.assertTrue(self.ids)
        self.assertEqual(set(re.findall(r"^-- ([0-9a-f]{32})$", text_of(CATALOG), re.MULTILINE)), self.ids)
        self.assertEqual(set(re.findall(r"^\.B ([0-9a-f]{32})$", text_of("docs/driver-overrided.8"), re.MULTILINE)), self.ids)

    def test_catalogue_and_man_page_name_fields_of_the_code(self):
        fields = set(re.findall(r'"(DRIVER_OVERRIDE_\w+)"', self.code))
        self.assertLessEqual(set(re.findall(r"@(\w+)@", text_of(CATALOG))), fields)
        self.assertEqual(set(re.findall(r"(DRIVER_OVERRIDE_\w+)=", text_of("docs/driver-overrided.8"))), fields)

    def test_systemd_reads_the_catalogue(self):
        with tempfile.TemporaryDirectory() as root:
            folder = os.path.join(root, "usr/lib/systemd/catalog")
            os.makedirs(folder)
            os.makedirs(os.path.join(root, "var/lib/systemd/catalog"))
            shutil.copy(os.path.join(TOP, CATALOG), folder)
            subprocess.run(["journalctl", f"--root={root}", "--update-catalog"], check=True)
            listed = subprocess.run(["journalctl", f"--root={root}", "--list-catalog", "--no-pager"], check=True,
                                    stdout=subprocess.PIPE, text=True).stdout
        self.assertEqual({line.split()[0] for line in listed.splitlines()}, self.ids)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main()
