/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The enforcer at work; see rebind-queue.h. What it does and how is enforce/'s business. */
#include "daemon/bus/errors.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/reconcile/rebind-queue.h"
#include "daemon/task.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* Each with its own number of processes at once, which may be asleep in the kernel most of their time: so
 * nobody has to wait for others' work, nor for questions that anybody may ask. */
enum lane {
	LANE_CALL,     /* somebody waits for it */
	LANE_PATIENT,  /* nobody does */
	LANE_QUESTION, /* it only says what would come of it */
	LANE_COUNT,
};

static const unsigned running_max[LANE_COUNT] = {
	[LANE_CALL] = 8,
	[LANE_PATIENT] = 8,
	[LANE_QUESTION] = 4,
};

/* Between the enforcer's own limit and ours, for its start and its end. */
#define MARGIN_USEC 1500000U

struct rebind_job {
	struct rebind_job *next;
	struct service *service;
	char *bus, *name, *staging;
	enum rebind rebind;
	bool overwrite, dry_run, look_only;
	enum lane lane;
	uint64_t usec, deadline; /* deadline: of a patient one, once it has begun */
	sd_event_source *timer;	 /* while it waits */
	struct task *task;	 /* while it runs */
	bool began;
	void (*done)(void *userdata, const struct rebind_result *result);
	void (*destroy)(void *userdata);
	void *userdata;
};

struct rebind_queue {
	struct rebind_job *first, **end; /* in the order in which they were asked for */
	sd_event_source *start;		 /* soon: some may begin */
	unsigned running[LANE_COUNT];
};

static void free_rebinding(struct rebind_job *r)
{
	r->timer = sd_event_source_disable_unref(r->timer);
	r->task = task_forget(r->task);
	if (r->destroy)
		r->destroy(r->userdata);
	free(r->bus);
	free(r->name);
	free(r->staging);
	free(r);
}

static void run_next(struct service *s);

static void take_off(struct rebind_job *r)
{
	struct rebind_queue *u = r->service->rebind_queue;
	struct rebind_job **at = &u->first;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	if (u->end == &r->next)
		u->end = at;
}

/* Takes it off the list and says what came of it. */
static void end(struct rebind_job *r, const struct rebind_result *result)
{
	struct service *s = r->service;

	take_off(r);
	if (r->began)
		s->rebind_queue->running[r->lane]--;
	if (r->done)
		r->done(r->userdata, result);
	free_rebinding(r);
	run_next(s);
}

static void _printf_(3, 4) end_with(struct rebind_job *r, const char *error, const char *format, ...)
{
	struct rebind_result result = {};
	va_list ap;

	text_copy(result.error, sizeof(result.error), error);
	va_start(ap, format);
	(void)vsnprintf(result.reason, sizeof(result.reason), format, ap);
	va_end(ap);
	end(r, &result);
}

static void take(const char *line, size_t n, const char *key, char *buf, size_t size)
{
	size_t k = strlen(key);

	if (n < k || strncmp(line, key, k) != 0)
		return;
	n = n - k < size - 1 ? n - k : size - 1;
	memcpy(buf, line + k, n);
	buf[n] = '\0';
}

/* What a mount point or a process is called need not be UTF-8; a cut may have made it none. */
static void take_reason(const char *line, size_t n, struct rebind_result *said)
{
	char raw[sizeof(said->reason)] = "";
	char *text;

	take(line, n, "REASON=", raw, sizeof(raw));
	if (!raw[0])
		return;
	text = utf8_from_bytes(raw, strlen(raw));
	(void)snprintf(said->reason, sizeof(said->reason), "%.*s",
		       text ? (int)utf8_prefix(text, sizeof(said->reason) - 1) : 0, text ? text : "");
	free(text);
}

