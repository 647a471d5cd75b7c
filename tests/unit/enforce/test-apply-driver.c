/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which state comes of a decision and the driver that a device has, when it is probed, and what FirstProbe
 * says. */
#include "base/macro.h"
#include "base/text.h"
#include "enforce/apply.h"
#include "tests/unit/fixtures/apply-fixture.h"
#include "tests/unit/fixtures/suite.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#define VFIO "[device gpu]\nName=0000:00:03.0\nDriver=vfio-pci\n"

static void check_first_probe(enum occasion occasion, const char *driver, const char *expected)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	f.occasion = occasion;
	if (*driver)
		mock_bind(f.m, f.device, driver);
	apply_fixture_apply(&f);
	ck_assert(mock_record(f.m, f.device, &f.record));
	ck_assert_msg(streq(first_probe_to_string(f.record.first_probe), expected),
		      "%s bound, occasion %u: %s", driver, occasion,
		      first_probe_to_string(f.record.first_probe));

	/* What was told once is not told again, whatever has become of the device. */
	f.occasion = OCCASION_ADDED;
	apply_fixture_set_policy(&f, "[device gpu]\nName=0000:00:03.0\nDriver=none\n");
	apply_fixture_apply(&f);
	ck_assert(mock_record(f.m, f.device, &f.record));
	if (*expected)
		ck_assert_str_eq(first_probe_to_string(f.record.first_probe), expected);
	apply_fixture_done(&f);
}

START_TEST(driver_that_came_by_our_override_is_to_be_given_up)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	apply_fixture_apply(&f);
	mock_bind(f.m, f.device, "vfio-pci");
	apply_fixture_set_policy(&f, "[device gpu]\nName=0000:00:03.0\nDriver=default\n");
	for (int i = 0; i < 2; i++) { /* and that is not forgotten */
		apply_fixture_apply(&f);
		ck_assert_int_eq(f.outcome.state, STATE_PENDING);
		ck_assert_ptr_nonnull(strstr(f.outcome.reason, "vfio-pci"));
		ck_assert(mock_record(f.m, f.device, &f.record));
		ck_assert_str_eq(f.record.driver_by_override, "vfio-pci");
	}
	mock_bind(f.m, f.device, "nvme");
	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_ENFORCED);
	ck_assert(mock_record(f.m, f.device, &f.record));
	ck_assert_str_eq(f.record.driver_by_override, "");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(driver_that_came_by_our_override_stays_with_rebind_no)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	apply_fixture_apply(&f);
	mock_bind(f.m, f.device, "vfio-pci");
	apply_fixture_set_policy(&f, "[device gpu]\nName=0000:00:03.0\nDriver=default\nRebind=no\n");
	apply_fixture_apply(&f);
	ck_assert_str_eq(mock_override(f.m, f.device), "\n");
	ck_assert_str_eq(device_state_to_string(f.outcome.state), "blocked");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(default_leaves_its_own_driver_alone)
{
	struct apply_fixture f = apply_fixture_new("[device gpu]\nName=0000:00:03.0\nDriver=default\n");

	mock_bind(f.m, f.device, "nvme");
	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_ENFORCED);
	apply_fixture_done(&f);
}
END_TEST

START_TEST(none_without_driver_is_enforced)
{
	struct apply_fixture f = apply_fixture_new("[device gpu]\nName=0000:00:03.0\nDriver=none\n");

	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_ENFORCED);
	ck_assert_str_eq(mock_override(f.m, f.device), "none");
	ck_assert_str_eq(apply_fixture_probed(&f), "");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(other_driver_is_pending)
{
	static const char *const drivers[] = { "vfio-pci", "none" };

	for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
		struct apply_fixture f = apply_fixture_new("");

		apply_fixture_set_policy(
			&f, mock_printf(f.m, "[device gpu]\nName=0000:00:03.0\nDriver=%s\n", drivers[i]));
		mock_bind(f.m, f.device, "nvme");
		apply_fixture_apply(&f);
		ck_assert_int_eq(f.outcome.state, STATE_PENDING);
		ck_assert_ptr_nonnull(strstr(f.outcome.reason, "nvme"));
		ck_assert_str_eq(mock_override(f.m, f.device), drivers[i]);
		ck_assert_str_eq(apply_fixture_probed(&f), "");
		apply_fixture_done(&f);
	}
}
END_TEST

