# SPDX-License-Identifier: LGPL-2.1-or-later
"""overridectl in a guest: each verb with each status as root, as a user and over ssh, and terminals of all kinds."""

import difflib
import json
import os
import re
import shlex
import tempfile

from lab.bus import UNIT, policy_files
from lab.command import PATIENCE
from lab.command_line import USER, calls, elsewhere, serve_ssh
from lab.device import path, probed, rule, traced
from lab.guard_unit import CONF, OUTER
from lab.scenario import scenario

CARD, QUIET = "0000:01:00.0", "QEMU0002:00"
RULES = rule("quiet", Bus="platform", Name=QUIET, Driver="none")
MACHINE = dict(guests=OUTER, guard=True, service=True, lasts=120, written={CONF: RULES}, plugged=["e1000e,bus=rp0"])

# What needs no permission: words, status, and what is said.
READING = [
    ("", 0, QUIET), ("list --all", 0, CARD), (f"show {CARD}", 0, "e1000e"), ("groups", 0, CARD),
    (f"set {CARD} vfio-pci --dry-run", 0, "would be enforced"), (f"wait {QUIET}", 0, ""),
    (f"wait {CARD} --state=enforced --timeout=0", 1, "timed out"), ("show nosuch", 1, "no such device"),
    ("lists", 2, "did you mean list"), ("show", 2, "no device is named"), ("list --nosuch", 2, "nosuch"),
]
# Of these all but the first are only about this machine.
LOCAL = [("explain 01:00.0", 0, "e1000e"), ("check", 0, "0 errors"), ("explain nosuch", 1, "no such device"),
         ("check /nosuch", 1, "nosuch"), ("explain", 2, "explain"), ("check --all", 2, "all"),
         ("snapshot -", 0, CARD), ("snapshot /nosuch/file", 1, "nosuch"), ("snapshot", 2, "snapshot"),
         ("import driverctl", 0, "Nothing to import"), ("rehearse", 0, QUIET), ("rehearse x", 2, "rehearse"),
         ("import libvirt /nosuch", 1, "nosuch"), ("import nosuch", 2, "nosuch")]
# In this order: the card is at e1000e before and after. It is the only network card, so it takes force to have it kept from the
# next boot.
CHANGING = [
    (f"set {CARD} vfio-pci --force", 0, "e1000e -> vfio-pci, enforced"), (f"set {CARD} vfio-pci --force", 0, "nothing was changed"),
    (f"apply {CARD}", 0, ""), (f"release {CARD}", 0, ""), ("apply", 0, ""), ("reload", 0, ""), (f"unset {CARD}", 0, "-> e1000e"),
]
REFUSED = [(f"set {CARD} vfio-pci", 1, "the next boot would lack a network card"), (f"set {CARD} nosuch --runtime", 1, "no driver nosuch"), (f"unset {QUIET}", 1, f"{CONF}:1"), ("release nosuch", 1, "no such device"),
           ("apply nosuch", 1, "no such device"), (f"set {CARD}", 2, "set"), ("unset", 2, "unset"), ("reload x", 2, "reload"),
           ("apply --runtime", 2, "runtime"), ("release", 2, "release"), ("wait", 2, "no device is named"), ("monitor x", 2, "monitor"),
           ("groups --state=x", 2, "state"), ("confirm", 1, "on trial")]
# Of those that change something, and what a user is told.
NOT_PERMITTED = [(words, 1, "not permitted") for words, status, _ in CHANGING if status == 0]


def as_said(vm, wanted, **how):
    for (words, status, text), answer in zip(wanted, calls(vm, [words for words, *_ in wanted], **how)):
        assert answer.status == status, (words, answer)
        assert text in answer.out + answer.err, (words, answer)
        assert (status == 0) == (not answer.err) or words.startswith("check") or re.search("--try|--force", words), (words, answer)
    assert vm.driver(CARD) == "e1000e" and policy_files(vm) == ["50-guard.conf"], (vm.driver(CARD), policy_files(vm))


@scenario("each verb of overridectl does as root what it is there for, and fails with 1 and 2 as its page says", timeout=300)
def as_root(vm):
    vm.run("modprobe e1000e; modprobe vfio-pci")
    as_said(vm, READING + LOCAL + CHANGING + REFUSED)


