/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes to driver_override; see watch-override.h.
 *
 * One inotify descriptor and one table, by hand: with sd_event_add_inotify() each of thousands of devices
 * would have an event source of its own, and every source is called when the kernel's queue overflows.
 */
#include "daemon/watch/watch-override.h"
#include "base/array.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "daemon/reconcile/rebind-queue.h"
#include "daemon/refresh/refresh.h"
#include "daemon/watch/watch-writer.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/types.h>
#include <syslog.h>
#include <systemd/sd-event.h>
#include <unistd.h>

struct override_watch {
	int wd;
	struct device_entry *entry;
};

struct watch_override {
	sd_event_source *source;
	int fd;
	/* By wd. The kernel counts up, so mostly a new one comes last. */
	struct override_watch *v;
	size_t n, allocated;
	bool complained;
	bool look_again; /* at all devices: some were not watched before this look at all */
};

/* Where the watch is, or would be. */
static size_t watches_find(const struct watch_override *w, int wd)
{
	size_t low = 0, high = w->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (w->v[middle].wd < wd)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool watch_is_at(const struct watch_override *w, size_t at, int wd)
{
	return at < w->n && w->v[at].wd == wd;
}

static void watches_take_out(struct watch_override *w, size_t at)
{
	w->v[at].entry->watch = 0;
	w->n--;
	memmove(&w->v[at], &w->v[at + 1], (w->n - at) * sizeof(*w->v));
}

static int watches_insert(struct watch_override *w, int wd, struct device_entry *e)
{
	size_t at = watches_find(w, wd);

	if (watch_is_at(w, at, wd))
		return -EEXIST;
	if (array_reserve(w->v, w->allocated, w->n) < 0)
		return -ENOMEM;
	memmove(&w->v[at + 1], &w->v[at], (w->n - at) * sizeof(*w->v));
	w->v[at] = (struct override_watch){ wd, e };
	w->n++;
	e->watch = wd;
	return 0;
}

static void override_unwatch(struct service *s, struct device_entry *e)
{
	struct watch_override *w = s->watch_override;
	size_t at;

	if (!e->watch)
		return;
	(void)inotify_rm_watch(w->fd, e->watch);
	at = watches_find(w, e->watch);
	if (watch_is_at(w, at, e->watch))
		watches_take_out(w, at);
}

static void override_log_unwatchable(struct watch_override *w, const char *path, int error)
{
	if (w->complained)
		return;
	w->complained = true;
	log_errno(LOG_WARNING, error, "%s: cannot be watched: %m%s, so writes by others will not be noticed",
		  path, error == ENOSPC ? " (sysctl fs.inotify.max_user_watches is the limit)" : "");
}

/* True: it was not watched before, so what was written since the look is not known. */
static bool override_watch(struct service *s, struct device_entry *e)
{
	struct watch_override *w = s->watch_override;
	char path[PATH_MAX];
	int wd;

	if (!e->field[FIELD_DECISION][0] && !e->field[FIELD_OVERRIDE][0]) {
		override_unwatch(s, e);
		return false;
	}
	if (e->watch || path_printf(path, sizeof(path), "%s/bus/%s/devices/%s/driver_override",
				    s->settings->sysfs, e->field[FIELD_BUS], e->field[FIELD_NAME]) < 0)
		return false;
	/* Looks the file up and does not open it, so this does not wait for the device. */
	wd = inotify_add_watch(w->fd, path, IN_MODIFY);
	if (wd < 0) {
		if (errno != ENOENT)
			override_log_unwatchable(w, path, errno);
		return false;
	}
	watch_writer_add(s, path);
	return watches_insert(w, wd, e) >= 0;
}

static void override_on_device_found(struct service *s, const struct refresh_finding *found)
{
	struct device_entry *e = found->entry;

	/* Another device has come under its name. */
	if (!found->added && found->changed & (UINT32_C(1) << FIELD_INODE))
		override_unwatch(s, e);
	if (!override_watch(s, e))
		return;
	if (found->of_all)
		s->watch_override->look_again = true;
	else
		refresh_request(s, e->field[FIELD_BUS], e->field[FIELD_NAME], REFRESH_ONLY);
}

static void override_on_refresh_finished(struct service *s)
{
	if (s->watch_override->look_again)
		refresh_request_all(s, REFRESH_ONLY);
	s->watch_override->look_again = false;
}

const struct refresh_observer watch_override_observer = {
	.device_found = override_on_device_found,
	.device_leaving = override_unwatch,
	.refresh_finished = override_on_refresh_finished,
};

/*
 * Also when the file has gone: the look says what is there now. What our own enforcer writes half-way is not
 * looked at: its end is followed by a look.
 */
static void override_written(struct service *s, const struct device_entry *e)
{
	const char *bus = e->field[FIELD_BUS], *name = e->field[FIELD_NAME];

	if (!rebind_queue_is_about(s, bus, name))
		refresh_request(s, bus, name, REFRESH_ONLY);
}

static int on_override(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	_Alignas(struct inotify_event) char buffer[16384];
	struct service *s = userdata;
	struct watch_override *w = s->watch_override;
	ssize_t n;

	(void)source;
	(void)revents;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		for (const char *at = buffer; at < buffer + n;) {
			const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
			size_t i = watches_find(w, event->wd);

			at += sizeof(*event) + event->len;
			if (event->mask & IN_Q_OVERFLOW)
				refresh_request_all(s, REFRESH_ONLY);
			if (!watch_is_at(w, i, event->wd))
				continue;
			override_written(s, w->v[i].entry);
			if (event->mask & IN_IGNORED)
				watches_take_out(w, i);
		}
	return 0;
}

int watch_override_new(struct service *s)
{
	struct watch_override *w = s->watch_override = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->fd < 0)
		return negative_errno();
	r = sd_event_add_io(s->event, &w->source, w->fd, EPOLLIN, on_override, s);
	return r < 0 ? r : sd_event_source_set_io_fd_own(w->source, true);
}

void watch_override_free(struct service *s)
{
	struct watch_override *w = s->watch_override;

	if (!w)
		return;
	if (!w->source && w->fd >= 0)
		(void)close(w->fd);
	(void)sd_event_source_disable_unref(w->source);
	free(w->v);
	free(TAKE_PTR(s->watch_override));
}
