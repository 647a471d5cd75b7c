# SPDX-License-Identifier: LGPL-2.1-or-later
"""The step `package` of tests/run-all: the package for Debian and what installing it leaves, recipes for others, the site of the
documents with its manual pages, licences, and what a release says of itself."""
import filecmp
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile

from lab import deb

from .builds import TOP, folder, run, tail
from .schedule import Failed

# Only Debian can give the number of the bug that asks for a new package.
LINTIAN_NOT_YET = "initial-upload-closes-no-bugs"
# Lines of source longer than the terminal of 1976 are not what is wrong with a manual page.
MANDOC_PASSED_OVER = "input text line longer than 80 bytes"
# What dpkg itself says of any package.
DPKG_SAYS = r"(Selecting previously unselected package|\(Reading database|Preparing to unpack|Unpacking|Setting up|Processing triggers for" \
            r"|Removing|Purging configuration files for) .*" \
            r"|dpkg: warning: while removing driver-overrides, directory '/etc/driver-overrides.d' not empty so not removed"
# The last one is of systemd-analyze, which a test of the package calls.
NOT_OURS = ("./var/lib/dpkg", "./var/cache", "./var/log", "./proc", "./tmp", "./run/systemd")


def roots(_args, _out):
    """What the step needs, which mostly waits for packages."""
    deb.build_root()
    deb.small_archive()
    return 0, 0


def check_twice(first):
    """In another folder, a year later, in another time zone and with another umask: the same bytes."""
    with tempfile.TemporaryDirectory(prefix="driver-overrides-package-") as second:
        deb.build(second, place="srv/another/folder",
                  before=["env", "TZ=Pacific/Kiritimati", "LC_ALL=C", "faketime", "-f", "+370d",
                          "sh", "-c", 'umask 0002; exec "$0" "$@"'])
        debs = [os.path.basename(path) for path in glob.glob(first + "/*.deb")]
        _same, different, missing = filecmp.cmpfiles(first, second, debs, shallow=False)
        if different or missing or len(debs) != 2:
            raise Failed("built twice, these differ: " + ", ".join(different + missing or debs) + "\n" + "\n".join(
                describe_difference(os.path.join(first, name), os.path.join(second, name)) for name in different))


def describe_difference(first, second):
    """The files in two packages that differ."""
    with tempfile.TemporaryDirectory(prefix="driver-overrides-differ-") as work:
        for path, name in ((first, "first"), (second, "second")):
            subprocess.run(["dpkg-deb", "-R", path, os.path.join(work, name)], check=True)
        return run(["diff", "-rq", "first", "second"], check=False, cwd=work).stdout


def check_lintian(made):
    """Of what is installed, and of the source package as it would be made from a release."""
    changes, = glob.glob(made + "/*.changes")
    with tempfile.TemporaryDirectory(prefix="driver-overrides-source-") as work:
        name = f"driver-overrides-{version()}"
        deb.copy_source(os.path.join(work, name))
        run(["tar", "--exclude", f"{name}/debian", "-czf", f"driver-overrides_{version()}.orig.tar.gz", name], cwd=work)
        run(["dpkg-source", "-b", name], cwd=work)
        source, = glob.glob(work + "/*.dsc")
        r = run(["lintian", "--allow-root", "--fail-on=error,warning", "--suppress-tags", LINTIAN_NOT_YET, changes, source], check=False)
        if r.returncode != 0:
            raise Failed("lintian:\n" + tail(r.stdout))


def listed(root):
    found = set()
    for base, folders, files in os.walk(root):
        relative = "." + base[len(root):]
        folders[:] = [name for name in folders if not f"{relative}/{name}".startswith(NOT_OURS)]
        found |= {f"{relative}/{name}" for name in folders + files}
    return found


def in_root(root, *command):
    r = deb.run_in(root, command, timeout=300)
    if r.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit status {r.returncode}\n" + tail(r.stdout))
    said = [line for line in r.stdout.splitlines() if line and not re.fullmatch(DPKG_SAYS, line)]
    return said


