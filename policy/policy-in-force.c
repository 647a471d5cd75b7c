/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The policy in force; see policy-in-force.h. */
#include "policy/policy-in-force.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "base/time.h"
#include "policy/policy.h"
#include "policy/policy-settled.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char *const failure_words[] = {
	[FAILURE_COUNTED] = "counted",
	[FAILURE_NO_ROOT] = "no-root",
};

void failed_policy_to_text(const struct failed_policy *failed, char buf[static FAILED_POLICY_TEXT_SIZE])
{
	(void)snprintf(buf, FAILED_POLICY_TEXT_SIZE, "%s %s\n", failed->digest,
		       failure_words[failed->failure]);
}

int failed_policy_read(const char *state_dir, struct failed_policy *ret)
{
	char path[PATH_MAX], line[FAILED_POLICY_TEXT_SIZE];
	int r = path_join(path, sizeof(path), state_dir, "/" FAILED_POLICY, NULL);

	if (r >= 0)
		r = read_first_line(path, line, sizeof(line));
	if (r < 0)
		return r;
	if (r < POLICY_DIGEST_SIZE || line[POLICY_DIGEST_SIZE - 1] != ' ')
		return -EBADMSG;
	line[POLICY_DIGEST_SIZE - 1] = '\0';
	for (size_t i = 0; i < ELEMENTSOF(failure_words); i++)
		if (streq(line + POLICY_DIGEST_SIZE, failure_words[i])) {
			ret->failure = (enum policy_failure)i;
			text_copy(ret->digest, sizeof(ret->digest), line);
			return 0;
		}
	return -EBADMSG;
}

bool policy_has_failed(const struct settings *settings, enum policy_failure *ret)
{
	char digest[POLICY_DIGEST_SIZE];
	struct failed_policy failed;

	if (!settings->state_dir || failed_policy_read(settings->state_dir, &failed) < 0 ||
	    policy_digest_find(settings, POLICY_OF_NEXT_BOOT, digest) < 0 || !streq(digest, failed.digest))
		return false;
	*ret = failed.failure;
	return true;
}

/* The settings by which the last good policy is read, and what of the runtime directory counts beside it. */
static int last_good_settings(const struct settings *s, char *dir, size_t size, struct settings *ret)
{
	int r = path_join(dir, size, s->state_dir, "/" LAST_GOOD_FOLDER, NULL);

	if (r < 0)
		return r;
	*ret = *s;
	ret->conf_dirs[0] = dir;
	ret->n_conf_dirs = 1;
	if (s->scope == POLICY_OF_NOW && s->n_conf_dirs > CONF_DIR_RUNTIME) {
		ret->conf_dirs[CONF_DIR_RUNTIME] = s->conf_dirs[CONF_DIR_RUNTIME];
		ret->n_conf_dirs = CONF_DIR_RUNTIME + 1;
		ret->scope = POLICY_WITHOUT_BOOT;
	}
	return 0;
}

int policy_load(const struct settings *settings, struct policy **ret)
{
	struct settings last_good;
	enum policy_failure failure;
	char dir[PATH_MAX];
	int r;

	if (settings->scope == POLICY_OF_IMAGE || settings->disk_only ||
	    !policy_has_failed(settings, &failure))
		return policy_load_dirs(settings, ret);
	r = last_good_settings(settings, dir, sizeof(dir), &last_good);
	if (r >= 0)
		r = policy_load_dirs(&last_good, ret);
	if (r >= 0)
		(*ret)->last_good = true;
	return r;
}

int policy_load_settled(const struct settings *settings, struct policy **ret)
{
	uint64_t usec = policy_settles_in(settings);

	if (usec > 0)
		sleep_usec(usec);
	return policy_load(settings, ret);
}
