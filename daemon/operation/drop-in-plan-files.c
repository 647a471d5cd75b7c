/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which policy files a call is about; see drop-in-plan-parts.h. Files that set has not written are left
 * alone. */
#include "daemon/bus/bus.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/operation/drop-in-plan-parts.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The name, path or id by which rules of a kind know the device; NULL: it has no such thing. */
static const char *value_of(struct work *w, enum drop_in_key by)
{
	struct device *d = &w->device->device;

	switch (by) {
	case KEY_NAME:
		return w->device->name;
	case KEY_PATH:
		return device_text(d, FACT_PATH);
	case KEY_ID:
		return device_text(d, FACT_ID);
	case BY_COUNT:
		break;
	}
	return NULL;
}

/* Where the file of a kind is, or would be: 0; -ENOENT: nowhere; -ENAMETOOLONG. */
static int path_of(struct work *w, enum drop_in_key by, bool runtime, char path[PATH_MAX])
{
	const struct drop_in_plan_work *p = w->planning;
	const char *value = value_of(w, by), *dir = drop_in_dir(p->service->settings, runtime);

	path[0] = '\0';
	return value && dir ? drop_in_path(dir, runtime, by, p->bus, value, path, PATH_MAX) : -ENOENT;
}

/*
 * Takes the file of a kind into the plan, with what it is to be; NULL: it is to go. 1: in the plan; 0: there
 * is none that could go; -EEXIST: what is at the path is not a file of set's; other negative errno.
 */
static int add(struct work *w, enum drop_in_key by, bool runtime, char *after, char path[PATH_MAX])
{
	struct drop_in_plan_file f = { .after = after };
	int r = path_of(w, by, runtime, path);

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
 * Set's other rules of the same device that would stand before the new one, or that the new one replaces:
 * also those until the next boot, when it is to last. One for an id may be about other devices; it goes only
 * if the new one is about the same.
 */
static int add_superseded(struct work *w, enum drop_in_key by)
{
	const bool lasts = !w->planning->options->runtime;
	char path[PATH_MAX];

	for (unsigned runtime = !lasts; runtime <= 1; runtime++)
		for (enum drop_in_key other = KEY_NAME; other < BY_COUNT; other++) {
			int r;

			if ((other == by && runtime == !lasts) || (other == KEY_ID && by != KEY_ID))
				continue;
			r = add(w, other, runtime, NULL, path);
			/* What is not ours stays, and should it beat the new rule, the check says so. */
			if (r < 0 && r != -EEXIST && r != -ENAMETOOLONG)
				return r;
		}
	return 0;
}

/* A file of the same name in an earlier directory, or a link to /dev/null there, hides it. */
static int check_hidden(struct work *w, const char *path)
{
	const struct settings *settings = w->planning->service->settings;
	const char *name = strrchr(path, '/');
	char other[PATH_MAX];
	struct stat st;

	for (size_t i = 0; i < settings->n_conf_dirs; i++) {
		if (path_printf(other, sizeof(other), "%s%s", settings->conf_dirs[i], name) < 0)
			return -ENAMETOOLONG;
		if (streq(other, path))
			return 0;
		if (lstat(other, &st) >= 0)
			return drop_in_plan_refuse(
				w, ERROR_SHADOWED,
				"%s hides %s, which the rule would be written to; remove it first", other,
				path);
	}
	return 0;
}

static int refuse_file(struct work *w, const char *path)
{
	return drop_in_plan_refuse(
		w, ERROR_POLICY_INVALID,
		"%s is not a file that set has written; give it another name, or remove it", path);
}

bool drop_in_plan_is_of_set(struct work *w, const char *file, enum drop_in_key *ret_by, bool *ret_runtime)
{
	char path[PATH_MAX];

	for (unsigned runtime = 0; runtime <= 1; runtime++)
		for (enum drop_in_key by = KEY_NAME; by < BY_COUNT; by++) {
			_cleanup_(freep) char *text = NULL;

			if (path_of(w, by, runtime, path) < 0 || !streq(path, file))
				continue;
			*ret_by = by;
			*ret_runtime = runtime;
			return drop_in_read(path, &text) > 0;
		}
	return false;
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

int drop_in_plan_set(struct work *w)
{
	const struct drop_in_plan_work *p = w->planning;
	enum drop_in_key by = p->options->by;
	const char *value = value_of(w, by);
	char *text, other[512], path[PATH_MAX];
	int r;

	if (!value)
		return drop_in_plan_refuse(w, ERROR_INVALID,
					   "%s %s cannot be named by its %s: only PCI devices can", p->bus,
					   p->name, by == KEY_ID ? "id" : "path");
	if (by == KEY_ID && !p->options->force) {
		r = other_with_id(w, other, sizeof(other));
		if (r < 0)
			return r;
		if (r > 0)
			return drop_in_plan_refuse(
				w, ERROR_INVALID,
				"a rule for the id of %s %s catches %s, too; that needs force", p->bus,
				p->name, other);
	}
	text = drop_in_text(p->bus, by, value, p->driver, p->options);
	if (!text)
		return -ENOMEM;
	r = add(w, by, p->options->runtime, text, path);
	if (r == -ENAMETOOLONG)
		return drop_in_plan_refuse(
			w, ERROR_INVALID, "the name of %s %s is too long for a policy file", p->bus, p->name);
	if (r == -EEXIST)
		return refuse_file(w, path);
	if (r > 0)
		r = check_hidden(w, path);
	return r != 0 ? r : add_superseded(w, by);
}

int drop_in_plan_clear(struct work *w)
{
	const struct drop_in_plan_work *p = w->planning;
	char other[512], path[PATH_MAX], not_ours[PATH_MAX] = "";

	for (enum drop_in_key by = KEY_NAME; by < BY_COUNT; by++) {
		int r;

		if ((p->options->given & OPTION_BY) && by != p->options->by)
			continue;
		r = add(w, by, p->options->runtime, NULL, path);
		if (r == -EEXIST)
			text_copy(not_ours, sizeof(not_ours), path);
		else if (r < 0 && r != -ENAMETOOLONG)
			return r;
		if (r <= 0 || by != KEY_ID || p->options->force)
			continue;
		r = other_with_id(w, other, sizeof(other));
		if (r < 0)
			return r;
		if (r > 0)
			return drop_in_plan_refuse(w, ERROR_INVALID, "%s is for %s, too; that needs force",
						   path, other);
	}
	return w->plan.n == 0 && not_ours[0] ? refuse_file(w, not_ours) : 0;
}
