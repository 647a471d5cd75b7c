/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of drivers that are none, on this machine: unknown ones, and modules' names in the place of drivers'.
 */
#include "base/arena.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/lint-checks.h"
#include "cli/lint-run.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <fcntl.h>
#include <libkmod.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

enum { MODULES_SIZE_MAX = 64 * 1024 * 1024 };

/* What is known of the modules that are installed. */
struct module_list {
	struct kmod_ctx *kmod;	 /* of the running system; NULL: another tree */
	char *aliases, *builtin; /* modules.alias and modules.builtin of another tree; NULL: not readable */
};

/* Drivers with dashes, of modules that need not be loaded: the kernel lists them nowhere else. */
static const struct {
	const char *module, *driver;
} known[] = {
	{ "vfio_pci", "vfio-pci" },
	{ "vfio_platform", "vfio-platform" },
	{ "vfio_amba", "vfio-amba" },
	{ "vfio_fsl_mc", "vfio-fsl-mc" },
	{ "vfio_cdx", "vfio-cdx" },
	{ "xhci_pci", "xhci_hcd" },
	{ "ehci_pci", "ehci-pci" },
	{ "ohci_pci", "ohci-pci" },
	{ "virtio_pci", "virtio-pci" },
	{ "pci_stub", "pci-stub" },
	{ "nvgrace_gpu_vfio_pci", "nvgrace-gpu-vfio-pci" },
};

static char *module_file_read(const char *dir, const char *name)
{
	char path[PATH_MAX], *text = NULL;
	_cleanup_(closep) int fd = -EBADF;
	size_t size;

	if (path_join(path, sizeof(path), dir, "/", name, NULL) < 0)
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd >= 0 && read_full(fd, 4096, MODULES_SIZE_MAX, &text, &size) >= 0 ? text : NULL;
}

static void module_list_open(struct module_list *list, const struct settings *settings)
{
	char dir[PATH_MAX];

	if (!settings->sysfs_given) {
		list->kmod = kmod_new(NULL, NULL);
		if (list->kmod)
			(void)kmod_load_resources(list->kmod);
	} else if (vfio_aliases_dir(settings->sysfs, dir, sizeof(dir)) >= 0) {
		list->aliases = module_file_read(dir, "modules.alias");
		list->builtin = module_file_read(dir, "modules.builtin");
	}
}

static void module_list_close(struct module_list *list)
{
	kmod_unref(list->kmod);
	free(list->aliases);
	free(list->builtin);
}

/* Whether a word of the text is the name, `-` and `_` being the same, with or without ".ko" behind it. */
static bool text_has_module(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *s = text; s && *s; s++) {
		size_t i = 0;

		if (s > text && !strchr(" \t\n/", s[-1]))
			continue;
		while (i < n && (s[i] == name[i] || (strchr("-_", name[i]) && s[i] && strchr("-_", s[i]))))
			i++;
		if (i == n && (s[n] == '\n' || s[n] == '\0' || startswith(s + n, ".ko")))
			return true;
	}
	return false;
}

/* Also true where nothing is known of modules. */
static bool module_may_exist(const struct module_list *list, const char *name)
{
	struct kmod_list *found = NULL;
	bool exists;

	if (!list->kmod)
		return (!list->aliases && !list->builtin) || text_has_module(list->aliases, name) ||
		       text_has_module(list->builtin, name);
	exists = kmod_module_new_from_lookup(list->kmod, name, &found) >= 0 && found;
	kmod_module_unref_list(found);
	return exists;
}

/* The drivers of a module that is loaded, as "a" or "a, b"; NULL: it is not, or has none. */
static const char *module_drivers(struct lint_run *run, const char *module)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	const char *all = NULL, *entry;
	char path[PATH_MAX];

	if (path_join(path, sizeof(path), run->sysfs.root, "/module/", module, "/drivers", NULL) < 0 ||
	    dir_open(&dir, path) < 0)
		return NULL;
	while ((entry = dir_next(&dir))) {
		const char *colon = strchr(entry, ':');

		if (colon)
			all = arena_printf(&run->lint->arena, "%s%s%s", all ? all : "", all ? ", " : "",
					   colon + 1);
	}
	return all;
}

/* What the driver is called, where the name is that of its module; NULL: not known to be one. */
static const char *driver_meant(struct lint_run *run, const char *name)
{
	const char *drivers = module_drivers(run, name);

	for (size_t i = 0; i < ELEMENTSOF(known) && !drivers; i++)
		if (streq(known[i].module, name))
			drivers = known[i].driver;
	return drivers;
}

static void lint_driver_name(struct lint_run *run, const struct module_list *modules, const struct rule *rule,
			     const char *key, const struct driver_choice *choice)
{
	/* A module of another name may have the driver: then Module= names it. */
	const char *driver = choice->name, *module = rule->module ? rule->module : driver, *meant;

	if (choice->kind != DRIVER_NAMED || driver_is_registered_anywhere(run->sysfs.root, driver))
		return;
	meant = driver_meant(run, driver);
	if (meant)
		lint_warn(run, rule,
			  arena_printf(&run->lint->arena,
				       "%s=%s: that is the name of a module; its driver is called %s", key,
				       driver, meant));
	else if (!module_may_exist(modules, module))
		lint_warn(run, rule,
			  arena_printf(&run->lint->arena,
				       "%s=%s: no such driver is registered, and no module of the name %s is "
				       "installed",
				       key, driver, module));
}

void lint_driver_names(struct lint_run *run)
{
	struct module_list modules = {};

	module_list_open(&modules, run->settings);
	for (size_t i = 0; i < run->policy->n_rules; i++) {
		const struct rule *rule = run->policy->rules[i];

		lint_driver_name(run, &modules, rule, "Driver", &rule->driver);
		if (rule->group == GROUP_GIVE)
			lint_driver_name(run, &modules, rule, "Group", &rule->group_driver);
	}
	module_list_close(&modules);
}
