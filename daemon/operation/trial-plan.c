/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a change means for trials of its device; see trial-plan.h. */
#include "daemon/operation/trial-plan.h"
#include "base/macro.h"
#include "base/text.h"
#include "base/time.h"
#include "daemon/bus/errors.h"
#include "state/state-file.h"
#include "state/trial.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

void trial_plan_done(struct trial_plan *t)
{
	free(t->id);
	free(t->old_id);
	*t = (struct trial_plan){};
}

/* The trial that there is. */
struct trial_old {
	char path[PATH_MAX];
	char *text; /* NULL: none */
	struct trial trial;
};

static int plan_put_trial(struct drop_in_plan *plan, size_t at, const char *path, const char *before,
			  const char *after)
{
	struct drop_in_plan_file f = { .path = strdup(path),
				       .before = before ? strdup(before) : NULL,
				       .after = after ? strdup(after) : NULL };

	if (plan->n == PLAN_FILES_MAX || !f.path || (before && !f.before) || (after && !f.after)) {
		free(f.path);
		free(f.before);
		free(f.after);
		return -ENOMEM;
	}
	memmove(plan->files + at + 1, plan->files + at, (plan->n - at) * sizeof(f));
	plan->files[at] = f;
	plan->n++;
	return 0;
}

static const struct trial_file *trial_find_file(const struct trial *trial, const char *path)
{
	for (size_t i = 0; i < trial->n; i++)
		if (streq(trial->files[i].path, path))
			return &trial->files[i];
	return NULL;
}

/* The plan's files, but with what there was before the first trial; and those of the old one that it leaves.
 */
static int trial_set_files(struct trial *trial, const struct drop_in_plan *plan, const struct trial *old)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct drop_in_plan_file *f = &plan->files[i];
		const struct trial_file *first = trial_find_file(old, f->path);

		trial->files[trial->n++] =
			(struct trial_file){ f->path, first ? first->before : f->before, f->after };
	}
	for (size_t i = 0; i < old->n; i++)
		if (!trial_find_file(trial, old->files[i].path)) {
			if (trial->n == TRIAL_FILES_MAX)
				return -E2BIG;
			trial->files[trial->n++] = old->files[i];
		}
	return 0;
}

static int trial_new_text(const struct trial_plan *t, const struct trial_request *request,
			  const struct drop_in_plan *plan, const struct trial *old, char **ret)
{
	const struct operation_options *p = request->options;
	struct trial trial = { .id = t->id,
			       .bus = request->bus,
			       .name = request->name,
			       .until = t->until,
			       .force = p->force,
			       .any_device = p->any_device,
			       .driver = request->driver,
			       .by = drop_in_key_to_string(p->by),
			       .group = p->given & OPTION_GROUP ? p->group : NULL,
			       .module = p->given & OPTION_MODULE ? p->module : NULL,
			       .rebind = p->rebind != REBIND_UNSET ? rebind_to_string(p->rebind) : NULL };
	int r = trial_set_files(&trial, plan, old);

	if (r < 0)
		return r;
	*ret = trial_text(&trial);
	return *ret ? 0 : -ENOMEM;
}

/* Adds the trial that begins: first, so that it stands before any policy is changed. */
static int trial_plan_begin(struct trial_plan *t, const struct trial_request *request,
			    struct drop_in_plan *plan, const struct trial_old *old)
{
	_cleanup_(freep) char *text = NULL;
	int r;

	t->until = boottime_usec() + request->options->try_usec;
	if (asprintf(&t->id, "%jx", (uintmax_t)t->until) < 0) {
		t->id = NULL;
		return -ENOMEM;
	}
	r = trial_new_text(t, request, plan, &old->trial, &text);
	return r < 0 ? r : plan_put_trial(plan, 0, old->path, old->text, text);
}

static bool plan_touches_trial(const struct drop_in_plan *plan, const struct trial *trial)
{
	for (size_t i = 0; i < plan->n; i++)
		if (trial_find_file(trial, plan->files[i].path))
			return true;
	return false;
}

static void trial_old_done(struct trial_old *old)
{
	trial_done(&old->trial);
	free(old->text);
}

/* 0, also where there is none; negative errno. */
static int trial_old_read(struct trial_old *old, const struct trial_request *request)
{
	char *text;
	int r = trial_path(request->state_dir, request->bus, request->name, old->path, sizeof(old->path));

	if (r >= 0)
		r = state_file_read(old->path, &old->text);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	text = strdup(old->text);
	r = text ? trial_parse(text, &old->trial) : -ENOMEM;
	/* One that nobody can read goes nowhere back, and is replaced. */
	return r == -EBADMSG ? 0 : r;
}

int trial_plan_make(const struct trial_request *request, struct drop_in_plan *plan, struct trial_plan *ret)
{
	_cleanup_(trial_old_done) struct trial_old old = {};
	const bool begins = request->options->given & OPTION_TRY, changes = !drop_in_plan_is_empty(plan);
	bool ends;
	int r = trial_old_read(&old, request);

	if (r < 0)
		return r;
	if (old.trial.id) {
		ret->old_id = strdup(old.trial.id);
		ret->old_until = old.trial.until;
	}
	if (begins && (changes || (old.trial.id && !old.trial.is_back))) {
		r = trial_plan_begin(ret, request, plan, &old);
		return r < 0 ? r : 1;
	}
	/* Of one whose policy is back only the device is left, and that goes where this change has it. */
	ends = old.trial.is_back ? changes : old.trial.id && plan_touches_trial(plan, &old.trial);
	if (!ends)
		return 0;
	ret->ends_old = true;
	return plan_put_trial(plan, plan->n, old.path, old.text, NULL);
}

static int confirm_take_options(const struct trial *trial, struct operation_options *p)
{
	if (trial->group) {
		text_copy(p->group, sizeof(p->group), trial->group);
		p->given |= OPTION_GROUP;
	}
	if (trial->module) {
		text_copy(p->module, sizeof(p->module), trial->module);
		p->given |= OPTION_MODULE;
	}
	if (trial->rebind) {
		if (rebind_from_string(trial->rebind, &p->rebind) < 0)
			return -EBADMSG;
		p->given |= OPTION_REBIND;
	}
	p->any_device = trial->any_device;
	p->given |= OPTION_BY;
	return drop_in_key_from_string(trial->by, &p->by) < 0 ? -EBADMSG : 0;
}

int trial_plan_confirm(const char *state_dir, const char *bus, const char *name,
		       struct operation_options *options, char **ret_driver, sd_bus_error *reterr)
{
	_cleanup_(trial_done) struct trial trial = {};
	char path[PATH_MAX];
	int r = trial_path(state_dir, bus, name, path, sizeof(path));

	if (r >= 0)
		r = trial_read(path, &trial);
	if (r == -ENOENT || (r >= 0 && trial.is_back))
		return sd_bus_error_setf(reterr, ERROR_INVALID, "no change of %s %s is on trial", bus, name);
	if (r >= 0)
		r = confirm_take_options(&trial, options);
	if (r < 0)
		return r;
	*ret_driver = strdup(trial.driver);
	return *ret_driver ? 0 : -ENOMEM;
}
