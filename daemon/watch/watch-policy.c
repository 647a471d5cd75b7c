/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policy files and records that others write; see watch-policy.h. */
#include "daemon/bus/bus-signals.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/refresh/refresh.h"
#include "daemon/watch/watch-policy.h"
#include "policy/policy-watch.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

/* A package brings its files one after the other. */
#define POLICY_USEC 50000U

struct watch_policy {
	struct policy_watch *policy_watch;
	sd_event_source *policy, *policy_timer;
	sd_event_source *records;
	int devices; /* watch descriptor of STATE_DIR/devices */
};

static int on_policy(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct service *s = userdata;

	(void)source;
	(void)fd;
	(void)revents;
	if (!policy_watch_changed(s->watches->policy_watch))
		return 0;
	(void)sd_event_source_set_time_relative(s->watches->policy_timer, POLICY_USEC);
	return sd_event_source_set_enabled(s->watches->policy_timer, SD_EVENT_ONESHOT);
}

static int on_policy_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	int r = service_load_policy(userdata);

	(void)source;
	(void)usec;
	if (r < 0)
		log_service(LOG_ERR, "cannot read the policy again; the one before stays in force: %s",
			    strerror(-r));
	return 0;
}

static int watch_policy(struct service *s)
{
	int r = policy_watch_new(s->settings, &s->watches->policy_watch);

	return r < 0 ? r
		     : sd_event_add_io(s->event, &s->watches->policy,
				       policy_watch_fd(s->watches->policy_watch), EPOLLIN, on_policy, s);
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The way back of name_escape(); false: it is no name of a record. */
static bool unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s != '\\') {
			*to++ = *s;
			continue;
		}
		if (s[1] != 'x' || hex(s[2]) < 0 || hex(s[3]) < 0)
			return false;
		*to++ = (char)(16 * hex(s[2]) + hex(s[3]));
		s += 3;
	}
	*to = '\0';
	return true;
}

/* BUS:NAME, of a device whose record was written or removed. */
static void record_changed(struct service *s, const char *file)
{
	char bus[NAME_MAX + 1];
	char *name;

	text_copy(bus, sizeof(bus), file);
	name = strchr(bus, ':');
	if (!name)
		return;
	*name++ = '\0';
	if (unescape(bus) && unescape(name))
		refresh_request(s, bus, name, REFRESH_ONLY);
}

static int on_records(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	_Alignas(struct inotify_event) char buffer[16384];
	struct service *s = userdata;
	ssize_t n;

	(void)source;
	(void)revents;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		for (const char *at = buffer; at < buffer + n;) {
			const struct inotify_event *e = (const struct inotify_event *)(const void *)at;

			if (e->mask & IN_Q_OVERFLOW)
				refresh_request_all(s, REFRESH_ONLY);
			else if (e->len > 0 && e->wd == s->watches->devices)
				record_changed(s, e->name);
			else if (e->len > 0 && streq(e->name, "guard"))
				signal_manager_changed(s, "Hold");
			at += sizeof(*e) + e->len;
		}
	return 0;
}

/* The folders are made here if nobody has needed them yet: a folder that comes later would have to be
 * noticed. */
static int watch_records(struct service *s)
{
	const char *dir = s->settings->state_dir;
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), r;
	char devices[PATH_MAX];

	if (fd < 0)
		return negative_errno();
	if (path_printf(devices, sizeof(devices), "%s/devices", dir) < 0 ||
	    (mkdir(dir, 0755) < 0 && errno != EEXIST) || (mkdir(devices, 0755) < 0 && errno != EEXIST)) {
		r = negative_errno();
		(void)close(fd);
		log_service(LOG_ERR, "%s: %s", dir, strerror(-r));
		return r;
	}
	(void)inotify_add_watch(fd, dir, IN_MOVED_TO | IN_DELETE | IN_ONLYDIR);
	s->watches->devices = inotify_add_watch(fd, devices, IN_MOVED_TO | IN_DELETE | IN_ONLYDIR);
	r = sd_event_add_io(s->event, &s->watches->records, fd, EPOLLIN, on_records, s);
	if (r < 0)
		(void)close(fd);
	else
		(void)sd_event_source_set_io_fd_own(s->watches->records, true);
	return r;
}

int watch_policy_new(struct service *s)
{
	int r;

	s->watches = calloc(1, sizeof(*s->watches));
	if (!s->watches)
		return -ENOMEM;
	r = sd_event_add_time_relative(s->event, &s->watches->policy_timer, CLOCK_MONOTONIC, 0, 1000,
				       on_policy_timer, s);
	if (r < 0)
		return r;
	(void)sd_event_source_set_enabled(s->watches->policy_timer, SD_EVENT_OFF);
	r = watch_records(s);
	return r < 0 ? r : watch_policy(s);
}

void watch_policy_free(struct service *s)
{
	struct watch_policy *w = s->watches;

	if (!w)
		return;
	(void)sd_event_source_disable_unref(w->policy);
	policy_watch_free(w->policy_watch);
	(void)sd_event_source_disable_unref(w->policy_timer);
	(void)sd_event_source_disable_unref(w->records);
	free(TAKE_PTR(s->watches));
}
