/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policy files; see watch-policy.h. */
#include "daemon/watch/watch-policy.h"
#include "base/log.h"
#include "base/macro.h"
#include "daemon/service-policy.h"
#include "policy/policy-settled.h"
#include "policy/policy-watch.h"
#include "state/image-note.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <syslog.h>
#include <systemd/sd-event.h>
#include <time.h>

/* A package brings its files one after the other. */
#define POLICY_USEC 50000U

struct watch_policy {
	struct policy_watch *watch;
	sd_event_source *source, *timer;
	struct policy_delay delay;
	char images[PATH_MAX]; /* where it is noted which policy boot images have */
};

static int watch_policy_set_timer(struct watch_policy *w, uint64_t usec)
{
	(void)sd_event_source_set_time_relative(w->timer, usec);
	return sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

static int on_policy_event(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct service *s = userdata;

	(void)source;
	(void)fd;
	(void)revents;
	/* A call may be waiting, whose own file this is. */
	return policy_watch_take_events(s->watch_policy->watch)
		       ? watch_policy_set_timer(s->watch_policy, POLICY_USEC)
		       : 0;
}

static int on_policy_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct service *s = userdata;
	uint64_t again_usec;

	(void)source;
	(void)usec;
	policy_watch_follow(s->watch_policy->watch);
	if (!policy_delay_goes_on(&s->watch_policy->delay, s->settings, &again_usec)) {
		int r = service_load_policy(s);

		if (r < 0)
			log_errno(LOG_ERR, r, "reading the policy again: %m, the one before stays in force");
	}
	return again_usec > 0 ? watch_policy_set_timer(s->watch_policy, again_usec) : 0;
}

int watch_policy_new(struct service *s)
{
	struct watch_policy *w = s->watch_policy = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	r = sd_event_add_time_relative(s->event, &w->timer, CLOCK_MONOTONIC, 0, 1000, on_policy_timer, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
	/* It has an inotify descriptor of its own: the guard, which has no sd-event, watches by the same
	 * code. */
	if (r >= 0)
		r = policy_watch_new(s->settings, &w->watch);
	if (r >= 0 && settings_system_path(s->settings, IMAGE_NOTES, w->images, sizeof(w->images)) >= 0)
		policy_watch_add_notes(w->watch, w->images);
	return r < 0 ? r
		     : sd_event_add_io(s->event, &w->source, policy_watch_fd(w->watch), EPOLLIN,
				       on_policy_event, s);
}

void watch_policy_free(struct service *s)
{
	struct watch_policy *w = s->watch_policy;

	if (!w)
		return;
	(void)sd_event_source_disable_unref(w->source);
	policy_watch_free(w->watch);
	(void)sd_event_source_disable_unref(w->timer);
	free(TAKE_PTR(s->watch_policy));
}
