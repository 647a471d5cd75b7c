/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An event of the service, as `monitor` shows it. */
#pragma once

#include "cli/command-line.h"
#include "cli/device-rows.h"

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

struct monitor_event {
	const char *kind;    /* "service", "policy", "added", "removed", "changed" */
	const char *service; /* "up", "down"; NULL: of other kinds */
	char *bus, *name;    /* of a device; malloc()ed */
	struct device_rows rows;
	struct device_row *row; /* what it has now, of "added" and "changed" */
	unsigned fields;	/* bits: those that are told */
	uint64_t generation;	/* of the policy */
	uint32_t errors;
};

/* 1; 0: it is none that is shown; negative errno. monitor_event_done() in any case. */
int monitor_event_read(struct monitor_event *event, sd_bus_message *m);
void monitor_event_done(struct monitor_event *event);

/* Prints it, and runs the command of --exec. */
void monitor_event_report(const struct monitor_event *event, const struct cli *cli);
