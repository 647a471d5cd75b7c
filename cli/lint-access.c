/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Access= that udev cannot apply: accounts that it does not know or does not take, and nodes that never come.
 */
#include "base/arena.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/lint-checks.h"
#include "cli/lint-run.h"

#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The last number of a user or group of the system's, as systemd is built nearly everywhere. */
#define SYSTEM_ID_MAX 999U

enum account {
	ACCOUNT_GOOD,
	ACCOUNT_ABSENT,
	ACCOUNT_OF_A_PERSON,
};

static bool user_next(FILE *f, const char **ret_name, unsigned *ret_id)
{
	const struct passwd *p = fgetpwent(f);

	if (p) {
		*ret_name = p->pw_name;
		*ret_id = p->pw_uid;
	}
	return p != NULL;
}

static bool group_next(FILE *f, const char **ret_name, unsigned *ret_id)
{
	const struct group *g = fgetgrent(f);

	if (g) {
		*ret_name = g->gr_name;
		*ret_id = g->gr_gid;
	}
	return g != NULL;
}

/* By a file of the machine's, beside sysfs, since at boot there is nothing else. Without the file all are
 * good. */
static enum account account_find(const struct lint_run *run, const char *file, const char *wanted,
				 bool (*next)(FILE *f, const char **ret_name, unsigned *ret_id))
{
	_cleanup_(fclosep) FILE *f = NULL;
	char path[PATH_MAX];
	const char *name;
	unsigned id;

	if (!*wanted || path_join(path, sizeof(path), run->settings->sysfs, "/..", file, NULL) < 0)
		return ACCOUNT_GOOD;
	f = fopen(path, "re");
	if (!f)
		return ACCOUNT_GOOD;
	if (!wanted[strspn(wanted, "0123456789")])
		return text_to_number(wanted) > SYSTEM_ID_MAX ? ACCOUNT_OF_A_PERSON : ACCOUNT_GOOD;
	while (next(f, &name, &id))
		if (streq(name, wanted))
			return id > SYSTEM_ID_MAX ? ACCOUNT_OF_A_PERSON : ACCOUNT_GOOD;
	return ACCOUNT_ABSENT;
}

static void lint_account(struct lint_run *run, const struct rule *rule, const char *kind, const char *name,
			 enum account found)
{
	switch (found) {
	case ACCOUNT_GOOD:
		return;
	case ACCOUNT_ABSENT:
		lint_warn(
			run, rule,
			arena_printf(&run->lint->arena,
				     "[device %s] gives its node to %s %s, which this machine does not have",
				     rule->label, kind, name));
		return;
	case ACCOUNT_OF_A_PERSON:
		lint_warn(run, rule,
			  arena_printf(&run->lint->arena,
				       "[device %s] gives its node to %s %s, which is none of the system's: "
				       "udev of systemd 258 and later refuses numbers above %u",
				       rule->label, kind, name, SYSTEM_ID_MAX));
		return;
	}
}

void lint_access(struct lint_run *run)
{
	for (size_t i = 0; i < run->policy->n_rules; i++) {
		const struct rule *rule = run->policy->rules[i];
		const struct rule_access *access = &rule->access;

		if (!access->user)
			continue;
		if (rule->driver.kind == DRIVER_NONE || rule->driver.kind == DRIVER_DEFAULT)
			lint_warn(run, rule,
				  arena_printf(&run->lint->arena,
					       "[device %s] has Access=, which is for the nodes of VFIO and "
					       "UIO drivers, and has none of these",
					       rule->label));
		lint_account(run, rule, "user", access->user,
			     account_find(run, "/etc/passwd", access->user, user_next));
		lint_account(run, rule, "group", access->group,
			     account_find(run, "/etc/group", access->group, group_next));
	}
}