@scenario("a user who runs overridectl is shown everything, and each change is refused with 1 and the reason", timeout=300)
def as_user(vm):
    as_said(vm, READING + LOCAL + NOT_PERMITTED + REFUSED[5:], user=USER)


@scenario("overridectl --host does the same by ssh, as root and as a user; what is about this machine's files is status 2", timeout=300)
def by_ssh(vm):
    serve_ssh(vm)
    as_said(vm, READING + LOCAL[:1] + CHANGING + REFUSED[1:3] + [
        (verb, 2, f"--host does not go with {verb.split(' ')[0]}") for verb in ("check", "rehearse", "snapshot -", "import driverctl")],
            options="--host=localhost")
    as_said(vm, READING[:3] + NOT_PERMITTED[:1] + NOT_PERMITTED[-1:], options=f"--host={USER}@localhost")
    as_said(vm, READING[:2], options="-H localhost", user=USER)
    as_said(vm, [("show x", 1, "nosuch.invalid")], options="--host=nosuch.invalid")


@scenario("monitor shows what happens until its reader goes, and that is no failure")
def followed(vm):
    job = vm.spawn("{ rc=0; overridectl monitor || rc=$?; echo $rc >/run/lab/monitor; } | head -n1 >/run/lab/first")
    vm.wait_for("grep 'service up$' /run/lab/first")
    vm.run(f"overridectl set {CARD} none --runtime; overridectl unset {CARD} --runtime")
    job.wait()
    assert vm.out("cat /run/lab/monitor") == "0"


SHOWING = ("", "list --all", f"show {CARD}", f"explain {CARD}", "groups", "check")


@scenario("on a dumb terminal of 40 columns, in the locales C and C.UTF-8, all is there and no control character is", timeout=300)
def dumb(vm):
    for line in SHOWING:
        for locale in ("C", "C.UTF-8"):
            shown = vm.run("script -qefc 'stty cols 40; exec env TERM=dumb LC_ALL=%s overridectl %s' /dev/null </dev/null" % (
                locale, line)).out.replace("\r\n", "\n")
            wanted = CARD if CARD in line or line in ("groups", "list --all") else QUIET if not line else "0 errors"
            assert wanted in shown, (line, shown)
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown.replace("^D\b\b", "")), (line, shown)
            assert locale != "C" or shown.isascii(), (line, shown)


@scenario("with its standard input, output or errors closed, or a reader that goes after a line, each verb ends quietly with 0")
def closed(vm):
    ends = ("<&-", ">&-", "2>&- >/dev/null", "<&- >&- 2>&-", "| head -n1 >/dev/null")
    script = "set -o pipefail\n" + "".join(f"""
rc=0; {{ overridectl {line} {end} || rc=$?; }} >/run/lab/out 2>/run/lab/err
[ $rc = 0 ] && [ ! -s /run/lab/err ] || {{ echo "overridectl {line} {end}: $rc"; cat /run/lab/err; }}"""
                                             for line in SHOWING for end in ends)
    assert vm.out(script) == "", vm.out(script)


@scenario("an interface whose name would command a terminal is named without doing so")
def hostile(vm):
    interface = vm.out(f"ls {path(CARD)}/net")
    name = "x\033[31m\302\233"
    vm.run(f"ip link set {interface} name $'{name}'; ip addr add 192.0.2.1/24 dev $'{name}'")
    refused, = calls(vm, [f"set {CARD} vfio-pci --runtime"])
    vm.run(f"ip addr flush dev $'{name}'; ip link set $'{name}' name {interface}")
    assert refused.status == 1 and "has the address 192.0.2.1" in refused.err and "[31m" in refused.err, refused
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", refused.err), refused


HAS_ADDRESS = "ip -o addr show scope global | grep -w 192.0.2.1"


def goes_back(vm, seconds, then=""):
    """Takes the network card for so long, has the guest do what comes then, and waits for the address. What was printed."""
    trace = traced(vm)
    told = vm.out(f"overridectl set eth0 vfio-pci --try={seconds}s --force\n{then}")
    assert f"pci/{CARD}: e1000e -> vfio-pci, enforced" in told, told
    vm.wait_for(f"test -e {path(CARD)}/net && {HAS_ADDRESS}", seconds + PATIENCE, interval=1)
    probed(vm, CARD)
    assert [event.text for event in trace.read("probe", CARD)] == ["vfio-pci", "e1000e"], trace.read(device=CARD)
    return told


