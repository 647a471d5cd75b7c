/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The enforcer at work on the changes of a call: one process for those that are to be dealt with alike, which
 * moves them side by side.
 */
#include "base/macro.h"
#include "daemon/operation/operation-steps.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* Changes with the same options for the enforcer. */
struct change_batch {
	struct change_batch *next;
	struct operation *operation;
	struct rebind_request request;
	struct rebind_job *job;
	struct device_change **changes;
	size_t n;
};

static void change_batch_free(struct change_batch *b)
{
	b->job = rebind_job_forget(b->job);
	free(b->changes);
	free(b);
}

void operation_free_batches(struct operation *o)
{
	while (o->batches) {
		struct change_batch *b = o->batches;

		o->batches = b->next;
		change_batch_free(b);
	}
}

/* The last batch that ends has the operation go on, which may end it. */
static void on_batch_done(void *userdata, const struct rebind_result *results)
{
	struct change_batch *b = userdata;
	struct operation *o = b->operation;

	b->job = NULL;
	for (size_t i = 0; i < b->n; i++)
		b->changes[i]->result = results[i];
	if (--o->n_jobs > 0)
		return;
	operation_free_batches(o);
	o->batches_done(o);
}

static struct change_batch *operation_find_batch(struct operation *o, const struct rebind_request *request)
{
	for (struct change_batch *b = o->batches; b; b = b->next)
		if (b->request.rebind == request->rebind && b->request.overwrite == request->overwrite)
			return b;
	return NULL;
}

static int operation_add_to_batch(struct operation *o, struct device_change *c,
				  const struct rebind_request *request)
{
	struct change_batch *b = operation_find_batch(o, request);

	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b)
			return -ENOMEM;
		*b = (struct change_batch){ .next = o->batches, .operation = o, .request = *request };
		o->batches = b;
		b->changes = calloc(o->n_changes, sizeof(*b->changes));
		if (!b->changes)
			return -ENOMEM;
	}
	b->changes[b->n++] = c;
	return 0;
}

static int change_batch_start(struct change_batch *b)
{
	_cleanup_(freep) struct rebind_device *devices = calloc(b->n + 1, sizeof(*devices));

	if (!devices)
		return -ENOMEM;
	for (size_t i = 0; i < b->n; i++)
		devices[i] = (struct rebind_device){ b->changes[i]->bus, b->changes[i]->name,
						     b->changes[i]->inode };
	b->request.devices = devices;
	b->request.n_devices = b->n;
	return rebind_job_start(b->operation->service, &b->request, on_batch_done, b, &b->job);
}

void operation_enforce(struct operation *o, const struct rebind_request *how,
		       bool (*leave_out)(const struct device_change *c), void (*done)(struct operation *o))
{
	static const struct rebind_result failed = { .error = "Failed",
						     .reason = "starting the enforcer failed" };
	int r = 0;

	o->batches_done = done;
	FOREACH_LIVE_CHANGE (c, o) {
		struct rebind_request request = *how;

		if (leave_out && leave_out(c))
			continue;
		operation_options_for_enforcer(o, &c->options, &request);
		r = operation_add_to_batch(o, c, &request);
		if (r < 0)
			c->result = failed;
	}
	for (struct change_batch *b = o->batches; b; b = b->next) {
		r = change_batch_start(b);
		o->n_jobs += r >= 0;
		for (size_t i = 0; r < 0 && i < b->n; i++)
			b->changes[i]->result = failed;
	}
	if (o->n_jobs > 0)
		return;
	operation_free_batches(o);
	done(o);
}
