/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a policy that was loaded is still what would be loaded. */
#include "policy/policy-current.h"
#include "base/text.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RULE(driver) "[device x]\nName=x\nDriver=" driver "\n"

/* How far the wall clock is from the true time, or what it shows. No test depends on how fast the machine is.
 */
static long ahead_sec;
static struct timespec wall_clock;

/* Takes the place of the C library's. */
int clock_gettime(clockid_t id, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, id, ret);

	if (id == CLOCK_REALTIME)
		*ret = wall_clock.tv_sec > 0 ? wall_clock
					     : (struct timespec){ ret->tv_sec + ahead_sec, ret->tv_nsec };
	return r;
}

static struct policy *load_later(struct mock *m)
{
	struct policy *policy;

	ahead_sec = 2;
	ck_assert_int_eq(policy_load(&m->settings, &policy), 0);
	return policy;
}

static const char *policy_path(struct mock *m, enum mock_dir dir, const char *name)
{
	return mock_printf(m, "%s/%s", m->conf[dir], name);
}

static void change_in_place(struct mock *m)
{
	(void)mock_policy(m, MOCK_ETC, "a.conf", RULE("f"));
}

static void change_by_rename(struct mock *m)
{
	const char *new = policy_path(m, MOCK_ETC, "new");

	make_file(new, RULE("g"), strlen(RULE("g")));
	ck_assert_int_eq(rename(new, policy_path(m, MOCK_ETC, "a.conf")), 0);
}

static void change_by_removal(struct mock *m)
{
	ck_assert_int_eq(unlink(policy_path(m, MOCK_RUN, "b.conf")), 0);
}

static void change_by_file(struct mock *m)
{
	(void)mock_policy(m, MOCK_RUN, "c.conf", RULE("e"));
}

static void change_by_mode(struct mock *m)
{
	ck_assert_int_eq(chmod(policy_path(m, MOCK_ETC, "a.conf"), 0666), 0);
}

static void change_by_folder(struct mock *m)
{
	ck_assert_int_eq(rename(m->conf[MOCK_RUN], mock_printf(m, "%s/away", m->root)), 0);
}

static void change_behind_link(struct mock *m)
{
	make_file(mock_printf(m, "%s/elsewhere", m->root), RULE("z"), strlen(RULE("z")));
}

START_TEST(what_nobody_changed_is_current_and_every_change_is_seen)
{
	static void (*const changes[])(
		struct mock * m) = { change_in_place, change_by_rename, change_by_removal, change_by_file,
				     change_by_mode,  change_by_folder, change_behind_link };

	for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
		struct mock *m = mock_new();
		struct policy *policy;

		ahead_sec = 0;
		(void)mock_policy(m, MOCK_ETC, "a.conf", RULE("e"));
		(void)mock_policy(m, MOCK_RUN, "b.conf", RULE("e"));
		make_file(mock_printf(m, "%s/elsewhere", m->root), RULE("e"), strlen(RULE("e")));
		ck_assert_int_eq(symlink(mock_printf(m, "%s/elsewhere", m->root),
					 policy_path(m, MOCK_ETC, "link.conf")),
				 0);
		ck_assert_int_eq(symlink("/dev/null", policy_path(m, MOCK_ETC, "masked.conf")), 0);
		policy = load_later(m);
		ck_assert(policy_is_current(policy, &m->settings));
		/* The file keeps its size; a file system has its times from the kernel's last tick. */
		(void)usleep(20000);
		changes[i](m);
		ck_assert_msg(!policy_is_current(policy, &m->settings), "change %zu", i);
		(void)policy_free(policy);
		mock_free(m);
	}
}
END_TEST

/* Another change in the same tick would leave no trace. */
START_TEST(what_was_changed_right_before_is_not_trusted)
{
	struct mock *m = mock_new();
	const long ages[] = { -10000000000, 0, 9000000 };
	struct policy *policy;
	struct stat st;

	ck_assert_int_eq(stat(mock_policy(m, MOCK_ETC, "a.conf", RULE("e")), &st), 0);
	for (size_t i = 0; i < ELEMENTSOF(ages); i++) {
		const long nsec = st.st_ctim.tv_nsec + ages[i] % 1000000000;

		wall_clock = (struct timespec){ st.st_ctim.tv_sec + ages[i] / 1000000000 + nsec / 1000000000,
						nsec % 1000000000 };
		ck_assert_int_eq(policy_load(&m->settings, &policy), 0);
		ck_assert_msg(!policy_is_current(policy, &m->settings), "age %zu", i);
		(void)policy_free(policy);
	}
	wall_clock = (struct timespec){};
	policy = load_later(m);
	ck_assert(policy_is_current(policy, &m->settings));
	(void)policy_free(policy);
	mock_free(m);
}
END_TEST

START_TEST(folder_that_comes_is_seen)
{
	struct mock *m = mock_new();
	const char *away = mock_printf(m, "%s/away", m->root);
	struct policy *policy;

	ck_assert_int_eq(rename(m->conf[MOCK_RUN], away), 0);
	policy = load_later(m);
	ck_assert(policy_is_current(policy, &m->settings));
	ck_assert_int_eq(rename(away, m->conf[MOCK_RUN]), 0);
	ck_assert(!policy_is_current(policy, &m->settings));
	(void)policy_free(policy);
	mock_free(m);
}
END_TEST

/* What is in force instead may change without the file. */
START_TEST(file_with_errors_and_folder_that_cannot_be_listed_are_read_again)
{
	struct mock *m = mock_new();
	struct policy *policy;

	(void)mock_policy(m, MOCK_ETC, "a.conf", "nonsense\n");
	policy = load_later(m);
	ck_assert(!policy_is_current(policy, &m->settings));
	(void)policy_free(policy);
	ck_assert_int_eq(unlink(policy_path(m, MOCK_ETC, "a.conf")), 0);
	ck_assert_int_eq(rmdir(m->conf[MOCK_RUN]), 0);
	ck_assert_int_eq(symlink(m->conf[MOCK_RUN], m->conf[MOCK_RUN]), 0);
	policy = load_later(m);
	ck_assert(!policy_is_current(policy, &m->settings));
	(void)policy_free(policy);
	mock_free(m);
}
END_TEST

SUITE_MAIN("policy-current", 60, what_nobody_changed_is_current_and_every_change_is_seen,
	   what_was_changed_right_before_is_not_trusted, folder_that_comes_is_seen,
	   file_with_errors_and_folder_that_cannot_be_listed_are_read_again)
