/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The service on policy between boots: BootImage, FailedPolicy and RetryPolicy. */
#include "base/text.h"
#include "policy/policy-digest.h"
#include "policy/policy-in-force.h"
#include "state/boot-attempts.h"
#include "state/image-note.h"
#include "tests/bus/harness.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KERNEL "6.1.0-50-amd64"

static const char *boot_image(struct harness *h)
{
	return manager_property(h, "BootImage", "s");
}

static const char *failed_policy(struct harness *h)
{
	return manager_property(h, "FailedPolicy", "s");
}

/* As a hook does when it has made an image. */
static void image_made(struct harness *h, const char *kernel)
{
	struct image_note note = { .time = 1 };

	make_dirs(mock_printf(h->m, "%s/lib/modules/%s", h->m->root, kernel));
	make_dirs(mock_printf(h->m, "%s/var/lib", h->m->root));
	ck_assert_int_eq(policy_digest_find(&h->m->settings, POLICY_OF_IMAGE, note.digest), 0);
	ck_assert_int_eq(image_note_write(&h->m->settings, kernel, &note), 0);
}

static void image_maker_is(struct harness *h, const char *program)
{
	char *slash, path[PATH_MAX];

	text_copy(path, sizeof(path), mock_printf(h->m, "%s%s", h->m->root, program));
	make_file(mock_printf(h->m, "%s/x", h->m->root), "", 0);
	slash = strrchr(path, '/');
	*slash = '\0';
	make_dirs(path);
	*slash = '/';
	make_file(path, "", 0);
}

/* The policy directories have a policy that has failed; the last good one decides about the card alone. */
static void policy_fails(struct harness *h, enum policy_failure failure)
{
	struct failed_policy failed = { .failure = failure };
	char text[FAILED_POLICY_TEXT_SIZE];
	static const char good[] = "[device good]\nName=" CARD "\nDriver=none\n";

	make_dirs(mock_printf(h->m, "%s/" LAST_GOOD_FOLDER, h->m->state));
	make_file(mock_printf(h->m, "%s/" LAST_GOOD_FOLDER "/10-good.conf", h->m->state), good, strlen(good));
	ck_assert_int_eq(policy_digest_find(&h->m->settings, POLICY_OF_NEXT_BOOT, failed.digest), 0);
	failed_policy_to_text(&failed, text);
	make_file(mock_printf(h->m, "%s/" FAILED_POLICY, h->m->state), text, strlen(text));
}

START_TEST(nothing_is_said_where_no_image_has_ever_had_a_policy)
{
	struct harness *h = harness_new();

	three_devices(h);
	mock_policy(h->m, MOCK_ETC, "10-a.conf", "[device a]\nName=" CARD "\nDriver=none\n");
	service_start(h);
	ck_assert_str_eq(boot_image(h), "");
	ck_assert_str_eq(failed_policy(h), "");
	harness_free(h);
}
END_TEST

START_TEST(policy_that_is_changed_is_another_than_the_images)
{
	struct harness *h = harness_new();
	struct signals changed = {};
	const char *text;

	three_devices(h);
	mock_policy(h->m, MOCK_ETC, "10-a.conf", "[device a]\nName=" CARD "\nDriver=none\n");
	image_made(h, KERNEL);
	image_made(h, "5.10.0-1-amd64");
	image_maker_is(h, "/usr/bin/mkinitcpio");
	h->log = mock_printf(h->m, "%s/log", h->m->root);
	service_start(h);
	ck_assert_str_eq(boot_image(h), "current");
	listen_for(h, &changed, "org.freedesktop.DBus.Properties", "PropertiesChanged");

	mock_policy(h->m, MOCK_ETC, "20-b.conf", "[device b]\nName=x\nDriver=none\n");
	WAIT_UNTIL(strstr(boot_image(h), "boot image of kernel " KERNEL " (and 1 more)"));
	ck_assert_ptr_nonnull(strstr(boot_image(h), "run: mkinitcpio -P"));
	wait_signals(&changed, 1);
	text = mock_read(h->m, h->log);
	ck_assert_ptr_nonnull(strstr(text, "boot image of kernel " KERNEL));
	ck_assert_ptr_nonnull(strstr(text, "mkinitcpio -P"));

	/* Images are made anew while the service runs, one after the other. */
	image_made(h, KERNEL);
	WAIT_UNTIL(strstr(boot_image(h), "boot image of kernel 5.10.0-1-amd64 "));
	image_made(h, "5.10.0-1-amd64");
	WAIT_UNTIL(streq(boot_image(h), "current"));

	/* A kernel that was removed boots no more, whatever its image has. */
	mock_policy(h->m, MOCK_ETC, "20-b.conf", "[device b]\nName=y\nDriver=none\n");
	image_made(h, KERNEL);
	remove_tree(mock_printf(h->m, "%s/lib/modules/5.10.0-1-amd64", h->m->root));
	mock_policy(h->m, MOCK_ETC, "30-c.conf", "# nothing, but another policy\n");
	WAIT_UNTIL(strstr(boot_image(h), KERNEL " has"));
	harness_free(h);
}
END_TEST

