/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The child that works out a plan: which files are written and removed, and whether policy then says what the
 * caller meant. Files that SetOverride did not write are left alone.
 */
#include "daemon/operation/drop-in-plan-worker.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/bus/errors.h"
#include "daemon/refresh/refresh-worker.h"
#include "policy/decide.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

/* One change. */
struct plan_worker {
	const struct drop_in_plan_work *work;
	const struct device_change *change;
	struct refresh_worker *reader;
	struct sysfs_device *device;
	struct drop_in_plan plan;
	struct drop_in_rule rule; /* that SetOverride writes */
	const char *error;	  /* NULL: not refused */
	char *text;		  /* why it is */
};

/* The answer is an error. Returns 1, which ends the work on this change. */
static int _printf_(3, 4) plan_refuse(struct plan_worker *w, const char *error, const char *format, ...)
{
	va_list ap;

	w->error = error;
	va_start(ap, format);
	if (vasprintf(&w->text, format, ap) < 0)
		w->text = NULL;
	va_end(ap);
	return 1;
}

static int plan_refuse_file(struct plan_worker *w, const char *path)
{
	return plan_refuse(w, ERROR_POLICY_INVALID,
			   "%s is not a file that set has written; give it another name, or remove it", path);
}

/* The device's name, path or id; NULL: it has no such thing. */
static const char *plan_key_value(struct plan_worker *w, enum drop_in_key key)
{
	struct device *d;

	if (w->change->is_absent)
		return key == KEY_NAME ? w->change->name : NULL;
	d = &w->device->device;
	switch (key) {
	case KEY_NAME:
		return w->device->name;
	case KEY_PATH:
		return device_text(d, FACT_PATH);
	case KEY_ID:
		return device_text(d, FACT_ID);
	case KEY_COUNT:
		break;
	}
	return NULL;
}

/* Where the file for a key is, or would be: 0; -ENOENT: nowhere; -ENAMETOOLONG. */
static int plan_key_path(struct plan_worker *w, enum drop_in_key key, bool runtime, char path[PATH_MAX])
{
	const char *value = plan_key_value(w, key), *dir = drop_in_dir(w->work->service->settings, runtime);

	path[0] = '\0';
	return value && dir ? drop_in_path(dir, runtime, key, w->change->bus, value, path, PATH_MAX)
			    : -ENOENT;
}

/*
 * Adds the file for a key to the plan, with its text afterwards; NULL: it is removed. Takes the text in any
 * case. 1: added; 0: there is no file to remove; -EEXIST: a file is there that SetOverride did not write;
 * other negative errno.
 */
static int plan_add_file(struct plan_worker *w, enum drop_in_key key, bool runtime, char *after,
			 char path[PATH_MAX])
{
	struct drop_in_plan_file f = { .after = after };
	int r = plan_key_path(w, key, runtime, path);

	if (r >= 0)
		r = drop_in_read(path, &f.before);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!after && !f.before)
		return 0;
	f.path = strdup(path);
	if (!f.path)
		return -ENOMEM;
	if (w->plan.n == PLAN_FILES_MAX)
		return -E2BIG;
	w->plan.files[w->plan.n++] = f;
	return 1;
}

/*
 * Removes SetOverride's other rules of the device that would come before the new one, or that the new one
 * replaces; a rule that lasts replaces those until the next boot, too. A rule by id may govern other devices,
 * so it is removed only for a new rule by id.
 */
static int plan_remove_superseded(struct plan_worker *w, enum drop_in_key key)
{
	const bool lasts = !w->change->options.runtime;
	char path[PATH_MAX];

	for (unsigned runtime = !lasts; runtime <= 1; runtime++)
		for (enum drop_in_key other = KEY_NAME; other < KEY_COUNT; other++) {
			int r;

			if ((other == key && runtime == !lasts) || (other == KEY_ID && key != KEY_ID))
				continue;
			r = plan_add_file(w, other, runtime, NULL, path);
			/* A file that is not ours stays. If it beats the new rule, plan_check_rule() says so.
			 */
			if (r < 0 && r != -EEXIST && r != -ENAMETOOLONG)
				return r;
		}
	return 0;
}

