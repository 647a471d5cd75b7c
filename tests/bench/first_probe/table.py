# SPDX-License-Identifier: LGPL-2.1-or-later
"""Results: lines of JSON, one for each run of a method, kind and load; and the one table of any number of them."""

import json
import statistics

from .kinds import KINDS, PLUGS
from .methods import METHODS
from .sample import Sample

LOADS = ("idle", "busy")
WORDS = {"hot-plug": "e1000e card into a root port", "vf": "virtual function of an NVMe controller",
         "platform": "snd-dummy, a platform device"}


def line(run, samples, counters):
    """run: what tells this run (date, guest, kernel, method, ...). samples: {plug: [Sample]}; see sample.FIELDS."""
    return json.dumps({**run, **counters, **{plug: [s.row() for s in samples[plug]] for plug in PLUGS}},
                      separators=(",", ":"))


def read(paths):
    runs = []
    for path in paths:
        with open(path, encoding="utf-8") as stream:
            for text in stream:
                run = json.loads(text)
                for plug in PLUGS:
                    run[plug] = [Sample(bool(row[0]), *row[1:]) for row in run[plug]]
                runs.append(run)
    return runs


def brief(milliseconds):
    return f"{milliseconds:.0f}" if milliseconds >= 100 else f"{milliseconds:.1f}"


def cell(samples, driver):
    """Won of all, and the time: from `add` to the asked driver bound; where none is asked for, to the override."""
    times = [s.override_ms if driver == "none" else s.bound_ms for s in samples]
    seen = [t for t in times if t is not None]
    text = f"{sum(s.won for s in samples)}/{len(samples)}"
    if seen:
        text += f" · {brief(statistics.median(seen))} ({brief(min(seen))}–{brief(max(seen))})"
    if len(seen) < len(times):
        text += f" · {len(times) - len(seen)} never"
    return text


def claims(samples):
    """How often each word was claimed, for the methods that claim something."""
    words = [s.claim for s in samples if s.claim]
    return ", ".join(f"{words.count(w)} {w}" for w in ("guaranteed", "won", "lost", "unknown", "nothing") if w in words)


def short(kernel):
    return ".".join(kernel.split(".")[:2]) + (" RT" if "-rt-" in kernel else "")


def markdown(runs):
    """One table: a row for each kind, load and method, two columns for each kernel."""
    guests = sorted({(run["guest"], short(run["kernel"])) for run in runs},
                    key=lambda g: ["RT" in g[1], *(int(n) for n in g[1].removesuffix(" RT").split("."))])
    heads = [f"{kernel} {plug}" for _, kernel in guests for plug in PLUGS]
    lines = ["| device, load | method | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
    for kind in KINDS.values():
        for load in LOADS:
            for method in METHODS:
                mine = [r for r in runs if (r["kind"], r["load"], r["method"]) == (kind.name, load, method)]
                if not mine:
                    continue
                cells = []
                for guest, kernel in guests:
                    here = [r for r in mine if (r["guest"], short(r["kernel"])) == (guest, kernel)]
                    for plug in PLUGS:
                        samples = [s for r in here for s in r[plug]]
                        cells.append(cell(samples, kind.driver) if samples else "not run")
                lines.append(f"| {kind.name}, {load} | {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def kernels(runs):
    """What was measured on: a line for each guest."""
    found = {}
    for run in runs:
        about = found.setdefault((run["guest"], run["kernel"]), {"dates": set(), "tools": set()})
        about["dates"].add(run["date"][:10])
        if run.get("tool"):
            about["tools"].add(("driverctl " if run["method"] == "driverctl" else "this project at ") + run["tool"])
    return "\n".join(f"- {guest}: Linux {kernel}, " + ", ".join(sorted(about["tools"]))
                     + f", measured {' and '.join(sorted(about['dates']))}"
                     for (guest, kernel), about in sorted(found.items()))


def holds(runs):
    """What the guard counted while it held, added up."""
    held = [run for run in runs if "holds" in run]
    if not held:
        return ""
    return (f"Holds: {sum(r['holds'] for r in held)}; reached the limit: {sum(r['expired'] for r in held)}; "
            f"longest: {max(r['longest_ms'] for r in held):.1f} ms. Claims of hold: "
            f"{claims([s for r in held for p in PLUGS for s in r[p]])}; of no-hold: "
            f"{claims([s for r in runs if r['method'] == 'no-hold' for p in PLUGS for s in r[p]]) or 'not run'}.")


def report(runs):
    legend = ("Each cell: first probes won of all · median (least–most) milliseconds from the `add` uevent to the asked "
              "driver bound, at\nwhichever try (platform: `none` is asked for, so until the override stood) · how many "
              "never got there. first, second: the plug\nunder one name.")
    return "\n\n".join(part for part in (markdown(runs), legend, kernels(runs), holds(runs)) if part)
