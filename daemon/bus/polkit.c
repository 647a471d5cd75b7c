/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which caller may use which method; see polkit.h. Polkit is asked without waiting: the event loop delivers
 * the answer, so that a password dialog of one caller delays no other.
 */
#include "daemon/bus/polkit.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-bus.h>

#define ACTION_PREFIX BUS_NAME "."
#define ACTION_SET ACTION_PREFIX "set"
#define ACTION_FORCE ACTION_PREFIX "force"
#define POLKIT "org.freedesktop.PolicyKit1"
/* For an answer after a person has typed a password. */
#define ASK_PERSON_USEC (120U * UINT64_C(1000000))
/* For an answer that takes polkit a look at its rules, at most. */
#define ASK_USEC (5U * UINT64_C(1000000))

#define OPEN NULL

/* Methods that are not in this table cannot be called. */
static const struct method {
	const char *interface, *member;
	const char *action; /* OPEN: any user may call it; else root, and whom polkit allows */
} methods[] = {
	{ MANAGER_INTERFACE, "ListDevices", OPEN },
	{ MANAGER_INTERFACE, "GetDevice", OPEN },
	{ MANAGER_INTERFACE, "Explain", OPEN },
	{ MANAGER_INTERFACE, "ListTrials", OPEN },
	{ MANAGER_INTERFACE, "Confirm", ACTION_SET },
	{ MANAGER_INTERFACE, "SetOverride", ACTION_SET },
	{ MANAGER_INTERFACE, "SetOverrides", ACTION_SET },
	{ MANAGER_INTERFACE, "ClearOverride", ACTION_SET },
	{ MANAGER_INTERFACE, "Apply", ACTION_SET },
	{ MANAGER_INTERFACE, "ApplyAll", ACTION_SET },
	{ MANAGER_INTERFACE, "Release", ACTION_SET },
	{ MANAGER_INTERFACE, "ReleaseAll", ACTION_SET },
	{ MANAGER_INTERFACE, "Reload", ACTION_PREFIX "reload" },
	{ MANAGER_INTERFACE, "RetryPolicy", ACTION_PREFIX "reload" },
	{ DEVICE_INTERFACE, "SetOverride", ACTION_SET },
	{ DEVICE_INTERFACE, "ClearOverride", ACTION_SET },
	{ DEVICE_INTERFACE, "Apply", ACTION_SET },
	{ DEVICE_INTERFACE, "Release", ACTION_SET },
	{ "org.freedesktop.DBus.Properties", "Get", OPEN },
	{ "org.freedesktop.DBus.Properties", "GetAll", OPEN },
	/* Only LogControl1 has something to set, and sd-bus lets only root. */
	{ "org.freedesktop.DBus.Properties", "Set", OPEN },
	{ "org.freedesktop.DBus.Introspectable", "Introspect", OPEN },
	{ "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", OPEN },
	{ "org.freedesktop.DBus.Peer", "Ping", OPEN },
	{ "org.freedesktop.DBus.Peer", "GetMachineId", OPEN },
};

struct polkit_authorization {
	struct service *service;
	sd_bus_message *call;
	struct polkit_details details;
	const char *action; /* that polkit is asked about */
	sd_bus_slot *slot;
	void (*on_done)(void *userdata, const sd_bus_error *error);
	void *userdata;
};

static const struct method *method_find(sd_bus_message *m)
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
	if (!sd_bus_message_is_method_call(m, NULL, NULL) || method_find(m))
		return 0;
	/* For interfaces of sd-bus, its own error says better what is wrong with a call. */
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
	free(a);
	return NULL;
}

/* The last thing that happens to an authorization. */
static void polkit_authorization_finish(struct polkit_authorization *a, const sd_bus_error *error)
{
	void (*on_done)(void *userdata, const sd_bus_error *error) = a->on_done;
	void *userdata = a->userdata;

	a->on_done = NULL;
	on_done(userdata, error);
}

static void _printf_(3, 4)
	polkit_authorization_refuse(struct polkit_authorization *a, const char *name, const char *format, ...)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	va_list ap;

	va_start(ap, format);
	(void)sd_bus_error_setfv(&error, name, format, ap);
	va_end(ap);
	polkit_authorization_finish(a, &error);
	sd_bus_error_free(&error);
}

