/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls of which a part never comes back: each is answered in time, and says what was changed. */
#include "base/text.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define CARD_FILE "10-set-pci-" CARD ".conf"

/* 20 s by the contract; the rest is for a machine that is slow to run the test. */
#define ANSWER_USEC_MAX 30000000U

static struct harness *begin(void)
{
	struct harness *h = harness_new();

	three_devices(h);
	service_start(h);
	return h;
}

/* A writer that was killed while it slept in the file system still has its lock. Here the test has it. */
START_TEST(nobody_writes_before_an_earlier_writer_has_gone)
{
	struct harness *h = begin();
	const char *path = mock_printf(h->m, "%s/writer", h->m->state);
	uint64_t before;
	int lock;

	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	lock = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(lock, 0);
	/* Who has written may be about to end. */
	WAIT_UNTIL(flock(lock, LOCK_EX | LOCK_NB) == 0);
	before = clock_usec();
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "!Stuck");
	ck_assert_ptr_nonnull(strstr(h->error.message, "an earlier change"));
	ck_assert_uint_lt(clock_usec() - before, ANSWER_USEC_MAX);
	ck_assert_ptr_nonnull(strstr(policy_text(h, MOCK_ETC, CARD_FILE), "\nDriver=vfio-pci\n"));
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	(void)close(lock);
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "enforced");
	harness_free(h);
}
END_TEST

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)error;
	text_copy(userdata, 128,
		  sd_bus_message_is_method_error(m, NULL) ? sd_bus_message_get_error(m)->name : "none");
	return 0;
}

/* The enforcer takes all of the call's time. Then the file is restored and the device is read, which hangs,
 * too. */
START_TEST(a_call_is_answered_in_time_whatever_hangs)
{
	struct harness *h = begin();
	const char *card = "/devices/pci0000:00/" CARD;
	uint64_t before = clock_usec();
	sd_bus *other = connect_as(h, 0);
	char error[128] = "";

	faults(h, "pci/" CARD " wait\n");
	ck_assert_int_ge(sd_bus_call_method_async(other, NULL, "org.driveroverrides1", ROOT_PATH, MANAGER,
						  "SetOverride", on_reply, error, "sssa{sv}", "pci", CARD,
						  "vfio-pci", 0),
			 0);
	ck_assert_int_ge(sd_bus_flush(other), 0);
	WAIT_UNTIL(calls(h, "pci/" CARD) >= 2);
	mock_attr_hangs(h->m, card, "driver_override");
	while (!*error) {
		int r = sd_bus_process(other, NULL);

		ck_assert_int_ge(r, 0);
		if (r == 0)
			ck_assert_int_ge(sd_bus_wait(other, PATIENCE_USEC), 0);
	}
	ck_assert_str_eq(error, "org.driveroverrides1.Error.Stuck");
	ck_assert_uint_lt(clock_usec() - before, ANSWER_USEC_MAX);
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	/* The enforcer that has not come back is known of, until it does. */
	WAIT_UNTIL(streq(manager_property(h, "LeftBehind", "u"), "1"));
	faults(h, "");
	mock_attr_comes_back(h->m, card, "driver_override", "(null)\n");
	WAIT_UNTIL(streq(manager_property(h, "LeftBehind", "u"), "0"));
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}
END_TEST

START_TEST(a_polkit_that_does_not_answer_means_no_in_time)
{
	struct harness *h =
		service_with_polkit("org.driveroverrides1.set yes\norg.driveroverrides1.force wait\n");
	sd_bus *user = connect_as(h, SOMEBODY);
	uint64_t before = clock_usec();

	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci",
					    CARD, "vfio-pci", 1, "force", "b", 1)),
			 "!AccessDenied");
	ck_assert_uint_lt(clock_usec() - before, ANSWER_USEC_MAX);
	(void)sd_bus_flush_close_unref(user);
	harness_free(h);
}
END_TEST

/* After 14 s, a call that did not wait for a person would not be begun any more. */
START_TEST(the_time_in_which_a_person_types_a_password_does_not_count)
{
	struct harness *h = service_with_polkit("org.driveroverrides1.set late\n");
	sd_bus *user = connect_as(h, SOMEBODY);

	ck_assert_int_ge(sd_bus_set_allow_interactive_authorization(user, true), 0);
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci",
					    CARD, "vfio-pci", 0)),
			 "enforced");
	(void)sd_bus_flush_close_unref(user);
	harness_free(h);
}
END_TEST

SUITE_MAIN_AT_ONCE("bus-call-deadlines", 120, nobody_writes_before_an_earlier_writer_has_gone,
		   a_call_is_answered_in_time_whatever_hangs, a_polkit_that_does_not_answer_means_no_in_time,
		   the_time_in_which_a_person_types_a_password_does_not_count)
