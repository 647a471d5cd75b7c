/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The enforcer is started ahead of need, and no change depends on that. */
#include "base/text.h"
#include "tests/bus/harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How many enforcers were started ahead of need and had something to do. */
static unsigned waits(struct harness *h)
{
	const char *path = mock_printf(h->m, "%s/waits", h->m->root);
	unsigned n = 0;

	for (const char *s = access(path, F_OK) == 0 ? mock_read(h->m, path) : ""; *s; s++)
		n += *s == '\n';
	return n;
}

START_TEST(dry_run_and_move_have_an_enforcer_that_is_loaded)
{
	struct harness *h = harness_new();

	three_devices(h);
	service_start(h);
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	ck_assert_uint_eq(calls(h, "pci/" CARD), 2);
	ck_assert_uint_eq(waits(h), 2);
	ck_assert_str_eq(clear(h, "pci", CARD), "unmanaged");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	ck_assert_uint_eq(waits(h), calls(h, "pci/" CARD));
	/* A query of anybody is to cost no more than its own. */
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "dry-run", "b", 1, NULL), "enforced");
	ck_assert_uint_eq(waits(h) + 1, calls(h, "pci/" CARD));
	harness_free(h);
}
END_TEST

/* settle() sees that no process is left, and harness_free() that the service can end. */
START_TEST(enforcer_that_is_not_needed_ends)
{
	struct harness *h = harness_new();

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "05-a.conf", "[device a]\nName=" CARD "\nDriver=none\n");
	service_start(h);
	wait_property(h, "pci", CARD, "State", "enforced");
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "!Shadowed");
	settle(h);
	ck_assert_uint_eq(waits(h), 0);
	ck_assert_str_eq(manager_property(h, "LeftBehind", "u"), "0");
	harness_free(h);
}
END_TEST

/* The package is being replaced: it takes all that it gets, and says that it does not know what that means.
 */
START_TEST(enforcer_that_does_not_wait_is_started_as_ever)
{
	struct harness *h = harness_new();
	const char *program = mock_printf(h->m, "%s/enforcer", h->m->root);
	const char *text = mock_printf(h->m,
				       "#!/bin/sh\n[ \"$2\" = --wait ] && { cat >/dev/null; exit 2; }\n"
				       "exec %s \"$@\"\n",
				       getenv("FAKE_ENFORCER"));

	make_file(program, text, strlen(text));
	ck_assert_int_eq(chmod(program, 0755), 0);
	ck_assert_int_eq(setenv("FAKE_ENFORCER", program, 1), 0);
	three_devices(h);
	service_start(h);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
		ck_assert_str_eq(clear(h, "pci", CARD), "unmanaged");
	}
	ck_assert_uint_eq(waits(h), 0);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-standby", 120, dry_run_and_move_have_an_enforcer_that_is_loaded,
	   enforcer_that_is_not_needed_ends, enforcer_that_does_not_wait_is_started_as_ever)
