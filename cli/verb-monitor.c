/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * overridectl monitor: an event a line, as it happens, for as long as the bus is there: it goes on when the
 * service ends and comes back. With --json a document a line; with --exec a command for each event.
 */
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/monitor-event.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct monitor_run {
	const struct cli *cli;
	struct service_client client;
};

static int on_monitor_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct monitor_run *run = userdata;
	struct monitor_event event;

	(void)error;
	if (monitor_event_read(&event, m) > 0)
		monitor_event_report(&event, run->cli);
	monitor_event_done(&event);
	return 0;
}

/* What is the case when it begins: whoever reads it knows then that nothing is missed from here on. */
static int monitor_report_service(struct monitor_run *run)
{
	_cleanup_(message_unrefp) sd_bus_message *reply = NULL;
	int r = service_call(&run->client, &reply, SERVICE_ROOT, "org.freedesktop.DBus.Peer", "Ping", NULL);
	struct monitor_event event = { .kind = "service", .service = r >= 0 ? "up" : "down" };

	if (r < 0 && !service_is_missing(&run->client, r))
		return r;
	monitor_event_report(&event, run->cli);
	return 0;
}

int verb_monitor(const struct cli *cli, char *const *args, size_t n)
{
	struct monitor_run run = { .cli = cli };
	int r = change_open_or_fail(&run.client, cli);

	(void)args;
	(void)n;
	if (r != STATUS_DONE)
		return r;
	r = service_listen(&run.client, on_monitor_signal, &run);
	if (r >= 0)
		r = monitor_report_service(&run);
	while (r >= 0 && !ferror(stdout)) {
		r = sd_bus_process(run.client.bus, NULL);
		if (r == 0)
			r = sd_bus_wait(run.client.bus, UINT64_MAX);
		if (r == -EINTR)
			r = 0;
	}
	service_client_done(&run.client);
	return ferror(stdout) ? STATUS_DONE : cli_fail("the bus has gone: %s", strerror(-r));
}
