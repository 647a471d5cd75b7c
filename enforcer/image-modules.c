/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which modules a policy needs in a boot image; see image-modules.h. */
#include "enforcer/image-modules.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/decide.h"
#include "policy/vfio-driver.h"
#include "sysfs/sysfs.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* MODULE_NAME_LEN of a 64-bit kernel, without its NUL. */
#define MODULE_NAME_MAX 55
#define MODULE_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

void module_names_done(struct module_names *names)
{
	strings_done(&names->list);
	arena_done(&names->arena);
}

static void module_names_add(struct module_names *names, const char *name)
{
	size_t n = strlen(name);
	char *copy;

	if (n == 0 || n > MODULE_NAME_MAX || name[0] == '-' || name[strspn(name, MODULE_CHARACTERS)])
		return;
	copy = arena_strdup(&names->arena, name);
	for (char *c = copy; copy && *c; c++)
		if (*c == '-')
			*c = '_';
	for (size_t i = 0; copy && i < names->list.n; i++)
		if (streq(names->list.v[i], copy))
			return;
	if (!copy || strings_add(&names->list, copy) < 0)
		names->no_memory = true;
}

static void module_names_take(void *userdata, const char *name)
{
	module_names_add(userdata, name);
}

/*
 * A VFIO driver loads these by itself once it is loaded, but later nobody does: in an image without them,
 * VFIO would come without its IOMMU driver, also on the real root.
 */
static void module_names_add_vfio(struct module_names *names)
{
	module_names_add(names, "vfio_iommu_type1");
#if defined(__powerpc__) || defined(__powerpc64__)
	module_names_add(names, "vfio_iommu_spapr_tce");
#endif
}

/*
 * The module of a driver: where it is registered, the kernel knows; else they have the same name, as nearly
 * always.
 */
static void module_names_add_driver(struct module_names *names, const char *sysfs, const char *driver)
{
	_cleanup_(dir_close) struct dir_reader buses = { .fd = -EBADF };
	char path[PATH_MAX], module[NAME_MAX + 1];
	bool found = false;

	if (driver_is_vfio(driver))
		module_names_add_vfio(names);
	if (path_join(path, sizeof(path), sysfs, "/bus", NULL) >= 0 && dir_open(&buses, path) >= 0)
		for (const char *bus; (bus = dir_next(&buses));)
			if (path_join(path, sizeof(path), sysfs, "/bus/", bus, "/drivers/", driver, "/module",
				      NULL) >= 0 &&
			    read_link_name(path, module, sizeof(module)) >= 0) {
				module_names_add(names, module);
				found = true;
			}
	if (!found)
		module_names_add(names, driver);
}

static const struct condition *rule_find_condition(const struct rule *rule, enum fact fact)
{
	for (const struct condition *c = rule->conditions; c; c = c->next)
		if (c->fact == fact)
			return c;
	return NULL;
}

static bool pattern_is_plain(const struct pattern *p)
{
	return p->plain == p->length;
}

/* What `vfio` may mean by the rule alone: the plain driver of its buses, and variants for its ids. */
static void names_add_vfio_of_rule(struct module_names *names, const struct rule *rule,
				   struct vfio_drivers *vfio)
{
	const struct condition *buses = rule_find_condition(rule, FACT_BUS);
	const struct condition *ids = rule_find_condition(rule, FACT_ID);
	char driver[DRIVER_NAME_MAX + 1];

	module_names_add_vfio(names);
	for (const struct pattern *p = buses ? buses->any : NULL; p; p = p->next)
		if (pattern_is_plain(p)) {
			vfio_driver_of_bus(p->text, driver);
			module_names_add(names, driver);
		}
	if (!buses)
		module_names_add(names, "vfio_pci");
	for (const struct pattern *p = ids ? ids->any : NULL; p; p = p->next)
		if (p->plain >= strlen("vvvv:dddd"))
			vfio_drivers_of_id(vfio, p->text, module_names_take, names);
}

static void names_add_choice(struct module_names *names, const struct rule *rule,
			     const struct driver_choice *choice, const struct settings *settings,
			     struct vfio_drivers *vfio)
{
	switch (choice->kind) {
	case DRIVER_NAMED:
		module_names_add_driver(names, settings->sysfs, choice->name);
		break;
	case DRIVER_VFIO:
		names_add_vfio_of_rule(names, rule, vfio);
		break;
	case DRIVER_UNSET:
	case DRIVER_NONE:
	case DRIVER_DEFAULT:
		break;
	}
}

static int names_add_devices(struct module_names *names, const struct settings *settings,
			     const struct policy *policy, struct sysfs *sysfs)
{
	struct sysfs_device **v = NULL;
	size_t n = 0;
	int r = sysfs_enumerate(sysfs, &v, &n);

	for (size_t i = 0; i < n && r >= 0; i++) {
		struct decision decision = {};

		r = policy_decide(policy, &v[i]->device, &decision);
		if (r >= 0 && decision.kind == DECISION_DRIVER) {
			if (decision.module)
				module_names_add(names, decision.module);
			module_names_add_driver(names, settings->sysfs, decision.driver);
		}
		decision_done(&decision);
	}
	sysfs_devices_free(v, n);
	return r;
}

int image_modules_find(const struct settings *settings, const struct policy *policy, struct sysfs *sysfs,
		       struct module_names *names)
{
	int r = 0;

	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = policy->rules[i];

		if (rule->module)
			module_names_add(names, rule->module);
		names_add_choice(names, rule, &rule->driver, settings, policy->vfio);
		if (rule->group == GROUP_GIVE)
			names_add_choice(names, rule, &rule->group_driver, settings, policy->vfio);
	}
	if (sysfs && policy->n_rules > 0)
		r = names_add_devices(names, settings, policy, sysfs);
	if (r == -ENOMEM || names->no_memory)
		return -ENOMEM;
	strings_sort(&names->list);
	return 0;
}
