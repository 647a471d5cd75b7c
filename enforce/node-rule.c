/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the policy says about the nodes of VFIO and UIO; see node-rule.h. */
#include "enforce/node-rule.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/vfio-driver.h"
#include "sysfs/binding.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define LINK_FOLDER "vfio/by-rule/"

enum node_kind {
	NODE_OF_GROUP,
	NODE_OF_DEVICE,
	NODE_OF_UIO,
};

struct ruled_node {
	const struct policy *policy;
	struct sysfs *sysfs;
	enum node_kind kind;
	const char *name;		/* "12", "vfio0", "uio0" */
	struct sysfs_device *device;	/* that it is of, or a member of its group */
	const struct rule *access_rule; /* the first that has Access= */
	struct node_answer *answer;
};

static bool node_kind_parse(const char *subsystem, enum node_kind *ret)
{
	if (streq(subsystem, "vfio"))
		*ret = NODE_OF_GROUP;
	else if (streq(subsystem, "vfio-dev"))
		*ret = NODE_OF_DEVICE;
	else if (streq(subsystem, "uio"))
		*ret = NODE_OF_UIO;
	else
		return false;
	return true;
}

/* The first member of the group that "12" or "noiommu-12" names. */
static int node_find_member(struct ruled_node *node)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	const char *number = startswith(node->name, "noiommu-"), *member;
	char folder[PATH_MAX], path[PATH_MAX];

	if (path_join(folder, sizeof(folder), node->sysfs->root, "/kernel/iommu_groups/",
		      number ? number : node->name, "/devices", NULL) < 0 ||
	    dir_open(&dir, folder) < 0)
		return -ENODEV;
	member = dir_next(&dir);
	if (!member || path_join(path, sizeof(path), folder, "/", member, NULL) < 0)
		return -ENODEV;
	return sysfs_device_lookup(node->sysfs, path, &node->device);
}

/* DEVICE/vfio-dev/vfio0, DEVICE/uio/uio0 */
static int node_find_parent(struct ruled_node *node, const char *devpath)
{
	char folder[PATH_MAX], device[PATH_MAX];

	if (path_parent(devpath, folder, sizeof(folder)) < 0 ||
	    path_parent(folder, device, sizeof(device)) < 0)
		return -ENODEV;
	return sysfs_device_new(node->sysfs, device, NULL, &node->device);
}

/* One more link, unless it is there already. One that is too long cannot be made. */
static void node_add_link(struct ruled_node *node, const char *link)
{
	char *links = node->answer->links;
	const size_t n = strlen(link), used = strlen(links);
	const char *found = links;

	while ((found = strstr(found, link))) {
		if ((found == links || found[-1] == ' ') && (found[n] == ' ' || found[n] == '\0'))
			return;
		found += n;
	}
	if (strlen(path_last(link)) > NAME_MAX || used + n + 2 > sizeof(node->answer->links)) {
		log_line(LOG_WARNING, "%s: its link %s is left out: too long", node->name, link);
		return;
	}
	if (used > 0)
		links[used] = ' ';
	memcpy(links + used + (used > 0), link, n + 1);
}

/* The devices of a rule, counted by their records. */
struct rule_devices {
	const struct ruled_node *node;
	const struct sysfs_device *except;
	uint64_t rule_id;
};

/* 1: another device of the rule, which has a node of its own; negative errno: it may be one. */
static int rule_device_check(const char *bus, const char *name, void *userdata)
{
	const struct rule_devices *devices = userdata;
	const struct sysfs_device *mine = devices->except;
	_cleanup_(sysfs_device_freep) struct sysfs_device *d = NULL;
	char group[64], other[64];
	struct record record;
	int r;

	if ((streq(bus, mine->bus) && streq(name, mine->name)) ||
	    sysfs_device_find(mine->sysfs, bus, name, &d) < 0 ||
	    record_read(mine->sysfs->state_dir, bus, name, d->inode, &record) < 0 ||
	    record.rule_id != devices->rule_id || !streq(record.cause, "rule") ||
	    !driver_is_vfio(record.decision))
		return 0;
	/* Members of one group have one node. */
	if (devices->node->kind == NODE_OF_DEVICE)
		return 1;
	r = sysfs_device_link(mine, "iommu_group", group, sizeof(group));
	if (r >= 0)
		r = sysfs_device_link(d, "iommu_group", other, sizeof(other));
	if (r < 0)
		return r == -ENOENT ? 1 : r;
	return !streq(group, other);
}

