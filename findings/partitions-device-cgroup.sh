#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# bind, device cgroups: a process that may not open devices has a disk probed, and the disk comes without its partitions.
#
# About: Linux 6.1 as Debian 12 has it (KERNEL below), cgroup version 1, virtio_blk; seen on 2026-11-30.
# Guessed: the device cgroup of a process limits which device nodes that process opens. Writing a device's name to a driver's
#   `bind` file opens none, so the disk comes as it does for any other process.
# Seen: the kernel reads the partition table within that write, opens the disk for this as if the process did, and is refused.
#   The write succeeds and the disk is there, without partitions. So a service with DevicePolicy= or PrivateDevices= must not be
#   the one that has disks probed.
#
# A virtual machine under emulation: kernel, busybox and QEMU only. Needs root and mmdebstrap.
# shellcheck disable=SC2016  # others expand them
set -eu

KERNEL=linux-image-6.1.0-50-amd64=6.1.176-1 QEMU=1:7.2+dfsg-7+deb12u18+b3 BUSYBOX=1:1.35.0-4+deb12u1+b1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' | sed -n 's/ main$//p' | head -n 1)
root=$work/root
mmdebstrap --variant=extract --quiet --include="$KERNEL,qemu-system-x86=$QEMU,busybox-static=$BUSYBOX,cpio,dash,coreutils" \
    bookworm "$root" "$mirror" >&2

guest=$work/guest
mkdir -p "$guest/bin" "$guest/lib" "$guest/proc" "$guest/sys" "$guest/dev" "$guest/cg"
cp "$root/bin/busybox" "$guest/bin/busybox"
for module in virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk; do
    find "$root/lib/modules" -name "$module.ko" -exec cp {} "$guest/lib" \;
done
cat >"$guest/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox --install -s /bin
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci; do
    insmod "/lib/$module.ko"
done
echo 0 >/sys/bus/virtio/drivers_autoprobe
insmod /lib/virtio_blk.ko
mount -t cgroup -o devices cgroup /cg
mkdir /cg/none
echo a >/cg/none/devices.deny
driver=/sys/bus/virtio/drivers/virtio_blk

# GROUP WORDS
look() {
    sh -c 'echo $$ >"$1"/cgroup.procs; echo virtio0 >"$2"/bind' sh "$1" "$driver" && written=succeeds || written=fails
    sleep 1
    echo "SEEN $2: the write $written, disks: $(ls /sys/block | grep -c vda), partitions: $(ls /sys/block/vda | grep -c '^vda')"
    echo virtio0 >"$driver/unbind"
}
look /cg "a process that may open all devices"
look /cg/none "a process that may open none"
poweroff -f
INIT
chmod 755 "$guest/init"
ln -s busybox "$guest/bin/sh"
(cd "$guest" && find . | cpio --quiet -o -H newc) >"$root/initrd"
# One partition of 1 MiB, in a table of the oldest kind.
truncate -s 8M "$root/disk"
printf '\0\0\0\0\203\0\0\0\0\10\0\0\0\10\0\0' | dd of="$root/disk" bs=1 seek=446 conv=notrunc status=none
printf '\125\252' | dd of="$root/disk" bs=1 seek=510 conv=notrunc status=none
for folder in bin lib lib64; do
    [ -e "$root/$folder" ] || ln -s "usr/$folder" "$root/$folder"
done
mkdir -p "$root/dev" "$root/tmp"
kernel=$(cd "$root/boot" && ls vmlinuz-*)
timeout 300 chroot "$root" qemu-system-x86_64 -accel tcg -m 256 -display none -nodefaults -no-reboot -serial stdio \
    -kernel "/boot/$kernel" -initrd /initrd -append 'console=ttyS0 quiet panic=-1 cgroup_no_v1=none' \
    -drive if=none,id=disk,file=/disk,format=raw -device virtio-blk-pci,drive=disk </dev/null >"$work/out" 2>&1 || true
seen=$(sed -n 's/^SEEN //p' "$work/out" | tr -d '\r')

expected='a process that may open all devices: the write succeeds, disks: 1, partitions: 1
a process that may open none: the write succeeds, disks: 1, partitions: 0'
echo "$seen"
[ -n "$seen" ] || tail -n 30 "$work/out" >&2
[ "$seen" = "$expected" ] || { echo "this has changed; it was:"; echo "$expected"; exit 1; }
