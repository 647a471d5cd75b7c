/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override event` as udev calls it: what it prints, and how it ends. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/unit/fixtures/run-enforcer.h"
#include "tests/unit/fixtures/suite.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define VFIO "[device my gpu]\nName=0000:00:03.0\nDriver=vfio-pci\n"

/* Whether systemd is told to start the service. */
static bool service_is_wanted(struct mock *m)
{
	return access(mock_printf(m, "%s/service-wanted", m->state), F_OK) == 0;
}

START_TEST(prints_the_properties_and_nothing_else)
{
	const char *device;
	struct mock *m = tree_new(&device, "\n" VFIO);
	struct enforcer_result r = enforcer_event(m, device);

	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.out,
			 mock_printf(m,
				     "DRIVER_OVERRIDE=vfio-pci\nDRIVER_OVERRIDE_RULE=my "
				     "gpu\nDRIVER_OVERRIDE_SOURCE=%s/10-a.conf:2\n"
				     "DRIVER_OVERRIDE_STATE=pending\nDRIVER_OVERRIDE_MODALIAS=vfio-pci\n",
				     m->conf[MOCK_ETC]));
	ck_assert_str_eq(r.err, "");
	ck_assert_str_eq(mock_override(m, device), "vfio-pci");
	ck_assert(service_is_wanted(m));
	mock_free(m);
}
END_TEST

START_TEST(none_and_default_name_no_module)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nName=0000:00:03.0\nDriver=none\n");
	struct enforcer_result r = enforcer_event(m, device);

	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "none");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "enforced");
	ck_assert_ptr_null(strstr(r.out, "MODALIAS"));
	mock_policy(m, MOCK_ETC, "10-a.conf", "[device x]\nName=0000:00:03.0\nDriver=default\n");
	r = enforcer_event(m, device);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "default");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "enforced");
	ck_assert_ptr_null(strstr(r.out, "MODALIAS"));
	mock_free(m);
}
END_TEST

START_TEST(module_of_the_rule_is_printed)
{
	const char *device;
	struct mock *m =
		tree_new(&device, "[device x]\nName=0000:00:03.0\nDriver=nouveau\nModule=nouveau_next\n");
	struct enforcer_result r = enforcer_event(m, device);

	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_MODALIAS"), "nouveau_next");
	mock_free(m);
}
END_TEST

START_TEST(device_without_a_decision_prints_nothing)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nName=other\nDriver=none\n");
	struct enforcer_result r = enforcer_event(m, device);

	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.out, "");
	ck_assert_str_eq(r.err, "");
	ck_assert_str_eq(mock_override(m, device), "(null)\n");
	ck_assert(!service_is_wanted(m));
	mock_free(m);
}
END_TEST

START_TEST(device_without_driver_override_is_left_alone)
{
	struct mock *m = mock_new();
	const char *device = mock_device_add(m, "usb", "/devices/pci0000:00/0000:00:14.0/usb1", "1-1", false);
	struct enforcer_result r;

	mock_policy(m, MOCK_ETC, "10-a.conf", "[device all]\nBus=*\nDriver=none\n");
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.out, "");
	ck_assert_int_ne(access(mock_path(m, device, "driver_override"), F_OK), 0);
	mock_free(m);
}
END_TEST

START_TEST(device_that_has_gone_is_no_failure)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	struct enforcer_result r;

	mock_remove(m, device);
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.out, "");
	mock_free(m);
}
END_TEST

START_TEST(device_by_its_path_in_sysfs)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	struct enforcer_result r = enforcer_event(m, mock_printf(m, "%s%s", m->sysfs, device));

	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "vfio-pci");
	mock_free(m);
}
END_TEST

START_TEST(sysfs_option_may_end_with_a_slash)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	const char *full = mock_printf(m, "%s%s", m->sysfs, device);
	struct enforcer_result r;

	m->sysfs = mock_printf(m, "%s/", m->sysfs);
	r = enforcer_event(m, full);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "vfio-pci");
	mock_free(m);
}
END_TEST

/* As `--help` says it: a path in sysfs, BUS/NAME, or a name. */
START_TEST(device_may_be_named_in_each_documented_form)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	const char *names[] = { "pci/0000:00:03.0", "0000:00:03.0",
				mock_printf(m, "%s/bus/pci/devices/0000:00:03.0", m->sysfs) };

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		struct enforcer_result r = enforcer_event(m, names[i]);

		ck_assert_msg(r.status == 0, "%s: %s", names[i], r.err);
		ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "vfio-pci");
	}
	mock_free(m);
}
END_TEST

static void kernel_sent(struct mock *m, const char *seqnum)
{
	make_dirs(mock_printf(m, "%s/kernel", m->sysfs));
	make_file(mock_printf(m, "%s/kernel/uevent_seqnum", m->sysfs), seqnum, strlen(seqnum));
}

START_TEST(device_from_the_environment)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nId=dead:beef\nDriver=none\n");
	const char *env[] = { mock_printf(m, "DEVPATH=%s", device),
			      "SUBSYSTEM=pci",
			      "ACTION=add",
			      "MODALIAS=pci:v0000DEADd0000BEEFsv00001AF4sd00001100bc01sc08i02",
			      "SEQNUM=4711",
			      NULL };
	struct enforcer_result r;

	/* udev has read the modalias already, and nothing has happened since: it is not read again. */
	kernel_sent(m, "4711\n");
	mock_attr_hangs(m, device, "modalias");
	r = enforcer_event_env(m, env);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "none");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "enforced");
	mock_free(m);
}
END_TEST

/* A card is replaced while udev is busy: its event is worked off when another one has the name. */
START_TEST(modalias_of_an_event_that_is_not_the_latest_is_read_anew)
{
	static const char *const latest[] = { "4712\n", "9000\n", "nonsense\n", "" };

	for (size_t i = 0; i < ELEMENTSOF(latest); i++) {
		const char *device;
		struct mock *m = tree_new(&device, "[device old]\nId=dead:beef\nDriver=vfio-pci\n"
						   "[device new]\nId=1b36:0010\nDriver=none\n");
		const char *env[] = { mock_printf(m, "DEVPATH=%s", device),
				      "SUBSYSTEM=pci",
				      "ACTION=add",
				      "MODALIAS=pci:v0000DEADd0000BEEFsv00001AF4sd00001100bc01sc08i02",
				      i < 3 ? "SEQNUM=4711" : NULL,
				      NULL };
		struct enforcer_result r;

		/* The guard has decided about the new card. */
		ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
		ck_assert_str_eq(mock_override(m, device), "none");
		if (latest[i][0])
			kernel_sent(m, latest[i]);
		r = enforcer_event_env(m, env);
		ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "none");
		ck_assert_str_eq(mock_override(m, device), "none");
		mock_free(m);
	}
}
END_TEST

/* On other buses the file may have several lines, and udev passes on the last: every program takes all. */
START_TEST(every_modalias_of_a_device_counts)
{
	static const char *const values[] = { "acpi:ABCD0001:", "acpi:PNP0501:", "of:x" };

	for (size_t i = 0; i < ELEMENTSOF(values); i++) {
		struct mock *m = mock_new();
		const char *device = mock_platform_add(m, "uart", "acpi:ABCD0001:\nacpi:PNP0501:\n");
		const char *env[] = { mock_printf(m, "DEVPATH=%s", device),
				      "SUBSYSTEM=platform",
				      "ACTION=add",
				      "MODALIAS=acpi:PNP0501:",
				      "SEQNUM=4711",
				      NULL };
		const char *expected = i < 2 ? "none" : "";
		struct enforcer_result r;

		kernel_sent(m, "4711\n");
		mock_policy(m, MOCK_ETC, "10-a.conf",
			    mock_printf(m, "[device x]\nModalias=%s\nDriver=none\n", values[i]));
		r = enforcer_event_env(m, env);
		ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), expected);
		r = enforcer_run(m, "rebind", "--dry-run", device, NULL);
		ck_assert_ptr_nonnull(strstr(r.out, mock_printf(m, "DECISION=%s\n", expected)));
		mock_attr(m, device, "driver_override", "(null)\n");
		ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
		ck_assert_str_eq(mock_override(m, device), i < 2 ? "none" : "(null)\n");
		mock_free(m);
	}
}
END_TEST

START_TEST(call_without_a_device_fails)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	struct enforcer_result r = enforcer_run(m, "event", NULL);

	ck_assert_int_ne(r.status, 0);
	ck_assert_str_eq(r.out, "");
	ck_assert_uint_eq(r.n_lines, 1);
	mock_free(m);
}
END_TEST

START_TEST(paths_out_of_the_tree_are_refused)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device all]\nBus=*\nDriver=none\n");
	const char *outside = mock_printf(m, "%s/outside", m->root), *out;
	const char *no[] = { "/devices/../../outside",
			     "/devices/pci0000:00/../../../outside",
			     "/devices/..",
			     "/devices/pci0000:00/..",
			     "/devices/",
			     "/devices",
			     "/outside",
			     "../outside",
			     outside,
			     "" };
	struct enforcer_result r;

	make_dirs(outside);
	out = mock_printf(m, "%s/driver_override", outside);
	make_file(out, "(null)\n", 7);
	for (size_t i = 0; i < ELEMENTSOF(no); i++) {
		const char *env[] = { mock_printf(m, "DEVPATH=%s", no[i]), "SUBSYSTEM=pci", NULL };

		r = enforcer_event(m, no[i]);
		ck_assert_msg(r.status >= 0 && r.status < 3, "%s: %d", no[i], r.status);
		ck_assert_str_eq(r.out, "");
		r = enforcer_event_env(m, env);
		ck_assert_str_eq(r.out, "");
		ck_assert_str_eq(mock_read(m, out), "(null)\n");
	}
	mock_free(m);
}
END_TEST

START_TEST(failed_device_is_reported_and_the_program_succeeds)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	struct enforcer_result r;

	mock_attr_remove(m, device, "driver_override");
	make_dirs(mock_path(m, device, "driver_override"));
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "failed");
	ck_assert_uint_eq(r.n_lines, 1);
	mock_free(m);
}
END_TEST

START_TEST(label_with_quotation_marks_survives_udev)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device a \"b\"]\nName=0000:00:03.0\nDriver=none\n");
	struct enforcer_result r = enforcer_event(m, device);

	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_RULE"), "a \"b\"");
	mock_free(m);
}
END_TEST

/* As libvirt's reattach does it: it clears the override and has the host's driver probe the device. */
static void reattach(struct mock *m, const char *device)
{
	mock_attr(m, device, "driver_override", "\n");
	mock_bind(m, device, "nvme");
}

/* Events are asked for again by anybody, and a device that somebody took for a while is not ours meanwhile.
 */
START_TEST(drift_is_not_undone_by_an_event_that_was_asked_for)
{
	for (size_t i = 0; i < 2; i++) {
		const char *device;
		struct mock *m = tree_new(&device, VFIO);
		const char *env[] = { mock_printf(m, "DEVPATH=%s", device), "SUBSYSTEM=pci", "ACTION=add",
				      "SYNTH_UUID=0", NULL };
		struct enforcer_result r;
		struct record record;

		mock_bind(m, device, "vfio-pci");
		r = enforcer_event(m, device);
		ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "enforced");
		reattach(m, device);
		r = i == 0 ? enforcer_event_env(m, env) : enforcer_event(m, device);
		ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "pending");
		ck_assert_str_eq(mock_override(m, device), "\n");
		ck_assert(mock_record(m, device, &record));
		ck_assert_ptr_nonnull(
			strstr(record.reason, "drifted: driver_override is empty, driver is nvme"));
		/* A second one, and without a driver: nobody has it probed either. */
		mock_unbind(m, device);
		r = enforcer_event(m, device);
		ck_assert_str_eq(mock_override(m, device), "\n");

		/* Another decision is no drift, nor is another device under the same name. */
		mock_policy(m, MOCK_ETC, "10-a.conf", "[device x]\nName=0000:00:03.0\nDriver=none\n");
		r = enforcer_event(m, device);
		ck_assert_str_eq(mock_override(m, device), "none");
		mock_attr(m, device, "driver_override", "(null)\n");
		r = enforcer_event(m, device);
		ck_assert_str_eq(mock_override(m, device), "(null)\n");
		mock_remove(m, device);
		device = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
		r = enforcer_event(m, device);
		ck_assert_str_eq(mock_override(m, device), "none");
		/* A sweep is no event: a person asks for it. */
		mock_attr(m, device, "driver_override", "(null)\n");
		ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
		ck_assert_str_eq(mock_override(m, device), "none");
		mock_free(m);
	}
}
END_TEST

/* Somebody wrote to `uevent`: the device is not new, so nobody saw its first probe. */
START_TEST(event_that_was_asked_for_shows_no_first_probe)
{
	static const char *const expected[] = { "won", "" };

	for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
		const char *device;
		struct mock *m = tree_new(&device, VFIO);
		const char *env[] = { mock_printf(m, "DEVPATH=%s", device), "SUBSYSTEM=pci", "ACTION=add",
				      i == 0 ? NULL : "SYNTH_UUID=0", NULL };
		struct record record;

		ck_assert_int_eq(enforcer_event_env(m, env).status, 0);
		ck_assert(mock_record(m, device, &record));
		ck_assert_str_eq(first_probe_to_string(record.first_probe), expected[i]);
		mock_free(m);
	}
}
END_TEST

SUITE_MAIN("event", 60, drift_is_not_undone_by_an_event_that_was_asked_for,
	   event_that_was_asked_for_shows_no_first_probe, prints_the_properties_and_nothing_else,
	   none_and_default_name_no_module, module_of_the_rule_is_printed,
	   device_without_a_decision_prints_nothing, device_without_driver_override_is_left_alone,
	   device_that_has_gone_is_no_failure, device_by_its_path_in_sysfs, sysfs_option_may_end_with_a_slash,
	   device_may_be_named_in_each_documented_form, device_from_the_environment,
	   every_modalias_of_a_device_counts, modalias_of_an_event_that_is_not_the_latest_is_read_anew,
	   call_without_a_device_fails, paths_out_of_the_tree_are_refused,
	   failed_device_is_reported_and_the_program_succeeds, label_with_quotation_marks_survives_udev)
