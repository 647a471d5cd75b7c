/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Results of looks as events. refresh.c looks at devices and calls the observers in the order of one fixed
 * table (service->observers, which main.c fills): bus signals, groups, watches, recovery, reconcile. An
 * observer may ask for another look (refresh_request()); it never starts one, and knows no other observer.
 */
#pragma once

#include "daemon/table/device-table.h"

#include <stdbool.h>
#include <stdint.h>

struct service;

/* One device as a look has found it. */
struct refresh_finding {
	struct device_entry *entry; /* with its new texts */
	enum refresh_purpose purpose;
	bool added;	       /* nothing but its name was known before */
	uint32_t changed;      /* a bit for each field whose text is another one now */
	const char *old_group; /* the group it was in before */
	bool of_all;	       /* found by a look at all devices, which ends with refresh_finished */
	bool unread;	       /* its files were not read, since too many other devices hung */
};

/* What is NULL is not called. */
struct refresh_observer {
	void (*device_found)(struct service *s, const struct refresh_finding *found);
	/* A later look was quicker than this one, which had another purpose: the entry stays as it is. */
	void (*device_overtaken)(struct service *s, struct device_entry *e, enum refresh_purpose purpose);
	/* The device is gone, and still in the table; then, that it is not any more. */
	void (*device_leaving)(struct service *s, struct device_entry *e);
	void (*device_left)(struct service *s, const char *bus, const char *group);
	/* All devices of one look have been reported. */
	void (*refresh_finished)(struct service *s);
};