def check_installation(made):
    """In a root where nothing runs: silent, tests of the installed package pass, and a purge leaves what a person wrote, nothing else."""
    with deb.small_root() as root:
        before = listed(root)
        shutil.copy(deb.deb(made), os.path.join(root, "tmp/package.deb"))
        said = in_root(root, "dpkg", "-i", "/tmp/package.deb")
        for name in sorted(os.listdir(os.path.join(TOP, "debian/tests"))):
            if name != "control":
                shutil.copy(os.path.join(TOP, "debian/tests", name), os.path.join(root, "tmp", name))
                os.makedirs(os.path.join(root, "tmp", name + ".work"))
                in_root(root, "env", f"AUTOPKGTEST_TMP=/tmp/{name}.work", f"/tmp/{name}")
        # debhelper's own doing, since there are hooks for initramfs-tools.
        with open(os.path.join(root, "var/lib/dpkg/info/driver-overrides.triggers"), encoding="utf-8") as stream:
            if "activate-noawait update-initramfs" not in stream.read():
                raise Failed("the package does not have boot images made anew")
        policy = os.path.join(root, "etc/driver-overrides.d")
        mine = ("10-set-by-hand.conf", "50-mine.conf")
        for name, text in (("10-set-pci-0000:01:00.0.conf", "# Written by driver-overrided for SetOverride\n"), *((name, "# Mine.\n") for name in mine)):
            with open(os.path.join(policy, name), "w", encoding="utf-8") as stream:
                stream.write(text)
        said += in_root(root, "dpkg", "--purge", "driver-overrides")
        stays = {"./etc/driver-overrides.d", *("./etc/driver-overrides.d/" + name for name in mine)}
        left = listed(root) - before - stays
        if said or left or not stays <= listed(root):
            raise Failed("installed and purged in a chroot, it said:\n  " + "\n  ".join(said) + "\nand left:\n  " + "\n  ".join(sorted(left)))


def check_scripts(made):
    """On a system that runs, as far as the package's scripts can tell: which units they start, restart and stop."""
    with deb.small_root() as root:
        os.makedirs(os.path.join(root, "run/systemd/system"), exist_ok=True)
        shutil.copy(os.path.join(TOP, "tests/packaging/fake-systemctl"), os.path.join(root, "usr/bin/systemctl"))
        shutil.copy(deb.deb(made), os.path.join(root, "tmp/package.deb"))

        def told(command):
            with open(os.path.join(root, "run/told"), "w", encoding="utf-8"):
                pass
            in_root(root, "sh", "-c", command)
            with open(os.path.join(root, "run/told"), encoding="utf-8") as stream:
                lines = [line.split() for line in stream]
            return [(words[0], unit.removesuffix(".service")) for words in lines if words and words[0] in ("start", "restart", "try-restart", "stop")
                    for unit in words[1:]]

        # After the removal there is no folder for policy.
        install, policy = "dpkg -i /tmp/package.deb", "/etc/driver-overrides.d/50-mine.conf"
        sweep, guard, service, wanted_unit = "driver-overrides-sweep", "driver-override-guard", "driver-overrided", "driver-overrided-wanted"
        started = [("start", sweep), ("start", guard)]
        expected = [
            (install, [*started, ("start", wanted_unit)]),
            (install, [("restart", guard), ("try-restart", service), ("start", wanted_unit)]),  # over itself: an upgrade
            ("dpkg -r driver-overrides", None),
            (f"mkdir -p {os.path.dirname(policy)} && echo >{policy} && {install}", [*started, ("start", service), ("start", wanted_unit)]),
            ("dpkg --purge driver-overrides", None),
            (f"printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; {install}", []),
        ]
        for command, wanted in expected:
            found = told(command)
            if wanted is None:
                wanted = [("stop", unit) for _verb, unit in found]
                if not {("stop", unit) for unit in (sweep, guard, service, wanted_unit, wanted_unit + ".path")} <= set(found):
                    raise Failed(f"{command} told systemd: {found}")
            if found != wanted:
                raise Failed(f"{command} told systemd: {found}")


def check_manual_pages():
    for page in run(["git", "ls-files", "docs/*.[1-8]"]).stdout.split():
        found = [line for line in run(["mandoc", "-Tlint", "-Wstyle", page], check=False).stdout.splitlines() if MANDOC_PASSED_OVER not in line]
        if found:
            raise Failed("mandoc:\n" + "\n".join(found))


def check_licences():
    r = run(["reuse", "lint"], check=False)
    if r.returncode != 0 or "ERROR" in r.stdout:
        raise Failed("reuse lint:\n" + tail(r.stdout))


def version():
    return re.search(r"(?m)^ *version: '([^']+)'", read("meson.build"))[1]


def read(name):
    with open(os.path.join(TOP, name), encoding="utf-8") as stream:
        return stream.read()


