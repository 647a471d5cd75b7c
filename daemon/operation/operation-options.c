/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The a{sv} of the methods; see operation-options.h. */
#include "daemon/bus/bus.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/operation/operation-options.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const struct known {
	const char *name, *type;
	enum call_option option;
} known[] = {
	{ "runtime", "b", OPTION_RUNTIME }, { "rebind", "s", OPTION_REBIND }, { "group", "s", OPTION_GROUP },
	{ "by", "s", OPTION_BY },	    { "module", "s", OPTION_MODULE }, { "force", "b", OPTION_FORCE },
	{ "dry-run", "b", OPTION_DRY_RUN },
};

const char *drop_in_key_to_string(enum drop_in_key by)
{
	static const char *const text[] = { [KEY_NAME] = "name", [KEY_PATH] = "path", [KEY_ID] = "id" };

	return text[by];
}

bool is_value(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || s[0] == ' ' || s[n - 1] == ' ')
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] < ' ' || s[i] > '~')
			return false;
	return true;
}

static int invalid(sd_bus_error *error, const char *name, const char *takes)
{
	return sd_bus_error_setf(error, ERROR_INVALID, "option %s takes %s", name, takes);
}

static int take_name(sd_bus_error *error, const char *option, const char *value,
		     char to[static DRIVER_NAME_MAX + 1])
{
	if (!is_value(value) || strlen(value) > DRIVER_NAME_MAX)
		return invalid(error, option, "a name of printable characters, 127 at most");
	text_copy(to, DRIVER_NAME_MAX + 1, value);
	return 0;
}

static int take_text(struct options *o, const struct known *k, const char *value, sd_bus_error *error)
{
	switch (k->option) {
	case OPTION_REBIND:
		for (enum rebind i = REBIND_NO; i <= REBIND_FORCE; i++)
			if (streq(value, rebind_to_string(i))) {
				o->rebind = i;
				return 0;
			}
		return invalid(error, k->name, "no, safe or force");
	case OPTION_BY:
		for (enum drop_in_key i = KEY_NAME; i < BY_COUNT; i++)
			if (streq(value, drop_in_key_to_string(i))) {
				o->by = i;
				return 0;
			}
		return invalid(error, k->name, "name, path or id");
	case OPTION_GROUP:
		return take_name(error, k->name, value, o->group);
	case OPTION_MODULE:
		return take_name(error, k->name, value, o->module);
	case OPTION_RUNTIME:
	case OPTION_FORCE:
	case OPTION_DRY_RUN:
		break;
	}
	return -EINVAL;
}

static int take(sd_bus_message *m, struct options *o, const struct known *k, sd_bus_error *error)
{
	const char *text = "";
	int flag = 0, r;

	r = sd_bus_message_enter_container(m, 'v', k->type);
	if (r < 0)
		return invalid(error, k->name, k->type[0] == 'b' ? "a boolean" : "a string");
	r = k->type[0] == 'b' ? sd_bus_message_read(m, "b", &flag) : sd_bus_message_read(m, "s", &text);
	if (r < 0)
		return r;
	if (o->given & k->option)
		return sd_bus_error_setf(error, ERROR_INVALID, "option %s is given twice", k->name);
	o->given |= k->option;
	if (k->type[0] == 's')
		r = take_text(o, k, text, error);
	else if (k->option == OPTION_RUNTIME)
		o->runtime = flag;
	else if (k->option == OPTION_FORCE)
		o->force = flag;
	else
		o->dry_run = flag;
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

int options_read(sd_bus_message *m, unsigned allowed, struct options *ret, sd_bus_error *error)
{
	struct options o = {};
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		const struct known *k = NULL;
		const char *name;

		r = sd_bus_message_read(m, "s", &name);
		if (r < 0)
			return r;
		for (size_t i = 0; i < ELEMENTSOF(known) && !k; i++)
			if (streq(known[i].name, name) && (allowed & known[i].option))
				k = &known[i];
		if (!k)
			return sd_bus_error_setf(error, ERROR_INVALID, "this method has no option %.*s",
						 (int)utf8_prefix(name, 64), name);
		r = take(m, &o, k, error);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret = o;
	return sd_bus_message_exit_container(m);
}
