/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sysfs is made to agree with a decision: what is written and what is left alone, what state comes of it. */
#include "base/macro.h"
#include "base/text.h"
#include "enforce/apply-record.h"
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
	struct apply_fixture f = apply_fixture_new("[device other]\nName=other\nDriver=x\n");

	mock_attr(f.m, f.device, "driver_override", "something\n");
	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_UNMANAGED);
	ck_assert(!f.outcome.wrote);
	ck_assert_str_eq(mock_override(f.m, f.device), "something\n");
	ck_assert(!mock_record(f.m, f.device, &f.record));
	apply_fixture_done(&f);
}
END_TEST

START_TEST(writes_the_driver_and_nothing_more)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	apply_fixture_apply(&f);
	ck_assert(f.outcome.wrote);
	ck_assert_str_eq(mock_override(f.m, f.device), "vfio-pci");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(writes_once)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	mock_bind(f.m, f.device, "vfio-pci");
	apply_fixture_apply(&f);
	ck_assert(f.outcome.wrote);
	ck_assert_int_eq(f.outcome.state, STATE_ENFORCED);
	mock_attr(f.m, f.device, "driver_override", "vfio-pci\n"); /* as the kernel shows it */
	apply_fixture_watch(&f);
	apply_fixture_apply(&f);
	ck_assert(!f.outcome.wrote);
	ck_assert_int_eq(f.outcome.state, STATE_ENFORCED);
	ck_assert(!apply_fixture_was_written(&f));
	apply_fixture_done(&f);
}
END_TEST

START_TEST(foreign_override_that_is_as_decided_is_not_written)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	/* Somebody else's, but what was decided. */
	mock_attr(f.m, f.device, "driver_override", "vfio-pci\n");
	mock_bind(f.m, f.device, "vfio-pci");
	apply_fixture_watch(&f);
	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_ENFORCED);
	ck_assert(!apply_fixture_was_written(&f));
	ck_assert(mock_record(f.m, f.device, &f.record));
	ck_assert_str_eq(f.record.owned_override, ""); /* not ours for that */
	apply_fixture_done(&f);
}
END_TEST

START_TEST(unset_is_shown_in_two_ways)
{
	static const char *const unset[] = { "(null)\n", "\n", "" };

	for (size_t i = 0; i < ELEMENTSOF(unset); i++) {
		struct apply_fixture f = apply_fixture_new(VFIO);

		mock_attr(f.m, f.device, "driver_override", unset[i]);
		apply_fixture_apply(&f);
		ck_assert_str_eq(mock_override(f.m, f.device), "vfio-pci");
		apply_fixture_done(&f);
	}
}
END_TEST

START_TEST(default_of_an_unset_override_writes_nothing)
{
	static const char *const unset[] = { "(null)\n", "\n", "" };

	for (size_t i = 0; i < ELEMENTSOF(unset); i++) {
		struct apply_fixture f =
			apply_fixture_new("[device gpu]\nName=0000:00:03.0\nDriver=default\n");

		mock_attr(f.m, f.device, "driver_override", unset[i]);
		apply_fixture_watch(&f);
		apply_fixture_apply(&f);
		ck_assert_int_eq(f.outcome.state, STATE_ENFORCED);
		ck_assert(!apply_fixture_was_written(&f));
		apply_fixture_done(&f);
	}
}
END_TEST

START_TEST(foreign_override_stays)
{
	static const char *const drivers[] = { "vfio-pci", "none", "default" };

	for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
		struct apply_fixture f = apply_fixture_new("");

		apply_fixture_set_policy(
			&f, mock_printf(f.m, "[device gpu]\nName=0000:00:03.0\nDriver=%s\n", drivers[i]));
		mock_attr(f.m, f.device, "driver_override", "foreign\n");
		apply_fixture_watch(&f);
		apply_fixture_apply(&f);
		ck_assert_int_eq(f.outcome.state, STATE_FOREIGN);
		ck_assert_ptr_nonnull(strstr(f.outcome.reason, "foreign"));
		ck_assert(!f.outcome.wrote);
		ck_assert(!apply_fixture_was_written(&f));
		ck_assert(mock_record(f.m, f.device, &f.record));
		ck_assert_int_eq(f.record.state, STATE_FOREIGN);
		ck_assert_str_eq(f.record.owned_override, "");
		apply_fixture_done(&f);
	}
}
END_TEST

