/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For operation.c and the files named operation-… only, which are one module: a call that is being worked on,
 * and the steps that several kinds of calls share.
 */
#pragma once

#include "base/child.h"
#include "base/macro.h"
#include "daemon/operation/device-change.h"
#include "daemon/operation/drop-in-plan-worker.h"
#include "daemon/operation/operation-kind.h"
#include "daemon/bus/polkit.h"
#include "daemon/bus/limits.h"
#include "daemon/reconcile/rebind-queue.h"
#include "daemon/refresh/refresh.h"
#include "daemon/service-policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

/* A call is answered within 20 s, what comes before and after these 18 s included. */
#define ANSWER_USEC (18U * UINT64_C(1000000))
/* Reserved at the end for re-reading the device. */
#define RESERVE_USEC (2U * UINT64_C(1000000))
/* Reserved before that for undoing what was written to policy files. */
#define RESTORE_USEC (1U * UINT64_C(1000000))

enum phase {
	PHASE_AUTHORIZE, /* waiting for polkit; root skips it */
	PHASE_WAIT,	 /* for earlier operations on the same device or file */
	PHASE_PLAN,
	PHASE_DRY_RUN,
	PHASE_ARM, /* of trials: until systemd has their timers */
	PHASE_WRITE,
	PHASE_REBIND,
	PHASE_RESTORE,
	PHASE_REFRESH,
};

struct operation {
	struct operation *next;
	struct service *service;
	sd_bus_message *call;
	enum operation_kind kind;
	enum phase phase;
	uid_t uid;		       /* of the caller */
	unsigned limits;	       /* a bit for each enum limit that counts this call */
	struct device_change *changes; /* in the order of the call; none for calls about all devices */
	size_t n_changes;
	struct operation_options options; /* of the call; a change has its own */
	char *staging;
	struct drop_in_plan_work plan_work;
	struct polkit_authorization *authorization;
	char *polkit_texts[POLKIT_DETAILS]; /* what polkit is told of several changes */
	struct task *task;
	unsigned n_plans_anew;	      /* since a file was changed meanwhile */
	uint64_t write_usec;	      /* how long the writer may take, waiting for other writers included */
	struct change_batch *batches; /* that the enforcer is at work on */
	size_t n_jobs;		      /* for these, or timers, that have not ended */
	void (*batches_done)(struct operation *o);
	size_t group_at; /* the change whose group's driver is looked for */
	struct refresh *refresh;
	uint64_t deadline; /* for the answer */
	uint64_t asked_at; /* since when a person may be typing a password; 0: nobody is asked */
	sd_event_source *timer;
	struct bulk_operation *bulk; /* of calls about all devices */
	void (*bulk_free)(struct bulk_operation *bulk);
};

/* Runs through the changes that are not refused and have not failed. */
#define FOREACH_LIVE_CHANGE(c, o)                                                                            \
	for (struct device_change *c = (o)->changes; c < (o)->changes + (o)->n_changes; c++)                 \
		if (sd_bus_error_is_set(&c->error))                                                          \
			continue;                                                                            \
		else

struct operations {
	struct operation *first; /* in the order in which the calls came */
	size_t n;
	uint64_t serial;
	sd_event_source *run_waiting; /* soon: one has ended, so others may begin */
};

uint64_t operation_now(const struct service *s);
/* The time left until its deadline, less a reserve. */
uint64_t operation_time_left(const struct operation *o, uint64_t reserve);
/* Sets its one timer, to an absolute time. 0 or negative errno. */
int operation_set_timer(struct operation *o, uint64_t usec, sd_event_time_handler_t handler);

/* False: this user, or all users, have too many of these. */
bool operation_take_limit(struct operation *o, enum limit limit);
void operation_give_back_limit(struct operation *o, enum limit limit);
int operation_refuse_limit(sd_bus_error *reterr, const char *what);

void operation_free(struct operation *o);

