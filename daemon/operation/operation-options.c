/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The a{sv} of the methods; see operation-options.h. */
#include "daemon/operation/operation-options.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/bus/errors.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define TRY_LEAST_USEC UINT64_C(1000000)
#define TRY_MOST_USEC (UINT64_C(86400) * 1000000U)

static const struct option_spec {
	const char *name, *type;
	enum operation_option option;
} option_specs[] = {
	{ "runtime", "b", OPTION_RUNTIME },
	{ "rebind", "s", OPTION_REBIND },
	{ "group", "s", OPTION_GROUP },
	{ "by", "s", OPTION_BY },
	{ "module", "s", OPTION_MODULE },
	{ "force", "b", OPTION_FORCE },
	{ "dry-run", "b", OPTION_DRY_RUN },
	{ "partial", "b", OPTION_PARTIAL },
	{ "try", "t", OPTION_TRY },
	{ "absent", "b", OPTION_ABSENT },
	{ "any-device", "b", OPTION_ANY_DEVICE },
};

static int option_refuse(sd_bus_error *reterr, const char *name, const char *takes)
{
	return sd_bus_error_setf(reterr, ERROR_INVALID, "option %s takes %s", name, takes);
}

static int option_take_name(sd_bus_error *reterr, const char *option, const char *value,
			    char to[static DRIVER_NAME_MAX + 1])
{
	if (!is_policy_value(value) || strlen(value) > DRIVER_NAME_MAX)
		return option_refuse(reterr, option, "a name of printable characters, 127 at most");
	text_copy(to, DRIVER_NAME_MAX + 1, value);
	return 0;
}

static int option_take_text(struct operation_options *o, const struct option_spec *spec, const char *value,
			    sd_bus_error *reterr)
{
	switch (spec->option) {
	case OPTION_REBIND:
		if (rebind_from_string(value, &o->rebind) >= 0)
			return 0;
		return option_refuse(reterr, spec->name, "no, safe or force");
	case OPTION_BY:
		if (drop_in_key_from_string(value, &o->by) >= 0)
			return 0;
		return option_refuse(reterr, spec->name, "name, path or id");
	case OPTION_GROUP:
		return option_take_name(reterr, spec->name, value, o->group);
	case OPTION_MODULE:
		return option_take_name(reterr, spec->name, value, o->module);
	case OPTION_RUNTIME:
	case OPTION_FORCE:
	case OPTION_DRY_RUN:
	case OPTION_PARTIAL:
	case OPTION_TRY:
	case OPTION_ABSENT:
	case OPTION_ANY_DEVICE:
		break;
	}
	return -EINVAL;
}

static int option_take_flag(struct operation_options *o, const struct option_spec *spec, bool flag)
{
	switch (spec->option) {
	case OPTION_RUNTIME:
		o->runtime = flag;
		return 0;
	case OPTION_FORCE:
		o->force = flag;
		return 0;
	case OPTION_PARTIAL:
		o->partial = flag;
		return 0;
	case OPTION_DRY_RUN:
		o->dry_run = flag;
		return 0;
	case OPTION_ABSENT:
		o->absent = flag;
		return 0;
	case OPTION_ANY_DEVICE:
		o->any_device = flag;
		return 0;
	case OPTION_REBIND:
	case OPTION_GROUP:
	case OPTION_BY:
	case OPTION_MODULE:
	case OPTION_TRY:
		break;
	}
	return -EINVAL;
}

static int option_take_time(struct operation_options *o, const struct option_spec *spec, uint64_t usec,
			    sd_bus_error *reterr)
{
	if (usec < TRY_LEAST_USEC || usec > TRY_MOST_USEC)
		return option_refuse(reterr, spec->name, "microseconds, of 1 second to 1 day");
	o->try_usec = usec;
	return 0;
}

static int option_take_value(sd_bus_message *m, struct operation_options *o, const struct option_spec *spec,
			     sd_bus_error *reterr)
{
	uint64_t number = 0;
	const char *text;
	int flag = 0, r;

	switch (spec->type[0]) {
	case 's':
		r = sd_bus_message_read(m, "s", &text);
		return r < 0 ? r : option_take_text(o, spec, text, reterr);
	case 't':
		r = sd_bus_message_read(m, "t", &number);
		return r < 0 ? r : option_take_time(o, spec, number, reterr);
	default:
		r = sd_bus_message_read(m, "b", &flag);
		return r < 0 ? r : option_take_flag(o, spec, flag);
	}
}

static int option_take(sd_bus_message *m, struct operation_options *o, const struct option_spec *spec,
		       sd_bus_error *reterr)
{
	int r = sd_bus_message_enter_container(m, 'v', spec->type);

	if (r < 0)
		return option_refuse(reterr, spec->name,
				     spec->type[0] == 'b'   ? "a boolean"
				     : spec->type[0] == 't' ? "a number of microseconds (t)"
							    : "a string");
	if (o->given & spec->option)
		return sd_bus_error_setf(reterr, ERROR_INVALID, "option %s is given twice", spec->name);
	o->given |= spec->option;
	r = option_take_value(m, o, spec, reterr);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

int operation_options_read(sd_bus_message *m, unsigned allowed, struct operation_options *ret,
			   sd_bus_error *reterr)
{
	struct operation_options o = {};
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		const struct option_spec *spec = NULL;
		const char *name;

		r = sd_bus_message_read(m, "s", &name);
		if (r < 0)
			return r;
		for (size_t i = 0; i < ELEMENTSOF(option_specs) && !spec; i++)
			if (streq(option_specs[i].name, name) && (allowed & option_specs[i].option))
				spec = &option_specs[i];
		if (!spec)
			return sd_bus_error_setf(reterr, ERROR_INVALID, "this method has no option %.*s",
						 (int)utf8_prefix(name, 64), name);
		r = option_take(m, &o, spec, reterr);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	/* Until it is confirmed, it need not be there after a boot. */
	o.runtime = o.runtime || (o.given & OPTION_TRY);
	*ret = o;
	return sd_bus_message_exit_container(m);
}

void operation_options_describe(const struct operation_options *o, bool changes_policy, bool makes_rule,
				struct polkit_details *ret)
{
	ret->group = o->group;
	ret->module = o->module;
	if (makes_rule || (o->given & OPTION_BY))
		ret->by = drop_in_key_to_string(o->by);
	if (changes_policy)
		ret->runtime = o->runtime ? "true" : "false";
	if (o->any_device)
		ret->any_device = "true";
	ret->force = o->force || o->rebind == REBIND_FORCE;
	if (o->rebind != REBIND_UNSET)
		ret->rebind = rebind_to_string(o->rebind);
	else if (o->force)
		ret->rebind = rebind_to_string(REBIND_FORCE);
}
