/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which policy files are read, in which order, whom they may belong to, and their last good copies. */
#include "base/macro.h"
#include "policy/policy-digest.h"
#include "state/policy-copy.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define RULE(label, driver) "[device " label "]\nName=" label "\nDriver=" driver "\n"

/* The labels of all rules in order, "a b c". */
static const char *labels(struct mock *m)
{
	_cleanup_(policy_freep) struct policy *policy = mock_load(m);
	const char *all = "";

	for (size_t i = 0; i < policy->n_rules; i++) {
		ck_assert_uint_eq(policy->rules[i]->order, i);
		all = mock_printf(m, "%s%s%s", all, i ? " " : "", policy->rules[i]->label);
	}
	return all;
}

static const char *driver_of(const struct policy *policy, size_t i)
{
	ck_assert_uint_lt(i, policy->n_rules);
	return policy->rules[i]->driver.name;
}

START_TEST(no_directories_are_no_error)
{
	struct mock *m = mock_new();
	struct policy *policy;

	for (size_t i = 0; i < MOCK_DIRS; i++)
		ck_assert_int_eq(rmdir(m->conf[i]), 0);
	policy = mock_load(m);
	ck_assert_uint_eq(policy->n_rules, 0);
	ck_assert_uint_eq(policy->n_errors, 0);
	policy_free(policy);
	mock_free(m);
}
END_TEST

START_TEST(files_by_name_over_all_directories)
{
	struct mock *m = mock_new();

	mock_policy(m, MOCK_ETC, "30-e.conf", RULE("e30", "x"));
	mock_policy(m, MOCK_ETC, "05-e.conf", RULE("e05", "x"));
	mock_policy(m, MOCK_RUN, "20-r.conf", RULE("r20", "x") RULE("r20b", "x"));
	mock_policy(m, MOCK_USR, "10-u.conf", RULE("u10", "x"));
	mock_policy(m, MOCK_USR, "99-u.conf", RULE("u99", "x"));
	mock_policy(m, MOCK_USR, "9-u.conf", RULE("u9", "x"));
	ck_assert_str_eq(labels(m), "e05 u10 r20 r20b e30 u9 u99");
	mock_free(m);
}
END_TEST

START_TEST(first_directory_wins_for_the_same_name)
{
	struct mock *m = mock_new();

	mock_policy(m, MOCK_USR, "10-a.conf", RULE("usr", "x"));
	ck_assert_str_eq(labels(m), "usr");
	mock_policy(m, MOCK_RUN, "10-a.conf", RULE("run", "x"));
	ck_assert_str_eq(labels(m), "run");
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("etc", "x"));
	ck_assert_str_eq(labels(m), "etc");
	mock_policy(m, MOCK_ETC, "10-a.conf", "");
	ck_assert_str_eq(labels(m), "");
	mock_free(m);
}
END_TEST

START_TEST(bad_file_still_hides_later_ones_of_its_name)
{
	struct mock *m = mock_new();

	mock_policy(m, MOCK_USR, "10-a.conf", RULE("usr", "x"));
	mock_policy(m, MOCK_ETC, "10-a.conf", "[nonsense\n");
	ck_assert_str_eq(labels(m), "");
	mock_free(m);
}
END_TEST

START_TEST(link_to_dev_null_masks)
{
	struct mock *m = mock_new();
	struct policy *policy;

	mock_policy(m, MOCK_USR, "10-a.conf", RULE("usr", "x"));
	mock_policy(m, MOCK_USR, "20-b.conf", RULE("other", "x"));
	ck_assert_int_eq(symlink("/dev/null", mock_printf(m, "%s/10-a.conf", m->conf[MOCK_RUN])), 0);
	ck_assert_str_eq(labels(m), "other");
	policy = mock_load(m);
	ck_assert_uint_eq(policy->n_errors, 0);
	ck_assert_uint_eq(policy->n_files, 2);
	ck_assert_int_eq(policy->files[0].status, POLICY_FILE_MASKED);
	policy_free(policy);

	/* What stands before the link counts. */
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("etc", "x"));
	ck_assert_str_eq(labels(m), "etc other");
	mock_free(m);
}
END_TEST

START_TEST(masked_file_is_not_replaced_by_its_copy)
{
	struct mock *m = mock_new();
	const char *path = mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "x"));
	struct policy *policy = mock_load(m);

	policy_copies_update(m->state, policy);
	policy_free(policy);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("/dev/null", path), 0);
	ck_assert_str_eq(labels(m), "");
	mock_free(m);
}
END_TEST

