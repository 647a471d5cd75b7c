/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between refresh.c and refresh-results.c only: one look, and all that are asked for or under way. */
#pragma once

#include "daemon/refresh/refresh.h"
#include "daemon/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct refresh_item {
	struct refresh_item *next;
	enum refresh_purpose purpose;
	const char *name;
	char bus[]; /* the name follows its NUL */
};

/* One look. */
struct refresh {
	struct refresh *next;
	struct service *service;
	uint64_t seq;
	uint64_t generation; /* of the policy by which it decides */
	bool all;
	enum refresh_purpose purpose; /* with all */
	struct refresh_item *items;
	unsigned hangs, slow;
	bool blind;		  /* there were too many: nothing is read any more */
	struct task_note without; /* the device that it was last begun anew without */
	struct task *task;
	void (*done)(void *userdata);
	void *userdata;
};

struct refreshes {
	uint64_t seq; /* of the latest look */
	struct refresh *running;
	struct refresh_item *wanted;
	bool unread; /* there are devices that were not read, since others hung */
	bool wanted_all;
	enum refresh_purpose wanted_purpose;
	sd_event_source *soon, *later;
};

/* What the worker has written, into the table and to the observers. */
void refresh_take_devices(struct refresh *look, const char *out, size_t size);
/* After a look at all devices: whatever it has not found is gone. */
void refresh_take_out_others(const struct refresh *look);
void refresh_tell_finished(struct service *s);
