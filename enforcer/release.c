/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verb `release`: clears the overrides that we set, and only those. */
#include "enforce/apply.h"
#include "base/child.h"
#include "base/log.h"
#include "base/macro.h"
#include "enforce/apply-record.h"
#include "enforcer/verbs.h"
#include "state/device-event.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

#define DEVICE_USEC 5000000U

struct release_run {
	struct sysfs_device *device;
	struct progress *progress; /* shared with the child */
};

static int release_child_run(void *userdata)
{
	const struct release_run *release = userdata;
	struct sysfs_device *d = release->device;
	char reason[512];
	const struct device_event event = { .kind = DEVICE_RELEASED, .bus = d->bus, .name = d->name };
	int r = apply_release(d, reason, sizeof(reason));

	/* Logged here, since the reason is in this process's memory only. */
	if (r < 0)
		log_line(LOG_ERR, "%s %s: %s", d->bus, d->name, reason);
	else if (r > 0)
		device_event_log(LOG_INFO, &event, "%s %s: override cleared", d->bus, d->name);
	return r < 0 ? r : 0;
}

/* False: not released; that is logged. */
static bool release_device_or_log(struct sysfs_device *d, struct progress *progress)
{
	struct release_run release = { d, progress };
	struct child_result result;
	struct child child;
	char doing[256];
	int r;

	r = child_start(&child, CHILD_COPY, release_child_run, &release);
	if (r < 0) {
		log_errno(LOG_ERR, r, "%s %s: cannot start a process", d->bus, d->name);
		return false;
	}
	result = child_wait(&child, DEVICE_USEC);
	if (result.how == CHILD_TIMED_OUT) {
		child_abandon(&child);
		progress_text(progress, doing, sizeof(doing));
		log_line(LOG_ERR, "%s %s: timed out after %u s while %s", d->bus, d->name,
			 DEVICE_USEC / 1000000U, doing);
		apply_record_stuck(d, doing);
	} else if (result.how == CHILD_KILLED) {
		log_line(LOG_ERR, "%s %s: %s", d->bus, d->name, child_result_text(result));
	}
	return result.how == CHILD_OK;
}

static bool release_all_or_log(struct sysfs *sysfs)
{
	struct sysfs_device **v;
	bool released = true;
	size_t n;
	int r;

	r = sysfs_enumerate(sysfs, &v, &n);
	if (r < 0) {
		log_errno(LOG_ERR, r, "release");
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		struct record record;

		/* A device that we never touched needs no process. */
		if (record_read(sysfs->state_dir, v[i]->bus, v[i]->name, v[i]->inode, &record) < 0)
			continue;
		released = release_device_or_log(v[i], sysfs->progress) && released;
	}
	sysfs_devices_free(v, n);
	return released;
}

static bool release_named_or_log(struct sysfs *sysfs, const char *name)
{
	_cleanup_(sysfs_device_freep) struct sysfs_device *d = NULL;
	int r = sysfs_device_lookup(sysfs, name, &d);

	if (r < 0) {
		log_line(LOG_ERR, "%s: %s", name, sysfs_lookup_error(r));
		return false;
	}
	return release_device_or_log(d, sysfs->progress);
}

int verb_release_overrides(const struct settings *settings, char *const *devices, size_t n)
{
	struct sysfs sysfs;
	bool released = true;

	sysfs_init(&sysfs, settings);
	sysfs.progress = mmap(NULL, sizeof(*sysfs.progress), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sysfs.progress == MAP_FAILED) {
		log_line(LOG_ERR, "release: %m");
		return 1;
	}
	if (n == 0)
		released = release_all_or_log(&sysfs);
	for (size_t i = 0; i < n; i++)
		released = release_named_or_log(&sysfs, devices[i]) && released;
	return released ? 0 : 1;
}