START_TEST(other_names_are_not_read)
{
	struct mock *m = mock_new();

	mock_policy(m, MOCK_ETC, "10-a.conf.bak", RULE("a", "x"));
	mock_policy(m, MOCK_ETC, "10-a.CONF", RULE("b", "x"));
	mock_policy(m, MOCK_ETC, "conf", RULE("c", "x"));
	mock_policy(m, MOCK_ETC, "README", "hello\n");
	mock_policy(m, MOCK_ETC, "aconf", RULE("d", "x"));
	ck_assert_str_eq(labels(m), "");
	mock_free(m);
}
END_TEST

/* The only file is refused for what it is, in no line. */
static void only_file_is_refused(struct mock *m)
{
	_cleanup_(policy_freep) struct policy *policy = mock_load(m);

	ck_assert_uint_eq(policy->n_rules, 0);
	ck_assert_uint_eq(policy->n_errors, 1);
	ck_assert_uint_eq(policy->errors[0].line, 0);
	ck_assert_str_eq(policy->errors[0].file, policy->files[0].path);
	ck_assert_int_eq(policy->files[0].status, POLICY_FILE_BAD);
}

START_TEST(file_that_group_or_others_can_write)
{
	struct mock *m = mock_new();
	const char *path = mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "x"));

	ck_assert_int_eq(chmod(path, 0664), 0);
	only_file_is_refused(m);
	ck_assert_int_eq(chmod(path, 0646), 0);
	only_file_is_refused(m);
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_assert_str_eq(labels(m), "a");
	mock_free(m);
}
END_TEST

/* As an ordinary user nobody else's file can be made, except that such a user's own and root's are read. */
START_TEST(file_of_another_user)
{
	struct mock *m = mock_new();
	const char *path = mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "x"));

	ck_assert_str_eq(labels(m), "a");
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(path, 65534, 0), 0);
		only_file_is_refused(m);
		ck_assert_int_eq(chown(path, 0, 65534), 0);
		ck_assert_str_eq(labels(m), "a");
	}
	mock_free(m);
}
END_TEST

START_TEST(owner_and_mode_are_those_of_the_file_as_opened)
{
	struct mock *m = mock_new();
	const char *target = mock_policy(m, MOCK_ETC, "target", RULE("a", "x"));

	ck_assert_int_eq(symlink("target", mock_printf(m, "%s/10-a.conf", m->conf[MOCK_ETC])), 0);
	ck_assert_str_eq(labels(m), "a");
	ck_assert_int_eq(chmod(target, 0666), 0);
	only_file_is_refused(m);
	mock_free(m);
}
END_TEST

START_TEST(directory_with_the_name_of_a_file)
{
	struct mock *m = mock_new();

	make_dirs(mock_printf(m, "%s/10-a.conf", m->conf[MOCK_ETC]));
	only_file_is_refused(m);
	mock_free(m);
}
END_TEST

START_TEST(fifo_with_the_name_of_a_file)
{
	struct mock *m = mock_new();

	ck_assert_int_eq(mkfifo(mock_printf(m, "%s/10-a.conf", m->conf[MOCK_ETC]), 0600), 0);
	only_file_is_refused(m);
	mock_free(m);
}
END_TEST

START_TEST(link_to_nothing)
{
	struct mock *m = mock_new();

	ck_assert_int_eq(symlink("nowhere", mock_printf(m, "%s/10-a.conf", m->conf[MOCK_ETC])), 0);
	only_file_is_refused(m);
	mock_free(m);
}
END_TEST

START_TEST(name_over_two_lines)
{
	struct mock *m = mock_new();
	struct policy *policy;

	mock_policy(m, MOCK_ETC, "10-a\nRULE=b.conf", RULE("a", "x"));
	policy = mock_load(m);
	ck_assert_uint_eq(policy->n_rules, 0);
	ck_assert_uint_eq(policy->n_errors, 1);
	policy_free(policy);
	mock_free(m);
}
END_TEST

START_TEST(one_bad_file_leaves_the_others)
{
	struct mock *m = mock_new();

	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "x"));
	mock_policy(m, MOCK_ETC, "20-b.conf", RULE("b", "x") "nonsense\n");
	mock_policy(m, MOCK_ETC, "30-c.conf", RULE("c", "x"));
	ck_assert_str_eq(labels(m), "a c");
	mock_free(m);
}
END_TEST

