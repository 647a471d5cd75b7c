/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may do what; see polkit.h. The caller's uid comes from the bus, polkit's verdict from polkit; both
 * by messages whose answers the loop brings, so that a password dialog holds up nobody else.
 */
#include "daemon/bus/polkit.h"
#include "base/macro.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <syslog.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define ACTION_PREFIX BUS_NAME "."
#define ACTION_SET ACTION_PREFIX "set"
#define ACTION_FORCE ACTION_PREFIX "force"
#define POLKIT "org.freedesktop.PolicyKit1"
/* A person types a password. */
#define ASK_PERSON_USEC (120U * UINT64_C(1000000))
/* polkit knows, or looks at its rules. */
#define ASK_USEC (5U * UINT64_C(1000000))

#define OPEN NULL

/* What is not in here, nobody may call. */
static const struct listed {
	const char *interface, *member;
	const char *action; /* OPEN: everyone may; else root, and whom polkit lets */
} methods[] = {
	{ MANAGER_INTERFACE, "ListDevices", OPEN },
	{ MANAGER_INTERFACE, "GetDevice", OPEN },
	{ MANAGER_INTERFACE, "Explain", OPEN },
	{ MANAGER_INTERFACE, "SetOverride", ACTION_SET },
	{ MANAGER_INTERFACE, "ClearOverride", ACTION_SET },
	{ MANAGER_INTERFACE, "Apply", ACTION_SET },
	{ MANAGER_INTERFACE, "ApplyAll", ACTION_SET },
	{ MANAGER_INTERFACE, "Reload", ACTION_PREFIX "reload" },
	{ DEVICE_INTERFACE, "SetOverride", ACTION_SET },
	{ DEVICE_INTERFACE, "ClearOverride", ACTION_SET },
	{ DEVICE_INTERFACE, "Apply", ACTION_SET },
	{ "org.freedesktop.DBus.Properties", "Get", OPEN },
	{ "org.freedesktop.DBus.Properties", "GetAll", OPEN },
	{ "org.freedesktop.DBus.Introspectable", "Introspect", OPEN },
	{ "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", OPEN },
	{ "org.freedesktop.DBus.Peer", "Ping", OPEN },
	{ "org.freedesktop.DBus.Peer", "GetMachineId", OPEN },
};

struct polkit_authorization {
	struct service *service;
	sd_bus_message *call;
	char *bus, *name, *driver;
	const char *action; /* that is being asked for */
	bool force;
	sd_bus_slot *slot;
	void (*done)(void *userdata, const sd_bus_error *error);
	void (*known)(void *userdata, uid_t uid, bool is_root);
	void *userdata;
};

static const struct listed *find(sd_bus_message *m)
{
	const char *interface = sd_bus_message_get_interface(m), *member = sd_bus_message_get_member(m);

	for (size_t i = 0; interface && member && i < ELEMENTSOF(methods); i++)
		if (streq(methods[i].member, member) && streq(methods[i].interface, interface))
			return &methods[i];
	return NULL;
}

int polkit_filter(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *interface = sd_bus_message_get_interface(m);

	(void)userdata;
	if (!sd_bus_message_is_method_call(m, NULL, NULL) || find(m))
		return 0;
	/* sd-bus says better than we what is wrong with a method that does not exist. */
	if (interface && !startswith(interface, BUS_NAME) &&
	    !streq(interface, "org.freedesktop.DBus.Properties"))
		return 0;
	return sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED, "%s.%s may not be called",
				 interface ? interface : "(no interface)", sd_bus_message_get_member(m));
}

struct polkit_authorization *polkit_authorization_free(struct polkit_authorization *a)
{
	if (!a)
		return NULL;
	(void)sd_bus_slot_unref(a->slot);
	(void)sd_bus_message_unref(a->call);
	free(a->bus);
	free(a->name);
	free(a->driver);
	free(a);
	return NULL;
}

/* The last thing that happens to an authorization. */
static void answer(struct polkit_authorization *a, const sd_bus_error *error)
{
	void (*done)(void *userdata, const sd_bus_error *error) = a->done;
	void *userdata = a->userdata;

	a->done = NULL;
	done(userdata, error);
}

static void _printf_(3, 4) refuse(struct polkit_authorization *a, const char *name, const char *format, ...)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	va_list ap;

	va_start(ap, format);
	(void)sd_bus_error_setfv(&error, name, format, ap);
	va_end(ap);
	answer(a, &error);
	sd_bus_error_free(&error);
}

/* Rules of polkit's compare strings, so each is always there. */
static int append_details(sd_bus_message *m, const struct polkit_authorization *a)
{
	bool is_force = streq(a->action, ACTION_FORCE);
	int r = sd_bus_message_append(m, "{ss}{ss}{ss}", "bus", a->bus ? a->bus : "", "name",
				      a->name ? a->name : "", "driver", a->driver ? a->driver : "");

	/* The message of the action names the device. */
	if (r >= 0 && !a->name && (is_force || streq(a->action, ACTION_SET)))
		r = sd_bus_message_append(
			m, "{ss}", "polkit.message",
			is_force ? "Authentication is required to change the drivers of devices even if they "
				   "are in use."
				 : "Authentication is required to enforce the policy for drivers.");
	return r;
}

