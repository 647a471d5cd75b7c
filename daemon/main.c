/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* driver-overrided: starts, takes its name once it has something to show, runs, leaves. */
#include "daemon/bus/polkit.h"
#include "daemon/bus/bus.h"
#include "daemon/operation/drop-in-plan.h"
#include "daemon/bus/bus-explain.h"
#include "daemon/table/group-table.h"
#include "daemon/operation/operation.h"
#include "daemon/watch/watch-override.h"
#include "daemon/watch/watch-vfio.h"
#include "daemon/reconcile/rebind-queue.h"
#include "daemon/reconcile/reconcile.h"
#include "daemon/reconcile/recovery.h"
#include "daemon/refresh/refresh.h"
#include "daemon/watch/watch-udev.h"
#include "daemon/watch/watch-policy.h"

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>

#define IDLE_USEC_DEFAULT (30U * UINT64_C(1000000))

struct program {
	struct service service;
	struct watch_udev *uevents;
	sd_event_source *idle;
	const char *fifo;
	uint64_t idle_usec;
	bool leaving;
};

static uint64_t now(const struct service *s)
{
	uint64_t usec = 0;

	(void)sd_event_now(s->event, CLOCK_MONOTONIC, &usec);
	return usec;
}

/* Every call that reaches us says that somebody needs us. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct service *s = userdata;

	(void)error;
	if (sd_bus_message_is_method_call(m, NULL, NULL))
		s->last_used = now(s);
	return 0;
}

static bool is_busy(const struct service *s)
{
	return operations_busy(s) || rebind_queue_is_busy(s) || bus_explain_is_busy() || refreshes_awaited(s);
}

/*
 * Only where no rule is in force, so that there is nothing to watch over. The name is given up first: what
 * was sent to it before is answered, and what comes later starts the service anew. From then on there is no
 * way back: who is without a name is of no use to anybody, and systemd has it stop.
 */
static int on_idle(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct program *p = userdata;
	struct service *s = &p->service;
	uint64_t next = s->last_used + p->idle_usec;

	(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	if (p->leaving && !is_busy(s))
		return sd_event_exit(s->event, 0);
	if (!p->leaving && (s->policy->n_rules > 0 || is_busy(s)))
		return sd_event_source_set_time_relative(source, p->idle_usec);
	if (!p->leaving && usec < next)
		return sd_event_source_set_time(source, next);
	if (!p->leaving) {
		p->leaving = sd_bus_release_name(s->bus, BUS_NAME) >= 0;
		if (p->leaving)
			(void)sd_notify(0, "STOPPING=1\nSTATUS=Not needed: no rule is in force");
		/* Calls that had come by then are read first. */
		(void)sd_event_source_set_priority(source, PRIORITY_OTHERS + 1);
	}
	return sd_event_source_set_time_relative(source, 200000);
}

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct program *p = userdata;
	const sd_bus_error *failure = sd_bus_message_get_error(m);
	uint32_t result = 0;

	(void)error;
	if (failure || sd_bus_message_read(m, "u", &result) < 0 || result != 1) {
		log_service(LOG_ERR, "cannot have the name %s: %s", BUS_NAME,
			    failure ? failure->message : "another service has it");
		return sd_event_exit(p->service.event, EXIT_FAILURE);
	}
	/* Now that there is no other whose they may be. */
	drop_in_plan_remove_leftovers(p->service.settings);
	(void)sd_notify(0, "READY=1");
	service_tell_status(&p->service);
	return 0;
}

static void first_survey_done(void *userdata)
{
	struct program *p = userdata;
	int r;

	p->service.announced = true;
	/* The start needs more than the rest of its life. */
	(void)malloc_trim(0);
	r = sd_bus_request_name_async(p->service.bus, NULL, BUS_NAME, 0, on_name, p);
	if (r < 0) {
		log_service(LOG_ERR, "cannot ask for the name %s: %s", BUS_NAME, strerror(-r));
		(void)sd_event_exit(p->service.event, EXIT_FAILURE);
	}
}

static int connect_bus(struct service *s)
{
	int r = sd_bus_default_system(&s->bus);

	if (r < 0) {
		log_service(LOG_ERR, "cannot connect to the system bus: %s", strerror(-r));
		return r;
	}
	(void)sd_bus_set_exit_on_disconnect(s->bus, true);
	r = sd_bus_add_filter(s->bus, NULL, polkit_filter, s);
	if (r >= 0)
		r = sd_bus_add_filter(s->bus, NULL, on_message, s);
	if (r >= 0)
		r = manager_bus_add(s);
	if (r >= 0)
		r = device_bus_add(s);
	if (r >= 0)
		r = group_bus_add(s);
	/* Below all else: whoever calls without a pause shall not keep finished work from being noticed. */
	return r < 0 ? r : sd_bus_attach_event(s->bus, s->event, PRIORITY_OTHERS);
}

