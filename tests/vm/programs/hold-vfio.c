/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Holds a VFIO device open, as a virtual machine does: hold-vfio GROUP DEVICE [obliging]. Says what it finds
 * in the device's config space when it has it ("open 8086:10d3"), and keeps it until it is killed, whatever
 * the kernel asks of it meanwhile; an obliging one gives it back when the kernel asks for it, as QEMU and
 * DPDK do, and runs on.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int fail(const char *what)
{
	(void)fprintf(stderr, "hold-vfio: %s: %s\n", what, strerror(errno));
	return 1;
}

/* Returns when the kernel has asked for the device. */
static int wait_for_request(int device)
{
	_Alignas(struct vfio_irq_set) char buffer[sizeof(struct vfio_irq_set) + sizeof(int)] = { 0 };
	struct vfio_irq_set *set = (struct vfio_irq_set *)buffer;
	int asked = eventfd(0, EFD_CLOEXEC);
	uint64_t n;

	set->argsz = sizeof(buffer);
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_REQ_IRQ_INDEX;
	set->count = 1;
	memcpy(set->data, &asked, sizeof(asked));
	if (asked < 0 || ioctl(device, VFIO_DEVICE_SET_IRQS, set) < 0)
		return fail("VFIO_DEVICE_SET_IRQS");
	return read(asked, &n, sizeof(n)) == (ssize_t)sizeof(n) ? 0 : fail("eventfd");
}

/*
 * The kernel resets the device before it gives it out, and for that takes the device's lock without waiting
 * (pci_try_reset_function()): who happens to read the device's `uevent` or `driver_override`, which take that
 * lock on many kernels, makes it fail.
 */
static int open_device(int group, const char *name)
{
	int device;

	for (int i = 0;
	     (device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name)) < 0 && errno == EAGAIN && i < 50; i++)
		(void)usleep(100000);
	return device;
}

int main(int argc, char **argv)
{
	char path[64];
	struct vfio_region_info region = { .argsz = sizeof(region), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	struct vfio_group_status status = { .argsz = sizeof(status) };
	int container, group, device;
	unsigned char ids[4];

	if (argc < 3 || argc > 4 || (argc == 4 && strcmp(argv[3], "obliging") != 0)) {
		(void)fputs("hold-vfio GROUP DEVICE [obliging]\n", stderr);
		return 2;
	}
	(void)snprintf(path, sizeof(path), "/dev/vfio/%s", argv[1]);
	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (container < 0)
		return fail("/dev/vfio/vfio");
	group = open(path, O_RDWR | O_CLOEXEC);
	if (group < 0)
		return fail(path);
	if (ioctl(group, VFIO_GROUP_GET_STATUS, &status) < 0)
		return fail("VFIO_GROUP_GET_STATUS");
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
		puts("not viable");
		return 3;
	}
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) < 0)
		return fail("VFIO_GROUP_SET_CONTAINER");
	if (ioctl(container, VFIO_SET_IOMMU, (unsigned long)VFIO_TYPE1_IOMMU) < 0)
		return fail("VFIO_SET_IOMMU");
	device = open_device(group, argv[2]);
	if (device < 0)
		return fail(argv[2]);
	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region) < 0)
		return fail("VFIO_DEVICE_GET_REGION_INFO");
	if (pread(device, ids, sizeof(ids), (off_t)region.offset) != (ssize_t)sizeof(ids))
		return fail("reading the config space");
	printf("open %02x%02x:%02x%02x\n", ids[1], ids[0], ids[3], ids[2]);
	(void)fflush(stdout);
	if (argc == 4) {
		if (wait_for_request(device) != 0)
			return 1;
		(void)close(device);
		(void)close(group);
		(void)close(container);
	}
	for (;;)
		(void)pause();
}