/* An image that nobody has noted, made by another program or on another machine. */
START_TEST(image_of_this_boot_is_compared_where_none_was_noted)
{
	struct harness *h = harness_new();
	char digest[POLICY_DIGEST_SIZE];

	three_devices(h);
	mock_policy(h->m, MOCK_ETC, "10-a.conf", "[device a]\nName=" CARD "\nDriver=none\n");
	ck_assert_int_eq(policy_digest_find(&h->m->settings, POLICY_OF_IMAGE, digest), 0);
	make_dirs(h->m->state);
	make_file(mock_printf(h->m, "%s/image-digest", h->m->state), digest, strlen(digest));
	make_dirs(mock_printf(h->m, "%s/run", h->m->root));
	make_file(mock_printf(h->m, "%s/run/ostree-booted", h->m->root), "", 0);
	service_start(h);
	ck_assert_str_eq(boot_image(h), "current");
	mock_policy(h->m, MOCK_ETC, "10-a.conf", "[device a]\nName=" CARD "\nDriver=default\n");
	WAIT_UNTIL(strstr(boot_image(h), "boot image that this boot came from"));
	ck_assert_ptr_nonnull(strstr(boot_image(h), "driver_overrides.rule="));
	harness_free(h);
}
END_TEST

START_TEST(failed_policy_is_told_and_not_in_force)
{
	struct harness *h = harness_new();

	three_devices(h);
	mock_policy(h->m, MOCK_ETC, "10-bad.conf", "[device bad]\nName=" DISK "\nDriver=none\n");
	policy_fails(h, FAILURE_COUNTED);
	h->log = mock_printf(h->m, "%s/log", h->m->root);
	service_start(h);
	ck_assert_ptr_nonnull(strstr(failed_policy(h), "boots with this policy"));
	ck_assert_ptr_nonnull(strstr(failed_policy(h), "overridectl reload --retry"));
	ck_assert_ptr_nonnull(strstr(mock_read(h->m, h->log), "boots with this policy"));
	ck_assert_str_eq(property(h, "pci", CARD, "Decision"), "none");
	ck_assert_str_eq(property(h, "pci", DISK, "Decision"), "");

	/* Whatever is written makes it another policy. */
	mock_policy(h->m, MOCK_ETC, "20-other.conf", "[device other]\nName=x\nDriver=none\n");
	wait_property(h, "pci", DISK, "Decision", "none");
	ck_assert_str_eq(property(h, "pci", CARD, "Decision"), "");
	ck_assert_str_eq(failed_policy(h), "");
	harness_free(h);
}
END_TEST

START_TEST(policy_fails_while_the_service_runs)
{
	struct harness *h = harness_new();

	three_devices(h);
	mock_policy(h->m, MOCK_ETC, "10-bad.conf", "[device bad]\nName=" DISK "\nDriver=none\n");
	service_start(h);
	ck_assert_str_eq(property(h, "pci", DISK, "Decision"), "none");
	policy_fails(h, FAILURE_NO_ROOT);
	wait_property(h, "pci", CARD, "Decision", "none");
	ck_assert_str_eq(property(h, "pci", DISK, "Decision"), "");
	ck_assert_ptr_nonnull(strstr(failed_policy(h), "root file system did not come"));
	harness_free(h);
}
END_TEST

START_TEST(person_has_the_failed_policy_tried_again)
{
	struct harness *h = harness_new();
	struct boot_attempts attempts;
	char digest[POLICY_DIGEST_SIZE];
	sd_bus_message *m;

	three_devices(h);
	mock_policy(h->m, MOCK_ETC, "10-bad.conf", "[device bad]\nName=" DISK "\nDriver=none\n");
	policy_fails(h, FAILURE_COUNTED);
	ck_assert_int_eq(policy_digest_find(&h->m->settings, POLICY_OF_NEXT_BOOT, digest), 0);
	make_dirs(mock_printf(h->m, "%s/var/lib/driver-overrides", h->m->root));
	make_file(mock_printf(h->m, "%s/var/lib/driver-overrides/boots", h->m->root),
		  mock_printf(h->m, "good=\ntried=%s\nattempts=2\n", digest), 6 + 7 + 16 + 11);
	service_start(h);
	m = call(h, "RetryPolicy", NULL);
	ck_assert_msg(m != NULL, "%s", h->error.message);
	ck_assert_str_eq(failed_policy(h), "");
	ck_assert_str_eq(property(h, "pci", DISK, "Decision"), "none");
	ck_assert_int_eq(boot_attempts_read(&h->m->settings, &attempts), 0);
	ck_assert_uint_eq(attempts.n, 0);
	sd_bus_message_unref(m);
	harness_free(h);
}
END_TEST

/* That it is tried again is a change, as a reload is. */
START_TEST(not_everybody_may_have_it_tried_again)
{
	struct harness *h = service_with_polkit(NULL);
	sd_bus *user = connect_as(h, SOMEBODY);

	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "RetryPolicy", NULL)),
			 "!AccessDenied");
	sd_bus_flush_close_unref(user);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-boot-policy", 300, nothing_is_said_where_no_image_has_ever_had_a_policy,
	   policy_that_is_changed_is_another_than_the_images,
	   image_of_this_boot_is_compared_where_none_was_noted, failed_policy_is_told_and_not_in_force,
	   policy_fails_while_the_service_runs, person_has_the_failed_policy_tried_again,
	   not_everybody_may_have_it_tried_again)
