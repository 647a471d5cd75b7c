/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The decision about one device, and why; see explanation.h. */
#include "explain/explanation.h"
#include "base/arena.h"
#include "base/errno.h"
#include "base/array.h"
#include "base/macro.h"
#include "base/text.h"
#include "policy/match.h"
#include "sysfs/binding.h"

#include <errno.h>
#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void explanation_set_why(struct explanation *e)
{
	const struct decision *d = &e->decision;
	const struct rule *r = d->rule;
	const char *bus = e->device->bus;

	if (d->kind == DECISION_LEFT)
		(void)snprintf(
			e->why, sizeof(e->why),
			"%s:%u [device %s] holds its IOMMU group, but the device was present at boot (or "
			"this boot has no complete record of what was): it is left alone",
			r->file, r->line, r->label);
	else if (d->kind == DECISION_BRIDGE)
		text_copy(e->why, sizeof(e->why),
			  "no rule matches it; a rule decides about its IOMMU group, but it is a bridge, and "
			  "bridges keep their drivers");
	else if (d->kind == DECISION_UNKNOWN) {
		char text[512];

		decision_missing_text(d, text, sizeof(text));
		(void)snprintf(e->why, sizeof(e->why), "cannot tell whether %s:%u [device %s] %s: %s",
			       r->file, r->line, r->label,
			       d->cause == CAUSE_GROUP ? "decides about it by its IOMMU group" : "matches",
			       text);
	} else if (d->kind == DECISION_NOTHING)
		(void)snprintf(e->why, sizeof(e->why), "%s",
			       d->group_unknown ? "no rule matches; its IOMMU group is not known yet"
						: "no rule matches it or a member of its IOMMU group");
	else if (d->cause == CAUSE_GROUP)
		(void)snprintf(e->why, sizeof(e->why),
			       "%s:%u [device %s] matches, or matched, a member of its IOMMU group and says "
			       "Group=%s",
			       r->file, r->line, r->label, r->group == GROUP_HOLD ? "hold" : d->driver);
	else if (r->driver.kind == DRIVER_VFIO)
		(void)snprintf(e->why, sizeof(e->why),
			       "%s:%u [device %s] is the first that matches; vfio means %s on %s", r->file,
			       r->line, r->label, d->driver, bus);
	else
		(void)snprintf(e->why, sizeof(e->why), "%s:%u [device %s] is the first that matches", r->file,
			       r->line, r->label);
}

static void explanation_add_vfio(struct explanation *e)
{
	const size_t n = strlen(e->why);
	char note[DECISION_NOTE_MAX];

	decision_vfio_note(&e->decision, note);
	if (note[0])
		(void)snprintf(e->why + n, sizeof(e->why) - n, "; %s", note);
}

/* Conditions are cheapest first, so that most rules cost a comparison. */
static int explanation_find_others(struct explanation *e)
{
	const struct policy *policy = e->policy;
	size_t allocated = 0;

	for (size_t i = 0; i < policy->n_rules; i++) {
		struct place_rule other = { .rule = policy->rules[i] };

		if (!rule_means_another_device(other.rule, &e->device->device, &other.unmet))
			continue;
		if (array_reserve(e->others, allocated, e->n_others) < 0)
			return -ENOMEM;
		e->others[e->n_others++] = other;
	}
	return 0;
}

int explanation_make(struct explanation *e, const struct policy *policy, struct sysfs_device *d)
{
	char group[64];
	int r;

	*e = (struct explanation){ .device = d, .policy = policy };
	r = policy_explain(policy, &d->device, &e->hits, &e->n_hits);
	if (r >= 0)
		r = policy_decide(policy, &d->device, &e->decision);
	if (r >= 0)
		r = explanation_find_others(e);
	if (r < 0) {
		explanation_done(e);
		return r;
	}
	explanation_set_why(e);
	explanation_add_vfio(e);
	(void)sysfs_device_override(d, e->override);
	bound_driver(d, e->driver, sizeof(e->driver));
	if (sysfs_device_link(d, "iommu_group", group, sizeof(group)) >= 0)
		d->group_id = arena_strdup(&d->device.arena, group);
	e->has_record = record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &e->record) >= 0;
	return 0;
}

void explanation_done(struct explanation *e)
{
	decision_done(&e->decision);
	free(TAKE_PTR(e->hits));
	free(TAKE_PTR(e->others));
}

