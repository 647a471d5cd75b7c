/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the guard makes of how its holds went: their limit, and what it says of them. */
#include "base/macro.h"
#include "guard/black-box.h"
#include "guard/guard.h"
#include "guard/limit.h"
#include "tests/unit/fixtures/fake-hold.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

struct fixture {
	struct mock *m;
	struct guard g;
	struct sysfs sysfs;
};

static void fixture_new(struct fixture *f)
{
	*f = (struct fixture){ .m = mock_new() };
	f->g.settings = &f->m->settings;
	f->g.hold = hold_new(1000);
	f->g.policy_snapshot = policy_snapshot_load(&f->m->settings);
	sysfs_init(&f->sysfs, &f->m->settings);
	f->g.first_probe_watches = first_probe_watches_new(&f->sysfs, f->g.hold);
	ck_assert(f->g.policy_snapshot && f->g.first_probe_watches);
}

static void fixture_done(struct fixture *f)
{
	first_probe_watches_free(f->g.first_probe_watches);
	policy_snapshot_unref(f->g.policy_snapshot);
	hold_free(f->g.hold);
	mock_free(f->m);
}

START_TEST(the_limit_follows_what_holds_needed)
{
	struct fixture f;

	fixture_new(&f);
	ck_assert_uint_eq(guard_first_limit(&f.g, 0), 250000);
	fake_hold_need(f.g.hold, 60000);
	guard_follow_limit(&f.g);
	ck_assert_uint_eq(fake_hold_limit(f.g.hold), 0); /* nothing was changed */
	fake_hold_need(f.g.hold, 100000);
	guard_follow_limit(&f.g);
	ck_assert_uint_eq(fake_hold_limit(f.g.hold), 400000);
	ck_assert_uint_eq(f.g.loop.limit_usec, 400000);
	/* A limit that was asked for stays. */
	ck_assert_uint_eq(guard_first_limit(&f.g, 300000), 300000);
	fake_hold_need(f.g.hold, 200000);
	guard_follow_limit(&f.g);
	ck_assert_uint_eq(f.g.loop.limit_usec, 300000);
	fixture_done(&f);
}
END_TEST

START_TEST(the_limit_is_below_what_lockup_detectors_stand)
{
	static const struct {
		const char *folder, *file, *text;
		uint64_t ceiling_usec;
	} detectors[] = {
		{ "proc/sys/kernel", "watchdog_thresh", "10\n", LIMIT_USEC_MAX },
		{ "proc/sys/kernel", "watchdog_thresh", "0\n", LIMIT_USEC_MAX },
		{ "proc/sys/kernel", "watchdog_thresh", "1\n", 500000 },
		{ "sys/module/rcupdate/parameters", "rcu_cpu_stall_timeout", "3\n", 1500000 },
		{ "sys/module/rcupdate/parameters", "rcu_exp_cpu_stall_timeout", "20\n", 10000 },
	};
	struct fixture f;

	fixture_new(&f);
	ck_assert_uint_eq(limit_ceiling_usec(f.m->root), LIMIT_USEC_MAX);
	for (size_t i = 0; i < ELEMENTSOF(detectors); i++) {
		const char *folder = mock_printf(f.m, "%s/%zu/%s", f.m->root, i, detectors[i].folder);

		make_dirs(folder);
		make_file(mock_printf(f.m, "%s/%s", folder, detectors[i].file), detectors[i].text,
			  strlen(detectors[i].text));
		ck_assert_uint_eq(limit_ceiling_usec(mock_printf(f.m, "%s/%zu", f.m->root, i)),
				  detectors[i].ceiling_usec);
	}
	ck_assert_uint_eq(limit_for_need_usec(0, LIMIT_USEC_MAX), 250000);
	ck_assert_uint_eq(limit_for_need_usec(0, 10000), 10000);
	ck_assert_uint_eq(limit_for_need_usec(500000, LIMIT_USEC_MAX), 1000000);
	fixture_done(&f);
}
END_TEST

START_TEST(the_hold_is_active_when_it_was_seen_to_hold)
{
	struct fixture f;

	fixture_new(&f);
	ck_assert_str_eq(guard_hold_text(&f.g), "active, not yet seen to hold");
	fake_hold_set_seen(f.g.hold, 1, 1);
	ck_assert_str_eq(guard_hold_text(&f.g), "active");
	fake_hold_freeze(f.g.hold, true);
	ck_assert_str_eq(guard_hold_text(&f.g), "not while user space is frozen");
	fake_hold_freeze(f.g.hold, false);
	fake_hold_keep_out(f.g.hold);
	ck_assert_ptr_nonnull(
		strstr(guard_hold_text(&f.g), "off: a hold kept the guard itself from running"));
	fixture_done(&f);
}
END_TEST

/* The kernel does not call the programs, although they are attached. */
START_TEST(additions_that_the_hold_has_not_seen_are_told)
{
	struct fixture f;

	fixture_new(&f);
	fake_hold_set_seen(f.g.hold, 5, 5);
	guard_apply_buses(&f.g);
	atomic_store(&f.g.n_heard, 1);
	ck_assert_str_eq(guard_hold_text(&f.g), "active");
	atomic_store(&f.g.n_heard, 2);
	ck_assert_ptr_nonnull(strstr(guard_hold_text(&f.g), "not holding: 2 devices were added"));
	/* It has seen one of them; others may have been added before the policy could match their bus. */
	fake_hold_set_seen(f.g.hold, 5, 6);
	ck_assert_str_eq(guard_hold_text(&f.g), "active");
	fixture_done(&f);
}
END_TEST

START_TEST(the_first_hold_that_expires_is_explained_once)
{
	struct fixture f;
	const char *log, *text;
	int fd;

	fixture_new(&f);
	f.g.main_wakeup = -1;
	log = mock_printf(f.m, "%s/log", f.m->root);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ck_assert_int_ge(dup2(fd, STDERR_FILENO), 0);
	black_box_log(&f.g);
	ck_assert_str_eq(mock_read(f.m, log), ""); /* none has */
	black_box_want(&f.g);
	black_box_follow(&f.g);
	fake_hold_set_expired(f.g.hold, 1);
	black_box_log(&f.g);
	black_box_want(&f.g);
	black_box_follow(&f.g);
	black_box_log(&f.g);
	text = strstr(mock_read(f.m, log),
		      "pci 0000:00:03.0: the first hold that reached its limit: it waited for 250.0 ms");
	ck_assert_ptr_nonnull(text);
	ck_assert_ptr_nonnull(strstr(text, "state D, CPU 1, priority 39, "));
	ck_assert_ptr_nonnull(strstr(text, ": down_read+0x10 sysfs_read\n"));
	ck_assert_ptr_nonnull(strstr(text, "state R, CPU 0"));
	ck_assert_ptr_null(strstr(strchr(text, '\n'), "the first hold that"));
	fixture_done(&f);
}
END_TEST

SUITE_MAIN("hold-limit", 30, the_first_hold_that_expires_is_explained_once,
	   the_limit_follows_what_holds_needed, the_limit_is_below_what_lockup_detectors_stand,
	   the_hold_is_active_when_it_was_seen_to_hold, additions_that_the_hold_has_not_seen_are_told)
