/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verb `undo`: a change of policy that was on trial was not confirmed in time. A timer of systemd runs
 * it, so it needs neither the service nor a bus.
 */
#include "base/errno.h"
#include "base/log.h"
#include "base/path.h"
#include "base/text.h"
#include "base/time.h"
#include "enforcer/verbs.h"
#include "state/trial.h"

#include <errno.h>
#include <stdint.h>
#include <limits.h>
#include <string.h>

/* For earlier writers of policy; each of them has a shorter deadline. */
#define WRITERS_USEC 30000000U

int verb_undo(const struct settings *settings, const char *device, const char *id)
{
	struct rebind_options options = REBIND_OPTIONS_INIT;
	const char *slash = strchr(device, '/');
	bool force = false;
	char bus[NAME_MAX];
	int r = slash ? path_printf(bus, sizeof(bus), "%.*s", (int)(slash - device), device) : -EINVAL;

	if (r < 0) {
		log_line(LOG_ERR, "undo: %s: not BUS/NAME", device);
		return 2;
	}
	r = trial_undo(settings, bus, slash + 1, id, now_usec() + WRITERS_USEC, &force);
	if (r < 0) {
		log_errno(LOG_ERR, r, "%s: restoring what policy was before the trial: %m", device);
		/* The unit is started again, but where that cannot help. */
		return r == -EBADMSG ? 2 : 1;
	}
	if (r == 0) {
		log_line(LOG_INFO, "%s: that trial is over, nothing goes back", device);
		return 0;
	}
	log_line(LOG_NOTICE, "%s: not confirmed in time, policy is what it was before", device);
	if (force) {
		options.move.rebind = REBIND_FORCE;
		options.move.overwrite = true;
	}
	return verb_rebind(settings, &options, (char *[]){ (char *)(uintptr_t)device }, 1);
}
