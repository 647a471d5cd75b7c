/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A policy file that may be half written counts by its last good copy, until it is settled. */
#include "policy/policy-in-force.h"
#include "policy/policy-settled.h"
#include "base/text.h"
#include "state/policy-copy.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RULE(label, driver) "[device " label "]\nName=x\nDriver=" driver "\n"

/* What the clocks show; zero: the true time. No test depends on how fast the machine is. */
static struct timespec wall_clock;
static uint64_t monotonic_usec;

/* Takes the place of the C library's. */
int clock_gettime(clockid_t id, struct timespec *ret)
{
	if (id == CLOCK_REALTIME && wall_clock.tv_sec > 0)
		*ret = wall_clock;
	else if (id == CLOCK_MONOTONIC && monotonic_usec > 0)
		*ret = (struct timespec){ .tv_sec = (time_t)(monotonic_usec / 1000000),
					  .tv_nsec = (long)(monotonic_usec % 1000000) * 1000 };
	else
		return (int)syscall(SYS_clock_gettime, id, ret);
	return 0;
}

/* It is so many microseconds after the last write to a file. */
static void set_clock_after_write(const char *path, long usec)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	wall_clock = st.st_mtim;
	wall_clock.tv_nsec += usec * 1000;
	wall_clock.tv_sec += wall_clock.tv_nsec / 1000000000;
	wall_clock.tv_nsec %= 1000000000;
}

/* As `cat >` does it, and it is a millisecond later. */
static void write_in_place(const char *path, const char *text)
{
	wall_clock = (struct timespec){};
	make_file(path, text, strlen(text));
	set_clock_after_write(path, 1000);
}

/* A file that is good, and of which there is a copy. */
static const char *copied_policy(struct mock *m, const char *name, const char *text)
{
	const char *path = mock_policy(m, MOCK_ETC, name, text);
	struct policy *policy = mock_load(m);

	policy_copies_update(m->state, policy);
	policy_free(policy);
	return path;
}

static const char *text_of_copy(struct mock *m, const char *path)
{
	char copy[PATH_MAX];

	ck_assert_int_eq(policy_copy_path(m->state, path, copy, sizeof(copy)), 0);
	return access(copy, F_OK) < 0 ? NULL : mock_read(m, copy);
}

/* Loads the policy, has copies made of it, and compares its one file and its first rule's driver. */
static void is_policy(struct mock *m, enum policy_file_status status, size_t n_rules, const char *driver)
{
	struct policy *policy = mock_load(m);

	policy_copies_update(m->state, policy);
	ck_assert_uint_eq(policy->n_files, 1);
	ck_assert_int_eq(policy->files[0].status, status);
	ck_assert_uint_eq(policy->n_rules, n_rules);
	if (n_rules > 0)
		ck_assert_str_eq(policy->rules[0]->driver.name, driver);
	ck_assert_uint_eq(policy->n_errors, 0);
	policy_free(policy);
}

START_TEST(file_is_settled_when_it_was_left_alone_or_renamed_into_place)
{
	static const struct {
		const char *what;
		struct timespec written, changed, now;
		off_t size;
		mode_t mode;
		uint64_t usec;
	} cases[] = {
		{ "now", { 100, 5 }, { 100, 5 }, { 100, 5 }, 1, S_IFREG, 200000 },
		{ "199 ms ago", { 100, 1000 }, { 100, 1000 }, { 100, 199001000 }, 1, S_IFREG, 1000 },
		{ "200 ms ago", { 100, 1000 }, { 100, 1000 }, { 100, 200001000 }, 1, S_IFREG, 0 },
		{ "in the last second",
		  { 99, 999999000 },
		  { 99, 999999000 },
		  { 100, 0 },
		  1,
		  S_IFREG,
		  199999 },
		{ "an hour ago", { 100, 5 }, { 100, 5 }, { 3700, 5 }, 1, S_IFREG, 0 },
		{ "long ago", { INT_MIN, 5 }, { INT_MIN, 5 }, { INT_MAX, 5 }, 1, S_IFREG, 0 },
		{ "in a time to come", { 100, 5 }, { 100, 5 }, { 100, 4 }, 1, S_IFREG, 0 },
		{ "in another year", { INT_MAX, 5 }, { INT_MAX, 5 }, { 100, 5 }, 1, S_IFREG, 0 },
		{ "renamed then", { 100, 5 }, { 100, 6 }, { 100, 7 }, 1, S_IFREG, 0 },
		{ "its owner set then", { 100, 5 }, { 101, 5 }, { 101, 6 }, 1, S_IFREG, 0 },
		{ "renamed, but empty", { 100, 5 }, { 100, 6 }, { 100, 1005 }, 0, S_IFREG, 199999 },
		{ "whole seconds", { 100, 0 }, { 100, 0 }, { 100, 5 }, 1, S_IFREG, 0 },
		{ "a device", { 100, 5 }, { 100, 5 }, { 100, 5 }, 1, S_IFCHR, 0 },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		const struct stat st = { .st_mtim = cases[i].written,
					 .st_ctim = cases[i].changed,
					 .st_size = cases[i].size,
					 .st_mode = cases[i].mode };

		wall_clock = cases[i].now;
		ck_assert_msg(policy_file_settles_in(&st) == cases[i].usec, "%s: %ju", cases[i].what,
			      (uintmax_t)policy_file_settles_in(&st));
	}
}
END_TEST

