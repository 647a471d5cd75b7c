/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file of a change that is on trial, and how it goes back. */
#include "base/text.h"
#include "base/time.h"
#include "state/state-lock.h"
#include "state/trial.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BEFORE "# a\n[device x]\n\n-Name=y\n"
#define AFTER "BEFORE\nFILE=z\n+\n"
#define SECOND 1000000U

static const char *policy_path(struct mock *m, const char *name)
{
	return mock_printf(m, "%s/%s", m->conf[MOCK_RUN], name);
}

static const char *text_of(struct mock *m, const char *name)
{
	const char *path = policy_path(m, name);

	return access(path, F_OK) == 0 ? mock_read(m, path) : NULL;
}

/* A trial that has replaced one file, made another, and removed a third. */
static struct trial trial_of(struct mock *m)
{
	return (struct trial){ .id = "1f",
			       .bus = "pci",
			       .name = "0000:00:03.0",
			       .until = 42,
			       .driver = "none",
			       .by = "name",
			       .files = { { policy_path(m, "a.conf"), BEFORE, AFTER },
					  { policy_path(m, "b.conf"), NULL, "" },
					  { policy_path(m, "c.conf"), "c\n", NULL } },
			       .n = 3 };
}

static void trial_begin(struct mock *m, const struct trial *trial)
{
	char *text = trial_text(trial), path[PATH_MAX];

	ck_assert_ptr_nonnull(text);
	make_dirs(mock_printf(m, "%s/trials", m->state));
	ck_assert_int_eq(trial_path(m->state, "pci", "0000:00:03.0", path, sizeof(path)), 0);
	make_file(path, text, strlen(text));
	free(text);
	make_file(policy_path(m, "a.conf"), AFTER, strlen(AFTER));
	make_file(policy_path(m, "b.conf"), "", 0);
}

static int trial_end(struct mock *m, const char *id, bool *ret_force)
{
	return trial_undo(&m->settings, "pci", "0000:00:03.0", id, now_usec() + SECOND, ret_force);
}

static int trial_finish(struct mock *m, const char *id)
{
	return trial_undo_finish(&m->settings, "pci", "0000:00:03.0", id, now_usec() + SECOND);
}

START_TEST(what_is_written_is_read)
{
	struct mock *m = mock_new();
	struct trial trial = trial_of(m), read;
	char *text;

	trial.group = "leave";
	trial.rebind = "force";
	trial.module = "a b";
	trial.force = trial.any_device = trial.is_back = true;
	text = trial_text(&trial);
	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(trial_parse(text, &read), 0);
	ck_assert_str_eq(read.id, "1f");
	ck_assert_str_eq(read.bus, "pci");
	ck_assert_str_eq(read.name, "0000:00:03.0");
	ck_assert_uint_eq(read.until, 42);
	ck_assert_str_eq(read.driver, "none");
	ck_assert_str_eq(read.by, "name");
	ck_assert_str_eq(read.group, "leave");
	ck_assert_str_eq(read.rebind, "force");
	ck_assert_str_eq(read.module, "a b");
	ck_assert(read.force && read.any_device && read.is_back);
	ck_assert_uint_eq(read.n, 3);
	for (size_t i = 0; i < read.n; i++)
		ck_assert_str_eq(read.files[i].path, trial.files[i].path);
	ck_assert_str_eq(read.files[0].before, BEFORE);
	ck_assert_str_eq(read.files[0].after, AFTER);
	ck_assert_ptr_null(read.files[1].before);
	ck_assert_str_eq(read.files[1].after, "");
	ck_assert_str_eq(read.files[2].before, "c\n");
	ck_assert_ptr_null(read.files[2].after);
	trial_done(&read);
	mock_free(m);
}
END_TEST

START_TEST(what_is_no_trial_is_refused)
{
	static const char *const texts[] = { "", "ID=1\n", "AFTER\n+x\n",
					     "ID=1\nBUS=a\nNAME=b\nDRIVER=c\nBY=d\nBEFORE\n-x\n" };
	struct trial read;

	for (size_t i = 0; i < ELEMENTSOF(texts); i++)
		ck_assert_int_eq(trial_parse(strdup(texts[i]), &read), -EBADMSG);
}
END_TEST

START_TEST(files_go_back_once)
{
	struct mock *m = mock_new();
	struct trial trial = trial_of(m);
	bool force = true;

	trial_begin(m, &trial);
	ck_assert_int_eq(trial_end(m, "2f", &force), 0);
	ck_assert_str_eq(text_of(m, "a.conf"), AFTER);
	ck_assert_int_eq(trial_end(m, "1f", &force), 1);
	ck_assert(!force);
	ck_assert_str_eq(text_of(m, "a.conf"), BEFORE);
	ck_assert_ptr_null(text_of(m, "b.conf"));
	ck_assert_str_eq(text_of(m, "c.conf"), "c\n");
	mock_free(m);
}
END_TEST

