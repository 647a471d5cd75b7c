/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which process has a node open, asked by the children of one process for several devices: one search through
 * all processes serves them all. Devices times processes would be too much otherwise.
 *
 * A device that is moved is moved later than the search, so every node is watched (inotify) from before the
 * search on. If a node was opened or closed since, whoever asks about it searches again. A node that cannot
 * be watched, as it is not below /dev, is searched for each time. What no watch tells is an open of the same
 * device by another file than that below /dev, as the private /dev of a container has: so a search serves for
 * a second only.
 */
#pragma once

#include "base/macro.h"
#include "sysfs/fd-users.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IN_USE_SEARCH_NODES_MAX 1024

struct sysfs_device;

struct in_use_search_node {
	int watch;    /* -1: it cannot be watched */
	bool changed; /* it was opened or closed since the search began, or was not asked for by then */
};

/* In memory that parent and children share; only whoever has the lock touches it. */
struct in_use_search {
	pthread_mutex_t lock;
	const char *root; /* of the sysfs tree */
	int inotify;
	/* Adds the nodes that are going to be asked about, for the first search; NULL: that is done. */
	void (*add_expected)(struct in_use_search *s);
	struct sysfs_device *const *devices; /* for it; some may be NULL */
	size_t n_devices;
	uint64_t max_age_usec; /* so long a search serves */
	uint64_t since;	       /* when the last one began; 0: there was none, or it was not completed */
	unsigned n_searches;
	size_t n;
	struct node nodes[IN_USE_SEARCH_NODES_MAX];
	struct in_use_search_node watches[IN_USE_SEARCH_NODES_MAX];
	char users[IN_USE_SEARCH_NODES_MAX][FD_USER_MAX]; /* "": nobody has it open */
};

/* Before the children are started. NULL: out of memory or of watches; then each child searches by itself. */
struct in_use_search *in_use_search_new(const char *root);
/* In the parent. A child that was left behind keeps what it has. NULL is fine. */
struct in_use_search *in_use_search_free(struct in_use_search *s);

/* With the lock: the node's place; adds it if need be. -ENOSPC: there are too many. */
int in_use_search_add(struct in_use_search *s, const struct node *node);

/*
 * Who has one of these n nodes open; search may be NULL. 1: *ret_i is the first one that is open, and buf has
 * the name of a process, as fd_users_process_name(); 0: none is; or -ENOMEM.
 */
int in_use_search_find(struct in_use_search *search, const char *root, const struct node *nodes, size_t n,
		       char buf[static FD_USER_MAX], size_t *ret_i);