/* Another node may have had it while its device was the only one of the rule. */
static void link_give_up(const struct ruled_node *node, const char *link)
{
	const char *class = node->kind == NODE_OF_DEVICE ? "vfio-dev" : "vfio";
	char path[PATH_MAX], owner[64];

	if (path_join(path, sizeof(path), node->sysfs->root, "/../dev/", link, NULL) < 0 ||
	    read_link_name(path, owner, sizeof(owner)) < 0 || streq(owner, node->name))
		return;
	/* If it cannot be asked for now, the node's next event does it. */
	ignore_error(class_device_announce(node->sysfs, class, owner));
}

static void node_add_links(struct ruled_node *node, const struct decision *decision)
{
	struct sysfs_device *d = to_sysfs_device(decision->device);
	const char *suffix = node->kind == NODE_OF_DEVICE ? ".cdev" : "";
	struct rule_devices devices = { node, d, rule_id(decision->rule) };
	char label[800], bus[256], name[1024], link[PATH_MAX];

	if (name_escape(decision->rule->label, label, sizeof(label)) < 0 ||
	    name_escape(d->bus, bus, sizeof(bus)) < 0 || name_escape(d->name, name, sizeof(name)) < 0)
		return;
	/* A companion goes by the rule of another device, whose name it does not have. */
	if (decision->cause == CAUSE_RULE &&
	    path_join(link, sizeof(link), LINK_FOLDER, label, suffix, NULL) >= 0) {
		int r = record_each(node->sysfs->state_dir, rule_device_check, &devices);

		if (r == 0)
			node_add_link(node, link);
		else if (r > 0)
			link_give_up(node, link);
		else
			node->answer->unknown = true;
	}
	if (path_join(link, sizeof(link), LINK_FOLDER, label, "-", bus, "-", name, suffix, NULL) >= 0)
		node_add_link(node, link);
}

/* Whether a policy file without rules, for its errors, would have decided before that rule; NULL: at all. */
static bool policy_may_lack_rule(const struct policy *policy, const struct rule *rule)
{
	if (policy->incomplete)
		return true;
	for (size_t i = 0; i < policy->n_files; i++) {
		if (rule && streq(policy->files[i].path, rule->file))
			return false;
		if (policy->files[i].status == POLICY_FILE_BAD)
			return true;
	}
	return false;
}

static bool node_decision_is_known(const struct ruled_node *node, const struct decision *decision)
{
	/* No VFIO driver takes a bridge, whatever rule it has. */
	if (decision->kind == DECISION_BRIDGE)
		return true;
	if (decision->kind == DECISION_UNKNOWN || decision->group_unknown)
		return false;
	return !policy_may_lack_rule(node->policy, decision->cause == CAUSE_RULE ? decision->rule : NULL);
}

static void node_add_device(struct ruled_node *node, const struct decision *decision)
{
	const struct rule *rule = decision->rule;
	struct sysfs_device *d = to_sysfs_device(decision->device);
	char driver[BOUND_MAX];
	int r;

	if (node->kind != NODE_OF_GROUP && d != node->device)
		return;
	if (!node_decision_is_known(node, decision))
		node->answer->unknown = true;
	if (decision->kind != DECISION_DRIVER)
		return;
	r = sysfs_device_link(d, "driver", driver, sizeof(driver));
	if (r < 0 || !streq(driver, decision->driver)) {
		/* Where it is not known which VFIO driver is meant, the one that it has may be that. */
		if ((r < 0 && r != -ENOENT) || (r >= 0 && decision->vfio_unknown))
			node->answer->unknown = true;
		return;
	}
	if (rule->access.user && (!node->access_rule || rule->order < node->access_rule->order))
		node->access_rule = rule;
	if (node->kind != NODE_OF_UIO)
		node_add_links(node, decision);
}

