#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""check-names and check-layers name each kind of fault, planted in a small tree, and nothing in that tree without it."""
import os
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# REUSE-IgnoreStart
HEAD = "/* SPDX-License-Identifier: LGPL-2.1-or-later */\n/* What this file is for. */\n"
# REUSE-IgnoreEnd

CLEAN = {
    "base/text.h": "#pragma once\n\nint text_read(const char *path);\n",
    "base/text.c": '#include "base/text.h"\n\nint text_read(const char *path)\n{\n\treturn path ? 0 : -1;\n}\n',
    "policy/rule.h": '#pragma once\n#include "base/text.h"\n\nstruct rule {\n\tint line;\n};\n\nint rule_read(struct rule *r);\n',
    "policy/rule.c": '#include "policy/rule.h"\n\nstatic int rule_check_line(struct rule *r)\n{\n\treturn r->line;\n}\n\n'
                     "int rule_read(struct rule *r)\n{\n\treturn rule_check_line(r) + text_read(\"a\");\n}\n",
    "enforce/apply.c": '#include "policy/rule.h"\n\nint apply_rule(struct rule *r)\n{\n\treturn rule_read(r);\n}\n',
    "explain/sentence.c": "int sentence_say(void)\n{\n\treturn 0;\n}\n",
    "daemon/main.c": '#include "policy/rule.h"\n\nint main(void)\n{\n\tstruct rule r = { 0 };\n\treturn rule_read(&r);\n}\n',
}


def one_function(name, calls, lines=0):
    return f"int {name}(void)\n{{\n" + "\tasm(\"\");\n" * lines + f"\treturn {calls};\n}}\n"


