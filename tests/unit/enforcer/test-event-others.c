/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override event` about a device that other programs have changed, and at other events than `add`. */
#include "state/record.h"
#include "tests/unit/fixtures/run-enforcer.h"
#include "tests/unit/fixtures/suite.h"

#include <stddef.h>
#include <string.h>

#define VFIO "[device my gpu]\nName=0000:00:03.0\nDriver=vfio-pci\n"

/* How often this stands in what was logged. */
static unsigned lines_with(const struct enforcer_result *r, const char *text)
{
	unsigned n = 0;

	for (const char *at = r->err; (at = strstr(at, text)); at += strlen(text))
		n++;
	return n;
}

static const char *uevent(struct mock *m, const char *device)
{
	return mock_read(m, mock_path(m, device, "uevent"));
}

#define TAKEN                                                                                                \
	"pci 0000:00:03.0: foreign: driver_override is uio, which was not set by policy; written by sh "     \
	"(pid 9)"

START_TEST(what_others_have_changed_is_recorded_and_logged_once)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	struct enforcer_result r;
	struct record record;

	mock_bind(m, device, "vfio-pci");
	r = enforcer_event(m, device);
	ck_assert_msg(r.n_lines == 0, "%s", r.err);
	mock_attr(m, device, "uevent", "");

	mock_attr(m, device, "driver_override", "uio\n");
	r = enforcer_run(m, "event", "--written-by", "sh (pid 9)", "pci/0000:00:03.0", NULL);
	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_eq(lines_with(&r, TAKEN), 1);
	ck_assert_uint_eq(r.n_lines, 1);
	ck_assert_str_eq(mock_override(m, device), "uio\n");
	ck_assert(mock_record(m, device, &record));
	ck_assert_int_eq(record.state, STATE_FOREIGN);
	ck_assert_str_eq(record.owned_override, "");
	ck_assert_ptr_nonnull(strstr(record.reason, "written by sh (pid 9)"));
	ck_assert_str_eq(uevent(m, device), "change");

	/* It was said. Who wrote it stays known, though this caller does not know. */
	mock_attr(m, device, "uevent", "");
	r = enforcer_event(m, device);
	ck_assert_uint_eq(r.n_lines, 0);
	ck_assert(mock_record(m, device, &record));
	ck_assert_ptr_nonnull(strstr(record.reason, "written by sh (pid 9)"));
	ck_assert_str_eq(uevent(m, device), "");

	/* Another value is another change, and so is that it is as decided again. */
	mock_attr(m, device, "driver_override", "\n");
	r = enforcer_run(m, "event", "--written-by", "a\nSET=b", "pci/0000:00:03.0", NULL);
	ck_assert_uint_eq(
		lines_with(
			&r,
			"pending: drifted: driver_override is empty, driver is vfio-pci; written by a SET=b"),
		1);
	ck_assert(mock_record(m, device, &record));
	ck_assert_int_eq(record.state, STATE_PENDING);
	ck_assert_str_eq(record.owned_override, "");
	mock_attr(m, device, "driver_override", "vfio-pci\n");
	r = enforcer_event(m, device);
	ck_assert_uint_eq(lines_with(&r, "enforced: others have made it as decided again"), 1);
	ck_assert_uint_eq(r.n_lines, 1);
	ck_assert(mock_record(m, device, &record));
	ck_assert_int_eq(record.state, STATE_ENFORCED);
	/* The value that stands is not the one that we wrote. */
	ck_assert_str_eq(record.owned_override, "");
	ck_assert_uint_eq(enforcer_event(m, device).n_lines, 0);
	mock_free(m);
}
END_TEST

/* The last write was our own, or is long past: nobody is blamed for what another has done. */
START_TEST(no_writer_is_named_where_only_the_driver_was_changed)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	struct enforcer_result r;

	mock_bind(m, device, "vfio-pci");
	(void)enforcer_event(m, device);
	mock_unbind(m, device);
	r = enforcer_run(m, "event", "--written-by", "sh (pid 9)", "pci/0000:00:03.0", NULL);
	ck_assert_uint_eq(lines_with(&r, "drifted: driver_override is vfio-pci, driver is none"), 1);
	ck_assert_uint_eq(lines_with(&r, "written by"), 0);
	mock_free(m);
}
END_TEST

START_TEST(a_member_that_others_have_taken_is_logged_once_too)
{
	const char *device, *other;
	struct mock *m = tree_new(&device, "[device a]\nName=0000:00:03.0\nDriver=vfio-pci\nGroup=none\n");
	struct enforcer_result r;
	struct record record;

	other = mock_pci_add(m, "0000:00:04.0", NULL, 0x1b36, 0x0010, 0x010802);
	mock_group(m, 7, device, other, NULL);
	mock_attr(m, other, "driver_override", "uio\n");
	r = enforcer_event(m, device);
	ck_assert_uint_eq(lines_with(&r, "pci 0000:00:04.0: foreign: driver_override is uio"), 1);
	ck_assert(mock_record(m, other, &record));
	ck_assert_int_eq(record.state, STATE_FOREIGN);
	r = enforcer_event(m, device);
	ck_assert_msg(lines_with(&r, "pci 0000:00:04.0: foreign") == 0, "%s", r.err);
	mock_free(m);
}
END_TEST

/* udev remembers what was printed at `add`; the record knows better. */
START_TEST(another_event_than_add_prints_what_is_recorded_and_decides_nothing)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	const char *env[] = { mock_printf(m, "DEVPATH=%s", device), "SUBSYSTEM=pci", "ACTION=bind", NULL };
	struct enforcer_result r = enforcer_event_env(m, env);
	const char *source = mock_printf(m, "%s/10-a.conf:1", m->conf[MOCK_ETC]);

	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.out, "");
	ck_assert_str_eq(mock_override(m, device), "(null)\n");
	mock_bind(m, device, "vfio-pci");
	(void)enforcer_event(m, device);
	mock_attr(m, device, "driver_override", "uio\n");
	(void)enforcer_event(m, device);
	/* Nothing is read that could sleep. */
	mock_attr_hangs(m, device, "driver_override");
	r = enforcer_event_env(m, env);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.out, mock_printf(m,
					    "DRIVER_OVERRIDE=vfio-pci\nDRIVER_OVERRIDE_RULE=my gpu\n"
					    "DRIVER_OVERRIDE_SOURCE=%s\nDRIVER_OVERRIDE_STATE=foreign\n",
					    source));
	/* A record of a device that had this name before says nothing about this one. */
	mock_remove(m, device);
	device = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	ck_assert_str_eq(enforcer_event_env(m, env).out, "");
	mock_free(m);
}
END_TEST

/* A person has released it: no event writes its override or loads a module for it. */
START_TEST(released_device_is_left_alone)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	struct enforcer_result r;
	struct record record;

	r = enforcer_run(m, "rebind", "--release", device, NULL);
	ck_assert_int_eq(r.status, 0);
	ck_assert_ptr_nonnull(strstr(r.out, "STATE=unmanaged\nREASON=released: "));
	r = enforcer_event(m, device);
	ck_assert_str_eq(r.out, "DRIVER_OVERRIDE_STATE=unmanaged\n");
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	ck_assert_ptr_null(strstr(mock_override(m, device), "vfio"));
	ck_assert(mock_record(m, device, &record));
	ck_assert(record.released);
	mock_free(m);
}
END_TEST

SUITE_MAIN("event-others", 60, what_others_have_changed_is_recorded_and_logged_once,
	   no_writer_is_named_where_only_the_driver_was_changed,
	   a_member_that_others_have_taken_is_logged_once_too,
	   another_event_than_add_prints_what_is_recorded_and_decides_nothing, released_device_is_left_alone)
