/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Gives devices back: clears the overrides that we set, and only those. */
#include "enforce/apply.h"
#include "base/child.h"
#include "base/log.h"
#include "base/macro.h"
#include "enforce/apply-record.h"
#include "enforcer/verbs.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
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
	int r = apply_release(d, reason, sizeof(reason));

	if (r < 0)
		log_line(LOG_ERR, "%s %s: %s", d->bus, d->name, reason);
	else if (r > 0)
		log_line(LOG_INFO, "%s %s: override cleared", d->bus, d->name);
	return r < 0 ? r : 0;
}

static int release_one(struct sysfs_device *d, struct progress *progress)
{
	struct release_run release = { d, progress };
	char doing[256];
	struct child_result result;
	struct child child;

	result = child_run(&child, CHILD_COPY, release_child_run, &release, DEVICE_USEC);
	if (result.how == CHILD_TIMED_OUT) {
		child_abandon(&child);
		progress_text(progress, doing, sizeof(doing));
		log_line(LOG_ERR, "%s did not come back within %u s", doing, DEVICE_USEC / 1000000U);
		apply_record_stuck(d, doing);
	}
	return child_result_errno(result);
}

static int release_all(struct sysfs *sysfs)
{
	struct sysfs_device **v;
	size_t n;
	int r, result = 0;

	r = sysfs_enumerate(sysfs, &v, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct record record;

		/* Nobody starts a process for a device that we never touched. */
		if (record_read(sysfs->state_dir, v[i]->bus, v[i]->name, v[i]->inode, &record) < 0)
			continue;
		r = release_one(v[i], sysfs->progress);
		if (r < 0)
			result = r;
	}
	sysfs_devices_free(v, n);
	return result;
}

static int release_named(struct sysfs *sysfs, const char *name)
{
	_cleanup_(sysfs_device_freep) struct sysfs_device *d = NULL;
	int r = sysfs_device_lookup(sysfs, name, &d);

	if (r < 0) {
		log_line(LOG_ERR, "%s: %s", name, sysfs_lookup_error(r));
		return r;
	}
	return release_one(d, sysfs->progress);
}

int verb_release(const struct settings *settings, char *const *devices, size_t n)
{
	struct sysfs sysfs;
	int r, result = 0;

	sysfs_init(&sysfs, settings);
	sysfs.progress = mmap(NULL, sizeof(*sysfs.progress), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sysfs.progress == MAP_FAILED) {
		log_line(LOG_ERR, "release: %m");
		return 1;
	}
	if (n == 0) {
		result = release_all(&sysfs);
		if (result < 0)
			log_errno(LOG_ERR, result, "release");
	}
	for (size_t i = 0; i < n; i++) {
		r = release_named(&sysfs, devices[i]);
		if (r < 0)
			result = r;
	}
	return result < 0 ? 1 : 0;
}
