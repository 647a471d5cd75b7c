/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records and the guard's status; see watch-records.h. */
#include "daemon/watch/watch-records.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/bus/bus-signals.h"
#include "daemon/reconcile/rebind-queue.h"
#include "daemon/metrics.h"
#include "daemon/refresh/refresh.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

/* Both are written to a temporary file and renamed. */
#define RECORDS_MASK (IN_MOVED_TO | IN_DELETE | IN_ONLYDIR)

struct watch_records {
	sd_event_source *state_dir, *devices; /* STATE_DIR, and STATE_DIR/devices */
};

/* file: BUS:NAME. What our own enforcer writes half-way is not looked at: its end is followed by a look. */
static void record_written(struct service *s, const char *file)
{
	char bus[NAME_MAX + 1];
	char *name;

	text_copy(bus, sizeof(bus), file);
	name = strchr(bus, ':');
	if (!name)
		return;
	*name++ = '\0';
	if (text_unescape(bus) && text_unescape(name) && !rebind_queue_is_about(s, bus, name))
		refresh_request(s, bus, name, REFRESH_ONLY);
}

static int on_record(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
	struct service *s = userdata;

	(void)source;
	if (event->mask & IN_Q_OVERFLOW)
		refresh_request_all(s, REFRESH_ONLY);
	else if (event->len > 0)
		record_written(s, event->name);
	return 0;
}

static int on_state_dir(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
	(void)source;
	if (event->len > 0 && streq(event->name, "guard")) {
		signal_manager_changed(userdata, "Hold");
		metrics_changed(userdata);
	}
	return 0;
}

int watch_records_new(struct service *s)
{
	struct watch_records *w = s->watch_records = calloc(1, sizeof(*w));
	const char *dir = s->settings->state_dir;
	char devices[PATH_MAX];
	int r;

	if (!w)
		return -ENOMEM;
	r = path_printf(devices, sizeof(devices), "%s/devices", dir);
	if (r < 0)
		return r;
	/* They are made here if no program has needed them yet: otherwise their coming would have to be
	 * watched, too. */
	if ((mkdir(dir, 0755) < 0 && errno != EEXIST) || (mkdir(devices, 0755) < 0 && errno != EEXIST))
		return negative_errno();
	r = sd_event_add_inotify(s->event, &w->state_dir, dir, RECORDS_MASK, on_state_dir, s);
	return r < 0 ? r : sd_event_add_inotify(s->event, &w->devices, devices, RECORDS_MASK, on_record, s);
}

void watch_records_free(struct service *s)
{
	struct watch_records *w = s->watch_records;

	if (!w)
		return;
	(void)sd_event_source_disable_unref(w->state_dir);
	(void)sd_event_source_disable_unref(w->devices);
	free(TAKE_PTR(s->watch_records));
}
