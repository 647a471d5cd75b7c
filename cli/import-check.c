/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks the policy as it would be after an import, and puts the file in place; see import-plan.h. */
#include "base/errno.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/import-plan.h"
#include "cli/lint.h"
#include "policy/policy-settled.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The findings of one file, by the name that it will have. */
static int findings_keep(struct import_plan *plan, struct lint_findings *to, const struct policy_error *v,
			 size_t n, const char *file)
{
	for (size_t i = 0; i < n; i++) {
		if (!streq(v[i].file, file))
			continue;
		if (array_reserve(to->v, to->allocated, to->n) < 0)
			return -ENOMEM;
		to->v[to->n] = v[i];
		to->v[to->n].file = plan->file;
		to->v[to->n].text = arena_strdup(&plan->arena, v[i].text);
		if (!to->v[to->n++].text)
			return -ENOMEM;
	}
	return 0;
}

static int import_check_in(struct import_plan *plan, const char *folder, const char *file)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	struct settings settings = plan->settings;
	struct lint lint = {};
	int r;

	if (settings.n_conf_dirs == CONF_DIRS_MAX)
		return -E2BIG;
	memmove(&settings.conf_dirs[1], &settings.conf_dirs[0],
		settings.n_conf_dirs * sizeof(*settings.conf_dirs));
	settings.conf_dirs[0] = folder;
	settings.n_conf_dirs++;
	r = policy_load(&settings, &policy);
	if (r >= 0)
		r = lint_find(&lint, &settings, policy);
	if (r >= 0)
		r = findings_keep(plan, &plan->findings.errors, policy->errors, policy->n_errors, file);
	if (r >= 0)
		r = findings_keep(plan, &plan->findings.errors, lint.errors.v, lint.errors.n, file);
	if (r >= 0)
		r = findings_keep(plan, &plan->findings.warnings, lint.warnings.v, lint.warnings.n, file);
	lint_done(&lint);
	return r;
}

static int import_file_replace(const char *folder, const char *path, const char *text)
{
	char temporary[PATH_MAX];
	struct timespec times[2];
	const struct file_replacement how = {
		.path = path, .temporary = temporary, .times = times, .mode = 0644, .durable = true
	};
	int r = path_join(temporary, sizeof(temporary), folder, "/.import-XXXXXX", NULL);

	policy_file_times(times);
	return r < 0 ? r : file_replace(&how, text, strlen(text));
}

/* A link, a mask among them, is somebody's decision, and what it leads to is not ours to change. */
static bool import_link_is_in_place(const struct import_plan *plan, char target[static PATH_MAX])
{
	struct stat st;

	if (lstat(plan->file, &st) < 0 || !S_ISLNK(st.st_mode))
		return false;
	if (read_link(plan->file, target, PATH_MAX) < 0)
		text_copy(target, PATH_MAX, "?");
	return true;
}

/* Another machine's root has links for that machine, and one of them can lead to a folder of this one. */
static bool import_folder_leads_out(const struct import_plan *plan, char target[static PATH_MAX])
{
	char root[PATH_MAX], parent[PATH_MAX];
	const char *folder = plan->settings.conf_dirs[0], *rest;

	if (!plan->root[0] || plan->settings.conf_dirs_given || !realpath(plan->root, root))
		return false;
	text_copy(parent, sizeof(parent), folder);
	*strrchr(parent, '/') = '\0';
	/* One that is not there yet will be made. */
	if (!realpath(folder, target) && !realpath(parent, target))
		return false;
	rest = startswith(target, root);
	return !streq(root, "/") && (!rest || (*rest && *rest != '/'));
}

/* With --write it ends here, before anything is shown that would not come about; else it is told. */
static int import_link_check_or_fail(struct import_plan *plan)
{
	char target[PATH_MAX];

	if (plan->cli->option[VERB_WRITE] && import_folder_leads_out(plan, target))
		return cli_fail("%s leads out of %s, to %s: nothing is written there",
				plan->settings.conf_dirs[0], plan->root, target);
	if (!import_link_is_in_place(plan, target))
		return STATUS_DONE;
	if (plan->cli->option[VERB_WRITE])
		return cli_fail(
			"%s is a link to %s, and is not replaced: remove the link, or write the rules, which "
			"are shown without --write, to another file",
			plan->file, target);
	import_note(plan, IMPORT_NOTE, plan->file, "is a link to %s; --write does not replace it", target);
	return STATUS_DONE;
}

int import_plan_check_or_fail(struct import_plan *plan)
{
	char folder[] = "/tmp/driver-overrides-XXXXXX", file[PATH_MAX];
	const char *text = import_plan_text(plan);
	int r = import_link_check_or_fail(plan);

	if (r != STATUS_DONE)
		return r;
	if (plan->r < 0 || !text)
		return cli_fail("out of memory");
	if (!mkdtemp(folder))
		return cli_fail("making a folder in /tmp: %s", strerror(errno));
	r = path_join(file, sizeof(file), folder, "/", path_last(plan->file), NULL);
	if (r >= 0)
		r = import_file_replace(folder, file, text);
	if (r >= 0)
		r = import_check_in(plan, folder, file);
	(void)unlink(file);
	(void)rmdir(folder);
	return r < 0 ? cli_fail("checking what would be written: %s", strerror(-r)) : STATUS_DONE;
}

int import_plan_write_or_fail(struct import_plan *plan)
{
	const char *folder = plan->settings.conf_dirs[0], *text = import_plan_text(plan);
	int r = text ? dir_make(folder) : -ENOMEM;

	if (r >= 0)
		r = import_file_replace(folder, plan->file, text);
	if (r < 0)
		return cli_fail("%s: %s", plan->file, strerror(-r));
	plan->written = true;
	return STATUS_DONE;
}
