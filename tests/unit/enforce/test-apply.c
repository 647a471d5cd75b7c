/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sysfs is made to agree with a decision: what is written and what is left alone, what state comes of it. */
#include "enforce/apply.h"
#include "tests/unit/fixtures/apply-fixture.h"
#include "state/store.h"
#include "tests/unit/fixtures/suite.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* What somebody writes into the override while we write the record, once; NULL: nobody does. */
static const char *meanwhile, *where;

/* In place of the C library's: the end of writing a record. */
int rename(const char *from, const char *to)
{
	int r = (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
	FILE *f;

	if (meanwhile) {
		f = fopen(where, "we");
		ck_assert_ptr_nonnull(f);
		ck_assert_int_ge(fputs(meanwhile, f), 0);
		ck_assert_int_eq(fclose(f), 0);
		meanwhile = NULL;
	}
	return r;
}

#define VFIO "[device gpu]\nName=0000:00:03.0\nDriver=vfio-pci\n"

START_TEST(device_without_a_decision_is_never_touched)
{
	struct bench b = bench_new("[device other]\nName=other\nDriver=x\n");

	mock_attr(b.m, b.device, "driver_override", "something\n");
	apply(&b);
	ck_assert_int_eq(b.outcome.state, STATE_UNMANAGED);
	ck_assert(!b.outcome.wrote);
	ck_assert_str_eq(mock_override(b.m, b.device), "something\n");
	ck_assert(!mock_record(b.m, b.device, &b.record));
	bench_done(&b);
}
END_TEST

START_TEST(writes_the_driver_and_nothing_more)
{
	struct bench b = bench_new(VFIO);

	apply(&b);
	ck_assert(b.outcome.wrote);
	ck_assert_str_eq(mock_override(b.m, b.device), "vfio-pci");
	bench_done(&b);
}
END_TEST

START_TEST(writes_once)
{
	struct bench b = bench_new(VFIO);

	mock_bind(b.m, b.device, "vfio-pci");
	apply(&b);
	ck_assert(b.outcome.wrote);
	ck_assert_int_eq(b.outcome.state, STATE_ENFORCED);
	mock_attr(b.m, b.device, "driver_override", "vfio-pci\n"); /* as the kernel shows it */
	watch(&b);
	apply(&b);
	ck_assert(!b.outcome.wrote);
	ck_assert_int_eq(b.outcome.state, STATE_ENFORCED);
	ck_assert(!was_written(&b));
	bench_done(&b);
}
END_TEST

START_TEST(compares_before_writing)
{
	struct bench b = bench_new(VFIO);

	/* Somebody else's, but what was decided. */
	mock_attr(b.m, b.device, "driver_override", "vfio-pci\n");
	mock_bind(b.m, b.device, "vfio-pci");
	watch(&b);
	apply(&b);
	ck_assert_int_eq(b.outcome.state, STATE_ENFORCED);
	ck_assert(!was_written(&b));
	ck_assert(mock_record(b.m, b.device, &b.record));
	ck_assert_str_eq(b.record.owned_override, ""); /* not ours for that */
	bench_done(&b);
}
END_TEST

START_TEST(unset_is_shown_in_two_ways)
{
	static const char *const unset[] = { "(null)\n", "\n", "" };

	for (size_t i = 0; i < ELEMENTSOF(unset); i++) {
		struct bench b = bench_new(VFIO);

		mock_attr(b.m, b.device, "driver_override", unset[i]);
		apply(&b);
		ck_assert_str_eq(mock_override(b.m, b.device), "vfio-pci");
		bench_done(&b);
	}
}
END_TEST

START_TEST(default_of_an_unset_override_writes_nothing)
{
	static const char *const unset[] = { "(null)\n", "\n", "" };

	for (size_t i = 0; i < ELEMENTSOF(unset); i++) {
		struct bench b = bench_new("[device gpu]\nName=0000:00:03.0\nDriver=default\n");

		mock_attr(b.m, b.device, "driver_override", unset[i]);
		watch(&b);
		apply(&b);
		ck_assert_int_eq(b.outcome.state, STATE_ENFORCED);
		ck_assert(!was_written(&b));
		bench_done(&b);
	}
}
END_TEST

START_TEST(foreign_override_stays)
{
	static const char *const drivers[] = { "vfio-pci", "none", "default" };

	for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
		struct bench b = bench_new("");

		new_policy(&b, mock_printf(b.m, "[device gpu]\nName=0000:00:03.0\nDriver=%s\n", drivers[i]));
		mock_attr(b.m, b.device, "driver_override", "foreign\n");
		watch(&b);
		apply(&b);
		ck_assert_int_eq(b.outcome.state, STATE_FOREIGN);
		ck_assert_ptr_nonnull(strstr(b.outcome.reason, "foreign"));
		ck_assert(!b.outcome.wrote);
		ck_assert(!was_written(&b));
		ck_assert(mock_record(b.m, b.device, &b.record));
		ck_assert_str_eq(b.record.state, "foreign");
		ck_assert_str_eq(b.record.owned_override, "");
		bench_done(&b);
	}
}
END_TEST

