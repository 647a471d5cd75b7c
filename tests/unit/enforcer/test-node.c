/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override node` as udev calls it: what it prints for nodes of VFIO and UIO. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/unit/fixtures/run-enforcer.h"
#include "tests/unit/fixtures/suite.h"

#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BY_RULE "vfio/by-rule/"
#define CARD "0000:00:03.0"
#define TWIN "0000:00:04.0"

/* A device at a driver, decided and recorded as at its own event. */
static const char *device_at(struct mock *m, const char *name, unsigned group, const char *driver)
{
	const char *device = mock_pci_add(m, name, NULL, 0x8086, 0x10d3, 0x020000);

	mock_group(m, group, device, NULL);
	mock_bind(m, device, driver);
	ck_assert_int_eq(enforcer_event(m, device).status, 0);
	return device;
}

static struct mock *node_tree_new(const char *policy)
{
	struct mock *m = mock_new();

	(void)mock_policy(m, MOCK_ETC, "10-a.conf", policy);
	(void)mock_aliases(m, "/lib/modules", "# Aliases\n");
	return m;
}

static struct enforcer_result node_run(struct mock *m, const char *subsystem, const char *devpath)
{
	const char *env[] = { mock_printf(m, "SUBSYSTEM=%s", subsystem),
			      mock_printf(m, "DEVPATH=%s", devpath), "ACTION=add", NULL };

	return enforcer_verb_env(m, "node", env);
}

#define OWNER "DRIVER_OVERRIDE_NODE_OWNER="
#define GROUP "DRIVER_OVERRIDE_NODE_GROUP="
#define MODE "DRIVER_OVERRIDE_NODE_MODE="
#define LINKS "DRIVER_OVERRIDE_NODE_LINKS="
#define GPU_LINKS LINKS BY_RULE "gpu " BY_RULE "gpu-pci-" CARD

/* The "change" event of group 7's node, of which udev knows that it has the links of [device gpu], and
 * access. */
static struct enforcer_result node_changed(struct mock *m)
{
	const char *env[] = { "SUBSYSTEM=vfio", "DEVPATH=/devices/virtual/vfio/7",
			      "ACTION=change",	OWNER "qemu",
			      GROUP "kvm",	MODE "0660",
			      GPU_LINKS,	NULL };

	return enforcer_verb_env(m, "node", env);
}

#define GPU_RULE "[device gpu]\nName=" CARD "\nDriver=vfio-pci\nAccess=qemu:kvm:0660\n"

static struct mock *gpu_new(const char **ret_device)
{
	struct mock *m = node_tree_new(GPU_RULE);

	*ret_device = device_at(m, CARD, 7, "vfio-pci");
	return m;
}

static struct enforcer_result group_node_run(struct mock *m, const char *name)
{
	return node_run(m, "vfio", mock_printf(m, "/devices/virtual/vfio/%s", name));
}

static struct enforcer_result cdev_run(struct mock *m, const char *device, const char *name)
{
	make_dirs(mock_printf(m, "%s%s/vfio-dev/%s", m->sysfs, device, name));
	return node_run(m, "vfio-dev", mock_printf(m, "%s/vfio-dev/%s", device, name));
}

static const char *links(struct mock *m, const struct enforcer_result *r)
{
	ck_assert_msg(r->status == 0 && r->n_lines == 0, "%d %s", r->status, r->err);
	return printed_property(m, r, "DRIVER_OVERRIDE_NODE_LINKS");
}

/* What its uevent file has been told since. */
static const char *node_uevent(struct mock *m, const char *class, const char *name)
{
	const char *path = mock_printf(m, "%s/class/%s/%s/uevent", m->sysfs, class, name);

	return access(path, F_OK) < 0 ? "" : mock_read(m, path);
}

static void node_class_add(struct mock *m, const char *class, const char *name)
{
	make_dirs(mock_printf(m, "%s/class/%s/%s", m->sysfs, class, name));
	make_file(mock_printf(m, "%s/class/%s/%s/uevent", m->sysfs, class, name), "", 0);
}

START_TEST(a_node_has_links_and_access)
{
	struct mock *m =
		node_tree_new("[device gpu]\nName=" CARD "\nDriver=vfio-pci\nAccess=qemu:kvm:0660\n");
	const char *device = device_at(m, CARD, 7, "vfio-pci");
	struct enforcer_result r = group_node_run(m, "7");

	ck_assert_str_eq(r.out, "DRIVER_OVERRIDE_NODE_OWNER=qemu\nDRIVER_OVERRIDE_NODE_GROUP=kvm\n"
				"DRIVER_OVERRIDE_NODE_MODE=0660\nDRIVER_OVERRIDE_NODE_LINKS=" BY_RULE
				"gpu " BY_RULE "gpu-pci-" CARD "\n");
	r = cdev_run(m, device, "vfio0");
	ck_assert_str_eq(links(m, &r), BY_RULE "gpu.cdev " BY_RULE "gpu-pci-" CARD ".cdev");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_NODE_OWNER"), "qemu");
	mock_free(m);
}
END_TEST

START_TEST(parts_of_access_may_be_empty)
{
	struct mock *m = node_tree_new("[device gpu]\nName=" CARD "\nDriver=vfio-pci\nAccess=:kvm:\n");
	struct enforcer_result r;

	(void)device_at(m, CARD, 7, "vfio-pci");
	r = group_node_run(m, "7");
	ck_assert_msg(startswith(r.out, "DRIVER_OVERRIDE_NODE_GROUP=kvm\nDRIVER_OVERRIDE_NODE_LINKS="), "%s",
		      r.out);
	mock_free(m);
}
END_TEST

START_TEST(a_group_without_an_iommu_has_them_too)
{
	struct mock *m = node_tree_new("[device gpu]\nName=" CARD "\nDriver=vfio-pci\n");
	struct enforcer_result r;

	(void)device_at(m, CARD, 0, "vfio-pci");
	r = group_node_run(m, "noiommu-0");
	ck_assert_str_eq(links(m, &r), BY_RULE "gpu " BY_RULE "gpu-pci-" CARD);
	mock_free(m);
}
END_TEST

START_TEST(a_uio_node_has_access_and_no_links)
{
	struct mock *m =
		node_tree_new("[device nic]\nName=" CARD "\nDriver=uio_pci_generic\nAccess=dpdk::0600\n");
	const char *device = device_at(m, CARD, 7, "uio_pci_generic");
	struct enforcer_result r = node_run(m, "uio", mock_printf(m, "%s/uio/uio0", device));

	ck_assert_str_eq(r.out, "DRIVER_OVERRIDE_NODE_OWNER=dpdk\nDRIVER_OVERRIDE_NODE_MODE=0600\n");
	mock_free(m);
}
END_TEST

START_TEST(a_device_that_is_not_as_decided_has_nothing)
{
	struct mock *m = node_tree_new("[device gpu]\nName=" CARD "\nDriver=vfio-pci\nAccess=qemu::\n"
				       "[device other]\nName=" TWIN "\nDriver=none\nAccess=qemu::\n");
	struct enforcer_result r;

	(void)device_at(m, CARD, 7, "e1000e");
	(void)device_at(m, TWIN, 8, "vfio-pci");
	(void)device_at(m, "0000:00:05.0", 9, "vfio-pci");
	for (const char *const *group = (const char *const[]){ "7", "8", "9", "10", NULL }; *group; group++) {
		r = group_node_run(m, *group);
		ck_assert_str_eq(r.out, "");
		ck_assert_int_eq(r.status, 0);
	}
	r = node_run(m, "net", "/devices/pci0000:00/" CARD "/net/eth0");
	ck_assert_str_eq(r.out, "");
	mock_free(m);
}
END_TEST

START_TEST(several_devices_of_a_rule_have_names_of_their_own)
{
	struct mock *m = node_tree_new("[device nics]\nId=8086:10d3\nDriver=vfio-pci\n");
	const char *card = device_at(m, CARD, 7, "vfio-pci");
	struct enforcer_result r = group_node_run(m, "7");

	ck_assert_str_eq(links(m, &r), BY_RULE "nics " BY_RULE "nics-pci-" CARD);
	(void)device_at(m, TWIN, 8, "vfio-pci");
	r = group_node_run(m, "7");
	ck_assert_str_eq(links(m, &r), BY_RULE "nics-pci-" CARD);
	r = group_node_run(m, "8");
	ck_assert_str_eq(links(m, &r), BY_RULE "nics-pci-" TWIN);
	r = cdev_run(m, card, "vfio0");
	ck_assert_str_eq(links(m, &r), BY_RULE "nics-pci-" CARD ".cdev");
	mock_free(m);
}
END_TEST

/* The first has the bare label until the second comes. */
START_TEST(a_label_that_is_not_clear_any_more_is_given_up)
{
	struct mock *m = node_tree_new("[device nics]\nId=8086:10d3\nDriver=vfio-pci\n");
	const char *card = device_at(m, CARD, 7, "vfio-pci");

	node_class_add(m, "vfio", "7");
	node_class_add(m, "vfio", "8");
	node_class_add(m, "vfio-dev", "vfio0");
	make_dirs(mock_printf(m, "%s/../dev/vfio/by-rule", m->sysfs));
	ck_assert_int_eq(symlink("../7", mock_printf(m, "%s/../dev/vfio/by-rule/nics", m->sysfs)), 0);
	ck_assert_int_eq(
		symlink("../devices/vfio0", mock_printf(m, "%s/../dev/vfio/by-rule/nics.cdev", m->sysfs)), 0);
	(void)group_node_run(m, "7");
	ck_assert_str_eq(node_uevent(m, "vfio", "7"), "");
	(void)device_at(m, TWIN, 8, "vfio-pci");
	(void)group_node_run(m, "8");
	ck_assert_str_eq(node_uevent(m, "vfio", "7"), "change");
	ck_assert_str_eq(node_uevent(m, "vfio", "8"), "");
	(void)cdev_run(m, "/devices/pci0000:00/" TWIN, "vfio1");
	ck_assert_str_eq(node_uevent(m, "vfio-dev", "vfio0"), "change");
	/* Its own event asks for no further one. */
	node_class_add(m, "vfio", "7");
	(void)group_node_run(m, "7");
	ck_assert_str_eq(node_uevent(m, "vfio", "7"), "");
	ck_assert_ptr_nonnull(card);
	mock_free(m);
}
END_TEST

START_TEST(members_of_one_group_share_its_label)
{
	struct mock *m = node_tree_new("[device gpu]\nName=0000:00:03.*\nDriver=vfio-pci\n");
	const char *card = device_at(m, CARD, 7, "vfio-pci");
	struct enforcer_result r;

	(void)device_at(m, "0000:00:03.1", 7, "vfio-pci");
	r = group_node_run(m, "7");
	ck_assert_ptr_nonnull(strstr(r.out, "=" BY_RULE "gpu "));
	ck_assert_ptr_nonnull(strstr(r.out, BY_RULE "gpu-pci-0000:00:03.1"));
	r = cdev_run(m, card, "vfio0");
	ck_assert_str_eq(links(m, &r), BY_RULE "gpu-pci-" CARD ".cdev");
	mock_free(m);
}
END_TEST

START_TEST(a_companion_goes_by_its_own_name_only)
{
	struct mock *m =
		node_tree_new("[device gpu]\nName=" CARD "\nDriver=vfio-pci\nGroup=vfio\nAccess=qemu::\n");
	const char *card = device_at(m, CARD, 7, "vfio-pci"),
		   *sound = device_at(m, "0000:00:03.1", 7, "vfio-pci");
	struct enforcer_result r = cdev_run(m, card, "vfio0");

	ck_assert_str_eq(links(m, &r), BY_RULE "gpu.cdev " BY_RULE "gpu-pci-" CARD ".cdev");
	r = cdev_run(m, sound, "vfio1");
	ck_assert_str_eq(links(m, &r), BY_RULE "gpu-pci-0000:00:03.1.cdev");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_NODE_OWNER"), "qemu");
	mock_free(m);
}
END_TEST

START_TEST(the_first_rule_with_access_counts_for_a_group)
{
	struct mock *m = node_tree_new("[device a]\nName=0000:00:03.1\nDriver=vfio-pci\n"
				       "[device b]\nName=0000:00:03.2\nDriver=vfio-pci\nAccess=second::\n"
				       "[device c]\nName=" CARD "\nDriver=vfio-pci\nAccess=third::\n");
	struct enforcer_result r;

	for (unsigned i = 0; i < 3; i++)
		(void)device_at(m, mock_printf(m, "0000:00:03.%u", i), 7, "vfio-pci");
	r = group_node_run(m, "7");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_NODE_OWNER"), "second");
	ck_assert(strstr(r.out, BY_RULE "a ") && strstr(r.out, BY_RULE "b ") && strstr(r.out, BY_RULE "c "));
	mock_free(m);
}
END_TEST

START_TEST(any_label_can_be_a_link)
{
	struct mock *m = node_tree_new("[device my gpu/1]\nName=" CARD "\nDriver=vfio-pci\n");
	struct enforcer_result r;

	(void)device_at(m, CARD, 7, "vfio-pci");
	r = group_node_run(m, "7");
	ck_assert_str_eq(links(m, &r), BY_RULE "my\\x20gpu\\x2f1 " BY_RULE "my\\x20gpu\\x2f1-pci-" CARD);
	mock_free(m);
}
END_TEST

/* What its group's node has been told after an event of the device. */
static const char *node_uevent_after(struct mock *m, const char *device, const char *action)
{
	const char *env[] = { "SUBSYSTEM=pci", mock_printf(m, "DEVPATH=%s", device),
			      mock_printf(m, "ACTION=%s", action), NULL };

	node_class_add(m, "vfio", "7");
	ck_assert_int_eq(enforcer_event_env(m, env).status, 0);
	return node_uevent(m, "vfio", "7");
}

/* A member that comes to VFIO later has no event of the group's node. */
START_TEST(a_bound_device_has_its_groups_node_announced)
{
	struct mock *m = node_tree_new("[device gpu]\nName=" CARD "\nDriver=vfio-pci\n");
	const char *device = device_at(m, CARD, 7, "vfio-pci");

	(void)device_at(m, "0000:00:03.1", 7, "e1000e");
	ck_assert_str_eq(node_uevent_after(m, device, "change"), "");
	ck_assert_str_eq(node_uevent_after(m, device, "bind"), "change");
	ck_assert_str_eq(node_uevent_after(m, device, "unbind"), "change");
	mock_free(m);
}
END_TEST

/* The node of a device that is alone in its group comes and goes with the driver, and has events of its own.
 */
START_TEST(a_device_alone_in_its_group_has_no_node_announced)
{
	struct mock *m = node_tree_new("[device gpu]\nName=" CARD "\nDriver=vfio-pci\n");
	const char *device = device_at(m, CARD, 7, "vfio-pci");

	ck_assert_str_eq(node_uevent_after(m, device, "bind"), "");
	ck_assert_str_eq(node_uevent_after(m, device, "unbind"), "");
	mock_free(m);
}
END_TEST

/* The rule before it asks for what does not come. */
START_TEST(a_node_keeps_what_it_has_when_the_time_is_over)
{
	const char *device;
	struct mock *m = gpu_new(&device);
	struct enforcer_result r;

	(void)mock_policy(m, MOCK_ETC, "05-x.conf", "[device x]\nAttr.label=x\nDriver=none\n");
	mock_attr_hangs(m, device, "label");
	r = node_changed(m);
	ck_assert_str_eq(r.out, "");
	ck_assert_int_eq(r.status, 0);
	ck_assert_msg(strstr(r.err, "leaving its links and Access= as they are"), "%s", r.err);
	mock_free(m);
}
END_TEST

/* It has nothing to keep, and its device's next event may be far away. */
START_TEST(a_new_node_is_announced_again_when_the_time_is_over)
{
	const char *device;
	struct mock *m = gpu_new(&device);

	(void)mock_policy(m, MOCK_ETC, "05-x.conf", "[device x]\nAttr.label=x\nDriver=none\n");
	mock_attr_hangs(m, device, "label");
	node_class_add(m, "vfio", "7");
	ck_assert_str_eq(node_changed(m).out, "");
	ck_assert_str_eq(node_uevent(m, "vfio", "7"), "");
	ck_assert_str_eq(group_node_run(m, "7").out, "");
	ck_assert_str_eq(node_uevent(m, "vfio", "7"), "change");
	mock_free(m);
}
END_TEST

START_TEST(a_node_keeps_what_it_has_while_an_attribute_cannot_be_read)
{
	const char *device;
	struct mock *m = gpu_new(&device);
	struct enforcer_result r;

	(void)mock_policy(m, MOCK_ETC, "05-x.conf", "[device x]\nAttr.label=x\nDriver=none\n");
	mock_attr_link(m, device, "label", "label");
	r = node_changed(m);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.out, GPU_LINKS "\n");
	mock_free(m);
}
END_TEST

START_TEST(a_node_keeps_what_it_has_while_its_driver_cannot_be_read)
{
	const char *device;
	struct mock *m = gpu_new(&device);
	struct enforcer_result r;
	char target[300];

	/* A name that does not fit. */
	memset(target, 'x', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	ck_assert_int_eq(unlink(mock_path(m, device, "driver")), 0);
	mock_attr_link(m, device, "driver", target);
	r = node_changed(m);
	ck_assert_str_eq(r.out, GPU_LINKS "\n");
	mock_free(m);
}
END_TEST

START_TEST(a_node_keeps_what_it_has_while_a_policy_file_has_no_rules)
{
	const char *device, *path;
	struct mock *m = gpu_new(&device);
	struct enforcer_result r;
	char copy[PATH_MAX];

	path = mock_policy(m, MOCK_ETC, "10-a.conf", GPU_RULE);
	ck_assert_int_eq(chmod(path, 0666), 0);
	ck_assert_int_eq(policy_copy_path(m->state, path, copy, sizeof(copy)), 0);
	ck_assert_int_eq(unlink(copy), 0);
	r = node_changed(m);
	ck_assert_str_eq(r.out, GPU_LINKS "\n");
	/* Another rule, which decides without it, adds its links. */
	(void)mock_policy(m, MOCK_ETC, "20-b.conf",
			  "[device b]\nName=" CARD "\nDriver=vfio-pci\nAccess=b::\n");
	r = node_changed(m);
	ck_assert_str_eq(r.out, LINKS BY_RULE "b " BY_RULE "b-pci-" CARD " " BY_RULE "gpu " BY_RULE
					      "gpu-pci-" CARD "\n");
	/* A later file does not count for a device that an earlier one decides about. */
	ck_assert_int_eq(chmod(mock_policy(m, MOCK_ETC, "10-a.conf", GPU_RULE), 0644), 0);
	ck_assert_int_eq(chmod(mock_policy(m, MOCK_ETC, "20-b.conf", "[device b]\n"), 0666), 0);
	(void)mock_policy(m, MOCK_ETC, "10-a.conf", "[device gpu]\nName=" CARD "\nDriver=vfio-pci\n");
	r = node_changed(m);
	ck_assert_str_eq(r.out, OWNER "-\n" GROUP "-\n" MODE "-\n" GPU_LINKS "\n");
	mock_free(m);
}
END_TEST

START_TEST(a_node_that_has_gone_is_left_to_its_remove_event)
{
	struct mock *m = node_tree_new(GPU_RULE);
	struct enforcer_result r = node_changed(m);

	ck_assert_str_eq(r.out, "");
	ck_assert_int_eq(r.status, 0);
	mock_free(m);
}
END_TEST

START_TEST(what_a_rule_gives_no_longer_is_taken_back)
{
	const char *device;
	struct mock *m = gpu_new(&device);
	struct enforcer_result r;

	(void)mock_policy(m, MOCK_ETC, "10-a.conf",
			  "[device gpu]\nName=" CARD "\nDriver=vfio-pci\nAccess=:vfio:\n");
	r = node_changed(m);
	ck_assert_str_eq(r.out, OWNER "-\n" GROUP "vfio\n" MODE "-\n" GPU_LINKS "\n");
	(void)mock_policy(m, MOCK_ETC, "10-a.conf", "[device gpu]\nName=" CARD "\nDriver=vfio-pci\n");
	r = node_changed(m);
	ck_assert_str_eq(r.out, OWNER "-\n" GROUP "-\n" MODE "-\n" GPU_LINKS "\n");
	(void)mock_policy(m, MOCK_ETC, "10-a.conf", "[device other]\nName=" TWIN "\nDriver=none\n");
	r = node_changed(m);
	ck_assert_str_eq(r.out, OWNER "-\n" GROUP "-\n" MODE "-\n" LINKS "-\n");
	mock_free(m);
}
END_TEST

/* Each property that the program prints is kept before it, and "-" is seen after it. */
START_TEST(the_rules_keep_each_property_and_know_the_mark)
{
	static const char *const keys[] = { OWNER, GROUP, MODE, LINKS };
	struct mock *m = mock_new();
	const char *text = mock_read(m, getenv("NODE_RULES"));
	const char *program = strstr(text, "\nIMPORT{program}=\"driver-override node\"\n");

	ck_assert_ptr_nonnull(program);
	for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
		const char *key = mock_printf(m, "%.*s", (int)strlen(keys[i]) - 1, keys[i]);
		const char *kept =
			strstr(text, mock_printf(m, "\nACTION!=\"add\", IMPORT{db}=\"%s\"\n", key));
		const char *gone = strstr(text, mock_printf(m, "\nENV{%s}==\"-\", ", key));
		const char *used = strstr(text, mock_printf(m, "\nENV{%s}==\"?*\", ", key));

		ck_assert_msg(kept && kept < program && gone && program < gone && used && gone < used, "%s",
			      key);
		ck_assert_msg(strncmp(strchr(gone + 1, '\n') - 4, "}=\"\"", 4) == 0, "%s stays \"-\"", key);
	}
	mock_free(m);
}
END_TEST

START_TEST(usage_is_checked)
{
	struct mock *m = node_tree_new("");

	ck_assert_int_eq(enforcer_run(m, "node", "x", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "node", NULL).status, 2);
	mock_free(m);
}
END_TEST

SUITE_MAIN("node", 60, a_node_has_links_and_access, parts_of_access_may_be_empty,
	   a_group_without_an_iommu_has_them_too, a_uio_node_has_access_and_no_links,
	   a_device_that_is_not_as_decided_has_nothing, several_devices_of_a_rule_have_names_of_their_own,
	   a_label_that_is_not_clear_any_more_is_given_up, members_of_one_group_share_its_label,
	   a_companion_goes_by_its_own_name_only, the_first_rule_with_access_counts_for_a_group,
	   any_label_can_be_a_link, a_bound_device_has_its_groups_node_announced,
	   a_device_alone_in_its_group_has_no_node_announced,
	   a_new_node_is_announced_again_when_the_time_is_over,
	   a_node_keeps_what_it_has_when_the_time_is_over,
	   a_node_keeps_what_it_has_while_an_attribute_cannot_be_read,
	   a_node_keeps_what_it_has_while_its_driver_cannot_be_read,
	   a_node_keeps_what_it_has_while_a_policy_file_has_no_rules,
	   a_node_that_has_gone_is_left_to_its_remove_event, what_a_rule_gives_no_longer_is_taken_back,
	   the_rules_keep_each_property_and_know_the_mark, usage_is_checked)
