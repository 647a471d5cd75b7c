/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices, each with what is to be told of it: as the service knows them, or without it, worked out of sysfs,
 * policy and records as the service does it.
 */
#pragma once

#include "base/arena.h"
#include "base/macro.h"
#include "cli/command-line.h"
#include "cli/service-client.h"

#include <stdbool.h>
#include <stddef.h>

enum row_field {
	ROW_BUS,
	ROW_NAME,
	ROW_SYSPATH,
	ROW_PATH,
	ROW_DRIVER,
	ROW_OVERRIDE,
	ROW_DECISION,
	ROW_RULE,
	ROW_SOURCE,
	ROW_STATE,
	ROW_REASON,
	ROW_FIRST_PROBE,
	ROW_NODE,
	ROW_IDENTITY,
	ROW_GROUP, /* its number */
	ROW_FIELDS,
};

struct device_row {
	const char *field[ROW_FIELDS]; /* never NULL */
	bool blocks;		       /* keeps its group from being viable; not from ListDevices */
};

struct device_rows {
	struct arena arena;
	struct device_row *v; /* by bus and name */
	size_t n, allocated;
	const char *failed_policy; /* of a machine elsewhere: FailedPolicy of its service; NULL: not asked */
};

void device_rows_done(struct device_rows *rows);

/* As the verbs have it in JSON; and as the service calls it. */
const char *row_field_key(enum row_field field);
const char *row_field_property(enum row_field field);

/* One more, with texts of "". NULL: out of memory. */
struct device_row *device_rows_add(struct device_rows *rows);
/* 0 or -ENOMEM. */
_must_check_ int device_row_set(struct device_rows *rows, struct device_row *row, enum row_field field,
				const char *text);
void device_rows_sort(struct device_rows *rows);
struct device_row *device_rows_find(const struct device_rows *rows, const char *bus, const char *name);

/* All devices of a sysfs tree. Errors of the policy are said. 0 or negative errno. */
_must_check_ int device_rows_read_sysfs(struct device_rows *rows, const struct settings *settings);

/* Of each device what ListDevices has: no more than the names, driver, override, decision and state. */
_must_check_ int device_rows_list(struct device_rows *rows, struct service_client *c);
/* Why the last good policy is in force there; "" also where the service is too old to tell. 0 or -ENOMEM. */
_must_check_ int device_rows_read_failed_policy(struct device_rows *rows, struct service_client *c);
/* All that the service knows. */
_must_check_ int device_rows_read_service(struct device_rows *rows, struct service_client *c);

/* The same of one device, which is the last row then. */
_must_check_ int device_rows_read_one(struct device_rows *rows, struct service_client *c, const char *bus,
				      const char *name);

/*
 * All of it, from the service if that can be asked, else from sysfs: *ret_service tells, and a note on
 * stderr. 0, or negative errno and that was said.
 */
_must_check_ int device_rows_read_or_fail(struct device_rows *rows, const struct cli *cli, bool list_only,
					  bool *ret_service);
