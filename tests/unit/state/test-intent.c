/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the guard was writing when it died is still ours. */
#include "tests/unit/fixtures/apply-fixture.h"
#include "state/intent.h"
#include "tests/unit/fixtures/suite.h"

#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(what_the_guard_was_writing_when_it_died_is_ours)
{
	struct apply_fixture b = apply_fixture_new("[device gpu]\nName=0000:00:03.0\nDriver=none\n");
	const char *state_dir = b.m->settings.state_dir;
	struct intents *intents;
	struct intent *one, *other;

	ck_assert_int_eq(intents_open(state_dir, &intents), 0);
	one = intent_begin(intents, "pci", "0000:00:03.0", "vfio-pci");
	other = intent_begin(intents, "pci", "0000:00:04.0", "foreign");
	ck_assert_ptr_nonnull(one);
	ck_assert(one != other);
	ck_assert(intent_is_pending(state_dir, "pci", "0000:00:03.0", "vfio-pci"));
	ck_assert(!intent_is_pending(state_dir, "pci", "0000:00:03.0", "foreign"));
	ck_assert(!intent_is_pending(state_dir, "pci", "0000:00:04.0", "vfio-pci"));

	mock_attr(b.m, b.device, "driver_override", "foreign\n");
	apply_fixture_apply(&b);
	ck_assert_int_eq(b.outcome.state, STATE_FOREIGN);
	mock_attr(b.m, b.device, "driver_override", "vfio-pci\n");
	apply_fixture_apply(&b);
	ck_assert_int_eq(b.outcome.state, STATE_ENFORCED);
	ck_assert_str_eq(mock_override(b.m, b.device), "none");

	/* Once it is recorded the record counts alone. */
	intent_end(one);
	ck_assert(!intent_is_pending(state_dir, "pci", "0000:00:03.0", "vfio-pci"));
	apply_fixture_done(&b);
}
END_TEST

START_TEST(intents_of_a_process_that_is_no_more_stay_until_they_were_looked_at)
{
	struct apply_fixture b = apply_fixture_new("");
	const char *state_dir = b.m->settings.state_dir;
	struct intents *intents;
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct intents *theirs;

		if (intents_open(state_dir, &theirs) < 0)
			_exit(1);
		_exit(intent_begin(theirs, "pci", "0000:00:03.0", "none") ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(intents_open(state_dir, &intents), 0);
	ck_assert_ptr_nonnull(intent_begin(intents, "pci", "0000:00:05.0", "none"));
	ck_assert(intent_is_pending(state_dir, "pci", "0000:00:03.0", "none"));
	intents_forget_others(intents);
	ck_assert(!intent_is_pending(state_dir, "pci", "0000:00:03.0", "none"));
	ck_assert(intent_is_pending(state_dir, "pci", "0000:00:05.0", "none"));
	apply_fixture_done(&b);
}
END_TEST

START_TEST(two_who_write_to_one_device_hear_of_each_other)
{
	struct apply_fixture b = apply_fixture_new("");
	struct intents *intents;
	struct intent *one, *other;

	ck_assert_int_eq(intents_open(b.m->settings.state_dir, &intents), 0);
	one = intent_begin(intents, "pci", "0000:00:03.0", "none");
	ck_assert(!intent_is_shared(intents, one));
	ck_assert(!intent_is_shared(intents, NULL));
	other = intent_begin(intents, "platform", "0000:00:03.0", "none");
	ck_assert(!intent_is_shared(intents, one));
	intent_end(other);
	other = intent_begin(intents, "pci", "0000:00:03.0", "vfio-pci");
	ck_assert(intent_is_shared(intents, one));
	ck_assert(intent_is_shared(intents, other));
	intent_end(one);
	ck_assert(!intent_is_shared(intents, other));
	apply_fixture_done(&b);
}
END_TEST

/* Where no record can be written it is all there is, as long as the device is. */
START_TEST(kept_intent_lasts_until_its_device_goes)
{
	struct apply_fixture b = apply_fixture_new("");
	const char *state_dir = b.m->settings.state_dir;
	struct intents *intents;
	struct intent *again;

	ck_assert_int_eq(intents_open(state_dir, &intents), 0);
	intent_keep(intent_begin(intents, "pci", "0000:00:03.0", "none"));
	ck_assert(intent_is_pending(state_dir, "pci", "0000:00:03.0", "none"));
	again = intent_begin(intents, "pci", "0000:00:03.0", "none");
	ck_assert(!intent_is_shared(intents, again)); /* nobody is at it */
	intent_end(again);
	intents_forget(intents, "pci", "0000:00:04.0");
	ck_assert(intent_is_pending(state_dir, "pci", "0000:00:03.0", "none"));
	intents_forget(intents, "pci", "0000:00:03.0");
	ck_assert(!intent_is_pending(state_dir, "pci", "0000:00:03.0", "none"));
	apply_fixture_done(&b);
}
END_TEST

START_TEST(intents_without_room_or_file_say_nothing)
{
	struct apply_fixture b = apply_fixture_new("");
	struct intents *intents;
	struct stat st;
	char name[512];
	size_t n = 0;

	ck_assert_ptr_null(intent_begin(NULL, "pci", "0000:00:03.0", "none"));
	intent_end(NULL);
	ck_assert(!intent_is_pending(b.m->settings.state_dir, "pci", "0000:00:03.0", "none"));
	ck_assert_int_eq(intents_open(b.m->settings.state_dir, &intents), 0);
	/* No holes: a file system that is full later on could not fill them, and the guard would be killed.
	 */
	ck_assert_int_eq(stat(mock_printf(b.m, "%s/writing", b.m->state), &st), 0);
	ck_assert_int_ge(st.st_blocks * 512, st.st_size);
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ck_assert_ptr_null(intent_begin(intents, "pci", name, "none"));
	while (intent_begin(intents, "pci", "0000:00:03.0", "none"))
		n++;
	ck_assert_uint_gt(n, 60);
	apply_fixture_done(&b);
}
END_TEST

SUITE_MAIN("intent", 20, what_the_guard_was_writing_when_it_died_is_ours,
	   intents_of_a_process_that_is_no_more_stay_until_they_were_looked_at,
	   two_who_write_to_one_device_hear_of_each_other, kept_intent_lasts_until_its_device_goes,
	   intents_without_room_or_file_say_nothing)
