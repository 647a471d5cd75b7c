/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The enforcer at work; see rebind-queue.h. What it does to a device is in enforce/. */
#include "daemon/reconcile/rebind-queue.h"
#include "base/child.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/reconcile/rebind-standby.h"
#include "daemon/refresh/refresh.h"
#include "daemon/task.h"

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

/* "BUS/NAME" */
#define DEVICE_TEXT_MAX 512

struct rebind_job {
	struct rebind_job *next;
	struct service *service;
	struct rebind_device *devices; /* with texts of their own */
	size_t n;
	char *staging, *written_by;
	enum rebind rebind;
	bool overwrite, release, keep_released, dry_run, look_only;
	enum queue queue;
	uid_t uid;		 /* of a query's caller */
	uint64_t usec, deadline; /* deadline: in the background, from its begin on */
	sd_event_source *timer;	 /* while it waits */
	struct task *task;	 /* while it runs */
	bool began;
	bool by_standby; /* by an enforcer that was started ahead of need */
	struct rebind_result
		*results; /* for each device; kept here, so that there is memory for them at the end */
	void (*done)(void *userdata, const struct rebind_result *results);
	void (*destroy)(void *userdata);
	void *userdata;
};

struct rebind_queue {
	struct rebind_job *first, **end; /* in the order in which they were asked for */
	sd_event_source *start;		 /* soon: some may begin */
	unsigned running[QUEUE_COUNT];
};

static void rebind_devices_free(struct rebind_device *devices, size_t n)
{
	for (size_t i = 0; devices && i < n; i++) {
		free((void *)(uintptr_t)devices[i].bus);
		free((void *)(uintptr_t)devices[i].name);
	}
	free(devices);
}

/* NULL: out of memory. */
static struct rebind_device *rebind_devices_copy(const struct rebind_device *devices, size_t n)
{
	struct rebind_device *v = calloc(n, sizeof(*v));
	bool complete = true;

	for (size_t i = 0; v && i < n; i++) {
		v[i] = (struct rebind_device){ strdup(devices[i].bus), strdup(devices[i].name),
					       devices[i].inode };
		complete = complete && v[i].bus && v[i].name;
	}
	if (complete)
		return v;
	rebind_devices_free(v, n);
	return NULL;
}

static bool rebind_job_has_device(const struct rebind_job *r, const char *bus, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (streq(r->devices[i].name, name) && streq(r->devices[i].bus, bus))
			return true;
	return false;
}

static bool rebind_jobs_share_device(const struct rebind_job *a, const struct rebind_job *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (rebind_job_has_device(b, a->devices[i].bus, a->devices[i].name))
			return true;
	return false;
}

