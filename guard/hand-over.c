/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From one guard to the next; see hand-over.h. */
#include "guard/hand-over.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/system.h"
#include "base/time.h"
#include "state/state-file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

/* The byte that is locked by who is just joining, so that one comes after the other. Process ids are above.
 */
#define TURN 0
#define ASK_AGAIN_MS 5

static int guard_lock_set(int locks, short type, off_t byte)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

	while (fcntl(locks, F_SETLKW, &lock) < 0)
		if (errno != EINTR)
			return negative_errno();
	return 0;
}

/* Whether another process has locked one of these bytes (n of 0: all from first on). *ret: its lock. */
static bool guard_lock_find(int locks, off_t first, off_t n, struct flock *ret)
{
	*ret = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = first, .l_len = n };
	return fcntl(locks, F_GETLK, ret) >= 0 && ret->l_type != F_UNLCK;
}

static void hand_over_add_predecessor(struct hand_over *h, const struct flock *found)
{
	struct flock again;
	int pidfd = h->n_predecessors < PREDECESSORS_MAX ? system_pidfd_open(found->l_pid) : -1;

	if (pidfd < 0)
		return;
	/* If it still has its lock, then the descriptor is for that process and for none after it. */
	if (guard_lock_find(h->locks, found->l_start, 1, &again) && again.l_pid == found->l_pid)
		h->predecessors[h->n_predecessors++] = (struct predecessor){ found->l_pid, pidfd };
	else
		(void)close(pidfd);
}

/* The kernel names one lock of a range, not the first one of it: what is beside it is asked about, too. */
static void hand_over_find_predecessors(struct hand_over *h)
{
	struct {
		off_t first, n;
	} ranges[2 * PREDECESSORS_MAX + 2] = { { TURN + 1, 0 } };
	struct flock found;

	for (size_t n_ranges = 1; n_ranges > 0;) {
		const off_t first = ranges[--n_ranges].first, n = ranges[n_ranges].n;

		if (!guard_lock_find(h->locks, first, n, &found) || n_ranges + 2 > ELEMENTSOF(ranges))
			continue;
		hand_over_add_predecessor(h, &found);
		if (found.l_start > first) {
			ranges[n_ranges].first = first;
			ranges[n_ranges++].n = found.l_start - first;
		}
		if (n == 0 || found.l_start + 1 < first + n) {
			ranges[n_ranges].first = found.l_start + 1;
			ranges[n_ranges++].n = n == 0 ? 0 : first + n - found.l_start - 1;
		}
	}
}

int hand_over_join(const char *state_dir, struct hand_over *ret)
{
	struct hand_over h = {};
	char path[PATH_MAX];
	int r;

	r = path_join(path, sizeof(path), state_dir, "/guards", NULL);
	if (r >= 0)
		r = state_dir_make(state_dir, "");
	if (r < 0)
		return r;
	h.locks = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (h.locks < 0)
		return negative_errno();
	r = guard_lock_set(h.locks, F_WRLCK, TURN);
	if (r >= 0) {
		hand_over_find_predecessors(&h);
		r = guard_lock_set(h.locks, F_WRLCK, getpid());
	}
	if (r < 0) {
		/* Its end is the end of its locks. */
		(void)close(h.locks);
		return r;
	}
	r = guard_lock_set(h.locks, F_UNLCK, TURN);
	*ret = h;
	return r;
}

void hand_over_dismiss(const struct hand_over *h)
{
	for (size_t i = 0; i < h->n_predecessors; i++)
		(void)system_pidfd_kill(h->predecessors[i].pidfd, SIGTERM);
}

/* Nothing tells when a lock is given up, so this is asked again and again. */
static bool predecessor_ends(const struct hand_over *h, const struct predecessor *p, uint64_t until)
{
	struct flock found;

	while (guard_lock_find(h->locks, p->pid, 1, &found) && found.l_pid == p->pid) {
		struct pollfd end = { .fd = p->pidfd, .events = POLLIN };

		if (poll(&end, 1, ASK_AGAIN_MS) == 1)
			return true;
		if (now_usec() >= until)
			return false;
	}
	return true;
}

size_t hand_over_wait(struct hand_over *h, uint64_t usec)
{
	const uint64_t until = now_usec() + usec;
	size_t n_killed = 0;

	for (size_t i = 0; i < h->n_predecessors; i++) {
		const struct predecessor *p = &h->predecessors[i];

		if (!predecessor_ends(h, p, until)) {
			n_killed++;
			(void)system_pidfd_kill(p->pidfd, SIGKILL);
		}
		(void)close(p->pidfd);
	}
	h->n_predecessors = 0;
	return n_killed;
}
