#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# udevadm test: whether it runs the programs of rules depends on systemd's version, and with it what it shows of rules.
#
# About: udev 252.39-1~deb12u2 (Debian 12) and 257.13-1~deb13u1 (Debian 13); seen on 2026-11-30.
# Guessed: it only simulates an event (udevadm(8)), so it runs no program in either version; or, as it prints the properties
#   that the rules give a device, it runs those of IMPORT{program} in both.
# Seen: 252 runs the program of IMPORT{program} for real. 257 does not, prints that it skips it, and goes on without what the
#   program would have printed: rules that depend on it do not match, and their properties are missing from the result. So
#   it is harmless there, and no way to see what udev would do with a rule that asks a program.
#
# Only udevadm of each version is run, on the device "null", with one file of rules. It sees sysfs and proc read-only, and an empty
# /dev and /run, in a mount namespace of its own. Needs root and mmdebstrap.
# shellcheck disable=SC2016  # others expand them
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' | sed -n 's/ main$//p' | head -n 1)

# SUITE VERSION
look() {
    root=$work/$1
    mmdebstrap --variant=extract --quiet --include="udev=$2,dash,coreutils" "$1" "$root" "$mirror" >&2
    find "$root" -path '*/udev/rules.d/*' -delete
    mkdir -p "$root/etc/udev/rules.d" "$root/sys" "$root/proc" "$root/run"
    cat >"$root/etc/udev/rules.d/10-finding.rules" <<'RULES'
KERNEL=="null", IMPORT{program}="/usr/bin/sh -c 'echo >/has-run; echo BY_PROGRAM=yes'"
ENV{BY_PROGRAM}=="yes", ENV{BY_RULE}="yes"
RULES
    # A merged /usr is made by a script that is not run here.
    for folder in bin lib lib64; do
        [ -e "$root/$folder" ] || ln -s "usr/$folder" "$root/$folder"
    done
    [ -e "$root/usr/bin/sh" ] || ln -s /bin/sh "$root/usr/bin/sh"
    unshare --mount --propagation private sh -c '
        mount -t sysfs -o ro sysfs "$1/sys"
        mount -t proc -o ro proc "$1/proc"
        chroot "$1" udevadm test /sys/devices/virtual/mem/null' sh "$root" >"$work/out" 2>&1 || true
    grep -q 'DEVNAME=/dev/null' "$work/out" || { cat "$work/out" >&2; exit 1; }
    [ -e "$root/has-run" ] && program=run || program=skipped
    grep -q 'BY_RULE=yes' "$work/out" && rule=shown || rule=missing
    echo "$2: the program is $program, the property of the rule that depends on it is $rule"
}

expected='252.39-1~deb12u2: the program is run, the property of the rule that depends on it is shown
257.13-1~deb13u1: the program is skipped, the property of the rule that depends on it is missing'
seen=$(look bookworm '252.39-1~deb12u2' && look trixie '257.13-1~deb13u1')
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; it was:"; echo "$expected"; exit 1; }