static void rebind_job_free(struct rebind_job *r)
{
	r->timer = sd_event_source_disable_unref(r->timer);
	r->task = task_forget(r->task);
	if (r->destroy)
		r->destroy(r->userdata);
	rebind_devices_free(r->devices, r->n);
	free(r->results);
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
static void rebind_job_end(struct rebind_job *r, const struct rebind_result *results)
{
	struct service *s = r->service;

	queue_take_out(r);
	if (r->began)
		s->rebind_queue->running[r->queue]--;
	for (size_t i = 0; i < r->n && r->began && rebind_job_moves(r); i++)
		refresh_move_ended(s, r->devices[i].bus, r->devices[i].name);
	if (r->done)
		r->done(r->userdata, results);
	rebind_job_free(r);
	queue_run_next(s);
}

/* The same for all of its devices. */
static void rebind_job_fail(struct rebind_job *r, const char *error, const char *reason)
{
	for (size_t i = 0; i < r->n; i++)
		rebind_result_fail(&r->results[i], error, "%s", reason);
	rebind_job_end(r, r->results);
}

static const char *enforcer_failure_text(struct child_result result)
{
	if (result.how == CHILD_KILLED)
		return "it was killed";
	/* Wrong usage. Packages are replaced file by file, and a service may run on after that. */
	if (result.how == CHILD_FAILED && result.error == 2)
		return "it does not know what it is asked for, so it is of another version than the service";
	return "see the journal";
}

static int rebind_job_start_enforcer(struct rebind_job *r);

/* It was started ahead of need, and is of a version that knows nothing of that: nothing was done. */
static bool rebind_job_begins_again(struct rebind_job *r, struct child_result result, size_t size)
{
	if (!r->by_standby || result.how != CHILD_FAILED || result.error != 2 || size > 0)
		return false;
	rebind_standby_is_unknown(r->service);
	return rebind_job_start_enforcer(r) >= 0;
}

static void on_enforcer_done(void *userdata, struct child_result result, const char *out, size_t size,
			     const struct task_note *note)
{
	struct rebind_job *r = userdata;

	(void)note;
	r->task = NULL;
	if (rebind_job_begins_again(r, result, size))
		return;
	if (result.how == CHILD_TIMED_OUT) {
		for (size_t i = 0; i < r->n && r->dry_run; i++)
			refresh_device_hangs(r->service, r->devices[i].bus, r->devices[i].name);
		rebind_job_fail(r, "Stuck", "the enforcer has not come back in time");
		return;
	}
	rebind_results_take(r->results, r->n, out);
	for (size_t i = 0; i < r->n; i++) {
		struct rebind_result *said = &r->results[i];
		char reason[sizeof(said->reason)];

		if (r->dry_run && streq(said->error, "Stuck"))
			refresh_device_hangs(r->service, r->devices[i].bus, r->devices[i].name);
		/* It fails for any of its devices, of which each has an error, or a state. */
		if (said->error[0] || (r->n > 1 ? said->state[0] != '\0' : result.how == CHILD_OK))
			continue;
		text_copy(reason, sizeof(reason), said->reason);
		rebind_result_fail(said, "Failed", "the enforcer failed: %s",
				   reason[0] ? reason : enforcer_failure_text(result));
	}
	rebind_job_end(r, r->results);
}

/* The arguments that say which devices, behind the others. Texts are kept in `buf`. 0 or negative errno. */
static int rebind_job_add_devices(const struct rebind_job *r, const char **argv, size_t n,
				  char (*buf)[DEVICE_TEXT_MAX])
{
	for (size_t i = 0; i < r->n; i++) {
		const struct rebind_device *d = &r->devices[i];

		if (path_printf(buf[2 * i], sizeof(buf[0]), "%s/%s", d->bus, d->name) < 0)
			return -ENAMETOOLONG;
		(void)snprintf(buf[2 * i + 1], sizeof(buf[0]), "%ju", (uintmax_t)d->inode);
		if (d->inode && !r->written_by) {
			argv[n++] = "--inode";
			argv[n++] = buf[2 * i + 1];
		}
	}
	for (size_t i = 0; i < r->n; i++)
		argv[n++] = buf[2 * i];
	return 0;
}

static int rebind_job_start_enforcer(struct rebind_job *r)
{
	struct service *s = r->service;
	uint64_t now = service_now(s), left = r->deadline > now ? r->deadline - now : 0;
	_cleanup_(freep) const char **argv = calloc(SETTINGS_ARGV_MAX + 16 + 3 * r->n, sizeof(*argv));
	_cleanup_(freep) char(*texts)[DEVICE_TEXT_MAX] = calloc(2 * r->n + 1, sizeof(*texts));
	char timeout[16];
	size_t n;
	int k;

	if (!argv || !texts)
		return -ENOMEM;
	argv[0] = s->enforcer;
	n = settings_to_argv(s->settings, r->staging, argv, 1);
	argv[n++] = r->written_by ? "event" : "rebind";
	if (r->written_by) {
		argv[n++] = "--written-by";
		argv[n++] = r->written_by;
	}
	if (!r->written_by && r->rebind != REBIND_UNSET) {
		argv[n++] = "--rebind";
		argv[n++] = rebind_to_string(r->rebind);
	}
	if (!r->written_by) {
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
		argv[n++] = "--timeout";
		argv[n++] = number_to_text(
			left > MARGIN_USEC + 1000000U ? (unsigned)((left - MARGIN_USEC) / 1000000U) : 1,
			timeout);
	}
	k = rebind_job_add_devices(r, argv, n, texts);
	if (k < 0)
		return k;
	r->by_standby = r->queue == QUEUE_CALL && !r->written_by &&
			rebind_standby_begin(s, argv, left, on_enforcer_done, r, &r->task) >= 0;
	/* A dry run for a change is followed by the move. */
	if (r->by_standby && r->dry_run)
		rebind_standby_prepare(s);
	return r->by_standby ? 0 : task_spawn(s->event, argv, left, on_enforcer_done, r, &r->task);
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
			 rebind_jobs_share_device(other, r))
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
		for (size_t i = 0; i < r->n && rebind_job_moves(r); i++)
			refresh_move_begins(s, r->devices[i].bus, r->devices[i].name);
		k = rebind_job_start_enforcer(r);
		if (k < 0) {
			log_errno(LOG_ERR, k, "%s: starting it", s->enforcer);
			rebind_job_fail(r, "Failed", "starting the enforcer failed");
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
		     void (*done)(void *userdata, const struct rebind_result *results), void *userdata,
		     struct rebind_job **ret)
{
	struct rebind_job *r = calloc(1, sizeof(*r));
	int k = -ENOMEM;

	if (!r)
		return -ENOMEM;
	*r = (struct rebind_job){ .service = s,
				  .devices = rebind_devices_copy(request->devices, request->n_devices),
				  .n = request->n_devices,
				  .results = calloc(request->n_devices, sizeof(*r->results)),
				  .staging = request->staging ? strdup(request->staging) : NULL,
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
	if (r->devices && r->results && (r->staging || !request->staging) &&
	    (r->written_by || !request->written_by))
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

bool rebind_queue_is_about(const struct service *s, const char *bus, const char *name)
{
	for (const struct rebind_job *r = s->rebind_queue->first; r; r = r->next)
		if (r->began && !r->dry_run && r->done && rebind_job_has_device(r, bus, name))
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
	rebind_standby_dismiss(s);
	free(TAKE_PTR(s->rebind_queue));
}
