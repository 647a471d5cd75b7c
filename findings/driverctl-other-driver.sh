#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `driverctl set-override` succeeds although another driver has the device.
#
# About: driverctl 0.111 (Debian 12) on Linux 6.1; seen on 2026-12-01.
# Guessed: when it succeeds, the device is bound to the driver that it was asked for; it says "failed to bind" otherwise.
# Seen: it looks for a driver to unbind first, and writes driver_override then. If another program has the device probed between
#   the two, the kernel binds it by the override of before. driverctl's own probe finds a driver there, and any driver is good enough for
#   its last look: it succeeds, the override is the new one, and the driver is the old one's.
#
# The other program's probe is put between two steps of driverctl, which runs as it is, by a DEBUG trap of bash. A virtual machine under
# emulation: kernel, bash, busybox, driverctl and QEMU only. Needs root and mmdebstrap.
# shellcheck disable=SC2016  # others expand them
set -eu

KERNEL=linux-image-6.1.0-50-amd64=6.1.176-1 QEMU=1:7.2+dfsg-7+deb12u18+b3 BUSYBOX=1:1.35.0-4+deb12u1+b1
DRIVERCTL=0.111-1 BASH_PACKAGE=5.2.15-2+b13 TINFO=6.4-4 LIBC=2.36-9+deb12u14

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' | sed -n 's/ main$//p' | head -n 1)
root=$work/root
mmdebstrap --variant=extract --quiet bookworm "$root" "$mirror" >&2 \
    --include="$KERNEL,qemu-system-x86=$QEMU,busybox-static=$BUSYBOX,driverctl=$DRIVERCTL,bash=$BASH_PACKAGE,libtinfo6=$TINFO,libc6=$LIBC,cpio,dash,coreutils,findutils"
for folder in bin lib lib64; do
    [ -e "$root/$folder" ] || ln -s "usr/$folder" "$root/$folder"
done

guest=$root/guest
mkdir -p "$guest/bin" "$guest/sbin" "$guest/lib/x86_64-linux-gnu" "$guest/lib64" "$guest/proc" "$guest/sys" "$guest/dev" "$root/dev" "$root/tmp"
cp "$root/bin/busybox" "$root/bin/bash" "$guest/bin"
cp -L "$root/usr/sbin/driverctl" "$guest/bin"
for module in irqbypass vfio vfio_virqfd vfio_iommu_type1 vfio-pci-core vfio-pci pci-stub; do
    find "$root/lib/modules" -name "$module.ko" -exec cp {} "$guest/lib" \;
done
for name in libc.so.6 libtinfo.so.6; do
    find "$root/lib/x86_64-linux-gnu" "$root/usr/lib/x86_64-linux-gnu" -name "$name" -exec cp -L {} "$guest/lib/x86_64-linux-gnu" \;
done
find "$root/lib/x86_64-linux-gnu" -name ld-linux-x86-64.so.2 -exec cp -L {} "$guest/lib64" \;
cat >"$guest/other" <<'OTHER'
# Before driverctl writes the override, another program has the device probed.
set -T
trap 'case $BASH_COMMAND in "echo \"\$drv\" > \"\$syspath/driver_override\"") echo "$dev" >/sys/bus/pci/drivers_probe ;; esac' DEBUG
OTHER
printf '#!/bin/sh\n' >"$guest/sbin/modprobe" # all modules are loaded
chmod 755 "$guest/sbin/modprobe"
cat >"$guest/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox --install -s /bin
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in irqbypass vfio vfio_virqfd vfio_iommu_type1 vfio-pci-core vfio-pci pci-stub; do
    insmod "/lib/$module.ko"
done
card=/sys/bus/pci/devices/0000:01:00.0
for other in /dev/null /other; do
    [ ! -e $card/driver ] || echo 0000:01:00.0 >$card/driver/unbind
    echo vfio-pci >$card/driver_override
    BASH_ENV=$other driverctl --nosave set-override 0000:01:00.0 pci-stub
    echo "SEEN $(basename $other): status $?, driver_override $(cat $card/driver_override), driver $(basename "$(readlink $card/driver)")"
done
poweroff -f
INIT
chmod 755 "$guest/init"
ln -s busybox "$guest/bin/sh"
chroot "$root" sh -c 'cd /guest && find . | cpio --quiet -o -H newc >/initrd'
kernel=$(cd "$root/boot" && ls vmlinuz-*)
timeout 600 chroot "$root" qemu-system-x86_64 -accel tcg,thread=multi -machine q35,kernel-irqchip=off -smp 2 -m 512 -display none -nodefaults \
    -no-reboot -serial stdio -kernel "/boot/$kernel" -initrd /initrd -append 'console=ttyS0 quiet panic=-1 intel_iommu=on' \
    -device intel-iommu -device pcie-root-port,id=root1 -device nvme,serial=x,bus=root1 </dev/null >"$work/out" 2>&1 || true
seen=$(sed -n 's/^SEEN //p' "$work/out" | tr -d '\r')

expected='null: status 0, driver_override pci-stub, driver pci-stub
other: status 0, driver_override pci-stub, driver vfio-pci'
echo "$seen"
[ -n "$seen" ] || tail -n 30 "$work/out" >&2
[ "$seen" = "$expected" ] || { echo "this has changed; it was:"; echo "$expected"; exit 1; }
