/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stands for polkitd on a private bus. It answers CheckAuthorization by the file argv[1], with lines of
 * "ACTION yes", "ACTION no", "ACTION challenge", "ACTION error", "ACTION wait" (never
 * answers), "ACTION held" (answers once the file says something else) or "ACTION late" (yes, after 14 s), and
 * writes each question to argv[2]: "ACTION bus=pci name=… driver=… interactive=0".
 */
#include "base/macro.h"
#include "base/text.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

static const char *rules, *log_path;

static void note(const char *text)
{
	_cleanup_(fclosep) FILE *f = fopen(log_path, "ae");

	if (!f || fprintf(f, "%s\n", text) < 0)
		exit(3);
}

static void find_rule(const char *action, char *buf, size_t size)
{
	_cleanup_(fclosep) FILE *f = fopen(rules, "re");
	char line[256];

	text_copy(buf, size, "no");
	while (f && fgets(line, sizeof(line), f)) {
		const char *rest = startswith(line, action);

		line[strcspn(line, "\n")] = '\0';
		if (rest && *rest == ' ')
			text_copy(buf, size, rest + 1);
	}
}

static int check(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *kind, *key, *sender, *action, *value;
	char text[1024], answer[32];
	uint32_t flags;
	size_t n;
	int r;

	(void)userdata;
	r = sd_bus_message_read(m, "(sa{sv})s", &kind, 1, &key, "s", &sender, &action);
	if (r < 0 || !streq(kind, "system-bus-name") || !streq(key, "name"))
		return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "no subject");
	n = (size_t)snprintf(text, sizeof(text), "%s", action);
	r = sd_bus_message_enter_container(m, 'a', "{ss}");
	while (r >= 0 && (r = sd_bus_message_read(m, "{ss}", &key, &value)) > 0)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %s=%s", key, value);
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	if (r >= 0)
		r = sd_bus_message_read(m, "us", &flags, &value);
	if (r < 0)
		return r;
	(void)snprintf(text + n, sizeof(text) - n, " interactive=%u", flags);
	note(text);

	for (find_rule(action, answer, sizeof(answer)); streq(answer, "held");
	     find_rule(action, answer, sizeof(answer)))
		(void)usleep(10000);
	if (streq(answer, "wait"))
		return 1;
	if (streq(answer, "late"))
		(void)sleep(14);
	if (streq(answer, "error"))
		return sd_bus_error_set(error, "org.freedesktop.PolicyKit1.Error.Failed", "out of order");
	return sd_bus_reply_method_return(m, "(bba{ss})",
					  (int)(streq(answer, "yes") || streq(answer, "late")),
					  (int)streq(answer, "challenge"), 1, "polkit.result", "told");
}

static const sd_bus_vtable vtable[] = { SD_BUS_VTABLE_START(0),
					SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})",
						      check, SD_BUS_VTABLE_UNPRIVILEGED),
					SD_BUS_VTABLE_END };

int main(int argc, char **argv)
{
	sd_bus *bus = NULL;
	int r;

	if (argc != 3)
		return 2;
	rules = argv[1];
	log_path = argv[2];
	r = sd_bus_open_system(&bus);
	if (r >= 0)
		r = sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/PolicyKit1/Authority",
					     "org.freedesktop.PolicyKit1.Authority", vtable, NULL);
	if (r >= 0)
		r = sd_bus_request_name(bus, "org.freedesktop.PolicyKit1", 0);
	while (r >= 0) {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
	}
	(void)sd_bus_unref(bus);
	return r == -ECONNRESET ? 0 : 1;
}