START_TEST(last_good_copy_stays_in_force)
{
	struct mock *m = mock_new();
	const char *path = mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "old") RULE("b", "old"));
	struct policy *policy = mock_load(m);
	uint64_t id = rule_id(policy->rules[1]);

	policy_copies_update(m->state, policy);
	policy_free(policy);

	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "new") "Drivr=x\n");
	policy = mock_load(m);
	ck_assert_uint_eq(policy->n_rules, 2);
	ck_assert_str_eq(driver_of(policy, 0), "old");
	/* The rule is the same as before, and goes by the path that the user knows. */
	ck_assert_uint_eq(rule_id(policy->rules[1]), id);
	ck_assert_str_eq(policy->rules[1]->file, path);
	ck_assert_uint_eq(policy->n_errors, 1);
	ck_assert_uint_eq(policy->errors[0].line, 4);
	ck_assert_int_eq(policy->files[0].status, POLICY_FILE_COPY);
	policy_copies_update(m->state, policy); /* must not keep what is bad */
	policy_free(policy);

	policy = mock_load(m);
	ck_assert_str_eq(driver_of(policy, 0), "old");
	policy_free(policy);

	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "new"));
	policy = mock_load(m);
	ck_assert_uint_eq(policy->n_rules, 1);
	ck_assert_str_eq(driver_of(policy, 0), "new");
	ck_assert_uint_eq(policy->n_errors, 0);
	ck_assert_int_eq(policy->files[0].status, POLICY_FILE_GOOD);
	policy_free(policy);
	mock_free(m);
}
END_TEST

START_TEST(copy_is_used_when_mode_or_type_is_wrong)
{
	struct mock *m = mock_new();
	const char *path = mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "x"));
	struct policy *policy = mock_load(m);

	policy_copies_update(m->state, policy);
	policy_free(policy);
	ck_assert_int_eq(chmod(path, 0666), 0);
	ck_assert_str_eq(labels(m), "a");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_str_eq(labels(m), "a");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_str_eq(labels(m), ""); /* removed is removed */
	mock_free(m);
}
END_TEST

START_TEST(copy_is_the_last_good_version_also_of_equal_size_and_time)
{
	struct mock *m = mock_new();
	/* As on systems that set all files' times to the same: NixOS, ostree, reproducible packages. */
	const struct timespec times[2] = { { 1, 0 }, { 1, 0 } };
	static const char *const texts[] = { RULE("a", "one"), RULE("a", "two") };
	struct policy *policy;

	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		const char *path = mock_policy(m, MOCK_ETC, "10-a.conf", texts[i]);

		ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
		policy = mock_load(m);
		policy_copies_update(m->state, policy);
		policy_free(policy);
	}
	mock_policy(m, MOCK_ETC, "10-a.conf", "nonsense\n");
	policy = mock_load(m);
	ck_assert_str_eq(driver_of(policy, 0), "two");
	policy_free(policy);
	mock_free(m);
}
END_TEST

static void copy_comes_and_goes(const char *name)
{
	struct mock *m = mock_new();
	const char *path = mock_policy(m, MOCK_ETC, name, RULE("a", "x"));
	struct policy *policy = mock_load(m);
	char copy[PATH_MAX];

	policy_copies_update(m->state, policy);
	policy_copies_clean(m->state, policy);
	policy_free(policy);
	ck_assert_int_eq(policy_copy_path(m->state, path, copy, sizeof(copy)), 0);
	ck_assert_int_eq(access(copy, F_OK), 0);

	ck_assert_int_eq(unlink(path), 0);
	policy = mock_load(m);
	policy_copies_clean(m->state, policy);
	policy_free(policy);
	ck_assert_int_ne(access(copy, F_OK), 0);
	mock_free(m);
}

START_TEST(copies_of_removed_files_are_cleaned_away)
{
	copy_comes_and_goes("10-a.conf");
	/* Escaped it is longer than a name may be. */
	copy_comes_and_goes(
		"50-\u0432\u0438\u0434\u0435\u043e\u043a\u0430\u0440\u0442\u0430-\u0434\u043b\u044f-"
		"\u0432\u0438\u0440\u0442\u0443\u0430\u043b\u044c\u043d\u043e\u0439-"
		"\u043c\u0430\u0448\u0438\u043d\u044b.conf");
}
END_TEST

