/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which buses a policy can match; see buses.h. */
#include "guard/buses.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static bool condition_matches(const struct condition *c, const char *text)
{
	for (const struct pattern *p = c->any; p; p = p->next)
		if (fnmatch(p->text, text, FNM_NOESCAPE) == 0)
			return true;
	return false;
}

/* "pci:v0000…" begins with the bus's name, unless a glob stands there; other buses have other modaliases. */
static bool modalias_may_match_bus(const struct condition *c, const char *bus)
{
	static const char *const prefix_is_bus[] = { "pci", "vmbus", "wmi", "amba",  "rpmsg",
						     "css", "ap",    "cdx", "fsl-mc" };
	bool has_prefix = false;

	for (size_t i = 0; i < ELEMENTSOF(prefix_is_bus); i++)
		has_prefix = has_prefix || streq(bus, prefix_is_bus[i]);
	if (!has_prefix)
		return true;
	for (const struct pattern *p = c->any; p; p = p->next) {
		size_t n = strlen(bus);

		if (p->plain < n ? strncasecmp(p->text, bus, p->plain) == 0
				 : strncasecmp(p->text, bus, n) == 0)
			return true;
	}
	return false;
}

bool rule_may_match_bus(const struct rule *rule, const char *bus)
{
	for (const struct condition *c = rule->conditions; c; c = c->next) {
		switch (c->fact) {
		case FACT_BUS:
			if (!condition_matches(c, bus))
				return false;
			break;
		case FACT_ID:
		case FACT_CLASS:
		case FACT_PATH:
		case FACT_PHYSFN:
			if (!streq(bus, "pci"))
				return false;
			break;
		case FACT_MODALIAS:
			if (!modalias_may_match_bus(c, bus))
				return false;
			break;
		case FACT_NAME:
		case FACT_ANCESTOR:
		case FACT_FIRMWARE:
		case FACT_COMPATIBLE:
		case FACT_ATTR:
		case FACT_COUNT:
			break;
		}
	}
	return true;
}

/* A bus none of whose devices has the file is not supported; one without devices may turn out to be. */
bool bus_may_have_overrides(const char *sysfs_root, const char *bus)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	char path[PATH_MAX];
	const struct dirent *e;
	bool empty = true;

	if (path_printf(path, sizeof(path), "%s/bus/%s/devices", sysfs_root, bus) < 0)
		return false;
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		empty = false;
		if (path_printf(path, sizeof(path), "%s/bus/%s/devices/%s/driver_override", sysfs_root, bus,
				e->d_name) >= 0 &&
		    access(path, F_OK) == 0)
			return true;
	}
	return dir && empty;
}

int buses_of_policy(const struct policy *policy, const char *sysfs_root, struct arena *arena,
		    struct strings *ret)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	char path[PATH_MAX];
	const struct dirent *e;
	int r;

	r = path_printf(path, sizeof(path), "%s/bus", sysfs_root);
	if (r < 0)
		return r;
	dir = opendir(path);
	if (!dir)
		return negative_errno();
	while (r >= 0 && (e = readdir(dir))) {
		bool wanted = false;

		if (e->d_name[0] == '.')
			continue;
		for (size_t i = 0; i < policy->n_rules && !wanted; i++)
			wanted = rule_may_match_bus(policy->rules[i], e->d_name);
		if (wanted && bus_may_have_overrides(sysfs_root, e->d_name)) {
			const char *name = arena_strdup(arena, e->d_name);

			r = name ? strings_add(ret, name) : -ENOMEM;
		}
	}
	return r;
}
