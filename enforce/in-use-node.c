/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Device nodes that somebody has open; see in-use.h. */
#include "enforce/in-use-parts.h"
#include "base/macro.h"
#include "base/path.h"
#include "sysfs/fd-users.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int in_use_node(const struct in_use *u, const char *path, const char *node)
{
	char dev[DEV_MAX], who[128];
	unsigned major, minor;
	int r = in_use_device_number(path, dev, &major, &minor);

	/* Not everything of these classes has a device node. */
	if (r <= 0)
		return r;
	fd_users_find_opener(u->root, &(struct node){ S_IFCHR, major, minor }, 1, who, sizeof(who));
	return who[0] ? in_use_set_reason(u, "/dev/%s is open in %s", node, who) : 0;
}

/* A group can be opened once only, by whoever uses any device of it. */
int in_use_vfio_group(const struct in_use *u, const char *group)
{
	static const char *const prefixes[] = { "", "noiommu-" };
	_cleanup_(closep) int fd = -EBADF;
	char class[PATH_MAX], node[PATH_MAX], path[PATH_MAX];
	int r;

	for (size_t i = 0; i < ELEMENTSOF(prefixes); i++) {
		if (path_join(class, sizeof(class), u->root, "/class/vfio/", prefixes[i], group, NULL) < 0 ||
		    path_join(node, sizeof(node), "vfio/", prefixes[i], group, NULL) < 0 ||
		    path_join(path, sizeof(path), u->root, "/../dev/", node, NULL) < 0)
			return -ENAMETOOLONG;
		if (access(class, F_OK) < 0)
			continue;
		r = in_use_node(u, class, node);
		if (r != 0)
			return r;
		if (u->look_only)
			return 0;
		/* For reading, which CAP_DAC_READ_SEARCH is enough for, whoever a udev rule gave the node to.
		 */
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (fd >= 0 || errno == ENOENT || errno == ENXIO || errno == ENODEV)
			return 0;
		/* This one asks for CAP_SYS_RAWIO, which the service has not; what can be seen has been
		 * looked at. */
		if (errno == EPERM && prefixes[i][0])
			return 0;
		if (errno == EBUSY)
			return in_use_set_reason(
				u, "/dev/%s is open in a process that cannot be seen from here", node);
		/* To take a device from a guest that uses it would be worse than to ask for force in vain. */
		return in_use_set_reason(
			u, "/dev/%s cannot be opened, so nobody can tell whether it is in use: %s", node,
			strerror(errno));
	}
	return 0;
}
