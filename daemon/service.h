/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The service: one event loop, which never waits for the kernel. It reads the policy and the records, has
 * processes of its own look at devices (refresh.h), and starts the enforcer for whatever is to be done to
 * one. This is what its parts share; main.c puts them together.
 */
#pragma once

#include "daemon/table/device-table.h"
#include "policy/policy.h"
#include "state/boot-image.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <time.h>

/* For event sources that any user can keep busy: finished work, timers and what the kernel tells come first.
 */
#define PRIORITY_OTHERS (SD_EVENT_PRIORITY_NORMAL + 10)

#define BUS_NAME "org.driveroverrides1"
#define BUS_PATH "/org/driveroverrides1"
#define BUS_DEVICES BUS_PATH "/device"
#define BUS_GROUPS BUS_PATH "/group"
#define MANAGER_INTERFACE BUS_NAME ".Manager"
#define DEVICE_INTERFACE BUS_NAME ".Device"
#define GROUP_INTERFACE BUS_NAME ".Group"

struct answers;
struct callers;
struct device_signals;
struct groups;
struct limits;
struct metrics;
struct operations;
struct refresh_observer;
struct watch_override;
struct watch_use;
struct watch_vfio;
struct watch_writer;
struct reconciler;
struct rebind_queue;
struct task;
struct recovery;
struct refreshes;
struct watch_policy;
struct watch_records;

struct service {
	sd_event *event;
	sd_bus *bus;
	const struct settings *settings;
	const char *enforcer;
	uint64_t read_usec; /* how long a device may take to answer a read of its files */
	struct policy *policy;
	uint64_t generation, digest;					      /* of the policy in force */
	char boot_image[BOOT_SENTENCE_MAX], failed_policy[BOOT_SENTENCE_MAX]; /* see boot-policy.h */
	uint64_t decided_generation; /* of the one by which all devices have been decided */
	uint64_t aliases;	     /* version of the files in which `vfio` is looked up */
	struct devices devices;
	struct answers *answers;
	struct callers *callers;
	struct device_signals *device_signals;
	struct limits *limits;
	struct groups *groups;
	struct refreshes *refreshes;
	const struct refresh_observer *const *observers; /* NULL-terminated; see refresh-observer.h */
	struct watch_policy *watch_policy;
	struct watch_records *watch_records;
	struct watch_override *watch_override;
	struct watch_vfio *watch_vfio;
	struct watch_use *watch_use;
	struct watch_writer *watch_writer;
	struct rebind_queue *rebind_queue;
	struct {
		struct task *task; /* see rebind-standby.h; NULL: none waits */
		bool is_unknown;   /* the enforcer is of a version that does not wait */
	} rebind_standby;
	struct reconciler *reconciler;
	struct recovery *recoveries; /* devices that are stuck */
	struct operations *operations;
	sd_event_source *left_behind_soon; /* its number is told then, if it is another by then */
	unsigned left_behind_told;
	struct metrics *metrics;
	bool announced; /* the first look is over: objects may be seen, changes are signalled */
	uint64_t last_used;
};

/* The loop's clock: when the event that is being handled was noticed. */
static inline uint64_t service_now(const struct service *s)
{
	uint64_t usec = 0;

	(void)sd_event_now(s->event, CLOCK_MONOTONIC, &usec);
	return usec;
}
