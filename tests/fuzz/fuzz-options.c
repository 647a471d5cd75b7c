/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any dictionary as the options of a method: each is taken as a whole or refused with a reason. A file of the
 * corpus is lines of "NAME TYPE VALUE"; its first byte says which options the method has.
 */
#include "base/macro.h"
#include "base/text.h"
#include "daemon/operation/operation-options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>

/* An option is read without regard to those before it but one of its own name, so more show nothing new. */
#define SIZE_MOST 4096U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* A message belongs to a bus that is started. This one has nobody at its other end, and sends nothing. */
static sd_bus *bus_without_peer(void)
{
	static sd_bus *bus;
	int fds[2];

	if (bus)
		return bus;
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
	check(sd_bus_new(&bus) >= 0 && sd_bus_set_fd(bus, fds[0], fds[0]) >= 0 && sd_bus_start(bus) >= 0);
	return bus;
}

/* The value of a type by its first letter, as a variant. Negative errno: text that is not valid for the type.
 */
static int append_value(sd_bus_message *m, const char *type, const char *value)
{
	int flag = *value == '1';

	switch (*type) {
	case 'b':
		return sd_bus_message_append(m, "v", "b", flag);
	case 'u':
		return sd_bus_message_append(m, "v", "u", (uint32_t)strlen(value));
	case 'o':
		return sd_bus_message_append(m, "v", "o", value);
	case 'v':
		return sd_bus_message_append(m, "v", "v", "s", value);
	case 'a':
		return sd_bus_message_append(m, "v", "as", 2, value, value);
	case '(':
		return sd_bus_message_append(m, "v", "(bs)", flag, value);
	default:
		return sd_bus_message_append(m, "v", "s", value);
	}
}

static int append_option(sd_bus_message *m, char *line)
{
	char *type = strchr(line, ' '), *value = type ? strchr(type + 1, ' ') : NULL;
	int r;

	if (!value)
		return 0;
	*type = *value = '\0';
	r = sd_bus_message_open_container(m, 'e', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", line);
	if (r >= 0)
		r = append_value(m, type + 1, value + 1);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_options(sd_bus_message *m, char *text)
{
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	for (char *line = text, *next; r >= 0 && line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		r = append_option(m, line);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* As a message that came from the bus: sealed, and read from its start. */
static int seal(sd_bus_message *m)
{
	int r = sd_bus_message_seal(m, 1, 0);

	return r < 0 ? r : sd_bus_message_rewind(m, true);
}

static void check_taken(const struct operation_options *o, unsigned allowed, sd_bus_message *m)
{
	static const char *const rebind[] = { "no", "safe", "force" };
	bool is_rebind = false;

	check((o->given & ~allowed) == 0);
	check(o->by < KEY_COUNT && (o->by == KEY_NAME || (o->given & OPTION_BY)));
	for (size_t i = 0; i < ELEMENTSOF(rebind); i++)
		is_rebind |= o->rebind != REBIND_UNSET && streq(rebind_to_string(o->rebind), rebind[i]);
	check(is_rebind == ((o->given & OPTION_REBIND) != 0));
	/* These are written to a file. */
	check((o->given & OPTION_GROUP) ? is_policy_value(o->group) : !*o->group);
	check((o->given & OPTION_MODULE) ? is_policy_value(o->module) : !*o->module);
	check((!o->runtime || (o->given & OPTION_RUNTIME)) && (!o->force || (o->given & OPTION_FORCE)) &&
	      (!o->dry_run || (o->given & OPTION_DRY_RUN)));
	check(sd_bus_message_at_end(m, true) > 0);
}

/* The reason must be text that the bus takes, whatever it quotes. */
static void check_refused(const sd_bus_error *error, bool is_untouched)
{
	check(sd_bus_error_is_set(error) && *error->message && is_untouched);
	check(utf8_prefix(error->message, strlen(error->message)) == strlen(error->message));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct operation_options o, untouched;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *m = NULL;
	char *text;
	int r;

	if (size == 0 || size > SIZE_MOST)
		return 0;
	text = calloc(1, size);
	check(text && sd_bus_message_new_method_call(bus_without_peer(), &m, "a.b", "/", "a.b", "C") >= 0);
	memcpy(text, data + 1, size - 1);
	if (append_options(m, text) < 0 || seal(m) < 0)
		goto end;

	memset(&o, 0xa5, sizeof(o));
	untouched = o;
	r = operation_options_read(m, data[0] & 0x7fU, &o, &error);
	if (r >= 0)
		check_taken(&o, data[0] & 0x7fU, m);
	else
		check_refused(&error, memcmp(&o, &untouched, sizeof(o)) == 0);
end:
	sd_bus_error_free(&error);
	(void)sd_bus_message_unref(m);
	free(text);
	return 0;
}