/* A file of the same name in an earlier directory, or a link to /dev/null there, hides the new file. */
static int plan_check_hidden(struct plan_worker *w, const char *path)
{
	const struct settings *settings = w->work->service->settings;
	const char *name = strrchr(path, '/');
	char other[PATH_MAX];
	struct stat st;

	for (size_t i = 0; i < settings->n_conf_dirs; i++) {
		if (path_printf(other, sizeof(other), "%s%s", settings->conf_dirs[i], name) < 0)
			return -ENAMETOOLONG;
		if (streq(other, path))
			return 0;
		if (lstat(other, &st) >= 0)
			return plan_refuse(w, ERROR_SHADOWED,
					   "%s hides %s, which the rule would be written to; remove it first",
					   other, path);
	}
	return 0;
}

/* Refuses a rule by id that governs another device which is present, unless the caller forces it. */
static int plan_check_id(struct plan_worker *w, const char *path)
{
	const char *id = device_text(&w->device->device, FACT_ID), *other;
	const struct device_change *change = w->change;
	struct sysfs_device **v;
	size_t n;
	int r;

	if (change->options.force)
		return 0;
	r = sysfs_enumerate(&w->reader->sysfs, &v, &n);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		if (!streq(v[i]->bus, change->bus) || streq(v[i]->name, change->name))
			continue;
		other = device_text(&v[i]->device, FACT_ID);
		if (!id || !other || !streq(id, other))
			continue;
		if (path)
			return plan_refuse(w, ERROR_INVALID, "%s is for %s %s, too; that needs force", path,
					   v[i]->bus, v[i]->name);
		return plan_refuse(w, ERROR_INVALID,
				   "a rule for the id of %s %s catches %s %s, too; that needs force",
				   change->bus, change->name, v[i]->bus, v[i]->name);
	}
	return r < 0 ? r : 0;
}

/*
 * The files that SetOverride or ClearOverride writes and removes. 0: they are in the plan, for SetOverride
 * the new one first; 1: refused; negative errno.
 */
static int plan_set(struct plan_worker *w)
{
	const struct device_change *change = w->change;
	const struct operation_options *o = &change->options;
	char *text, path[PATH_MAX];
	int r = 0;

	w->rule = (struct drop_in_rule){ .bus = change->bus,
					 .value = plan_key_value(w, o->by),
					 .driver = change->driver,
					 .key = o->by,
					 .group = o->given & OPTION_GROUP ? o->group : NULL,
					 .module = o->given & OPTION_MODULE ? o->module : NULL,
					 .rebind = o->rebind };
	if (!w->rule.value)
		return plan_refuse(w, ERROR_INVALID, "%s %s cannot be named by its %s: only PCI devices can",
				   change->bus, change->name, drop_in_key_to_string(o->by));
	if (o->by == KEY_ID)
		r = plan_check_id(w, NULL);
	if (r != 0)
		return r;
	if (!change->is_absent && !o->any_device)
		drop_in_set_identity(&w->rule, &w->device->device);
	text = drop_in_text(&w->rule);
	if (!text)
		return -ENOMEM;
	r = plan_add_file(w, o->by, o->runtime, text, path);
	if (r == -ENAMETOOLONG)
		return plan_refuse(w, ERROR_INVALID, "the name of %s %s is too long for a policy file",
				   change->bus, change->name);
	if (r == -EEXIST)
		return plan_refuse_file(w, path);
	if (r > 0)
		r = plan_check_hidden(w, path);
	else if (r == 0)
		return plan_refuse(w, ERROR_INVALID, "there is no directory for such rules");
	return r != 0 ? r : plan_remove_superseded(w, o->by);
}

static int plan_clear(struct plan_worker *w)
{
	const struct operation_options *o = &w->change->options;
	char path[PATH_MAX], not_ours[PATH_MAX] = "";

	for (enum drop_in_key key = KEY_NAME; key < KEY_COUNT; key++) {
		int r;

		if ((o->given & OPTION_BY) && key != o->by)
			continue;
		r = plan_add_file(w, key, o->runtime, NULL, path);
		if (r == -EEXIST)
			text_copy(not_ours, sizeof(not_ours), path);
		else if (r < 0 && r != -ENAMETOOLONG)
			return r;
		if (r > 0 && key == KEY_ID) {
			r = plan_check_id(w, path);
			if (r != 0)
				return r;
		}
	}
	return w->plan.n == 0 && not_ours[0] ? plan_refuse_file(w, not_ours) : 0;
}

static int load_staged_policy(const struct drop_in_plan_work *work, const char *dir, struct policy **ret)
{
	struct settings settings = *work->service->settings;

	if (settings.n_conf_dirs == CONF_DIRS_MAX)
		return -E2BIG;
	memmove(settings.conf_dirs + 1, settings.conf_dirs, settings.n_conf_dirs * sizeof(char *));
	settings.conf_dirs[0] = dir;
	settings.n_conf_dirs++;
	/* What has failed is in force again once anything is written. */
	settings.disk_only = true;
	return policy_load(&settings, ret);
}

