/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the service adds to an explanation; see explain-service.h. */
#include "cli/explain-service.h"
#include "base/macro.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/device-rows.h"
#include "cli/json-output.h"

#include <errno.h>
#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

static void explain_say_errors(struct service_client *c)
{
	_cleanup_(message_unrefp) sd_bus_message *reply = NULL;
	const char *file, *text;
	uint32_t line;

	/* Without them the explanation is as right. */
	if (sd_bus_get_property(c->bus, SERVICE_NAME, SERVICE_ROOT, SERVICE_MANAGER, "Errors", NULL, &reply,
				"a(sus)") < 0 ||
	    sd_bus_message_enter_container(reply, 'a', "(sus)") < 0)
		return;
	while (sd_bus_message_read(reply, "(sus)", &file, &line, &text) > 0)
		(void)cli_fail("%s:%u: %s", file, line, text);
}

int explain_ask_service(struct service_client *c, const struct device_name *device, struct json_object **ret)
{
	_cleanup_(message_unrefp) sd_bus_message *reply = NULL;
	const char *text;
	int r = service_call(c, &reply, SERVICE_ROOT, SERVICE_MANAGER, "Explain", "ss", device->bus,
			     device->name);

	if (r >= 0)
		r = sd_bus_message_read(reply, "s", &text);
	if (r < 0)
		return r;
	*ret = json_tokener_parse(text);
	if (!json_object_is_type(*ret, json_type_object))
		return -EBADMSG;
	explain_say_errors(c);
	return 0;
}

/* A dry run that takes the device from its driver, whatever policy says, is refused for who uses it. */
static int explain_add_users(struct service_client *c, const struct device_name *device,
			     struct json_object *o)
{
	_cleanup_(message_unrefp) sd_bus_message *reply = NULL;
	int r = 0;

	if (*json_output_get(o, "driver"))
		r = service_call(c, &reply, SERVICE_ROOT, SERVICE_MANAGER, "SetOverride", "sssa{sv}",
				 device->bus, device->name, "none", 2, "dry-run", "b", 1, "runtime", "b", 1);
	if (service_is_missing(c, r))
		return r;
	if (r >= 0)
		json_output_add(o, "in_use", "");
	else if (streq(service_error_name(c), "InUse"))
		json_output_add(o, "in_use", service_error_text(c, r));
	else /* so that nobody has looked */
		json_output_add(o, "in_use_unknown", service_error_text(c, r));
	return 0;
}

static void apply_set_text(struct json_object *o, const char *state, const char *reason, char *buf,
			   size_t size)
{
	const char *driver = json_output_get(o, "driver"), *decision = json_output_get(o, "decision");
	const bool is_none = streq(decision, "none");

	if (streq(state, "unmanaged"))
		(void)snprintf(buf, size, "would do nothing: no rule decides about it");
	else if (!streq(state, "enforced") && !streq(state, "held"))
		(void)snprintf(buf, size, "would leave it %s%s%s", state, *reason ? ": " : "", reason);
	else if (streq(driver, is_none ? "" : decision))
		(void)snprintf(buf, size, "would do nothing: it is as decided");
	else if (streq(decision, "default"))
		(void)snprintf(buf, size, "would leave it to its own driver");
	else
		(void)snprintf(buf, size, "would give it %s in place of %s", is_none ? "no driver" : decision,
			       *driver ? driver : "none");
}

/* A blocked device's reason is on the bus. */
static void apply_find_reason(struct service_client *c, const struct device_name *device, char *buf,
			      size_t size)
{
	_cleanup_(device_rows_done) struct device_rows rows = {};

	buf[0] = '\0';
	if (device_rows_read_one(&rows, c, device->bus, device->name) >= 0)
		text_copy(buf, size, rows.v[rows.n - 1].field[ROW_REASON]);
}

static int explain_add_apply(struct service_client *c, const struct device_name *device,
			     struct json_object *o)
{
	_cleanup_(message_unrefp) sd_bus_message *reply = NULL;
	struct json_object *apply;
	char text[1024], reason[640];
	const char *state;
	int r = service_call(c, &reply, SERVICE_ROOT, SERVICE_MANAGER, "Apply", "ssa{sv}", device->bus,
			     device->name, 1, "dry-run", "b", 1);

	if (service_is_missing(c, r))
		return r;
	if (r >= 0)
		r = sd_bus_message_read(reply, "s", &state);
	if (r < 0) {
		state = "refused";
		(void)snprintf(text, sizeof(text), "would be refused: %s", service_error_text(c, r));
	} else {
		apply_find_reason(c, device, reason, sizeof(reason));
		apply_set_text(o, state, reason, text, sizeof(text));
	}
	apply = json_object_new_object();
	json_output_add(apply, "state", state);
	json_output_add(apply, "text", text);
	(void)json_object_object_add(o, "apply", apply);
	return 0;
}

int explain_add_now(struct service_client *c, const struct device_name *device, struct json_object *o)
{
	int r = explain_add_users(c, device, o);

	return r < 0 ? r : explain_add_apply(c, device, o);
}
