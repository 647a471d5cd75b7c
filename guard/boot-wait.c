/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guard that lets the one before it hold while the boot goes on; see boot-wait.h. */
#include "guard/boot-wait.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/notify.h"
#include "base/path.h"
#include "base/text.h"
#include "base/time.h"
#include "guard/uevent.h"
#include "policy/policy-digest.h"
#include "policy/policy-in-force.h"
#include "state/boot-devices.h"
#include "state/boot-over.h"
#include "state/state-file.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* A boot that never becomes complete is followed by a guard of its own userspace all the same. */
#define BOOT_USEC 120000000U
/* The other guard has seen the new root by then, and read the policy there, or it does not follow it. */
#define FOLLOWS_USEC 200000U

enum stand_in {
	STAND_IN_NONE,
	STAND_IN_OTHER_POLICY, /* it may be about to read the same */
	STAND_IN_HOLDS,
};

/* Whether one line of the text begins so. */
static bool status_has_line(const char *text, const char *beginning)
{
	for (const char *line = text; *line; line = text_next_line(line))
		if (startswith(line, beginning))
			return true;
	return false;
}

/* What a guard of the boot image says of itself, if it is one before this one; NULL: there is none. */
static char *stand_in_read_status(const struct guard *g)
{
	const struct hand_over *h = &g->loop.hand_over;
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX], line[64];
	bool is_before = false;

	if (path_join(path, sizeof(path), g->settings->state_dir, "/guard", NULL) < 0 ||
	    state_file_read(path, &text) < 0)
		return NULL;
	for (size_t i = 0; i < h->n_predecessors; i++) {
		(void)snprintf(line, sizeof(line), "PID=%d\n", (int)h->predecessors[i].pid);
		is_before = is_before || status_has_line(text, line);
	}
	/* One that was started in between two others, by systemd, is not to go on for longer than that. */
	return is_before && status_has_line(text, "FROM_IMAGE=yes\n") ? TAKE_PTR(text) : NULL;
}

static enum stand_in stand_in_find(const struct guard *g, const char *digest)
{
	_cleanup_(freep) char *text = stand_in_read_status(g);
	char line[64];

	if (!text || !status_has_line(text, "HOLD=" GUARD_HOLDS) || !status_has_line(text, "POLICY="))
		return STAND_IN_NONE;
	(void)snprintf(line, sizeof(line), "POLICY=%s\n", digest);
	return status_has_line(text, line) ? STAND_IN_HOLDS : STAND_IN_OTHER_POLICY;
}

/* Whether it says now that it does not hold. It holds again by itself after a pause of these two kinds. */
static bool stand_in_has_given_up(const struct guard *g)
{
	_cleanup_(freep) char *text = stand_in_read_status(g);

	return !text || (!status_has_line(text, "HOLD=" GUARD_HOLDS) &&
			 !status_has_line(text, "HOLD=" GUARD_HOLD_FROZEN) &&
			 !status_has_line(text, "HOLD=" GUARD_HOLD_PAUSED));
}

/* The digest of the policy in force. 0 or negative errno. */
static int digest_in_force(const struct settings *settings, char digest[static POLICY_DIGEST_SIZE])
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	int r = policy_load(settings, &policy);

	if (r >= 0 && policy->incomplete)
		r = -EIO;
	if (r >= 0)
		policy_digest_of(policy, digest);
	return r;
}

/* The guard of the boot image sees a little later than systemd that there is another root. */
static bool stand_in_holds(const struct guard *g)
{
	const uint64_t until = now_usec() + FOLLOWS_USEC;
	char digest[POLICY_DIGEST_SIZE];
	enum stand_in found;

	if (digest_in_force(g->settings, digest) < 0)
		return false;
	while ((found = stand_in_find(g, digest)) == STAND_IN_OTHER_POLICY && now_usec() < until)
		sleep_usec(5000);
	return found == STAND_IN_HOLDS;
}

/* 1: go on waiting; 0: the guard was told to end; negative errno. */
static int boot_wait_handle_signal(const struct guard *g)
{
	struct signalfd_siginfo info;

	if (read(g->loop.signals, &info, sizeof(info)) != sizeof(info))
		return negative_errno();
	return info.ssi_signo == SIGCHLD;
}

/* Waits once. Why this guard is to hold now; NULL: go on waiting, or *ret of 0 or negative errno. */
static const char *boot_wait_once(const struct guard *g, uint64_t until, int *ret)
{
	const struct hand_over *h = &g->loop.hand_over;
	struct pollfd p[2 + PREDECESSORS_MAX] = {
		{ .fd = g->loop.signals, .events = POLLIN },
		{ .fd = g->loop.boot_watch, .events = POLLIN },
	};
	const uint64_t now = now_usec();

	for (size_t i = 0; i < h->n_predecessors; i++)
		p[2 + i] = (struct pollfd){ .fd = h->predecessors[i].pidfd, .events = POLLIN };
	if (boot_is_over(g->settings->state_dir))
		return "the boot is over";
	if (now >= until)
		return "the boot takes long";
	*ret = 1;
	if (poll(p, 2 + h->n_predecessors, (int)((until - now) / 1000) + 1) < 0)
		*ret = errno == EINTR ? 1 : negative_errno();
	else if (p[0].revents)
		*ret = boot_wait_handle_signal(g);
	if (p[1].revents)
		(void)boot_devices_watch_changed(g->loop.boot_watch);
	for (size_t i = 0; i < h->n_predecessors; i++)
		if (*ret > 0 && p[2 + i].revents)
			return "the guard before this one has ended";
	/* It says so in a file of the folder that is watched. */
	return *ret > 0 && stand_in_has_given_up(g) ? "the guard before this one does not hold any more"
						    : NULL;
}

int guard_wait_for_boot(struct guard *g)
{
	const uint64_t until = now_usec() + BOOT_USEC;
	const char *why = NULL;
	int r = 1;

	if (g->loop.hand_over.n_predecessors == 0 || g->loop.boot_watch <= 0 ||
	    boot_is_over(g->settings->state_dir) || !stand_in_holds(g))
		return 1;
	log_line(LOG_INFO, "the guard of the boot image holds by the same policy until the boot is over");
	notify_systemd("STATUS=the guard of the boot image holds until the boot is over");
	notify_systemd("READY=1");
	while (!why && r > 0)
		why = boot_wait_once(g, until, &r);
	/* What was added meanwhile is in the socket, and the other guard has decided about it. The sweep
	 * looks at what it has left. */
	atomic_store(&g->inherited_seqnum, uevent_latest(g->settings->sysfs) + 1);
	if (why)
		log_line(LOG_INFO, "%s: taking over from the guard before this one", why);
	return r;
}
