/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a call means for the policy files; see drop-in-plan.h. */
#include "daemon/bus/bus.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/operation/drop-in-plan-parts.h"
#include "policy/decide.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int drop_in_plan_refuse(struct work *w, const char *name, const char *format, ...)
{
	_cleanup_(freep) char *text = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);
	(void)fputs(name, w->out);
	(void)fputc('\0', w->out);
	utf8_write(w->out, text ? text : name);
	(void)fputc('\0', w->out);
	return 1;
}

static int load_staged(struct work *w, const char *dir, struct policy **ret)
{
	struct settings settings = *w->planning->service->settings;

	if (settings.n_conf_dirs == CONF_DIRS_MAX)
		return -E2BIG;
	memmove(settings.conf_dirs + 1, settings.conf_dirs, settings.n_conf_dirs * sizeof(char *));
	settings.conf_dirs[0] = dir;
	settings.n_conf_dirs++;
	return policy_load(&settings, ret);
}

/* The parser has the last word on what was written, and has to have understood what was meant. */
static int check_text(struct work *w, const struct policy *policy, const char *path)
{
	const struct drop_in_plan_work *p = w->planning;
	const struct rule *rule = NULL;

	for (size_t i = 0; i < policy->n_errors; i++)
		if (streq(policy->errors[i].file, path))
			return drop_in_plan_refuse(w, ERROR_INVALID, "%s", policy->errors[i].text);
	for (size_t i = 0; i < policy->n_rules && !rule; i++)
		if (streq(policy->rules[i]->file, path))
			rule = policy->rules[i];
	if (!rule || (rule->driver.kind == DRIVER_NAMED && !streq(rule->driver.name, p->driver)) ||
	    ((p->options->given & OPTION_MODULE) &&
	     !(rule->module && streq(rule->module, p->options->module))) ||
	    (rule->group == GROUP_GIVE && rule->group_driver.kind == DRIVER_NAMED &&
	     !streq(rule->group_driver.name, p->options->group)))
		return drop_in_plan_refuse(w, ERROR_INVALID, "%s cannot be written down in a policy file",
					   p->driver);
	return 0;
}

/* Of a rule in the way that set has written for this device, too: how to be rid of it. False: it is none. */
static bool way_out(struct work *w, const char *file, char *buf, size_t size)
{
	bool runtime;
	enum drop_in_key by;

	if (!drop_in_plan_is_of_set(w, file, &by, &runtime))
		return false;
	(void)snprintf(buf, size, "set wrote, too; clear with by=%s%s removes it", drop_in_key_to_string(by),
		       runtime ? " and runtime" : "");
	return true;
}

/* With the plan in force: does the new rule decide, or what does? */
static int check_decision(struct work *w, const char *dir)
{
	const struct drop_in_plan_work *p = w->planning;
	struct decision decision;
	struct policy *policy;
	char path[PATH_MAX], way[128] = "";
	int r = load_staged(w, dir, &policy);

	if (r < 0)
		return r;
	policy_decide_own(policy, &w->device->device, &decision);
	if (!p->driver) {
		if (drop_in_plan_is_empty(&w->plan) && decision.rule)
			return drop_in_plan_refuse(
				w, ERROR_SHADOWED, "%s:%u [device %s] decides, which %s", decision.rule->file,
				decision.rule->line, decision.rule->label,
				way_out(w, decision.rule->file, way, sizeof(way))
					? way
					: "set has not written here; a rule that says Driver=default exempts "
					  "the device");
		return 0;
	}
	(void)path_printf(path, sizeof(path), "%s%s", dir, strrchr(w->plan.files[0].path, '/'));
	r = check_text(w, policy, path);
	if (r != 0)
		return r;
	if (!decision.rule)
		return drop_in_plan_refuse(w, ERROR_INVALID, "the rule would not match %s %s", p->bus,
					   p->name);
	if (!streq(decision.rule->file, path))
		return drop_in_plan_refuse(
			w, ERROR_SHADOWED, "%s:%u [device %s] comes first%s%s%s", decision.rule->file,
			decision.rule->line, decision.rule->label,
			decision.kind == DECISION_UNKNOWN ? ", and may match once the device can be read"
							  : "",
			way_out(w, decision.rule->file, way, sizeof(way)) ? ", which " : "", way);
	return 0;
}

static void put_plan(struct work *w)
{
	(void)fputc('\0', w->out);
	for (size_t i = 0; i < w->plan.n; i++) {
		const struct drop_in_plan_file *f = &w->plan.files[i];

		(void)fprintf(w->out, "%s%c%c%s%c%c%s%c", f->path, 0, f->before ? '+' : '-',
			      f->before ? f->before : "", 0, f->after ? '+' : '-', f->after ? f->after : "",
			      0);
	}
}

int drop_in_plan_work(FILE *out, struct task_note *note, void *arg)
{
	const struct drop_in_plan_work *p = arg;
	struct work w = { .planning = p, .out = out };
	char dir[PATH_MAX];
	int r = refresh_worker_begin(&w.surveying, p->service, out, note);

	if (r >= 0)
		r = refresh_worker_find_device(&w.surveying, p->bus, p->name, &w.device);
	if (r == -ENODEV)
		r = drop_in_plan_refuse(&w, ERROR_NO_SUCH_DEVICE, "%s %s has gone", p->bus, p->name);
	else if (r >= 0)
		r = p->driver ? drop_in_plan_set(&w) : drop_in_plan_clear(&w);
	if (r == 0 && p->driver && w.plan.n == 0)
		r = drop_in_plan_refuse(&w, ERROR_INVALID, "there is no directory for such rules");
	if (r != 0)
		return r < 0 ? r : 0;

	/* A look at it only: nobody needs the directory afterwards. */
	if (p->staging)
		r = path_printf(dir, sizeof(dir), "%s", p->staging);
	else
		r = path_printf(dir, sizeof(dir), "%s/staging/look-%d", p->service->settings->state_dir,
				(int)getpid());
	if (r >= 0)
		r = drop_in_plan_stage(&w.plan, p->service->settings, dir);
	if (r >= 0)
		r = check_decision(&w, dir);
	if (!p->staging || r != 0)
		staging_remove(dir);
	if (r == 0)
		put_plan(&w);
	return r < 0 ? r : 0;
}

static int take(const char **at, const char *end, char **ret, bool optional)
{
	const char *nul = memchr(*at, '\0', (size_t)(end - *at));

	if (!nul)
		return -EBADMSG;
	if (optional && **at == '-')
		*ret = NULL;
	else {
		*ret = strdup(*at + optional);
		if (!*ret)
			return -ENOMEM;
	}
	*at = nul + 1;
	return 0;
}

int drop_in_plan_read(const char *out, size_t size, struct drop_in_plan *ret, sd_bus_error *error)
{
	const char *at = out, *end = out + size;
	struct drop_in_plan plan = {};
	int r = 0;

	if (size == 0 || !memchr(out, '\0', size))
		return -EBADMSG;
	if (*out)
		return sd_bus_error_set(error, out, out + strlen(out) + 1);
	for (at++; r >= 0 && at < end && plan.n < PLAN_FILES_MAX; plan.n++) {
		struct drop_in_plan_file *f = &plan.files[plan.n];

		r = take(&at, end, &f->path, false);
		if (r >= 0)
			r = take(&at, end, &f->before, true);
		if (r >= 0)
			r = take(&at, end, &f->after, true);
	}
	if (r < 0) {
		drop_in_plan_done(&plan);
		return r;
	}
	*ret = plan;
	return 0;
}