static void finished(void *userdata, int result, const char *out, size_t size, const struct task_note *note)
{
	struct rebind_job *r = userdata;
	struct rebind_result said = {};

	(void)note;
	(void)size;
	r->task = NULL;
	if (result == -ETIMEDOUT) {
		end_with(r, "Stuck", "the enforcer has not come back in time");
		return;
	}
	for (const char *line = out; *line;) {
		size_t n = strcspn(line, "\n");

		take(line, n, "STATE=", said.state, sizeof(said.state));
		take(line, n, "ERROR=", said.error, sizeof(said.error));
		take_reason(line, n, &said);
		line += n + (line[n] == '\n');
	}
	if (result != 0 && !said.error[0]) {
		end_with(r, "Failed", "the enforcer failed: %s",
			 said.reason[0]		? said.reason
			 : result == -ECANCELED ? "it was killed"
			 : result < 0		? strerror(-result)
						: "see the journal");
		return;
	}
	end(r, &said);
}

static uint64_t now(const struct service *s)
{
	uint64_t usec = 0;

	(void)sd_event_now(s->event, CLOCK_MONOTONIC, &usec);
	return usec;
}

static int run(struct rebind_job *r)
{
	const struct service *s = r->service;
	const struct settings *settings = s->settings;
	uint64_t at = now(s), left = r->deadline > at ? r->deadline - at : 0;
	const char *argv[2 * CONF_DIRS_MAX + 32] = { s->enforcer };
	char device[512], timeout[16];
	size_t n = 1;

	if (r->staging) {
		argv[n++] = "--conf-dir";
		argv[n++] = r->staging;
	}
	for (size_t i = 0; (r->staging || settings->conf_dirs_given) && i < settings->n_conf_dirs; i++) {
		argv[n++] = "--conf-dir";
		argv[n++] = settings->conf_dirs[i];
	}
	if (settings->sysfs_given) {
		argv[n++] = "--sysfs";
		argv[n++] = settings->sysfs;
	}
	argv[n++] = "--state-dir";
	argv[n++] = settings->state_dir;
	argv[n++] = "rebind";
	if (r->rebind != REBIND_UNSET) {
		argv[n++] = "--rebind";
		argv[n++] = rebind_to_string(r->rebind);
	}
	if (r->overwrite)
		argv[n++] = "--overwrite";
	if (r->dry_run)
		argv[n++] = "--dry-run";
	if (r->look_only)
		argv[n++] = "--look-only";
	argv[n++] = "--timeout";
	argv[n++] = number_to_text(
		left > MARGIN_USEC + 1000000U ? (unsigned)((left - MARGIN_USEC) / 1000000U) : 1, timeout);
	if (path_printf(device, sizeof(device), "%s/%s", r->bus, r->name) < 0)
		return -ENAMETOOLONG;
	argv[n++] = device;
	return task_spawn(s->event, argv, left, finished, r, &r->task);
}

/* Nobody is at work on the same device, nor waits for that before it; but a patient one lets others pass. A
 * question changes nothing, and is nobody's business. */
static bool is_its_turn(const struct rebind_job *r)
{
	bool before = true;

	if (r->lane == LANE_QUESTION)
		return true;
	for (const struct rebind_job *other = r->service->rebind_queue->first; other; other = other->next)
		if (other == r)
			before = false;
		else if (other->lane != LANE_QUESTION &&
			 (other->began ||
			  (before && (r->lane == LANE_PATIENT || other->lane == LANE_CALL))) &&
			 streq(other->name, r->name) && streq(other->bus, r->bus))
			return false;
	return true;
}

static void run_next(struct service *s)
{
	for (struct rebind_job *r = s->rebind_queue->first, *next; r; r = next) {
		int k;

		next = r->next;
		if (r->began || s->rebind_queue->running[r->lane] >= running_max[r->lane] || !is_its_turn(r))
			continue;
		r->began = true;
		s->rebind_queue->running[r->lane]++;
		if (r->lane == LANE_PATIENT)
			r->deadline = now(s) + r->usec;
		r->timer = sd_event_source_disable_unref(r->timer);
		k = run(r);
		if (k < 0) {
			log_service(LOG_ERR, "cannot start %s: %s", s->enforcer, strerror(-k));
			end_with(r, "Failed", "starting the enforcer: %s", strerror(-k));
			return; /* end_with() has gone through the list itself */
		}
	}
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	end_with(userdata, "Stuck", "other changes take too long; nothing was done");
	return 0;
}

