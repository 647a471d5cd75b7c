/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which caller may use which method: the one table of all methods, and polkit. The answer to a question is
 * yes or no; time has passed until it comes, so whoever asked has to look everything else up again.
 */
#pragma once

#include "daemon/service.h"

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-bus.h>

/* For sd_bus_add_filter(): refuses calls of methods of ours that are not in the table. */
int polkit_filter(sd_bus_message *m, void *userdata, sd_bus_error *error);

struct polkit_authorization;

/* How many texts these are. */
#define POLKIT_DETAILS 11U

/* Whatever the call says, so that a rule of polkit can tell one call from another. NULL: nothing of the kind.
 */
struct polkit_details {
	const char *bus, *name, *modalias;
	const char *driver, *group, *module, *by, *rebind, *runtime, *any_device, *absent;
	bool force;	  /* the action .force has to be allowed, too */
	size_t n_devices; /* of SetOverrides, whose details are lists; 0: of another call */
};

/*
 * Asks polkit whether the caller, who is not root, may make the call; then calls on_done(userdata, NULL) for
 * yes, else with the error that answers the call. Without polkit on the bus the answer is no. If the call
 * allows it, polkit may ask a person for a password. The texts have to live as long as the authorization. 0
 * or negative errno.
 */
int polkit_authorization_ask(struct service *s, sd_bus_message *call, const struct polkit_details *details,
			     void (*on_done)(void *userdata, const sd_bus_error *error), void *userdata,
			     struct polkit_authorization **ret);

/* No function is called any more. NULL is fine. */
struct polkit_authorization *polkit_authorization_free(struct polkit_authorization *a);
