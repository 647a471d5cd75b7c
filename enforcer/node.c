/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verb `node`: an event of a VFIO or UIO node, from udev, which makes the node's links and sets who may
 * open it by the properties that are printed here. udev puts the properties that it remembers of the node
 * into the environment. A property that is not printed stays as it was, and "-" takes it away. As for
 * `event`, a child does all the work, and its parent waits no longer than two seconds for it.
 */
#include "enforce/node-rule.h"
#include "base/child.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/path.h"
#include "base/text.h"
#include "enforcer/property.h"
#include "enforcer/verbs.h"
#include "sysfs/binding.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define NODE_USEC 1800000U
#define LINKS "DRIVER_OVERRIDE_NODE_LINKS"

/* In memory that parent and child share: the child writes the answer, and the parent reads it when it has
 * ended. */
struct node_event {
	const struct settings *settings;
	const char *subsystem, *devpath, *links_before;
	struct node_answer answer;
};

static int node_child_run(void *userdata)
{
	struct node_event *e = userdata;
	struct sysfs sysfs;
	struct policy *policy;
	int r;

	/* Nothing is freed: this process ends with its work. */
	sysfs_init(&sysfs, e->settings);
	r = policy_load(e->settings, &policy);
	if (r >= 0)
		r = node_describe(policy, &sysfs, e->subsystem, e->devpath, e->links_before, &e->answer);
	if (r != -ENODEV)
		return r;
	/* Its "remove" event takes all away, if there was anything. */
	e->answer.unknown = true;
	return 0;
}

static const char *node_property_before(const char *key)
{
	const char *before = getenv(key);

	return before ? before : "";
}

static void node_answer_print(const struct node_answer *answer)
{
	const struct {
		const char *key, *value;
		bool is_access;
	} properties[] = {
		{ "DRIVER_OVERRIDE_NODE_OWNER", answer->owner, true },
		{ "DRIVER_OVERRIDE_NODE_GROUP", answer->group, true },
		{ "DRIVER_OVERRIDE_NODE_MODE", answer->mode, true },
		{ LINKS, answer->links, false },
	};
	bool had_access = false;

	for (size_t i = 0; i < ELEMENTSOF(properties); i++)
		if (properties[i].is_access && *node_property_before(properties[i].key))
			had_access = true;
	for (size_t i = 0; i < ELEMENTSOF(properties); i++) {
		/* Another rule's Access= does not replace one whose rule may only be out of sight. */
		if (answer->unknown && properties[i].is_access && had_access)
			continue;
		if (!*properties[i].value && *node_property_before(properties[i].key) && !answer->unknown)
			property_print(properties[i].key, "-");
		else
			property_print(properties[i].key, properties[i].value);
	}
}

/*
 * What udev remembers of the node stays. A new node has nothing that could stay, and its device may have no
 * other event for long: so the node is asked about once more.
 */
static void node_answer_timed_out(const struct node_event *e)
{
	const char *action = getenv("ACTION");
	struct sysfs sysfs;

	log_line(LOG_WARNING, "%s: timed out after 1.8 s, leaving its links and Access= as they are",
		 e->devpath);
	if (!action || !streq(action, "add"))
		return;
	sysfs_init(&sysfs, e->settings);
	/* It may have gone meanwhile. */
	ignore_error(class_device_announce(&sysfs, e->subsystem, path_last(e->devpath)));
	sysfs_done(&sysfs);
}

int verb_node(const struct settings *settings)
{
	static char buffer[8192];   /* spares stdio a malloc(), whose lock an abandoned child may hold */
	static struct node_event e; /* an abandoned child may still write to it */
	struct child_result result;
	struct child child;

	(void)setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	e.settings = settings;
	e.subsystem = getenv("SUBSYSTEM");
	e.devpath = getenv("DEVPATH");
	e.links_before = getenv(LINKS);
	if (!e.subsystem || !e.devpath) {
		log_line(LOG_ERR, "node: no node: SUBSYSTEM and DEVPATH are not in the environment");
		return 2;
	}
	result = child_run(&child, CHILD_SHARED, node_child_run, &e, NODE_USEC);
	if (result.how == CHILD_TIMED_OUT) {
		child_abandon(&child);
		node_answer_timed_out(&e);
		return 0;
	}
	if (result.how != CHILD_OK) {
		log_line(LOG_ERR, "%s: %s", e.devpath, child_result_text(result));
		return 1;
	}
	node_answer_print(&e.answer);
	return 0;
}
