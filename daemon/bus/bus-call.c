/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the methods of several objects share; see bus-call.h. */
#include "daemon/bus/bus-call.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/bus/errors.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

int bus_check_device(struct service *s, const char *bus, const char *name, sd_bus_error *reterr)
{
	char path[PATH_MAX];

	if (devices_find(&s->devices, bus, name))
		return 0;
	if (!is_file_name(bus) || !is_file_name(name) ||
	    path_printf(path, sizeof(path), "%s/bus/%s/devices/%s/driver_override", s->settings->sysfs, bus,
			name) < 0)
		return sd_bus_error_setf(reterr, ERROR_NO_SUCH_DEVICE, "bus %s has no device %s", bus, name);
	/* A device that appeared a moment ago: udev has not processed its event yet. */
	if (access(path, F_OK) == 0)
		return 0;
	*strrchr(path, '/') = '\0';
	if (access(path, F_OK) == 0)
		return sd_bus_error_setf(reterr, ERROR_NOT_SUPPORTED,
					 "%s %s has no driver_override file, so its driver cannot be chosen",
					 bus, name);
	return sd_bus_error_setf(reterr, ERROR_NO_SUCH_DEVICE, "bus %s has no device %s", bus, name);
}

int bus_device_inode(const struct service *s, const char *bus, const char *name, uint64_t *ret)
{
	char path[PATH_MAX];
	struct stat st;

	if (path_printf(path, sizeof(path), "%s/bus/%s/devices/%s", s->settings->sysfs, bus, name) < 0)
		return -ENAMETOOLONG;
	if (stat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? -ENODEV : negative_errno();
	*ret = st.st_ino;
	return 0;
}

int bus_reply(sd_bus_message *call, int (*append)(sd_bus_message *reply, const void *userdata),
	      const void *userdata)
{
	sd_bus_message *reply = NULL;
	int r = sd_bus_message_new_method_return(call, &reply);

	if (r >= 0)
		r = append(reply, userdata);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	(void)sd_bus_message_unref(reply);
	return r < 0 ? r : 0;
}

/* A file's name, and what is quoted from a file, may be of any bytes. */
static int bus_append_error(sd_bus_message *m, const struct policy_error *e)
{
	_cleanup_(freep) char *file = utf8_from_bytes(e->file, strlen(e->file)),
			      *text = utf8_from_bytes(e->text, strlen(e->text));

	return file && text ? sd_bus_message_append(m, "(sus)", file, (uint32_t)e->line, text) : -ENOMEM;
}

int bus_append_errors(sd_bus_message *m, const struct policy *policy)
{
	int r = sd_bus_message_open_container(m, 'a', "(sus)");

	for (size_t i = 0; r >= 0 && i < policy->n_errors; i++)
		r = bus_append_error(m, &policy->errors[i]);
	return r < 0 ? r : sd_bus_message_close_container(m);
}
