#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# systemd, transient units: a command with the flag ":" is gone after the next `systemctl daemon-reload`.
#
# About: systemd 252.39-1~deb12u2 (Debian 12); seen on 2026-11-30.
# Guessed: a transient unit outlives a daemon-reload as any other unit does, as its properties are written to a file in
#   /run/systemd/transient. So a timer of systemd-run(1) starts later what it was told to start.
# Seen: a command with a flag against the expansion of variables (":", or "no-env-expand" on the bus) is a property named
#   ExecStartEx, ExecStartPreEx and so on. It is written to the file under that name, which systemd itself does not know in files:
#   after a daemon-reload it ignores the line. The command is not run any more, nobody says so, and the unit starts all the same.
#
# A virtual machine under emulation: kernel, systemd, dash and QEMU only. Needs root and mmdebstrap.
# shellcheck disable=SC2016  # others expand them
set -eu

KERNEL=linux-image-6.1.0-50-amd64=6.1.176-1 QEMU=1:7.2+dfsg-7+deb12u18+b3 SYSTEMD=252.39-1~deb12u2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' | sed -n 's/ main$//p' | head -n 1)
root=$work/root guest=$work/root/guest
mmdebstrap --variant=extract --quiet --include="$KERNEL,qemu-system-x86=$QEMU,cpio,dash,coreutils,findutils" bookworm "$root" "$mirror" >&2
mmdebstrap --variant=extract --quiet --include="systemd=$SYSTEMD,dash,coreutils,sed" bookworm "$guest" "$mirror" >&2
for folder in bin lib lib64; do
    [ -e "$root/$folder" ] || ln -s "usr/$folder" "$root/$folder"
done
mkdir -p "$root/dev" "$root/tmp" "$guest/proc" "$guest/sys" "$guest/dev" "$guest/run" "$guest/tmp"

# Nothing starts but this.
rm -rf "$guest/usr/share/doc" "$guest/usr/share/man" "$guest/usr/share/locale" "$guest"/lib/systemd/system/*.wants "$guest/etc/systemd/system"
mkdir -p "$guest/etc/systemd/system"
cat >"$guest/etc/systemd/system/finding.service" <<'UNIT'
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStart=/bin/sh /finding
ExecStopPost=/bin/systemctl poweroff -ff
UNIT
cat >"$guest/finding" <<'FINDING'
# NAME
look() {
    systemd-run --quiet --unit="$1" --on-active=1h --property=Type=oneshot --property="ExecStartPre=/bin/touch /run/$1-plain" \
        --property="ExecStartPre=:/bin/touch /run/$1-flagged" /bin/true
    echo "SEEN $1: in the file: $(sed -n 's/^\(ExecStartPre[^=]*\)=..*/\1/p' "/run/systemd/transient/$1.service" | tr '\n' ' ')"
    [ "$1" = before ] || systemctl daemon-reload
    systemctl start "$1.service" && status=succeeds || status=fails
    echo "SEEN $1: the start $status, run: $(cd /run && ls | sed -n "s/^$1-//p" | tr '\n' ' ')"
}
look before
look after
FINDING
echo 0123456789abcdef0123456789abcdef >"$guest/etc/machine-id"
ln -s lib/systemd/systemd "$guest/init"
chroot "$root" sh -c 'cd /guest && find . | cpio --quiet -o -H newc >/initrd'
kernel=$(cd "$root/boot" && ls vmlinuz-*)
timeout 400 chroot "$root" qemu-system-x86_64 -accel tcg -m 768 -display none -nodefaults -no-reboot -serial stdio \
    -kernel "/boot/$kernel" -initrd /initrd -append 'console=ttyS0 quiet panic=-1 systemd.unit=finding.service systemd.show_status=0' \
    </dev/null >"$work/out" 2>&1 || true
seen=$(sed -n 's/^SEEN //p' "$work/out" | tr -d '\r' | sed 's/ $//')

expected='before: in the file: ExecStartPre ExecStartPreEx ExecStartPreEx
before: the start succeeds, run: flagged plain
after: in the file: ExecStartPre ExecStartPreEx ExecStartPreEx
after: the start succeeds, run: plain'
echo "$seen"
[ -n "$seen" ] || tail -n 30 "$work/out" >&2
[ "$seen" = "$expected" ] || { echo "this has changed; it was:"; echo "$expected"; exit 1; }
