/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override event` of a device in an IOMMU group: what becomes of the other members. */
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

/* Rule 1 leaves the group alone, rule 2 holds it; the result is that of rule 1, whoever comes first. */
START_TEST(member_is_released_when_an_earlier_rule_governs_the_group)
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
START_TEST(member_keeps_its_override_when_the_matched_member_is_unplugged)
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

START_TEST(other_members_are_decided_again)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device gpu]\nName=0000:00:03.0\nDriver=vfio-pci\nGroup=vfio\n");
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	const char *bridge = mock_pci_add(m, "0000:00:02.0", NULL, 0x8086, 0x1901, 0x060400);
	struct enforcer_result r;

	(void)mock_aliases(m, "/lib/modules", "# Aliases\n");
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
	/* The device itself is not announced as new; udev is told of its state, for it was not udev who
	 * asked. */
	ck_assert_str_eq(mock_read(m, mock_path(m, device, "uevent")), "change");
	ck_assert_str_eq(r.err, "");

	/* A second time changes nothing. */
	mock_attr(m, other, "uevent", "");
	r = enforcer_event(m, device);
	ck_assert_str_eq(mock_read(m, mock_path(m, other, "uevent")), "");
	mock_free(m);
}
END_TEST

/* Without such a rule groups are not looked at. */
#define OF_ANOTHER_GROUP "[device x]\nName=x\nDriver=none\nGroup=none\n"

/* The directory that cannot be listed may contain the rule by which the member got its override. */
START_TEST(member_keeps_its_override_while_a_policy_directory_cannot_be_read)
{
	const char *device;
	struct mock *m = tree_new(
		&device, "[device b]\nName=0000:00:03.0\nDriver=none\nGroup=leave\n" OF_ANOTHER_GROUP);
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	const char *path = mock_policy(m, MOCK_RUN, "05-first.conf",
				       "[device a]\nName=0000:00:03.0\nDriver=none\nGroup=none\n");

	mock_group(m, 7, device, other, NULL);
	ck_assert_int_eq(enforcer_event(m, device).status, 0);
	ck_assert_str_eq(mock_override(m, other), "none");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(m->conf[MOCK_RUN]), 0);
	ck_assert_int_eq(symlink(m->conf[MOCK_RUN], m->conf[MOCK_RUN]), 0);
	ck_assert_int_eq(enforcer_event(m, device).status, 0);
	ck_assert_str_eq(mock_override(m, other), "none");

	/* With the directory back, the rule is known to be gone. */
	ck_assert_int_eq(unlink(m->conf[MOCK_RUN]), 0);
	make_dirs(m->conf[MOCK_RUN]);
	ck_assert_int_eq(enforcer_event(m, device).status, 0);
	ck_assert_str_eq(mock_override(m, other), "\n");
	mock_free(m);
}
END_TEST

/* Only what was set for the sake of the group goes with the group's rule. */
START_TEST(member_with_a_rule_of_its_own_is_not_released)
{
	const char *device;
	struct mock *m =
		tree_new(&device, "[device b]\nName=0000:00:03.0\nDriver=none\nGroup=leave\n" OF_ANOTHER_GROUP
				  "[device o]\nName=0000:00:03.1\nDriver=none\n");
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);

	mock_group(m, 7, device, other, NULL);
	ck_assert_int_eq(enforcer_event(m, other).status, 0);
	ck_assert_str_eq(mock_override(m, other), "none");
	mock_policy(m, MOCK_ETC, "10-a.conf",
		    "[device b]\nName=0000:00:03.0\nDriver=none\nGroup=leave\n" OF_ANOTHER_GROUP);
	ck_assert_int_eq(enforcer_event(m, device).status, 0);
	ck_assert_str_eq(mock_override(m, other), "none");
	mock_free(m);
}
END_TEST

SUITE_MAIN("event-group", 60, member_with_a_rule_of_its_own_is_not_released,
	   member_keeps_its_override_while_a_policy_directory_cannot_be_read,
	   member_is_released_when_an_earlier_rule_governs_the_group,
	   member_keeps_its_override_when_the_matched_member_is_unplugged, other_members_are_decided_again)