static int node_decide(struct ruled_node *node)
{
	struct device *alone[] = { &node->device->device }, **members = alone;
	_cleanup_(freep) struct decision *decisions = NULL;
	size_t n = 1;
	int r = node->device->device.ops->group(&node->device->device, &members, &n);

	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		/* A group that has a node has members, and what has no group has none. */
		if (node->kind == NODE_OF_GROUP || r != -ENODATA)
			node->answer->unknown = true;
		members = alone;
		n = 1;
	}
	decisions = calloc(n, sizeof(*decisions));
	if (!decisions)
		return -ENOMEM;
	policy_decide_group(node->policy, members, n, decisions);
	for (size_t i = 0; i < n; i++)
		node_add_device(node, &decisions[i]);
	return 0;
}

/* The links that the node has stay. */
static void node_keep_links(struct ruled_node *node, const char *links)
{
	char link[sizeof(node->answer->links)];

	for (size_t n; *links; links += n + (links[n] != '\0')) {
		n = strcspn(links, " ");
		if (n == 0 || n >= sizeof(link))
			continue;
		memcpy(link, links, n);
		link[n] = '\0';
		node_add_link(node, link);
	}
}

int node_describe(const struct policy *policy, struct sysfs *sysfs, const char *subsystem,
		  const char *devpath, const char *links_before, struct node_answer *ret)
{
	struct ruled_node node = {
		.policy = policy, .sysfs = sysfs, .name = path_last(devpath), .answer = ret
	};
	int r;

	*ret = (struct node_answer){};
	if (!node_kind_parse(subsystem, &node.kind))
		return -ENODEV;
	r = node.kind == NODE_OF_GROUP ? node_find_member(&node) : node_find_parent(&node, devpath);
	if (r < 0)
		return r == -ENOMEM ? r : -ENODEV;
	r = node_decide(&node);
	if (r >= 0 && ret->unknown && links_before)
		node_keep_links(&node, links_before);
	if (r >= 0 && node.access_rule) {
		const struct rule_access *access = &node.access_rule->access;

		text_copy(ret->owner, sizeof(ret->owner), access->user);
		text_copy(ret->group, sizeof(ret->group), access->group);
		text_copy(ret->mode, sizeof(ret->mode), access->mode);
	}
	(void)sysfs_device_free(node.device);
	return r;
}

/* False: the device is alone in its group, whose node comes and goes with its driver. */
static bool group_may_have_others(const struct sysfs_device *d, const char *group)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char folder[PATH_MAX];
	size_t n = 0;

	if (path_join(folder, sizeof(folder), d->sysfs->root, "/kernel/iommu_groups/", group, "/devices",
		      NULL) < 0 ||
	    dir_open(&dir, folder) < 0)
		return true;
	while (n < 2 && dir_next(&dir))
		n++;
	return n == 2;
}

void node_announce_of_group(struct sysfs_device *d)
{
	static const char *const prefixes[] = { "", "noiommu-" };
	char group[64], name[80];

	if (sysfs_device_link(d, "iommu_group", group, sizeof(group)) < 0 || !group_may_have_others(d, group))
		return;
	/* Where it has no node, or the node has gone with the device, there is nothing to announce. */
	for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
		if (path_join(name, sizeof(name), prefixes[i], group, NULL) >= 0)
			ignore_error(class_device_announce(d->sysfs, "vfio", name));
}
