/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SetOverride, ClearOverride and Apply as root: what they do, and what is left when something fails. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CARD_FILE "10-set-pci-" CARD ".conf"
#define RUN_FILE "05-run-pci-" CARD ".conf"

static struct harness *begin(void)
{
	struct harness *h = harness_new();

	three_devices(h);
	service_start(h);
	return h;
}

static const char * override(struct harness *h, const char *devpath)
{
	return mock_override(h->m, devpath);
}

START_TEST(set_writes_one_file_and_the_device_is_moved)
{
	struct harness *h = begin();
	const char *text;
	struct stat st;

	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	text = policy_text(h, MOCK_ETC, CARD_FILE);
	ck_assert_ptr_nonnull(text);
	ck_assert_ptr_nonnull(
		strstr(text, "\nBus=pci\nName=" CARD "\nId=8086:10d3:1af4:1100\nDriver=vfio-pci\n"));
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	ck_assert_int_eq(stat(mock_printf(h->m, "%s/" CARD_FILE, h->m->conf[MOCK_ETC]), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0644);
	ck_assert_str_eq(override(h, "/devices/pci0000:00/" CARD), "vfio-pci\n");
	/* Properties are up to date when the call is answered. */
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "enforced");
	ck_assert_str_eq(manager_property(h, "Rules", "u"), "1");
	ck_assert_str_eq(manager_property(h, "Generation", "t"), "2");
	/* There was a dry run before. */
	ck_assert_uint_eq(calls(h, "pci/" CARD " dry-run"), 1);

	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	ck_assert_str_eq(manager_property(h, "Generation", "t"), "2");
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	harness_free(h);
}
END_TEST

START_TEST(clear_gives_the_device_back)
{
	struct harness *h = begin();

	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	ck_assert_str_eq(clear(h, "pci", CARD), "unmanaged");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	ck_assert_str_eq(property(h, "pci", CARD, "Override"), "");
	/* There is nothing to clear any more, which is what the caller wants. */
	ck_assert_str_eq(clear(h, "pci", CARD), "unmanaged");
	harness_free(h);
}
END_TEST

START_TEST(options_are_written_to_the_file)
{
	struct harness *h = begin();
	const char *text;

	ck_assert_str_eq(set_with(h, "pci", CARD, "vfio-pci", "runtime", "b", 1, "rebind", "s", "force",
				  "group", "s", "leave", "module", "s", "vfio_pci", NULL),
			 "enforced");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	text = policy_text(h, MOCK_RUN, RUN_FILE);
	ck_assert_ptr_nonnull(text);
	ck_assert_ptr_nonnull(strstr(text, "\nGroup=leave\nRebind=force\nModule=vfio_pci\n"));
	ck_assert_str_eq(clear(h, "pci", CARD), "!Shadowed"); /* the file is of the other kind */
	ck_assert_str_eq(clear_with(h, "pci", CARD, "runtime", "b", 1, NULL), "unmanaged");
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	harness_free(h);
}
END_TEST

START_TEST(devices_are_named_by_path_and_id_as_well)
{
	struct harness *h = begin();
	const char *text, *twin;

	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "by", "s", "path", NULL), "enforced");
	text = policy_text(h, MOCK_ETC, "10-set-pci-path-pci0000:00\\x2f03.0.conf");
	ck_assert_ptr_nonnull(text);
	ck_assert_ptr_nonnull(strstr(text, "\nPath=pci0000:00/03.0\n"));
	/* The newer rule replaces it. */
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	ck_assert_ptr_nonnull(policy_text(h, MOCK_ETC, CARD_FILE));
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "by", "s", "path", NULL), "enforced");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	ck_assert_str_eq(clear(h, "pci", CARD), "unmanaged");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);

	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "by", "s", "id", NULL), "enforced");
	text = policy_text(h, MOCK_ETC, "10-set-pci-id-8086:10d3:1af4:1100.conf");
	ck_assert_ptr_nonnull(text);
	ck_assert_ptr_nonnull(strstr(text, "\nId=8086:10d3:1af4:1100\n"));
	ck_assert_str_eq(clear_with(h, "pci", CARD, "by", "s", "id", NULL), "unmanaged");

	twin = mock_pci_add(h->m, "0000:00:05.0", NULL, 0x8086, 0x10d3, 0x020000);
	tell(h, "add", "pci", "0000:00:05.0");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "by", "s", "id", NULL), "!Invalid");
	ck_assert_ptr_nonnull(strstr(h->error.message, "0000:00:05.0"));
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "by", "s", "id", "force", "b", 1, NULL),
			 "enforced");
	/* The twin gets the same driver. */
	wait_property(h, "pci", "0000:00:05.0", "State", "enforced");
	ck_assert_str_eq(override(h, twin), "none\n");
	ck_assert_str_eq(clear(h, "pci", CARD), "!Invalid");
	ck_assert_str_eq(clear_with(h, "pci", CARD, "force", "b", 1, NULL), "unmanaged");
	wait_property(h, "pci", "0000:00:05.0", "State", "unmanaged");

	ck_assert_str_eq(set_with(h, "platform", "foo.0", "none", "by", "s", "path", NULL), "!Invalid");
	ck_assert_str_eq(set_with(h, "platform", "foo.0", "none", "by", "s", "id", NULL), "!Invalid");
	harness_free(h);
}
END_TEST