static void json_add_string(struct json_object *o, const char *key, const char *value)
{
	/* The name of a file or a process may have any bytes. */
	_cleanup_(freep) char *text = utf8_from_bytes(value, strlen(value));

	(void)json_object_object_add(o, key, json_object_new_string(text ? text : ""));
}

static struct json_object *json_rule(const struct rule *rule)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, "file", rule->file);
	(void)json_object_object_add(o, "line", json_object_new_int64(rule->line));
	json_add_string(o, "label", rule->label);
	return o;
}

/* "Id= is 10de:1b80 there, and it has 8086:10d3:1af4:1100" */
static void other_because(struct device *device, const struct condition *unmet, char *buf, size_t size)
{
	const char *key = fact_key(unmet->fact);
	struct values values = {};

	ignore_error(device_fact(device, unmet->fact, unmet->attr, &values));
	(void)snprintf(buf, size, "%s%s%s is %s%s there, and it has %s", key, unmet->attr ? unmet->attr : "",
		       unmet->attr ? "=" : "", unmet->any->text, unmet->any->next ? " or others" : "",
		       values.n > 0 ? values.v[0].text : "none");
}

static struct json_object *json_others(const struct explanation *e)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < e->n_others; i++) {
		struct json_object *rule = json_rule(e->others[i].rule);
		char because[1024];

		other_because(&e->device->device, e->others[i].unmet, because, sizeof(because));
		json_add_string(rule, "because", because);
		(void)json_object_array_add(list, rule);
	}
	return list;
}

static struct json_object *json_hits(const struct explanation *e)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < e->n_hits; i++) {
		const struct rule_hit *h = &e->hits[i];
		struct json_object *rule = json_rule(h->rule);
		char missing[512];

		json_add_string(rule, "match", h->match == MATCH_YES ? "yes" : "unknown");
		(void)json_object_object_add(rule, "decides",
					     json_object_new_boolean(e->decision.cause == CAUSE_RULE &&
								     h->match == MATCH_YES &&
								     h->rule == e->decision.rule));
		if (h->match == MATCH_UNKNOWN) {
			missing_text(&h->missing, "", missing, sizeof(missing));
			json_add_string(rule, "missing", missing);
		}
		(void)json_object_array_add(list, rule);
	}
	return list;
}

static struct json_object *json_companions(const struct explanation *e)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < e->decision.n_members; i++) {
		const struct decision *m = &e->decision.members[i];
		const struct sysfs_device *d = to_sysfs_device(m->device);
		struct json_object *companion = json_object_new_object();
		char driver[256];

		bound_driver(d, driver, sizeof(driver));
		json_add_string(companion, "bus", d->bus);
		json_add_string(companion, "name", d->name);
		json_add_string(companion, "driver", driver);
		json_add_string(companion, "decision", decision_text(m));
		(void)json_object_object_add(companion, "left",
					     json_object_new_boolean(m->kind == DECISION_LEFT));
		(void)json_object_array_add(list, companion);
	}
	return list;
}

struct json_object *explanation_json(const struct explanation *e)
{
	const struct sysfs_device *d = e->device;
	struct json_object *o = json_object_new_object();
	const char *path = device_text(&e->device->device, FACT_PATH);

	json_add_string(o, "bus", d->bus);
	json_add_string(o, "name", d->name);
	json_add_string(o, "syspath", d->devpath);
	json_add_string(o, "path", path ? path : "");
	json_add_string(o, "group", d->group_id ? d->group_id : "");
	json_add_string(o, "driver", e->driver);
	json_add_string(o, "override", e->override);
	json_add_string(o, "decision", decision_text(&e->decision));
	json_add_string(o, "cause",
			e->decision.rule ? e->decision.cause == CAUSE_GROUP ? "group" : "rule" : "");
	json_add_string(o, "because", e->why);
	if (e->decision.rule)
		(void)json_object_object_add(o, "rule", json_rule(e->decision.rule));
	if (e->has_record) {
		json_add_string(o, "state", record_state_text(&e->record));
		json_add_string(o, "reason", e->record.reason);
		json_add_string(
			o, "first_probe",
			first_probe_to_string(first_probe_merge(e->record.first_probe, FIRST_PROBE_UNKNOWN)));
	}
	(void)json_object_object_add(o, "rules", json_hits(e));
	(void)json_object_object_add(o, "rules_for_others", json_others(e));
	(void)json_object_object_add(o, "companions", json_companions(e));
	return o;
}
