/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between operation.c, changing.c, trying.c and applying.c only: a call on its way, and the steps that all
 * share. */
#pragma once

#include "daemon/bus/polkit.h"
#include "daemon/operation/operation.h"
#include "daemon/operation/drop-in-plan.h"
#include "daemon/reconcile/rebind-queue.h"
#include "daemon/refresh/refresh.h"

/* Answered within 20 s, what comes before and after included. */
#define ANSWER_USEC (18U * UINT64_C(1000000))
/* Of the whole, for looking what has become of it. */
#define RESERVE_USEC (2U * UINT64_C(1000000))
/* And before that, where something has been written, for writing it back. */
#define RESTORE_USEC (1U * UINT64_C(1000000))

enum phase {
	PHASE_WHO,	 /* sends it */
	PHASE_AUTHORIZE, /* him who is not root */
	PHASE_WAIT,	 /* for its turn */
	PHASE_PLAN,
	PHASE_TRY,
	PHASE_WRITE,
	PHASE_REBIND,
	PHASE_RESTORE,
	PHASE_LOOK,
};

struct operation {
	struct operation *next;
	struct service *service;
	sd_bus_message *call;
	enum operation_kind kind;
	enum phase phase;
	uid_t uid; /* from PHASE_AUTHORIZE on */
	char *bus, *name, *driver;
	struct options options;
	char *staging;
	struct plan plan;
	struct planning planning;
	struct rebinding_result result;
	struct authorization *authorization;
	struct task *task;
	uint64_t write_usec; /* for the writer, which waits for others itself */
	struct rebinding *rebinding;
	struct survey *survey;
	uint64_t deadline; /* for its answer */
	uint64_t asked;	   /* since when a person may be typing a password; 0: nobody is asked */
	sd_event_source *timer;
	struct all *all; /* OPERATION_APPLY_ALL */
};

struct operations {
	struct operation *first; /* in the order in which they came */
	size_t n;
	uint64_t serial;
};

uint64_t operation_now(const struct service *s);
/* How much of its time is left, but for a reserve. */
uint64_t operation_left(const struct operation *o, uint64_t reserve);

/* Each of these ends the operation, and gives the others their turn. */
void operation_finish(struct operation *o);
void operation_fail_with(struct operation *o, const sd_bus_error *error);
void operation_fail(struct operation *o, const char *name, const char *format, ...) _printf_(3, 4);
void operation_fail_errno(struct operation *o, int r, const char *doing);
void operation_answer_state(struct operation *o);
/* What a task said about itself (task.h) when it did not do what it should. */
void operation_task_failed(struct operation *o, int result, const char *doing);

/* What the caller's options mean for the enforcer. */
struct rebinding_order operation_order(const struct operation *o, const char *bus, const char *name);

/* changing.c: a call that writes policy, or has one device rebound. */
bool operation_changes_policy(const struct operation *o);
int changing_plan(struct operation *o, bool to_do, task_done_t done);
/* Gives it a staging directory of its own, by name. */
int changing_name_staging(struct operation *o);
void changing_write(struct operation *o);
void changing_wait(struct operation *o);
void changing_run_waiting(struct service *s);
void changing_rebind(struct operation *o);

/* trying.c: a planned change, before changing_write() */
void trying_begin(struct operation *o);
void trying_leave_staging(struct operation *o);

/* applying.c: calls that are about all devices. 0: under way, or ended; negative errno. */
int applying_all(struct operation *o);
void applying_run_waiting(struct service *s);
void applying_free(struct all *all);
int applying_reload(struct operation *o);
