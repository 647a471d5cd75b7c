/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that come, go and change; see watch-udev.h. */
#include "daemon/refresh/refresh.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/watch/watch-udev.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sock_diag.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <syslog.h>
#include <systemd/sd-device.h>
#include <systemd/sd-event.h>
#include <unistd.h>

/* A coldplug of all devices in one go. */
#define BUFFER_SIZE (16U * 1024U * 1024U)

struct watch_udev {
	struct service *service;
	sd_device_monitor *monitor;
	sd_event_source *fifo;
	uint32_t lost; /* messages that did not fit into the buffer, in all */
	char line[1024];
	size_t n;
};

static bool device_is_supported(const struct service *s, const char *bus, const char *name)
{
	char path[PATH_MAX];

	/* Looking whether the file is there never sleeps; reading it may. */
	return path_printf(path, sizeof(path), "%s/bus/%s/devices/%s/driver_override", s->settings->sysfs,
			   bus, name) >= 0 &&
	       access(path, F_OK) == 0;
}

/*
 * The enforcer unbinds and binds the device at this moment, which has an event each: a look follows the move
 * anyway, and with many devices those in between would take as long as the moves do.
 */
static bool event_is_of_move(const struct device_entry *e, const char *action)
{
	return e && e->moves > 0 &&
	       (streq(action, "bind") || streq(action, "unbind") || streq(action, "change"));
}

static void event_take(struct service *s, const char *action, const char *bus, const char *name)
{
	enum refresh_purpose purpose = REFRESH_ONLY;
	struct device_entry *e = devices_find(&s->devices, bus, name);

	/* The event does not tell the old name. */
	if (streq(action, "move")) {
		refresh_request_all(s, REFRESH_ONLY);
		return;
	}
	if (!e && !device_is_supported(s, bus, name))
		return;
	if (streq(action, "add"))
		purpose = REFRESH_AND_RETRY;
	else if (streq(action, "bind"))
		purpose = REFRESH_AND_RECONCILE;
	if (event_is_of_move(e, action))
		refresh_look_later(e, purpose);
	else
		refresh_request(s, bus, name, purpose);
}

/* The kernel counts the messages that it had to drop; then all devices have to be looked at. */
static void monitor_check_lost(struct watch_udev *w)
{
	uint32_t info[SK_MEMINFO_VARS] = {};
	socklen_t size = sizeof(info);
	int fd = sd_event_source_get_io_fd(sd_device_monitor_get_event_source(w->monitor));

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size) < 0 ||
	    info[SK_MEMINFO_DROPS] == w->lost)
		return;
	w->lost = info[SK_MEMINFO_DROPS];
	log_line(LOG_WARNING,
		 "uevents were lost: they came faster than they were read, looking at all devices");
	refresh_request_all(w->service, REFRESH_AND_RECONCILE);
}

static int on_device(sd_device_monitor *m, sd_device *d, void *userdata)
{
	static const char *const actions[] = {
		[SD_DEVICE_ADD] = "add",   [SD_DEVICE_REMOVE] = "remove", [SD_DEVICE_CHANGE] = "change",
		[SD_DEVICE_MOVE] = "move", [SD_DEVICE_ONLINE] = "online", [SD_DEVICE_OFFLINE] = "offline",
		[SD_DEVICE_BIND] = "bind", [SD_DEVICE_UNBIND] = "unbind",
	};
	struct watch_udev *w = userdata;
	sd_device_action_t action;
	const char *bus, *name;

	(void)m;
	monitor_check_lost(w);
	if (sd_device_get_action(d, &action) < 0 || sd_device_get_subsystem(d, &bus) < 0 ||
	    sd_device_get_sysname(d, &name) < 0 || (size_t)action >= ELEMENTSOF(actions))
		return 0;
	event_take(w->service, actions[action], bus, name);
	return 0;
}

static void fifo_take_line(struct service *s, char *line)
{
	char *rest = line;
	const char *action = strsep(&rest, " "), *bus = strsep(&rest, " ");

	if (bus && rest)
		event_take(s, action, bus, rest);
}

static int on_fifo(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct watch_udev *w = userdata;
	ssize_t n;

	(void)source;
	(void)revents;
	while ((n = read(fd, w->line + w->n, sizeof(w->line) - 1 - w->n)) > 0) {
		char *newline;

		w->n += (size_t)n;
		w->line[w->n] = '\0';
		while ((newline = strchr(w->line, '\n'))) {
			*newline = '\0';
			fifo_take_line(w->service, w->line);
			w->n -= (size_t)(newline + 1 - w->line);
			memmove(w->line, newline + 1, w->n + 1);
		}
		if (w->n == sizeof(w->line) - 1)
			w->n = 0;
	}
	return 0;
}

static int fifo_open(struct watch_udev *w, const char *path)
{
	/* Open for writing as well, so that there is no end of file when a writer closes it. */
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK), r;

	if (fd < 0)
		return negative_errno();
	r = sd_event_add_io(w->service->event, &w->fifo, fd, EPOLLIN, on_fifo, w);
	if (r < 0)
		(void)close(fd);
	else
		(void)sd_event_source_set_io_fd_own(w->fifo, true);
	return r;
}

static int monitor_open(struct watch_udev *w)
{
	int r = sd_device_monitor_new(&w->monitor);

	if (r >= 0)
		r = sd_device_monitor_attach_event(w->monitor, w->service->event);
	if (r < 0)
		return r;
	/* Without the capability to exceed the limit, the buffer is as large as that. */
	(void)sd_device_monitor_set_receive_buffer_size(w->monitor, BUFFER_SIZE);
	return sd_device_monitor_start(w->monitor, on_device, w);
}

int watch_udev_new(struct service *s, const char *fifo, struct watch_udev **ret)
{
	struct watch_udev *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->service = s;
	r = fifo ? fifo_open(w, fifo) : monitor_open(w);
	if (r < 0) {
		watch_udev_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

struct watch_udev *watch_udev_free(struct watch_udev *w)
{
	if (!w)
		return NULL;
	(void)sd_device_monitor_unref(w->monitor);
	(void)sd_event_source_disable_unref(w->fifo);
	free(w);
	return NULL;
}