START_TEST(a_persons_earlier_rule_is_named_and_nothing_is_written)
{
	struct harness *h = harness_new();

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "01-mine.conf", "# mine\n[device mine]\nClass=02\nDriver=none\n");
	service_start(h);
	wait_property(h, "pci", CARD, "State", "enforced");
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "!Shadowed");
	ck_assert_ptr_nonnull(strstr(h->error.message, "/01-mine.conf:2 "));
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	ck_assert_str_eq(property(h, "pci", CARD, "Override"), "none");
	/* ClearOverride does not remove what a person wrote. */
	ck_assert_str_eq(clear(h, "pci", CARD), "!Shadowed");
	ck_assert_ptr_nonnull(strstr(h->error.message, "/01-mine.conf:2 "));
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	/* A person's later rule is no obstacle. */
	ck_assert_int_eq(rename(mock_printf(h->m, "%s/01-mine.conf", h->m->conf[MOCK_ETC]),
				mock_printf(h->m, "%s/50-mine.conf", h->m->conf[MOCK_ETC])),
			 0);
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	ck_assert_str_eq(clear(h, "pci", CARD), "enforced"); /* by the person's rule */
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "");
	harness_free(h);
}
END_TEST

START_TEST(a_dry_run_changes_nothing)
{
	struct harness *h = begin();

	ck_assert_str_eq(set_with(h, "pci", CARD, "vfio-pci", "dry-run", "b", 1, NULL), "enforced");
	ck_assert_str_eq(set_with(h, "pci", CARD, "nodriver", "dry-run", "b", 1, NULL), "!NoSuchDriver");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	ck_assert_uint_eq(calls(h, ""), calls(h, "dry-run"));
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	ck_assert_str_eq(clear_with(h, "pci", CARD, "dry-run", "b", 1, NULL), "unmanaged");
	ck_assert_str_eq(apply_with(h, "pci", CARD, "dry-run", "b", 1, NULL), "enforced");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	harness_free(h);
}
END_TEST

/* Each call has one while it is being worked on; it goes soon after the answer. */
START_TEST(no_call_leaves_a_staging_directory)
{
	struct harness *h = begin();

	ck_assert_str_eq(set_with(h, "pci", CARD, "vfio-pci", "dry-run", "b", 1, NULL), "enforced");
	WAIT_UNTIL(staging_dirs(h) == 0);
	ck_assert_str_eq(set_with(h, "pci", CARD, "vfio-pci", "group", "s", "nodriver", NULL),
			 "!NoSuchDriver");
	WAIT_UNTIL(staging_dirs(h) == 0);
	ck_assert_str_eq(set(h, "pci", CARD, "nodriver"), "!NoSuchDriver");
	WAIT_UNTIL(staging_dirs(h) == 0);
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	WAIT_UNTIL(staging_dirs(h) == 0);
	ck_assert_str_eq(clear(h, "pci", CARD), "unmanaged");
	WAIT_UNTIL(staging_dirs(h) == 0);
	(void)mock_policy(h->m, MOCK_ETC, "01-mine.conf", "[device mine]\nClass=02\nDriver=none\n");
	wait_property(h, "pci", CARD, "Decision", "none");
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "!Shadowed");
	WAIT_UNTIL(staging_dirs(h) == 0);
	harness_free(h);
}
END_TEST

