/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file of metrics; see metrics.h. */
#include "daemon/metrics.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/guard-status.h"
#include "daemon/task.h"
#include "policy/settings.h"
#include "state/device-state.h"
#include "state/first-probe-claim.h"
#include "state/state-file.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-event.h>
#include <time.h>

/* Looks come in crowds; nobody reads the file as often as that. */
#define SOON_USEC 200000U

struct metrics {
	sd_event_source *soon;
	char *written; /* what the file says */
	bool failed;   /* and that was logged */
};

static void metric_head(FILE *f, const char *name, const char *type, const char *help)
{
	(void)fprintf(f, "# HELP driver_overrides_%s %s\n# TYPE driver_overrides_%s %s\n", name, help, name,
		      type);
}

static void metric_number(FILE *f, const char *name, const char *help, uint64_t value)
{
	metric_head(f, name, "gauge", help);
	(void)fprintf(f, "driver_overrides_%s %ju\n", name, (uintmax_t)value);
}

static void metrics_print_devices(FILE *f, const struct service *s)
{
	unsigned states[STATE_STUCK + 1] = {}, first_probes[FIRST_PROBE_UNKNOWN + 1] = {};

	for (struct device_entry *e = NULL; (e = devices_next(&s->devices, e));) {
		states[device_state_from_string(e->field[FIELD_STATE])]++;
		if (e->field[FIELD_FIRST_PROBE][0])
			first_probes[first_probe_from_string(e->field[FIELD_FIRST_PROBE])]++;
	}
	metric_head(f, "devices", "gauge", "Devices whose driver can be chosen, by state.");
	for (enum device_state i = STATE_UNMANAGED; i <= STATE_STUCK; i++)
		(void)fprintf(f, "driver_overrides_devices{state=\"%s\"} %u\n", device_state_to_string(i),
			      states[i]);
	metric_head(f, "first_probes", "gauge",
		    "Devices that are there, by what is known of their first probe.");
	for (enum first_probe i = FIRST_PROBE_GUARANTEED; i <= FIRST_PROBE_UNKNOWN; i++)
		(void)fprintf(f, "driver_overrides_first_probes{first_probe=\"%s\"} %u\n",
			      first_probe_to_string(i), first_probes[i]);
}

/* A counter of the guard, since that began. */
static void metric_print_guard(FILE *f, const char *status, const char *key, const char *name,
			       const char *help)
{
	const char *value = guard_status_value(status, key);

	if (!value)
		return;
	metric_head(f, name, "counter", help);
	(void)fprintf(f, "driver_overrides_%s_total %llu\n", name, strtoull(value, NULL, 10));
}

static void metrics_print_guard(FILE *f, const struct service *s)
{
	_cleanup_(freep) char *status = guard_status_read(s);
	const char *hold = status ? guard_status_value(status, "HOLD") : NULL;

	metric_number(f, "hold_active", "Whether the kernel waits for the guard (1) or not (0).",
		      hold && startswith(hold, "active") != NULL);
	if (!status)
		return;
	metric_print_guard(f, status, "HOLDS", "holds", "First probes for which the kernel waited.");
	metric_print_guard(f, status, "EXPIRED", "holds_expired", "Holds that reached their limit.");
	metric_print_guard(
		f, status, "SPARED", "holds_spared",
		"First probes for which the kernel did not wait, since no rule can match the device.");
}

static void metrics_print(FILE *f, const struct service *s)
{
	metric_number(f, "service_up", "Whether driver-overrided runs (1) or has ended (0).", s != NULL);
	if (s) {
		metric_number(f, "rules", "Rules in force.", s->policy->n_rules);
		metric_number(f, "policy_errors", "Errors in policy files.", s->policy->n_errors);
		metric_number(f, "left_behind", "Processes of the service that the kernel keeps.",
			      tasks_left_behind());
		metrics_print_devices(f, s);
		metrics_print_guard(f, s);
	}
	(void)fputs("# EOF\n", f);
}

/* NULL: out of memory; malloc()ed. s: NULL if the service ends. */
static char *metrics_text(const struct service *s)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	metrics_print(f, s);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

static void metrics_write(struct metrics *m, const char *state_dir, char *text)
{
	int r = -ENOMEM;

	if (text && m->written && streq(text, m->written)) {
		free(text);
		return;
	}
	if (text)
		r = state_write(state_dir, "metrics", text);
	if (r < 0 && !m->failed)
		log_errno(LOG_WARNING, r, "%s/metrics: cannot be written: %m, going on without it",
			  state_dir);
	m->failed = r < 0;
	free(m->written);
	m->written = r < 0 ? NULL : TAKE_PTR(text);
	free(text);
}

static int on_metrics_due(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct service *s = userdata;

	(void)source;
	(void)usec;
	metrics_write(s->metrics, s->settings->state_dir, metrics_text(s));
	return 0;
}

void metrics_changed(struct service *s)
{
	int enabled;

	/* Not put off again and again by what comes without a pause. */
	if (!s->announced || sd_event_source_get_enabled(s->metrics->soon, &enabled) > 0)
		return;
	if (sd_event_source_set_time_relative(s->metrics->soon, SOON_USEC) >= 0)
		(void)sd_event_source_set_enabled(s->metrics->soon, SD_EVENT_ONESHOT);
}

const struct refresh_observer metrics_observer = { .refresh_finished = metrics_changed };

int metrics_new(struct service *s)
{
	struct metrics *m = s->metrics = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	r = sd_event_add_time_relative(s->event, &m->soon, CLOCK_MONOTONIC, SOON_USEC, 0, on_metrics_due, s);
	return r < 0 ? r : sd_event_source_set_enabled(m->soon, SD_EVENT_OFF);
}

void metrics_free(struct service *s)
{
	struct metrics *m = s->metrics;

	if (!m)
		return;
	/* One that has never had its name may not be the service. */
	if (m->written)
		metrics_write(m, s->settings->state_dir, metrics_text(NULL));
	(void)sd_event_source_disable_unref(m->soon);
	free(m->written);
	free(TAKE_PTR(s->metrics));
}