START_TEST(other_driver_with_rebind_no_is_blocked)
{
	static const char *const drivers[] = { "vfio-pci", "none" };

	for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
		struct apply_fixture f = apply_fixture_new("");

		apply_fixture_set_policy(
			&f, mock_printf(f.m, "[device gpu]\nName=0000:00:03.0\nDriver=%s\nRebind=no\n",
					drivers[i]));
		mock_bind(f.m, f.device, "nvme");
		apply_fixture_apply(&f);
		ck_assert_int_eq(f.outcome.state, STATE_BLOCKED);
		ck_assert_ptr_nonnull(strstr(f.outcome.reason, "nvme"));
		apply_fixture_done(&f);
	}
}
END_TEST

START_TEST(driver_that_is_not_loaded_is_pending)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_PENDING);
	ck_assert(f.outcome.needs_module);
	ck_assert_str_eq(apply_fixture_probed(&f), "");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(driverless_device_is_probed_by_a_driver_that_is_there)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	mock_driver_add(f.m, "pci", "vfio-pci");
	apply_fixture_apply(&f);
	ck_assert_str_eq(apply_fixture_probed(&f), "0000:00:03.0");
	ck_assert(!f.outcome.needs_module);
	ck_assert_int_eq(f.outcome.state, STATE_PENDING); /* nothing binds here */
	apply_fixture_done(&f);
}
END_TEST