class PlantedFaults(unittest.TestCase):
    def run_check(self, tool, changes):
        """What the tool says about the clean tree with these files put in, or put behind what is there."""
        with tempfile.TemporaryDirectory() as top:
            files = {path: HEAD + text for path, text in CLEAN.items()}
            for path, text in changes.items():
                files[path] = files[path] + text if path in files else text
            for path, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(top, path)), exist_ok=True)
                with open(os.path.join(top, path), "w", encoding="utf-8") as stream:
                    stream.write(text)
            r = subprocess.run([sys.executable, os.path.join(TOP, "tools", tool), top], stdout=subprocess.PIPE, text=True)
            self.assertEqual(r.returncode, 1 if r.stdout else 0)
            return r.stdout

    def assert_found(self, tool, changes, *wanted):
        found = self.run_check(tool, changes)
        for sentence in wanted:
            self.assertIn(sentence, found)
        self.assertEqual(len([line for line in found.splitlines() if not line.startswith(" ")]), 1, found)

    def test_the_clean_tree_has_no_fault(self):
        self.assertEqual(self.run_check("check-names", {}), "")
        self.assertEqual(self.run_check("check-layers", {}), "")

    def test_a_static_function_of_one_word(self):
        self.assert_found("check-names", {"policy/rule.c": "\nstatic int run(void)\n{\n\treturn 0;\n}\n"},
                          "policy/rule.c:15: static function run")

    def test_a_static_function_of_one_word_whose_arguments_take_two_lines(self):
        self.assert_found("check-names",
                          {"policy/rule.c": "\nstatic const char *run(int a,\n\t\t       int b)\n{\n\treturn 0;\n}\n"},
                          "static function run")

    def test_usage_and_main_may_be_one_word(self):
        self.assertEqual(self.run_check("check-names", {"daemon/main.c": "\nstatic int usage(void)\n{\n\treturn 2;\n}\n"}), "")

    def test_inline_functions_that_extend_libc_may_be_one_word_in_base_only(self):
        inline = "\nstatic inline int streq(void)\n{\n\treturn 0;\n}\n"
        self.assertEqual(self.run_check("check-names", {"base/text.h": inline}), "")
        self.assert_found("check-names", {"policy/rule.h": inline}, "static function streq")

    def test_one_word_in_a_test_is_free(self):
        self.assertEqual(self.run_check("check-names", {"tests/unit/test-rule.c": HEAD + "static int run(void)\n{\n}\n"}), "")

    def test_two_functions_of_one_name(self):
        self.assert_found("check-names", {"enforce/apply.c": "\nstatic int rule_check_line(void)\n{\n\treturn 0;\n}\n"},
                          "function rule_check_line: there is another one in")

    def test_a_stub_has_the_names_of_what_it_replaces(self):
        self.assertEqual(self.run_check("check-names", {"base/text-none.c": HEAD + one_function("text_read", "0")}), "")

    def test_two_types_of_one_name(self):
        self.assert_found("check-names", {"enforce/apply.c": "\nenum rule {\n\tRULE_ONE,\n};\n"},
                          "there is another type of this name in")

    def test_two_files_of_one_name(self):
        self.assert_found("check-names", {"daemon/operation/rule.h": HEAD}, "there is another file rule in")

    def test_a_file_name_in_ing(self):
        self.assert_found("check-names", {"daemon/surveying.c": HEAD}, "daemon/surveying.c:1: a file is named for a thing")
        self.assert_found("check-names", {"tests/vm/lab/guarding.py": "# SPDX-License-Identifier: X\n# Why.\n"},
                          "tests/vm/lab/guarding.py:1: a file is named")

    def test_a_long_function(self):
        self.assertEqual(self.run_check("check-names", {"daemon/work.c": HEAD + one_function("work_do", "0", 56)}), "")
        self.assert_found("check-names", {"daemon/work.c": HEAD + one_function("work_do", "0", 57)},
                          "daemon/work.c:3: function work_do: 61 lines")

    def test_a_long_file_of_tests_too(self):
        self.assertEqual(self.run_check("check-names", {"tests/unit/test-rule.c": HEAD + "\n" * 498}), "")
        self.assert_found("check-names", {"tests/unit/test-rule.c": HEAD + "\n" * 499}, "test-rule.c:501: 501 lines")

    def test_a_file_without_licence_or_purpose(self):
        self.assert_found("check-names", {"policy/match.h": "#pragma once\n"}, "policy/match.h:1: does not begin with SPDX")
        self.assert_found("check-names", {"policy/match.h": "/* SPDX-License-Identifier: X */\n#pragma once\n"},
                          "policy/match.h:2: does not say what the file is for")
        self.assert_found("check-names", {"tests/tools/run": "#!/bin/sh\n# SPDX-License-Identifier: X\nset -e\n"},
                          "tests/tools/run:2: does not say what the file is for")

    def test_a_document_that_names_a_file_which_is_gone(self):
        self.assert_found("check-names", {"docs/way.md": "`policy/rule.c`, then\n`policy/gone.c`\n"},
                          "docs/way.md:2: there is no policy/gone.c")
        self.assert_found("check-names", {"docs/way.md": "[a page](design/gone.md), [the rules](way.md)\n"},
                          "docs/way.md:1: there is no docs/design/gone.md")

    def test_a_lower_folder_that_includes_a_higher_one(self):
        self.assert_found("check-layers", {"base/text.c": '#include "policy/rule.h"\n'},
                          "base/text.c:9: includes policy/rule.h, and base/ must not know policy/")

    def test_a_lower_folder_that_calls_a_higher_one(self):
        self.assert_found("check-layers", {"policy/rule.c": "\nint apply_rule(struct rule *);\n\n"
                                           "int rule_do(struct rule *r)\n{\n\treturn apply_rule(r);\n}\n"},
                          "policy/rule.c:19: mentions apply_rule() of enforce/apply.c, and policy/ must not know enforce/")

    def test_a_function_that_is_handed_over_is_known_as_well(self):
        self.assert_found("check-layers", {"policy/rule.c": "\nvoid *rule_hook = apply_rule;\n"}, "mentions apply_rule()")

    def test_the_service_must_not_know_the_enforcer(self):
        self.assert_found("check-layers", {"enforce/apply.h": HEAD, "daemon/main.c": '#include "enforce/apply.h"\n'},
                          "daemon/ must not know enforce/")

    def test_explain_and_enforce_must_not_know_each_other(self):
        self.assert_found("check-layers", {"explain/sentence.c": "\nint apply_rule(void *);\nint (*hook)(void *) = apply_rule;\n"},
                          "explain/ must not know enforce/")
        self.assert_found("check-layers", {"enforce/apply.c": "\nint (*hook)(void) = sentence_say;\n"},
                          "enforce/ must not know explain/")

    def test_names_in_comments_strings_fields_and_variables_are_no_calls(self):
        self.assertEqual(self.run_check("check-layers", {
            "policy/rule.c": "\n/* apply_rule() */\nconst char *rule_text = \"apply_rule()\";\n"
                             "int rule_do(struct rule *r)\n{\n\tint apply_rule = 0;\n\treturn apply_rule + r->apply_rule;\n}\n"}), "")

    def test_an_include_that_is_not_from_the_top(self):
        self.assert_found("check-layers", {"policy/rule.c": '#include "rule.h"\n'}, "write it from the top of the tree")

    def test_five_files_in_a_circle_and_four(self):
        def circle(files):
            return {f"daemon/step{n}.c": HEAD + one_function(f"step{n}", f"step{(n + 1) % files}()") for n in range(files)}
        self.assertEqual(self.run_check("check-layers", circle(4)), "")
        self.assert_found("check-layers", circle(5), "5 files form a circle", "daemon/step4 -> daemon/step0")


if __name__ == "__main__":
    unittest.main()
