/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Explain method; see bus-explain.h. */
#include "daemon/bus/bus.h"
#include "daemon/bus/bus-explain.h"
#include "daemon/refresh/refresh-worker.h"
#include "daemon/task.h"
#include "explain/explanation.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPLAIN_USEC (5U * 1000000U)
/* Everybody may ask. */
#define EXPLAINING_MAX 16U

struct bus_explain {
	struct bus_explain *next;
	struct service *service;
	sd_bus_message *call;
	char *bus, *name;
	struct task *task;
};

/* Under way. */
static struct bus_explain *all;
static unsigned running;

static void free_explaining(struct bus_explain *x)
{
	struct bus_explain **at = &all;

	while (*at && *at != x)
		at = &(*at)->next;
	if (*at) {
		*at = x->next;
		running--;
	}
	x->task = task_forget(x->task);
	(void)sd_bus_message_unref(x->call);
	free(x->bus);
	free(x->name);
	free(x);
}

static int work(FILE *out, struct task_note *note, void *arg)
{
	static struct explanation e; /* too large for a stack */
	const struct bus_explain *x = arg;
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

static void finished(void *userdata, int result, const char *out, size_t size, const struct task_note *note)
{
	struct bus_explain *x = userdata;

	(void)size;
	(void)note;
	x->task = NULL;
	if (result == 0)
		(void)sd_bus_reply_method_return(x->call, "s", out);
	else if (result == ENODEV)
		(void)sd_bus_reply_method_errorf(x->call, ERROR_NO_SUCH_DEVICE, "%s %s has gone", x->bus,
						 x->name);
	else if (result == -ETIMEDOUT)
		(void)sd_bus_reply_method_errorf(x->call, ERROR_STUCK,
						 "reading the files of %s %s does not come back", x->bus,
						 x->name);
	else
		(void)sd_bus_reply_method_errnof(x->call, result > 0 ? -result : result, "explaining failed");
	free_explaining(x);
}

int bus_explain_start(struct service *s, sd_bus_message *call, const char *bus, const char *name)
{
	struct bus_explain *x;
	int r = -ENOMEM;

	if (running >= EXPLAINING_MAX)
		return -EBUSY;
	x = calloc(1, sizeof(*x));
	if (!x)
		return r;
	x->service = s;
	x->call = sd_bus_message_ref(call);
	x->bus = strdup(bus);
	x->name = strdup(name);
	if (x->bus && x->name)
		r = task_fork(s->event, work, x, EXPLAIN_USEC, finished, x, &x->task);
	if (r < 0) {
		free_explaining(x);
		return r;
	}
	x->next = all;
	all = x;
	running++;
	return 1;
}

bool bus_explain_is_busy(void)
{
	return running > 0;
}

void bus_explain_stop(void)
{
	while (all)
		free_explaining(all);
}