/* Each of these ends the operation, and starts those that waited for it. */
void operation_finish(struct operation *o);
void operation_fail_with(struct operation *o, const sd_bus_error *error);
void operation_fail(struct operation *o, const char *name, const char *format, ...) _printf_(3, 4);
/* Its time is over before anything was written. */
void operation_fail_late(struct operation *o);
void operation_fail_errno(struct operation *o, int r, const char *doing);
/* For a task (task.h) that failed or timed out before anything was changed. */
void operation_fail_task(struct operation *o, struct child_result result, const char *doing);
/* Answers with what has become of its changes. */
void operation_answer(struct operation *o);

/*
 * After a step before anything is written. False: the operation has ended, since a change is refused, which
 * ends all of it unless the call is partial; or since each of them is.
 */
bool operation_goes_on_or_refuse(struct operation *o);

/* A child that read a device's files has not come back: no more are to follow it. */
void operation_note_hang(struct operation *o, struct child_result result, const struct task_note *note);

/* What the caller's options mean for the enforcer. */
struct rebind_request operation_rebind_request(const struct operation *o);
/* The same of the options of one of its changes. */
void operation_options_for_enforcer(const struct operation *o, const struct operation_options *options,
				    struct rebind_request *request);
/* Whether it changes this device. */
bool operation_is_about(const struct operation *o, const char *bus, const char *name);
/* Some device is the same. */
bool operations_share_device(const struct operation *a, const struct operation *b);
/* Some file that both are going to write, or have written, is the same. */
bool operations_share_file(const struct operation *a, const struct operation *b);

/* Whether devices may be read: what speaks against one is left in its change. 0, or negative errno with the
 * error if it speaks against all. */
int operation_check_devices(struct operation *o, sd_bus_error *reterr);
void change_refuse_gone(struct device_change *c);
/* Looks at the devices of the call, and then calls done(o). 0 or negative errno. */
int operation_refresh_devices(struct operation *o, void (*done)(void *userdata));
/* How many processes a step with the devices of the call costs. */
unsigned operation_processes(const struct operation *o);

/*
 * operation-batch.c: has the enforcer do what the request says (devices and options aside) for all changes
 * but those that are left out, then calls done(o); at once if there is none. Each has its result then.
 */
void operation_enforce(struct operation *o, const struct rebind_request *how,
		       bool (*leave_out)(const struct device_change *c), void (*done)(struct operation *o));
void operation_free_batches(struct operation *o);

/* operation-rest.c: what the enforcer had no time to begin is no failure, and follows when the call is
 * answered. */
void operation_note_rest(struct operation *o);
void operation_start_rest(struct operation *o);

/* operation-arguments.c: 0, or negative errno with the error set if the call makes no sense; what is wrong
 * with one of its changes is left in that. */
int operation_read_arguments(struct operation *o, const char *bus, const char *name, sd_bus_error *reterr);

/* operation-authorize.c: asks polkit, then executes the operation or ends it. 0 or negative errno. */
int operation_authorize(struct operation *o, sd_bus_error *reterr);

/* operation.c: once the caller may have it done, or if anybody may. */
void operation_execute(struct operation *o);

/* operation-set.c: calls that write policy, and Apply and Release, which have one device rebound. */
bool operation_changes_policy(const struct operation *o);
/* Starts the child that makes the plans; with staging, it leaves them in a staging directory, too. */
int set_operation_plan(struct operation *o, bool with_staging, task_done_t done);
/* For what that calls when it is done. False: the operation has ended. */
bool set_operation_take_plan_or_refuse(struct operation *o, struct child_result result, const char *out,
				       size_t size, const struct task_note *note);
/* Gives it the name of a staging directory that nobody else has. */
int operation_alloc_staging_path(struct operation *o);
void set_operation_write(struct operation *o);
void set_operation_wait(struct operation *o);
void set_operations_run_waiting(struct service *s);
void set_operation_rebind(struct operation *o);

/* operation-dry-run.c: between a planned change and set_operation_write(). */
void dry_run_start(struct operation *o);
void operation_remove_staging(struct operation *o);

/* operation-bulk.c: calls about all devices. 0: started, or ended already; negative errno. */
int bulk_operation_start(struct operation *o);
void bulk_operations_run_waiting(struct service *s);
int reload_operation_start(struct operation *o);
