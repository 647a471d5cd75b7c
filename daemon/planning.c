/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a call means for the policy files; see planning.h. */
#include "bus.h"
#include "planning.h"
#include "surveying.h"
#include "text.h"

#include "../policy/decide.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

/* Of a file of ours: more than this, it is none. */
#define OURS_MAX 65536U

struct work {
	const struct planning *planning;
	struct surveying surveying;
	struct sysfs_device *device;
	struct plan plan;
	FILE *out;
};

/* The answer is an error. Returns 1, which ends the work. */
static int _printf_(3, 4) refuse(struct work *w, const char *name, const char *format, ...)
{
	_cleanup_(freep) char *text = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);
	(void)fputs(name, w->out);
	(void)fputc('\0', w->out);
	text_put_utf8(w->out, text ? text : name);
	(void)fputc('\0', w->out);
	return 1;
}

static int read_before(const char *path, char **ret)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_(freep) char *text = NULL;
	size_t size;
	int r;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : negative_errno();
	r = read_full(fd, 4096, OURS_MAX, &text, &size);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(text);
	return 1;
}

/* The name, path or id by which rules of a kind know the device; NULL: it has no such thing. */
static const char *value_of(struct work *w, enum by by)
{
	struct device *d = &w->device->device;

	switch (by) {
	case BY_NAME:
		return w->device->name;
	case BY_PATH:
		return device_text(d, FACT_PATH);
	case BY_ID:
		return device_text(d, FACT_ID);
	case BY_COUNT:
		break;
	}
	return NULL;
}

/* The file of a kind, as it is: 1: in the plan; 0: there is none and none can be; negative errno. */
static int plan_add(struct work *w, enum by by, bool runtime, char *after)
{
	const struct planning *p = w->planning;
	const char *value = value_of(w, by), *dir = drop_in_dir(p->service->settings, runtime);
	struct plan_file *f = &w->plan.files[w->plan.n];
	char path[PATH_MAX];
	int r;

	if (!value || !dir)
		return 0;
	r = drop_in_path(dir, runtime, by, p->bus, value, path, sizeof(path));
	if (r < 0)
		return r;
	f->path = strdup(path);
	f->after = after;
	if (!f->path)
		return -ENOMEM;
	r = read_before(path, &f->before);
	if (r < 0)
		return r;
	w->plan.n++;
	return 1;
}

/* Our own rules of the same device that would stand before the new one, or that the new one replaces: also
 * those until the next boot, when it is to last. */
static int plan_superseded(struct work *w, enum by by)
{
	const bool lasts = !w->planning->options->runtime;

	for (unsigned runtime = !lasts; runtime <= 1; runtime++)
		for (enum by other = BY_NAME; other <= BY_PATH; other++) {
			int r;

			if (other == by && runtime == !lasts)
				continue; /* the new one itself */
			r = plan_add(w, other, runtime, NULL);
			if (r < 0)
				return r;
			if (r > 0 && !w->plan.files[w->plan.n - 1].before)
				w->plan.n--; /* nothing to remove */
		}
	return 0;
}

/* Other devices that are here and that a rule for this one's id catches, too. */
static int other_with_id(struct work *w, char *buf, size_t size)
{
	struct sysfs_device **v;
	const char *id = device_text(&w->device->device, FACT_ID), *other;
	size_t n;
	int r = sysfs_enumerate(&w->surveying.sysfs, &v, &n);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (!streq(v[i]->bus, w->device->bus) || streq(v[i]->name, w->device->name))
			continue;
		other = device_text(&v[i]->device, FACT_ID);
		if (id && other && streq(id, other)) {
			(void)snprintf(buf, size, "%s %s", v[i]->bus, v[i]->name);
			return 1;
		}
	}
	return 0;
}

static int plan_set(struct work *w)
{
	const struct planning *p = w->planning;
	enum by by = p->options->by;
	const char *value = value_of(w, by);
	char *text, other[512];
	int r;

	if (!value)
		return refuse(w, ERROR_INVALID, "%s %s cannot be named by its %s: only PCI devices can",
			p->bus, p->name, by == BY_ID ? "id" : "path");
	if (by == BY_ID && !p->options->force) {
		r = other_with_id(w, other, sizeof(other));
		if (r < 0)
			return r;
		if (r > 0)
			return refuse(w, ERROR_INVALID,
				"a rule for the id of %s %s catches %s, too; that needs force", p->bus,
				p->name, other);
	}
	text = drop_in_text(p->bus, by, value, p->driver, p->options);
	if (!text)
		return -ENOMEM;
	r = plan_add(w, by, p->options->runtime, text);
	if (r == -ENAMETOOLONG)
		return refuse(
			w, ERROR_INVALID, "the name of %s %s is too long for a policy file", p->bus, p->name);
	if (r == -EFBIG || r == -ELOOP)
		return refuse(w, ERROR_POLICY_INVALID, "%s is not a file that set has written",
			w->plan.files[0].path);
	return r < 0 ? r : plan_superseded(w, by);
}

