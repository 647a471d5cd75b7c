/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verb `node`: an event of a VFIO or UIO node, from udev, which makes the node's links and sets who may
 * open it by the properties that are printed here. As for `event`, a child does all the work, and its parent
 * waits no longer than two seconds for it.
 */
#include "enforce/node-rule.h"
#include "base/child.h"
#include "base/log.h"
#include "enforcer/property.h"
#include "enforcer/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define NODE_USEC 1800000U

/* In memory that parent and child share: the child writes the answer, and the parent reads it when it has
 * ended. */
struct node_event {
	const struct settings *settings;
	const char *subsystem, *devpath;
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
		r = node_describe(policy, &sysfs, e->subsystem, e->devpath, &e->answer);
	return r == -ENODEV ? 0 : r;
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
	if (!e.subsystem || !e.devpath) {
		log_line(LOG_ERR, "node: no node: SUBSYSTEM and DEVPATH are not in the environment");
		return 2;
	}
	result = child_run(&child, CHILD_SHARED, node_child_run, &e, NODE_USEC);
	if (result.how == CHILD_TIMED_OUT) {
		child_abandon(&child);
		log_line(LOG_WARNING,
			 "%s: timed out after 1.8 s, leaving it without links and Access=", e.devpath);
		return 0;
	}
	if (result.how != CHILD_OK) {
		log_line(LOG_ERR, "%s: %s", e.devpath, child_result_text(result));
		return 1;
	}
	property_print("DRIVER_OVERRIDE_NODE_OWNER", e.answer.owner);
	property_print("DRIVER_OVERRIDE_NODE_GROUP", e.answer.group);
	property_print("DRIVER_OVERRIDE_NODE_MODE", e.answer.mode);
	property_print("DRIVER_OVERRIDE_NODE_LINKS", e.answer.links);
	return 0;
}
