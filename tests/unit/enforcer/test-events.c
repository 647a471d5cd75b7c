/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override event` as udev calls it: what it prints, how it ends, and when. */
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
/* Two seconds, and as much again as a busy machine takes: without the deadline it would never end. */
#define LIMIT_USEC 20000000U

/* A tree with one NVMe and a policy. */
static struct mock *tree_new(const char **ret_device, const char *policy)
{
	struct mock *m = mock_new();

	*ret_device = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	mock_group(m, 1, *ret_device, NULL);
	mock_policy(m, MOCK_ETC, "10-a.conf", policy);
	return m;
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

START_TEST(module_of_the_rule)
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
	mock_free(m);
}
END_TEST

START_TEST(device_without_the_file_is_none_of_ours)
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

START_TEST(tree_named_with_a_slash_behind)
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
START_TEST(device_as_the_usage_says)
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

START_TEST(device_from_the_environment)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nId=dead:beef\nDriver=none\n");
	const char *env[] = { mock_printf(m, "DEVPATH=%s", device), "SUBSYSTEM=pci", "ACTION=add",
			      "MODALIAS=pci:v0000DEADd0000BEEFsv00001AF4sd00001100bc01sc08i02", NULL };
	struct enforcer_result r;

	/* udev has read the modalias already: it is not read again. */
	mock_attr_hangs(m, device, "modalias");
	r = enforcer_event_env(m, env);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "none");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "enforced");
	mock_free(m);
}
END_TEST

/* On other buses the file may have several lines, and udev passes on the last: every program takes all. */
START_TEST(every_modalias_of_a_device_counts)
{
	static const char *const values[] = { "acpi:ABCD0001:", "acpi:PNP0501:", "of:x" };

	for (size_t i = 0; i < ELEMENTSOF(values); i++) {
		struct mock *m = mock_new();
		const char *device = mock_platform_add(m, "uart", "acpi:ABCD0001:\nacpi:PNP0501:\n");
		const char *env[] = { mock_printf(m, "DEVPATH=%s", device), "SUBSYSTEM=platform",
				      "ACTION=add", "MODALIAS=acpi:PNP0501:", NULL };
		const char *expected = i < 2 ? "none" : "";
		struct enforcer_result r;

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

START_TEST(no_device_at_all)
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

START_TEST(paths_that_lead_out_of_the_tree)
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

START_TEST(override_that_hangs)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	struct enforcer_result r;

	mock_attr_hangs(m, device, "driver_override");
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_lt(r.usec, LIMIT_USEC);
	/* What was decided is told all the same. */
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "vfio-pci");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_RULE"), "my gpu");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "pending");
	ck_assert_uint_eq(r.n_lines, 1);
	ck_assert_ptr_nonnull(strstr(r.err, "driver_override"));
	ck_assert_ptr_nonnull(strstr(r.err, "0000:00:03.0"));
	mock_free(m);
}
END_TEST

START_TEST(modalias_that_hangs)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nId=1b36:0010\nDriver=vfio-pci\n");
	struct enforcer_result r;

	mock_attr_hangs(m, device, "modalias");
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_lt(r.usec, LIMIT_USEC);
	ck_assert_str_eq(r.out, "DRIVER_OVERRIDE_STATE=pending\n");
	ck_assert_uint_eq(r.n_lines, 1);
	ck_assert_ptr_nonnull(strstr(r.err, "modalias"));
	mock_free(m);
}
END_TEST

START_TEST(probe_that_hangs)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	struct enforcer_result r;

	mock_driver_add(m, "pci", "vfio-pci");
	mock_attr_hangs(m, "/bus/pci", "drivers_probe");
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_lt(r.usec, LIMIT_USEC);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "pending");
	ck_assert_str_eq(mock_override(m, device), "vfio-pci");
	mock_free(m);
}
END_TEST

START_TEST(another_member_that_hangs_holds_up_nobody)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device gpu]\nName=0000:00:03.0\nDriver=none\nGroup=none\n"
					   "[device x]\nId=dead:*\nDriver=x\n");
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	struct enforcer_result r;

	mock_group(m, 7, device, other, NULL);
	mock_attr_hangs(m, other, "modalias");
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_lt(r.usec, LIMIT_USEC);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "enforced");
	ck_assert_str_eq(mock_override(m, device), "none");
	mock_free(m);
}
END_TEST

/* Whichever of them is asked first: the two others have what was decided, and the one is known to be stuck.
 */
START_TEST(companion_that_hangs_holds_up_no_other)
{
	static const char *const names[] = { "0000:00:03.1", "0000:00:03.2", "0000:00:03.3" };
	static const char *const files[] = { "driver_override", "class" };

	for (size_t k = 0; k < 2 * ELEMENTSOF(names); k++) {
		const char *device, *others[ELEMENTSOF(names)], *hangs = files[k / ELEMENTSOF(names)];
		struct mock *m =
			tree_new(&device, "[device gpu]\nName=0000:00:03.0\nDriver=none\nGroup=none\n");
		const size_t one = k % ELEMENTSOF(names);
		struct record record;
		struct enforcer_result r;

		for (size_t i = 0; i < ELEMENTSOF(names); i++) {
			others[i] = mock_pci_add(m, names[i], NULL, 0x1b36, 0x0010, 0x010802);
			mock_group(m, 7, others[i], NULL);
		}
		mock_group(m, 7, device, NULL);
		mock_attr_hangs(m, others[one], hangs);
		if (streq(hangs, "class"))
			mock_attr_remove(m, others[one], "modalias");
		r = enforcer_event(m, device);
		ck_assert_int_eq(r.status, 0);
		ck_assert_uint_lt(r.usec, LIMIT_USEC);
		ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "enforced");
		ck_assert_str_eq(mock_override(m, device), "none");
		for (size_t i = 0; i < ELEMENTSOF(names); i++)
			if (i != one)
				ck_assert_str_eq(mock_override(m, others[i]), "none");
		ck_assert(mock_record(m, others[one], &record));
		ck_assert_str_eq(record.state, "stuck");
		ck_assert_ptr_nonnull(strstr(record.reason, hangs));
		ck_assert_ptr_nonnull(strstr(r.err, mock_printf(m, "%s of pci %s", hangs, names[one])));
		mock_free(m);
	}
}
END_TEST

/* The device is such a companion itself, and a third member does not tell what it is. */
START_TEST(member_that_hangs_does_not_keep_the_group_from_deciding)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nId=dead:*\nDriver=x\n"
					   "[device gpu]\nName=0000:00:03.1\nDriver=none\nGroup=none\n");
	const char *gpu = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	const char *slow = mock_pci_add(m, "0000:00:03.2", NULL, 0x1b36, 0x0010, 0x010802);
	struct enforcer_result r;

	mock_group(m, 7, device, gpu, slow, NULL);
	mock_attr_hangs(m, slow, "modalias");
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_lt(r.usec, LIMIT_USEC);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "none");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "held");
	ck_assert_str_eq(mock_override(m, device), "none");
	mock_free(m);
}
END_TEST

START_TEST(device_that_hangs_does_not_hold_up_its_group)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device gpu]\nName=0000:00:03.0\nDriver=none\nGroup=none\n");
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	struct enforcer_result r;

	mock_group(m, 7, device, other, NULL);
	mock_attr_hangs(m, device, "driver_override");
	r = enforcer_event(m, device);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "pending");
	ck_assert_ptr_nonnull(strstr(r.err, "driver_override of pci 0000:00:03.0"));
	ck_assert_str_eq(mock_override(m, other), "none");
	mock_free(m);
}
END_TEST

/* One that is slow and comes back in time is overtaken, too, but it is not stuck. */
START_TEST(companion_that_is_slow_is_not_stuck)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device gpu]\nName=0000:00:03.0\nDriver=none\nGroup=none\n");
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	const char *path = mock_path(m, other, "driver_override");
	struct record record;
	pid_t pid;

	mock_group(m, 7, device, other, NULL);
	mock_attr_hangs(m, other, "driver_override");
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		int fd;

		(void)usleep(900000);
		fd = open(path, O_WRONLY | O_CLOEXEC); /* whoever reads it comes back, with nothing read */
		(void)unlink(path);
		make_file(path, "(null)\n", 7);
		(void)close(fd);
		_exit(0);
	}
	ck_assert_int_eq(enforcer_event(m, device).status, 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert(mock_record(m, other, &record));
	ck_assert_str_ne(record.state, "stuck");
	mock_free(m);
}
END_TEST

/* Rule 1 leaves the group alone, rule 2 holds it; the result is that of rule 1, whoever comes first. */
START_TEST(companion_is_let_go_when_an_earlier_rule_comes_to_the_group)
{
	static const char *const orders[] = { "acb", "bac", "cab", "abc" };

	for (size_t o = 0; o < ELEMENTSOF(orders); o++) {
		struct mock *m = mock_new();
		const char *devices[3] = {};
		struct record record;

		mock_policy(m, MOCK_ETC, "10-a.conf",
			    "[device b]\nName=0000:00:03.1\nDriver=none\nGroup=leave\n"
			    "[device a]\nName=0000:00:03.0\nDriver=none\nGroup=hold\n");
		ck_assert_int_eq(enforcer_run(m, "sweep", NULL).status, 0);
		for (const char *s = orders[o]; *s; s++) {
			devices[*s - 'a'] = mock_pci_add(m, mock_printf(m, "0000:00:03.%c", *s - 'a' + '0'),
							 NULL, 0x1b36, 0x0010, 0x010802);
			mock_group(m, 7, devices[*s - 'a'], NULL);
			ck_assert_int_eq(enforcer_event(m, devices[*s - 'a']).status, 0);
		}
		ck_assert_str_eq(mock_override(m, devices[0]), "none");
		ck_assert_str_eq(mock_override(m, devices[1]), "none");
		ck_assert_str_ne(mock_override(m, devices[2]), "none");
		ck_assert(!mock_record(m, devices[2], &record));
		mock_free(m);
	}
}
END_TEST

/* Its record says which rule decided; the member that this one matched need not be there any more. */
START_TEST(companion_keeps_what_it_has_when_the_member_goes)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device a]\nName=0000:00:03.0\nDriver=none\nGroup=none\n"
					   "[device b]\nName=0000:00:03.1\nDriver=none\nGroup=leave\n");
	const char *b = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	const char *c = mock_pci_add(m, "0000:00:03.2", NULL, 0x1b36, 0x0010, 0x010802);

	mock_group(m, 7, device, b, c, NULL);
	ck_assert_int_eq(enforcer_event(m, device).status, 0);
	ck_assert_str_eq(mock_override(m, c), "none");
	(void)unlink(mock_printf(m, "%s/kernel/iommu_groups/7/devices/0000:00:03.0", m->sysfs));
	mock_remove(m, device);
	ck_assert_int_eq(enforcer_event(m, b).status, 0);
	ck_assert_str_eq(mock_override(m, c), "none");
	/* Until policy changes. */
	mock_policy(m, MOCK_ETC, "10-a.conf",
		    "[device b]\nName=0000:00:03.1\nDriver=none\n[device x]\nName=x\n"
		    "Driver=none\nGroup=none\n");
	ck_assert_int_eq(enforcer_event(m, b).status, 0);
	ck_assert_str_eq(mock_override(m, c), "\n");
	mock_free(m);
}
END_TEST

START_TEST(failure_is_told_and_is_no_failure_of_the_program)
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

START_TEST(companions_are_decided_again)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device gpu]\nName=0000:00:03.0\nDriver=vfio-pci\nGroup=vfio\n");
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	const char *bridge = mock_pci_add(m, "0000:00:02.0", NULL, 0x8086, 0x1901, 0x060400);
	struct enforcer_result r;

	mock_group(m, 7, other, bridge, NULL);
	r = enforcer_event(m, other);
	ck_assert_str_eq(r.out, "");
	mock_group(m, 7, device, NULL);
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(mock_override(m, other), "vfio-pci");
	ck_assert_str_eq(mock_override(m, bridge), "(null)\n");
	/* Its event is asked for, that udev may load the module. */
	ck_assert_str_eq(mock_read(m, mock_path(m, other, "uevent")), "add");
	ck_assert_str_eq(mock_read(m, mock_path(m, device, "uevent")), "");
	ck_assert_str_eq(r.err, "");

	/* A second time changes nothing. */
	mock_attr(m, other, "uevent", "");
	r = enforcer_event(m, device);
	ck_assert_str_eq(mock_read(m, mock_path(m, other, "uevent")), "");
	mock_free(m);
}
END_TEST

START_TEST(label_between_quotation_marks_survives_udev)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device a \"b\"]\nName=0000:00:03.0\nDriver=none\n");
	struct enforcer_result r = enforcer_event(m, device);

	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_RULE"), "a \"b\"");
	mock_free(m);
}
END_TEST

SUITE_MAIN("events", 60, member_that_hangs_does_not_keep_the_group_from_deciding,
	   every_modalias_of_a_device_counts, companion_that_hangs_holds_up_no_other,
	   device_that_hangs_does_not_hold_up_its_group, companion_that_is_slow_is_not_stuck,
	   companion_is_let_go_when_an_earlier_rule_comes_to_the_group,
	   companion_keeps_what_it_has_when_the_member_goes, prints_the_properties_and_nothing_else,
	   none_and_default_name_no_module, module_of_the_rule, device_without_a_decision_prints_nothing,
	   device_without_the_file_is_none_of_ours, device_that_has_gone_is_no_failure,
	   device_by_its_path_in_sysfs, tree_named_with_a_slash_behind, device_as_the_usage_says,
	   device_from_the_environment, no_device_at_all, paths_that_lead_out_of_the_tree,
	   override_that_hangs, modalias_that_hangs, probe_that_hangs,
	   another_member_that_hangs_holds_up_nobody, failure_is_told_and_is_no_failure_of_the_program,
	   companions_are_decided_again, label_between_quotation_marks_survives_udev)
