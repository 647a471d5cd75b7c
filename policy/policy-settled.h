/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a policy file is complete. An editor or `cat >` writes a file in place, and a reader may find half
 * of it. So a file that was written in place is not taken at its word until it has been left alone for
 * POLICY_SETTLE_USEC; policy_load() then reads its last good copy instead, where there is one.
 *
 * A file that was renamed into place is complete at once. The two are told apart by its times: a write sets
 * the time of the content (mtime) and that of the inode (ctime) to the same value; a rename, like a change of
 * mode or owner, sets the second one alone.
 */
#pragma once

#include "base/macro.h"
#include "policy/policy.h"
#include "policy/settings.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#define POLICY_SETTLE_USEC 200000U

/* In how many microseconds the file will be settled if nobody writes to it; 0: it is. */
uint64_t policy_file_settles_in(const struct stat *st);

/* The same for all files that policy_load() would read: for the last one of them. */
uint64_t policy_settles_in(const struct settings *settings);

/*
 * A program that stays and has heard of a change puts off reading until all files are settled, but not longer
 * than POLICY_SETTLE_USEC: a file that is written to all the time must not keep others from being read.
 */
struct policy_delay {
	uint64_t until; /* by now_usec(); 0: nothing is being put off */
};

/*
 * Whether to put off reading. *ret_usec: in how many microseconds to ask again, whatever the answer; 0: not
 * before the next change.
 */
bool policy_delay_goes_on(struct policy_delay *delay, const struct settings *settings, uint64_t *ret_usec);

/*
 * The times to give to a file before it is renamed into place. The kernel takes both of its times from its
 * last tick, so that a rename in the same tick could not be seen; this is the same time with all its digits.
 */
void policy_file_times(struct timespec times[static 2]);
