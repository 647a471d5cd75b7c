/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a call says: its changes and its options, which are read and checked as a whole; see operation.h. */
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/bus/bus-call.h"
#include "daemon/bus/errors.h"
#include "daemon/operation/operation-steps.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

/* So many changes may one call ask for. A device has fewer virtual functions. */
#define CHANGES_MAX 256U

static const unsigned options_allowed[] = {
	[OPERATION_SET] = OPTION_RUNTIME | OPTION_REBIND | OPTION_GROUP | OPTION_BY | OPTION_MODULE |
			  OPTION_FORCE | OPTION_DRY_RUN | OPTION_TRY | OPTION_ABSENT | OPTION_ANY_DEVICE,
	[OPERATION_SET_MANY] = OPTION_PARTIAL | OPTION_DRY_RUN,
	[OPERATION_CLEAR] =
		OPTION_RUNTIME | OPTION_REBIND | OPTION_BY | OPTION_FORCE | OPTION_DRY_RUN | OPTION_ABSENT,
	[OPERATION_APPLY] = OPTION_REBIND | OPTION_FORCE | OPTION_DRY_RUN,
	[OPERATION_APPLY_ALL] = OPTION_REBIND | OPTION_FORCE | OPTION_DRY_RUN,
	[OPERATION_CONFIRM] = OPTION_FORCE | OPTION_DRY_RUN,
	[OPERATION_RELEASE] = OPTION_FORCE | OPTION_DRY_RUN,
	[OPERATION_RELEASE_ALL] = OPTION_FORCE | OPTION_DRY_RUN,
};

/* A device that is not there is known by its name alone. */
static void change_take_absent(struct device_change *c)
{
	const struct operation_options *p = &c->options;

	c->is_absent = true;
	if (!is_file_name(c->bus) || !is_file_name(c->name))
		return;
	sd_bus_error_free(&c->error);
	if (((p->given & OPTION_BY) && p->by != KEY_NAME) || (p->given & OPTION_TRY))
		(void)sd_bus_error_setf(&c->error, ERROR_INVALID, "%s %s is absent: it %s", c->bus, c->name,
					p->given & OPTION_TRY ? "cannot be tried"
							      : "can only be named by its name");
}

/* Which device is meant: the one that has the name now. */
static void change_take_device(struct device_change *c)
{
	struct service *s = c->operation->service;

	if (sd_bus_error_is_set(&c->error))
		return;
	if (bus_check_device(s, c->bus, c->name, &c->error) < 0) {
		if (c->options.absent && streq(c->error.name, ERROR_NO_SUCH_DEVICE))
			change_take_absent(c);
		return;
	}
	if (bus_device_inode(s, c->bus, c->name, &c->inode) < 0)
		(void)sd_bus_error_setf(&c->error, ERROR_NO_SUCH_DEVICE, "%s %s has gone", c->bus, c->name);
}

/*
 * Policy files, the details that polkit is told and the journal have lines, so a name may have no line break,
 * nor another control character. All others can be written into a policy file; see drop_in_text().
 */
static bool has_control_character(const char *name)
{
	for (const char *s = name; *s; s++)
		if ((unsigned char)*s < ' ' || *s == '\x7f')
			return true;
	return false;
}

