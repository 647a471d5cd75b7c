/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changes by the service: the call, what it changed, and what to say of a refusal. */
#pragma once

#include "base/macro.h"
#include "cli/command-line.h"
#include "cli/device-names.h"
#include "cli/device-rows.h"
#include "cli/service-client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json_object;

struct change {
	const struct cli *cli;
	const char *verb; /* "set", for the command that would go on */
	const struct device_name *device;
	const char *driver; /* NULL: the verb takes none */
	struct device_rows rows;
	struct device_row before, after;
	bool is_tried;	     /* only a dry run, though that was not asked for */
	bool is_absent;	     /* the device is not there, and --absent was given */
	uint64_t generation; /* of the policy before */
	bool policy_changed;
	char state[32];	 /* that the call has returned */
	char error[512]; /* of one among several; "": none */
};

/* The service, or why it cannot be had. STATUS_DONE or STATUS_FAILED, and that was said. */
_must_check_ int change_open_or_fail(struct service_client *c, const struct cli *cli);

/*
 * Calls a method of the manager for one device with the options that were given, and looks at the device
 * before and after. STATUS_DONE or STATUS_FAILED, and that was said, with the command that would go on.
 */
_must_check_ int change_call_or_fail(struct change *change, struct service_client *c, const char *method);
void change_done(struct change *change);

/* The steps of that: the look before, which may fail; the call, 0 or negative errno; the look after. */
_must_check_ int change_begin_or_fail(struct change *change, struct service_client *c);
_must_check_ int change_send(struct change *change, struct service_client *c, const char *method);
void change_end(struct change *change, struct service_client *c);

/* SetOverride, or SetOverrides for several: all of them are made, or none. STATUS_DONE or STATUS_FAILED. */
_must_check_ int changes_send_or_fail(struct change *v, size_t n, struct service_client *c);

/* BUS/NAME. */
void change_write_device(FILE *f, const struct change *change);

/* Nothing is other than before. */
bool change_is_none(const struct change *change);

/* Its document. */
struct json_object *change_json(const struct change *change);

/* In a line, or as JSON; `none` is said where nothing was changed. */
void change_print(const struct change *change, const char *none);

/* Says why a call about a device was refused, and how to go on. Returns STATUS_FAILED. */
int change_fail(const struct change *change, struct service_client *c, int r);

/* The same of a call about no one device: names the machine that was asked, if it is another. */
int change_fail_call(const struct cli *cli, const struct service_client *c, int r);

/* Appends the options of the manager's methods that were given. */
_must_check_ int change_append_options(const struct cli *cli, sd_bus_message *m);