/* Not from within rebind_job_start(): whoever starts one has not got its handle yet. */
static int on_start(sd_event_source *source, void *userdata)
{
	(void)source;
	run_next(userdata);
	return 0;
}

int rebind_job_start(struct service *s, const struct rebind_request *order,
		     void (*done)(void *userdata, const struct rebind_result *result), void *userdata,
		     struct rebind_job **ret)
{
	struct rebind_job *r = calloc(1, sizeof(*r));
	int k = -ENOMEM;

	if (!r)
		return -ENOMEM;
	*r = (struct rebind_job){ .service = s,
				  .bus = strdup(order->bus),
				  .name = strdup(order->name),
				  .staging = order->staging ? strdup(order->staging) : NULL,
				  .rebind = order->rebind,
				  .overwrite = order->overwrite,
				  .dry_run = order->dry_run,
				  .look_only = order->look_only,
				  .lane = order->patient    ? LANE_PATIENT
					  : order->question ? LANE_QUESTION
							    : LANE_CALL,
				  .usec = order->usec,
				  .deadline = now(s) + order->usec,
				  .done = done,
				  .userdata = userdata };
	if (r->bus && r->name && (r->staging || !order->staging))
		k = r->lane == LANE_PATIENT ? 0
					    : sd_event_add_time(s->event, &r->timer, CLOCK_MONOTONIC,
								r->deadline, 10000, on_timer, r);
	if (k >= 0)
		k = sd_event_source_set_enabled(s->rebind_queue->start, SD_EVENT_ONESHOT);
	if (k < 0) {
		free_rebinding(r);
		return k;
	}
	*s->rebind_queue->end = r;
	s->rebind_queue->end = &r->next;
	r->destroy = order->destroy;
	if (ret)
		*ret = r;
	return 0;
}

struct rebind_job *rebind_job_forget(struct rebind_job *r)
{
	if (r)
		r->done = NULL;
	/* A question that nobody waits for is none. */
	if (r && !r->began && r->lane == LANE_QUESTION) {
		take_off(r);
		free_rebinding(r);
	}
	return NULL;
}

int rebind_result_error(const struct rebind_result *result, sd_bus_error *error)
{
	static const char *const names[] = { ERROR_NO_SUCH_DEVICE, ERROR_NOT_SUPPORTED, ERROR_NO_SUCH_DRIVER,
					     ERROR_IN_USE,	   ERROR_STUCK,		ERROR_INVALID,
					     ERROR_POLICY_INVALID, ERROR_FOREIGN };

	if (!result->error[0])
		return 0;
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (streq(names[i] + strlen(ERROR_PREFIX), result->error))
			return sd_bus_error_setf(error, names[i], "%s", result->reason);
	return sd_bus_error_setf(error, SD_BUS_ERROR_FAILED, "%s", result->reason);
}

bool rebind_queue_is_about(const struct service *s, const char *bus, const char *name)
{
	for (const struct rebind_job *r = s->rebind_queue->first; r; r = r->next)
		if (r->began && !r->dry_run && r->done && streq(r->bus, bus) && streq(r->name, name))
			return true;
	return false;
}

bool rebind_queue_is_busy(const struct service *s)
{
	return s->rebind_queue->first != NULL;
}

int rebind_queue_new(struct service *s)
{
	struct rebind_queue *u = s->rebind_queue = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->end = &u->first;
	r = sd_event_add_defer(s->event, &u->start, on_start, s);
	return r < 0 ? r : sd_event_source_set_enabled(u->start, SD_EVENT_OFF);
}

void rebind_queue_free(struct service *s)
{
	if (!s->rebind_queue)
		return;
	while (s->rebind_queue->first) {
		struct rebind_job *r = s->rebind_queue->first;

		s->rebind_queue->first = r->next;
		free_rebinding(r);
	}
	(void)sd_event_source_disable_unref(s->rebind_queue->start);
	free(TAKE_PTR(s->rebind_queue));
}
