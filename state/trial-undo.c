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
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file that a person edited without a newline at its end is the same with one. */
static bool policy_texts_are_equal(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	n -= n > 0 && a[n - 1] == '\n';
	m -= m > 0 && b[m - 1] == '\n';
	return n == m && strncmp(a, b, n) == 0;
}

/* What a trial has to do with a policy file that is there now. */
enum trial_file_now {
	TRIAL_FILE_AS_LEFT,
	TRIAL_FILE_AS_BEFORE, /* an undo that was interrupted has restored it */
	TRIAL_FILE_CHANGED,
};

static bool policy_text_is(const char *text, const char *expected)
{
	return text && expected ? policy_texts_are_equal(text, expected) : text == expected;
}

/* Whether it is a link is what counts, so nothing of where it leads to is asked. */
static bool path_is_link(const char *path)
{
	struct stat st;

	return lstat(path, &st) >= 0 && S_ISLNK(st.st_mode);
}

/* A program of ours makes no links, so one that is there is somebody else's. 0 or negative errno. */
static int trial_file_look(const struct trial_file *f, enum trial_file_now *ret)
{
	_cleanup_(freep) char *text = NULL;
	int r = state_file_read(f->path, &text);

	if (r < 0 && r != -ENOENT && !path_is_link(f->path))
		return r;
	if (r < 0 && r != -ENOENT)
		*ret = TRIAL_FILE_CHANGED;
	else if (policy_text_is(text, f->after))
		*ret = TRIAL_FILE_AS_LEFT;
	else
		*ret = policy_text_is(text, f->before) ? TRIAL_FILE_AS_BEFORE : TRIAL_FILE_CHANGED;
	return 0;
}

static int trial_restore_file(const struct trial_file *f)
{
	enum trial_file_now now;
	int r = trial_file_look(f, &now);

	if (r < 0)
		return r;
	switch (now) {
	case TRIAL_FILE_AS_LEFT:
		return policy_file_write(f->path, f->before);
	case TRIAL_FILE_CHANGED:
		log_line(LOG_NOTICE, "%s: was changed since, so it stays", f->path);
		break;
	case TRIAL_FILE_AS_BEFORE:
		break;
	}
	return 0;
}

/* All that can be; the first error of those that cannot. */
static int trial_restore_files(const struct trial *trial)
{
	int error = 0;

	for (size_t i = 0; i < trial->n; i++) {
		int r = trial_restore_file(&trial->files[i]);

		if (r < 0 && error == 0)
			error = r;
	}
	return error;
}

/* That the device is left to be moved lasts until it has been: the next try need not know of this one. */
static int trial_keep_for_device(const char *state_dir, const char *path, const struct trial *trial)
{
	struct trial rest = *trial;
	_cleanup_(freep) char *text = NULL;

	rest.n = 0;
	rest.is_back = true;
	text = trial_text(&rest);
	return text ? state_file_replace(state_dir, "trials", path, text, strlen(text), NULL, 0644) : -ENOMEM;
}

/* 1; 0: there is no trial of that id; negative errno. */
static int trial_find(const struct settings *settings, const char *bus, const char *name, const char *id,
		      char path[static PATH_MAX], struct trial *ret)
{
	int r = trial_path(settings->state_dir, bus, name, path, PATH_MAX);

	if (r >= 0)
		r = trial_read(path, ret);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : streq(ret->id, id);
}

int trial_undo(const struct settings *settings, const char *bus, const char *name, const char *id,
	       uint64_t deadline, bool *ret_force)
{
	_cleanup_(closep) int lock = writer_lock_acquire(settings->state_dir, deadline);
	_cleanup_(trial_done) struct trial trial = {};
	char path[PATH_MAX];
	int r;

	if (lock < 0)
		return lock;
	r = trial_find(settings, bus, name, id, path, &trial);
	if (r <= 0)
		return r;
	if (!trial.is_back) {
		r = trial_restore_files(&trial);
		if (r >= 0)
			r = trial_keep_for_device(settings->state_dir, path, &trial);
		if (r < 0)
			return r;
	}
	*ret_force = trial.force;
	return trial.is_back ? 2 : 1;
}

int trial_undo_finish(const struct settings *settings, const char *bus, const char *name, const char *id,
		      uint64_t deadline)
{
	_cleanup_(closep) int lock = writer_lock_acquire(settings->state_dir, deadline);
	_cleanup_(trial_done) struct trial trial = {};
	char path[PATH_MAX];
	int r;

	if (lock < 0)
		return lock;
	r = trial_find(settings, bus, name, id, path, &trial);
	/* A change that was made meanwhile may have begun another one. */
	if (r <= 0 || !trial.is_back)
		return r < 0 ? r : 0;
	return unlink(path) < 0 && errno != ENOENT ? negative_errno() : 0;
}
