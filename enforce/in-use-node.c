/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Device nodes that a process has open; see in-use.h. */
#include "base/arena.h"
#include "base/array.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "enforce/in-use-parts.h"
#include "enforce/in-use-search.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Classes whose nodes are open on every machine by programs that nobody would miss here: they come back with
 * the device, or do without. The contract names them.
 */
static bool is_of_no_weight(const char *subsystem)
{
	static const char *const names[] = { "input", "hidraw", "rtc", "watchdog", "tpm", "tpmrm" };

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (streq(subsystem, names[i]))
			return true;
	return false;
}

static int in_use_add_item(struct in_use *u, enum in_use_kind kind, const struct node *node, const char *path,
			   const char *name)
{
	struct in_use_item item = { kind, u->part, arena_strdup(&u->arena, path),
				    arena_strdup(&u->arena, name) };

	if (!item.path || !item.name)
		return -ENOMEM;
	if (array_reserve(u->items, u->items_allocated, u->n) < 0 ||
	    array_reserve(u->nodes, u->nodes_allocated, u->n) < 0)
		return -ENOMEM;
	u->items[u->n] = item;
	u->nodes[u->n] = *node;
	u->nodes[u->n++].name = item.name;
	return 0;
}

/*
 * The name that udev gave a node below /dev, from the link that it makes for the number. The uevent file has
 * the name as well, but some kernels take the device's lock to read it.
 */
static void in_use_node_name(const struct in_use *u, const char *path, mode_t type, const char *number,
			     char *buf, size_t size)
{
	char link[PATH_MAX], target[PATH_MAX];

	if (path_join(link, sizeof(link), u->root, type == S_IFBLK ? "/../dev/block/" : "/../dev/char/",
		      number, NULL) >= 0 &&
	    read_link(link, target, sizeof(target)) >= 0 && startswith(target, "../"))
		(void)snprintf(buf, size, "%s", target + 3);
	else {
		(void)snprintf(buf, size, "%s", strrchr(path, '/') + 1);
		for (char *c = buf; *c; c++)
			if (*c == '!')
				*c = '/'; /* "cciss!c0d0" */
	}
}

int in_use_add_node(struct in_use *u, const char *path, const char *subsystem)
{
	struct node node = { .type = streq(subsystem, "block") ? S_IFBLK : S_IFCHR,
			     .needs_login = streq(subsystem, "tty") };
	char number[DEV_MAX], name[PATH_MAX];
	int r;

	if (is_of_no_weight(subsystem))
		return 0;
	r = in_use_device_number(path, number, &node.major, &node.minor);
	/* One path of a multipath disk has neither number nor node; its head has. */
	if (r <= 0)
		return r;
	in_use_node_name(u, path, node.type, number, name, sizeof(name));
	return in_use_add_item(u, node.type == S_IFBLK ? IN_USE_DISK : IN_USE_NODE, &node, path, name);
}

/* The number of a driver's character devices, from proc/devices ("195 nvidia"); 0: it has none. */
static unsigned in_use_find_major(const struct in_use *u, const char *driver)
{
	_cleanup_(freep) char *text = in_use_read_file(u, "proc/devices");
	char *line, *rest = text;

	while (rest && (line = strsep(&rest, "\n"))) {
		char *end;
		unsigned long major = strtoul(line, &end, 10);

		if (streq(line, "Block devices:"))
			return 0;
		if (end != line && *end == ' ' && startswith(end + 1, driver))
			return (unsigned)major;
	}
	return 0;
}

int in_use_add_nvidia(struct in_use *u, const char *name)
{
	_cleanup_(freep) char *text = NULL;
	struct node node = { .type = S_IFCHR };
	const char *minor;
	char path[256], node_name[32];

	if (path_join(path, sizeof(path), "proc/driver/nvidia/gpus/", name, "/information", NULL) < 0)
		return 0;
	text = in_use_read_file(u, path);
	minor = text ? strstr(text, "Device Minor:") : NULL;
	node.major = in_use_find_major(u, "nvidia");
	if (!minor || node.major == 0)
		return 0;
	minor += strlen("Device Minor:");
	node.minor = (unsigned)strtoul(minor + strspn(minor, " \t"), NULL, 10);
	(void)snprintf(node_name, sizeof(node_name), "nvidia%u", node.minor);
	return in_use_add_item(u, IN_USE_NODE, &node, "", node_name);
}

int in_use_openers(struct in_use *u)
{
	char who[FD_USER_MAX];
	size_t i;
	int r = in_use_search_find(u->search, u->root, u->nodes, u->n, who, &i);

	if (r <= 0)
		return r;
	u->part = u->items[i].part;
	(void)snprintf(u->answer->wait_for, sizeof(u->answer->wait_for), "/dev/%.200s", u->items[i].name);
	return in_use_set_reason(u, "/dev/%.200s is open in %s", u->items[i].name, who);
}

int in_use_add_group(struct in_use *u, const char *path)
{
	static const char *const prefixes[] = { "", "noiommu-" };
	char group[64], class[PATH_MAX], name[128], number[DEV_MAX];
	struct node node = { .type = S_IFCHR };
	int r;

	if (in_use_link(path, "iommu_group", group, sizeof(group)) < 0)
		return 0;
	for (size_t i = 0; i < ELEMENTSOF(prefixes); i++) {
		if (path_join(class, sizeof(class), u->root, "/class/vfio/", prefixes[i], group, NULL) < 0 ||
		    path_join(name, sizeof(name), "vfio/", prefixes[i], group, NULL) < 0)
			return -ENAMETOOLONG;
		if (access(class, F_OK) < 0)
			continue;
		r = in_use_device_number(class, number, &node.major, &node.minor);
		return r < 0 ? r : in_use_add_item(u, IN_USE_GROUP, &node, class, name);
	}
	return 0;
}

int in_use_group(struct in_use *u, const struct in_use_item *item)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX];

	if (u->look_only)
		return 0;
	if (path_join(path, sizeof(path), u->root, "/../dev/", item->name, NULL) < 0)
		return -ENAMETOOLONG;
	/* For reading: CAP_DAC_READ_SEARCH is enough for that, whomever a udev rule gave the node to. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd >= 0 || errno == ENOENT || errno == ENXIO || errno == ENODEV)
		return 0;
	/* Opening this one needs CAP_SYS_RAWIO, which the service does not have; what can be seen was looked
	 * at. */
	if (errno == EPERM && startswith(item->name, "vfio/noiommu-"))
		return 0;
	(void)snprintf(u->answer->wait_for, sizeof(u->answer->wait_for), "/dev/%.200s", item->name);
	if (errno == EBUSY)
		return in_use_set_reason(u, "/dev/%s is open in a process that cannot be seen from here",
					 item->name);
	/* Taking a device from a guest that uses it would be worse than asking for force in vain. */
	return in_use_set_reason(u, "/dev/%s cannot be opened, so nobody can tell whether it is in use: %s",
				 item->name, strerror(errno));
}