START_TEST(ours_is_replaced)
{
	struct bench b = bench_new(VFIO);

	apply(&b);
	new_policy(&b, "[device gpu]\nName=0000:00:03.0\nDriver=none\n");
	apply(&b);
	ck_assert_str_eq(mock_override(b.m, b.device), "none");
	ck_assert_int_eq(b.outcome.state, STATE_ENFORCED);
	ck_assert(mock_record(b.m, b.device, &b.record));
	ck_assert_str_eq(b.record.owned_override, "none");
	bench_done(&b);
}
END_TEST

START_TEST(changed_by_another_hand_it_is_not_ours_any_more)
{
	struct bench b = bench_new(VFIO);

	apply(&b);
	mock_attr(b.m, b.device, "driver_override", "foreign\n");
	apply(&b);
	ck_assert_int_eq(b.outcome.state, STATE_FOREIGN);
	ck_assert_str_eq(mock_override(b.m, b.device), "foreign\n");
	bench_done(&b);
}
END_TEST

/* Applies VFIO while somebody writes that; it stands afterwards, and its record is read. */
static struct bench apply_while_written(const char *text)
{
	struct bench b = bench_new(VFIO);

	where = mock_path(b.m, b.device, "driver_override");
	meanwhile = text;
	apply(&b);
	ck_assert_ptr_null(meanwhile);
	ck_assert(!b.outcome.wrote);
	ck_assert_str_eq(mock_override(b.m, b.device), text);
	ck_assert(mock_record(b.m, b.device, &b.record));
	return b;
}

/* The guard does not wait for us. */
START_TEST(what_another_has_written_meanwhile_is_not_written_again)
{
	struct bench b = apply_while_written("vfio-pci\n");

	ck_assert_int_eq(b.outcome.state, STATE_PENDING);
	ck_assert_str_eq(b.record.owned_override, "vfio-pci");
	ck_assert_str_eq(b.record.first_probe, "");
	bench_done(&b);
}
END_TEST

START_TEST(what_another_has_decided_meanwhile_stays)
{
	struct bench b = apply_while_written("foreign\n");

	ck_assert_int_eq(b.outcome.state, STATE_FOREIGN);
	ck_assert_ptr_nonnull(strstr(b.outcome.reason, "foreign"));
	ck_assert_str_eq(b.record.owned_override, "");
	bench_done(&b);
}
END_TEST

START_TEST(cleared_by_another_hand_it_is_set_again)
{
	struct bench b = bench_new(VFIO);

	apply(&b);
	mock_attr(b.m, b.device, "driver_override", "(null)\n");
	apply(&b);
	ck_assert_str_eq(mock_override(b.m, b.device), "vfio-pci");
	bench_done(&b);
}
END_TEST

