/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Explain method; see bus-explain.h. */
#include "daemon/bus/bus-explain.h"
#include "base/list.h"
#include "daemon/bus/errors.h"
#include "daemon/bus/limits.h"
#include "daemon/refresh/refresh-worker.h"
#include "daemon/refresh/refresh.h"
#include "daemon/task.h"
#include "explain/explanation.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

struct explain_call {
	struct explain_call *next;
	struct service *service;
	sd_bus_message *call;
	uid_t uid;
	char *bus, *name;
	struct task *task;
};

/* Calls that are not answered yet. */
static struct explain_call *explain_calls;

static void explain_call_free(struct explain_call *x)
{
	(void)list_remove(explain_calls, x);
	limit_give_back(x->service, x->uid, LIMIT_EXPLANATIONS);
	x->task = task_forget(x->task);
	(void)sd_bus_message_unref(x->call);
	free(x->bus);
	free(x->name);
	free(x);
}

static int explain_work(FILE *out, struct task_note *note, void *arg)
{
	static struct explanation e; /* too large for a stack */
	const struct explain_call *x = arg;
	struct refresh_worker s;
	struct sysfs_device *d;
	int r = refresh_worker_begin(&s, x->service, out, note);

	if (r >= 0)
		r = refresh_worker_find_device(&s, x->bus, x->name, &d);
	if (r >= 0)
		r = explanation_make(&e, x->service->policy, d);
	if (r >= 0)
		(void)fputs(json_object_to_json_string_ext(explanation_json(&e),
							   JSON_C_TO_STRING_PRETTY |
								   JSON_C_TO_STRING_NOSLASHESCAPE),
			    out);
	return r;
}

static void on_explain_done(void *userdata, struct child_result result, const char *out, size_t size,
			    const struct task_note *note)
{
	struct explain_call *x = userdata;

	(void)size;
	x->task = NULL;
	if (result.how == CHILD_TIMED_OUT && note->name[0])
		refresh_device_hangs(x->service, note->bus, note->name);
	if (result.how == CHILD_OK)
		(void)sd_bus_reply_method_return(x->call, "s", out);
	else if (result.how == CHILD_FAILED && result.error == -ENODEV)
		(void)sd_bus_reply_method_errorf(x->call, ERROR_NO_SUCH_DEVICE, "%s %s has gone", x->bus,
						 x->name);
	else if (result.how == CHILD_TIMED_OUT)
		(void)sd_bus_reply_method_errorf(
			x->call, ERROR_STUCK,
			"timed out: reading the files of %s %s is blocked in the kernel", x->bus, x->name);
	else
		(void)sd_bus_reply_method_errnof(x->call, child_result_errno(result), "explaining failed");
	explain_call_free(x);
}

int bus_explain_start(struct service *s, sd_bus_message *call, uid_t uid, const char *bus, const char *name,
		      sd_bus_error *reterr)
{
	struct explain_call *x;
	int r;

	r = refresh_check_device(s, bus, name, reterr);
	if (r < 0)
		return r;
	r = -ENOMEM;
	if (!limit_take_processes(s, uid, 1) || !limit_take(s, uid, LIMIT_EXPLANATIONS))
		return sd_bus_error_set(reterr, SD_BUS_ERROR_LIMITS_EXCEEDED,
					"too many explanations are asked for; try again in a few seconds");
	x = calloc(1, sizeof(*x));
	if (!x) {
		limit_give_back(s, uid, LIMIT_EXPLANATIONS);
		return r;
	}
	x->service = s;
	x->call = sd_bus_message_ref(call);
	x->uid = uid;
	x->bus = strdup(bus);
	x->name = strdup(name);
	if (x->bus && x->name)
		r = task_fork(s->event, explain_work, x, s->read_usec + s->read_usec / 4, on_explain_done, x,
			      &x->task);
	if (r < 0) {
		explain_call_free(x);
		return r;
	}
	x->next = explain_calls;
	explain_calls = x;
	return 1;
}

bool bus_explain_is_busy(void)
{
	return explain_calls != NULL;
}

void bus_explain_stop(void)
{
	while (explain_calls)
		explain_call_free(explain_calls);
}
