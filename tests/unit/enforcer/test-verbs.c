/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override`: usage, sweep and release, what is logged, and where policy cannot reach. */
#include "base/macro.h"
#include "state/policy-copy.h"
#include "state/record.h"
#include "tests/unit/fixtures/run-enforcer.h"
#include "tests/unit/fixtures/suite.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RULE(label, name, driver) "[device " label "]\nName=" name "\nDriver=" driver "\n"

START_TEST(usage)
{
	struct mock *m = mock_new();
	struct enforcer_result r = enforcer_run_bare(m, NULL);

	ck_assert_int_eq(r.status, 2);
	ck_assert_str_eq(r.out, "");
	ck_assert_int_eq(enforcer_run_bare(m, "nonsense", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "event", "a", "b", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "sweep", "a", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", "--settled", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "--settled", "event", "a", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "--nonsense", "sweep", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "--state-dir", "", "sweep", NULL).status, 2);
	r = enforcer_run_bare(m, "--help", NULL);
	ck_assert_int_eq(r.status, 0);
	ck_assert_ptr_nonnull(strstr(r.out, "event"));
	ck_assert_int_eq(enforcer_run_bare(m, "--version", NULL).status, 0);
	mock_free(m);
}
END_TEST

START_TEST(devices_of_all_buses_are_swept)
{
	struct mock *m = mock_new();
	const char *a = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	const char *b = mock_pci_add(m, "0000:00:04.0", NULL, 0x1b36, 0x0010, 0x010802);
	const char *p = mock_platform_add(m, "serial8250", NULL);
	const char *s = mock_device_add(m, "spi", "/devices/platform/soc/spi_master/spi0", "spi0.0", true);
	const char *u = mock_device_add(m, "usb", "/devices/pci0000:00/0000:00:14.0/usb1", "1-1", false);
	struct enforcer_result r;

	mock_policy(m, MOCK_ETC, "10-a.conf",
		    RULE("a", "0000:00:03.0", "vfio-pci") RULE("s", "spi0.0", "spidev")
			    RULE("u", "1-1", "none") RULE("p", "serial8250", "none"));
	r = enforcer_run(m, "sweep", NULL);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.out, "");
	ck_assert_str_eq(mock_override(m, a), "vfio-pci");
	ck_assert_str_eq(mock_override(m, b), "(null)\n");
	ck_assert_str_eq(mock_override(m, p), "none");
	ck_assert_str_eq(mock_override(m, s), "spidev");
	ck_assert_int_ne(access(mock_path(m, u, "driver_override"), F_OK), 0);
	mock_free(m);
}
END_TEST

/* No event may follow, as after a soft-reboot, and a device with another driver is moved by the service
 * alone. */
START_TEST(sweep_wants_the_service_where_something_is_decided)
{
	struct mock *m = mock_new();
	const char *wanted = mock_printf(m, "%s/service-wanted", m->state);

	mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("other", "0000:00:04.0", "none"));
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	ck_assert_int_ne(access(wanted, F_OK), 0);
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("this", "0000:00:03.0", "none"));
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	ck_assert_int_eq(access(wanted, F_OK), 0);
	mock_free(m);
}
END_TEST

START_TEST(what_comes_after_the_boot_was_not_present)
{
	struct mock *m = mock_new();
	const char *gpu = mock_pci_add(m, "0000:00:03.0", NULL, 0x10de, 0x1b80, 0x030000), *early, *late;
	struct record record;
	struct enforcer_result r;

	early = mock_pci_add(m, "0000:00:03.1", NULL, 0x10de, 0x10f0, 0x040300);
	mock_group(m, 1, gpu, early, NULL);
	mock_policy(m, MOCK_ETC, "10-a.conf",
		    "[device gpu]\nName=0000:00:03.0\nDriver=vfio-pci\nGroup=hold\n");
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, gpu), "vfio-pci");
	ck_assert_str_eq(mock_override(m, early), "(null)\n");
	ck_assert_int_eq(enforcer_run(m, "sweep", "--settled", NULL).status, 0);

	late = mock_pci_add(m, "0000:00:03.2", NULL, 0x10de, 0x1ad7, 0x070000);
	mock_group(m, 1, late, NULL);
	r = enforcer_event(m, late);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "none");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_RULE"), "gpu");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "held");
	ck_assert(mock_record(m, late, &record));
	ck_assert_str_eq(record.cause, "group");

	/* A second sweep finds it present, and that changes nothing. */
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, late), "none");
	ck_assert_str_eq(mock_override(m, early), "(null)\n");
	r = enforcer_event(m, late);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "held");

	/* The same name plugged in anew is another device, which came later. */
	mock_remove(m, early);
	early = mock_pci_add(m, "0000:00:03.1", NULL, 0x10de, 0x10f0, 0x040300);
	mock_group(m, 1, early, NULL);
	r = enforcer_event(m, early);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "held");
	mock_free(m);
}
END_TEST

/* A disk behind VMD: its bus is found when udev loads a module, after the sweep and before the boot is over.
 */
START_TEST(what_is_found_late_at_boot_was_present)
{
	struct mock *m = mock_new();
	const char *gpu = mock_pci_add(m, "0000:00:03.0", NULL, 0x10de, 0x1b80, 0x030000), *disk, *plugged;
	struct record record;
	struct enforcer_result r;

	mock_group(m, 1, gpu, NULL);
	mock_policy(m, MOCK_ETC, "10-a.conf",
		    "[device gpu]\nName=0000:00:03.0\nDriver=vfio-pci\nGroup=hold\n"
		    "[device other]\nName=0000:00:07.0\nDriver=none\n");
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	disk = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	mock_group(m, 1, disk, NULL);
	r = enforcer_event(m, disk);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "");
	ck_assert_str_eq(mock_override(m, disk), "(null)\n");
	/* A sweep on the way, as of a guard that has lost messages, ends nothing. */
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	(void)enforcer_event(m, disk);
	ck_assert_str_eq(mock_override(m, disk), "(null)\n");

	/* It only looks: what policy has come to say meanwhile is not enforced by it. */
	(void)mock_pci_add(m, "0000:00:07.0", NULL, 0x1b36, 0x0010, 0x010802);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--settled", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, "/devices/pci0000:00/0000:00:07.0"), "(null)\n");
	(void)enforcer_event(m, disk);
	ck_assert_str_eq(mock_override(m, disk), "(null)\n");
	plugged = mock_pci_add(m, "0000:00:03.2", NULL, 0x10de, 0x1ad7, 0x070000);
	mock_group(m, 1, plugged, NULL);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--settled", NULL).status, 0); /* the boot ends once */
	(void)enforcer_event(m, plugged);
	ck_assert_str_eq(mock_override(m, plugged), "none");
	ck_assert(mock_record(m, plugged, &record));
	ck_assert_str_eq(record.cause, "group");
	(void)enforcer_event(m, disk);
	ck_assert_str_eq(mock_override(m, disk), "(null)\n");
	mock_free(m);
}
END_TEST

/* Nobody tells of the end of a boot that was over before this package came. */
START_TEST(a_first_sweep_after_the_boot_ends_it)
{
	for (int busy = 0; busy < 2; busy++) {
		struct mock *m = mock_new();
		const char *gpu = mock_pci_add(m, "0000:00:03.0", NULL, 0x10de, 0x1b80, 0x030000), *late;

		mock_policy(m, MOCK_ETC, "10-a.conf",
			    "[device gpu]\nName=0000:00:03.0\nDriver=vfio-pci\nGroup=hold\n");
		make_dirs(mock_printf(m, "%s/run/udev", m->root));
		make_dirs(mock_printf(m, "%s/run/systemd/units", m->root));
		ck_assert_int_eq(
			symlink("0123456789abcdef0123456789abcdef",
				mock_printf(m, "%s/run/systemd/units/invocation:systemd-udev-trigger.service",
					    m->root)),
			0);
		if (busy)
			make_file(mock_printf(m, "%s/run/udev/queue", m->root), "", 0);
		ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
		late = mock_pci_add(m, "0000:00:03.1", NULL, 0x10de, 0x10f0, 0x040300);
		mock_group(m, 1, gpu, late, NULL);
		(void)enforcer_event(m, late);
		ck_assert_str_eq(mock_override(m, late), busy ? "(null)\n" : "none");
		mock_free(m);
	}
}
END_TEST

/* The first sweep is at boot where the unit says so, and where the coldplug is still to come. */
START_TEST(first_probe_is_won_by_a_sweep_at_boot_only)
{
	static const struct {
		bool option, coldplug;
		const char *expected;
	} cases[] = { { true, false, "won" }, { false, false, "" }, { true, true, "" } };

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct mock *m = mock_new();
		const char *device = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
		struct record record;

		mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "0000:00:03.0", "vfio-pci"));
		make_dirs(mock_printf(m, "%s/run/udev/data", m->root)); /* of the initramfs */
		make_dirs(mock_printf(m, "%s/run/systemd/units", m->root));
		if (cases[i].coldplug)
			ck_assert_int_eq(symlink("0123456789abcdef0123456789abcdef",
						 mock_printf(m,
							     "%s/run/systemd/units/"
							     "invocation:systemd-udev-trigger.service",
							     m->root)),
					 0);
		ck_assert_int_eq((cases[i].option ? enforcer_run(m, "sweep", "--boot", NULL)
						  : enforcer_run(m, "sweep", NULL))
					 .status,
				 0);
		ck_assert(mock_record(m, device, &record));
		ck_assert_str_eq(record.owned_override, "vfio-pci");
		ck_assert_str_eq(first_probe_to_string(record.first_probe), cases[i].expected);
		/* The list is written in each case. */
		ck_assert_int_eq(access(mock_printf(m, "%s/present", m->state), F_OK), 0);
		mock_free(m);
	}
}
END_TEST

START_TEST(boot_option_is_for_sweep_only)
{
	struct mock *m = mock_new();

	ck_assert_int_eq(enforcer_run(m, "--boot", "release", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "event", "--boot", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "--boot", "rebind", "0000:00:03.0", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot=1", NULL).status, 2);
	mock_free(m);
}
END_TEST

START_TEST(sweep_without_a_tree_fails)
{
	struct mock *m = mock_new();
	struct enforcer_result r;

	m->sysfs = mock_printf(m, "%s/nowhere", m->root);
	r = enforcer_run(m, "sweep", NULL);
	ck_assert_int_eq(r.status, 1);
	ck_assert_uint_ge(r.n_lines, 1);
	mock_free(m);
}
END_TEST

START_TEST(release_of_all_and_of_named_devices)
{
	struct mock *m = mock_new();
	const char *a = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	const char *b = mock_pci_add(m, "0000:00:04.0", NULL, 0x1b36, 0x0010, 0x010802);
	const char *c = mock_pci_add(m, "0000:00:05.0", NULL, 0x1b36, 0x0010, 0x010802);
	const char *names[3] = { "0000:00:04.0", "pci/0000:00:04.0" };

	names[2] = mock_printf(m, "%s/bus/pci/devices/0000:00:04.0", m->sysfs);
	mock_attr(m, c, "driver_override", "foreign\n");
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("all", "*", "vfio-pci"));
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
		ck_assert_int_eq(enforcer_run(m, "release", names[i], NULL).status, 0);
		ck_assert_str_eq(mock_override(m, a), "vfio-pci");
		ck_assert_str_eq(mock_override(m, b), "\n");
	}
	ck_assert_int_eq(enforcer_run(m, "release", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, a), "\n");
	ck_assert_str_eq(mock_override(m, c), "foreign\n");
	mock_free(m);
}
END_TEST

START_TEST(release_of_what_is_not_a_device)
{
	struct mock *m = mock_new();
	static const char *const no[] = { "0000:00:09.0",
					  "pci/../../outside",
					  "../outside",
					  "pci/..",
					  "..",
					  "/",
					  "/devices/../../outside",
					  "pci/",
					  "/pci",
					  "" };
	const char *outside = mock_printf(m, "%s/outside", m->root);

	make_dirs(outside);
	make_file(mock_printf(m, "%s/driver_override", outside), "x", 1);
	for (size_t i = 0; i < ELEMENTSOF(no); i++) {
		struct enforcer_result r = enforcer_run(m, "release", no[i], NULL);

		ck_assert_msg(r.status == 1, "%s: %d", no[i], r.status);
		ck_assert_uint_eq(r.n_lines, 1);
	}
	ck_assert_str_eq(mock_read(m, mock_printf(m, "%s/driver_override", outside)), "x");
	mock_free(m);
}
END_TEST

START_TEST(errors_are_logged_once_for_a_version)
{
	struct mock *m = mock_new();
	const char *a = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	const char *path = mock_policy(m, MOCK_ETC, "10-a.conf", "[device x]\nName=*\nDriver=b\nFoo=1\n");
	struct enforcer_result r = enforcer_event(m, a);

	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_eq(r.n_lines, 1);
	ck_assert_ptr_nonnull(strstr(r.err, mock_printf(m, "%s:4: ", path)));
	ck_assert_ptr_nonnull(strstr(r.err, "Foo"));
	r = enforcer_event(m, a);
	ck_assert_str_eq(r.err, "");
	ck_assert_ptr_null(strstr(enforcer_run(m, "sweep", NULL).err, "Foo"));

	ck_assert_int_eq(utimensat(AT_FDCWD, path, NULL, 0), 0);
	r = enforcer_event(m, a);
	ck_assert_uint_eq(r.n_lines, 1);
	r = enforcer_event(m, a);
	ck_assert_str_eq(r.err, "");

	/* Mended and broken again: another version. */
	mock_policy(m, MOCK_ETC, "10-a.conf", "");
	r = enforcer_event(m, a);
	ck_assert_str_eq(r.err, "");
	mock_policy(m, MOCK_ETC, "10-a.conf", "[device x]\nName=*\nDriver=b\nFoo=1\nBar=1\n");
	ck_assert_uint_eq(enforcer_event(m, a).n_lines, 2);
	mock_free(m);
}
END_TEST

START_TEST(sweep_logs_errors_of_whole_files_once)
{
	struct mock *m = mock_new();
	const char *path = mock_policy(m, MOCK_ETC, "10-a.conf", RULE("x", "*", "b"));
	const char *line, *again;
	struct enforcer_result r;

	ck_assert_int_eq(chmod(path, 0666), 0);
	r = enforcer_run(m, "sweep", NULL);
	line = strstr(r.err, path);
	ck_assert_ptr_nonnull(line);
	again = strstr(line + 1, path);
	ck_assert_msg(again == NULL, "twice in one sweep:\n%s", r.err);
	ck_assert_ptr_null(strstr(enforcer_run(m, "sweep", NULL).err, path));
	mock_free(m);
}
END_TEST

START_TEST(last_good_copy_is_in_force_in_every_verb)
{
	struct mock *m = mock_new();
	const char *a = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	struct enforcer_result r;

	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("x", "0000:00:03.0", "none"));
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	mock_policy(m, MOCK_ETC, "10-a.conf", "nonsense\n");
	r = enforcer_event(m, a);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "none");
	ck_assert_uint_eq(r.n_lines, 1);
	mock_attr(m, a, "driver_override", "(null)\n");
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, a), "none");
	mock_free(m);
}
END_TEST

/* Without a sweep: whoever looks at the policy while the file is gone forgets what it said. */
START_TEST(last_good_copy_goes_with_its_file)
{
	struct mock *m = mock_new();
	const char *device = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	const char *path = mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "0000:00:03.0", "none"));
	struct enforcer_result r = enforcer_event(m, device);

	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "none");
	ck_assert_int_eq(unlink(path), 0);
	r = enforcer_event(m, device);
	ck_assert_str_eq(r.out, "");
	(void)mock_policy(m, MOCK_ETC, "10-a.conf", "nonsense\n");
	r = enforcer_event(m, device);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "");
	mock_free(m);
}
END_TEST

START_TEST(last_good_copy_stays_while_its_file_may_exist)
{
	struct mock *m = mock_new();
	const char *first = mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "0000:00:03.0", "none")), *second;
	struct policy *early = mock_load(m), *policy;
	char of_first[PATH_MAX], of_second[PATH_MAX];

	second = mock_policy(m, MOCK_ETC, "20-b.conf", RULE("b", "0000:00:03.0", "none"));
	policy = mock_load(m);
	ck_assert_int_eq(policy_copy_path(m->state, first, of_first, sizeof(of_first)), 0);
	ck_assert_int_eq(policy_copy_path(m->state, second, of_second, sizeof(of_second)), 0);
	policy_copies_update(m->state, policy);
	/* A process that read the policy before the second file came does not know that file. */
	policy_copies_update(m->state, early);
	ck_assert_int_eq(access(of_second, F_OK), 0);
	/* A process that could not list a directory does not know what is in there. */
	ck_assert_int_eq(unlink(second), 0);
	early->incomplete = true;
	policy_copies_update(m->state, early);
	ck_assert_int_eq(access(of_second, F_OK), 0);
	early->incomplete = false;
	policy_copies_update(m->state, early);
	ck_assert_int_ne(access(of_second, F_OK), 0);
	ck_assert_int_eq(access(of_first, F_OK), 0);
	policy_free(early);
	policy_free(policy);
	mock_free(m);
}
END_TEST

START_TEST(names_from_policy_reach_no_other_file)
{
	static const char *const drivers[] = { "../../../outside", "/outside", "..", "." };
	struct mock *m = mock_new();
	const char *a = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	struct enforcer_result r;

	for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
		mock_policy(m, MOCK_ETC, "10-a.conf",
			    mock_printf(m, "[device x]\nName=0000:00:03.0\nDriver=%s\n", drivers[i]));
		r = enforcer_event(m, a);
		ck_assert_int_eq(r.status, 0);
		ck_assert_str_eq(r.out, "");
		ck_assert_str_eq(mock_override(m, a), "(null)\n");
	}
	mock_policy(m, MOCK_ETC, "10-a.conf", "[device x]\nName=0000:00:03.0\nAttr.../../x=*\nDriver=none\n");
	r = enforcer_event(m, a);
	ck_assert_str_eq(r.out, "");
	mock_free(m);
}
END_TEST

START_TEST(labels_and_drivers_print_no_further_properties)
{
	struct mock *m = mock_new();
	const char *a = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	struct enforcer_result r;

	mock_policy(m, MOCK_ETC, "10-a.conf", "[device x\rRUN=evil]\nName=*\nDriver=none\n");
	r = enforcer_event(m, a);
	ck_assert_str_eq(r.out, "");
	/* Not a word that kmod could take. */
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("x", "*", "-r all"));
	r = enforcer_event(m, a);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_MODALIAS"), "");
	mock_free(m);
}
END_TEST

START_TEST(release_leaves_an_override_that_somebody_else_has_changed)
{
	struct mock *m = mock_new();
	const char *device = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	struct record record;

	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("a", "*", "vfio-pci"));
	ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
	mock_attr(m, device, "driver_override", "foreign\n");
	ck_assert_int_eq(enforcer_run(m, "release", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, device), "foreign\n");
	ck_assert(!mock_record(m, device, &record));
	ck_assert_str_eq(mock_read(m, mock_printf(m, "%s/bus/pci/drivers_probe", m->sysfs)), "");
	mock_free(m);
}
END_TEST

SUITE_MAIN("verbs", 40, release_leaves_an_override_that_somebody_else_has_changed, usage,
	   devices_of_all_buses_are_swept, sweep_wants_the_service_where_something_is_decided,
	   what_is_found_late_at_boot_was_present, a_first_sweep_after_the_boot_ends_it,
	   what_comes_after_the_boot_was_not_present, first_probe_is_won_by_a_sweep_at_boot_only,
	   boot_option_is_for_sweep_only, sweep_without_a_tree_fails, release_of_all_and_of_named_devices,
	   release_of_what_is_not_a_device, errors_are_logged_once_for_a_version,
	   sweep_logs_errors_of_whole_files_once, last_good_copy_is_in_force_in_every_verb,
	   last_good_copy_goes_with_its_file, last_good_copy_stays_while_its_file_may_exist,
	   names_from_policy_reach_no_other_file, labels_and_drivers_print_no_further_properties)
