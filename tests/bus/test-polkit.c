/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which user may make which call. Callers are other users than the service, so the tests have to run as root.
 */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

/* What polkit is told of a call about no device, and about no rule. */
#define NO_DEVICE "bus= name= modalias= driver= group= module= by="
#define CARD_MODALIAS "pci:v00008086d000010D3sv00001AF4sd00001100bc02sc00i00"

/* How many lines begin with the prefix. */
static unsigned lines_with(const char *text, const char *prefix)
{
	unsigned n = 0;

	for (; *text; text += strcspn(text, "\n") + 1)
		n += startswith(text, prefix) != NULL;
	return n;
}

static unsigned lines(const char *text)
{
	return lines_with(text, "");
}

static void end(struct harness *h, sd_bus *user)
{
	(void)sd_bus_flush_close_unref(user);
	harness_free(h);
}

static const char *set_as(struct harness *h, sd_bus *user, const char *driver)
{
	return outcome(
		h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci", CARD, driver, 0));
}

START_TEST(without_polkit_root_may_and_nobody_else)
{
	struct harness *h = service_with_polkit(NULL);
	sd_bus *user = connect_as(h, SOMEBODY);
	sd_bus_message *m;

	ck_assert_str_eq(set_as(h, user, "vfio-pci"), "!AccessDenied");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	/* Any user may read. */
	m = call_on(h, user, ROOT_PATH, MANAGER, "ListDevices", NULL);
	ck_assert_ptr_nonnull(m);
	(void)sd_bus_message_unref(m);
	ck_assert_ptr_nonnull(strstr(
		outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "Explain", "ss", "pci", CARD)), "vfio-pci"));
	end(h, user);
}
END_TEST

START_TEST(every_method_that_changes_something_is_refused_without_authorization)
{
	struct harness *h = service_with_polkit("org.driveroverrides1.set no\n");
	sd_bus *user = connect_as(h, SOMEBODY);
	const char *device = "/org/driveroverrides1/device/pci/_30000_3a00_3a03_2e0";
	const char *interface = "org.driveroverrides1.Device";

	ck_assert_str_eq(set_as(h, user, "vfio-pci"), "!AccessDenied");
	ck_assert_str_eq(
		outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "ClearOverride", "ssa{sv}", "pci", CARD, 0)),
		"!AccessDenied");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "Apply", "ssa{sv}", "pci", CARD, 0)),
			 "!AccessDenied");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "ApplyAll", "a{sv}", 0)),
			 "!AccessDenied");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "Reload", NULL)), "!AccessDenied");
	ck_assert_str_eq(outcome(h, call_on(h, user, device, interface, "SetOverride", "sa{sv}", "none", 0)),
			 "!AccessDenied");
	ck_assert_str_eq(outcome(h, call_on(h, user, device, interface, "ClearOverride", "a{sv}", 0)),
			 "!AccessDenied");
	ck_assert_str_eq(outcome(h, call_on(h, user, device, interface, "Apply", "a{sv}", 0)),
			 "!AccessDenied");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_uint_eq(calls(h, ""), 0);
	ck_assert_ptr_nonnull(strstr(polkit_questions(h),
				     "org.driveroverrides1.reload " NO_DEVICE
				     " rebind= runtime= any-device= absent= interactive=0\n"));
	ck_assert_uint_eq(lines_with(polkit_questions(h), "org.driveroverrides1.set "), 7);
	ck_assert_uint_eq(lines(polkit_questions(h)), 8);
	/* Each change was planned to see whether it could be made. */
	ck_assert_uint_eq(staging_dirs(h), 0);
	end(h, user);
}
END_TEST

START_TEST(polkit_is_told_the_device_and_may_allow_the_call)
{
	struct harness *h =
		service_with_polkit("org.driveroverrides1.set yes\norg.driveroverrides1.reload yes\n");
	sd_bus *user = connect_as(h, SOMEBODY);
	sd_bus_message *m;

	ck_assert_str_eq(set_as(h, user, "vfio-pci"), "enforced");
	ck_assert_str_eq(polkit_questions(h),
			 "org.driveroverrides1.set bus=pci name=" CARD " modalias=" CARD_MODALIAS
			 " driver=vfio-pci group= module= by=name rebind= runtime=false any-device= absent= "
			 "interactive=0\n");
	m = call_on(h, user, ROOT_PATH, MANAGER, "Reload", NULL);
	ck_assert_ptr_nonnull(m);
	(void)sd_bus_message_unref(m);
	ck_assert_str_eq(
		outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "ClearOverride", "ssa{sv}", "pci", CARD, 0)),
		"unmanaged");
	end(h, user);
}
END_TEST