static int plan_clear(struct work *w)
{
	const struct planning *p = w->planning;
	char other[512];

	for (enum by by = BY_NAME; by < BY_COUNT; by++) {
		int r;

		if ((p->options->given & OPTION_BY) && by != p->options->by)
			continue;
		r = plan_add(w, by, p->options->runtime, NULL);
		if (r < 0 && r != -ENAMETOOLONG)
			return r;
		if (r > 0 && !w->plan.files[w->plan.n - 1].before) {
			w->plan.n--;
			continue;
		}
		if (r <= 0 || by != BY_ID || p->options->force)
			continue;
		r = other_with_id(w, other, sizeof(other));
		if (r < 0)
			return r;
		if (r > 0)
			return refuse(w, ERROR_INVALID, "%s is for %s, too; that needs force",
				w->plan.files[w->plan.n - 1].path, other);
	}
	return 0;
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
	const struct planning *p = w->planning;
	const struct rule *rule = NULL;

	for (size_t i = 0; i < policy->n_errors; i++)
		if (streq(policy->errors[i].file, path))
			return refuse(w, ERROR_INVALID, "%s", policy->errors[i].text);
	for (size_t i = 0; i < policy->n_rules && !rule; i++)
		if (streq(policy->rules[i]->file, path))
			rule = policy->rules[i];
	if (!rule || (rule->driver.kind == DRIVER_NAMED && !streq(rule->driver.name, p->driver)) ||
		((p->options->given & OPTION_MODULE) &&
			!(rule->module && streq(rule->module, p->options->module))) ||
		(rule->group == GROUP_GIVE && rule->group_driver.kind == DRIVER_NAMED &&
			!streq(rule->group_driver.name, p->options->group)))
		return refuse(w, ERROR_INVALID, "%s cannot be written down in a policy file", p->driver);
	return 0;
}

/* With the plan in force: does the new rule decide, or what does? */
static int check_decision(struct work *w, const char *dir)
{
	const struct planning *p = w->planning;
	struct decision decision;
	struct policy *policy;
	char path[PATH_MAX];
	int r = load_staged(w, dir, &policy);

	if (r < 0)
		return r;
	policy_decide_own(policy, &w->device->device, &decision);
	if (!p->driver) {
		if (plan_is_empty(&w->plan) && decision.rule)
			return refuse(w, ERROR_SHADOWED,
				"%s:%u [device %s] decides, which set has not written here; a rule that says "
				"Driver=default exempts the device",
				decision.rule->file, decision.rule->line, decision.rule->label);
		return 0;
	}
	(void)path_printf(path, sizeof(path), "%s%s", dir, strrchr(w->plan.files[0].path, '/'));
	r = check_text(w, policy, path);
	if (r != 0)
		return r;
	if (!decision.rule)
		return refuse(w, ERROR_INVALID, "the rule would not match %s %s", p->bus, p->name);
	if (!streq(decision.rule->file, path))
		return refuse(w, ERROR_SHADOWED, "%s:%u [device %s] comes first%s", decision.rule->file,
			decision.rule->line, decision.rule->label,
			decision.kind == DECISION_UNKNOWN ? ", and may match once the device can be read"
							  : "");
	return 0;
}

static void put_plan(struct work *w)
{
	(void)fputc('\0', w->out);
	for (size_t i = 0; i < w->plan.n; i++) {
		const struct plan_file *f = &w->plan.files[i];

		(void)fprintf(w->out, "%s%c%c%s%c%c%s%c", f->path, 0, f->before ? '+' : '-',
			f->before ? f->before : "", 0, f->after ? '+' : '-', f->after ? f->after : "", 0);
	}
}

int planning_work(FILE *out, struct task_note *note, void *arg)
{
	const struct planning *p = arg;
	struct work w = { .planning = p, .out = out };
	char dir[PATH_MAX];
	int r = surveying_begin(&w.surveying, p->service, out, note);

	if (r >= 0)
		r = surveying_find(&w.surveying, p->bus, p->name, &w.device);
	if (r == -ENODEV)
		r = refuse(&w, ERROR_NO_SUCH_DEVICE, "%s %s has gone", p->bus, p->name);
	else if (r >= 0)
		r = p->driver ? plan_set(&w) : plan_clear(&w);
	if (r == 0 && p->driver && w.plan.n == 0)
		r = refuse(&w, ERROR_INVALID, "there is no directory for such rules");
	if (r != 0)
		return r < 0 ? r : 0;

	/* A look at it only: nobody needs the directory afterwards. */
	if (p->staging)
		r = path_printf(dir, sizeof(dir), "%s", p->staging);
	else
		r = path_printf(dir, sizeof(dir), "%s/staging/look-%d", p->service->settings->state_dir,
			(int)getpid());
	if (r >= 0)
		r = plan_stage(&w.plan, dir);
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

int planning_read(const char *out, size_t size, struct plan *ret, sd_bus_error *error)
{
	const char *at = out, *end = out + size;
	struct plan plan = {};
	int r = 0;

	if (size == 0 || !memchr(out, '\0', size))
		return -EBADMSG;
	if (*out)
		return sd_bus_error_set(error, out, out + strlen(out) + 1);
	for (at++; r >= 0 && at < end && plan.n < PLAN_FILES_MAX; plan.n++) {
		struct plan_file *f = &plan.files[plan.n];

		r = take(&at, end, &f->path, false);
		if (r >= 0)
			r = take(&at, end, &f->before, true);
		if (r >= 0)
			r = take(&at, end, &f->after, true);
	}
	if (r < 0) {
		plan_done(&plan);
		return r;
	}
	*ret = plan;
	return 0;
}
