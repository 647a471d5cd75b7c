/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What need not be looked for again of a device that is still there; see device-cache.h. */
#include "sysfs/device-cache.h"
#include "base/macro.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static void kept_physfn_init(struct kept_physfn *kept)
{
	*kept = (struct kept_physfn){ .parent_fd = -EBADF, .vendor = -1, .vf_device = -1 };
	for (size_t i = 0; i < ELEMENTSOF(kept->fds); i++)
		kept->fds[i] = -EBADF;
}

static void kept_physfn_done(struct kept_physfn *kept)
{
	closep(&kept->parent_fd);
	for (size_t i = 0; i < ELEMENTSOF(kept->fds); i++)
		closep(&kept->fds[i]);
}

void device_cache_init(struct device_cache *cache)
{
	*cache = (struct device_cache){};
	for (size_t i = 0; i < ELEMENTSOF(cache->physfns); i++)
		kept_physfn_init(&cache->physfns[i]);
}

void device_cache_done(struct device_cache *cache)
{
	for (size_t i = 0; i < ELEMENTSOF(cache->physfns); i++)
		kept_physfn_done(&cache->physfns[i]);
}

struct kept_physfn *device_cache_find_physfn(struct device_cache *cache, uint64_t inode)
{
	for (size_t i = 0; i < ELEMENTSOF(cache->physfns); i++)
		if (cache->physfns[i].inode == inode)
			return &cache->physfns[i];
	return NULL;
}

void device_cache_add_physfn(struct device_cache *cache, uint64_t inode, int parent_fd, const char *parent,
			     size_t n, const char *name)
{
	struct kept_physfn kept, *place;

	if (n >= sizeof(kept.parent) || strlen(name) >= sizeof(kept.name))
		return;
	kept_physfn_init(&kept);
	kept.inode = inode;
	memcpy(kept.parent, parent, n);
	(void)strcpy(kept.name, name);
	kept.parent_fd = fcntl(parent_fd, F_DUPFD_CLOEXEC, 0);
	if (kept.parent_fd < 0)
		return;
	/* Only now: all that was given may be that of the one which makes room. */
	place = &cache->physfns[cache->next_physfn++ % ELEMENTSOF(cache->physfns)];
	kept_physfn_done(place);
	*place = kept;
}
