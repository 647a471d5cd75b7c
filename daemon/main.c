/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * driver-overrided: options; puts the parts of the service together, takes the bus name once there is
 * something to show, runs, leaves when it is not needed.
 */
#include "daemon/bus/bus-explain.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/system.h"
#include "daemon/bus/bus-signals.h"
#include "daemon/bus/bus.h"
#include "daemon/bus/bus-answers.h"
#include "daemon/bus/caller.h"
#include "daemon/bus/device-signals.h"
#include "daemon/bus/limits.h"
#include "daemon/bus/polkit.h"
#include "daemon/metrics.h"
#include "daemon/operation/drop-in-plan.h"
#include "daemon/operation/operation.h"
#include "daemon/operation/trial-resume.h"
#include "daemon/reconcile/rebind-queue.h"
#include "daemon/reconcile/reconcile.h"
#include "daemon/reconcile/recovery.h"
#include "daemon/refresh/refresh.h"
#include "daemon/service-policy.h"
#include "daemon/service-status.h"
#include "daemon/table/group-table.h"
#include "daemon/task.h"
#include "daemon/watch/watch-override.h"
#include "daemon/watch/watch-policy.h"
#include "daemon/watch/watch-records.h"
#include "daemon/watch/watch-udev.h"
#include "daemon/watch/watch-use.h"
#include "daemon/watch/watch-vfio.h"
#include "daemon/watch/watch-writer.h"
#include "policy/program-options.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>

#define IDLE_USEC_DEFAULT (30U * UINT64_C(1000000))
#define READ_USEC_DEFAULT (4U * UINT64_C(1000000))

/* Called in this order with what looks have found; see refresh-observer.h. */
static const struct refresh_observer *const observers[] = {
	&group_table_observer, /* before the signals, whose receivers ask for groups */
	&device_signals_observer, &bus_signals_observer,
	&recovery_observer,	  &watch_vfio_observer,
	&watch_use_observer,	  &watch_override_observer,
	&reconcile_observer,	  &service_status_observer,
	&metrics_observer,	  NULL,
};

struct program {
	struct service service;
	struct watch_udev *watch_udev;
	sd_event_source *idle;
	const char *fifo;
	uint64_t idle_usec;
	bool leaving;
};

/* Every call that reaches the service says that it is needed. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct service *s = userdata;

	(void)error;
	if (sd_bus_message_is_method_call(m, NULL, NULL))
		s->last_used = service_now(s);
	return 0;
}

static bool service_is_busy(const struct service *s)
{
	return operations_busy(s) || rebind_queue_is_busy(s) || bus_explain_is_busy() ||
	       refreshes_awaited(s) || answers_are_waited_for(s);
}

/*
 * Only if no rule is in force, so that there is nothing to watch over. The name is given up first: what was
 * sent to it before is answered, and what comes later starts the service anew. From then on there is no way
 * back: a service without its name is of no use, and systemd stops it.
 */
static int on_idle(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct program *program = userdata;
	struct service *s = &program->service;
	uint64_t next = s->last_used + program->idle_usec;

	(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	if (program->leaving && !service_is_busy(s))
		return sd_event_exit(s->event, 0);
	if (!program->leaving && (s->policy->n_rules > 0 || service_is_busy(s)))
		return sd_event_source_set_time_relative(source, program->idle_usec);
	if (!program->leaving && usec < next)
		return sd_event_source_set_time(source, next);
	if (!program->leaving) {
		program->leaving = sd_bus_release_name(s->bus, BUS_NAME) >= 0;
		if (program->leaving)
			(void)sd_notify(0, "STOPPING=1\nSTATUS=Not needed: no rule is in force");
		/* Calls that had come by then are read first. */
		(void)sd_event_source_set_priority(source, PRIORITY_OTHERS + 1);
	}
	return sd_event_source_set_time_relative(source, 200000);
}

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct program *program = userdata;
	const sd_bus_error *failure = sd_bus_message_get_error(m);
	uint32_t result = 0;

	(void)error;
	if (failure || sd_bus_message_read(m, "u", &result) < 0 || result != 1) {
		log_line(LOG_ERR, "cannot have the name %s: %s", BUS_NAME,
			 failure ? failure->message : "another service has it");
		return sd_event_exit(program->service.event, EXIT_FAILURE);
	}
	/* Now they cannot be those of another service. */
	drop_in_plan_remove_leftovers(program->service.settings);
	trials_resume(&program->service);
	(void)sd_notify(0, "READY=1");
	service_tell_status(&program->service);
	metrics_changed(&program->service);
	return 0;
}

