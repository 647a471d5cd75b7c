/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Release and ReleaseAll: devices are given back whatever policy says, and stay so. */
#include "base/text.h"
#include "tests/bus/harness.h"

#include <stddef.h>
#include <string.h>

#define CARD_PATH PATH_OF(CARD)

static struct harness *begin(void)
{
	struct harness *h = harness_new();

	three_devices(h);
	mock_policy(h->m, MOCK_ETC, "50-a.conf", "[device card]\nName=" CARD "\nDriver=vfio-pci\n");
	service_start(h);
	wait_property(h, "pci", CARD, "State", "enforced");
	return h;
}

static const char *release_on(struct harness *h, sd_bus *bus, const char *option)
{
	return outcome(h, call_on(h, bus, ROOT_PATH, MANAGER, "Release", "ssa{sv}", "pci", CARD,
				  option ? 1 : 0, option, "b", 1));
}

static void assert_released(struct harness *h)
{
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "unmanaged");
	ck_assert_ptr_nonnull(startswith(property(h, "pci", CARD, "Reason"), "released: "));
	ck_assert_str_eq(property(h, "pci", CARD, "Decision"), "vfio-pci");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	ck_assert_str_eq(mock_override(h->m, CARD_PATH), "(null)\n");
}

START_TEST(released_device_stays_so_until_apply)
{
	struct harness *h = begin();
	unsigned before;

	ck_assert_str_eq(release_on(h, h->bus, NULL), "unmanaged");
	assert_released(h);
	/* Neither an event, nor a look at all devices, nor another service takes it. */
	before = calls(h, "pci/" CARD);
	tell(h, "add", "pci", CARD);
	settle(h);
	mock_policy(h->m, MOCK_ETC, "60-b.conf", "[device x]\nName=0000:0f:00.0\nDriver=none\n");
	ck_assert_str_ne(outcome(h, call(h, "Reload", NULL)), "!");
	settle(h);
	assert_released(h);
	service_kill(h);
	service_start(h);
	settle(h);
	assert_released(h);
	ck_assert_uint_eq(calls(h, "pci/" CARD), before);

	ck_assert_str_eq(outcome(h, call(h, "Apply", "ssa{sv}", "pci", CARD, 0)), "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "enforced");
	harness_free(h);
}
END_TEST

START_TEST(set_takes_it_again)
{
	struct harness *h = begin();

	ck_assert_str_eq(release_on(h, h->bus, NULL), "unmanaged");
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "enforced");
	harness_free(h);
}
END_TEST

START_TEST(device_in_use_is_released_by_force_only)
{
	struct harness *h = begin();

	faults(h, "pci/" CARD " InUse process 7 has it\n");
	ck_assert_str_eq(release_on(h, h->bus, NULL), "!InUse");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	ck_assert_str_eq(release_on(h, h->bus, "force"), "unmanaged");
	ck_assert_uint_eq(calls(h, "overwrite"), 0);
	faults(h, "");
	assert_released(h);
	harness_free(h);
}
END_TEST

START_TEST(release_all_answers_for_each_device)
{
	struct harness *h = begin();
	const char *bus, *name, *state;
	sd_bus_message *m;
	unsigned n = 0;

	ck_assert_str_eq(set(h, "platform", "foo.0", "none"), "enforced");
	m = call(h, "ReleaseAll", "a{sv}", 0);
	ck_assert_ptr_nonnull(m);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "(sss)"), 0);
	for (; sd_bus_message_read(m, "(sss)", &bus, &name, &state) > 0; n++)
		ck_assert_str_eq(state, "unmanaged");
	ck_assert_uint_eq(n, 2);
	(void)sd_bus_message_unref(m);
	wait_property(h, "platform", "foo.0", "Driver", "foo");
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 2);
	/* What ApplyAll moves is no longer released. */
	ck_assert_ptr_nonnull(m = call(h, "ApplyAll", "a{sv}", 0));
	(void)sd_bus_message_unref(m);
	wait_property(h, "platform", "foo.0", "State", "enforced");
	wait_property(h, "pci", CARD, "State", "enforced");
	harness_free(h);
}
END_TEST

START_TEST(others_need_permission)
{
	struct harness *h = begin();
	sd_bus *user = connect_as(h, SOMEBODY);

	ck_assert_str_eq(release_on(h, user, NULL), "!AccessDenied");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "ReleaseAll", "a{sv}", 0)),
			 "!AccessDenied");
	ck_assert_str_eq(outcome(h, call_on(h, user, "/org/driveroverrides1/device/pci/_30000_3a00_3a03_2e0",
					    "org.driveroverrides1.Device", "Release", "a{sv}", 0)),
			 "!AccessDenied");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	ck_assert_str_eq(release_on(h, user, "dry-run"), "unmanaged");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	polkit_start(h, "org.driveroverrides1.set yes\n");
	ck_assert_str_eq(release_on(h, user, "force"), "!AccessDenied");
	ck_assert_str_eq(release_on(h, user, NULL), "unmanaged");
	assert_released(h);
	(void)sd_bus_flush_close_unref(user);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-release", 300, released_device_stays_so_until_apply, set_takes_it_again,
	   device_in_use_is_released_by_force_only, release_all_answers_for_each_device,
	   others_need_permission)