START_TEST(copies_stay_when_their_directory_cannot_be_listed)
{
	struct mock *m = mock_new();
	const char *path = mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "x"));
	struct policy *policy = mock_load(m);
	char copy[PATH_MAX];

	policy_copies_update(m->state, policy);
	policy_free(policy);
	ck_assert_int_eq(policy_copy_path(m->state, path, copy, sizeof(copy)), 0);

	/* Not ENOENT: the files are not gone, they just cannot be seen now. */
	ck_assert_int_eq(rename(m->conf[MOCK_ETC], mock_printf(m, "%s/away", m->root)), 0);
	ck_assert_int_eq(symlink(m->conf[MOCK_ETC], m->conf[MOCK_ETC]), 0);
	policy = mock_load(m);
	/* The directory's, and the file's, whose copy speaks for it. */
	ck_assert_uint_eq(policy->n_errors, 2);
	ck_assert_uint_eq(policy->n_rules, 1);
	ck_assert_int_eq(policy->files[0].status, POLICY_FILE_COPY);
	policy_copies_clean(m->state, policy);
	policy_free(policy);
	ck_assert_int_eq(access(copy, F_OK), 0);
	mock_free(m);
}
END_TEST

START_TEST(named_files_in_their_order_without_copies)
{
	struct mock *m = mock_new();
	const char *paths[] = { mock_policy(m, MOCK_ETC, "20-b.conf", RULE("b", "x")),
				mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "x")),
				mock_printf(m, "%s/none.conf", m->root) };
	struct policy *policy = mock_load(m);

	policy_copies_update(m->state, policy);
	policy_free(policy);
	mock_policy(m, MOCK_ETC, "10-a.conf", "nonsense\n");
	ck_assert_int_eq(policy_load_files(paths, ELEMENTSOF(paths), &policy), 0);
	ck_assert_uint_eq(policy->n_rules, 1);
	ck_assert_str_eq(policy->rules[0]->label, "b");
	ck_assert_uint_eq(policy->n_errors, 2);
	policy_free(policy);
	mock_free(m);
}
END_TEST

START_TEST(rules_are_found_by_id)
{
	struct mock *m = mock_new();
	struct policy *policy;

	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "x") RULE("b", "x"));
	policy = mock_load(m);
	ck_assert_ptr_eq(policy_find_rule(policy, rule_id(policy->rules[1])), policy->rules[1]);
	ck_assert_ptr_null(policy_find_rule(policy, 0));
	policy_free(policy);
	mock_free(m);
}
END_TEST

/* The digest and the texts that are kept with it are of one reading, whatever is written meanwhile. */
START_TEST(digest_is_of_what_was_read)
{
	struct mock *m = mock_new();
	char before[POLICY_DIGEST_SIZE], after[POLICY_DIGEST_SIZE];
	struct policy *policy;

	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "x"));
	policy = mock_load(m);
	policy_digest_of(policy, before);
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "y"));
	policy_digest_of(policy, after);
	ck_assert_str_eq(after, before);
	policy_free(policy);
	policy = mock_load(m);
	policy_digest_of(policy, after);
	ck_assert_str_ne(after, before);
	policy_free(policy);
	mock_free(m);
}
END_TEST

/* Whoever changes it has another policy, although the rules of the same copy are in force. */
START_TEST(digest_is_of_a_faulty_file_and_not_of_its_copy)
{
	static const char *const texts[] = { RULE("a", "x"), "[device a]\nName\n", "[device a]\nNames\n" };
	struct mock *m = mock_new();
	char digests[ELEMENTSOF(texts)][POLICY_DIGEST_SIZE];

	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		_cleanup_(policy_freep) struct policy *policy = NULL;

		mock_policy(m, MOCK_ETC, "10-a.conf", texts[i]);
		policy = mock_load(m);
		policy_copies_update(m->state, policy);
		ck_assert_str_eq(driver_of(policy, 0), "x");
		policy_digest_of(policy, digests[i]);
		for (size_t k = 0; k < i; k++)
			ck_assert_str_ne(digests[i], digests[k]);
	}
	mock_free(m);
}
END_TEST

SUITE_MAIN("policy", 20, no_directories_are_no_error, files_by_name_over_all_directories,
	   first_directory_wins_for_the_same_name, bad_file_still_hides_later_ones_of_its_name,
	   link_to_dev_null_masks, masked_file_is_not_replaced_by_its_copy, other_names_are_not_read,
	   file_that_group_or_others_can_write, file_of_another_user,
	   owner_and_mode_are_those_of_the_file_as_opened, directory_with_the_name_of_a_file,
	   fifo_with_the_name_of_a_file, link_to_nothing, name_over_two_lines, one_bad_file_leaves_the_others,
	   last_good_copy_stays_in_force, copy_is_used_when_mode_or_type_is_wrong,
	   copy_is_the_last_good_version_also_of_equal_size_and_time,
	   copies_of_removed_files_are_cleaned_away, copies_stay_when_their_directory_cannot_be_listed,
	   named_files_in_their_order_without_copies, rules_are_found_by_id, digest_is_of_what_was_read,
	   digest_is_of_a_faulty_file_and_not_of_its_copy)
