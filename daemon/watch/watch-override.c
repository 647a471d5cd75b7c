/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes to driver_override; see watch-override.h. */
#include "daemon/watch/watch-override.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "daemon/reconcile/rebind-queue.h"
#include "daemon/refresh/refresh.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <syslog.h>
#include <unistd.h>

struct watched {
	int wd;
	struct device_entry *entry;
};

struct watch_override {
	sd_event_source *source;
	int fd;
	/* By wd. The kernel counts up, so mostly a new one comes last. */
	struct watched *v;
	size_t n, allocated;
	bool complained;
};

/* Where it is, or would be. */
static size_t position(const struct watch_override *u, int wd)
{
	size_t low = 0, high = u->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (u->v[middle].wd < wd)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_there(const struct watch_override *u, size_t at, int wd)
{
	return at < u->n && u->v[at].wd == wd;
}

static void take_out(struct watch_override *u, size_t at)
{
	u->v[at].entry->watch = 0;
	u->n--;
	memmove(&u->v[at], &u->v[at + 1], (u->n - at) * sizeof(*u->v));
}

static int put_in(struct watch_override *u, int wd, struct device_entry *e)
{
	size_t at = position(u, wd);

	if (is_there(u, at, wd))
		return -EEXIST;
	if (u->n == u->allocated) {
		size_t want = u->allocated ? 2 * u->allocated : 64;
		struct watched *v = reallocarray(u->v, want, sizeof(*v));

		if (!v)
			return -ENOMEM;
		u->v = v;
		u->allocated = want;
	}
	memmove(&u->v[at + 1], &u->v[at], (u->n - at) * sizeof(*u->v));
	u->v[at] = (struct watched){ wd, e };
	u->n++;
	e->watch = wd;
	return 0;
}

void watch_override_remove(struct service *s, struct device_entry *e)
{
	struct watch_override *u = s->overrides;
	size_t at;

	if (!e->watch)
		return;
	(void)inotify_rm_watch(u->fd, e->watch);
	at = position(u, e->watch);
	if (is_there(u, at, e->watch))
		take_out(u, at);
}

bool watch_override_add(struct service *s, struct device_entry *e)
{
	struct watch_override *u = s->overrides;
	char path[PATH_MAX];
	int wd;

	if (!e->field[FIELD_DECISION][0] && !e->field[FIELD_OVERRIDE][0]) {
		watch_override_remove(s, e);
		return false;
	}
	if (e->watch || path_printf(path, sizeof(path), "%s/bus/%s/devices/%s/driver_override",
				    s->settings->sysfs, e->field[FIELD_BUS], e->field[FIELD_NAME]) < 0)
		return false;
	/* Looks the file up and does not open it, so this does not wait for the device. */
	wd = inotify_add_watch(u->fd, path, IN_MODIFY);
	if (wd < 0) {
		if (errno != ENOENT && !u->complained) {
			u->complained = true;
			log_service(
				LOG_WARNING,
				"%s: cannot be watched, so that others write it will not be noticed: %s%s",
				path, strerror(errno),
				errno == ENOSPC ? "; sysctl fs.inotify.max_user_watches is the limit" : "");
		}
		return false;
	}
	return put_in(u, wd, e) >= 0;
}

/* Also when the file has gone: the look says what is there now. What our own enforcer is about is looked at
 * when it is done, and not half-way. */
static void look_at(struct service *s, const struct device_entry *e)
{
	const char *bus = e->field[FIELD_BUS], *name = e->field[FIELD_NAME];

	if (!rebind_queue_is_about(s, bus, name))
		refresh_request(s, bus, name, REFRESH_ONLY);
}

static int on_written(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	_Alignas(struct inotify_event) char buffer[16384];
	struct service *s = userdata;
	struct watch_override *u = s->overrides;
	ssize_t n;

	(void)source;
	(void)revents;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		for (const char *at = buffer; at < buffer + n;) {
			const struct inotify_event *e = (const struct inotify_event *)(const void *)at;
			size_t i = position(u, e->wd);

			at += sizeof(*e) + e->len;
			if (e->mask & IN_Q_OVERFLOW)
				refresh_request_all(s, REFRESH_ONLY);
			if (!is_there(u, i, e->wd))
				continue;
			look_at(s, u->v[i].entry);
			if (e->mask & IN_IGNORED)
				take_out(u, i);
		}
	return 0;
}

int watch_override_new(struct service *s)
{
	struct watch_override *u = s->overrides = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (u->fd < 0)
		return negative_errno();
	r = sd_event_add_io(s->event, &u->source, u->fd, EPOLLIN, on_written, s);
	return r < 0 ? r : sd_event_source_set_io_fd_own(u->source, true);
}

void watch_override_free(struct service *s)
{
	struct watch_override *u = s->overrides;

	if (!u)
		return;
	if (!u->source && u->fd >= 0)
		(void)close(u->fd);
	(void)sd_event_source_disable_unref(u->source);
	free(u->v);
	free(TAKE_PTR(s->overrides));
}
