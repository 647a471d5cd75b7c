/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verb `boot`: a boot has begun or is complete, or a person wants a policy that has failed tried again.
 */
#include "enforcer/boot.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "enforcer/root-devices.h"
#include "enforcer/verbs.h"
#include "state/boot-attempts.h"
#include "state/boot-over.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

void boot_tell(const struct settings *settings, const char *format, ...)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX], text[1024];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	log_line(LOG_ERR, "%s", text);
	if (settings_system_path(settings, "/dev/console", path, sizeof(path)) < 0)
		return;
	fd = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | O_APPEND);
	if (fd >= 0)
		(void)dprintf(fd, "driver-overrides: %s\n", text);
}

static void boot_tell_last_good(const struct settings *settings)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;

	if (policy_load(settings, &policy) < 0)
		return;
	boot_tell(settings,
		  "%s: boots with this policy have failed, so this one runs %s. Correct it, or have it tried "
		  "again as it is: overridectl reload --retry",
		  settings->conf_dirs[0],
		  policy->n_rules > 0 ? "with the last policy that was good" : "without policy");
}

void boot_begin_or_log(const struct settings *settings, bool may_fail)
{
	enum policy_failure before, now;
	const bool had_failed = policy_has_failed(settings, &before);
	enum boot_begun begun = BOOT_WITH_POLICY;
	int r = boot_begin(settings, !may_fail, &begun);

	if (r < 0)
		log_errno(may_fail ? LOG_DEBUG : LOG_WARNING, r,
			  "boot begin: this boot is not counted, so a policy with which none is complete %s: "
			  "%m",
			  may_fail ? "may not be given up yet" : "will not be given up");
	/* What was told in the boot image is not told again. */
	if (begun == BOOT_WITH_LAST_GOOD && !had_failed && policy_has_failed(settings, &now) &&
	    now == FAILURE_COUNTED)
		boot_tell_last_good(settings);
}

static int boot_complete_or_log(const struct settings *settings)
{
	int r = boot_complete(settings), noted = root_devices_note(settings),
	    over = boot_over_note(settings->state_dir);

	if (over < 0)
		log_errno(LOG_INFO, over,
			  "boot complete: %m, the guard of the boot image goes on for longer");
	if (noted < 0)
		log_errno(LOG_INFO, noted,
			  ROOT_DEVICES_FILE
			  ": %m, so boot images do not know on which devices the root file system lies");
	if (r < 0)
		log_errno(LOG_WARNING, r,
			  "boot complete: %m, so this policy counts as one that may yet fail");
	else if (r > 0)
		log_line(LOG_INFO, "boot complete: its policy is the last good one now");
	return r < 0 ? 1 : 0;
}

static int boot_retry_or_log(const struct settings *settings)
{
	int r = boot_retry(settings);

	if (r < 0) {
		log_errno(LOG_ERR, r, "boot retry");
		return 1;
	}
	log_line(LOG_NOTICE, r > 0 ? "boot retry: the policy of the policy directories is in force again"
				   : "boot retry: the policy of the policy directories is in force");
	return 0;
}

int verb_boot(const struct settings *settings, const char *what)
{
	if (streq(what, "retry"))
		return boot_retry_or_log(settings);
	if (streq(what, "complete"))
		return boot_complete_or_log(settings);
	/* A system that keeps nothing is no failure of the boot. */
	boot_begin_or_log(settings, false);
	return 0;
}
