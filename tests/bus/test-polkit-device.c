/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which device polkit is told of, and that what it allows is done to that device alone. Callers are other
 * users than the service, so the tests have to run as root.
 */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define ABSENT "0000:00:09.0"
#define CARD_MODALIAS "pci:v00008086d000010D3sv00001AF4sd00001100bc02sc00i00"

static void end(struct harness *h, sd_bus *user)
{
	(void)sd_bus_flush_close_unref(user);
	harness_free(h);
}

START_TEST(polkit_is_told_which_devices_are_absent_or_any)
{
	struct harness *h = service_with_polkit("org.driveroverrides1.set no\n");
	sd_bus *user = connect_as(h, SOMEBODY);

	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci",
					    ABSENT, "vfio-pci", 1, "absent", "b", 1)),
			 "!AccessDenied");
	/* The option says nothing of a device that is there. */
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci",
					    CARD, "vfio-pci", 1, "absent", "b", 1)),
			 "!AccessDenied");
	ck_assert_str_eq(polkit_questions(h),
			 "org.driveroverrides1.set bus=pci name=" ABSENT " modalias= driver=vfio-pci group= "
			 "module= by=name rebind= runtime=false any-device= absent=true interactive=0\n"
			 "org.driveroverrides1.set bus=pci name=" CARD " modalias=" CARD_MODALIAS
			 " driver=vfio-pci group= module= by=name rebind= runtime=false any-device= absent= "
			 "interactive=0\n");
	polkit_answers(h, "org.driveroverrides1.set no\n");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverrides", "a(sssa{sv})a{sv}",
					    3, "pci", CARD, "none", 0, "pci", DISK, "none", 1, "any-device",
					    "b", 1, "pci", ABSENT, "none", 1, "absent", "b", 1, 0)),
			 "!AccessDenied");
	ck_assert_ptr_nonnull(strstr(polkit_questions(h), " any-device=\ntrue\n absent=\n\ntrue "));
	end(h, user);
}
END_TEST

START_TEST(polkit_is_told_the_modalias_of_a_device_that_is_new)
{
	struct harness *h = service_with_polkit("org.driveroverrides1.set no\n");
	sd_bus *user = connect_as(h, SOMEBODY);

	/* udev has not told of it yet. */
	(void)mock_pci_add(h->m, "0000:00:05.0", NULL, 0x8086, 0x1572, 0x020000);
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "Apply", "ssa{sv}", "pci",
					    "0000:00:05.0", 0)),
			 "!AccessDenied");
	ck_assert_ptr_nonnull(strstr(polkit_questions(h), " modalias=pci:v00008086d00001572sv"));
	/* Nor of another card in the place of one that is known. */
	mock_remove(h->m, PATH_OF(CARD));
	(void)mock_pci_add(h->m, CARD, NULL, 0x10de, 0x1b80, 0x030000);
	polkit_answers(h, "org.driveroverrides1.set no\n");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "Apply", "ssa{sv}", "pci", CARD, 0)),
			 "!AccessDenied");
	ck_assert_ptr_nonnull(strstr(polkit_questions(h), " modalias=pci:v000010DEd00001B80sv"));
	end(h, user);
}
END_TEST

static int take_outcome(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)error;
	text_copy(userdata, 128,
		  sd_bus_message_is_method_error(m, NULL) ? sd_bus_message_get_error(m)->name : "none");
	return 0;
}

/* A call of which polkit does not let go; the name of its error is to come, or "none". */
static void call_until_question(struct harness *h, sd_bus *user, const char *member, const char *name,
				bool absent, char error[static 128])
{
	sd_bus_message *m;

	polkit_answers(h, "org.driveroverrides1.set held\n");
	ck_assert_int_ge(
		sd_bus_message_new_method_call(user, &m, "org.driveroverrides1", ROOT_PATH, MANAGER, member),
		0);
	ck_assert_int_ge(sd_bus_message_append(m, "ss", "pci", name), 0);
	if (streq(member, "SetOverride"))
		ck_assert_int_ge(sd_bus_message_append(m, "s", absent ? "none" : "vfio-pci"), 0);
	ck_assert_int_ge(absent ? sd_bus_message_append(m, "a{sv}", 1, "absent", "b", 1)
				: sd_bus_message_append(m, "a{sv}", 0),
			 0);
	ck_assert_int_ge(sd_bus_call_async(user, NULL, m, take_outcome, error, 0), 0);
	(void)sd_bus_message_unref(m);
	ck_assert_int_ge(sd_bus_flush(user), 0);
	WAIT_UNTIL(*polkit_questions(h));
}

/* While a person types the password for one card, another takes its place. */
static void exchange_during_the_question(struct harness *h, sd_bus *user, const char *member, bool is_known)
{
	char error[128] = "";

	call_until_question(h, user, member, CARD, false, error);
	mock_remove(h->m, PATH_OF(CARD));
	(void)mock_pci_add(h->m, CARD, NULL, 0x10de, 0x1b80, 0x030000);
	if (is_known) {
		tell(h, "add", "pci", CARD);
		wait_property(h, "pci", CARD, "Driver", "");
	}
	polkit_answers(h, "org.driveroverrides1.set yes\n");
	WAIT_UNTIL(sd_bus_process(user, NULL) >= 0 && error[0]);
	ck_assert_str_eq(error, "org.driveroverrides1.Error.NoSuchDevice");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_uint_eq(calls(h, CARD), calls(h, "dry-run"));
	ck_assert_str_eq(mock_override(h->m, PATH_OF(CARD)), "(null)\n");
	ck_assert_uint_eq(staging_dirs(h), 0);
}