START_TEST(file_being_written_counts_by_its_last_good_copy)
{
	struct mock *m = mock_new();
	const char *path = copied_policy(m, "10-a.conf", RULE("a", "old"));

	write_in_place(path, "");
	is_policy(m, POLICY_FILE_UNSETTLED, 1, "old");
	write_in_place(path, "[device a]\nName=x\n"); /* no error is told of what goes on */
	is_policy(m, POLICY_FILE_UNSETTLED, 1, "old");
	write_in_place(path, RULE("a", "new"));
	is_policy(m, POLICY_FILE_UNSETTLED, 1, "old");
	write_in_place(path, RULE("a", "new") RULE("b", "new"));
	is_policy(m, POLICY_FILE_UNSETTLED, 1, "old");
	ck_assert_str_eq(text_of_copy(m, path), RULE("a", "old"));
	set_clock_after_write(path, POLICY_SETTLE_USEC);
	is_policy(m, POLICY_FILE_GOOD, 2, "new");
	ck_assert_str_eq(text_of_copy(m, path), RULE("a", "new") RULE("b", "new"));

	/* Empty on purpose is empty in the end. */
	write_in_place(path, "");
	is_policy(m, POLICY_FILE_UNSETTLED, 2, "new");
	set_clock_after_write(path, POLICY_SETTLE_USEC);
	is_policy(m, POLICY_FILE_GOOD, 0, NULL);
	mock_free(m);
}
END_TEST

/* As at boot, where there are no copies yet. */
START_TEST(file_being_written_without_a_copy_is_taken_as_it_is)
{
	struct mock *m = mock_new();
	const char *path = mock_printf(m, "%s/10-a.conf", m->conf[MOCK_ETC]);

	write_in_place(path, RULE("a", "half"));
	is_policy(m, POLICY_FILE_GOOD, 1, "half");
	/* It would count as the last good version of what is written next. */
	ck_assert_ptr_null(text_of_copy(m, path));
	write_in_place(path, RULE("a", "whole"));
	is_policy(m, POLICY_FILE_GOOD, 1, "whole");
	set_clock_after_write(path, POLICY_SETTLE_USEC);
	is_policy(m, POLICY_FILE_GOOD, 1, "whole");
	ck_assert_str_eq(text_of_copy(m, path), RULE("a", "whole"));
	mock_free(m);
}
END_TEST

START_TEST(file_renamed_into_place_counts_at_once)
{
	struct mock *m = mock_new();
	const char *path = copied_policy(m, "10-a.conf", RULE("a", "old"));

	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "new"));
	set_clock_after_write(path, 0);
	is_policy(m, POLICY_FILE_GOOD, 1, "new");
	ck_assert_uint_eq(policy_settles_in(&m->settings), 0);
	ck_assert_str_eq(text_of_copy(m, path), RULE("a", "new"));
	mock_free(m);
}
END_TEST

/* A program opens the file, which empties it, sets its mode, and only then writes. */
START_TEST(emptied_file_is_not_complete_because_its_mode_was_set)
{
	struct mock *m = mock_new();
	const char *path = copied_policy(m, "10-a.conf", RULE("a", "old"));
	struct timespec times[2];

	write_in_place(path, "");
	policy_file_times(times);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
	set_clock_after_write(path, 1000);
	is_policy(m, POLICY_FILE_UNSETTLED, 1, "old");
	set_clock_after_write(path, POLICY_SETTLE_USEC);
	is_policy(m, POLICY_FILE_GOOD, 0, NULL);
	mock_free(m);
}
END_TEST

