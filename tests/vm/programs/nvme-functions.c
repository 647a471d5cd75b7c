/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Gives virtual functions of an emulated NVMe controller the queues without which no driver can use them.
 *
 *     nvme-functions DEVICE release    the physical function gives up what it can, with its next reset
 *     nvme-functions DEVICE N          the first N virtual functions get their share, and are online
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
	IDENTIFY = 0x06,
	VIRTUALIZATION = 0x1c,
	SECONDARY_CONTROLLERS = 0x15,
	PRIMARY_FLEXIBLE = 1,
	SECONDARY_ASSIGN = 8,
	SECONDARY_ONLINE = 9,
	QUEUES = 0,
	INTERRUPTS = 1,
};

static void command(int fd, struct nvme_admin_cmd *c)
{
	int r = ioctl(fd, NVME_IOCTL_ADMIN_CMD, c);

	if (r == 0)
		return;
	fprintf(stderr, "command %x %x: %x %s\n", c->opcode, c->cdw10, r, r < 0 ? strerror(errno) : "");
	exit(1);
}

static void manage(int fd, unsigned controller, unsigned action, unsigned resource, unsigned n)
{
	command(fd, &(struct nvme_admin_cmd){ .opcode = VIRTUALIZATION,
					      .cdw10 = controller << 16 | resource << 8 | action,
					      .cdw11 = n });
}

int main(int argc, char **argv)
{
	static uint8_t list[4096];
	struct nvme_admin_cmd identify = { .opcode = IDENTIFY,
					   .addr = (uint64_t)(uintptr_t)list,
					   .data_len = sizeof(list),
					   .cdw10 = SECONDARY_CONTROLLERS };
	int fd = argc == 3 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0) {
		perror("nvme-functions DEVICE release|N");
		return 2;
	}
	command(fd, &identify);
	if (strcmp(argv[2], "release") == 0) {
		unsigned primary = (unsigned)list[34] | (unsigned)list[35] << 8;

		manage(fd, primary, PRIMARY_FLEXIBLE, QUEUES, 0);
		manage(fd, primary, PRIMARY_FLEXIBLE, INTERRUPTS, 0);
		return 0;
	}
	for (int i = 1; i <= atoi(argv[2]) && i <= list[0]; i++) {
		const uint8_t *entry = list + 32 * i;
		unsigned controller = (unsigned)entry[0] | (unsigned)entry[1] << 8;

		manage(fd, controller, SECONDARY_ASSIGN, QUEUES, 2);
		manage(fd, controller, SECONDARY_ASSIGN, INTERRUPTS, 1);
		manage(fd, controller, SECONDARY_ONLINE, 0, 0);
	}
	return 0;
}