START_TEST(what_was_authorized_for_one_card_is_not_done_to_another)
{
	struct harness *h = service_with_polkit("org.driveroverrides1.set no\n");
	sd_bus *user = connect_as(h, SOMEBODY);

	exchange_during_the_question(h, user, "SetOverride", true);
	exchange_during_the_question(h, user, "SetOverride", false);
	exchange_during_the_question(h, user, "Apply", true);
	exchange_during_the_question(h, user, "Apply", false);
	exchange_during_the_question(h, user, "ClearOverride", false);
	end(h, user);
}
END_TEST

/* While a person types the password for a rule about an empty slot, a card is put there. */
static void fill_during_the_question(struct harness *h, sd_bus *user, const char *member, bool is_known)
{
	char error[128] = "";

	call_until_question(h, user, member, ABSENT, true, error);
	(void)mock_pci_add(h->m, ABSENT, NULL, 0x10de, 0x1b80, 0x030000);
	if (is_known) {
		tell(h, "add", "pci", ABSENT);
		wait_property(h, "pci", ABSENT, "Driver", "");
	}
	polkit_answers(h, "org.driveroverrides1.set yes\n");
	WAIT_UNTIL(sd_bus_process(user, NULL) >= 0 && error[0]);
	ck_assert_str_eq(error, "org.driveroverrides1.Error.NoSuchDevice");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	mock_remove(h->m, PATH_OF(ABSENT));
	tell(h, "remove", "pci", ABSENT);
	settle(h);
}

START_TEST(what_was_authorized_for_no_device_is_not_done_to_one_that_came)
{
	struct harness *h = service_with_polkit("org.driveroverrides1.set no\n");
	sd_bus *user = connect_as(h, SOMEBODY);

	fill_during_the_question(h, user, "SetOverride", false);
	fill_during_the_question(h, user, "SetOverride", true);
	fill_during_the_question(h, user, "ClearOverride", false);
	end(h, user);
}
END_TEST

/* Lines of the caller's own in a policy file: another device, a forced move that polkit is not asked about.
 */
static const char forged[] = "0000:09:00.0\nName=" CARD "\nRebind=force\nGroup=none";

START_TEST(name_with_control_characters_is_refused)
{
	static const char *const names[] = { forged, "a\rb", "a\tb", "a\x7f", "\x01" };
	struct harness *h =
		service_with_polkit("org.driveroverrides1.set yes\norg.driveroverrides1.force no\n");
	sd_bus *user = connect_as(h, SOMEBODY), *callers[] = { user, h->bus };

	for (unsigned i = 0; i < ELEMENTSOF(names) * ELEMENTSOF(callers) * 2; i++) {
		const char *odd = names[i / 4], *name = i % 2 ? odd : "x", *bus = i % 2 ? "pci" : odd;
		sd_bus *caller = callers[i / 2 % 2];

		ck_assert_str_eq(outcome(h, call_on(h, caller, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}",
						    bus, name, "none", 1, "absent", "b", 1)),
				 "!Invalid");
		ck_assert_str_eq(outcome(h, call_on(h, caller, ROOT_PATH, MANAGER, "ClearOverride", "ssa{sv}",
						    bus, name, 1, "absent", "b", 1)),
				 "!Invalid");
		ck_assert_str_eq(
			outcome(h, call_on(h, caller, ROOT_PATH, MANAGER, "SetOverrides", "a(sssa{sv})a{sv}",
					   2, "pci", "0000:09:00.1", "none", 1, "absent", "b", 1, bus, name,
					   "none", 1, "absent", "b", 1, 0)),
			"!Invalid");
		ck_assert_str_eq(outcome(h, call_on(h, caller, ROOT_PATH, MANAGER, "Confirm", "ssa{sv}", bus,
						    name, 0)),
				 "!Invalid");
	}
	/* Nor may such a name forge what polkit is told of a device. */
	ck_assert_str_eq(
		outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "Apply", "ssa{sv}", "pci", forged, 0)),
		"!Invalid");
	ck_assert_str_eq(polkit_questions(h), "");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_uint_eq(calls(h, ""), 0);
	end(h, user);
}
END_TEST

/* Also of a device that is there, as a driver can name one. */
START_TEST(device_with_a_line_break_in_its_name_is_refused)
{
	struct harness *h =
		service_with_polkit("org.driveroverrides1.set yes\norg.driveroverrides1.force no\n");
	sd_bus *user = connect_as(h, SOMEBODY);
	const char *name = "foo\nRebind=force";

	(void)mock_platform_add(h->m, name, "platform:bar");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}",
					    "platform", name, "none", 0)),
			 "!Invalid");
	ck_assert_str_eq(
		outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "Release", "ssa{sv}", "platform", name, 0)),
		"!Invalid");
	ck_assert_str_eq(polkit_questions(h), "");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	end(h, user);
}
END_TEST

SUITE_MAIN("bus-polkit-device", 300, polkit_is_told_which_devices_are_absent_or_any,
	   polkit_is_told_the_modalias_of_a_device_that_is_new,
	   what_was_authorized_for_one_card_is_not_done_to_another,
	   what_was_authorized_for_no_device_is_not_done_to_one_that_came,
	   name_with_control_characters_is_refused, device_with_a_line_break_in_its_name_is_refused)
