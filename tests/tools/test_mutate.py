#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tools/mutate tells an edit that is noticed from one that survives, does not apply or does not compile."""
import os
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

FILES = {
    "meson.build": "project('small', 'c')\n"
                   "test('sum', executable('sum', 'sum.c'), suite: 'unit')\n"
                   "test('other', executable('other', 'other.c'), suite: 'bus')\n",
    "sum.c": "static int add(int a, int b)\n{\n\treturn a + b;\n}\n\nint main(void)\n{\n\treturn add(2, 3) == 5 ? 0 : 1;\n}\n",
    "other.c": "int main(void)\n{\n\treturn 0;\n}\n",
}
LIST = """# a sum that is a difference
sum.c\tunit\t\\treturn a + b;\\n\t\\treturn a - b;\\n
# a product, tested by what does not look at it
sum.c\tother,other other\ta + b\ta * b
sum.c\tsum\ta + c\ta - c
sum.c\tsum\ta + b\ta +
other.c\tbus\treturn 0\treturn 1
"""


class Mutate(unittest.TestCase):
    def test_what_becomes_of_each_edit(self):
        with tempfile.TemporaryDirectory() as top:
            for name, text in {**FILES, "list.txt": LIST}.items():
                with open(os.path.join(top, name), "w", encoding="utf-8") as stream:
                    stream.write(text)
            subprocess.run("git init -q . && git add .", shell=True, cwd=top, check=True)
            r = subprocess.run([sys.executable, os.path.join(TOP, "tools", "mutate"), "--top", top, os.path.join(top, "list.txt")],
                               stdout=subprocess.PIPE, text=True)
            lines = [line for line in r.stdout.splitlines() if line.startswith(("ok ", "FAIL "))]
            self.assertEqual(len(lines), 5, r.stdout)
            for line, wanted in zip(lines, ("ok   list.txt:2: sum.c: a sum that is a difference: killed", "survived other other other",
                                            "does not apply: what it replaces is 0 times", "does not compile",
                                            "other.c: return 0: killed")):
                self.assertIn(wanted, line)
            self.assertEqual((r.stdout.splitlines()[-1], r.returncode), ("2 killed, 3 failed", 1))
            r = subprocess.run([sys.executable, os.path.join(TOP, "tools", "mutate"), "--check", "--top", top,
                                os.path.join(top, "list.txt")], stdout=subprocess.PIPE, text=True)
            self.assertEqual((len(r.stdout.splitlines()), r.returncode), (1, 1), r.stdout)
            self.assertIn("list.txt:5: sum.c: a + c: does not apply", r.stdout)
            for name, text in FILES.items():  # the tree itself was left alone
                with open(os.path.join(top, name), encoding="utf-8") as stream:
                    self.assertEqual(stream.read(), text)


if __name__ == "__main__":
    unittest.main()