/* Parses what would be written, and refuses it unless the parser understood what the caller meant. */
static int plan_check_text(struct plan_worker *w, const struct policy *policy, const char *path)
{
	const struct rule *rule = NULL;
	size_t n = 0;

	for (size_t i = 0; i < policy->n_errors; i++)
		if (streq(policy->errors[i].file, path))
			return plan_refuse(w, ERROR_INVALID, "%s", policy->errors[i].text);
	for (size_t i = 0; i < policy->n_rules; i++)
		if (streq(policy->rules[i]->file, path)) {
			rule = policy->rules[i];
			n++;
		}
	if (n != 1 || !drop_in_rule_is_understood(&w->rule, rule))
		return plan_refuse(w, ERROR_INVALID, "%s for %s %s cannot be written down in a policy file",
				   w->change->driver, w->change->bus, w->change->name);
	return 0;
}

/* Says how to remove the rule in the way, if SetOverride wrote it for this device; false: it did not. */
static bool plan_describe_removal(struct plan_worker *w, const char *file, char *buf, size_t size)
{
	char path[PATH_MAX];

	for (unsigned runtime = 0; runtime <= 1; runtime++)
		for (enum drop_in_key key = KEY_NAME; key < KEY_COUNT; key++) {
			_cleanup_(freep) char *text = NULL;

			if (plan_key_path(w, key, runtime, path) < 0 || !streq(path, file))
				continue;
			if (drop_in_read(path, &text) <= 0)
				return false;
			(void)snprintf(buf, size, "set wrote, too; clear with by=%s%s removes it",
				       drop_in_key_to_string(key), runtime ? " and runtime" : "");
			return true;
		}
	return false;
}

/* ClearOverride had nothing to remove: refuse it if a rule decides all the same. */
static int plan_check_clear(struct plan_worker *w, const struct decision *decision)
{
	char removal[128];

	if (!drop_in_plan_is_empty(&w->plan) || !decision->rule)
		return 0;
	return plan_refuse(w, ERROR_SHADOWED, "%s:%u [device %s] decides, which %s", decision->rule->file,
			   decision->rule->line, decision->rule->label,
			   plan_describe_removal(w, decision->rule->file, removal, sizeof(removal))
				   ? removal
				   : "set has not written here; a rule that says Driver=default exempts the "
				     "device");
}

/* Refuses SetOverride unless its new rule decides about the device. */
static int plan_check_rule(struct plan_worker *w, const struct decision *decision, const char *path)
{
	const struct rule *rule = decision->rule;
	char removal[128] = "";
	bool is_removable;

	if (!rule)
		return plan_refuse(w, ERROR_INVALID, "the rule would not match %s %s", w->change->bus,
				   w->change->name);
	if (streq(rule->file, path))
		return 0;
	is_removable = plan_describe_removal(w, rule->file, removal, sizeof(removal));
	return plan_refuse(
		w, ERROR_SHADOWED, "%s:%u [device %s] comes first%s%s%s", rule->file, rule->line, rule->label,
		decision->kind == DECISION_UNKNOWN ? ", and may match once the device can be read" : "",
		is_removable ? ", which " : "", removal);
}

/* Decides about the device with all plans staged in that directory, of which this is the policy. */
static int plan_check_staged(struct plan_worker *w, const struct policy *policy, const char *dir)
{
	struct decision decision = {};
	char path[PATH_MAX];
	int r;

	if (!w->change->is_absent)
		policy_decide_own(policy, &w->device->device, &decision);
	else if (!w->change->driver)
		return 0;
	if (!w->change->driver)
		return plan_check_clear(w, &decision);
	r = path_printf(path, sizeof(path), "%s%s", dir, strrchr(w->plan.files[0].path, '/'));
	if (r >= 0)
		r = plan_check_text(w, policy, path);
	return r == 0 && !w->change->is_absent ? plan_check_rule(w, &decision, path) : r;
}

/* One that is refused is not going to be written, so the others are checked again without it. 1: some were.
 */
static int plans_check_staged(struct plan_worker *workers, size_t n, const char *dir)
{
	struct policy *policy;
	bool refused = false;
	int r = load_staged_policy(workers[0].work, dir, &policy);

	for (struct plan_worker *w = workers; r >= 0 && w < workers + n; w++) {
		if (w->error)
			continue;
		r = plan_check_staged(w, policy, dir);
		if (r > 0) {
			refused = true;
			drop_in_plan_unstage(&w->plan, dir);
		}
	}
	return r < 0 ? r : refused;
}