/* Whoever may set one card's driver must not be able to write more than a rule of polkit allows. */
START_TEST(polkit_is_told_all_that_the_call_would_do)
{
	struct harness *h = service_with_polkit("org.driveroverrides1.set no\n");
	sd_bus *user = connect_as(h, SOMEBODY);

	ck_assert_str_eq(
		outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci", CARD,
				   "vfio-pci", 6, "group", "s", "none", "module", "s", "anything", "by", "s",
				   "path", "rebind", "s", "no", "runtime", "b", 1, "any-device", "b", 1)),
		"!AccessDenied");
	ck_assert_str_eq(polkit_questions(h),
			 "org.driveroverrides1.set bus=pci name=" CARD " modalias=" CARD_MODALIAS
			 " driver=vfio-pci group=none module=anything by=path rebind=no runtime=true "
			 "any-device=true absent= interactive=0\n");
	polkit_answers(h, "org.driveroverrides1.set no\n");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "ClearOverride", "ssa{sv}", "pci",
					    CARD, 1, "by", "s", "id")),
			 "!AccessDenied");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "Apply", "ssa{sv}", "platform",
					    "foo.0", 1, "rebind", "s", "safe")),
			 "!AccessDenied");
	ck_assert_str_eq(
		polkit_questions(h),
		"org.driveroverrides1.set bus=pci name=" CARD " modalias=" CARD_MODALIAS
		" driver= group= module= by=id rebind= runtime=false any-device= absent= interactive=0\n"
		"org.driveroverrides1.set bus=platform name=foo.0 modalias=platform:foo driver= group= "
		"module= by= rebind=safe runtime= any-device= absent= interactive=0\n");
	end(h, user);
}
END_TEST

START_TEST(force_needs_an_authorization_of_its_own)
{
	struct harness *h =
		service_with_polkit("org.driveroverrides1.set yes\norg.driveroverrides1.force no\n");
	sd_bus *user = connect_as(h, SOMEBODY);

	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci",
					    CARD, "vfio-pci", 1, "force", "b", 1)),
			 "!AccessDenied");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci",
					    CARD, "vfio-pci", 1, "rebind", "s", "force")),
			 "!AccessDenied");
	ck_assert_str_eq(
		outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "ApplyAll", "a{sv}", 1, "force", "b", 1)),
		"!AccessDenied");
	/* A call about no device has empty details, and a message that names none. */
	ck_assert_msg(strstr(polkit_questions(h),
			     "org.driveroverrides1.set " NO_DEVICE
			     " rebind=force runtime= any-device= absent= "
			     "polkit.message=Authentication is required to enforce the policy for drivers. "
			     "interactive=0\n"
			     "org.driveroverrides1.force " NO_DEVICE
			     " rebind=force runtime= any-device= absent= polkit.message="),
		      "%s", polkit_questions(h));
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_uint_eq(calls(h, ""), 0);
	polkit_answers(h, "org.driveroverrides1.set yes\norg.driveroverrides1.force yes\n");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci",
					    CARD, "vfio-pci", 1, "force", "b", 1)),
			 "enforced");
	/* .force alone is not enough. */
	polkit_answers(h, "org.driveroverrides1.set no\norg.driveroverrides1.force yes\n");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci",
					    CARD, "none", 1, "force", "b", 1)),
			 "!AccessDenied");
	end(h, user);
}
END_TEST

START_TEST(a_person_is_asked_for_a_password_only_if_the_caller_allows_it)
{
	struct harness *h = service_with_polkit("org.driveroverrides1.set challenge\n");
	sd_bus *user = connect_as(h, SOMEBODY);

	ck_assert_str_eq(set_as(h, user, "vfio-pci"), "!InteractiveAuthorizationRequired");
	ck_assert_int_ge(sd_bus_set_allow_interactive_authorization(user, true), 0);
	ck_assert_str_eq(set_as(h, user, "vfio-pci"), "!AccessDenied");
	ck_assert_ptr_nonnull(
		strstr(polkit_questions(h), "runtime=false any-device= absent= interactive=1\n"));
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	end(h, user);
}
END_TEST

START_TEST(polkit_is_not_asked_about_a_call_that_would_be_refused)
{
	struct harness *h = service_with_polkit("org.driveroverrides1.set yes\n");
	sd_bus *user = connect_as(h, SOMEBODY);

	(void)mock_policy(h->m, MOCK_ETC, "01-mine.conf", "[device mine]\nClass=02\nDriver=none\n");
	wait_property(h, "pci", CARD, "Decision", "none");
	ck_assert_str_eq(set_as(h, user, "a/b"), "!Invalid");
	ck_assert_str_eq(set_as(h, user, "vfio-pci"), "!Shadowed");
	ck_assert_str_eq(polkit_questions(h), "");
	ck_assert_uint_eq(staging_dirs(h), 0);
	/* A dry run needs no authorization. */
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci",
					    DISK, "vfio-pci", 1, "dry-run", "b", 1)),
			 "enforced");
	ck_assert_str_eq(polkit_questions(h), "");
	/* It opens nothing that another program may want to mount. */
	ck_assert_uint_eq(calls(h, "dry-run look-only"), calls(h, "dry-run"));
	ck_assert_uint_gt(calls(h, "dry-run look-only"), 0);
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	end(h, user);
}
END_TEST

