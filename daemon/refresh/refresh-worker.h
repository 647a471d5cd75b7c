/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a look does in its own process: asks devices and the policy, and writes FIELD_COUNT texts for each
 * device, each with its NUL; only bus and name of a device that is gone. Nothing is freed: the process ends
 * with its work.
 */
#pragma once

#include "daemon/service.h"
#include "daemon/task.h"
#include "sysfs/sysfs.h"

#include <stdbool.h>
#include <stdio.h>

struct refresh_worker {
	const struct service *service; /* as it was when the process began */
	FILE *out;
	struct task_note *note;
	bool blind;   /* no device's files are read: only what its path says is known */
	bool at_once; /* what is known of a group is written before the next one is looked at */
	struct sysfs sysfs;
	char owned_group[64], owned[512]; /* the group whose owner was looked for last, and what was found */
};

int refresh_worker_begin(struct refresh_worker *s, const struct service *service, FILE *out,
			 struct task_note *note);
int refresh_worker_read_device(struct refresh_worker *s, const char *bus, const char *name);
int refresh_worker_read_all(struct refresh_worker *s);

/* The device, with its reads noted for the parent, which may time out; -ENODEV when it is gone or has no
 * override file. */
int refresh_worker_find_device(struct refresh_worker *s, const char *bus, const char *name,
			       struct sysfs_device **ret);
