/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What belongs to the service as a whole: its policy, what it says of itself; see service.h. */
#include "daemon/bus/bus-signals.h"
#include "base/hash.h"
#include "base/text.h"
#include "daemon/service.h"
#include "daemon/refresh/refresh.h"
#include "policy/rule-index.h"
#include "policy/vfio-driver.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>

void log_service(int priority, const char *format, ...)
{
	static int to_journal = -1;
	char line[1024];
	va_list ap;

	if (to_journal < 0)
		to_journal = getenv("JOURNAL_STREAM") != NULL;
	if (priority == LOG_DEBUG && !to_journal)
		return;
	va_start(ap, format);
	(void)vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (to_journal)
		(void)fprintf(stderr, "<%d>%s\n", priority, line);
	else
		(void)fprintf(stderr, "driver-overrided: %s\n", line);
}

/* Two policies with the same of it say the same, and in the same places. */
static uint64_t digest(const struct policy *policy)
{
	uint64_t h = fnv1a(FNV_BASIS, &policy->n_rules, sizeof(policy->n_rules));

	for (size_t i = 0; i < policy->n_rules; i++) {
		uint64_t id = rule_id(policy->rules[i]);

		h = fnv1a(h, &id, sizeof(id));
		h = fnv1a(h, &policy->rules[i]->line, sizeof(policy->rules[i]->line));
	}
	for (size_t i = 0; i < policy->n_errors; i++) {
		h = fnv1a(h, policy->errors[i].file, strlen(policy->errors[i].file) + 1);
		h = fnv1a(h, &policy->errors[i].line, sizeof(policy->errors[i].line));
		h = fnv1a(h, policy->errors[i].text, strlen(policy->errors[i].text) + 1);
	}
	return h;
}

int service_load_policy(struct service *s)
{
	struct policy *policy;
	uint64_t d, aliases = vfio_aliases_version(s->settings->sysfs);
	int r = policy_load(s->settings, &policy);
	bool same;

	if (r < 0)
		return r;
	d = digest(policy);
	same = s->policy && d == s->digest;
	if (same && aliases == s->aliases) {
		policy_free(policy);
		return 0;
	}
	/* Surveys are processes of their own: what each of them would have to prepare is there when they
	 * begin. */
	r = policy_build_index(policy);
	if (r < 0) {
		policy_free(policy);
		return r;
	}
	policy_free(s->policy);
	s->policy = policy;
	s->aliases = aliases;
	if (!same) {
		s->digest = d;
		s->generation++;
		signal_policy_reloaded(s);
	}
	/* A module that was missing may have come. */
	if (s->announced)
		refresh_request_all(s, same ? REFRESH_AND_RETRY : REFRESH_AND_RECONCILE);
	service_tell_status(s);
	return 1;
}

void service_tell_status(const struct service *s)
{
	size_t decided = 0, so = 0, blocked = 0;

	for (struct device_entry *e = NULL; (e = devices_next(&s->devices, e));) {
		const char *state = e->field[FIELD_STATE];

		if (!e->field[FIELD_DECISION][0])
			continue;
		decided++;
		so += streq(state, "enforced") || streq(state, "held");
		blocked += streq(state, "blocked") || streq(state, "failed") || streq(state, "stuck");
	}
	(void)sd_notifyf(
		0,
		"STATUS=%zu rules, %zu errors in policy files; of %zu devices %zu are decided, %zu of those "
		"are as "
		"decided, %zu are blocked, failed or stuck",
		s->policy->n_rules, s->policy->n_errors, s->devices.n, decided, so, blocked);
}
