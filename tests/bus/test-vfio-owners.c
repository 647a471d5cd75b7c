/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Members of a group that somebody uses through VFIO: they are held, and get their drivers when it is free.
 */
#include "base/macro.h"
#include "policy/vfio-driver.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define GPU "0000:00:05.0"
#define SOUND "0000:00:05.1"
#define OWNED "its IOMMU group 9 is in use by qemu (process 4711), and the kernel lets no other driver in"

/* A GPU at vfio-pci whose group a process has open, and its other function, which has no driver. */
static struct harness *begin(const char *policy)
{
	struct harness *h = harness_new();
	struct mock *m = h->m;

	three_devices(h);
	(void)mock_pci_add(m, GPU, NULL, 0x10de, 0x1b80, 0x030000);
	(void)mock_pci_add(m, SOUND, NULL, 0x10de, 0x10f0, 0x040300);
	mock_attr(m, PATH_OF(SOUND), "own_driver", "snd_hda_intel\n");
	mock_driver_add(m, "pci", "snd_hda_intel");
	mock_bind(m, PATH_OF(GPU), "vfio-pci");
	mock_group(m, 9, PATH_OF(GPU), PATH_OF(SOUND), NULL);
	make_dirs(mock_printf(m, "%s/dev/vfio/devices", m->root));
	make_file(mock_printf(m, "%s/dev/vfio/9", m->root), "", 0);
	mock_group_open(m, 9);
	if (policy)
		(void)mock_policy(m, MOCK_ETC, "50-a.conf", policy);
	return h;
}

/* The process lets go of the group; what is to be heard of it is that its node is closed. */
static void let_go(struct harness *h, const char *node)
{
	int fd = open(mock_printf(h->m, "%s/dev/vfio/%s", h->m->root, node), O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	mock_group_close(h->m);
	(void)close(fd);
}

START_TEST(one_that_is_refused_its_driver_gets_it_when_the_group_is_free)
{
	static const char *const drivers[] = { "snd_hda_intel", "default" };

	for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
		struct harness *h;

		h = begin("[device gpu]\nName=" GPU "\nDriver=vfio-pci\nGroup=leave\n");
		(void)mock_policy(
			h->m, MOCK_ETC, "60-b.conf",
			mock_printf(h->m, "[device sound]\nName=" SOUND "\nDriver=%s\n", drivers[i]));
		faults(h, "pci/" SOUND " Held " OWNED "\n");
		service_start(h);
		wait_property(h, "pci", SOUND, "State", "held");
		ck_assert_str_eq(property(h, "pci", SOUND, "Reason"), OWNED);
		ck_assert_str_eq(property(h, "pci", SOUND, "Driver"), "");
		while (calls(h, "pci/" SOUND) == 0)
			(void)usleep(1000);
		settle(h);
		faults(h, "");
		settle(h);
		ck_assert_str_eq(property(h, "pci", SOUND, "State"), "held"); /* not tried again and again */
		let_go(h, "9");
		wait_property(h, "pci", SOUND, "State", "enforced");
		ck_assert_str_eq(property(h, "pci", SOUND, "Driver"), "snd_hda_intel");
		harness_free(h);
	}
}
END_TEST

/* Whom nothing is decided about, nobody touches. */
START_TEST(one_without_a_decision_is_shown_as_held)
{
	struct harness *h = begin("[device gpu]\nName=" GPU "\nDriver=vfio-pci\nGroup=leave\n");
	unsigned before;

	service_start(h);
	wait_property(h, "pci", SOUND, "State", "held");
	ck_assert_str_eq(property(h, "pci", SOUND, "Reason"), OWNED);
	ck_assert_str_eq(property(h, "pci", SOUND, "Decision"), "");
	wait_property(h, "pci", GPU, "State", "enforced");
	before = calls(h, "");
	/* By iommufd, it is a node of the device's own. */
	make_file(mock_printf(h->m, "%s/dev/vfio/devices/vfio0", h->m->root), "", 0);
	let_go(h, "devices/vfio0");
	wait_property(h, "pci", SOUND, "State", "unmanaged");
	ck_assert_uint_eq(calls(h, ""), before);
	harness_free(h);
}
END_TEST

START_TEST(a_group_that_is_opened_is_noticed)
{
	struct harness *h = begin("[device gpu]\nName=" GPU "\nDriver=vfio-pci\nGroup=leave\n");

	mock_group_close(h->m);
	service_start(h);
	wait_property(h, "pci", GPU, "State", "enforced");
	ck_assert_str_eq(property(h, "pci", SOUND, "State"), "unmanaged");
	mock_group_open(h->m, 9);
	(void)close(open(mock_printf(h->m, "%s/dev/vfio/9", h->m->root), O_RDONLY | O_CLOEXEC));
	wait_property(h, "pci", SOUND, "State", "held");
	harness_free(h);
}
END_TEST

