/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything about the decision for one device, and its reason; every program makes the same JSON of it. */
#pragma once

#include "policy/decide.h"
#include "state/record.h"
#include "sysfs/sysfs.h"

#include <stdbool.h>
#include <stddef.h>

struct json_object;

struct explanation {
	struct sysfs_device *device;
	const struct policy *policy;
	struct rule_hit *hits; /* rules that match, in order */
	size_t n_hits;
	/* Rules that name its place and mean another device there; `unmet` is in what it differs. */
	struct place_rule {
		const struct rule *rule;
		const struct condition *unmet;
	} * others;
	size_t n_others;
	struct decision decision;
	char why[1024];
	char override[OVERRIDE_MAX];
	char driver[256];
	struct record record;
	bool has_record;
};

/*
 * Fills in all fields, borrowing policy and device. It reads the device's files, which may sleep. 0 or
 * -ENOMEM.
 */
int explanation_make(struct explanation *e, const struct policy *policy, struct sysfs_device *device);
void explanation_done(struct explanation *e);

/* The caller gives it back with json_object_put(). */
struct json_object *explanation_json(const struct explanation *e);