START_TEST(cleared_with_exactly_a_newline)
{
	struct bench b = bench_new(VFIO);

	apply(&b);
	new_policy(&b, "[device gpu]\nName=0000:00:03.0\nDriver=default\n");
	apply(&b);
	ck_assert(b.outcome.wrote);
	ck_assert_str_eq(mock_override(b.m, b.device), "\n");
	ck_assert(mock_record(b.m, b.device, &b.record));
	ck_assert_str_eq(b.record.owned_override, "");
	ck_assert_str_eq(b.record.decision, "default");
	bench_done(&b);
}
END_TEST

START_TEST(driver_that_came_by_our_override_is_to_be_given_up)
{
	struct bench b = bench_new(VFIO);

	apply(&b);
	mock_bind(b.m, b.device, "vfio-pci");
	new_policy(&b, "[device gpu]\nName=0000:00:03.0\nDriver=default\n");
	for (int i = 0; i < 2; i++) { /* and that is not forgotten */
		apply(&b);
		ck_assert_int_eq(b.outcome.state, STATE_PENDING);
		ck_assert_ptr_nonnull(strstr(b.outcome.reason, "vfio-pci"));
		ck_assert(mock_record(b.m, b.device, &b.record));
		ck_assert_str_eq(b.record.driver_by_override, "vfio-pci");
	}
	mock_bind(b.m, b.device, "nvme");
	apply(&b);
	ck_assert_int_eq(b.outcome.state, STATE_ENFORCED);
	ck_assert(mock_record(b.m, b.device, &b.record));
	ck_assert_str_eq(b.record.driver_by_override, "");
	bench_done(&b);
}
END_TEST

START_TEST(driver_that_came_by_our_override_stays_with_rebind_no)
{
	struct bench b = bench_new(VFIO);

	apply(&b);
	mock_bind(b.m, b.device, "vfio-pci");
	new_policy(&b, "[device gpu]\nName=0000:00:03.0\nDriver=default\nRebind=no\n");
	apply(&b);
	ck_assert_str_eq(mock_override(b.m, b.device), "\n");
	ck_assert_str_eq(device_state_to_string(b.outcome.state), "blocked");
	bench_done(&b);
}
END_TEST

START_TEST(default_leaves_its_own_driver_alone)
{
	struct bench b = bench_new("[device gpu]\nName=0000:00:03.0\nDriver=default\n");

	mock_bind(b.m, b.device, "nvme");
	apply(&b);
	ck_assert_int_eq(b.outcome.state, STATE_ENFORCED);
	bench_done(&b);
}
END_TEST

START_TEST(none_without_driver_is_enforced)
{
	struct bench b = bench_new("[device gpu]\nName=0000:00:03.0\nDriver=none\n");

	apply(&b);
	ck_assert_int_eq(b.outcome.state, STATE_ENFORCED);
	ck_assert_str_eq(mock_override(b.m, b.device), "none");
	ck_assert_str_eq(probed(&b), "");
	bench_done(&b);
}
END_TEST

START_TEST(other_driver_is_pending)
{
	static const char *const drivers[] = { "vfio-pci", "none" };

	for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
		struct bench b = bench_new("");

		new_policy(&b, mock_printf(b.m, "[device gpu]\nName=0000:00:03.0\nDriver=%s\n", drivers[i]));
		mock_bind(b.m, b.device, "nvme");
		apply(&b);
		ck_assert_int_eq(b.outcome.state, STATE_PENDING);
		ck_assert_ptr_nonnull(strstr(b.outcome.reason, "nvme"));
		ck_assert_str_eq(mock_override(b.m, b.device), drivers[i]);
		ck_assert_str_eq(probed(&b), "");
		bench_done(&b);
	}
}
END_TEST

