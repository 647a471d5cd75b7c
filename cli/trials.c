/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The changes that are on trial; see trials.h. */
#include "cli/trials.h"
#include "base/text.h"

#include <errno.h>
#include <stddef.h>

/* Calls `each` for each trial until it returns something else than 0, which is returned. */
static int service_each_trial(struct service_client *c,
			      int (*each)(void *userdata, const char *bus, const char *name, uint64_t usec),
			      void *userdata)
{
	_cleanup_(message_unrefp) sd_bus_message *reply = NULL;
	const char *bus, *name, *driver;
	uint64_t usec;
	int r = service_call(c, &reply, SERVICE_ROOT, SERVICE_MANAGER, "ListTrials", NULL);

	if (r >= 0)
		r = sd_bus_message_enter_container(reply, 'a', "(ssst)");
	while (r >= 0 && (r = sd_bus_message_read(reply, "(ssst)", &bus, &name, &driver, &usec)) > 0) {
		r = each(userdata, bus, name, usec);
		if (r > 0)
			break;
	}
	return r;
}

struct trial_wanted {
	const char *bus, *name;
	uint64_t usec;
};

static int trial_compare(void *userdata, const char *bus, const char *name, uint64_t usec)
{
	struct trial_wanted *w = userdata;

	w->usec = usec;
	return streq(bus, w->bus) && streq(name, w->name);
}

int service_find_trial(struct service_client *c, const char *bus, const char *name, uint64_t *ret_usec)
{
	struct trial_wanted wanted = { bus, name, 0 };
	int r = service_each_trial(c, trial_compare, &wanted);

	if (r > 0)
		*ret_usec = wanted.usec;
	return r;
}

static int trial_add_name(void *userdata, const char *bus, const char *name, uint64_t usec)
{
	(void)usec;
	return device_names_add(userdata, bus, name);
}

int service_list_trials(struct service_client *c, struct device_names *names)
{
	return service_each_trial(c, trial_add_name, names);
}