/* drivers_autoprobe=0: somebody binds the devices of this bus by hand. */
START_TEST(device_of_a_bus_that_is_probed_by_hand_gets_its_override_and_no_probe)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	make_file(mock_printf(f.m, "%s/bus/pci/drivers_autoprobe", f.m->sysfs), "0\n", 2);
	mock_driver_add(f.m, "pci", "vfio-pci");
	apply_fixture_apply(&f);
	ck_assert_str_eq(mock_override(f.m, f.device), "vfio-pci");
	ck_assert_str_eq(apply_fixture_probed(&f), "");
	ck_assert_int_eq(f.outcome.state, STATE_PENDING);
	ck_assert_ptr_nonnull(strstr(f.outcome.reason, "drivers_autoprobe"));
	apply_fixture_set_policy(&f, "[device gpu]\nName=0000:00:03.0\nDriver=default\n");
	apply_fixture_apply(&f);
	ck_assert_str_eq(mock_override(f.m, f.device), "\n");
	ck_assert_str_eq(apply_fixture_probed(&f), "");
	make_file(mock_printf(f.m, "%s/bus/pci/drivers_autoprobe", f.m->sysfs), "1\n", 2);
	apply_fixture_set_policy(&f, VFIO);
	apply_fixture_apply(&f);
	ck_assert_str_eq(apply_fixture_probed(&f), "0000:00:03.0");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(device_that_goes_away_while_it_is_looked_at_has_not_failed)
{
	struct apply_fixture f = apply_fixture_new(VFIO);
	struct decision decision;
	struct sysfs_device *d;
	struct sysfs sysfs;

	for (int i = 0; i < 2; i++) {
		sysfs_init(&sysfs, &f.m->settings);
		d = mock_device(&sysfs, f.device);
		ck_assert_int_eq(policy_decide(f.policy, &d->device, &decision), 0);
		mock_remove(f.m, f.device);
		if (i == 1) { /* another one has the name already, and answers no more than it did */
			f.device = mock_pci_add(f.m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
			mock_attr_remove(f.m, f.device, "driver_override");
		}
		apply_decision(&decision, OCCASION_ADDED, &f.outcome);
		ck_assert(f.outcome.gone);
		ck_assert_int_ne(f.outcome.state, STATE_FAILED);
		if (i == 1)
			ck_assert(!mock_record(f.m, f.device, &f.record));
		decision_done(&decision);
		sysfs_device_free(d);
		sysfs_done(&sysfs);
		if (i == 0)
			f.device = mock_pci_add(f.m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	}
	apply_fixture_done(&f);
}
END_TEST

/* Applies `driver`, which is registered and binds nothing, to a device that is not new. */
static void apply_to_driver_that_does_not_bind(struct apply_fixture *f, const char *driver)
{
	mock_driver_add(f->m, "pci", driver);
	f->occasion = OCCASION_LATER;
	apply_fixture_set_policy(f,
				 mock_printf(f->m, "[device gpu]\nName=0000:00:03.0\nDriver=%s\n", driver));
	mock_attr(f->m, f->device, "driver_override", "(null)\n");
	apply_fixture_apply(f);
	ck_assert_str_eq(mock_override(f->m, f->device), driver);
	ck_assert_str_eq(apply_fixture_probed(f), "0000:00:03.0");
}

START_TEST(driver_that_was_asked_and_has_not_bound_has_failed)
{
	struct apply_fixture f = apply_fixture_new("");

	apply_to_driver_that_does_not_bind(&f, "vfio-pci");
	ck_assert_int_eq(f.outcome.state, STATE_FAILED);
	ck_assert_ptr_nonnull(strstr(f.outcome.reason, "vfio-pci is registered, was asked to probe it"));
	ck_assert_ptr_null(strstr(f.outcome.reason, "allow_driver_override"));
	ck_assert(mock_record(f.m, f.device, &f.record));
	ck_assert_int_eq(f.record.state, STATE_FAILED);

	/* One that the kernel has yet to probe, or that waits for another device, has not. */
	f.occasion = OCCASION_ADDED;
	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_PENDING);
	mock_attr(f.m, f.device, "waiting_for_supplier", "1\n");
	apply_to_driver_that_does_not_bind(&f, "nouveau");
	ck_assert_int_eq(f.outcome.state, STATE_PENDING);
	mock_attr(f.m, f.device, "waiting_for_supplier", "0\n");
	apply_to_driver_that_does_not_bind(&f, "nouveau");
	ck_assert_int_eq(f.outcome.state, STATE_FAILED);
	apply_fixture_done(&f);
}
END_TEST

/* No kernel refuses overrides yet as far as was seen: nothing is claimed of it. */
START_TEST(parameter_that_allows_overrides_is_named_as_far_as_it_is_known)
{
	static const struct {
		const char *command_line, *parameter, *hint;
	} cases[] = {
		{ "quiet\n", NULL, NULL },
		{ "no_allow_driver_override\n", "N\n",
		  "the kernel's parameter core.allow_driver_override is off" },
		{ "allow_driver_override=0\n", "N\n",
		  "the kernel's parameter core.allow_driver_override is off" },
		{ "quiet allow_driver_override\n", "N\n", NULL },
		{ "core.allow_driver_override=1 quiet\n", NULL, NULL },
		{ "quiet\n", "Y\n", NULL },
		{ "quiet\n", "N\n", "the kernel's parameter core.allow_driver_override is off" },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct apply_fixture f = apply_fixture_new("");
		const char *parameter =
			mock_printf(f.m, "%s/module/core/parameters/allow_driver_override", f.m->sysfs);

		make_dirs(mock_printf(f.m, "%s/../proc", f.m->sysfs));
		make_file(mock_printf(f.m, "%s/../proc/cmdline", f.m->sysfs), cases[i].command_line,
			  strlen(cases[i].command_line));
		make_dirs(mock_printf(f.m, "%s/module/core/parameters", f.m->sysfs));
		if (cases[i].parameter)
			make_file(parameter, cases[i].parameter, strlen(cases[i].parameter));
		apply_to_driver_that_does_not_bind(&f, "nouveau");
		ck_assert_int_eq(f.outcome.state, STATE_FAILED);
		if (cases[i].hint)
			ck_assert_msg(strstr(f.outcome.reason, cases[i].hint) != NULL, "%zu: %s", i,
				      f.outcome.reason);
		else
			ck_assert_msg(strstr(f.outcome.reason, "override") == NULL, "%zu: %s", i,
				      f.outcome.reason);
		apply_fixture_done(&f);
	}
}
END_TEST

START_TEST(cleared_device_without_driver_is_probed)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	apply_fixture_apply(&f);
	ck_assert_str_eq(apply_fixture_probed(&f), "");
	apply_fixture_set_policy(&f, "[device gpu]\nName=0000:00:03.0\nDriver=default\n");
	apply_fixture_apply(&f);
	ck_assert_str_eq(apply_fixture_probed(&f), "0000:00:03.0");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(first_probe_follows_from_the_driver_after_the_write)
{
	check_first_probe(OCCASION_ADDED, "", "won");
	check_first_probe(OCCASION_ADDED, "nvme", "lost");
	check_first_probe(OCCASION_ADDED, "vfio-pci", "unknown");
	check_first_probe(OCCASION_BOOT, "", "won");
	check_first_probe(OCCASION_BOOT, "nvme", "unknown");
	check_first_probe(OCCASION_LATER, "", "");
	check_first_probe(OCCASION_LATER, "nvme", "");
}
END_TEST

START_TEST(first_probe_is_not_known_where_somebody_else_has_written)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	mock_attr(f.m, f.device, "driver_override", "vfio-pci\n");
	apply_fixture_apply(&f);
	ck_assert(mock_record(f.m, f.device, &f.record));
	ck_assert_str_eq(first_probe_to_string(f.record.first_probe), "");
	apply_fixture_done(&f);
}
END_TEST