static void on_first_refresh_done(void *userdata)
{
	struct program *program = userdata;
	int r;

	program->service.announced = true;
	/* The start needs more than the rest of its life. */
	system_trim_memory();
	r = sd_bus_request_name_async(program->service.bus, NULL, BUS_NAME, 0, on_name, program);
	if (r < 0) {
		log_errno(LOG_ERR, r, "asking for the name %s", BUS_NAME);
		(void)sd_event_exit(program->service.event, EXIT_FAILURE);
	}
}

/* Returns what failed, too. */
static int service_connect_bus(struct service *s, const char **reterr_doing)
{
	int r = sd_bus_default_system(&s->bus);

	if (r < 0) {
		*reterr_doing = "connecting to the system bus";
		return r;
	}
	(void)sd_bus_set_exit_on_disconnect(s->bus, true);
	r = sd_bus_add_filter(s->bus, NULL, polkit_filter, s);
	if (r >= 0)
		r = sd_bus_add_filter(s->bus, NULL, answers_filter, s);
	if (r >= 0)
		r = sd_bus_add_filter(s->bus, NULL, on_message, s);
	if (r >= 0)
		r = manager_bus_add(s);
	if (r >= 0)
		r = device_bus_add(s);
	if (r >= 0)
		r = group_bus_add(s);
	if (r >= 0)
		r = log_control_bus_add(s);
	/* Below all else: a client that calls without a pause must not keep finished work from being
	 * noticed. */
	if (r >= 0)
		r = sd_bus_attach_event(s->bus, s->event, PRIORITY_OTHERS);
	if (r < 0)
		*reterr_doing = "making objects on the bus";
	return r;
}

static int service_watch_signals(sd_event *event)
{
	sigset_t mask;

	/* sd-event wants it to be blocked, although it watches children by descriptors. */
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	return sd_event_set_signal_exit(event, true); /* SIGTERM and SIGINT */
}

static int service_make_parts(struct service *s)
{
	int (*const make[])(struct service *
			    s) = { callers_new,	   limits_new,	       signals_watch_left_behind,
				   answers_new,	   device_signals_new, groups_new,
				   refreshes_new,  rebind_queue_new,   reconciler_new,
				   watch_vfio_new, watch_use_new,      watch_writer_new,
				   operations_new, metrics_new };
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ELEMENTSOF(make); i++)
		r = make[i](s);
	return r;
}

/* Watches before anything is read, so that nothing is missed in between. */
static int service_watch(struct program *program, const char **reterr_doing)
{
	struct service *s = &program->service;
	int r = watch_policy_new(s);

	if (r < 0) {
		*reterr_doing = "watching policy files";
		return r;
	}
	r = watch_records_new(s);
	if (r < 0) {
		*reterr_doing = s->settings->state_dir;
		return r;
	}
	r = watch_override_new(s);
	if (r >= 0)
		r = watch_udev_new(s, program->fifo, &program->watch_udev);
	if (r < 0)
		*reterr_doing = "watching devices";
	return r;
}

/* Negative errno, with what failed. */
static int service_start(struct program *program, const char **reterr_doing)
{
	struct service *s = &program->service;
	int r;

	*reterr_doing = "starting";
	s->observers = observers;
	r = sd_event_default(&s->event);
	if (r >= 0)
		r = service_watch_signals(s->event);
	if (r >= 0)
		r = sd_event_set_watchdog(s->event, true);
	if (r >= 0)
		r = service_make_parts(s);
	if (r >= 0)
		r = service_watch(program, reterr_doing);
	if (r < 0)
		return r;
	r = service_load_policy(s);
	if (r < 0) {
		*reterr_doing = "reading the policy";
		return r;
	}
	r = service_connect_bus(s, reterr_doing);
	if (r >= 0)
		r = refresh_all_now(s, REFRESH_AND_RETRY, on_first_refresh_done, program, NULL);
	s->last_used = service_now(s);
	if (r >= 0)
		r = sd_event_add_time_relative(s->event, &program->idle, CLOCK_MONOTONIC, program->idle_usec,
					       0, on_idle, program);
	return r < 0 ? r : 0;
}

