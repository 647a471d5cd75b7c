/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verb `sweep --last-good`: the root file system does not come, and policy may be why. The last good
 * policy is put in force for this boot, and devices that the other one has taken get the drivers that they
 * have by it. A hook of the boot image calls this when it has waited long enough; a second time, when even
 * that has not helped.
 */
#include "base/arena.h"
#include "base/kernel-command-line.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "base/time.h"
#include "enforcer/boot.h"
#include "enforcer/rebind-workers.h"
#include "enforcer/root-devices.h"
#include "enforcer/verbs.h"
#include "policy/policy.h"
#include "state/boot-attempts.h"
#include "sysfs/binding.h"
#include "sysfs/sysfs.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* For all devices together; udev and the hook wait meanwhile. */
#define MOVE_USEC 10000000U

struct taken_devices {
	struct arena arena;
	struct rebind_target *v;
	size_t n;
	bool root_may_be_behind; /* one of them may have a disk or a network behind it */
};

static void taken_devices_done(struct taken_devices *taken)
{
	free(taken->v);
	arena_done(&taken->arena);
}

/*
 * Whether the kernel command line has the image bring up the network: a network card is no way to the root
 * file system otherwise.
 */
static bool root_may_be_on_network(const struct settings *settings)
{
	static const char *const begins[] = { "ip=",	       "netroot=", "nfsroot=",	 "rd.neednet",
					      "rd.iscsi",      "root=nfs", "root=iscsi", "root=nbd",
					      "root=/dev/nfs", "BOOTIF=" };
	_cleanup_(freep) char *text = NULL;
	char *at;

	if (settings_command_line_read(settings, &text) < 0)
		return true;
	at = text;
	for (const char *word; (word = kernel_command_line_next(&at));)
		for (size_t i = 0; i < ELEMENTSOF(begins); i++)
			if (startswith(word, begins[i]))
				return true;
	return false;
}

/*
 * Where nobody has noted on which devices the root file system lies, whether it may be behind one: disks,
 * networks, serial buses (USB, Fibre Channel), bridges, card readers. A graphics card that has its rule is
 * not given up for a disk that is slow. All other buses than PCI count, and what does not answer.
 */
static bool root_may_lie_behind(const struct settings *settings, const struct root_devices *noted,
				struct sysfs_device *d)
{
	static const char *const classes[] = { "01", "06", "0805", "0c" };
	const char *class = device_text(&d->device, FACT_CLASS);

	if (root_devices_known(noted))
		return root_devices_have(noted, d->bus, d->name);
	if (!streq(d->bus, "pci") || !class)
		return true;
	for (size_t i = 0; i < ELEMENTSOF(classes); i++)
		if (startswith(class, classes[i]))
			return true;
	return startswith(class, "02") && root_may_be_on_network(settings);
}

/* Devices with an override of ours. only_bound: that have the driver that it names. */
static int taken_devices_find(struct taken_devices *taken, const struct settings *settings, bool only_bound)
{
	_cleanup_(root_devices_done) struct root_devices noted = {};
	_cleanup_(sysfs_done) struct sysfs sysfs;
	struct sysfs_device **v = NULL;
	struct rebind_report *reports;
	size_t n = 0;
	int r;

	sysfs_init(&sysfs, settings);
	r = sysfs_enumerate(&sysfs, &v, &n);
	if (r < 0)
		return r;
	root_devices_read(settings, &noted);
	taken->v = calloc(n + 1, sizeof(*taken->v));
	reports = mmap(NULL, (n + 1) * sizeof(*reports), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	for (size_t i = 0; i < n && taken->v && reports != MAP_FAILED; i++) {
		struct record record;
		char driver[BOUND_MAX];
		const char *name;

		if (record_read(settings->state_dir, v[i]->bus, v[i]->name, v[i]->inode, &record) < 0 ||
		    !record.owned_override[0])
			continue;
		if (only_bound && (sysfs_device_link(v[i], "driver", driver, sizeof(driver)) < 0 ||
				   !streq(driver, record.owned_override)))
			continue;
		name = arena_printf(&taken->arena, "%s/%s", v[i]->bus, v[i]->name);
		if (!name)
			continue;
		taken->v[taken->n] = (struct rebind_target){ .name = name,
							     .inode = v[i]->inode,
							     .report = &reports[taken->n] };
		taken->root_may_be_behind |= root_may_lie_behind(settings, &noted, v[i]);
		taken->n++;
	}
	sysfs_devices_free(v, n);
	return taken->v && reports != MAP_FAILED ? 0 : -ENOMEM;
}

static void taken_devices_move(struct taken_devices *taken, const struct settings *settings)
{
	const struct move_options options = {};
	struct rebind_run run = { .settings = settings,
				  .options = &options,
				  .targets = taken->v,
				  .n = taken->n,
				  .deadline = now_usec() + MOVE_USEC };

	rebind_run_named(&run);
	for (size_t i = 0; i < taken->n; i++) {
		const struct move_result *m = &taken->v[i].report->moved;

		if (m->error != MOVE_DONE)
			boot_tell(settings, "%s: %s", taken->v[i].name, m->reason);
		else if (m->changed)
			boot_tell(settings, "%s: has the driver %s now", taken->v[i].name,
				  m->driver[0] ? m->driver : "that comes");
	}
}

static int last_good_sweep(const struct settings *settings, struct taken_devices *taken)
{
	bool empty;
	int r = boot_give_up(settings, &empty);

	if (r < 0)
		return r;
	boot_tell(settings,
		  "the root file system has not come, and policy has taken devices that it may lie on: this "
		  "boot goes on %s",
		  empty ? "without policy" : "with the last policy that was good");
	taken_devices_move(taken, settings);
	return 0;
}

int verb_sweep_last_good(const struct settings *settings)
{
	_cleanup_(taken_devices_done) struct taken_devices taken = {};
	int r = taken_devices_find(&taken, settings, false);

	if (r >= 0 && !taken.root_may_be_behind)
		log_line(LOG_NOTICE, "sweep --last-good: policy has taken no device on which a root file "
				     "system may lie, so it stays in force");
	else if (r >= 0)
		r = last_good_sweep(settings, &taken);
	if (r < 0)
		log_errno(LOG_ERR, r, "sweep --last-good: %m, the policy stays in force");
	return r < 0 ? 1 : 0;
}

void last_good_give_back(const struct settings *settings)
{
	_cleanup_(taken_devices_done) struct taken_devices taken = {};
	int r = taken_devices_find(&taken, settings, true);

	if (r < 0)
		log_errno(LOG_ERR, r,
			  "sweep: finding what the boot image has given away by the policy that has failed: "
			  "%m, so it is not given back");
	else if (taken.n > 0)
		taken_devices_move(&taken, settings);
}
