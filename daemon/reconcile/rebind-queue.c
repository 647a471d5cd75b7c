/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The enforcer at work; see rebind-queue.h. What it does to a device is in enforce/. */
#include "daemon/bus/errors.h"
#include "base/child.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/reconcile/rebind-queue.h"
#include "daemon/refresh/refresh.h"
#include "daemon/task.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <time.h>

/* Each queue has its own number of processes at once, which may sleep in the kernel most of their time. So no
 * call has to wait for background work, nor for queries, which any user may send. */
enum queue {
	QUEUE_CALL,	  /* a caller waits for it */
	QUEUE_BACKGROUND, /* no caller does */
	QUEUE_QUERY,	  /* a dry run that only says what would come of it */
	QUEUE_ROOT_QUERY, /* the same for root */
	QUEUE_COUNT,
};

static const unsigned queue_jobs_max[QUEUE_COUNT] = {
	[QUEUE_CALL] = 8,
	[QUEUE_BACKGROUND] = 8,
	[QUEUE_QUERY] = 4,
	[QUEUE_ROOT_QUERY] = 4,
};
/* Of those in QUEUE_QUERY, of one user: the next user's need not wait for devices that do not answer. */
#define QUERIES_OF_USER_MAX 2U

/* Between the enforcer's own limit and ours, for its start and its end. */
#define MARGIN_USEC 1500000U

struct rebind_job {
	struct rebind_job *next;
	struct service *service;
	char *bus, *name, *staging, *written_by;
	uint64_t inode; /* 0: not compared */
	enum rebind rebind;
	bool overwrite, release, keep_released, dry_run, look_only;
	enum queue queue;
	uid_t uid;		 /* of a query's caller */
	uint64_t usec, deadline; /* deadline: in the background, from its begin on */
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
	unsigned running[QUEUE_COUNT];
};

static void rebind_job_free(struct rebind_job *r)
{
	r->timer = sd_event_source_disable_unref(r->timer);
	r->task = task_forget(r->task);
	if (r->destroy)
		r->destroy(r->userdata);
	free(r->bus);
	free(r->name);
	free(r->staging);
	free(r->written_by);
	free(r);
}

static void queue_run_next(struct service *s);

static void queue_take_out(struct rebind_job *r)
{
	struct rebind_queue *u = r->service->rebind_queue;
	struct rebind_job **at = &u->first;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	if (u->end == &r->next)
		u->end = at;
}

/* What only records something changes nothing that a look shows. */
static bool rebind_job_moves(const struct rebind_job *r)
{
	return !r->dry_run && !r->written_by && !(r->queue == QUEUE_BACKGROUND && r->rebind == REBIND_NO);
}

/* Takes it out of the queue and says what came of it. */
static void rebind_job_end(struct rebind_job *r, const struct rebind_result *result)
{
	struct service *s = r->service;

	queue_take_out(r);
	if (r->began)
		s->rebind_queue->running[r->queue]--;
	if (r->began && rebind_job_moves(r))
		refresh_move_ended(s, r->bus, r->name);
	if (r->done)
		r->done(r->userdata, result);
	rebind_job_free(r);
	queue_run_next(s);
}

static void _printf_(3, 4) rebind_job_fail(struct rebind_job *r, const char *error, const char *format, ...)
{
	struct rebind_result result = {};
	va_list ap;

	text_copy(result.error, sizeof(result.error), error);
	va_start(ap, format);
	(void)vsnprintf(result.reason, sizeof(result.reason), format, ap);
	va_end(ap);
	rebind_job_end(r, &result);
}

static void line_take(const char *line, size_t n, const char *key, char *buf, size_t size)
{
	size_t k = strlen(key);

	if (n < k || strncmp(line, key, k) != 0)
		return;
	n = n - k < size - 1 ? n - k : size - 1;
	memcpy(buf, line + k, n);
	buf[n] = '\0';
}

/* Names of mount points and processes need not be UTF-8, and a cut may end within a character. */
static void line_take_reason(const char *line, size_t n, struct rebind_result *said)
{
	char raw[sizeof(said->reason)] = "";
	char *text;

	line_take(line, n, "REASON=", raw, sizeof(raw));
	if (!raw[0])
		return;
	text = utf8_from_bytes(raw, strlen(raw));
	(void)snprintf(said->reason, sizeof(said->reason), "%.*s",
		       text ? (int)utf8_prefix(text, sizeof(said->reason) - 1) : 0, text ? text : "");
	free(text);
}