/* What the module's loader said is the news, not that somebody uses the group: VFIO's drivers are let in. */
START_TEST(one_that_is_for_vfio_is_not_kept_off)
{
	struct harness *h = begin("[device gpu]\nName=" GPU "\nDriver=vfio-pci\nGroup=leave\n");

	(void)mock_policy(h->m, MOCK_ETC, "60-b.conf", "[device sound]\nName=" SOUND "\nDriver=a-vfio-pci\n");
	faults(h, "pci/" SOUND " Failed no such module\n");
	service_start(h);
	wait_property(h, "pci", SOUND, "State", "failed");
	ck_assert_str_eq(property(h, "pci", SOUND, "Reason"), "no such module");
	harness_free(h);
}
END_TEST

/* The kernel takes its time to give the group back when nobody is to be seen any more. */
START_TEST(it_is_tried_again_while_the_kernel_still_refuses)
{
	struct harness *h = begin("[device gpu]\nName=" GPU "\nDriver=vfio-pci\nGroup=leave\n");
	unsigned before;

	(void)mock_policy(h->m, MOCK_ETC, "60-b.conf",
			  "[device sound]\nName=" SOUND "\nDriver=snd_hda_intel\n");
	faults(h, "pci/" SOUND " Held " OWNED "\n");
	service_start(h);
	wait_property(h, "pci", SOUND, "State", "held");
	while (calls(h, "pci/" SOUND) == 0)
		(void)usleep(1000);
	let_go(h, "9");
	for (before = calls(h, "pci/" SOUND); calls(h, "pci/" SOUND) < before + 1;)
		(void)usleep(1000);
	settle(h);
	ck_assert_str_eq(property(h, "pci", SOUND, "State"), "held");
	faults(h, "");
	wait_property(h, "pci", SOUND, "State", "enforced");
	harness_free(h);
}
END_TEST

START_TEST(a_module_that_has_come_is_tried)
{
	struct harness *h = begin("[device gpu]\nName=" GPU "\nDriver=vfio\nGroup=leave\n");
	char dir[PATH_MAX];
	const char *text = "#\nalias vfio_pci:v000010DEd00001B80sv*sd*bc*sc*i* new_vfio_pci\n";

	ck_assert_int_eq(vfio_aliases_dir(h->m->sysfs, dir, sizeof(dir)), 0);
	make_dirs(dir);
	mock_attr(h->m, PATH_OF(GPU), "modalias", "pci:v000010DEd00001B80sv00000000sd00000000bc03sc00i00\n");
	mock_driver_add(h->m, "pci", "new_vfio_pci");
	service_start(h);
	wait_property(h, "pci", GPU, "Decision", "vfio-pci");
	wait_property(h, "pci", GPU, "State", "enforced");
	make_file(mock_printf(h->m, "%s/modules.alias", dir), text, strlen(text));
	wait_property(h, "pci", GPU, "Decision", "new_vfio_pci");
	wait_property(h, "pci", GPU, "Driver", "new_vfio_pci");
	harness_free(h);
}
END_TEST

/* Device trees and IORT before Linux 6.15: the group is made when a driver is about to be bound. */
START_TEST(a_group_that_is_not_there_yet_is_said_and_decided_when_it_is)
{
	struct harness *h = harness_new();
	struct mock *m = h->m;

	three_devices(h);
	make_dirs(mock_printf(m, "%s/class/iommu/smmu0", m->sysfs));
	make_dirs(mock_printf(m, "%s/devices/pci0000:00/of_node/iommu-map", m->sysfs));
	(void)mock_pci_add(m, GPU, NULL, 0x10de, 0x1b80, 0x030000);
	(void)mock_pci_add(m, SOUND, NULL, 0x10de, 0x10f0, 0x040300);
	(void)mock_policy(m, MOCK_ETC, "50-a.conf", "[device gpu]\nName=" GPU "\nDriver=vfio\nGroup=none\n");
	faults(h, "pci/" GPU " Failed the kernel is not ready\n");
	service_start(h);
	ck_assert_str_eq(property(h, "pci", GPU, "Group"), "/");
	ck_assert_ptr_nonnull(
		strstr(property(h, "pci", GPU, "Reason"), "its IOMMU group is not known before"));
	ck_assert_ptr_nonnull(
		strstr(property(h, "pci", SOUND, "Reason"), "its IOMMU group is not known before"));
	ck_assert_str_eq(property(h, "pci", SOUND, "Decision"), "");
	faults(h, "");
	mock_group(m, 9, PATH_OF(GPU), PATH_OF(SOUND), NULL);
	mock_bind(m, PATH_OF(GPU), "vfio-pci");
	mock_attr(m, PATH_OF(GPU), "driver_override", "vfio-pci\n");
	tell(h, "bind", "pci", GPU);
	wait_property(h, "pci", GPU, "State", "enforced");
	ck_assert_str_eq(property(h, "pci", GPU, "Group"), "/org/driveroverrides1/group/9");
	wait_property(h, "pci", SOUND, "Decision", "none");
	wait_property(h, "pci", SOUND, "State", "held");
	ck_assert_str_eq(property(h, "pci", SOUND, "Override"), "none");
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-owners", 300, one_that_is_refused_its_driver_gets_it_when_the_group_is_free,
	   one_without_a_decision_is_shown_as_held, a_group_that_is_opened_is_noticed,
	   one_that_is_for_vfio_is_not_kept_off, it_is_tried_again_while_the_kernel_still_refuses,
	   a_module_that_has_come_is_tried, a_group_that_is_not_there_yet_is_said_and_decided_when_it_is)