START_TEST(a_driver_for_the_group_must_exist)
{
	struct harness *h = begin();
	unsigned before;

	mock_unbind(h->m, "/devices/platform/foo.0");
	tell(h, "unbind", "platform", "foo.0");
	wait_property(h, "platform", "foo.0", "Driver", "");
	ck_assert_str_eq(set_with(h, "pci", CARD, "vfio-pci", "group", "s", "nodriver", NULL),
			 "!NoSuchDriver");
	ck_assert_str_eq(set_with(h, "platform", "foo.0", "none", "group", "s", "nodriver", NULL),
			 "!NoSuchDriver");
	ck_assert_str_eq(
		set_with(h, "pci", CARD, "vfio-pci", "group", "s", "nodriver", "dry-run", "b", 1, NULL),
		"!NoSuchDriver");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	ck_assert_str_eq(set_with(h, "pci", CARD, "vfio-pci", "group", "s", "nvme", NULL), "enforced");
	/* One that only a module has is looked for, and not twice if it is the device's driver, too. */
	faults(h, "pci/" CARD " module new\n");
	before = calls(h, "");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "group", "s", "new", "dry-run", "b", 1, NULL),
			 "enforced");
	ck_assert_uint_eq(calls(h, ""), before + 2);
	ck_assert_str_eq(set_with(h, "pci", CARD, "new", "group", "s", "new", "dry-run", "b", 1, NULL),
			 "enforced");
	ck_assert_uint_eq(calls(h, ""), before + 3);
	harness_free(h);
}
END_TEST

START_TEST(a_change_whose_dry_run_fails_is_not_written)
{
	struct harness *h = begin();

	ck_assert_str_eq(set(h, "pci", CARD, "nodriver"), "!NoSuchDriver");
	faults(h, "pci/" CARD " InUse eth0 has an address\n");
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "!InUse");
	ck_assert_str_eq(h->error.message, "eth0 has an address");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	ck_assert_uint_eq(calls(h, ""), calls(h, "dry-run"));
	ck_assert_str_eq(set_with(h, "pci", CARD, "vfio-pci", "force", "b", 1, NULL), "enforced");
	ck_assert_uint_eq(calls(h, "overwrite force"), 2);
	faults(h, "pci/" CARD " silent\n");
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "!Failed");
	harness_free(h);
}
END_TEST

START_TEST(a_change_whose_rebind_fails_is_undone)
{
	struct harness *h = begin();

	faults(h, "pci/" CARD " Failed binding vfio-pci: No such device\n");
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "!Failed");
	ck_assert_str_eq(h->error.message, "binding vfio-pci: No such device");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_str_eq(manager_property(h, "Rules", "u"), "0");
	faults(h, "");
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	faults(h, "pci/" CARD " Failed it is stubborn\n");
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "!Failed");
	ck_assert_ptr_nonnull(strstr(policy_text(h, MOCK_ETC, CARD_FILE), "\nDriver=vfio-pci\n"));
	ck_assert_str_eq(clear(h, "pci", CARD), "!Failed");
	ck_assert_ptr_nonnull(strstr(policy_text(h, MOCK_ETC, CARD_FILE), "\nDriver=vfio-pci\n"));
	harness_free(h);
}
END_TEST

/* A dry run could refuse nothing. If the rebind fails all the same, the change is undone. */
START_TEST(none_without_a_driver_needs_no_dry_run)
{
	struct harness *h = harness_new();

	three_devices(h);
	mock_unbind(h->m, "/devices/pci0000:00/" CARD);
	service_start(h);
	faults(h, "pci/" CARD " Failed it is stubborn\n");
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "!Failed");
	ck_assert_uint_eq(calls(h, "pci/" CARD), 1);
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_str_eq(manager_property(h, "Rules", "u"), "0");
	faults(h, "");
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "enforced");
	ck_assert_uint_eq(calls(h, "dry-run"), 0);
	ck_assert_ptr_nonnull(strstr(policy_text(h, MOCK_ETC, CARD_FILE), "\nDriver=none\n"));
	harness_free(h);
}
END_TEST

