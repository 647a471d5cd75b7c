/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looks for the users of a device, and says who they are; see in-use.h. */
#include "enforce/in-use.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "enforce/in-use-parts.h"
#include "sysfs/binding.h"
#include "sysfs/pci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What can be opened exclusively. */
static int in_use_check_items(struct in_use *u)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < u->n; i++) {
		u->part = u->items[i].part;
		switch (u->items[i].kind) {
		case IN_USE_NODE:
			break;
		case IN_USE_DISK:
			r = in_use_disk(u, &u->items[i], &u->nodes[i]);
			break;
		case IN_USE_GROUP:
			r = in_use_group(u, &u->items[i]);
			break;
		}
	}
	return r;
}

static int in_use_find_nodes(struct in_use *u, const struct sysfs_device *d)
{
	char path[PATH_MAX], driver[BOUND_MAX];
	int r;

	if (path_join(path, sizeof(path), d->sysfs->root, d->devpath, NULL) < 0)
		return -ENAMETOOLONG;
	r = in_use_walk_device(u, path);
	bound_driver(d, driver, sizeof(driver));
	if (r == 0 && startswith(driver, "nvidia"))
		r = in_use_add_nvidia(u, d->name);
	return r;
}

static void in_use_done(struct in_use *u)
{
	strings_done(&u->visited);
	arena_done(&u->arena);
	free(u->items);
	free(u->nodes);
}

static int in_use_check_all(struct in_use *u, const struct sysfs_device *d)
{
	int r = in_use_find_nodes(u, d);

	if (r == 0)
		r = in_use_openers(u);
	return r == 0 ? in_use_check_items(u) : r;
}

int in_use_check(struct sysfs_device *d, struct in_use_search *search, bool look_only,
		 struct in_use_answer *ret)
{
	struct in_use u = {
		.root = d->sysfs->root, .answer = ret, .search = search, .look_only = look_only, .part = ""
	};
	int r;

	*ret = (struct in_use_answer){ .wait_for = "time" };
	sysfs_progress(d, "looking for", "users");
	r = in_use_check_all(&u, d);
	if (r <= 0)
		*ret = (struct in_use_answer){};
	in_use_done(&u);
	return r;
}

/* What cannot be added is searched for when it is asked about. */
static void search_add_nodes_of(struct in_use_search *s, const struct sysfs_device *d)
{
	struct in_use_answer ignored = {};
	struct in_use u = { .root = d->sysfs->root, .answer = &ignored, .nodes_only = true, .part = "" };

	(void)in_use_find_nodes(&u, d);
	for (size_t i = 0; i < u.n && in_use_search_add(s, &u.nodes[i]) >= 0; i++)
		;
	in_use_done(&u);
}

static void search_add_slot_of(struct in_use_search *s, struct sysfs_device *d)
{
	struct device **members;
	size_t n;

	search_add_nodes_of(s, d);
	if (d->device.ops->group(&d->device, &members, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		const struct sysfs_device *function = to_sysfs_device(members[i]);

		if (function != d && pci_share_slot(function, d))
			search_add_nodes_of(s, function);
	}
}

static void search_add_expected(struct in_use_search *s)
{
	for (size_t i = 0; i < s->n_devices; i++)
		if (s->devices[i])
			search_add_slot_of(s, s->devices[i]);
}

struct in_use_search *in_use_search_of(struct sysfs_device *const *devices, size_t n)
{
	struct in_use_search *s = NULL;

	for (size_t i = 0; i < n && !s; i++)
		s = devices[i] ? in_use_search_new(devices[i]->sysfs->root) : NULL;
	if (s) {
		s->devices = devices;
		s->n_devices = n;
		s->add_expected = search_add_expected;
	}
	return s;
}