static void service_stop(struct program *program)
{
	struct service *s = &program->service;

	s->announced = false;
	metrics_free(s);
	bus_explain_stop();
	if (s->operations)
		operations_free(s);
	answers_free(s);
	callers_free(s);
	limits_free(s);
	watch_use_free(s);
	watch_writer_free(s);
	watch_vfio_free(s);
	reconciler_free(s);
	rebind_queue_free(s);
	refreshes_free(s);
	recoveries_free(s);
	watch_policy_free(s);
	watch_records_free(s);
	watch_override_free(s);
	program->watch_udev = watch_udev_free(program->watch_udev);
	tasks_watch_left_behind(NULL, NULL);
	(void)sd_event_source_disable_unref(s->left_behind_soon);
	groups_free(s);
	device_signals_free(s);
	devices_done(&s->devices);
	(void)sd_event_source_disable_unref(program->idle);
	(void)sd_bus_flush_close_unref(s->bus);
	(void)sd_event_unref(s->event);
	policy_free(s->policy);
}

static void usage(FILE *f)
{
	(void)fputs("driver-overrided [OPTIONS]\n\n"
		    "  --conf-dir DIR    policy files are here (repeat: first wins)\n"
		    "  --sysfs DIR       a sysfs tree other than /sys\n"
		    "  --state-dir DIR   state other than in /run/driver-overrides\n"
		    "  --enforcer PATH   the program that acts on devices\n"
		    "  --events FIFO     events of devices come from here, not from udev: lines of ACTION "
		    "BUS NAME\n"
		    "  --idle-exit SEC   leave after so many idle seconds where no rule is in force (30)\n"
		    "  --read-timeout MSEC  a device is stuck if its files take longer to read (4000)\n"
		    "  --version, --help\n",
		    f);
}

enum { OPTION_ENFORCER = 1, OPTION_EVENTS, OPTION_IDLE, OPTION_READ };

static int program_option(void *userdata, int option, const char *argument)
{
	struct program *p = userdata;

	if (option == OPTION_ENFORCER)
		p->service.enforcer = argument;
	else if (option == OPTION_EVENTS)
		p->fifo = argument;
	else if (option == OPTION_IDLE)
		p->idle_usec = strtoull(argument, NULL, 10) * 1000000;
	else if (option == OPTION_READ)
		p->service.read_usec = strtoull(argument, NULL, 10) * 1000;
	else
		return 0;
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option table[] = {
		PROGRAM_LONG_OPTIONS,
		{ "enforcer", required_argument, NULL, OPTION_ENFORCER },
		{ "events", required_argument, NULL, OPTION_EVENTS },
		{ "idle-exit", required_argument, NULL, OPTION_IDLE },
		{ "read-timeout", required_argument, NULL, OPTION_READ },
		{},
	};
	static struct settings settings;
	static struct program program;
	const struct program_options options = { "driver-overrided", table, usage, program_option, &program };
	const char *doing = "running";
	int r;

	program.service.settings = &settings;
	program.service.enforcer = ENFORCER_PATH;
	program.service.read_usec = READ_USEC_DEFAULT;
	program.idle_usec = IDLE_USEC_DEFAULT;
	r = program_options_read(&options, &settings, argc, argv);
	if (r != PROGRAM_RUNS)
		return r;
	if (optind < argc || program.idle_usec == 0 || program.service.read_usec == 0) {
		usage(stderr);
		return 2;
	}
	log_init("driver-overrided", LOG_TO_STDERR);
	if (settings_turned_off(&settings)) {
		log_line(LOG_NOTICE, "turned off by driver_overrides=off on the kernel command line");
		return 0;
	}
	(void)umask(022);
	r = service_start(&program, &doing);
	if (r >= 0) {
		doing = "running";
		r = sd_event_loop(program.service.event);
	}
	(void)sd_notify(0, "STOPPING=1");
	/* A positive one has been told where it was found. */
	if (r < 0)
		log_errno(LOG_ERR, r, "%s", doing);
	service_stop(&program);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
