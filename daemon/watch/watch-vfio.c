/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Groups that are opened and closed; see watch-vfio.h. */
#include "daemon/watch/watch-vfio.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/table/group-table.h"
#include "daemon/refresh/refresh.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <syslog.h>

/*
 * A node is closed before the kernel lets the group go, and a process that ends takes its time for that, so
 * it is looked more than once, in microseconds after one another.
 */
static const uint64_t looks[] = { 300000, 1000000, 5000000, 30000000 };

struct watch_vfio {
	sd_event_source *folders[2]; /* /dev/vfio, and devices in it; NULL: not there yet */
	sd_event_source *timer;
	size_t look;
};

/*
 * Refused its driver, or about to be. What `none` holds has no driver to come, and a VFIO driver is not kept
 * off; for one that is stuck somebody waits already (recovery.h).
 */
static bool is_concerned(struct service *s, const struct device_entry *e)
{
	const char *decision = e->field[FIELD_DECISION];
	const struct group *g;

	if (e->field[FIELD_DRIVER][0] || !e->field[FIELD_GROUP][0] || streq(decision, "none") ||
	    driver_leaves_dma(decision) || e->hangs || streq(e->field[FIELD_STATE], "stuck"))
		return false;
	g = groups_find(s, e->field[FIELD_GROUP]);
	return streq(e->field[FIELD_STATE], "held") || (g && group_has_vfio(g));
}

static void look_soon(struct service *s, size_t look)
{
	s->owners->look = look;
	(void)sd_event_source_set_time_relative(s->owners->timer, looks[look]);
	(void)sd_event_source_set_enabled(s->owners->timer, SD_EVENT_ONESHOT);
}

static bool is_armed(struct service *s)
{
	int enabled = SD_EVENT_OFF;

	return sd_event_source_get_enabled(s->owners->timer, &enabled) > 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct service *s = userdata;
	bool more = false;

	(void)source;
	(void)usec;
	for (struct device_entry *e = NULL; (e = devices_next(&s->devices, e));)
		if (is_concerned(s, e)) {
			/* Somebody has a driver for it, whatever is said of it meanwhile. */
			more = more || e->field[FIELD_DECISION][0] || !streq(e->field[FIELD_ADVICE], "0");
			refresh_request(s, e->field[FIELD_BUS], e->field[FIELD_NAME], REFRESH_AND_RETRY);
		}
	if (more && s->owners->look + 1 < ELEMENTSOF(looks))
		look_soon(s, s->owners->look + 1);
	return 0;
}

static int on_node(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
	struct service *s = userdata;

	if (event->mask & IN_IGNORED) {
		/* The folder has gone with vfio's module. */
		for (size_t i = 0; i < ELEMENTSOF(s->owners->folders); i++)
			if (s->owners->folders[i] == source)
				s->owners->folders[i] = sd_event_source_disable_unref(source);
		return 0;
	}
	/* A folder is opened to be listed. A look that is near already is not put off: nodes may be opened by
	 * anybody, at any rate. */
	if (!(event->mask & IN_ISDIR) && !(s->owners->look == 0 && is_armed(s)))
		look_soon(s, 0);
	return 0;
}

void watch_vfio_consider(struct service *s, const struct device_entry *e)
{
	static const char *const names[] = { "vfio", "vfio/devices" };

	if (!driver_is_vfio(e->field[FIELD_DRIVER]))
		return;
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		char path[PATH_MAX];
		int r;

		if (s->owners->folders[i] ||
		    path_join(path, sizeof(path), s->settings->sysfs, "/../dev/", names[i], NULL) < 0)
			continue;
		r = sd_event_add_inotify(s->event, &s->owners->folders[i], path,
					 IN_OPEN | IN_CLOSE | IN_ONLYDIR, on_node, s);
		if (r < 0 && r != -ENOENT)
			log_service(LOG_WARNING,
				    "%s cannot be watched, so it is not noticed when a group is free: %s",
				    path, strerror(-r));
		if (r >= 0)
			(void)sd_event_source_set_priority(s->owners->folders[i], PRIORITY_OTHERS);
	}
}

int watch_vfio_new(struct service *s)
{
	int r;

	s->owners = calloc(1, sizeof(*s->owners));
	if (!s->owners)
		return -ENOMEM;
	r = sd_event_add_time_relative(s->event, &s->owners->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, s);
	return r < 0 ? r : sd_event_source_set_enabled(s->owners->timer, SD_EVENT_OFF);
}

void watch_vfio_free(struct service *s)
{
	if (!s->owners)
		return;
	for (size_t i = 0; i < ELEMENTSOF(s->owners->folders); i++)
		(void)sd_event_source_disable_unref(s->owners->folders[i]);
	(void)sd_event_source_disable_unref(s->owners->timer);
	free(TAKE_PTR(s->owners));
}
