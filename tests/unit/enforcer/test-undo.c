/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override undo`: a trial that was not confirmed ends, policy and device go back. */
#include "base/text.h"
#include "state/record.h"
#include "state/trial.h"
#include "tests/unit/fixtures/run-enforcer.h"
#include "tests/unit/fixtures/suite.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RULE "[device x]\nName=0000:00:03.0\nDriver=none\n"
#define DEVICE "pci/0000:00:03.0"

/* A device without a driver, which a rule on trial keeps from having one. */
static struct mock *trial_tree_new(const char **ret_device)
{
	struct mock *m = mock_new();
	char path[PATH_MAX], *text;
	struct trial trial;

	*ret_device = mock_pci_add(m, "0000:00:03.0", NULL, 0x8086, 0x10d3, 0x020000);
	trial = (struct trial){ .id = "1f",
				.bus = "pci",
				.name = "0000:00:03.0",
				.driver = "none",
				.by = "name",
				.files = { { mock_policy(m, MOCK_RUN, "05-run-x.conf", RULE), NULL, RULE } },
				.n = 1 };
	text = trial_text(&trial);
	ck_assert_int_eq(enforcer_event(m, *ret_device).status, 0);
	ck_assert_str_eq(mock_override(m, *ret_device), "none");
	make_dirs(mock_printf(m, "%s/trials", m->state));
	ck_assert_int_eq(trial_path(m->state, "pci", "0000:00:03.0", path, sizeof(path)), 0);
	make_file(path, text, strlen(text));
	free(text);
	return m;
}

static bool rule_is_there(struct mock *m)
{
	return access(mock_printf(m, "%s/05-run-x.conf", m->conf[MOCK_RUN]), F_OK) == 0;
}

static bool trial_is_there(struct mock *m)
{
	return access(mock_printf(m, "%s/trials/pci:0000:00:03.0", m->state), F_OK) == 0;
}

START_TEST(policy_and_device_go_back)
{
	const char *device;
	struct mock *m = trial_tree_new(&device);
	struct enforcer_result r = enforcer_run(m, "undo", "--trial", "1f", DEVICE, NULL);
	struct record record;

	ck_assert_int_eq(r.status, 0);
	ck_assert_ptr_nonnull(strstr(r.err, DEVICE ": not confirmed in time, policy is what it was before"));
	ck_assert_ptr_nonnull(strstr(r.out, "STATE=unmanaged\n"));
	ck_assert(!rule_is_there(m));
	ck_assert_str_ne(mock_override(m, device), "none");
	ck_assert(!mock_record(m, device, &record));

	/* Its timer may come twice. */
	r = enforcer_run(m, "undo", "--trial", "1f", DEVICE, NULL);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.out, "");
	ck_assert_ptr_nonnull(strstr(r.err, DEVICE ": that trial is over, nothing goes back"));
	mock_free(m);
}
END_TEST

/* As the service names the device to systemd. */
START_TEST(bytes_of_a_name_may_be_escaped)
{
	const char *device;
	struct mock *m = trial_tree_new(&device);
	const char *name = "pci/0000:00:03\\x2e0";

	ck_assert_int_eq(enforcer_run(m, "undo", "--trial", "1f", "pci/0000:00:03\\x2", NULL).status, 2);
	ck_assert(rule_is_there(m));
	ck_assert_int_eq(enforcer_run(m, "undo", "--trial", "1f", name, NULL).status, 0);
	ck_assert(!rule_is_there(m));
	ck_assert_str_ne(mock_override(m, device), "none");
	mock_free(m);
}
END_TEST

START_TEST(timer_of_an_earlier_trial_changes_nothing)
{
	const char *device;
	struct mock *m = trial_tree_new(&device);
	struct enforcer_result r = enforcer_run(m, "undo", "--trial", "1e", DEVICE, NULL);

	ck_assert_int_eq(r.status, 0);
	ck_assert(rule_is_there(m));
	ck_assert_str_eq(mock_override(m, device), "none");
	mock_free(m);
}
END_TEST

/* The device may have gone: policy goes back all the same. */
START_TEST(device_that_has_gone_leaves_no_rule)
{
	const char *device;
	struct mock *m = trial_tree_new(&device);

	mock_remove(m, device);
	ck_assert_int_eq(enforcer_run(m, "undo", "--trial", "1f", DEVICE, NULL).status, 0);
	ck_assert(!rule_is_there(m));
	ck_assert(!trial_is_there(m));
	mock_free(m);
}
END_TEST

/* The unit is started again until the device has moved, long after policy is back. */
START_TEST(device_that_cannot_go_back_yet_is_tried_again)
{
	const char *device;
	struct mock *m = trial_tree_new(&device);
	const char *lock = mock_printf(m, "%s/rebind", m->state), *away = mock_printf(m, "%s/away", m->root);
	struct enforcer_result r;

	/* No device can be locked. */
	make_dirs(lock);
	ck_assert_int_eq(rename(lock, away), 0);
	make_file(lock, "", 0);
	for (unsigned i = 0; i < 2; i++) {
		r = enforcer_run(m, "undo", "--trial", "1f", DEVICE, NULL);
		ck_assert_int_eq(r.status, 1);
		ck_assert_ptr_nonnull(strstr(r.err, DEVICE ": the device could not go back: Failed"));
		ck_assert(!rule_is_there(m));
		ck_assert(trial_is_there(m));
		ck_assert_str_eq(mock_override(m, device), "none");
		/* It is said once that policy is back. */
		ck_assert_int_eq(strstr(r.err, "policy is what it was before") != NULL, i == 0);
	}
	ck_assert_int_eq(unlink(lock), 0);
	ck_assert_int_eq(rename(away, lock), 0);
	ck_assert_int_eq(enforcer_run(m, "undo", "--trial", "1f", DEVICE, NULL).status, 0);
	ck_assert_str_ne(mock_override(m, device), "none");
	ck_assert(!trial_is_there(m));
	mock_free(m);
}
END_TEST

/* Another try would find the same. */
START_TEST(override_of_somebody_else_ends_the_trial)
{
	const char *device;
	struct mock *m = trial_tree_new(&device);

	(void)mock_policy(m, MOCK_ETC, "50-a.conf", RULE);
	mock_attr(m, device, "driver_override", "mine\n");
	ck_assert_int_eq(enforcer_run(m, "undo", "--trial", "1f", DEVICE, NULL).status, 2);
	ck_assert(!rule_is_there(m));
	ck_assert(!trial_is_there(m));
	ck_assert_str_eq(mock_override(m, device), "mine\n");
	mock_free(m);
}
END_TEST

START_TEST(usage)
{
	const char *device;
	struct mock *m = trial_tree_new(&device);

	ck_assert_int_eq(enforcer_run(m, "undo", DEVICE, NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "undo", "--trial", "1f", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "undo", "--trial", "1f", "0000:00:03.0", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "rebind", "--trial", "1f", DEVICE, NULL).status, 2);
	ck_assert(rule_is_there(m));
	mock_free(m);
}
END_TEST

SUITE_MAIN("undo", 60, bytes_of_a_name_may_be_escaped, policy_and_device_go_back,
	   timer_of_an_earlier_trial_changes_nothing, device_that_has_gone_leaves_no_rule,
	   device_that_cannot_go_back_yet_is_tried_again, override_of_somebody_else_ends_the_trial, usage)