START_TEST(override_of_ours_is_replaced)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	apply_fixture_apply(&f);
	apply_fixture_set_policy(&f, "[device gpu]\nName=0000:00:03.0\nDriver=none\n");
	apply_fixture_apply(&f);
	ck_assert_str_eq(mock_override(f.m, f.device), "none");
	ck_assert_int_eq(f.outcome.state, STATE_ENFORCED);
	ck_assert(mock_record(f.m, f.device, &f.record));
	ck_assert_str_eq(f.record.owned_override, "none");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(override_changed_by_somebody_else_is_no_longer_ours)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	apply_fixture_apply(&f);
	mock_attr(f.m, f.device, "driver_override", "foreign\n");
	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_FOREIGN);
	ck_assert_str_eq(mock_override(f.m, f.device), "foreign\n");
	apply_fixture_done(&f);
}
END_TEST

/* Applies VFIO while somebody writes that; it stands afterwards, and its record is read. */
static struct apply_fixture apply_while_written(const char *text)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	where = mock_path(f.m, f.device, "driver_override");
	meanwhile = text;
	apply_fixture_apply(&f);
	ck_assert_ptr_null(meanwhile);
	ck_assert(!f.outcome.wrote);
	ck_assert_str_eq(mock_override(f.m, f.device), text);
	ck_assert(mock_record(f.m, f.device, &f.record));
	return f;
}

/* The guard does not wait for us. */
START_TEST(value_written_by_the_guard_meanwhile_is_not_written_again)
{
	struct apply_fixture f = apply_while_written("vfio-pci\n");

	ck_assert_int_eq(f.outcome.state, STATE_PENDING);
	ck_assert_str_eq(f.record.owned_override, "vfio-pci");
	ck_assert_str_eq(first_probe_to_string(f.record.first_probe), "");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(foreign_value_written_meanwhile_stays)
{
	struct apply_fixture f = apply_while_written("foreign\n");

	ck_assert_int_eq(f.outcome.state, STATE_FOREIGN);
	ck_assert_ptr_nonnull(strstr(f.outcome.reason, "foreign"));
	ck_assert_str_eq(f.record.owned_override, "");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(override_cleared_by_somebody_else_is_set_again)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	apply_fixture_apply(&f);
	mock_attr(f.m, f.device, "driver_override", "(null)\n");
	apply_fixture_apply(&f);
	ck_assert_str_eq(mock_override(f.m, f.device), "vfio-pci");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(override_is_cleared_with_a_newline)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	apply_fixture_apply(&f);
	apply_fixture_set_policy(&f, "[device gpu]\nName=0000:00:03.0\nDriver=default\n");
	apply_fixture_apply(&f);
	ck_assert(f.outcome.wrote);
	ck_assert_str_eq(mock_override(f.m, f.device), "\n");
	ck_assert(mock_record(f.m, f.device, &f.record));
	ck_assert_str_eq(f.record.owned_override, "");
	ck_assert_str_eq(f.record.decision, "default");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(unknown_decision_writes_nothing)
{
	struct apply_fixture f =
		apply_fixture_new("[device gpu]\nName=0000:00:03.0\nAttr.loop=1\nDriver=vfio-pci\n");

	mock_attr_link(f.m, f.device, "loop", "loop"); /* ELOOP: there, and cannot be read */
	apply_fixture_watch(&f);
	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_PENDING);
	ck_assert(!apply_fixture_was_written(&f));
	apply_fixture_done(&f);
}
END_TEST

START_TEST(override_that_cannot_be_read)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	mock_attr_remove(f.m, f.device, "driver_override");
	make_dirs(mock_path(f.m, f.device, "driver_override"));
	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_FAILED);
	ck_assert_ptr_nonnull(strstr(f.outcome.reason, "driver_override"));
	ck_assert(!f.outcome.wrote);
	ck_assert(mock_record(f.m, f.device, &f.record));
	ck_assert_int_eq(f.record.state, STATE_FAILED);
	apply_fixture_done(&f);
}
END_TEST

/* A file that can be read and not be written, by root neither. */
static void refuse_writes(struct apply_fixture *f, const char *text)
{
	int fd = memfd_create("driver_override", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), strlen(text));
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
	mock_attr_link(f->m, f->device, "driver_override", mock_printf(f->m, "/proc/self/fd/%d", fd));
}

