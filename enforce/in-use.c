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

static int in_use_check_all(struct in_use *u, struct sysfs_device *d)
{
	char path[PATH_MAX], driver[BOUND_MAX];
	int r;

	if (path_join(path, sizeof(path), d->sysfs->root, d->devpath, NULL) < 0)
		return -ENAMETOOLONG;
	r = in_use_walk_device(u, path);
	bound_driver(d, driver, sizeof(driver));
	if (r == 0 && startswith(driver, "nvidia"))
		r = in_use_add_nvidia(u, d->name);
	if (r == 0)
		r = in_use_openers(u);
	return r == 0 ? in_use_check_items(u) : r;
}

int in_use_check(struct sysfs_device *d, bool look_only, struct in_use_answer *ret)
{
	struct in_use u = { .root = d->sysfs->root, .answer = ret, .look_only = look_only, .part = "" };
	int r;

	*ret = (struct in_use_answer){ .wait_for = "time" };
	sysfs_progress(d, "looking for", "users");
	r = in_use_check_all(&u, d);
	if (r <= 0)
		*ret = (struct in_use_answer){};
	strings_done(&u.visited);
	arena_done(&u.arena);
	free(u.items);
	free(u.nodes);
	return r;
}
