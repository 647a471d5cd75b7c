/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Is a vDPA device: vduse-device NAME. Makes a disk of VDUSE, says "ready" when `vdpa dev add name NAME
 * mgmtdev vduse` can attach it to the bus, and answers what the kernel asks of it until it is killed. It has
 * no data: no driver may do more than reset it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vduse.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int fail(const char *what)
{
	(void)fprintf(stderr, "vduse-device: %s: %s\n", what, strerror(errno));
	return 1;
}

static int make_device(int control, const char *name)
{
	struct vduse_dev_config *config = calloc(1, sizeof(*config) + sizeof(struct virtio_blk_config));
	int r;

	if (!config)
		return -1;
	(void)snprintf(config->name, sizeof(config->name), "%s", name);
	config->device_id = VIRTIO_ID_BLOCK;
	config->features = 1ULL << VIRTIO_F_ACCESS_PLATFORM | 1ULL << VIRTIO_F_VERSION_1;
	config->vq_num = 1;
	config->vq_align = 4096;
	config->config_size = sizeof(struct virtio_blk_config);
	r = ioctl(control, VDUSE_CREATE_DEV, config);
	free(config);
	return r;
}

int main(int argc, char **argv)
{
	struct vduse_vq_config queue = { .max_size = 16 };
	__u64 version = VDUSE_API_VERSION;
	struct vduse_dev_request request;
	int control, device;
	char path[64];

	if (argc != 2) {
		(void)fputs("vduse-device NAME\n", stderr);
		return 2;
	}
	control = open("/dev/vduse/control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return fail("/dev/vduse/control");
	if (ioctl(control, VDUSE_SET_API_VERSION, &version) < 0)
		return fail("VDUSE_SET_API_VERSION");
	if (make_device(control, argv[1]) < 0)
		return fail("VDUSE_CREATE_DEV");
	(void)snprintf(path, sizeof(path), "/dev/vduse/%s", argv[1]);
	device = open(path, O_RDWR | O_CLOEXEC);
	if (device < 0)
		return fail(path);
	if (ioctl(device, VDUSE_VQ_SETUP, &queue) < 0)
		return fail("VDUSE_VQ_SETUP");
	puts("ready");
	(void)fflush(stdout);
	while (read(device, &request, sizeof(request)) == (ssize_t)sizeof(request)) {
		struct vduse_dev_response response = { .request_id = request.request_id,
						       .result = VDUSE_REQ_RESULT_OK };

		if (request.type == VDUSE_GET_VQ_STATE)
			response.vq_state.index = request.vq_state.index;
		if (write(device, &response, sizeof(response)) != (ssize_t)sizeof(response))
			return fail("write");
	}
	return fail("read");
}