START_TEST(a_rule_that_lasts_replaces_one_until_the_next_boot)
{
	struct harness *h = begin();

	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "runtime", "b", 1, NULL), "enforced");
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 1);
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	/* The other way round both are kept, and the one until the next boot comes first. */
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "runtime", "b", 1, NULL), "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	harness_free(h);
}
END_TEST

/* The name of a mount point may be of any bytes, and a long name is cut: the answer is valid text all the
 * same. */
START_TEST(a_reason_that_is_not_utf8_is_escaped)
{
	struct harness *h = begin();
	const char *long_name = "/";

	faults(h, "pci/" CARD " InUse is mounted on /mnt/caf\xe9\n");
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "!InUse");
	ck_assert_str_eq(h->error.message, "is mounted on /mnt/caf\\xe9");
	faults(h, "");
	/* 130 bytes of it are shown; the last one would be half a character. */
	for (unsigned i = 0; i < 80; i++)
		long_name = mock_printf(h->m, "%s\u00e9", long_name);
	ck_assert_str_eq(set(h, "pci", CARD, long_name), "!Invalid");
	harness_free(h);
}
END_TEST

START_TEST(rebind_no_is_policy_without_a_move)
{
	struct harness *h = begin();

	ck_assert_str_eq(set_with(h, "pci", CARD, "vfio-pci", "rebind", "s", "no", NULL), "blocked");
	ck_assert_ptr_nonnull(policy_text(h, MOCK_ETC, CARD_FILE));
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "blocked");
	ck_assert_str_eq(apply_with(h, "pci", CARD, "force", "b", 1, NULL), "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	harness_free(h);
}
END_TEST

START_TEST(a_foreign_override_is_replaced_by_force_only)
{
	struct harness *h = begin();

	mock_attr(h->m, "/devices/pci0000:00/" CARD, "driver_override", "pci-stub\n");
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "!Foreign");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_str_eq(set_with(h, "pci", CARD, "vfio-pci", "force", "b", 1, NULL), "enforced");
	harness_free(h);
}
END_TEST

START_TEST(apply_all_answers_for_each_device)
{
	struct harness *h = begin();
	const char *bus, *name, *state;
	sd_bus_message *m;
	unsigned n = 0;

	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	ck_assert_str_eq(set(h, "platform", "foo.0", "none"), "enforced");
	mock_bind(h->m, "/devices/platform/foo.0", "foo");
	m = call(h, "ApplyAll", "a{sv}", 0);
	ck_assert_ptr_nonnull(m);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "(sss)"), 0);
	while (sd_bus_message_read(m, "(sss)", &bus, &name, &state) > 0) {
		ck_assert_str_eq(state, "enforced");
		n++;
	}
	ck_assert_uint_eq(n, 2);
	(void)sd_bus_message_unref(m);
	wait_property(h, "platform", "foo.0", "Driver", "");
	harness_free(h);
}
END_TEST

START_TEST(invalid_arguments_change_nothing)
{
	static const char *const drivers[] = { "",     " ",  "a/b", "..",     "vfio-pci\nName=x", "x ;y",
					       "x #y", " x", "x ",  "(null)", "dr\xc3\xb6ver" };
	struct harness *h = begin();
	char *long_name = calloc(1, 4097);

	ck_assert_ptr_nonnull(long_name);
	memset(long_name, 'x', 4096);
	for (size_t i = 0; i < ELEMENTSOF(drivers); i++)
		ck_assert_msg(streq(set(h, "pci", CARD, drivers[i]), "!Invalid"), "driver \"%s\": %s",
			      drivers[i], set(h, "pci", CARD, drivers[i]));
	ck_assert_str_eq(set(h, "pci", CARD, long_name), "!Invalid");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "by", "s", "colour", NULL), "!Invalid");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "colour", "s", "red", NULL), "!Invalid");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "rebind", "s", "maybe", NULL), "!Invalid");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "force", "s", "yes", NULL), "!Invalid");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "by", "b", 1, NULL), "!Invalid");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "group", "s", "default", NULL), "!Invalid");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "group", "s", "a\nDriver=b", NULL), "!Invalid");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "module", "s", "-x", NULL), "!Invalid");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "module", "s", long_name, NULL), "!Invalid");
	/* The rest of the line would be a comment. */
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "module", "s", "x ;y", NULL), "!Invalid");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "group", "s", "x ;y", NULL), "!Invalid");
	ck_assert_str_eq(clear_with(h, "pci", CARD, "module", "s", "x", NULL), "!Invalid");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "force", "b", 1, "force", "b", 1, NULL),
			 "!Invalid");
	ck_assert_str_eq(outcome(h, call(h, "SetOverride", "ss", "pci", CARD)), "!InvalidArgs");
	ck_assert_str_eq(outcome(h, call(h, "SetOverride", "sss", "pci", CARD, "none")), "!InvalidArgs");
	ck_assert_str_eq(outcome(h, call(h, "ApplyAll", NULL)), "!InvalidArgs");
	ck_assert_str_eq(outcome(h, call(h, "Destroy", NULL)), "!AccessDenied");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_uint_eq(calls(h, ""), 0);
	free(long_name);
	harness_free(h);
}
END_TEST

