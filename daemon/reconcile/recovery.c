/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting for devices that are stuck; see recovery.h. */
#include "daemon/reconcile/recovery.h"
#include "base/child.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/refresh/refresh-worker.h"
#include "daemon/refresh/refresh.h"
#include "daemon/task.h"
#include "state/device-state.h"
#include "state/state-lock.h"
#include "sysfs/iommu.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <syslog.h>

/* However long it takes; twice this is still far from the end of 64 bits of microseconds. */
#define FOREVER_USEC (UINT64_C(365) * 24 * 3600 * 1000000)

struct recovery {
	struct recovery *next;
	struct service *service;
	char *bus, *name;
	struct task *task;
};

static void recovery_free(struct recovery *v)
{
	(void)list_remove(v->service->recoveries, v);
	v->task = task_forget(v->task);
	free(v->bus);
	free(v->name);
	free(v);
}

/* The lock is given back at once: whatever moves the device next must not wait for us. */
static int recovery_wait_for_lock_of(const char *path, bool shared)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? 0 : lock_wait(fd, shared);
}

/* Until the processes that move the device or try that have ended, and so have children that they left
 * behind. */
static int recovery_wait_for_locks(const struct recovery *v)
{
	const char *state_dir = v->service->settings->state_dir;
	char path[PATH_MAX];
	int r = device_lock_path(state_dir, v->bus, v->name, path, sizeof(path));

	if (r >= 0)
		r = recovery_wait_for_lock_of(path, true);
	if (r >= 0)
		r = device_look_lock_path(state_dir, v->bus, v->name, path, sizeof(path));
	return r < 0 ? r : recovery_wait_for_lock_of(path, false);
}

/* Reads what a look would read of it, however long that takes. */
static int recovery_work(FILE *out, struct task_note *note, void *arg)
{
	const struct recovery *v = arg;
	struct device_entry *e = devices_find(&v->service->devices, v->bus, v->name);
	char override[OVERRIDE_MAX], why[512];
	struct sysfs_device *d;
	struct refresh_worker s;
	int r = recovery_wait_for_locks(v);

	if (e)
		e->hangs = false; /* in this copy of the service; otherwise its files would not be read */
	if (r >= 0)
		r = refresh_worker_begin(&s, v->service, out, note);
	if (r >= 0)
		r = refresh_worker_find_device(&s, v->bus, v->name, &d);
	if (r >= 0)
		(void)sysfs_device_override(d, override);
	if (r >= 0)
		(void)iommu_group_is_owned(d, why, sizeof(why));
	return r == -ENODEV ? 0 : r;
}

static void on_recovery_done(void *userdata, struct child_result result, const char *out, size_t size,
			     const struct task_note *note)
{
	struct recovery *v = userdata;

	(void)out;
	(void)size;
	(void)note;
	v->task = NULL;
	if (result.how == CHILD_OK)
		log_line(LOG_NOTICE, "%s %s: has come back, looking at it again", v->bus, v->name);
	else
		log_line(LOG_ERR, "%s %s: waiting until it comes back: %s", v->bus, v->name,
			 child_result_text(result));
	refresh_device_is_back(v->service, v->bus, v->name);
	refresh_request_unread(v->service);
	refresh_request(v->service, v->bus, v->name,
			result.how == CHILD_OK ? REFRESH_AND_RETRY : REFRESH_ONLY);
	recovery_free(v);
}

void recovery_await(struct service *s, const char *bus, const char *name)
{
	struct recovery *v;
	int r = -ENOMEM;

	for (v = s->recoveries; v; v = v->next)
		if (streq(v->name, name) && streq(v->bus, bus))
			return;
	v = calloc(1, sizeof(*v));
	if (v) {
		*v = (struct recovery){ s->recoveries, s, strdup(bus), strdup(name), NULL };
		s->recoveries = v;
		if (v->bus && v->name)
			r = task_fork(s->event, recovery_work, v, FOREVER_USEC, on_recovery_done, v,
				      &v->task);
		if (r < 0)
			recovery_free(v);
	}
	if (r < 0) {
		log_errno(LOG_ERR, r, "%s %s: waiting until it comes back", bus, name);
		refresh_device_is_back(s, bus, name);
	}
}

static void recovery_on_device_found(struct service *s, const struct refresh_finding *found)
{
	const struct device_entry *e = found->entry;

	/* A process for each of those that were not read would be too many. */
	if (!found->unread && device_state_is(e->field[FIELD_STATE], STATE_STUCK) &&
	    (e->hangs || found->changed & (UINT32_C(1) << FIELD_STATE)))
		recovery_await(s, e->field[FIELD_BUS], e->field[FIELD_NAME]);
}

const struct refresh_observer recovery_observer = { .device_found = recovery_on_device_found };

void recoveries_free(struct service *s)
{
	while (s->recoveries)
		recovery_free(s->recoveries);
}