static int watch_signals(sd_event *event)
{
	sigset_t mask;
	int r;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	/* sd-event wants it to be blocked, and watches children by descriptors where it can. */
	(void)sigaddset(&mask, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
	return r < 0 ? r : sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
}

static int start(struct program *p)
{
	struct service *s = &p->service;
	int r;

	r = sd_event_default(&s->event);
	if (r >= 0)
		r = watch_signals(s->event);
	if (r >= 0)
		r = sd_event_set_watchdog(s->event, true);
	if (r >= 0)
		r = groups_new(s);
	if (r >= 0)
		r = refreshes_new(s);
	if (r >= 0)
		r = rebind_queue_new(s);
	if (r >= 0)
		r = reconciler_new(s);
	if (r >= 0)
		r = watch_vfio_new(s);
	if (r >= 0)
		r = operations_new(s);
	if (r < 0)
		return r;
	/* Who watches first misses nothing of what is read afterwards. */
	r = watch_policy_new(s);
	if (r >= 0)
		r = watch_override_new(s);
	if (r >= 0)
		r = watch_udev_new(s, p->fifo, &p->uevents);
	if (r >= 0)
		r = service_load_policy(s);
	if (r >= 0)
		r = connect_bus(s);
	if (r >= 0)
		r = refresh_all_now(s, REFRESH_AND_RETRY, first_survey_done, p, NULL);
	s->last_used = now(s);
	if (r >= 0)
		r = sd_event_add_time_relative(s->event, &p->idle, CLOCK_MONOTONIC, p->idle_usec, 0, on_idle,
					       p);
	return r < 0 ? r : 0;
}

static void stop(struct program *p)
{
	struct service *s = &p->service;

	s->announced = false;
	bus_explain_stop();
	if (s->operations)
		operations_free(s);
	watch_vfio_free(s);
	reconciler_free(s);
	rebind_queue_free(s);
	refreshes_free(s);
	recoveries_free(s);
	watch_policy_free(s);
	watch_override_free(s);
	p->uevents = watch_udev_free(p->uevents);
	groups_free(s);
	devices_done(&s->devices);
	(void)sd_event_source_disable_unref(p->idle);
	(void)sd_bus_flush_close_unref(s->bus);
	(void)sd_event_unref(s->event);
	policy_free(s->policy);
}

static int usage(FILE *f, int status)
{
	(void)fputs("driver-overrided [OPTIONS]\n\n"
		    "  --conf-dir DIR    policy files are here (repeat: first wins)\n"
		    "  --sysfs DIR       a sysfs tree other than /sys\n"
		    "  --state-dir DIR   state other than in /run/driver-overrides\n"
		    "  --enforcer PATH   the program that acts on devices\n"
		    "  --events FIFO     events of devices come from here, not from udev: lines of ACTION "
		    "BUS NAME\n"
		    "  --idle-exit SEC   leave after so many idle seconds where no rule is in force (30)\n"
		    "  --version, --help\n",
		    f);
	return status;
}

int main(int argc, char **argv)
{
	enum { OPTION_ENFORCER = 1, OPTION_EVENTS, OPTION_IDLE };
	static const struct option options[] = {
		SETTINGS_LONG_OPTIONS,
		{ "enforcer", required_argument, NULL, OPTION_ENFORCER },
		{ "events", required_argument, NULL, OPTION_EVENTS },
		{ "idle-exit", required_argument, NULL, OPTION_IDLE },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{},
	};
	static struct settings settings;
	static struct program p;
	int c, r;

	settings_init(&settings);
	p.service.settings = &settings;
	p.service.enforcer = ENFORCER_PATH;
	p.idle_usec = IDLE_USEC_DEFAULT;
	while ((c = getopt_long(argc, argv, "hV", options, NULL)) >= 0) {
		if (c == OPTION_ENFORCER)
			p.service.enforcer = optarg;
		else if (c == OPTION_EVENTS)
			p.fifo = optarg;
		else if (c == OPTION_IDLE)
			p.idle_usec = strtoull(optarg, NULL, 10) * 1000000;
		else if (c == 'h')
			return usage(stdout, 0);
		else if (c == 'V') {
			puts("driver-overrides " PROJECT_VERSION);
			return 0;
		} else if (settings_option(&settings, c, optarg) <= 0)
			return usage(stderr, 2);
	}
	if (optind < argc || p.idle_usec == 0)
		return usage(stderr, 2);
	if (settings_turned_off(&settings)) {
		log_service(LOG_NOTICE, "turned off by driver_overrides=off on the kernel command line");
		return 0;
	}
	(void)umask(022);
	r = start(&p);
	if (r >= 0)
		r = sd_event_loop(p.service.event);
	(void)sd_notify(0, "STOPPING=1");
	if (r < 0)
		log_service(LOG_ERR, "%s", strerror(-r));
	stop(&p);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