def check_versions():
    """Each recipe is of the version that is built."""
    for name, pattern in (("debian/changelog", r"^driver-overrides \(([^-)]+)-"), ("packaging/rpm/driver-overrides.spec", r"(?m)^Version: +(.*)$"),
                          ("packaging/arch/PKGBUILD", r"(?m)^pkgver=(.*)$")):
        found = re.search(pattern, read(name))
        if not found or found[1] != version():
            raise Failed(f"{name} is not of version {version()}")


def check_rpm():
    """Fedora's spec with stand-ins for its macros: all that is installed is in a package, and scriptlets know all units. Those units."""
    with tempfile.TemporaryDirectory(prefix="driver-overrides-rpm-") as work:
        name = f"driver-overrides-{version()}"
        os.makedirs(os.path.join(work, "SOURCES"))
        run(["git", "archive", "--format=tar.gz", f"--prefix={name}/", "-o", f"{work}/SOURCES/{name}.tar.xz", "HEAD", "LICENSE", "README.md", "NEWS.md"])
        run(["rpmbuild", "-bb", "--nodeps", "--load", "tests/packaging/rpm-macros", "--define", f"_topdir {work}",
             "packaging/rpm/driver-overrides.spec"], env={"DRIVER_OVERRIDES_BUILD": os.path.join(TOP, folder("release"))})
        rpms = sorted(glob.glob(work + "/RPMS/*/*.rpm"))
        r = run(["rpmlint", "-c", "tests/packaging/rpmlint.toml", "packaging/rpm/driver-overrides.spec", *rpms], check=False)
        if r.returncode != 0 or not re.search(r"\b0 errors, 0 warnings", r.stdout):
            raise Failed("rpmlint:\n" + tail(r.stdout))
        main, = [path for path in rpms if "dracut" not in os.path.basename(path)]
        installed = set(re.findall(r"/system/([^/\n]+\.(?:service|socket|path))$", run(["rpm", "-qlp", main]).stdout, re.MULTILINE))
        scripts = run(["rpm", "-qp", "--scripts", main]).stdout
        for word in (": post", ": preun"):
            known = set(re.search(rf"^{word} (.*)$", scripts, re.MULTILINE)[1].split())
            if known != installed:
                raise Failed(f"the spec's scriptlets and its units differ: {' '.join(sorted(known ^ installed))}")
        return installed


def check_arch(units):
    """Arch's recipe as far as Debian can tell: its scripts have no mistake, and a removal stops all units, and what would end a trial later."""
    run(["shellcheck", "packaging/arch/PKGBUILD", "packaging/arch/driver-overrides.install"])
    removal = read("packaging/arch/driver-overrides.install").partition("pre_remove()")[2].partition("systemctl stop ")[2].replace("\\\n", " ")
    stopped = set(removal.split("\n")[0].split())
    if stopped != units | {"'driver-overrides-try-*.timer'"}:
        raise Failed(f"a removal on Arch stops: {' '.join(sorted(stopped))}")


def check_install_message():
    """An installation on the machine itself says what is left to do; one for a package says nothing."""
    here, destdir = (run(["tools/after-install"], env=env).stdout for env in ({"DESTDIR": ""}, {"DESTDIR": "/tmp/nowhere"}))
    if "systemctl start driver-overrides-sweep" not in here or destdir:
        raise Failed("tools/after-install:\n" + here + destdir)


def check_sbom():
    """The document names each program that is installed, and is the same when it is made again."""
    first, again = (run(["tools/sbom", folder("release")]).stdout for _ in range(2))
    made = json.loads(first)
    files = sorted(os.path.basename(entry["fileName"]) for entry in made["files"])
    if first != again or files != ["driver-override", "driver-override-guard", "driver-overrided", "overridectl"]:
        raise Failed(f"tools/sbom: {files}")


def check_site():
    with tempfile.TemporaryDirectory(prefix="driver-overrides-site-") as work:
        run(["tools/make-site", os.path.join(work, "site")])
        with open(os.path.join(work, "site", "searchindex.js"), encoding="utf-8") as stream:
            index = stream.read()
        if "driver_override" not in index or not os.path.exists(os.path.join(work, "site", "man", "overridectl.1.html")):
            raise Failed("the site has no manual pages that can be searched")


def package(_args, _out):
    check_versions()
    check_manual_pages()
    check_licences()
    check_site()
    check_install_message()
    check_arch(check_rpm())
    check_sbom()
    made = deb.package()
    check_lintian(made)
    check_installation(made)
    check_scripts(made)
    check_twice(made)
    return 12, 0
