/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a policy is still in force; see policy-current.h. */
#include "policy/policy-current.h"
#include "policy/policy-in-force.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/*
 * The kernel takes the times of a file from its last tick, which is at most 10 ms ago. So a second change
 * right after the first may leave no trace.
 */
#define TICK_NSEC INT64_C(20000000)
#define NSEC_PER_SEC INT64_C(1000000000)

static bool times_are_equal(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool file_versions_are_equal(const struct file_version *a, const struct file_version *b)
{
	return a->inode == b->inode && a->size == b->size && a->mode == b->mode &&
	       times_are_equal(a->mtime, b->mtime) && times_are_equal(a->ctime, b->ctime);
}

/* Whatever is changed after the policy was loaded has another time. */
static bool file_version_is_older(const struct file_version *v, const struct timespec *loaded)
{
	const int64_t seconds = (int64_t)loaded->tv_sec - v->ctime.tv_sec;

	if (seconds < 0 || seconds > 3600)
		return seconds > 0;
	return seconds * NSEC_PER_SEC + loaded->tv_nsec - v->ctime.tv_nsec > TICK_NSEC;
}

static bool path_has_version(const char *path, const struct file_version *version)
{
	struct file_version now;

	file_version_read(path, &now);
	return file_versions_are_equal(&now, version);
}

bool policy_is_current(const struct policy *policy, const struct settings *settings)
{
	struct failed_policy failed;

	if (policy->incomplete || policy->last_good)
		return false;
	if (settings->state_dir && failed_policy_read(settings->state_dir, &failed) != -ENOENT)
		return false;
	for (size_t i = 0; i < settings->n_conf_dirs; i++)
		if (!file_version_is_older(&policy->dirs[i], &policy->loaded) ||
		    !path_has_version(settings->conf_dirs[i], &policy->dirs[i]))
			return false;
	for (size_t i = 0; i < policy->n_files; i++) {
		const struct policy_file *f = &policy->files[i];

		if (f->status == POLICY_FILE_MASKED)
			continue;
		if (f->status != POLICY_FILE_GOOD || f->unsettled ||
		    !file_version_is_older(&f->version, &policy->loaded) ||
		    !path_has_version(f->path, &f->version))
			return false;
	}
	return true;
}