static int on_polkit(sd_bus_message *m, void *userdata, sd_bus_error *error);

static int ask_polkit(struct polkit_authorization *a, const char *action)
{
	bool interactive = sd_bus_message_get_allow_interactive_authorization(a->call) > 0;
	sd_bus_message *m = NULL;
	int r;

	a->action = action;
	r = sd_bus_message_new_method_call(a->service->bus, &m, POLKIT,
					   "/org/freedesktop/PolicyKit1/Authority",
					   "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
	if (r >= 0)
		r = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s",
					  sd_bus_message_get_sender(a->call), action);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "{ss}");
	if (r >= 0)
		r = append_details(m, a);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_append(m, "us", (uint32_t)interactive, "");
	if (r >= 0) {
		a->slot = sd_bus_slot_unref(a->slot);
		r = sd_bus_call_async(a->service->bus, &a->slot, m, on_polkit, a,
				      interactive ? ASK_PERSON_USEC : ASK_USEC);
	}
	(void)sd_bus_message_unref(m);
	return r;
}

static int on_polkit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct polkit_authorization *a = userdata;
	const sd_bus_error *failure = sd_bus_message_get_error(m);
	int authorized, challenge, r;

	(void)error;
	if (failure) {
		/* There is none, or it cannot tell: only root may, and this is not root. */
		log_service(LOG_DEBUG, "polkit: %s: %s", failure->name, failure->message);
		refuse(a, SD_BUS_ERROR_ACCESS_DENIED, "only root may do this: polkit cannot be asked (%s)",
		       failure->message ? failure->message : failure->name);
		return 1;
	}
	/* The details behind are of no interest. */
	r = sd_bus_message_enter_container(m, 'r', "bba{ss}");
	if (r >= 0)
		r = sd_bus_message_read(m, "bb", &authorized, &challenge);
	if (r < 0)
		refuse(a, SD_BUS_ERROR_ACCESS_DENIED, "polkit's answer cannot be read");
	else if (authorized && a->force && !streq(a->action, ACTION_FORCE)) {
		r = ask_polkit(a, ACTION_FORCE);
		if (r < 0)
			refuse(a, SD_BUS_ERROR_ACCESS_DENIED, "asking polkit: %s", strerror(-r));
	} else if (authorized)
		answer(a, NULL);
	else if (challenge && sd_bus_message_get_allow_interactive_authorization(a->call) <= 0)
		refuse(a, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
		       "%s needs a password, and the call does not allow to ask for one", a->action);
	else
		refuse(a, SD_BUS_ERROR_ACCESS_DENIED, "not authorized for %s", a->action);
	return 1;
}

static int on_uid(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct polkit_authorization *a = userdata;
	uint32_t uid;

	(void)error;
	if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "u", &uid) < 0) {
		refuse(a, SD_BUS_ERROR_ACCESS_DENIED, "the bus does not say who calls");
		return 1;
	}
	a->known(a->userdata, uid, uid == 0 || uid == geteuid());
	return 1;
}

void polkit_authorization_ask(struct polkit_authorization *a)
{
	int r = ask_polkit(a, find(a->call)->action);

	if (r < 0)
		refuse(a, SD_BUS_ERROR_ACCESS_DENIED, "asking polkit: %s", strerror(-r));
}

static int copy(const char *s, char **ret)
{
	*ret = s ? strdup(s) : NULL;
	return s && !*ret ? -ENOMEM : 0;
}

int polkit_authorization_start(struct service *s, sd_bus_message *call, const struct polkit_details *details,
			       void (*done)(void *userdata, const sd_bus_error *error),
			       void (*known)(void *userdata, uid_t uid, bool is_root), void *userdata,
			       struct polkit_authorization **ret)
{
	const struct listed *listed = find(call);
	struct polkit_authorization *a;
	int r;

	/* Nobody asks for what needs no leave: that would be a mistake in the list. */
	if (!listed || !listed->action || !sd_bus_message_get_sender(call))
		return -EACCES;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->service = s;
	a->call = sd_bus_message_ref(call);
	a->force = details->force;
	a->done = done;
	a->known = known;
	a->userdata = userdata;
	r = copy(details->bus, &a->bus);
	if (r >= 0)
		r = copy(details->name, &a->name);
	if (r >= 0)
		r = copy(details->driver, &a->driver);
	if (r >= 0)
		r = sd_bus_call_method_async(s->bus, &a->slot, "org.freedesktop.DBus",
					     "/org/freedesktop/DBus", "org.freedesktop.DBus",
					     "GetConnectionUnixUser", on_uid, a, "s",
					     sd_bus_message_get_sender(call));
	if (r < 0) {
		polkit_authorization_free(a);
		return r;
	}
	*ret = a;
	return 0;
}
