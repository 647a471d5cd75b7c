/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Another policy comes in force: what the hold is told, and in which order. */
#include "base/text.h"
#include "guard/guard.h"
#include "guard/thread.h"
#include "tests/unit/fixtures/fake-hold.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct fixture {
	struct mock *m;
	struct guard g;
	const struct policy_snapshot *before; /* in force until now */
	unsigned n_suspended, n_set;
};

/* A filter is suspended while its own policy is in force, and set when its own is. */
static void check_order(void *userdata, const struct hold_filter *filter)
{
	struct fixture *f = userdata;

	if (!filter) {
		ck_assert_ptr_eq(f->g.policy_snapshot, f->before);
		ck_assert_uint_eq(f->n_suspended++, f->n_set);
	} else {
		ck_assert_ptr_ne(f->g.policy_snapshot, f->before);
		ck_assert_ptr_eq(filter, &f->g.policy_snapshot->filter);
		ck_assert_uint_eq(++f->n_set, f->n_suspended);
	}
}

START_TEST(no_device_is_spared_while_the_policy_changes)
{
	struct fixture f = { .m = mock_new() };

	f.g.settings = &f.m->settings;
	f.g.hold = hold_new(1000);
	ck_assert_int_eq(priority_lock_init(&f.g.policy_lock), 0);
	(void)mock_pci_add(f.m, "0000:00:03.0", NULL, 0x8086, 0x10d3, 0x020000);
	fake_hold_on_filter(f.g.hold, check_order, &f);
	for (unsigned i = 0; i < 3; i++) {
		char text[128], status[128];

		(void)snprintf(text, sizeof(text), "[device d]\nBus=pci\n%s\nDriver=none\n",
			       i == 1 ? "Path=*" : "Id=8086:10d3");
		mock_policy(f.m, MOCK_ETC, "50.conf", text);
		guard_set_policy(&f.g, policy_snapshot_load(&f.m->settings));
		f.before = f.g.policy_snapshot;
		hold_filter_text(&f.before->filter, status, sizeof(status));
		ck_assert_msg(i == 1 ? startswith(status, "off on pci (") && strstr(status, "/50.conf:1)")
				     : streq(status, "on"),
			      "%s", status);
	}
	ck_assert_uint_eq(f.n_set, 3);
	policy_snapshot_unref(f.g.policy_snapshot);
	hold_free(f.g.hold);
	mock_free(f.m);
}
END_TEST

SUITE_MAIN("policy-swap", 30, no_device_is_spared_while_the_policy_changes)
