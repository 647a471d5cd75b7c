/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The service as the verbs ask it: over the system's bus, that of another machine, or one that is named. */
#pragma once

#include "base/macro.h"
#include "cli/command-line.h"

#include <stdbool.h>
#include <systemd/sd-bus.h>

#define SERVICE_NAME "org.driveroverrides1"
#define SERVICE_ROOT "/org/driveroverrides1"
#define SERVICE_MANAGER "org.driveroverrides1.Manager"
#define SERVICE_DEVICE "org.driveroverrides1.Device"
#define SERVICE_GROUP "org.driveroverrides1.Group"

struct service_client {
	sd_bus *bus;
	sd_bus_error error; /* of the last call that failed */
	bool over_ssh;
};

/*
 * 0; -ENXIO: with a tree that --sysfs or a policy that --conf-dir gives, no service is asked, unless
 * --address says which; other negative errno: no bus.
 */
_must_check_ int service_client_open(struct service_client *c, const struct cli *cli);
void service_client_done(struct service_client *c);

/* Whether an error of opening or calling means that there is no service that could be asked. */
bool service_is_missing(const struct service_client *c, int r);

/*
 * Calls a method and waits for its answer; types and what follows as sd_bus_message_append(). 0, or negative
 * errno with c->error set.
 */
int service_call(struct service_client *c, sd_bus_message **ret, const char *path, const char *interface,
		 const char *member, const char *types, ...);
/* The same with a message that is made already, which stays the caller's. */
int service_call_message(struct service_client *c, sd_bus_message *m, sd_bus_message **ret);
/* A call of a method of the manager, to be filled in. 0 or negative errno. */
_must_check_ int service_message_new(struct service_client *c, sd_bus_message **ret, const char *member);

/*
 * From now on the handler is called for each signal of the service, and when the service comes or goes. 0 or
 * negative errno.
 */
_must_check_ int service_listen(struct service_client *c, sd_bus_message_handler_t handler, void *userdata);

/* The last part of the error's name, "InUse"; "": none. */
const char *service_error_name(const struct service_client *c);
/* What went wrong, for a person. */
const char *service_error_text(const struct service_client *c, int r);

static inline void message_unrefp(sd_bus_message **m)
{
	(void)sd_bus_message_unref(*m);
}