@scenario("set --try=20s of the only network card: its address is back without anyone's help, also where the service was killed for good "
          "in the fifth second")
def trial(vm):
    # As who configures a network does, when the interface comes.
    vm.write("/etc/udev/rules.d/90-lab.rules", 'ACTION=="add", SUBSYSTEM=="net", KERNEL=="eth*", '
             f'RUN+="{vm.out("command -v ip")} addr add 192.0.2.1/24 dev $name"\n')
    vm.run(f"udevadm control --reload; udevadm trigger --action=add --settle {path(CARD)}/net/*")
    vm.wait_for(HAS_ADDRESS)
    goes_back(vm, 20)
    as_said(vm, [("confirm", 1, "on trial"), (f"show {CARD}", 0, "unmanaged")])
    kill = (f"sleep 5; systemctl mask --runtime {UNIT}; systemctl kill --signal=KILL {UNIT}\n"
            f"echo killed with $(basename $(readlink {path(CARD)}/driver))")
    for seconds in (20, 60):  # a guest that takes longer for the kill than the trial lasts has shown nothing by it
        told = goes_back(vm, seconds, kill)
        assert vm.run(f"systemctl is-active {UNIT}", check=False).rc, "the service is there again"
        vm.run(f"systemctl unmask --runtime {UNIT}; systemctl start {UNIT}")
        if on_trial := "killed with vfio-pci" in told:
            break
    assert on_trial, told
    as_said(vm, [("confirm", 1, "on trial"), (f"show {CARD}", 0, "unmanaged")])
    vm.run("rm /etc/udev/rules.d/90-lab.rules; udevadm control --reload; ip addr del 192.0.2.1/24 dev eth0")
    as_said(vm, [(f"set {CARD} vfio-pci --try=1h", 0, "enforced"), ("confirm", 0, CARD), (f"unset {CARD}", 0, "-> e1000e")])


@scenario("of a guest's snapshot another machine decides, shows and finds the same as the guest itself, to the byte")
def snapshot(vm):
    vm.run("mkdir -p /run/lab/policy; cp /etc/driver-overrides.d/* /run/lab/policy")
    vm.write("/run/lab/policy/60-more.conf", rule("card", Id="8086:10d3", Driver="vfio") + rule("ports", Class="0604", Driver="none"))
    vm.run("cd /run/lab; overridectl snapshot machine --conf-dir=policy", 60)
    with tempfile.TemporaryDirectory(prefix="driver-overrides-snapshot-") as folder:
        for name in ("machine", "policy/50-guard.conf", "policy/60-more.conf"):
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            with open(os.path.join(folder, name), "w", encoding="utf-8") as stream:
                stream.write(vm.run(["cat", f"/run/lab/{name}"]).out)
            os.chmod(os.path.join(folder, name), 0o644)
        for line in ("list --all", "groups", "check", f"explain {CARD}", f"explain {QUIET}", "explain 00:10.0"):
            # Not pretty: that json-c prints empty lists in another way from 0.18 on.
            words = ["--conf-dir=policy", "--json=short", *line.split(" ")]
            here = vm.run(f"cd /run/lab; overridectl {shlex.join(words)} 2>/dev/null", check=False)
            status, there = elsewhere(["--machine=machine", *words], folder)
            # A command to be typed has the places that were given here; for another machine it has none.
            seen = here.out.replace("overridectl --conf-dir=policy ", "overridectl ")
            assert (status, there) == (here.rc, seen), (line, *difflib.unified_diff(seen.split(","), there.split(","), n=0))
    assert json.loads(vm.out(f"cd /run/lab; overridectl explain {CARD} --conf-dir=policy --json"))["decision"] == "vfio-pci"


@scenario("overridectl has no verb that this file does not try")
def complete(vm):
    verbs = re.findall(r"^  ([a-z]+) ", vm.out("overridectl --help").partition("DEVICE:")[0], re.MULTILINE)
    tried = {words.split(" ")[0] for words, *_ in READING + LOCAL + CHANGING + REFUSED} | {"monitor"}
    assert verbs and set(verbs) <= tried, set(verbs) - tried
