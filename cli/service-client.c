/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The service as the verbs ask it; see service-client.h. */
#include "cli/service-client.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The service answers within 20 s, but polkit may first ask a person for a password. */
#define CALL_USEC (300U * UINT64_C(1000000))

static int bus_open_address(const char *address, sd_bus **ret)
{
	sd_bus *bus = NULL;
	int r = sd_bus_new(&bus);

	if (r >= 0)
		r = sd_bus_set_address(bus, address);
	if (r >= 0)
		r = sd_bus_set_bus_client(bus, true);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0) {
		(void)sd_bus_unref(bus);
		return r;
	}
	*ret = bus;
	return 0;
}

int service_client_open(struct service_client *c, const struct cli *cli)
{
	int r;

	*c = (struct service_client){ .error = SD_BUS_ERROR_NULL, .over_ssh = cli->host && !cli->address };
	if (cli->address)
		r = bus_open_address(cli->address, &c->bus);
	else if (cli->settings.sysfs_given || (cli->settings.conf_dirs_given && !cli->host))
		return -ENXIO;
	else if (cli->host)
		r = sd_bus_open_system_remote(&c->bus, cli->host);
	else
		r = sd_bus_open_system(&c->bus);
	if (r < 0)
		return r == -ENXIO ? -EIO : r;
	(void)sd_bus_set_method_call_timeout(c->bus, CALL_USEC);
	/* Not needed over ssh, where it is answered there. */
	(void)sd_bus_set_allow_interactive_authorization(c->bus, true);
	return 0;
}

void service_client_done(struct service_client *c)
{
	sd_bus_error_free(&c->error);
	c->bus = sd_bus_flush_close_unref(c->bus);
}

bool service_is_missing(const struct service_client *c, int r)
{
	static const char *const errors[] = { SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER,
					      SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_DISCONNECTED };

	if (r >= 0)
		return false;
	if (!sd_bus_error_is_set(&c->error))
		return true; /* there is no bus */
	for (size_t i = 0; i < ELEMENTSOF(errors); i++)
		if (sd_bus_error_has_name(&c->error, errors[i]))
			return true;
	/* Why the bus could not start it. */
	return startswith(c->error.name, "org.freedesktop.DBus.Error.Spawn.") ||
	       startswith(c->error.name, "org.freedesktop.systemd1.");
}

int service_call_message(struct service_client *c, sd_bus_message *m, sd_bus_message **ret)
{
	sd_bus_error_free(&c->error);
	return sd_bus_call(c->bus, m, 0, &c->error, ret);
}

int service_message_new(struct service_client *c, sd_bus_message **ret, const char *member)
{
	return sd_bus_message_new_method_call(c->bus, ret, SERVICE_NAME, SERVICE_ROOT, SERVICE_MANAGER,
					      member);
}

int service_call(struct service_client *c, sd_bus_message **ret, const char *path, const char *interface,
		 const char *member, const char *types, ...)
{
	_cleanup_(message_unrefp) sd_bus_message *m = NULL;
	va_list ap;
	int r;

	sd_bus_error_free(&c->error);
	r = sd_bus_message_new_method_call(c->bus, &m, SERVICE_NAME, path, interface, member);
	if (r >= 0 && types) {
		va_start(ap, types);
		r = sd_bus_message_appendv(m, types, ap);
		va_end(ap);
	}
	if (r < 0) {
		(void)sd_bus_error_set_errno(&c->error, r);
		return r;
	}
	return service_call_message(c, m, ret);
}

int service_listen(struct service_client *c, sd_bus_message_handler_t handler, void *userdata)
{
	int r = sd_bus_add_match(c->bus, NULL, "type='signal',sender='" SERVICE_NAME "'", handler, userdata);

	if (r >= 0)
		r = sd_bus_add_match(c->bus, NULL,
				     "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',"
				     "arg0='" SERVICE_NAME "'",
				     handler, userdata);
	return r < 0 ? r : 0;
}

const char *service_error_name(const struct service_client *c)
{
	const char *dot = c->error.name ? strrchr(c->error.name, '.') : NULL;

	return dot ? dot + 1 : "";
}

/* Over ssh the end of that program is all that sd-bus sees: where it could not be run, nobody has said so. */
static bool error_is_of_ssh(const struct service_client *c, int r)
{
	return c->over_ssh && (r == -ENOTCONN || r == -ECONNRESET || r == -EPIPE);
}

const char *service_error_text(const struct service_client *c, int r)
{
	if (r == -ENXIO)
		return "no service is asked about a tree that --sysfs or a policy that --conf-dir gives, "
		       "unless --address says on which bus";
	if (sd_bus_error_has_name(&c->error, SD_BUS_ERROR_ACCESS_DENIED) ||
	    sd_bus_error_has_name(&c->error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED))
		return "not permitted: this needs root, or polkit's permission";
	if (sd_bus_error_has_name(&c->error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
	    sd_bus_error_has_name(&c->error, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
		return "the service driver-overrided does not run, and cannot be started";
	if (error_is_of_ssh(c, r))
		return "ssh has made no connection, or is not installed";
	if (c->error.message && *c->error.message)
		return c->error.message;
	if (!c->bus)
		return r == -ENOENT || r == -ECONNREFUSED ? "there is no system bus"
							  : "the system bus does not answer";
	return strerror(-r);
}
