# SPDX-License-Identifier: LGPL-2.1-or-later
"""What check-names and check-layers read of a C file: functions, types, includes and the names that are mentioned.

No parser: it relies on the layout that clang-format gives this tree (a function's braces are in the first column).
"""
import os
import re

LIBRARIES = ["base", "policy", "state", "sysfs", "enforce", "explain"]
PROGRAMS = ["enforcer", "guard", "daemon", "cli"]
PRODUCTION = LIBRARIES + PROGRAMS

# Macros that define a function; its name is their first argument.
DEFINING_MACROS = {"BPF_PROG", "BPF_KPROBE", "START_TEST"}
NO_NAMES = {"if", "for", "while", "switch", "return", "sizeof", "__attribute__", "SEC", "_printf_", "_cleanup_"}


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def code_only(text):
    """The text without comments, and with empty strings; lines keep their numbers."""
    def one(match):
        found = match.group(0)
        return blank(match) if found.startswith("/") else found[0] + found[0]
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', one, text, flags=re.S)


class Function:
    """A function definition: its name, whether it is static, and its first and last line."""

    def __init__(self, name, static, first, last):
        self.name, self.static, self.first, self.last = name, static, first, last

    @property
    def lines(self):
        return self.last - self.first + 1


class Source:
    """One file, of which `path` is relative to the top of the tree."""

    def __init__(self, top, path):
        self.path = path
        with open(os.path.join(top, path), encoding="utf-8", errors="replace") as stream:
            self.text = stream.read()
        self.code = code_only(self.text)
        self.functions = list(self._functions())
        self.variables = {}  # names that are variables here, as check-layers finds out

    @property
    def folder(self):
        return self.path.split("/", 1)[0]

    @property
    def stem(self):
        return os.path.splitext(os.path.basename(self.path))[0]

    def includes(self):
        """(line, path) of each #include "…"."""
        for number, line in enumerate(self.text.splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if found:
                yield number, found[1]

    def types(self):
        """(line, kind, name) of each struct, union and enum that is defined, not only mentioned."""
        for found in re.finditer(r"\b(struct|union|enum)\s+(?:__attribute__\s*\(\(.*?\)\)\s*)?(\w+)\s*\{", self.code):
            yield self.code.count("\n", 0, found.start()) + 1, found[1], found[2]

    def bodies(self):
        """The code inside functions, initialisers and macros: where others are called, not declared."""
        code = self.code
        if self.path.endswith(".h"):
            inside = {n for f in self.functions for n in range(f.first, f.last)}
            return "\n".join(line if n in inside else "" for n, line in enumerate(code.splitlines()))
        # Prototypes: declarations at the first column that end with `);`.
        return re.sub(r"^[A-Za-z_][^;{}=#]*\)\s*(?:__attribute__\s*\(\([^;{}]*\)\)\s*)?;", blank, code, flags=re.M)

    def _functions(self):
        lines = self.code.splitlines()
        for opening, line in enumerate(lines):
            if line.rstrip() != "{" or opening == 0:
                continue
            first = opening
            while first > 0 and lines[first - 1].strip() and not re.match(r"#|.*[;}]\s*$", lines[first - 1]):
                first -= 1
            name = function_name(" ".join(lines[first:opening]))
            if not name:
                continue
            last = next((n for n in range(opening, len(lines)) if lines[n].startswith("}")), len(lines) - 1)
            yield Function(name, bool(re.search(r"\bstatic\b", " ".join(lines[first:opening]))), first + 1, last + 1)


def function_name(head):
    """The name in what stands before a function's opening brace; None if that is no function."""
    groups = []
    depth = 0
    for at, character in enumerate(head):
        if character == "(":
            if depth == 0:
                word = re.search(r"(\w+)\s*$", head[:at])
                groups.append((word[1] if word else "", at))
            depth += 1
        elif character == ")":
            depth -= 1
    for word, at in reversed(groups):
        if word in DEFINING_MACROS:
            return re.match(r"\s*(\w+)", head[at + 1:])[1]
        if word and word not in NO_NAMES and not word.startswith("__"):
            return word
    return None


def find_sources(top, folders, suffixes=(".c", ".h")):
    """The files of these folders, sorted, without what was built."""
    found = []
    for folder in folders:
        for base, below, names in os.walk(os.path.join(top, folder)):
            below[:] = sorted(b for b in below if not b.startswith((".", "build", "__pycache__")))
            for name in names:
                if name.endswith(suffixes):
                    found.append(os.path.relpath(os.path.join(base, name), top))
    return [Source(top, path) for path in sorted(found)]


def module(path):
    """What counts as one file: a .c with its own .h, and a stub with what it replaces."""
    stem = os.path.splitext(path)[0]
    return stem[:-len("-none")] if stem.endswith("-none") else stem


def is_stub_pair(one, other):
    """Whether one of two .c files stands in for the other, so that the same names are in both."""
    return one != other and one.endswith(".c") and other.endswith(".c") and module(one) == module(other)