/* Two of the changes would write the same file, which a rule by id can be. */
static void plans_refuse_overlap(struct plan_worker *workers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i && !workers[i].error; k++)
			if (!workers[k].error && drop_in_plans_overlap(&workers[i].plan, &workers[k].plan))
				(void)plan_refuse(&workers[i], ERROR_INVALID,
						  "the change of %s %s writes the same policy file",
						  workers[k].change->bus, workers[k].change->name);
}

static int plans_stage_and_check(struct plan_worker *workers, size_t n)
{
	const struct drop_in_plan_work *work = workers[0].work;
	char dir[PATH_MAX];
	int r;

	if (work->staging)
		r = path_printf(dir, sizeof(dir), "%s", work->staging);
	else
		r = path_printf(dir, sizeof(dir), "%s/staging/look-%d", work->service->settings->state_dir,
				(int)getpid());
	if (r >= 0)
		r = staging_make(dir);
	for (size_t i = 0; r >= 0 && i < n; i++)
		if (!workers[i].error)
			r = drop_in_plan_stage(&workers[i].plan, work->service->settings, dir);
	if (r >= 0)
		do
			r = plans_check_staged(workers, n, dir);
		while (r > 0);
	/* Otherwise the service removes it, with the operation. */
	if (!work->staging)
		staging_remove(dir);
	return r;
}

/* The files that one change writes and removes. 0; 1: it is refused; negative errno. */
static int plan_begin(struct plan_worker *w)
{
	const struct device_change *change = w->change;
	int r = change->is_absent
			? 0
			: refresh_worker_find_device(w->reader, change->bus, change->name, &w->device);

	if (r >= 0 && !change->is_absent && w->device->inode != change->inode)
		r = -ENODEV;
	if (r == -ENODEV)
		return plan_refuse(w, ERROR_NO_SUCH_DEVICE,
				   "%s %s has gone, or another device has its name now", change->bus,
				   change->name);
	if (r < 0)
		return r;
	return change->driver ? plan_set(w) : plan_clear(w);
}

/* An error's name and text, or an empty name and the plan. */
static void plan_serialize(const struct plan_worker *w, FILE *out)
{
	if (w->error)
		(void)fputs(w->error, out);
	(void)fputc('\0', out);
	if (w->error) {
		utf8_write(out, w->text ? w->text : w->error);
		(void)fputc('\0', out);
	} else
		drop_in_plan_serialize(&w->plan, out);
}

int drop_in_plan_work(FILE *out, struct task_note *note, void *arg)
{
	const struct drop_in_plan_work *work = arg;
	struct plan_worker *workers = calloc(work->n, sizeof(*workers)); /* freed by the process's end */
	struct refresh_worker reader;
	int r = workers ? refresh_worker_begin(&reader, work->service, out, note) : -ENOMEM;
	size_t n = 0;

	for (size_t i = 0; r >= 0 && i < work->n; i++) {
		if (sd_bus_error_is_set(&work->changes[i].error))
			continue;
		workers[n] =
			(struct plan_worker){ .work = work, .change = &work->changes[i], .reader = &reader };
		r = plan_begin(&workers[n++]);
	}
	if (r < 0)
		return r;
	plans_refuse_overlap(workers, n);
	r = n > 0 ? plans_stage_and_check(workers, n) : 0;
	for (size_t i = 0; r >= 0 && i < n; i++)
		plan_serialize(&workers[i], out);
	return r < 0 ? r : 0;
}

int drop_in_plan_work_read(const struct drop_in_plan_work *work, const char *out, size_t size)
{
	const char *at = out, *end = out + size;
	int r = 0;

	for (struct device_change *c = work->changes; r >= 0 && c < work->changes + work->n; c++) {
		const char *error = at, *nul = memchr(at, '\0', (size_t)(end - at)), *text;

		if (sd_bus_error_is_set(&c->error))
			continue;
		if (!nul)
			return -EBADMSG;
		at = text = nul + 1;
		if (!*error) {
			r = drop_in_plan_deserialize(&at, end, &c->plan);
			continue;
		}
		nul = memchr(text, '\0', (size_t)(end - text));
		if (!nul)
			return -EBADMSG;
		at = nul + 1;
		(void)sd_bus_error_set(&c->error, error, text);
	}
	return r;
}
