/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Uses that end; see watch-use.h. */
#include "daemon/watch/watch-use.h"
#include "base/array.h"
#include "base/errno.h"
#include "base/list.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/refresh/refresh.h"
#include "state/device-state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <syslog.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

/*
 * A node is closed before its driver lets go, and an unmount is seen before the disk is free. So a device is
 * tried several times, each so many microseconds after the one before; then once a minute.
 */
static const uint64_t try_delays[] = { 100000, 1000000, 5000000 };
#define EVERY_USEC (60U * UINT64_C(1000000))

/* A device that is in use. */
struct used_device {
	struct used_device *next;
	struct watch_use *watch;
	char *bus, *name, *wait_for;
	sd_event_source *node; /* hears of closes; NULL: it waits for something else */
	uint64_t due;	       /* when it is to be tried; UINT64_MAX: with the next look at all */
	size_t tries;	       /* since the latest event */
};

struct watch_use {
	struct service *service;
	struct used_device *devices;
	sd_event_source *timer, *mounts, *swaps, *net;
	uint64_t next_minute;
};

static void used_device_free(struct used_device *u)
{
	(void)sd_event_source_disable_unref(u->node);
	free(u->bus);
	free(u->name);
	free(u->wait_for);
	free(u);
}

static struct used_device *used_device_find(struct watch_use *w, const char *bus, const char *name)
{
	struct used_device *u = w->devices;

	while (u && !(streq(u->name, name) && streq(u->bus, bus)))
		u = u->next;
	return u;
}

/* When the earliest is due. */
static void use_timer_arm(struct watch_use *w)
{
	uint64_t due = w->devices ? w->next_minute : UINT64_MAX;

	for (const struct used_device *u = w->devices; u; u = u->next)
		if (u->due < due)
			due = u->due;
	(void)sd_event_source_set_enabled(w->timer, due == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
	if (due != UINT64_MAX)
		(void)sd_event_source_set_time(w->timer, due);
}

/* The use may have ended. A try that is near already is not put off: any user may open and close nodes. */
static void used_device_wake(struct used_device *u)
{
	u->tries = 0;
	if (u->due == UINT64_MAX)
		u->due = service_now(u->watch->service) + try_delays[0];
	use_timer_arm(u->watch);
}

static int on_use_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct watch_use *w = userdata;
	uint64_t now = service_now(w->service);
	bool all = now >= w->next_minute;

	(void)source;
	(void)usec;
	if (all)
		w->next_minute = now + EVERY_USEC;
	for (struct used_device *u = w->devices; u; u = u->next) {
		if (!all && u->due > now)
			continue;
		if (u->due <= now)
			u->tries++;
		u->due = u->tries > 0 && u->tries < ELEMENTSOF(try_delays) ? now + try_delays[u->tries]
									   : UINT64_MAX;
		refresh_request(w->service, u->bus, u->name, REFRESH_AND_RETRY);
	}
	use_timer_arm(w);
	return 0;
}

static int on_use_node(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
	struct used_device *u = userdata;

	if (event->mask & IN_IGNORED)
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF); /* the node has gone */
	used_device_wake(u);
	return 0;
}

static void used_devices_wake(struct watch_use *w, const char *wait_for)
{
	for (struct used_device *u = w->devices; u; u = u->next)
		if (streq(u->wait_for, wait_for))
			used_device_wake(u);
}

/* A change of mounts or swap is told once, by the poll itself. */
static int on_use_mounts(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	(void)source;
	(void)fd;
	(void)revents;
	used_devices_wake(userdata, "mount");
	return 0;
}

static int on_use_net(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	char buf[8192];
	ssize_t n;

	(void)source;
	(void)revents;
	/* What it says does not matter; messages that were lost were as good as one that came. */
	do
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	while (n > 0 || (n < 0 && (errno == EINTR || errno == ENOBUFS)));
	used_devices_wake(userdata, "net");
	return 0;
}

/* Takes fd, which may be a negative errno. */
static int watch_use_add_fd(struct watch_use *w, sd_event_source **ret, int fd, uint32_t events,
			    sd_event_io_handler_t handler)
{
	int r;

	if (fd < 0)
		return fd;
	r = sd_event_add_io(w->service->event, ret, fd, events, handler, w);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	(void)sd_event_source_set_io_fd_own(*ret, true);
	return sd_event_source_set_priority(*ret, PRIORITY_OTHERS);
}

static int proc_open(struct service *s, const char *file)
{
	char path[PATH_MAX];
	int fd;

	if (path_join(path, sizeof(path), s->settings->sysfs, "/../proc/", file, NULL) < 0)
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? negative_errno() : fd;
}