/* The message in the action file names the device, which not every call has, and some have many. */
static int polkit_append_message(sd_bus_message *m, const struct polkit_details *details, bool is_force,
				 bool is_set)
{
	char text[160];

	if (!is_force && !is_set)
		return 0;
	if (details->n_devices > 0)
		(void)snprintf(
			text, sizeof(text),
			is_force ? "Authentication is required to change the drivers of %zu devices even "
				   "if they are in use."
				 : "Authentication is required to choose the drivers of %zu devices.",
			details->n_devices);
	else if (!details->name)
		(void)snprintf(
			text, sizeof(text), "%s",
			is_force ? "Authentication is required to change the drivers of devices even if they "
				   "are in use."
				 : "Authentication is required to enforce the policy for drivers.");
	else
		return 0;
	return sd_bus_message_append(m, "{ss}", "polkit.message", text);
}

/* Rules of polkit compare strings, so each detail is always given. */
static int polkit_append_details(sd_bus_message *m, const struct polkit_authorization *a)
{
	bool is_force = streq(a->action, ACTION_FORCE);
	const struct {
		const char *key, *value;
	} details[] = {
		{ "bus", a->details.bus },
		{ "name", a->details.name },
		{ "modalias", a->details.modalias },
		{ "driver", a->details.driver },
		{ "group", a->details.group },
		{ "module", a->details.module },
		{ "by", a->details.by },
		{ "rebind", a->details.rebind },
		{ "runtime", a->details.runtime },
		{ "any-device", a->details.any_device },
		{ "absent", a->details.absent },
	};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ELEMENTSOF(details); i++)
		r = sd_bus_message_append(m, "{ss}", details[i].key,
					  details[i].value ? details[i].value : "");
	if (r >= 0)
		r = polkit_append_message(m, &a->details, is_force, streq(a->action, ACTION_SET));
	return r;
}

static int on_polkit_reply(sd_bus_message *m, void *userdata, sd_bus_error *error);

static int polkit_call(struct polkit_authorization *a, const char *action)
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
		r = polkit_append_details(m, a);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_append(m, "us", (uint32_t)interactive, "");
	if (r >= 0) {
		a->slot = sd_bus_slot_unref(a->slot);
		r = sd_bus_call_async(a->service->bus, &a->slot, m, on_polkit_reply, a,
				      interactive ? ASK_PERSON_USEC : ASK_USEC);
	}
	(void)sd_bus_message_unref(m);
	return r;
}

static int on_polkit_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct polkit_authorization *a = userdata;
	const sd_bus_error *failure = sd_bus_message_get_error(m);
	int authorized, challenge, r;

	(void)error;
	if (failure) {
		/* There is no polkit, or it failed: then only root may do this, and the caller is not root.
		 */
		log_line(LOG_DEBUG, "polkit: %s: %s", failure->name, failure->message);
		polkit_authorization_refuse(a, SD_BUS_ERROR_ACCESS_DENIED,
					    "only root may do this: polkit cannot be asked (%s)",
					    failure->message ? failure->message : failure->name);
		return 1;
	}
	/* The details at the end of the reply are not needed. */
	r = sd_bus_message_enter_container(m, 'r', "bba{ss}");
	if (r >= 0)
		r = sd_bus_message_read(m, "bb", &authorized, &challenge);
	if (r < 0)
		polkit_authorization_refuse(a, SD_BUS_ERROR_ACCESS_DENIED, "polkit's answer cannot be read");
	else if (authorized && a->details.force && !streq(a->action, ACTION_FORCE)) {
		r = polkit_call(a, ACTION_FORCE);
		if (r < 0)
			polkit_authorization_refuse(a, SD_BUS_ERROR_ACCESS_DENIED, "asking polkit: %s",
						    strerror(-r));
	} else if (authorized)
		polkit_authorization_finish(a, NULL);
	else if (challenge && sd_bus_message_get_allow_interactive_authorization(a->call) <= 0)
		polkit_authorization_refuse(
			a, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
			"%s needs a password, and the caller does not want to be asked for one", a->action);
	else
		polkit_authorization_refuse(a, SD_BUS_ERROR_ACCESS_DENIED, "not authorized for %s",
					    a->action);
	return 1;
}

int polkit_authorization_ask(struct service *s, sd_bus_message *call, const struct polkit_details *details,
			     void (*on_done)(void *userdata, const sd_bus_error *error), void *userdata,
			     struct polkit_authorization **ret)
{
	const struct method *method = method_find(call);
	struct polkit_authorization *a;
	int r;

	/* An open method needs no authorization, so this would be a mistake in the table. */
	if (!method || !method->action)
		return -EACCES;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->service = s;
	a->call = sd_bus_message_ref(call);
	a->details = *details;
	a->on_done = on_done;
	a->userdata = userdata;
	r = polkit_call(a, method->action);
	if (r < 0) {
		polkit_authorization_free(a);
		return r;
	}
	*ret = a;
	return 0;
}
