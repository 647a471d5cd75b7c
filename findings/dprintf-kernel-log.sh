#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# dprintf, /dev/kmsg: with glibc 2.36, a program that writes its line for the kernel's log with dprintf() writes nothing.
#
# About: libc6 2.36-9+deb12u14 (Debian 12) and 2.41-12+deb13u5 (Debian 13), on Linux 6.1 as Debian 12 has it (KERNEL below); seen on
#   2026-11-30.
# Guessed: dprintf() formats and calls write(), as printf(3) reads, so it works with each descriptor that can be written. Or, as for
#   pipes, where there is no position in the file none is needed.
# Seen: 2.36 asks for the position first. It goes on after ESPIPE, as pipes and terminals answer; but of /dev/kmsg
#   the kernel answers EINVAL, as it has no position to tell, so dprintf() returns -1 and no line gets there. 2.41 does not ask. write() works with
#   either.
#
# A virtual machine under emulation: kernel, busybox, one program and the two C libraries only. Needs root and mmdebstrap.
# shellcheck disable=SC2016  # others expand them
set -eu

KERNEL=linux-image-6.1.0-50-amd64=6.1.176-1 QEMU=1:7.2+dfsg-7+deb12u18+b3 BUSYBOX=1:1.35.0-4+deb12u1+b1
LIBC=2.36-9+deb12u14 NEW_LIBC=2.41-12+deb13u5 TCC=0.9.27+git20200814.62c30a4a-1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' | sed -n 's/ main$//p' | head -n 1)
root=$work/root
mmdebstrap --variant=extract --quiet bookworm "$root" "$mirror" >&2 \
    --include="$KERNEL,qemu-system-x86=$QEMU,busybox-static=$BUSYBOX,libc6=$LIBC,libc6-dev=$LIBC,tcc=$TCC,cpio,dash,coreutils,findutils"
mmdebstrap --variant=extract --quiet --include="libc6=$NEW_LIBC" trixie "$work/new" "$mirror" >&2
for folder in bin lib lib64; do
    [ -e "$root/$folder" ] || ln -s "usr/$folder" "$root/$folder"
done

cat >"$root/program.c" <<'PROGRAM'
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *outcome(long r)
{
	return r < 0 ? strerrorname_np(errno) : "succeeds";
}

int main(int argc, char **argv)
{
	char line[64];
	int fd = open("/dev/kmsg", O_WRONLY);

	printf("lseek() %s", outcome(lseek(fd, 0, SEEK_CUR)));
	printf(", dprintf() %s", outcome(dprintf(fd, "%s by dprintf\n", argv[1])));
	snprintf(line, sizeof(line), "%s by write\n", argv[1]);
	printf(", write() %s", outcome(write(fd, line, strlen(line))));
	return 0;
}
PROGRAM
guest=$root/guest
mkdir -p "$guest/bin" "$guest/proc" "$guest/dev" "$guest/old" "$guest/new" "$root/dev" "$root/tmp"
chroot "$root" tcc -D_GNU_SOURCE -o /guest/program /program.c
cp "$root/bin/busybox" "$guest/bin/busybox"
for applet in sh mount dmesg sed tr poweroff; do
    ln -s busybox "$guest/bin/$applet"
done
for name in libc.so.6 ld-linux-x86-64.so.2; do
    find "$root/lib/x86_64-linux-gnu" -name "$name" -exec cp -L {} "$guest/old" \;
    find "$work/new/usr/lib/x86_64-linux-gnu" -name "$name" -exec cp -L {} "$guest/new" \;
done
cat >"$guest/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
for libc in old new; do
    said=$("/$libc/ld-linux-x86-64.so.2" --library-path "/$libc" /program "finding-$libc")
    echo "SEEN $libc: $said; in the log: $(dmesg | sed -n "s/.*finding-$libc by //p" | tr '\n' ' ')"
done
poweroff -f
INIT
chmod 755 "$guest/init"
chroot "$root" sh -c 'cd /guest && find . | cpio --quiet -o -H newc >/initrd'
kernel=$(cd "$root/boot" && ls vmlinuz-*)
timeout 300 chroot "$root" qemu-system-x86_64 -accel tcg -m 256 -display none -nodefaults -no-reboot -serial stdio \
    -kernel "/boot/$kernel" -initrd /initrd -append 'console=ttyS0 quiet panic=-1' </dev/null >"$work/out" 2>&1 || true
seen=$(sed -n 's/^SEEN //p' "$work/out" | tr -d '\r' | sed "s/^old/$LIBC/;s/^new/$NEW_LIBC/;s/ $//")

expected='2.36-9+deb12u14: lseek() EINVAL, dprintf() EINVAL, write() succeeds; in the log: write
2.41-12+deb13u5: lseek() EINVAL, dprintf() succeeds, write() succeeds; in the log: dprintf write'
echo "$seen"
[ -n "$seen" ] || tail -n 30 "$work/out" >&2
[ "$seen" = "$expected" ] || { echo "this has changed; it was:"; echo "$expected"; exit 1; }
