/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A change that was not confirmed in time goes back; see trial.h. */
#include "base/errno.h"
#include "base/log.h"
#include "base/text.h"
#include "policy/policy-write.h"
#include "state/state-file.h"
#include "state/state-lock.h"
#include "state/trial.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* A file that a person edited without a newline at its end is the same with one. */
static bool policy_texts_are_equal(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	n -= n > 0 && a[n - 1] == '\n';
	m -= m > 0 && b[m - 1] == '\n';
	return n == m && strncmp(a, b, n) == 0;
}

/* 1: it is as the trial left it; 0: it was changed since; negative errno. */
static int trial_file_is_unchanged(const struct trial_file *f)
{
	_cleanup_(freep) char *text = NULL;
	int r = state_file_read(f->path, &text);

	if (r == -ENOENT)
		return !f->after;
	if (r < 0)
		return r;
	return f->after && policy_texts_are_equal(text, f->after);
}

static int trial_restore_file(const struct trial_file *f)
{
	int r = trial_file_is_unchanged(f);

	if (r == 0)
		log_line(LOG_NOTICE, "%s: was changed since, so it stays", f->path);
	return r > 0 ? policy_file_write(f->path, f->before) : r;
}

int trial_undo(const struct settings *settings, const char *bus, const char *name, const char *id,
	       uint64_t deadline, bool *ret_force)
{
	_cleanup_(closep) int lock = writer_lock_acquire(settings->state_dir, deadline);
	_cleanup_(trial_done) struct trial trial = {};
	char path[PATH_MAX];
	int r, error = 0;

	if (lock < 0)
		return lock;
	r = trial_path(settings->state_dir, bus, name, path, sizeof(path));
	if (r >= 0)
		r = trial_read(path, &trial);
	if (r == -ENOENT || (r >= 0 && !streq(trial.id, id)))
		return 0;
	for (size_t i = 0; r >= 0 && i < trial.n; i++) {
		int k = trial_restore_file(&trial.files[i]);

		if (k < 0 && error == 0)
			error = k;
	}
	if (r < 0 || error < 0)
		return r < 0 ? r : error;
	*ret_force = trial.force;
	return unlink(path) < 0 && errno != ENOENT ? negative_errno() : 1;
}