/* The kernel refused it while its group was in use; the group may be free now. */
START_TEST(device_that_was_refused_its_own_driver_is_probed_again)
{
	struct apply_fixture f = apply_fixture_new("[device gpu]\nName=0000:00:03.0\nDriver=default\n");
	const char *other;

	apply_fixture_apply(&f);
	ck_assert_str_eq(apply_fixture_probed(&f), "");
	other = mock_pci_add(f.m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	mock_bind(f.m, other, "vfio-pci");
	mock_group(f.m, 7, f.device, other, NULL);
	mock_group_open(f.m, 7);
	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_HELD);
	mock_group_close(f.m);
	apply_fixture_apply(&f);
	ck_assert_str_eq(apply_fixture_probed(&f), "0000:00:03.0");
	ck_assert_int_eq(f.outcome.state, STATE_ENFORCED);
	apply_fixture_done(&f);
}
END_TEST

/* The override is the same, but the rule was changed: that the old one was enforced says nothing. */
START_TEST(enforced_belongs_to_one_rule)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	mock_bind(f.m, f.device, "vfio-pci");
	apply_fixture_apply(&f);
	ck_assert(mock_record(f.m, f.device, &f.record));
	ck_assert_uint_ne(f.record.enforced, 0);
	mock_bind(f.m, f.device, "nvme");
	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_PENDING);
	ck_assert(mock_record(f.m, f.device, &f.record));
	ck_assert_uint_ne(f.record.enforced, 0);
	apply_fixture_set_policy(&f, VFIO "Rebind=force\n");
	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_PENDING);
	ck_assert(mock_record(f.m, f.device, &f.record));
	ck_assert_uint_eq(f.record.enforced, 0);
	apply_fixture_done(&f);
}
END_TEST

SUITE_MAIN("apply-driver", 20, driver_that_was_asked_and_has_not_bound_has_failed,
	   parameter_that_allows_overrides_is_named_as_far_as_it_is_known,
	   device_of_a_bus_that_is_probed_by_hand_gets_its_override_and_no_probe,
	   device_that_goes_away_while_it_is_looked_at_has_not_failed, enforced_belongs_to_one_rule,
	   device_that_was_refused_its_own_driver_is_probed_again,
	   driver_that_came_by_our_override_is_to_be_given_up,
	   driver_that_came_by_our_override_stays_with_rebind_no, default_leaves_its_own_driver_alone,
	   none_without_driver_is_enforced, other_driver_is_pending, other_driver_with_rebind_no_is_blocked,
	   driver_that_is_not_loaded_is_pending, driverless_device_is_probed_by_a_driver_that_is_there,
	   cleared_device_without_driver_is_probed, first_probe_follows_from_the_driver_after_the_write,
	   first_probe_is_not_known_where_somebody_else_has_written)
