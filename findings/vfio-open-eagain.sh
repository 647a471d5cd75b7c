#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# VFIO_GROUP_GET_DEVICE_FD fails with EAGAIN while another process reads the device's `uevent` or `driver_override`.
#
# About: Linux 6.1 as Debian 12 has it (KERNEL below), vfio-pci, a device that can be reset; seen on 2026-11-30.
# Guessed: opening a device that is bound to vfio-pci, whose group nobody else has, depends on nobody else. Files of sysfs can be read
#   by everybody at any time, and reading them changes nothing.
# Seen: to reset the device, the kernel takes its lock without waiting. Who reads one of these two files holds that lock
#   meanwhile, so the virtual machine does not start: "Resource temporarily unavailable". A file whose reading takes no
#   lock (`vendor`) does no harm. So programs that look at passed-through devices should do that seldom.
#
# A virtual machine under emulation: kernel, busybox, one program and QEMU only. Needs root and mmdebstrap.
# shellcheck disable=SC2016  # others expand them
set -eu

KERNEL=linux-image-6.1.0-50-amd64=6.1.176-1 QEMU=1:7.2+dfsg-7+deb12u18+b3 BUSYBOX=1:1.35.0-4+deb12u1+b1
LIBC=2.36-9+deb12u14 HEADERS=6.1.176-1 TCC=0.9.27+git20200814.62c30a4a-1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' | sed -n 's/ main$//p' | head -n 1)
root=$work/root
mmdebstrap --variant=extract --quiet bookworm "$root" "$mirror" >&2 \
    --include="$KERNEL,qemu-system-x86=$QEMU,busybox-static=$BUSYBOX,libc6=$LIBC,libc6-dev=$LIBC,linux-libc-dev=$HEADERS,tcc=$TCC,cpio,dash,coreutils,findutils"
for folder in bin lib lib64; do
    [ -e "$root/$folder" ] || ln -s "usr/$folder" "$root/$folder"
done

cat >"$root/program.c" <<'PROGRAM'
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Opens a device as virtual machines do; 0 or an errno. */
static int open_once(const char *node, const char *name)
{
	int container = open("/dev/vfio/vfio", O_RDWR), group = open(node, O_RDWR), device, r = 0;

	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) < 0 ||
	    ioctl(container, VFIO_SET_IOMMU, (unsigned long)VFIO_TYPE1_IOMMU) < 0)
		r = errno;
	device = r ? -1 : ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name);
	if (device < 0)
		r = r ? r : errno;
	else
		close(device);
	close(group);
	close(container);
	return r;
}

/* program NODE DEVICE FILE: FILE is read all the time by another process. */
int main(int argc, char **argv)
{
	int failed = 0, error = 0;
	pid_t child = fork();

	if (child == 0)
		for (;;) {
			char buf[4096];
			int fd = open(argv[3], O_RDONLY);

			while (fd >= 0 && read(fd, buf, sizeof(buf)) > 0)
				;
			close(fd);
		}
	for (int i = 0; i < 100; i++) {
		int r = open_once(argv[1], argv[2]);

		if (r) {
			failed = 1;
			error = r;
		}
	}
	kill(child, SIGKILL);
	printf("%s\n", failed ? strerrorname_np(error) : "never fails");
	return 0;
}
PROGRAM
guest=$root/guest
mkdir -p "$guest/bin" "$guest/lib" "$guest/proc" "$guest/sys" "$guest/dev" "$guest/libc" "$root/dev" "$root/tmp"
chroot "$root" tcc -D_GNU_SOURCE -o /guest/program /program.c
cp "$root/bin/busybox" "$guest/bin/busybox"
for module in irqbypass vfio vfio_virqfd vfio_iommu_type1 vfio-pci-core vfio-pci; do
    find "$root/lib/modules" -name "$module.ko" -exec cp {} "$guest/lib" \;
done
for name in libc.so.6 ld-linux-x86-64.so.2; do
    find "$root/lib/x86_64-linux-gnu" -name "$name" -exec cp -L {} "$guest/libc" \;
done
cat >"$guest/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox --install -s /bin
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in irqbypass vfio vfio_virqfd vfio_iommu_type1 vfio-pci-core vfio-pci; do
    insmod "/lib/$module.ko"
done
card=/sys/bus/pci/devices/0000:01:00.0
echo vfio-pci >$card/driver_override
echo 0000:01:00.0 >/sys/bus/pci/drivers_probe
for file in /dev/null $card/vendor $card/uevent $card/driver_override; do
    said=$(/libc/ld-linux-x86-64.so.2 --library-path /libc /program "/dev/vfio/$(basename "$(readlink $card/iommu_group)")" \
        0000:01:00.0 "$file")
    echo "SEEN while $(basename "$file") is read: $said"
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

expected='while null is read: never fails
while vendor is read: never fails
while uevent is read: EAGAIN
while driver_override is read: EAGAIN'
echo "$seen"
[ -n "$seen" ] || tail -n 30 "$work/out" >&2
[ "$seen" = "$expected" ] || { echo "this has changed; it was:"; echo "$expected"; exit 1; }
