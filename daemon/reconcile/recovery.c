/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting for devices that are stuck; see recovery.h. */
#include "daemon/reconcile/recovery.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/refresh/refresh.h"
#include "daemon/refresh/refresh-worker.h"
#include "daemon/task.h"
#include "sysfs/iommu.h"
#include "state/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <syslog.h>

/* However long it takes; half of it, and 64 bits of microseconds are still far away. */
#define FOREVER_USEC (UINT64_C(365) * 24 * 3600 * 1000000)

struct recovery {
	struct recovery *next;
	struct service *service;
	char *bus, *name;
	struct task *task;
};

static void free_recovery(struct recovery *v)
{
	struct recovery **at = &v->service->recoveries;

	while (*at && *at != v)
		at = &(*at)->next;
	if (*at)
		*at = v->next;
	v->task = task_forget(v->task);
	free(v->bus);
	free(v->name);
	free(v);
}

/* Until whoever moves the device has come back, himself or what he has left behind. */
static int wait_for_lock(const struct recovery *v)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX];
	int r = record_lock_path(v->service->settings->state_dir, v->bus, v->name, path, sizeof(path));

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	while (fd >= 0 && flock(fd, LOCK_SH) < 0)
		if (errno != EINTR)
			return negative_errno();
	return 0; /* and nobody who is to move it next shall wait for us */
}

/* Reads what a survey would read of it, however long that takes. */
static int work(FILE *out, struct task_note *note, void *arg)
{
	const struct recovery *v = arg;
	struct device_entry *e = devices_find(&v->service->devices, v->bus, v->name);
	char override[OVERRIDE_MAX], why[512];
	struct sysfs_device *d;
	struct refresh_worker s;
	int r = wait_for_lock(v);

	if (e)
		e->hangs = false; /* in this copy of the service: otherwise nothing of it is read */
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

static void finished(void *userdata, int result, const char *out, size_t size, const struct task_note *note)
{
	struct recovery *v = userdata;

	(void)out;
	(void)size;
	(void)note;
	v->task = NULL;
	if (result == 0)
		log_service(LOG_NOTICE, "%s %s has come back; looking at it again", v->bus, v->name);
	else
		log_service(LOG_ERR, "%s %s: cannot wait until it comes back: %s", v->bus, v->name,
			    strerror(result < 0 ? -result : result));
	refresh_request_unread(v->service);
	refresh_request(v->service, v->bus, v->name, result == 0 ? REFRESH_AND_RETRY : REFRESH_ONLY);
	free_recovery(v);
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
			r = task_fork(s->event, work, v, FOREVER_USEC, finished, v, &v->task);
		if (r < 0)
			free_recovery(v);
	}
	if (r < 0)
		log_service(LOG_ERR, "%s %s: cannot wait until it comes back: %s", bus, name, strerror(-r));
}

void recoveries_free(struct service *s)
{
	while (s->recoveries)
		free_recovery(s->recoveries);
}
