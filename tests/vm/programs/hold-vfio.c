/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Holds a VFIO device open, as a virtual machine does: hold-vfio GROUP DEVICE. Prints a line when it has it,
 * and keeps it until it is killed, whatever the kernel asks of it meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int fail(const char *what)
{
	(void)fprintf(stderr, "hold-vfio: %s: %s\n", what, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	char path[64];
	int container, group, device;

	if (argc != 3) {
		(void)fputs("hold-vfio GROUP DEVICE\n", stderr);
		return 2;
	}
	(void)snprintf(path, sizeof(path), "/dev/vfio/%s", argv[1]);
	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (container < 0)
		return fail("/dev/vfio/vfio");
	group = open(path, O_RDWR | O_CLOEXEC);
	if (group < 0)
		return fail(path);
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) < 0)
		return fail("VFIO_GROUP_SET_CONTAINER");
	if (ioctl(container, VFIO_SET_IOMMU, (unsigned long)VFIO_TYPE1_IOMMU) < 0)
		return fail("VFIO_SET_IOMMU");
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, argv[2]);
	if (device < 0)
		return fail(argv[2]);
	puts("open");
	(void)fflush(stdout);
	for (;;)
		(void)pause();
}
