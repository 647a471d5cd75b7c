/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override`: what it keeps of devices and policy, and what it does where it cannot. */
#include "policy/policy-settled.h"
#include "state/record.h"
#include "tests/unit/fixtures/run-enforcer.h"
#include "tests/unit/fixtures/suite.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RULE(label, name, driver) "[device " label "]\nName=" name "\nDriver=" driver "\n"

/* A script that saves what it reads and writes it back sets the text as an override that reads as unset. */
START_TEST(release_clears_the_text_null_of_a_device_without_a_driver)
{
	struct mock *m = mock_new();
	const char *a = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	const char *b = mock_pci_add(m, "0000:00:04.0", NULL, 0x1b36, 0x0010, 0x010802);
	const char *probed = mock_printf(m, "%s/bus/pci/drivers_probe", m->sysfs);

	mock_bind(m, b, "nvme");
	ck_assert_int_eq(enforcer_run(m, "release", "0000:00:04.0", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, b), "(null)\n");
	/* Without a name only devices that were ours are looked at. */
	ck_assert_int_eq(enforcer_run(m, "release", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, a), "(null)\n");
	ck_assert_str_eq(mock_read(m, probed), "");
	ck_assert_int_eq(enforcer_run(m, "release", "0000:00:03.0", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, a), "\n");
	ck_assert_str_eq(mock_read(m, probed), "0000:00:03.0");

	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "0000:00:03.0", "none"));
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	mock_attr(m, a, "driver_override", "(null)\n");
	ck_assert_int_eq(enforcer_run(m, "release", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, a), "\n");
	mock_free(m);
}
END_TEST

START_TEST(first_probe_survives_a_rule_that_is_taken_out_and_put_back)
{
	struct mock *m = mock_new();
	const char *a = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	struct record record;

	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "0000:00:03.0", "none"));
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	ck_assert(mock_record(m, a, &record));
	ck_assert_str_eq(first_probe_to_string(record.first_probe), "won");
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(enforcer_run(m, "release", NULL).status, 0);
		ck_assert(!mock_record(m, a, &record));
		ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
		ck_assert(mock_record(m, a, &record));
		ck_assert_str_eq(first_probe_to_string(record.first_probe), "won");
	}
	/* Another device under the name has a first probe of its own. */
	ck_assert_int_eq(enforcer_run(m, "release", NULL).status, 0);
	mock_remove(m, a);
	a = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	ck_assert(mock_record(m, a, &record));
	ck_assert_str_eq(first_probe_to_string(record.first_probe), "");
	mock_free(m);
}
END_TEST

/* That there is no rule in it is not known; the copies tell what there was last. */
START_TEST(policy_directory_that_cannot_be_listed_keeps_its_last_good_files_in_force)
{
	struct mock *m = mock_new();
	const char *a = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	const char *aside = mock_printf(m, "%s/aside", m->root);
	struct enforcer_result r;

	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "0000:00:03.0", "none"));
	mock_policy(m, MOCK_USR, "20-b.conf", RULE("b", "0000:00:03.0", "vfio-pci"));
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, a), "none");
	mock_remove(m, a);
	a = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	ck_assert_int_eq(rename(m->conf[MOCK_ETC], aside), 0);
	ck_assert_int_eq(symlink(m->conf[MOCK_ETC], m->conf[MOCK_ETC]), 0);

	r = enforcer_event(m, a);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "none");
	ck_assert_str_eq(mock_override(m, a), "none");
	ck_assert_ptr_nonnull(strstr(r.err, mock_printf(m, "%s: cannot be listed: ", m->conf[MOCK_ETC])));
	ck_assert_ptr_nonnull(strstr(r.err, "stay in force"));
	r = enforcer_event(m, a);
	ck_assert_str_eq(r.err, ""); /* once */
	mock_attr(m, a, "driver_override", "(null)\n");
	r = enforcer_run(m, "sweep", NULL);
	ck_assert_ptr_nonnull(strstr(r.err, "cannot be listed"));
	ck_assert_str_eq(mock_override(m, a), "none");

	/* It is back, without the file. */
	ck_assert_int_eq(unlink(m->conf[MOCK_ETC]), 0);
	make_dirs(m->conf[MOCK_ETC]);
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, a), "vfio-pci");
	mock_free(m);
}
END_TEST

/* Its events do not wait: devices do. */
START_TEST(event_of_a_device_goes_by_the_last_good_copy_of_a_file_that_is_being_written)
{
	struct mock *m = mock_new();
	const char *a = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	const char *path = mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "0000:00:03.0", "none"));
	struct enforcer_result r = enforcer_event(m, a);

	ck_assert_str_eq(mock_override(m, a), "none");
	/* Again if this machine was so slow that the file was settled when it was read. */
	do {
		make_file(path, "[device a]\nName=0000:00:03.0\n", 29);
		r = enforcer_event(m, a);
	} while (policy_settles_in(&m->settings) == 0);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.err, "");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "none");
	ck_assert_str_eq(mock_override(m, a), "none");
	/* A person who asks for a sweep has all of the file meant. */
	make_file(path, RULE("a", "0000:00:03.0", "vfio-pci"), strlen(RULE("a", "0000:00:03.0", "vfio-pci")));
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, a), "vfio-pci");
	mock_free(m);
}
END_TEST

/* A quarantine must hold; the override of a driver would be nobody's later, so that is not written. */
START_TEST(without_a_state_directory_only_none_is_enforced_and_that_is_a_failure)
{
	struct mock *m = mock_new();
	const char *a = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	const char *b = mock_pci_add(m, "0000:00:04.0", NULL, 0x1b36, 0x0010, 0x010802);
	struct enforcer_result r;

	m->state = mock_printf(m, "%s/file/state", m->root);
	make_file(mock_printf(m, "%s/file", m->root), "", 0);
	mock_policy(m, MOCK_ETC, "10-a.conf",
		    RULE("x", "0000:00:03.0", "none") RULE("y", "0000:00:04.0", "vfio-pci"));
	r = enforcer_event(m, a);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "none");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "failed");
	ck_assert_ptr_nonnull(strstr(r.err, "the override is written all the same"));
	ck_assert_str_eq(mock_override(m, a), "none");
	r = enforcer_event(m, b);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "failed");
	ck_assert_ptr_nonnull(strstr(r.err, "so the override is not written"));

	for (size_t i = 0; i < 2; i++) {
		r = enforcer_run(m, "sweep", NULL);
		ck_assert_int_eq(r.status, 1);
		ck_assert_ptr_nonnull(strstr(r.err, "2 devices have no record"));
		ck_assert_str_eq(mock_override(m, a), "none");
		ck_assert_str_eq(mock_override(m, b), "(null)\n");
		mock_attr(m, a, "driver_override", "(null)\n");
	}
	/* Somebody makes it writable. */
	m->state = mock_printf(m, "%s/state", m->root);
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, b), "vfio-pci");
	mock_free(m);
}
END_TEST

SUITE_MAIN("kept-state", 40, release_clears_the_text_null_of_a_device_without_a_driver,
	   first_probe_survives_a_rule_that_is_taken_out_and_put_back,
	   policy_directory_that_cannot_be_listed_keeps_its_last_good_files_in_force,
	   event_of_a_device_goes_by_the_last_good_copy_of_a_file_that_is_being_written,
	   without_a_state_directory_only_none_is_enforced_and_that_is_a_failure)
