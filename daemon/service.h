/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The service: one event loop, which never waits for the kernel. It reads the policy and the records, lets
 * surveys (refresh.h) find out about devices, and starts the enforcer for whatever is to be done to one.
 */
#pragma once

#include "base/macro.h"
#include "daemon/table/device-table.h"
#include "policy/policy.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

/* Of event sources that any user can keep busy: whatever finished work, timers and the kernel tell comes
 * first. */
#define PRIORITY_OTHERS (SD_EVENT_PRIORITY_NORMAL + 10)

#define BUS_NAME "org.driveroverrides1"
#define BUS_PATH "/org/driveroverrides1"
#define BUS_DEVICES BUS_PATH "/device"
#define BUS_GROUPS BUS_PATH "/group"
#define MANAGER_INTERFACE BUS_NAME ".Manager"
#define DEVICE_INTERFACE BUS_NAME ".Device"
#define GROUP_INTERFACE BUS_NAME ".Group"

struct groups;
struct operations;
struct watch_override;
struct watch_vfio;
struct reconciler;
struct rebind_queue;
struct recovery;
struct refreshes;
struct watch_policy;

struct service {
	sd_event *event;
	sd_bus *bus;
	const struct settings *settings;
	const char *enforcer;
	struct policy *policy;
	uint64_t generation, digest; /* of the policy in force */
	uint64_t aliases;	     /* version of the files in which `vfio` is looked up */
	struct devices devices;
	struct groups *groups;
	struct refreshes *surveys;
	struct watch_policy *watches;
	struct watch_override *overrides;
	struct rebind_queue *rebind_queue;
	struct reconciler *reconciler;
	struct recovery *recoveries; /* devices that are stuck */
	struct operations *operations;
	struct watch_vfio *owners;
	bool announced; /* the first survey is through: objects may be seen, changes are signalled */
	uint64_t last_used;
};

/* What makes us look at a device, and so how much may follow from it. */
enum refresh_purpose {
	REFRESH_ONLY,	       /* only what it is like now */
	REFRESH_AND_RECONCILE, /* it changed, or policy did: a rule not tried yet is enforced */
	REFRESH_AND_RETRY,     /* it is new, we are, or somebody asked for it: even if it was tried before */
};

/*
 * Reads the policy again, and if it has changed, says so and has all devices looked at. 1: changed; 0: not;
 * negative errno: the one before stays in force.
 */
int service_load_policy(struct service *s);

/* A line on stderr, which is the journal's; priority as in syslog(3). */
void log_service(int priority, const char *format, ...) _printf_(2, 3);

/* The status line of `systemctl status`. */
void service_tell_status(const struct service *s);