START_TEST(copy_of_a_file_being_written_is_not_left_over)
{
	struct mock *m = mock_new();
	const char *a = copied_policy(m, "10-a.conf", RULE("a", "old")), *b;

	b = copied_policy(m, "20-b.conf", RULE("b", "old"));
	write_in_place(a, "");
	ck_assert_int_eq(unlink(b), 0);
	is_policy(m, POLICY_FILE_UNSETTLED, 1, "old");
	ck_assert_str_eq(text_of_copy(m, a), RULE("a", "old"));
	ck_assert_ptr_null(text_of_copy(m, b));
	mock_free(m);
}
END_TEST

START_TEST(all_policy_files_are_waited_for_and_no_others)
{
	struct mock *m = mock_new();
	const char *etc = m->conf[MOCK_ETC], *path = mock_printf(m, "%s/10-a.conf", etc);

	write_in_place(mock_printf(m, "%s/.10-b.conf", etc), "x");
	write_in_place(mock_printf(m, "%s/10-b.conf.new", etc), "x");
	ck_assert_uint_eq(policy_settles_in(&m->settings), 0);
	/* What is written is what a link leads to. */
	write_in_place(mock_printf(m, "%s/elsewhere", m->root), "x");
	ck_assert_int_eq(symlink(mock_printf(m, "%s/elsewhere", m->root), path), 0);
	ck_assert_uint_eq(policy_settles_in(&m->settings), POLICY_SETTLE_USEC - 1000);
	mock_free(m);
}
END_TEST

START_TEST(a_program_without_a_deadline_waits_and_then_reads)
{
	struct mock *m = mock_new();
	const char *path = copied_policy(m, "10-a.conf", RULE("a", "old"));
	struct policy *policy;

	write_in_place(path, RULE("a", "new"));
	wall_clock = (struct timespec){};
	ck_assert_int_eq(policy_load_settled(&m->settings, &policy), 0);
	ck_assert_str_eq(policy->rules[0]->driver.name, "new");
	policy_free(policy);
	mock_free(m);
}
END_TEST

START_TEST(a_file_that_is_written_to_all_the_time_does_not_keep_others_from_being_read)
{
	struct mock *m = mock_new();
	const char *path = mock_printf(m, "%s/10-a.conf", m->conf[MOCK_ETC]);
	struct policy_delay delay = {};
	uint64_t usec;

	monotonic_usec = 5000000;
	ck_assert(!policy_delay_goes_on(&delay, &m->settings, &usec));
	ck_assert_uint_eq(usec, 0);

	write_in_place(path, "#");
	ck_assert(policy_delay_goes_on(&delay, &m->settings, &usec));
	ck_assert_uint_eq(usec, POLICY_SETTLE_USEC - 1000);
	monotonic_usec += POLICY_SETTLE_USEC - 1;
	ck_assert(policy_delay_goes_on(&delay, &m->settings, &usec));
	monotonic_usec++;
	/* Read now, and look again. */
	ck_assert(!policy_delay_goes_on(&delay, &m->settings, &usec));
	ck_assert_uint_eq(usec, POLICY_SETTLE_USEC - 1000);
	ck_assert(policy_delay_goes_on(&delay, &m->settings, &usec));
	set_clock_after_write(path, POLICY_SETTLE_USEC);
	ck_assert(!policy_delay_goes_on(&delay, &m->settings, &usec));
	ck_assert_uint_eq(usec, 0);
	monotonic_usec = 0; /* by which the test is timed, too */
	mock_free(m);
}
END_TEST

SUITE_MAIN("settled", 20, file_is_settled_when_it_was_left_alone_or_renamed_into_place,
	   file_being_written_counts_by_its_last_good_copy,
	   file_being_written_without_a_copy_is_taken_as_it_is, file_renamed_into_place_counts_at_once,
	   emptied_file_is_not_complete_because_its_mode_was_set,
	   copy_of_a_file_being_written_is_not_left_over, all_policy_files_are_waited_for_and_no_others,
	   a_program_without_a_deadline_waits_and_then_reads,
	   a_file_that_is_written_to_all_the_time_does_not_keep_others_from_being_read)