START_TEST(other_driver_with_rebind_no_is_blocked)
{
	static const char *const drivers[] = { "vfio-pci", "none" };

	for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
		struct bench b = bench_new("");

		new_policy(&b, mock_printf(b.m, "[device gpu]\nName=0000:00:03.0\nDriver=%s\nRebind=no\n",
					   drivers[i]));
		mock_bind(b.m, b.device, "nvme");
		apply(&b);
		ck_assert_int_eq(b.outcome.state, STATE_BLOCKED);
		ck_assert_ptr_nonnull(strstr(b.outcome.reason, "nvme"));
		bench_done(&b);
	}
}
END_TEST

START_TEST(driver_that_is_not_loaded_is_pending)
{
	struct bench b = bench_new(VFIO);

	apply(&b);
	ck_assert_int_eq(b.outcome.state, STATE_PENDING);
	ck_assert(b.outcome.needs_module);
	ck_assert_str_eq(probed(&b), "");
	bench_done(&b);
}
END_TEST

START_TEST(driverless_device_is_probed_by_a_driver_that_is_there)
{
	struct bench b = bench_new(VFIO);

	mock_driver_add(b.m, "pci", "vfio-pci");
	apply(&b);
	ck_assert_str_eq(probed(&b), "0000:00:03.0");
	ck_assert(!b.outcome.needs_module);
	ck_assert_int_eq(b.outcome.state, STATE_PENDING); /* nothing binds here */
	bench_done(&b);
}
END_TEST

START_TEST(cleared_device_without_driver_is_probed)
{
	struct bench b = bench_new(VFIO);

	apply(&b);
	ck_assert_str_eq(probed(&b), "");
	new_policy(&b, "[device gpu]\nName=0000:00:03.0\nDriver=default\n");
	apply(&b);
	ck_assert_str_eq(probed(&b), "0000:00:03.0");
	bench_done(&b);
}
END_TEST

START_TEST(unknown_decision_writes_nothing)
{
	struct bench b = bench_new("[device gpu]\nName=0000:00:03.0\nAttr.loop=1\nDriver=vfio-pci\n");

	mock_attr_link(b.m, b.device, "loop", "loop"); /* ELOOP: there, and cannot be read */
	watch(&b);
	apply(&b);
	ck_assert_int_eq(b.outcome.state, STATE_PENDING);
	ck_assert(!was_written(&b));
	bench_done(&b);
}
END_TEST

START_TEST(override_that_cannot_be_read)
{
	struct bench b = bench_new(VFIO);

	mock_attr_remove(b.m, b.device, "driver_override");
	make_dirs(mock_path(b.m, b.device, "driver_override"));
	apply(&b);
	ck_assert_int_eq(b.outcome.state, STATE_FAILED);
	ck_assert_ptr_nonnull(strstr(b.outcome.reason, "driver_override"));
	ck_assert(!b.outcome.wrote);
	ck_assert(mock_record(b.m, b.device, &b.record));
	ck_assert_str_eq(b.record.state, "failed");
	bench_done(&b);
}
END_TEST

/* A file that can be read and not be written, by root neither. */
static void refuse_writes(struct bench *b, const char *text)
{
	int fd = memfd_create("driver_override", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), strlen(text));
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
	mock_attr_link(b->m, b->device, "driver_override", mock_printf(b->m, "/proc/self/fd/%d", fd));
}

START_TEST(failed_write)
{
	struct bench b = bench_new(VFIO);

	refuse_writes(&b, "(null)\n");
	apply(&b);
	ck_assert_int_eq(b.outcome.state, STATE_FAILED);
	ck_assert_ptr_nonnull(strstr(b.outcome.reason, "driver_override"));
	ck_assert(!b.outcome.wrote);
	ck_assert(mock_record(b.m, b.device, &b.record));
	ck_assert_str_eq(b.record.state, "failed");
	ck_assert_str_eq(b.record.reason, b.outcome.reason);
	bench_done(&b);
}
END_TEST

