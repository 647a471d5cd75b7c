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

/* A PCI device that is in another one's IOMMU group, and has a driver_override file. */
struct kept_member {
	uint64_t inode; /* 0: a place that is free */
	char name[16], devpath[108];
	char modalias[64]; /* "": not known */
};

struct kept_group {
	int fd;	       /* the folder of its members, open; -EBADF: a place that is free */
	char id[16];   /* its number, which another group has only when this one has gone */
	char name[16]; /* of the device that was looked for in it last */
};

#define KEPT_PHYSFNS_MAX 8
#define KEPT_MEMBERS_MAX 16
#define KEPT_GROUPS_MAX 8

/* For one thread. */
struct device_cache {
	struct kept_physfn physfns[KEPT_PHYSFNS_MAX];
	struct kept_member members[KEPT_MEMBERS_MAX];
	struct kept_group groups[KEPT_GROUPS_MAX];
	size_t next_physfn, next_member, next_group; /* whose place is taken next */
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

/* What is kept of the member that has, or had, this name; NULL: nothing. */
const struct kept_member *device_cache_find_member(const struct device_cache *cache, const char *name);

/* Keeps that, in place of what has the same name or of another one, unless its path is too long for that. */
void device_cache_add_member(struct device_cache *cache, uint64_t inode, const char *name,
			     const char *devpath);

/* Adds that to the member whose folder has this inode, if it is kept. */
void device_cache_add_modalias(struct device_cache *cache, uint64_t inode, const char *modalias);

/* The folder with the members of a group that has, or had, this number; -EBADF: it is not open. */
int device_cache_find_group(const struct device_cache *cache, const char *id);

/* The same of a group in which there was a device in the same slot as this one. */
int device_cache_guess_group(const struct device_cache *cache, const char *name);

/* Takes over fd, which is closed when another takes its place. */
void device_cache_add_group(struct device_cache *cache, const char *id, const char *name, int fd);