static int operation_add_change(struct operation *o, const char *bus, const char *name, const char *driver)
{
	struct device_change *v, *c;

	/* Nothing points to a change yet. */
	v = reallocarray(o->changes, o->n_changes + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	o->changes = v;
	c = &v[o->n_changes++];
	*c = (struct device_change){ .operation = o,
				     .bus = strdup(bus),
				     .name = strdup(name),
				     .driver = driver ? strdup(driver) : NULL };
	if (!c->bus || !c->name || (driver && !c->driver))
		return -ENOMEM;
	if (has_control_character(bus) || has_control_character(name))
		(void)sd_bus_error_set(&c->error, ERROR_INVALID,
				       "the name of the bus or of the device has control characters");
	else if (driver && (!is_policy_value(driver) || !driver_name_is_valid(driver)))
		(void)sd_bus_error_setf(&c->error, ERROR_INVALID,
					"%.*s is no driver's name, and not none, default or vfio",
					(int)utf8_prefix(driver, 130), driver);
	return 0;
}

/* One change of SetOverrides. 1; 0: there are no more; negative errno. */
static int operation_read_change(struct operation *o, sd_bus_error *reterr)
{
	const char *bus, *name, *driver;
	int r = sd_bus_message_enter_container(o->call, 'r', "sssa{sv}");

	if (r > 0)
		r = sd_bus_message_read(o->call, "sss", &bus, &name, &driver);
	if (r <= 0)
		return r;
	if (o->n_changes == CHANGES_MAX)
		return sd_bus_error_setf(reterr, ERROR_INVALID, "there are more than %u changes",
					 CHANGES_MAX);
	if (operation_is_about(o, bus, name))
		return sd_bus_error_setf(reterr, ERROR_INVALID, "%.*s %.*s is named twice",
					 (int)utf8_prefix(bus, 64), bus, (int)utf8_prefix(name, 256), name);
	r = operation_add_change(o, bus, name, driver);
	if (r >= 0)
		r = operation_options_read(o->call, options_allowed[OPERATION_SET] & ~OPTION_DRY_RUN,
					   &o->changes[o->n_changes - 1].options, reterr);
	return r < 0 ? r : sd_bus_message_exit_container(o->call) < 0 ? -EBADMSG : 1;
}

static int operation_read_changes(struct operation *o, sd_bus_error *reterr)
{
	int r = sd_bus_message_enter_container(o->call, 'a', "(sssa{sv})");

	while (r > 0)
		r = operation_read_change(o, reterr);
	if (r >= 0)
		r = sd_bus_message_exit_container(o->call);
	if (r >= 0)
		r = operation_options_read(o->call, options_allowed[o->kind], &o->options, reterr);
	return r;
}

static int operation_read_one_change(struct operation *o, const char *bus, const char *name,
				     sd_bus_error *reterr)
{
	const char *driver = NULL;
	int r = o->kind == OPERATION_SET ? sd_bus_message_read(o->call, "s", &driver) : 0;

	if (r >= 0)
		r = operation_add_change(o, bus, name, driver);
	if (r >= 0 && sd_bus_error_is_set(&o->changes[0].error))
		return 0;
	if (r >= 0)
		r = operation_options_read(o->call, options_allowed[o->kind], &o->options, reterr);
	if (r >= 0)
		o->changes[0].options = o->options;
	return r;
}

/* From here on it is a call that sets the same as the one that was on trial, to last. */
static int operation_read_confirm(struct operation *o, const char *bus, const char *name,
				  sd_bus_error *reterr)
{
	int r = operation_read_one_change(o, bus, name, reterr);

	if (r < 0 || sd_bus_error_is_set(&o->changes[0].error))
		return r;
	o->kind = OPERATION_SET;
	return trial_plan_confirm(o->service->settings->state_dir, bus, name, &o->changes[0].options,
				  &o->changes[0].driver, reterr);
}

int operation_read_arguments(struct operation *o, const char *bus, const char *name, sd_bus_error *reterr)
{
	int r = 0;

	switch (o->kind) {
	case OPERATION_SET:
	case OPERATION_CLEAR:
	case OPERATION_APPLY:
	case OPERATION_RELEASE:
		r = operation_read_one_change(o, bus, name, reterr);
		break;
	case OPERATION_CONFIRM:
		r = operation_read_confirm(o, bus, name, reterr);
		break;
	case OPERATION_SET_MANY:
		r = operation_read_changes(o, reterr);
		break;
	case OPERATION_APPLY_ALL:
	case OPERATION_RELEASE_ALL:
		r = operation_options_read(o->call, options_allowed[o->kind], &o->options, reterr);
		break;
	case OPERATION_RELOAD:
	case OPERATION_RETRY:
		break;
	}
	for (size_t i = 0; r >= 0 && i < o->n_changes; i++)
		change_take_device(&o->changes[i]);
	return r;
}