static void on_enforcer_done(void *userdata, struct child_result result, const char *out, size_t size,
			     const struct task_note *note)
{
	struct rebind_job *r = userdata;
	struct rebind_result said = {};

	(void)note;
	(void)size;
	r->task = NULL;
	if (result.how == CHILD_TIMED_OUT) {
		if (r->dry_run)
			refresh_device_hangs(r->service, r->bus, r->name);
		rebind_job_fail(r, "Stuck", "the enforcer has not come back in time");
		return;
	}
	for (const char *line = out; *line;) {
		size_t n = strcspn(line, "\n");

		line_take(line, n, "STATE=", said.state, sizeof(said.state));
		line_take(line, n, "ERROR=", said.error, sizeof(said.error));
		if (startswith(line, "CHANGED=1"))
			said.changed = true;
		line_take_reason(line, n, &said);
		line += n + (line[n] == '\n');
	}
	if (r->dry_run && streq(said.error, "Stuck"))
		refresh_device_hangs(r->service, r->bus, r->name);
	if (result.how != CHILD_OK && !said.error[0]) {
		rebind_job_fail(r, "Failed", "the enforcer failed: %s",
				said.reason[0]		     ? said.reason
				: result.how == CHILD_KILLED ? "it was killed"
							     : "see the journal");
		return;
	}
	rebind_job_end(r, &said);
}

static int rebind_job_start_enforcer(struct rebind_job *r)
{
	const struct service *s = r->service;
	uint64_t now = service_now(s), left = r->deadline > now ? r->deadline - now : 0;
	const char *argv[SETTINGS_ARGV_MAX + 16] = { s->enforcer };
	char device[512], timeout[16], inode[32];
	size_t n = settings_to_argv(s->settings, r->staging, argv, 1);

	if (path_printf(device, sizeof(device), "%s/%s", r->bus, r->name) < 0)
		return -ENAMETOOLONG;
	if (r->written_by) {
		argv[n++] = "event";
		argv[n++] = "--written-by";
		argv[n++] = r->written_by;
		argv[n++] = device;
		return task_spawn(s->event, argv, left, on_enforcer_done, r, &r->task);
	}
	argv[n++] = "rebind";
	if (r->rebind != REBIND_UNSET) {
		argv[n++] = "--rebind";
		argv[n++] = rebind_to_string(r->rebind);
	}
	if (r->overwrite)
		argv[n++] = "--overwrite";
	if (r->release)
		argv[n++] = "--release";
	if (r->keep_released)
		argv[n++] = "--keep-released";
	if (r->dry_run)
		argv[n++] = "--dry-run";
	if (r->look_only)
		argv[n++] = "--look-only";
	if (r->inode) {
		(void)snprintf(inode, sizeof(inode), "%ju", (uintmax_t)r->inode);
		argv[n++] = "--inode";
		argv[n++] = inode;
	}
	argv[n++] = "--timeout";
	argv[n++] = number_to_text(
		left > MARGIN_USEC + 1000000U ? (unsigned)((left - MARGIN_USEC) / 1000000U) : 1, timeout);
	argv[n++] = device;
	return task_spawn(s->event, argv, left, on_enforcer_done, r, &r->task);
}

static bool rebind_job_is_query(const struct rebind_job *r)
{
	return r->queue == QUEUE_QUERY || r->queue == QUEUE_ROOT_QUERY;
}

static bool user_may_have_another_query(const struct rebind_job *r)
{
	unsigned n = 0;

	for (const struct rebind_job *other = r->service->rebind_queue->first; other; other = other->next)
		n += other->queue == QUEUE_QUERY && other->began && other->uid == r->uid;
	return n < QUERIES_OF_USER_MAX;
}

/* A job waits for those on the same device that have begun, or were asked for before it; but calls pass those
 * in the background. A query changes nothing, so it waits for none and none waits for it. */
