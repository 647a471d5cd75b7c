/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What need not be looked for again of a device that is still there; see device-cache.h. */
#include "sysfs/device-cache.h"
#include "base/macro.h"
#include "base/text.h"

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
	for (size_t i = 0; i < ELEMENTSOF(cache->groups); i++)
		cache->groups[i].fd = -EBADF;
}

void device_cache_done(struct device_cache *cache)
{
	for (size_t i = 0; i < ELEMENTSOF(cache->physfns); i++)
		kept_physfn_done(&cache->physfns[i]);
	for (size_t i = 0; i < ELEMENTSOF(cache->groups); i++)
		closep(&cache->groups[i].fd);
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

const struct kept_member *device_cache_find_member(const struct device_cache *cache, const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(cache->members); i++)
		if (cache->members[i].inode != 0 && streq(cache->members[i].name, name))
			return &cache->members[i];
	return NULL;
}

void device_cache_add_member(struct device_cache *cache, uint64_t inode, const char *name,
			     const char *devpath)
{
	struct kept_member *kept = NULL;

	if (strlen(name) >= sizeof(kept->name) || strlen(devpath) >= sizeof(kept->devpath))
		return;
	for (size_t i = 0; i < ELEMENTSOF(cache->members) && !kept; i++)
		if (streq(cache->members[i].name, name))
			kept = &cache->members[i];
	if (!kept)
		kept = &cache->members[cache->next_member++ % ELEMENTSOF(cache->members)];
	*kept = (struct kept_member){ .inode = inode };
	(void)strcpy(kept->name, name);
	(void)strcpy(kept->devpath, devpath);
}

void device_cache_add_modalias(struct device_cache *cache, uint64_t inode, const char *modalias)
{
	for (size_t i = 0; i < ELEMENTSOF(cache->members); i++) {
		struct kept_member *kept = &cache->members[i];

		if (inode != 0 && kept->inode == inode && strlen(modalias) < sizeof(kept->modalias))
			(void)strcpy(kept->modalias, modalias);
	}
}

int device_cache_find_group(const struct device_cache *cache, const char *id)
{
	for (size_t i = 0; i < ELEMENTSOF(cache->groups); i++)
		if (cache->groups[i].fd >= 0 && streq(cache->groups[i].id, id))
			return cache->groups[i].fd;
	return -EBADF;
}

int device_cache_guess_group(const struct device_cache *cache, const char *name)
{
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; i < ELEMENTSOF(cache->groups) && dot; i++)
		if (cache->groups[i].fd >= 0 &&
		    strncmp(cache->groups[i].name, name, (size_t)(dot - name) + 1) == 0)
			return cache->groups[i].fd;
	return -EBADF;
}

void device_cache_add_group(struct device_cache *cache, const char *id, const char *name, int fd)
{
	struct kept_group *kept = NULL;

	for (size_t i = 0; i < ELEMENTSOF(cache->groups) && !kept; i++)
		if (streq(cache->groups[i].id, id))
			kept = &cache->groups[i];
	if (!kept)
		kept = &cache->groups[cache->next_group++ % ELEMENTSOF(cache->groups)];
	closep(&kept->fd);
	kept->fd = fd;
	text_copy(kept->id, sizeof(kept->id), id);
	text_copy(kept->name, sizeof(kept->name), name);
}
