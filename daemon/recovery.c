/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting for devices that are stuck; see recovery.h. */
#include "recovery.h"
#include "survey.h"
#include "task.h"

#include "../policy/record.h"

#include <fcntl.h>
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

struct recoveries {
	struct recovery *first;
};

static void free_recovery(struct recovery *v)
{
	struct recovery **at = &v->service->recoveries->first;

	while (*at && *at != v)
		at = &(*at)->next;
	if (*at)
		*at = v->next;
	v->task = task_forget(v->task);
	free(v->bus);
	free(v->name);
	free(v);
}

static int work(FILE *out, struct task_note *note, void *arg)
{
	const struct recovery *v = arg;
	const struct settings *settings = v->service->settings;
	char path[PATH_MAX], byte;
	int fd, r;

	(void)out;
	(void)note;
	r = record_lock_path(settings->state_dir, v->bus, v->name, path, sizeof(path));
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	while (fd >= 0 && flock(fd, LOCK_SH) < 0)
		if (errno != EINTR)
			return negative_errno();
	/* Nobody who is to change it shall wait for us. */
	if (fd >= 0)
		(void)close(fd);
	r = path_printf(
		path, sizeof(path), "%s/bus/%s/devices/%s/driver_override", settings->sysfs, v->bus, v->name);
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)read(fd, &byte, 1);
	return 0; /* whatever it says, it does say something */
}

static void finished(void *userdata, int result, const char *out, size_t size, const struct task_note *note)
{
	struct recovery *v = userdata;

	(void)out;
	(void)size;
	(void)note;
	v->task = NULL;
	if (result == 0)
		say(LOG_NOTICE, "%s %s is not stuck any more", v->bus, v->name);
	else
		say(LOG_ERR, "%s %s: cannot wait until it is not stuck any more: %s", v->bus, v->name,
			strerror(result < 0 ? -result : result));
	survey_want(v->service, v->bus, v->name, result == 0 ? TRIGGER_AGAIN : TRIGGER_LOOK);
	free_recovery(v);
}

void recovery_await(struct service *s, const char *bus, const char *name)
{
	struct recovery *v;
	int r = -ENOMEM;

	for (v = s->recoveries->first; v; v = v->next)
		if (streq(v->name, name) && streq(v->bus, bus))
			return;
	v = calloc(1, sizeof(*v));
	if (v) {
		*v = (struct recovery){ s->recoveries->first, s, strdup(bus), strdup(name), NULL };
		s->recoveries->first = v;
		if (v->bus && v->name)
			r = task_fork(s->event, work, v, FOREVER_USEC, finished, v, &v->task);
		if (r < 0)
			free_recovery(v);
	}
	if (r < 0)
		say(LOG_ERR, "%s %s: cannot wait until it is not stuck any more: %s", bus, name,
			strerror(-r));
}

int recoveries_new(struct service *s)
{
	s->recoveries = calloc(1, sizeof(*s->recoveries));
	return s->recoveries ? 0 : -ENOMEM;
}

void recoveries_free(struct service *s)
{
	while (s->recoveries && s->recoveries->first)
		free_recovery(s->recoveries->first);
	free(TAKE_PTR(s->recoveries));
}