START_TEST(after_a_failed_write_ours_is_still_ours)
{
	struct bench b = bench_new(VFIO);

	apply(&b);
	refuse_writes(&b, "vfio-pci\n");
	new_policy(&b, "[device gpu]\nName=0000:00:03.0\nDriver=none\n");
	apply(&b);
	ck_assert_int_eq(b.outcome.state, STATE_FAILED);

	/* The file can be written again and shows what we wrote at first. */
	mock_attr_remove(b.m, b.device, "driver_override");
	mock_attr(b.m, b.device, "driver_override", "vfio-pci\n");
	apply(&b);
	ck_assert_str_eq(device_state_to_string(b.outcome.state), "enforced");
	ck_assert_str_eq(mock_override(b.m, b.device), "none");
	bench_done(&b);
}
END_TEST

START_TEST(after_a_failed_write_what_another_writes_is_not_ours)
{
	struct bench b = bench_new(VFIO);

	refuse_writes(&b, "(null)\n");
	apply(&b);
	mock_attr_remove(b.m, b.device, "driver_override");
	mock_attr(b.m, b.device, "driver_override", "vfio-pci\n"); /* the kernel's own, say */
	new_policy(&b, "[device gpu]\nName=0000:00:03.0\nDriver=none\n");
	apply(&b);
	ck_assert_str_eq(device_state_to_string(b.outcome.state), "foreign");
	ck_assert_str_eq(mock_override(b.m, b.device), "vfio-pci\n");
	bench_done(&b);
}
END_TEST

static void check_first_probe(enum occasion occasion, const char *driver, const char *expected)
{
	struct bench b = bench_new(VFIO);

	b.occasion = occasion;
	if (*driver)
		mock_bind(b.m, b.device, driver);
	apply(&b);
	ck_assert(mock_record(b.m, b.device, &b.record));
	ck_assert_msg(streq(b.record.first_probe, expected), "%s bound, occasion %u: %s", driver, occasion,
		      b.record.first_probe);

	/* What was told once is not told again, whatever has become of the device. */
	b.occasion = OCCASION_ADDED;
	new_policy(&b, "[device gpu]\nName=0000:00:03.0\nDriver=none\n");
	apply(&b);
	ck_assert(mock_record(b.m, b.device, &b.record));
	if (*expected)
		ck_assert_str_eq(b.record.first_probe, expected);
	bench_done(&b);
}

START_TEST(first_probe_is_told_by_what_is_bound_after_the_write)
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

START_TEST(first_probe_is_not_told_of_what_another_has_written)
{
	struct bench b = bench_new(VFIO);

	mock_attr(b.m, b.device, "driver_override", "vfio-pci\n");
	apply(&b);
	ck_assert(mock_record(b.m, b.device, &b.record));
	ck_assert_str_eq(b.record.first_probe, "");
	bench_done(&b);
}
END_TEST

SUITE_MAIN("apply", 20, first_probe_is_told_by_what_is_bound_after_the_write,
	   first_probe_is_not_told_of_what_another_has_written, device_without_a_decision_is_never_touched,
	   writes_the_driver_and_nothing_more, writes_once, compares_before_writing,
	   unset_is_shown_in_two_ways, default_of_an_unset_override_writes_nothing, foreign_override_stays,
	   ours_is_replaced, changed_by_another_hand_it_is_not_ours_any_more,
	   what_another_has_written_meanwhile_is_not_written_again, what_another_has_decided_meanwhile_stays,
	   cleared_by_another_hand_it_is_set_again, cleared_with_exactly_a_newline,
	   driver_that_came_by_our_override_is_to_be_given_up,
	   driver_that_came_by_our_override_stays_with_rebind_no, default_leaves_its_own_driver_alone,
	   none_without_driver_is_enforced, other_driver_is_pending, other_driver_with_rebind_no_is_blocked,
	   driver_that_is_not_loaded_is_pending, driverless_device_is_probed_by_a_driver_that_is_there,
	   cleared_device_without_driver_is_probed, unknown_decision_writes_nothing,
	   override_that_cannot_be_read, failed_write, after_a_failed_write_ours_is_still_ours,
	   after_a_failed_write_what_another_writes_is_not_ours)
