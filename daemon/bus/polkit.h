/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may do what: the one list of all methods, and polkit, which is asked without waiting for it. What
 * comes back is a yes or a no to one question; whoever asked looks everything else up again.
 */
#pragma once

#include "daemon/service.h"

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

/*
 * For sd_bus_add_filter(): a call of a method of ours that is not in the list goes no further.
 */
int polkit_filter(sd_bus_message *m, void *userdata, sd_bus_error *error);

struct polkit_authorization;

struct polkit_details {
	const char *bus, *name, *driver; /* NULL: the call is about no such thing */
	bool force;			 /* .force is asked for, too */
};

/*
 * Who sends this call? known(userdata, uid, is_root); then polkit_authorization_ask() is next, or
 * polkit_authorization_free(). done(userdata, error): nobody can tell, so no.
 */
int polkit_authorization_start(struct service *s, sd_bus_message *call, const struct polkit_details *details,
			       void (*done)(void *userdata, const sd_bus_error *error),
			       void (*known)(void *userdata, uid_t uid, bool is_root), void *userdata,
			       struct polkit_authorization **ret);

/*
 * May somebody who is not root make the call? done(userdata, NULL): yes; else the error is the answer.
 * Without polkit on the bus the answer is no. A person may be asked for a password, if the call allows it.
 */
void polkit_authorization_ask(struct polkit_authorization *a);

/* done is not called any more. NULL is fine. */
struct polkit_authorization *polkit_authorization_free(struct polkit_authorization *a);
