# SPDX-License-Identifier: LGPL-2.1-or-later
"""What one plug of one device shows, from the kernel's trace alone."""

import dataclasses

# How a sample is kept in a line of results, in this order. Times are milliseconds after the `add` uevent.
FIELDS = ("won", "first", "override_ms", "probe_ms", "bound_ms", "claim")


@dataclasses.dataclass
class Sample:
    """won: the first probe was the asked driver's; for "none": there was none. first: whose it was. override_ms: when
    the override was written, probe_ms: when the first probe began, bound_ms: when the asked driver had bound, at
    whichever try; None: never. claim: what the record said of the first probe, while the device was there."""
    won: bool
    first: str
    override_ms: float | None
    probe_ms: float | None
    bound_ms: float | None
    claim: str | None

    def row(self):
        return [int(value) if isinstance(value, bool) else value for value in dataclasses.astuple(self)]


def judge(events, driver, claim=None):
    """The Sample of a device that came once, of its events. driver: the one asked for."""
    added = [e for e in events if e.kind == "uevent" and e.text == "add" and not e.synthetic]
    if len(added) != 1:
        raise AssertionError(f"{len(added)} real add events: {[(e.kind, e.text) for e in events]}")
    begun = added[0].time

    def after(event):
        return round((event.time - begun) * 1000, 2) if event else None

    written = next((e for e in events if e.kind == "override" and e.text == driver), None)
    probes = [e for e in events if e.kind == "probe"]
    bound = None
    for event in events:
        # driver_bound() ends the probe that began last: really_probe() runs under the device's lock.
        if event.kind == "bound" and [p.text for p in probes if p.time <= event.time][-1:] == [driver]:
            bound = event
            break
    first = probes[0].text if probes else ""
    if driver == "none":
        won = not first
        if won and not written:
            raise AssertionError("no probe, and no override that could be the reason")
    else:
        won = first == driver
    return Sample(won, first, after(written), after(probes[0] if probes else None), after(bound), claim)


def why_missed(sample, driver):
    """A miss in one sentence."""
    probe = f"{sample.first} probed it {sample.probe_ms} ms after its add" if sample.first else "nobody probed it"
    if sample.override_ms is None:
        return f"{probe}; the override {driver} was never written"
    text = f"{probe}; the override {driver} was written {sample.override_ms} ms after it"
    if sample.first and sample.override_ms < sample.probe_ms:
        text += ", when the kernel had already matched the driver"
    return text


def contradiction(sample):
    """What is wrong with the claim, or None. Only what was observed may be claimed.

    `won` is claimed where the override stood before a driver was seen. The kernel's PCI code compares a second time
    (pci_device_probe()) when really_probe() has begun, and turns a driver away that the override has come to exclude,
    without a call of its own probe function: the trace shows a probe then, and nothing outside the kernel can."""
    turned_away = sample.claim == "won" and sample.bound_ms is not None
    if sample.claim in ("guaranteed", "won") and not sample.won and not turned_away:
        return f"claimed {sample.claim}, but {sample.first} probed first"
    if sample.claim == "lost" and sample.won:
        return "claimed lost, but the asked driver probed first"
    return None


def excerpt(events, kinds=("uevent", "override", "probe", "bound")):
    """The device's own lines of the trace, for people."""
    begun = events[0].time if events else 0
    return "".join(
        f"    {event.time:12.6f} {(event.time - begun) * 1000:+10.3f} ms  {event.task}-{event.pid}: {event.kind}"
        f"{' (asked for)' if event.synthetic else ''} {event.text}".rstrip() + "\n"
        for event in events if event.kind in kinds)
