/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* IOMMU groups that are opened and closed; see watch-vfio.h. */
#include "daemon/watch/watch-vfio.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/refresh/refresh.h"
#include "daemon/table/group-table.h"
#include "policy/vfio-driver.h"
#include "state/device-state.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <syslog.h>
#include <systemd/sd-event.h>
#include <time.h>

/*
 * A node is closed before the kernel lets the group go, and a process that ends takes its time for that. So
 * the devices are looked at several times, each so many microseconds after the one before.
 */
static const uint64_t look_delays[] = { 300000, 1000000, 5000000, 30000000 };

struct watch_vfio {
	sd_event_source *folders[2]; /* /dev/vfio, and devices in it; NULL: not there yet */
	sd_event_source *timer;
	size_t look;
};

/*
 * The device is refused its driver, or about to be. A device that `none` holds is to have no driver, VFIO
 * drivers are not kept off, and recovery.h waits for those that are stuck.
 */
static bool device_may_be_kept_off(struct service *s, const struct device_entry *e)
{
	const char *decision = e->field[FIELD_DECISION];
	const struct group *g;

	if (e->field[FIELD_DRIVER][0] || !e->field[FIELD_GROUP][0] || streq(decision, "none") ||
	    driver_leaves_dma(decision) || e->hangs || device_state_is(e->field[FIELD_STATE], STATE_STUCK))
		return false;
	g = groups_find(s, e->field[FIELD_GROUP]);
	return device_state_is(e->field[FIELD_STATE], STATE_HELD) || (g && group_has_vfio(g));
}

static void looks_arm(struct service *s, size_t look)
{
	s->watch_vfio->look = look;
	(void)sd_event_source_set_time_relative(s->watch_vfio->timer, look_delays[look]);
	(void)sd_event_source_set_enabled(s->watch_vfio->timer, SD_EVENT_ONESHOT);
}

static bool looks_are_armed(struct service *s)
{
	int enabled = SD_EVENT_OFF;

	return sd_event_source_get_enabled(s->watch_vfio->timer, &enabled) > 0;
}

static int on_look_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct service *s = userdata;
	bool more = false;

	(void)source;
	(void)usec;
	for (struct device_entry *e = NULL; (e = devices_next(&s->devices, e));)
		if (device_may_be_kept_off(s, e)) {
			/* There is a driver for it, whatever its state is meanwhile. */
			more = more || e->field[FIELD_DECISION][0] || !streq(e->field[FIELD_ADVICE], "0");
			refresh_request(s, e->field[FIELD_BUS], e->field[FIELD_NAME], REFRESH_AND_RETRY);
		}
	if (more && s->watch_vfio->look + 1 < ELEMENTSOF(look_delays))
		looks_arm(s, s->watch_vfio->look + 1);
	return 0;
}

static int on_node(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
	struct service *s = userdata;

	if (event->mask & IN_IGNORED) {
		/* The folder has gone with vfio's module. */
		for (size_t i = 0; i < ELEMENTSOF(s->watch_vfio->folders); i++)
			if (s->watch_vfio->folders[i] == source)
				s->watch_vfio->folders[i] = sd_event_source_disable_unref(source);
		return 0;
	}
	/* A folder is opened to be listed. A look that is near already is not put off: any process may open
	 * nodes, as often as it likes. */
	if (!(event->mask & IN_ISDIR) && !(s->watch_vfio->look == 0 && looks_are_armed(s)))
		looks_arm(s, 0);
	return 0;
}

static void vfio_on_device_found(struct service *s, const struct refresh_finding *found)
{
	static const char *const names[] = { "vfio", "vfio/devices" };

	if (!streq(found->entry->field[FIELD_VFIO], "1"))
		return;
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		char path[PATH_MAX];
		int r;

		if (s->watch_vfio->folders[i] ||
		    path_join(path, sizeof(path), s->settings->sysfs, "/../dev/", names[i], NULL) < 0)
			continue;
		r = sd_event_add_inotify(s->event, &s->watch_vfio->folders[i], path,
					 IN_OPEN | IN_CLOSE | IN_ONLYDIR, on_node, s);
		if (r < 0 && r != -ENOENT)
			log_errno(LOG_WARNING, r,
				  "%s: cannot be watched: %m, so it will not be noticed when a group is free",
				  path);
		if (r >= 0)
			(void)sd_event_source_set_priority(s->watch_vfio->folders[i], PRIORITY_OTHERS);
	}
}

const struct refresh_observer watch_vfio_observer = { .device_found = vfio_on_device_found };

int watch_vfio_new(struct service *s)
{
	int r;

	s->watch_vfio = calloc(1, sizeof(*s->watch_vfio));
	if (!s->watch_vfio)
		return -ENOMEM;
	r = sd_event_add_time_relative(s->event, &s->watch_vfio->timer, CLOCK_MONOTONIC, 0, 1000,
				       on_look_timer, s);
	return r < 0 ? r : sd_event_source_set_enabled(s->watch_vfio->timer, SD_EVENT_OFF);
}

void watch_vfio_free(struct service *s)
{
	if (!s->watch_vfio)
		return;
	for (size_t i = 0; i < ELEMENTSOF(s->watch_vfio->folders); i++)
		(void)sd_event_source_disable_unref(s->watch_vfio->folders[i]);
	(void)sd_event_source_disable_unref(s->watch_vfio->timer);
	free(TAKE_PTR(s->watch_vfio));
}
