/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl import libvirt [FILE…]: the PCI devices that domains have, by their XML files. */
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/domain-xml.h"
#include "cli/import-plan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define DOMAINS_DIR "/etc/libvirt/qemu"

static void libvirt_add_device(struct import_plan *plan, const char *from, const struct domain_device *device)
{
	struct import_rule rule = { .from = from, .driver = device->driver[0] ? device->driver : "vfio-pci" };
	const char *label;
	struct sysfs_device *d;

	if (!device->name[0]) {
		import_note(plan, IMPORT_NOT_CARRIED, from, "%s", device->why);
		return;
	}
	label = arena_printf(&plan->arena, "libvirt-%s", device->name);
	if (!label) {
		plan->r = -ENOMEM;
		return;
	}
	rule.label = import_label(plan, label);
	import_rule_set_device(plan, &rule, "pci", device->name);
	if (!import_section_add_or_refuse(plan, &rule))
		return;
	d = import_device_find(plan, "pci", device->name);
	if (!d)
		import_note(plan, IMPORT_NOTE, from,
			    "there is no pci %s now: the rule takes whatever comes there", device->name);
	else if (device->managed)
		import_note(plan, IMPORT_NOTE, from,
			    "pci %s is managed: so far the host has it while the domain is off, and with the "
			    "rule "
			    "no longer; managed='yes' may stay, libvirt changes nothing then",
			    device->name);
}

static int libvirt_add_file(struct import_plan *plan, const char *from, const char *path)
{
	struct domain_devices devices = {};
	char why[256] = "";
	int r = domain_devices_read(&devices, path, why);

	if (r < 0)
		import_note(plan, IMPORT_NOT_CARRIED, from, "%s", why);
	for (size_t i = 0; r >= 0 && i < devices.n; i++)
		libvirt_add_device(plan, from, &devices.v[i]);
	domain_devices_done(&devices);
	return r;
}

static void libvirt_add_folder(struct import_plan *plan, const char *folder)
{
	struct strings files = {};
	char path[PATH_MAX], from[PATH_MAX];

	import_list(plan, folder, &files);
	for (size_t i = 0; i < files.n; i++) {
		size_t n = strlen(files.v[i]);

		if (n > strlen(".xml") && streq(files.v[i] + n - strlen(".xml"), ".xml") &&
		    path_join(from, sizeof(from), folder, "/", files.v[i], NULL) >= 0 &&
		    import_path(plan, from, path, sizeof(path)) >= 0)
			(void)libvirt_add_file(plan, from, path);
	}
	strings_done(&files);
}

int import_libvirt(struct import_plan *plan, char *const *args, size_t n)
{
	if (!domain_xml_is_supported())
		return cli_fail("built without expat, by which domains' XML would be read");
	/* What a person names must be readable. */
	for (size_t i = 0; i < n; i++)
		if (libvirt_add_file(plan, args[i], args[i]) < 0)
			return cli_fail("%s: %s", args[i],
					plan->notes[IMPORT_NOT_CARRIED]
						.v[plan->notes[IMPORT_NOT_CARRIED].n - 1]
						.text);
	if (n == 0) {
		libvirt_add_folder(plan, DOMAINS_DIR);
		libvirt_add_folder(plan, DOMAINS_DIR "/networks");
	}
	if (plan->n > 0)
		import_note(plan, IMPORT_NOTE, "domains",
			    "they need no change; a device of theirs goes to the host again by `overridectl "
			    "unset`, or "
			    "by removing its rule");
	return STATUS_DONE;
}
