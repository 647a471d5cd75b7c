/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a survey does in its own process: asks devices and the policy, and writes FIELD_COUNT texts for each
 * device, each with its NUL. Of a device that is gone only bus and name are given. Nothing is freed: the
 * process ends with its work.
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
	bool blind;   /* no device is read: what is not in its path is not known */
	bool at_once; /* what is known of a group is written before the next one is looked at */
	struct sysfs sysfs;
	char owned_group[64], owned[512]; /* whose owner was looked for last, and what was found */
};

int refresh_worker_begin(struct refresh_worker *s, const struct service *service, FILE *out,
			 struct task_note *note);
int refresh_worker_read_device(struct refresh_worker *s, const char *bus, const char *name);
int refresh_worker_read_all(struct refresh_worker *s);

/* The device, with what may hang of it noted as such; -ENODEV when it is gone or has no override file. */
int refresh_worker_find_device(struct refresh_worker *s, const char *bus, const char *name,
			       struct sysfs_device **ret);
