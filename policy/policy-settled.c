/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The age of policy files, by their times; see policy-settled.h. */
#include "policy/policy-settled.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#define NSEC_PER_USEC 1000
#define NSEC_PER_SEC 1000000000

uint64_t policy_file_settles_in(const struct stat *st)
{
	const struct timespec *written = &st->st_mtim, *changed = &st->st_ctim;
	struct timespec now;
	int64_t age;

	/* A time of whole seconds was set by somebody, or is all that the file system can keep. */
	if (!S_ISREG(st->st_mode) || written->tv_nsec == 0)
		return 0;
	/* A file without anything in it says so little for being complete that a chmod does not count. */
	if (st->st_size > 0 && (written->tv_sec != changed->tv_sec || written->tv_nsec != changed->tv_nsec))
		return 0;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	/* Years of seconds would not fit below, and a time to come means that the clock was set back. */
	if (now.tv_sec - written->tv_sec > 1 || now.tv_sec < written->tv_sec)
		return 0;
	age = (int64_t)(now.tv_sec - written->tv_sec) * NSEC_PER_SEC + (now.tv_nsec - written->tv_nsec);
	if (age < 0 || age >= (int64_t)POLICY_SETTLE_USEC * NSEC_PER_USEC)
		return 0;
	return POLICY_SETTLE_USEC - (uint64_t)age / NSEC_PER_USEC;
}

uint64_t policy_settles_in(const struct settings *settings)
{
	uint64_t longest = 0;

	for (size_t i = 0; i < settings->n_conf_dirs; i++) {
		_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
		const char *name;
		struct stat st;

		if (dir_open(&dir, settings->conf_dirs[i]) < 0)
			continue;
		while ((name = dir_next(&dir))) {
			uint64_t usec = settings_is_policy_name(name) && fstatat(dir.fd, name, &st, 0) >= 0
						? policy_file_settles_in(&st)
						: 0;

			longest = usec > longest ? usec : longest;
		}
	}
	return longest;
}

bool policy_delay_goes_on(struct policy_delay *delay, const struct settings *settings, uint64_t *ret_usec)
{
	const uint64_t now = now_usec();

	*ret_usec = policy_settles_in(settings);
	if (*ret_usec == 0) {
		delay->until = 0;
		return false;
	}
	if (delay->until == 0)
		delay->until = now + POLICY_SETTLE_USEC;
	if (now < delay->until)
		return true;
	delay->until = 0;
	return false;
}

void policy_file_times(struct timespec times[static 2])
{
	(void)clock_gettime(CLOCK_REALTIME, &times[0]);
	times[1] = times[0];
}
