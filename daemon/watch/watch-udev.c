/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that come, go and change; see watch-udev.h. */
#include "daemon/refresh/refresh.h"
#include "base/errno.h"
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
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-device.h>
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

static bool is_ours(const struct service *s, const char *bus, const char *name)
{
	char path[PATH_MAX];

	if (devices_find(&s->devices, bus, name))
		return true;
	/* Looking whether the file is there never waits; reading it may. */
	return path_printf(path, sizeof(path), "%s/bus/%s/devices/%s/driver_override", s->settings->sysfs,
			   bus, name) >= 0 &&
	       access(path, F_OK) == 0;
}

static void take(struct service *s, const char *action, const char *bus, const char *name)
{
	enum refresh_purpose trigger = REFRESH_ONLY;

	/* Its old name is nowhere to be seen in it. */
	if (streq(action, "move")) {
		refresh_request_all(s, REFRESH_ONLY);
		return;
	}
	if (!is_ours(s, bus, name))
		return;
	if (streq(action, "add"))
		trigger = REFRESH_AND_RETRY;
	else if (streq(action, "bind"))
		trigger = REFRESH_AND_RECONCILE;
	refresh_request(s, bus, name, trigger);
}

/* The kernel counts what it had to drop; then nothing helps but to look at everything. */
static void check_lost(struct watch_udev *u)
{
	uint32_t info[SK_MEMINFO_VARS] = {};
	socklen_t size = sizeof(info);
	int fd = sd_event_source_get_io_fd(sd_device_monitor_get_event_source(u->monitor));

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size) < 0 ||
	    info[SK_MEMINFO_DROPS] == u->lost)
		return;
	u->lost = info[SK_MEMINFO_DROPS];
	log_service(LOG_WARNING, "events came faster than they were read; looking at all devices");
	refresh_request_all(u->service, REFRESH_AND_RECONCILE);
}

static int on_device(sd_device_monitor *m, sd_device *d, void *userdata)
{
	static const char *const actions[] = {
		[SD_DEVICE_ADD] = "add",   [SD_DEVICE_REMOVE] = "remove", [SD_DEVICE_CHANGE] = "change",
		[SD_DEVICE_MOVE] = "move", [SD_DEVICE_ONLINE] = "online", [SD_DEVICE_OFFLINE] = "offline",
		[SD_DEVICE_BIND] = "bind", [SD_DEVICE_UNBIND] = "unbind",
	};
	struct watch_udev *u = userdata;
	sd_device_action_t action;
	const char *bus, *name;

	(void)m;
	check_lost(u);
	if (sd_device_get_action(d, &action) < 0 || sd_device_get_subsystem(d, &bus) < 0 ||
	    sd_device_get_sysname(d, &name) < 0 || (size_t)action >= ELEMENTSOF(actions))
		return 0;
	take(u->service, actions[action], bus, name);
	return 0;
}

static void take_line(struct service *s, char *line)
{
	char *rest = line;
	const char *action = strsep(&rest, " "), *bus = strsep(&rest, " ");

	if (bus && rest)
		take(s, action, bus, rest);
}

static int on_fifo(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct watch_udev *u = userdata;
	ssize_t n;

	(void)source;
	(void)revents;
	while ((n = read(fd, u->line + u->n, sizeof(u->line) - 1 - u->n)) > 0) {
		char *newline;

		u->n += (size_t)n;
		u->line[u->n] = '\0';
		while ((newline = strchr(u->line, '\n'))) {
			*newline = '\0';
			take_line(u->service, u->line);
			u->n -= (size_t)(newline + 1 - u->line);
			memmove(u->line, newline + 1, u->n + 1);
		}
		if (u->n == sizeof(u->line) - 1)
			u->n = 0;
	}
	return 0;
}

static int open_fifo(struct watch_udev *u, const char *path)
{
	/* Open for writing as well, so that it does not end when a writer does. */
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK), r;

	if (fd < 0)
		return negative_errno();
	r = sd_event_add_io(u->service->event, &u->fifo, fd, EPOLLIN, on_fifo, u);
	if (r < 0)
		(void)close(fd);
	else
		(void)sd_event_source_set_io_fd_own(u->fifo, true);
	return r;
}

static int open_monitor(struct watch_udev *u)
{
	int r = sd_device_monitor_new(&u->monitor);

	if (r >= 0)
		r = sd_device_monitor_attach_event(u->monitor, u->service->event);
	if (r < 0)
		return r;
	/* Without the capability it is as large as it may be. */
	(void)sd_device_monitor_set_receive_buffer_size(u->monitor, BUFFER_SIZE);
	return sd_device_monitor_start(u->monitor, on_device, u);
}

int watch_udev_new(struct service *s, const char *fifo, struct watch_udev **ret)
{
	struct watch_udev *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->service = s;
	r = fifo ? open_fifo(u, fifo) : open_monitor(u);
	if (r < 0) {
		watch_udev_free(u);
		return r;
	}
	*ret = u;
	return 0;
}

struct watch_udev *watch_udev_free(struct watch_udev *u)
{
	if (!u)
		return NULL;
	(void)sd_device_monitor_unref(u->monitor);
	(void)sd_event_source_disable_unref(u->fifo);
	free(u);
	return NULL;
}
