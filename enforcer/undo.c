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
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* For earlier writers of policy; each of them has a shorter deadline. */
#define WRITERS_USEC 30000000U
/* The exit status with which the unit is not started again (daemon/operation/trial-timer.c). */
#define UNDO_IS_POINTLESS 2

/* Whether the device may go back at another try; else there is nothing that the trial could still change. */
static bool undo_may_succeed_later(enum move_error error)
{
	switch (error) {
	case MOVE_IN_USE:
	case MOVE_STUCK:
	case MOVE_NOT_BEGUN:
	case MOVE_POLICY_INVALID:
	case MOVE_FAILED:
		return true;
	case MOVE_DONE:
	case MOVE_NO_SUCH_DEVICE:
	case MOVE_NOT_SUPPORTED:
	case MOVE_NO_SUCH_DRIVER:
	case MOVE_INVALID:
	case MOVE_FOREIGN:
		break;
	}
	return false;
}

/* Policy is back. Until the device is, the trial's file stays, so that another try finds what to do. */
static int undo_move_device(const struct settings *settings, const char *bus, const char *name, char *device,
			    const char *id, bool force)
{
	struct rebind_options options = REBIND_OPTIONS_INIT;
	enum move_error error;
	int r;

	if (force) {
		options.move.rebind = REBIND_FORCE;
		options.move.overwrite = true;
	}
	error = verb_rebind_device(settings, &options, device);
	if (undo_may_succeed_later(error)) {
		log_line(LOG_ERR, "%s: the device could not go back: %s, to be tried again", device,
			 move_error_to_string(error));
		return 1;
	}
	r = trial_undo_finish(settings, bus, name, id, now_usec() + WRITERS_USEC);
	if (r < 0) {
		log_errno(LOG_ERR, r, "%s: ending the trial: %m", device);
		return 1;
	}
	return error == MOVE_DONE || error == MOVE_NO_SUCH_DEVICE ? 0 : UNDO_IS_POINTLESS;
}

/* BUS/NAME, each perhaps with \xHH in it. 0 or negative errno. */
static int undo_take_device(const char *text, char *bus, char *name, size_t size)
{
	const char *slash = strchr(text, '/');
	int r = slash ? path_printf(bus, size, "%.*s", (int)(slash - text), text) : -EINVAL;

	if (r >= 0)
		r = path_printf(name, size, "%s", slash + 1);
	return r < 0 || !text_unescape(bus) || !text_unescape(name) ? -EINVAL : 0;
}

int verb_undo(const struct settings *settings, const char *text, const char *id)
{
	char bus[NAME_MAX], name[NAME_MAX], device[2 * NAME_MAX];
	bool force = false;
	int r = undo_take_device(text, bus, name, NAME_MAX);

	if (r < 0) {
		log_line(LOG_ERR, "undo: %s: not BUS/NAME", text);
		return UNDO_IS_POINTLESS;
	}
	(void)snprintf(device, sizeof(device), "%s/%s", bus, name);
	r = trial_undo(settings, bus, name, id, now_usec() + WRITERS_USEC, &force);
	if (r < 0) {
		log_errno(LOG_ERR, r, "%s: restoring what policy was before the trial: %m", device);
		/* The unit is started again, but where that cannot help. */
		return r == -EBADMSG ? UNDO_IS_POINTLESS : 1;
	}
	if (r == 0) {
		log_line(LOG_INFO, "%s: that trial is over, nothing goes back", device);
		return 0;
	}
	if (r == 1)
		log_line(LOG_NOTICE, "%s: not confirmed in time, policy is what it was before", device);
	return undo_move_device(settings, bus, name, device, id, force);
}