static bool rebind_job_may_begin(const struct rebind_job *r)
{
	bool before = true;

	if (rebind_job_is_query(r))
		return r->queue == QUEUE_ROOT_QUERY || user_may_have_another_query(r);
	for (const struct rebind_job *other = r->service->rebind_queue->first; other; other = other->next)
		if (other == r)
			before = false;
		else if (!rebind_job_is_query(other) &&
			 (other->began ||
			  (before && (r->queue == QUEUE_BACKGROUND || other->queue == QUEUE_CALL))) &&
			 streq(other->name, r->name) && streq(other->bus, r->bus))
			return false;
	return true;
}

static void queue_run_next(struct service *s)
{
	for (struct rebind_job *r = s->rebind_queue->first, *next; r; r = next) {
		int k;

		next = r->next;
		if (r->began || s->rebind_queue->running[r->queue] >= queue_jobs_max[r->queue] ||
		    !rebind_job_may_begin(r))
			continue;
		r->began = true;
		s->rebind_queue->running[r->queue]++;
		if (r->queue == QUEUE_BACKGROUND)
			r->deadline = service_now(s) + r->usec;
		r->timer = sd_event_source_disable_unref(r->timer);
		if (rebind_job_moves(r))
			refresh_move_begins(s, r->bus, r->name);
		k = rebind_job_start_enforcer(r);
		if (k < 0) {
			log_errno(LOG_ERR, k, "%s: starting it", s->enforcer);
			rebind_job_fail(r, "Failed", "starting the enforcer: %s", strerror(-k));
			return; /* rebind_job_fail() has gone through the queue itself */
		}
	}
}

static int on_queue_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	rebind_job_fail(userdata, "Stuck", "other changes take too long; nothing was done");
	return 0;
}

/* Not from within rebind_job_start(): its caller has not got the job's handle yet. */
static int on_start(sd_event_source *source, void *userdata)
{
	(void)source;
	queue_run_next(userdata);
	return 0;
}

int rebind_job_start(struct service *s, const struct rebind_request *request,
		     void (*done)(void *userdata, const struct rebind_result *result), void *userdata,
		     struct rebind_job **ret)
{
	struct rebind_job *r = calloc(1, sizeof(*r));
	int k = -ENOMEM;

	if (!r)
		return -ENOMEM;
	*r = (struct rebind_job){ .service = s,
				  .bus = strdup(request->bus),
				  .name = strdup(request->name),
				  .staging = request->staging ? strdup(request->staging) : NULL,
				  .inode = request->inode,
				  .written_by = request->written_by ? strdup(request->written_by) : NULL,
				  .rebind = request->rebind,
				  .overwrite = request->overwrite,
				  .release = request->release,
				  .keep_released = request->keep_released,
				  .dry_run = request->dry_run,
				  .look_only = request->look_only,
				  .queue = request->background ? QUEUE_BACKGROUND
					   : !request->query   ? QUEUE_CALL
					   : request->uid == 0 ? QUEUE_ROOT_QUERY
							       : QUEUE_QUERY,
				  .uid = request->uid,
				  .usec = request->usec,
				  .deadline = service_now(s) + request->usec,
				  .done = done,
				  .userdata = userdata };
	if (r->bus && r->name && (r->staging || !request->staging) && (r->written_by || !request->written_by))
		k = r->queue == QUEUE_BACKGROUND ? 0
						 : sd_event_add_time(s->event, &r->timer, CLOCK_MONOTONIC,
								     r->deadline, 10000, on_queue_timer, r);
	if (k >= 0)
		k = sd_event_source_set_enabled(s->rebind_queue->start, SD_EVENT_ONESHOT);
	if (k < 0) {
		rebind_job_free(r);
		return k;
	}
	*s->rebind_queue->end = r;
	s->rebind_queue->end = &r->next;
	r->destroy = request->destroy;
	if (ret)
		*ret = r;
	return 0;
}

struct rebind_job *rebind_job_forget(struct rebind_job *r)
{
	if (r)
		r->done = NULL;
	/* A query for which nothing waits is not needed. */
	if (r && !r->began && rebind_job_is_query(r)) {
		queue_take_out(r);
		rebind_job_free(r);
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
		rebind_job_free(r);
	}
	(void)sd_event_source_disable_unref(s->rebind_queue->start);
	free(TAKE_PTR(s->rebind_queue));
}