/* The device may need another try. */
START_TEST(trial_lasts_until_it_is_finished)
{
	struct mock *m = mock_new();
	struct trial trial = trial_of(m);
	bool force = false;

	trial.force = true;
	trial_begin(m, &trial);
	/* Nothing of it is back yet. */
	ck_assert_int_eq(trial_finish(m, "1f"), 0);
	ck_assert_int_eq(trial_end(m, "1f", &force), 1);
	make_file(policy_path(m, "a.conf"), AFTER, strlen(AFTER));
	for (unsigned i = 0; i < 2; i++) {
		force = false;
		ck_assert_int_eq(trial_end(m, "1f", &force), 2);
		ck_assert(force);
	}
	/* It is of no weight what the file says by then. */
	ck_assert_str_eq(text_of(m, "a.conf"), AFTER);
	ck_assert_int_eq(trial_finish(m, "2f"), 0);
	ck_assert_int_eq(trial_end(m, "1f", &force), 2);
	ck_assert_int_eq(trial_finish(m, "1f"), 0);
	ck_assert_int_eq(trial_end(m, "1f", &force), 0);
	ck_assert_int_eq(trial_finish(m, "1f"), 0);
	mock_free(m);
}
END_TEST

/* Somebody else has made it, so it is a change like any other; and it is not followed. */
START_TEST(link_in_the_place_of_a_file_stays)
{
	struct mock *m = mock_new();
	struct trial trial = trial_of(m);
	const char *a = policy_path(m, "a.conf"), *b = policy_path(m, "b.conf");
	bool force;

	trial_begin(m, &trial);
	ck_assert_int_eq(unlink(a), 0);
	ck_assert_int_eq(symlink("/dev/null", a), 0);
	ck_assert_int_eq(unlink(b), 0);
	ck_assert_int_eq(symlink(b, b), 0);
	ck_assert_int_eq(trial_end(m, "1f", &force), 1);
	ck_assert_str_eq(text_of(m, "a.conf"), "");
	ck_assert_str_eq(text_of(m, "c.conf"), "c\n");
	mock_free(m);
}
END_TEST

/* What an undo had restored before it was killed is as it is to be. */
START_TEST(undo_that_was_interrupted_goes_on)
{
	struct mock *m = mock_new();
	struct trial trial = trial_of(m);
	bool force;

	trial_begin(m, &trial);
	make_file(policy_path(m, "a.conf"), BEFORE, strlen(BEFORE));
	ck_assert_int_eq(unlink(policy_path(m, "b.conf")), 0);
	ck_assert_int_eq(trial_end(m, "1f", &force), 1);
	ck_assert_str_eq(text_of(m, "a.conf"), BEFORE);
	ck_assert_ptr_null(text_of(m, "b.conf"));
	ck_assert_str_eq(text_of(m, "c.conf"), "c\n");
	mock_free(m);
}
END_TEST

START_TEST(file_that_was_changed_since_stays)
{
	struct mock *m = mock_new();
	struct trial trial = trial_of(m);
	bool force = false;

	trial.force = true;
	trial_begin(m, &trial);
	make_file(policy_path(m, "a.conf"), "mine\n", 5);
	make_file(policy_path(m, "c.conf"), "mine, too\n", 10);
	ck_assert_int_eq(trial_end(m, "1f", &force), 1);
	ck_assert(force);
	ck_assert_str_eq(text_of(m, "a.conf"), "mine\n");
	ck_assert_ptr_null(text_of(m, "b.conf"));
	ck_assert_str_eq(text_of(m, "c.conf"), "mine, too\n");
	mock_free(m);
}
END_TEST

/* A writer of the service may be at work; it is waited for. */
START_TEST(no_two_write_at_once)
{
	struct mock *m = mock_new();
	struct trial trial = trial_of(m);
	bool force;
	int lock;

	trial_begin(m, &trial);
	lock = writer_lock_acquire(m->state, now_usec() + SECOND);
	ck_assert_int_ge(lock, 0);
	ck_assert_int_eq(trial_undo(&m->settings, "pci", "0000:00:03.0", "1f", now_usec() + 1000U, &force),
			 -ETIMEDOUT);
	ck_assert_str_eq(text_of(m, "a.conf"), AFTER);
	(void)close(lock);
	ck_assert_int_eq(trial_end(m, "1f", &force), 1);
	mock_free(m);
}
END_TEST

SUITE_MAIN("trial", 60, what_is_written_is_read, what_is_no_trial_is_refused, files_go_back_once,
	   trial_lasts_until_it_is_finished, link_in_the_place_of_a_file_stays,
	   undo_that_was_interrupted_goes_on, file_that_was_changed_since_stays, no_two_write_at_once)