static int rtnetlink_open(void)
{
	const struct sockaddr_nl address = { .nl_family = AF_NETLINK,
					     .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
							  RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
							  RTMGRP_IPV6_ROUTE };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0)
		return negative_errno();
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		int r = negative_errno();

		(void)close(fd);
		return r;
	}
	return fd;
}

/* Begins to hear of what this kind of use makes of events. Without one the minute must do. */
static void use_listen(struct used_device *u)
{
	struct watch_use *w = u->watch;
	struct service *s = w->service;
	char path[PATH_MAX];
	int r = 0;

	if (startswith(u->wait_for, "/dev/")) {
		if (path_join(path, sizeof(path), s->settings->sysfs, "/..", u->wait_for, NULL) >= 0)
			r = sd_event_add_inotify(s->event, &u->node, path, IN_CLOSE, on_use_node, u);
		if (r >= 0 && u->node)
			(void)sd_event_source_set_priority(u->node, PRIORITY_OTHERS);
	} else if (streq(u->wait_for, "mount")) {
		if (!w->mounts)
			r = watch_use_add_fd(w, &w->mounts, proc_open(s, "self/mountinfo"), EPOLLPRI,
					     on_use_mounts);
		if (r >= 0 && !w->swaps)
			r = watch_use_add_fd(w, &w->swaps, proc_open(s, "swaps"), EPOLLPRI, on_use_mounts);
	} else if (streq(u->wait_for, "net") && !w->net)
		r = watch_use_add_fd(w, &w->net, rtnetlink_open(), EPOLLIN, on_use_net);
	if (r < 0)
		log_errno(LOG_INFO, r, "%s %s: cannot hear when %s is free, trying once a minute", u->bus,
			  u->name, u->wait_for);
}

static void used_device_remove(struct watch_use *w, struct used_device *u)
{
	(void)list_remove(w->devices, u);
	used_device_free(u);
	use_timer_arm(w);
}

static void used_device_add(struct watch_use *w, const struct device_entry *e)
{
	struct used_device *u = calloc(1, sizeof(*u));

	if (!u)
		return;
	u->watch = w;
	u->due = UINT64_MAX;
	u->bus = strdup(e->field[FIELD_BUS]);
	u->name = strdup(e->field[FIELD_NAME]);
	u->wait_for = strdup(e->field[FIELD_WAIT_FOR]);
	if (!u->bus || !u->name || !u->wait_for) {
		used_device_free(u);
		return;
	}
	if (!w->devices)
		w->next_minute = service_now(w->service) + EVERY_USEC;
	list_append(w->devices, u);
	use_listen(u);
	/* The use may have ended between the enforcer's look and this one: one try will tell. */
	used_device_wake(u);
	u->tries = ELEMENTSOF(try_delays) - 1;
}

static void use_on_device_found(struct service *s, const struct refresh_finding *found)
{
	const struct device_entry *e = found->entry;
	struct watch_use *w = s->watch_use;
	struct used_device *u = used_device_find(w, e->field[FIELD_BUS], e->field[FIELD_NAME]);
	const char *wait_for =
		device_state_is(e->field[FIELD_STATE], STATE_BLOCKED) ? e->field[FIELD_WAIT_FOR] : "";

	if (u && streq(u->wait_for, wait_for))
		return;
	if (u)
		used_device_remove(w, u);
	if (wait_for[0])
		used_device_add(w, e);
}

static void use_on_device_leaving(struct service *s, struct device_entry *e)
{
	struct used_device *u = used_device_find(s->watch_use, e->field[FIELD_BUS], e->field[FIELD_NAME]);

	if (u)
		used_device_remove(s->watch_use, u);
}

const struct refresh_observer watch_use_observer = {
	.device_found = use_on_device_found,
	.device_leaving = use_on_device_leaving,
};

int watch_use_new(struct service *s)
{
	int r;

	s->watch_use = calloc(1, sizeof(*s->watch_use));
	if (!s->watch_use)
		return -ENOMEM;
	s->watch_use->service = s;
	r = sd_event_add_time_relative(s->event, &s->watch_use->timer, CLOCK_MONOTONIC, 0, 10000,
				       on_use_timer, s->watch_use);
	return r < 0 ? r : sd_event_source_set_enabled(s->watch_use->timer, SD_EVENT_OFF);
}

void watch_use_free(struct service *s)
{
	struct watch_use *w = s->watch_use;

	if (!w)
		return;
	for (struct used_device *u = w->devices, *next; u; u = next) {
		next = u->next;
		used_device_free(u);
	}
	(void)sd_event_source_disable_unref(w->timer);
	(void)sd_event_source_disable_unref(w->mounts);
	(void)sd_event_source_disable_unref(w->swaps);
	(void)sd_event_source_disable_unref(w->net);
	free(TAKE_PTR(s->watch_use));
}
