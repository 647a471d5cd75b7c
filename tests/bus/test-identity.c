/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What SetOverride writes of what a device is, and rules for devices that are not there. */
#include "base/text.h"
#include "tests/bus/harness.h"

#include <stddef.h>
#include <string.h>

#define CARD_FILE "10-set-pci-" CARD ".conf"
#define ABSENT "0000:00:09.0"
#define ABSENT_FILE "10-set-pci-" ABSENT ".conf"

static struct harness *begin(void)
{
	struct harness *h = harness_new();

	three_devices(h);
	service_start(h);
	return h;
}

static const char *text_of(struct harness *h, const char *name)
{
	const char *text = policy_text(h, MOCK_ETC, name);

	ck_assert_ptr_nonnull(text);
	return text;
}

START_TEST(another_card_in_the_place_is_left_alone)
{
	struct harness *h = begin();

	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	mock_remove(h->m, PATH_OF(CARD));
	tell(h, "remove", "pci", CARD);
	settle(h);
	mock_pci_add(h->m, CARD, NULL, 0x10de, 0x1b80, 0x030000);
	tell(h, "add", "pci", CARD);
	settle(h);
	ck_assert_str_eq(property(h, "pci", CARD, "Decision"), "");
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "unmanaged");

	/* Set for this one, the rule is about this one. */
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "enforced");
	ck_assert_ptr_nonnull(strstr(text_of(h, CARD_FILE), "\nId=10de:1b80:"));
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	harness_free(h);
}
END_TEST

START_TEST(rule_is_for_any_device_on_request)
{
	struct harness *h = begin();

	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "any-device", "b", 1, NULL), "enforced");
	ck_assert_ptr_nonnull(strstr(text_of(h, CARD_FILE), "\nName=" CARD "\nDriver=none\n"));
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "by", "s", "path", NULL), "enforced");
	ck_assert_ptr_nonnull(
		strstr(text_of(h, "10-set-pci-path-pci0000:00\\x2f03.0.conf"), "\nId=8086:10d3:1af4:1100\n"));
	harness_free(h);
}
END_TEST

START_TEST(modalias_of_any_length_can_be_written)
{
	static const char begins[] = "of:Nx*T(null)C";
	struct harness *h = harness_new();
	char modalias[400];

	memset(modalias, 'y', sizeof(modalias));
	memcpy(modalias, begins, strlen(begins));
	modalias[sizeof(modalias) - 1] = '\0';
	(void)mock_platform_add(h->m, "foo.0", modalias);
	(void)mock_platform_add(h->m, "foo.1", "acpi:PNP0C0D: [x]:");
	service_start(h);
	ck_assert_str_eq(set(h, "platform", "foo.0", "none"), "enforced");
	ck_assert_ptr_nonnull(
		strstr(text_of(h, "10-set-platform-foo.0.conf"), "\nModalias=of:Nx[*]T(null)Cyyyyyyyy"));
	ck_assert_ptr_nonnull(strstr(text_of(h, "10-set-platform-foo.0.conf"), "yyy*\nDriver=none\n"));
	ck_assert_str_eq(set(h, "platform", "foo.1", "none"), "enforced");
	ck_assert_ptr_nonnull(strstr(text_of(h, "10-set-platform-foo.1.conf"),
				     "\nModalias=acpi:PNP0C0D:[[:blank:]][[]x]:\n"));
	ck_assert_str_eq(property(h, "platform", "foo.0", "State"), "enforced");
	ck_assert_str_eq(property(h, "platform", "foo.1", "State"), "enforced");
	harness_free(h);
}
END_TEST

START_TEST(absent_device_gets_a_rule_that_waits_for_it)
{
	struct harness *h = begin();

	ck_assert_str_eq(set(h, "pci", ABSENT, "none"), "!NoSuchDevice");
	ck_assert_str_eq(set_with(h, "pci", ABSENT, "none", "absent", "b", 1, "dry-run", "b", 1, NULL), "");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_str_eq(set_with(h, "pci", ABSENT, "none", "absent", "b", 1, NULL), "");
	ck_assert_ptr_nonnull(strstr(text_of(h, ABSENT_FILE), "\nName=" ABSENT "\nDriver=none\n"));
	ck_assert_uint_eq(calls(h, ""), 0);
	(void)mock_pci_add(h->m, ABSENT, NULL, 0x10de, 0x1b80, 0x030000);
	tell(h, "add", "pci", ABSENT);
	wait_property(h, "pci", ABSENT, "State", "enforced");
	ck_assert_str_eq(property(h, "pci", ABSENT, "Decision"), "none");

	/* Of a device that is there it says nothing else than without the option. */
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "absent", "b", 1, NULL), "enforced");
	ck_assert_ptr_nonnull(strstr(text_of(h, CARD_FILE), "\nId="));
	harness_free(h);
}
END_TEST

START_TEST(rule_of_an_absent_device_can_be_removed)
{
	struct harness *h = begin();

	ck_assert_str_eq(set_with(h, "pci", ABSENT, "none", "absent", "b", 1, NULL), "");
	ck_assert_str_eq(clear(h, "pci", ABSENT), "!NoSuchDevice");
	ck_assert_str_eq(clear_with(h, "pci", ABSENT, "absent", "b", 1, NULL), "");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_str_eq(clear_with(h, "pci", ABSENT, "absent", "b", 1, NULL), "");
	harness_free(h);
}
END_TEST

START_TEST(what_an_absent_device_cannot_have_is_refused)
{
	struct harness *h = begin();
	sd_bus *user = connect_as(h, SOMEBODY);

	ck_assert_str_eq(set_with(h, "pci", "../x", "none", "absent", "b", 1, NULL), "!NoSuchDevice");
	ck_assert_str_eq(set_with(h, "..", ABSENT, "none", "absent", "b", 1, NULL), "!NoSuchDevice");
	ck_assert_str_eq(set_with(h, "pci", "03:00.0", "none", "absent", "b", 1, NULL), "!Invalid");
	ck_assert_str_eq(set_with(h, "pci", ABSENT, "none", "absent", "b", 1, "by", "s", "path", NULL),
			 "!Invalid");
	ck_assert_str_eq(outcome(h, call(h, "SetOverride", "sssa{sv}", "pci", ABSENT, "none", 2, "absent",
					 "b", 1, "try", "t", UINT64_C(60000000))),
			 "!Invalid");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci",
					    ABSENT, "none", 1, "absent", "b", 1)),
			 "!AccessDenied");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	(void)sd_bus_flush_close_unref(user);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-identity", 300, another_card_in_the_place_is_left_alone, rule_is_for_any_device_on_request,
	   modalias_of_any_length_can_be_written, absent_device_gets_a_rule_that_waits_for_it,
	   rule_of_an_absent_device_can_be_removed, what_an_absent_device_cannot_have_is_refused)
