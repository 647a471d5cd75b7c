/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The enforcer is killed half-way, as when memory runs out; see killed-enforcer.c. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define CARD_FILE "10-set-pci-" CARD ".conf"
#define POINTS_LEAST 10U
#define POINTS_MOST 200U

/* A device without a driver: on a mock tree no kernel would unbind one. */
static struct harness *begin(void)
{
	struct harness *h = harness_new();

	ck_assert_int_eq(setenv("FAKE_ENFORCER", getenv("KILLED_ENFORCER"), 1), 0);
	three_devices(h);
	mock_unbind(h->m, PATH_OF(CARD));
	service_start(h);
	return h;
}

static const char *killed_file(struct harness *h)
{
	return mock_printf(h->m, "%s/killed", h->m->root);
}

static void kill_after(struct harness *h, unsigned n)
{
	const char *text = mock_printf(h->m, "%u\n", n);

	(void)unlink(killed_file(h));
	make_file(mock_printf(h->m, "%s/kill-after", h->m->root), text, strlen(text));
}

static void device_is_as_its_file_says(struct harness *h)
{
	const char *text = policy_text(h, MOCK_ETC, CARD_FILE), *override;

	ck_assert(!text || strstr(text, "\nDriver=none\n"));
	wait_property(h, "pci", CARD, "State", text ? "enforced" : "unmanaged");
	wait_property(h, "pci", CARD, "Override", text ? "none" : "");
	override = mock_override(h->m, PATH_OF(CARD));
	/* Neither ends with a newline if the enforcer wrote it. */
	ck_assert_msg((strncmp(override, "none", 4) == 0) == (text != NULL), "the override is %s", override);
}

/* One change, during which the enforcer is killed after its nth call. False: it had ended before. */
static bool change_and_kill(struct harness *h, bool set_it, unsigned n)
{
	const char *answer, *last;

	kill_after(h, n);
	answer = set_it ? set(h, "pci", CARD, "none") : clear(h, "pci", CARD);
	if (access(killed_file(h), F_OK) < 0) {
		ck_assert_str_eq(answer, set_it ? "enforced" : "unmanaged");
		return false;
	}
	last = mock_read(h->m, killed_file(h));
	(void)printf("%s, killed after call %u (%.*s): %s,\n", set_it ? "set" : "clear", n,
		     (int)strcspn(last, "\n"), last, answer);
	(void)fflush(stdout);
	device_is_as_its_file_says(h);
	(void)printf("then %s\n", policy_text(h, MOCK_ETC, CARD_FILE) ? "none" : "no rule");
	(void)fflush(stdout);
	return true;
}

static void kill_everywhere(bool set_it)
{
	struct harness *h = begin();
	unsigned n = 1;

	for (; n < POINTS_MOST; n++) {
		/* Where it begins. */
		if (set_it && policy_text(h, MOCK_ETC, CARD_FILE))
			ck_assert_str_eq(clear(h, "pci", CARD), "unmanaged");
		else if (!set_it && !policy_text(h, MOCK_ETC, CARD_FILE))
			ck_assert_str_eq(set(h, "pci", CARD, "none"), "enforced");
		if (!change_and_kill(h, set_it, n))
			break;
		/* Also for a service that knows nothing of it. */
		service_stop(h);
		service_start(h);
		device_is_as_its_file_says(h);
	}
	ck_assert_uint_gt(n, POINTS_LEAST / 2);
	ck_assert_uint_lt(n, POINTS_MOST);
	harness_free(h);
}

START_TEST(an_enforcer_that_is_killed_while_it_sets_is_recovered)
{
	kill_everywhere(true);
}
END_TEST

START_TEST(an_enforcer_that_is_killed_while_it_clears_is_recovered)
{
	kill_everywhere(false);
}
END_TEST

START_TEST(an_enforcer_of_another_version_is_told_from_one_that_fails)
{
	static const char script[] = "#!/bin/sh\necho \"unrecognized option\" >&2\nexit 2\n";
	struct harness *h = harness_new();
	const char *path = mock_printf(h->m, "%s/enforcer", h->m->root);

	make_file(path, script, strlen(script));
	ck_assert_int_eq(chmod(path, 0755), 0);
	ck_assert_int_eq(setenv("FAKE_ENFORCER", path, 1), 0);
	three_devices(h);
	service_start(h);
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "!Failed");
	ck_assert_msg(strstr(h->error.message, "of another version than the service") != NULL, "%s",
		      h->error.message);
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-killed-enforcer", 570, an_enforcer_that_is_killed_while_it_sets_is_recovered,
	   an_enforcer_that_is_killed_while_it_clears_is_recovered,
	   an_enforcer_of_another_version_is_told_from_one_that_fails)