START_TEST(device_objects_have_the_methods_too)
{
	struct harness *h = begin();
	const char *path = "/org/driveroverrides1/device/pci/_30000_3a00_3a03_2e0";
	const char *interface = "org.driveroverrides1.Device";

	ck_assert_str_eq(outcome(h, call_on(h, h->bus, path, interface, "SetOverride", "sa{sv}", "none", 0)),
			 "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "");
	mock_bind(h->m, "/devices/pci0000:00/" CARD, "e1000e");
	ck_assert_str_eq(outcome(h, call_on(h, h->bus, path, interface, "Apply", "a{sv}", 0)), "enforced");
	ck_assert_str_eq(outcome(h, call_on(h, h->bus, path, interface, "ClearOverride", "a{sv}", 0)),
			 "unmanaged");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	harness_free(h);
}
END_TEST

START_TEST(odd_names_make_rules_for_that_device_alone)
{
	static const char *const names[] = {
		"a b", "a*", "a?", "a[1]", "ä", "a;b", "#a", "a=b", "a:b", "-a"
	};
	struct harness *h = harness_new();

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		(void)mock_platform_add(h->m, names[i], NULL);
	(void)mock_platform_add(h->m, "aX", NULL);
	service_start(h);
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		ck_assert_msg(streq(set(h, "platform", names[i], "none"), "enforced"), "%s: %s", names[i],
			      h->error.message);
		ck_assert_str_eq(property(h, "platform", "aX", "Decision"), "");
	}
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), ELEMENTSOF(names));
	ck_assert_ptr_nonnull(policy_text(h, MOCK_ETC, "10-set-platform-a\\x20b.conf"));
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		ck_assert_str_eq(clear(h, "platform", names[i]), "unmanaged");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	harness_free(h);
}
END_TEST

/* Even if it leads to a file that SetOverride wrote. */
START_TEST(a_link_under_the_name_of_the_file_is_left_alone)
{
	struct harness *h = begin();
	const char *file = mock_printf(h->m, "%s/" CARD_FILE, h->m->conf[MOCK_ETC]);
	const char *away = mock_printf(h->m, "%s/away", h->m->root);

	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	ck_assert_int_eq(rename(file, away), 0);
	ck_assert_int_eq(symlink(away, file), 0);
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "!PolicyInvalid");
	ck_assert_str_eq(clear(h, "pci", CARD), "!PolicyInvalid");
	ck_assert_ptr_nonnull(strstr(policy_text(h, MOCK_ETC, CARD_FILE), "\nDriver=vfio-pci\n"));
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-change", 570, set_writes_one_file_and_the_device_is_moved, clear_gives_the_device_back,
	   options_are_written_to_the_file, devices_are_named_by_path_and_id_as_well,
	   a_persons_earlier_rule_is_named_and_nothing_is_written, a_dry_run_changes_nothing,
	   no_call_leaves_a_staging_directory, a_driver_for_the_group_must_exist,
	   a_change_whose_dry_run_fails_is_not_written, a_change_whose_rebind_fails_is_undone,
	   none_without_a_driver_needs_no_dry_run, a_rule_that_lasts_replaces_one_until_the_next_boot,
	   a_reason_that_is_not_utf8_is_escaped, rebind_no_is_policy_without_a_move,
	   a_foreign_override_is_replaced_by_force_only, apply_all_answers_for_each_device,
	   invalid_arguments_change_nothing, device_objects_have_the_methods_too,
	   odd_names_make_rules_for_that_device_alone, a_link_under_the_name_of_the_file_is_left_alone)
