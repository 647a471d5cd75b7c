/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What need not be looked for again of a device that is still there: each thread of the guard decides about
 * one device after another of the same card, while the kernel waits. Everything is kept under the inode of a
 * device's folder, which no device has that comes later under the same name.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The numbers that tell which virtual functions a physical function has. */
enum physfn_number {
	PHYSFN_TOTAL,
	PHYSFN_OFFSET,
	PHYSFN_STRIDE,
	PHYSFN_NUMBERS,
};

struct kept_physfn {
	uint64_t inode; /* of its folder; 0: a place that is free */
	/* The folder that it is in, open, with its devpath and a slash, and its name there. -EBADF: not open.
	 */
	int parent_fd;
	char parent[108], name[16];
	/* The files of its numbers, to be read again: these change when functions are made anew. -EBADF: not
	 * open. */
	int fds[PHYSFN_NUMBERS];
	long vendor, vf_device; /* -1: not known */
};

#define KEPT_PHYSFNS_MAX 8

/* For one thread. It is zero, but for what device_cache_init() does. */
struct device_cache {
	struct kept_physfn physfns[KEPT_PHYSFNS_MAX];
	size_t next_physfn; /* whose place is taken next */
};

void device_cache_init(struct device_cache *cache);
void device_cache_done(struct device_cache *cache);

/* What is kept of the function whose folder has this inode; NULL: nothing. */
struct kept_physfn *device_cache_find_physfn(struct device_cache *cache, uint64_t inode);

/*
 * Keeps that of which nothing is kept yet, in the place of another one, unless its path is too long for that.
 * n: of the devpath of its parent, with a slash.
 */
void device_cache_add_physfn(struct device_cache *cache, uint64_t inode, int parent_fd, const char *parent,
			     size_t n, const char *name);