START_TEST(failed_write)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	refuse_writes(&f, "(null)\n");
	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_FAILED);
	ck_assert_ptr_nonnull(strstr(f.outcome.reason, "driver_override"));
	ck_assert(!f.outcome.wrote);
	ck_assert(mock_record(f.m, f.device, &f.record));
	ck_assert_int_eq(f.record.state, STATE_FAILED);
	ck_assert_str_eq(f.record.reason, f.outcome.reason);
	apply_fixture_done(&f);
}
END_TEST

START_TEST(override_of_ours_stays_ours_after_a_failed_write)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	apply_fixture_apply(&f);
	refuse_writes(&f, "vfio-pci\n");
	apply_fixture_set_policy(&f, "[device gpu]\nName=0000:00:03.0\nDriver=none\n");
	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_FAILED);

	/* The file can be written again and shows what we wrote at first. */
	mock_attr_remove(f.m, f.device, "driver_override");
	mock_attr(f.m, f.device, "driver_override", "vfio-pci\n");
	apply_fixture_apply(&f);
	ck_assert_str_eq(device_state_to_string(f.outcome.state), "enforced");
	ck_assert_str_eq(mock_override(f.m, f.device), "none");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(value_of_somebody_else_after_a_failed_write_is_foreign)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	refuse_writes(&f, "(null)\n");
	apply_fixture_apply(&f);
	mock_attr_remove(f.m, f.device, "driver_override");
	mock_attr(f.m, f.device, "driver_override", "vfio-pci\n"); /* the kernel's own, say */
	apply_fixture_set_policy(&f, "[device gpu]\nName=0000:00:03.0\nDriver=none\n");
	apply_fixture_apply(&f);
	ck_assert_str_eq(device_state_to_string(f.outcome.state), "foreign");
	ck_assert_str_eq(mock_override(f.m, f.device), "vfio-pci\n");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(override_is_not_written_without_a_record)
{
	struct apply_fixture f = apply_fixture_new(VFIO);

	make_file(f.m->state, "", 0);
	apply_fixture_watch(&f);
	apply_fixture_apply(&f);
	ck_assert_int_eq(f.outcome.state, STATE_FAILED);
	ck_assert_ptr_nonnull(strstr(f.outcome.reason, "so the override is not written"));
	ck_assert(!f.outcome.wrote);
	ck_assert(!apply_fixture_was_written(&f));
	apply_fixture_done(&f);
}
END_TEST

/* What is written to stderr from now on can be read from here. */
static int stderr_take(void)
{
	int fd = memfd_create("stderr", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_ge(dup2(fd, STDERR_FILENO), 0);
	return fd;
}

START_TEST(state_of_a_device_that_has_gone_is_not_announced)
{
	struct apply_fixture f = apply_fixture_new(VFIO);
	struct sysfs sysfs;
	struct sysfs_device *d;
	int fd;

	sysfs_init(&sysfs, &f.m->settings);
	d = mock_device(&sysfs, f.device);
	apply_fixture_apply(&f);
	mock_remove(f.m, f.device);
	fd = stderr_take();
	apply_announce_state(d, STATE_FAILED);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), 0);
	(void)close(fd);
	sysfs_device_free(d);
	sysfs_done(&sysfs);
	apply_fixture_done(&f);
}
END_TEST

SUITE_MAIN("apply", 20, override_is_not_written_without_a_record, device_without_a_decision_is_never_touched,
	   writes_the_driver_and_nothing_more, writes_once,
	   foreign_override_that_is_as_decided_is_not_written, unset_is_shown_in_two_ways,
	   default_of_an_unset_override_writes_nothing, foreign_override_stays, override_of_ours_is_replaced,
	   override_changed_by_somebody_else_is_no_longer_ours,
	   value_written_by_the_guard_meanwhile_is_not_written_again, foreign_value_written_meanwhile_stays,
	   override_cleared_by_somebody_else_is_set_again, override_is_cleared_with_a_newline,
	   unknown_decision_writes_nothing, override_that_cannot_be_read, failed_write,
	   override_of_ours_stays_ours_after_a_failed_write,
	   value_of_somebody_else_after_a_failed_write_is_foreign,
	   state_of_a_device_that_has_gone_is_not_announced)