START_TEST(a_polkit_that_fails_or_ends_means_no)
{
	struct harness *h = service_with_polkit("org.driveroverrides1.set error\n");
	sd_bus *user = connect_as(h, SOMEBODY);

	ck_assert_str_eq(set_as(h, user, "vfio-pci"), "!AccessDenied");
	/* A question that polkit does not answer delays no other call. */
	polkit_answers(h, "org.driveroverrides1.set wait\n");
	send_call(user, "SetOverride", "sssa{sv}", "pci", CARD, "vfio-pci", 0);
	WAIT_UNTIL(*polkit_questions(h));
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "enforced");
	(void)kill(h->polkit, SIGKILL);
	(void)waitpid(h->polkit, NULL, 0);
	h->polkit = 0;
	ck_assert_str_eq(set_as(h, user, "vfio-pci"), "!AccessDenied");
	ck_assert_str_eq(property(h, "pci", CARD, "Override"), "none");
	end(h, user);
}
END_TEST

static int count_refusal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	unsigned *n = userdata;

	(void)error;
	*n += sd_bus_message_is_method_error(m, SD_BUS_ERROR_LIMITS_EXCEEDED);
	return 0;
}

/* Reads what has come for all users. */
static unsigned count_refusals(sd_bus **user, size_t n, const unsigned *refused)
{
	for (size_t i = 0; i < n; i++) {
		int r = 1;

		while (r > 0)
			r = sd_bus_process(user[i], NULL);
		ck_assert_int_ge(r, 0);
	}
	return *refused;
}

/* The bus limits how many replies the service may wait for. */
START_TEST(open_questions_of_one_user_leave_room_for_another)
{
	struct harness *h = service_with_polkit("org.driveroverrides1.set wait\n");
	sd_bus *user[6], *other;
	unsigned refused = 0;

	for (unsigned i = 0; i < ELEMENTSOF(user); i++) {
		user[i] = connect_as(h, SOMEBODY);
		ck_assert_int_ge(sd_bus_set_allow_interactive_authorization(user[i], true), 0);
		for (unsigned k = 0; k < 30; k++)
			ck_assert_int_ge(sd_bus_call_method_async(user[i], NULL, "org.driveroverrides1",
								  ROOT_PATH, MANAGER, "Apply", count_refusal,
								  &refused, "ssa{sv}", "pci", CARD, 0),
					 0);
		ck_assert_int_ge(sd_bus_flush(user[i]), 0);
	}
	WAIT_UNTIL(count_refusals(user, ELEMENTSOF(user), &refused) + 8 >= 30 * ELEMENTSOF(user));
	WAIT_UNTIL(lines(polkit_questions(h)) >= 8);
	settle(h);
	ck_assert_uint_eq(lines(polkit_questions(h)), 8);
	polkit_answers(h, "org.driveroverrides1.set yes\n");
	other = connect_as(h, 1);
	ck_assert_str_eq(set_as(h, other, "vfio-pci"), "enforced");
	ck_assert_uint_eq(lines(polkit_questions(h)), 1);
	for (unsigned i = 0; i < ELEMENTSOF(user); i++)
		(void)sd_bus_flush_close_unref(user[i]);
	end(h, other);
}
END_TEST

/* Dry runs need no authorization, so they have a limit of their own. */
START_TEST(dry_runs_of_one_user_leave_room_for_another)
{
	struct harness *h = service_with_polkit(NULL);
	sd_bus *user = connect_as(h, SOMEBODY), *other = connect_as(h, 1);
	unsigned refused = 0;

	faults(h, "pci/" CARD " slow\n");
	for (unsigned k = 0; k < 20; k++)
		ck_assert_int_ge(sd_bus_call_method_async(user, NULL, "org.driveroverrides1", ROOT_PATH,
							  MANAGER, "Apply", count_refusal, &refused,
							  "ssa{sv}", "pci", CARD, 1, "dry-run", "b", 1),
				 0);
	ck_assert_int_ge(sd_bus_flush(user), 0);
	WAIT_UNTIL(count_refusals(&user, 1, &refused) == 4);
	faults(h, "");
	ck_assert_str_eq(outcome(h, call_on(h, other, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci",
					    DISK, "vfio-pci", 1, "dry-run", "b", 1)),
			 "enforced");
	(void)sd_bus_flush_close_unref(other);
	end(h, user);
}
END_TEST

SUITE_MAIN("bus-polkit", 300, without_polkit_root_may_and_nobody_else,
	   every_method_that_changes_something_is_refused_without_authorization,
	   polkit_is_told_the_device_and_may_allow_the_call, polkit_is_told_all_that_the_call_would_do,
	   force_needs_an_authorization_of_its_own,
	   a_person_is_asked_for_a_password_only_if_the_caller_allows_it,
	   polkit_is_not_asked_about_a_call_that_would_be_refused, a_polkit_that_fails_or_ends_means_no,
	   open_questions_of_one_user_leave_room_for_another, dry_runs_of_one_user_leave_room_for_another)
