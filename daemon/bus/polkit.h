/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may do what: the one list of all methods, and polkit, which is asked without waiting for it. What
 * comes back is a yes or a no to one question; whoever asked looks everything else up again.
 */
#pragma once

#include "daemon/service.h"

/*
 * For sd_bus_add_filter(): a call of a method of ours that is not in the list goes no further.
 */
int authorize_filter(sd_bus_message *m, void *userdata, sd_bus_error *error);

struct authorization;

struct authorization_details {
	const char *bus, *name, *driver; /* NULL: the call is about no such thing */
	bool force;			 /* .force is asked for, too */
};

/*
 * Who sends this call? known(userdata, uid, is_root); then authorization_ask() is next, or
 * authorization_free(). done(userdata, error): nobody can tell, so no.
 */
int authorize_start(struct service *s, sd_bus_message *call, const struct authorization_details *details,
	void (*done)(void *userdata, const sd_bus_error *error),
	void (*known)(void *userdata, uid_t uid, bool is_root), void *userdata, struct authorization **ret);

/*
 * May somebody who is not root make the call? done(userdata, NULL): yes; else the error is the answer.
 * Without polkit on the bus the answer is no. A person may be asked for a password, if the call allows it.
 */
void authorization_ask(struct authorization *a);

/* done is not called any more. NULL is fine. */
struct authorization *authorization_free(struct authorization *a);
