/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records, the list of what was present, releasing; and the small things that names and settings need. */
#include "base/file.h"
#include "base/macro.h"
#include "enforce/apply-record.h"
#include "state/boot-devices.h"
#include "state/record.h"
#include "state/record-file.h"
#include "state/state-lock.h"
#include "tests/unit/fixtures/apply-fixture.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VFIO "[device my gpu]\nName=0000:00:03.0\nDriver=vfio-pci\n"

static const char *record_file(struct apply_fixture *b)
{
	return mock_printf(b->m, "%s/devices/pci:0000:00:03.0", b->m->state);
}

/* The same record with one piece of text replaced. */
static void edit_record(struct apply_fixture *b, const char *from, const char *to)
{
	const char *text = mock_read(b->m, record_file(b)), *at = strstr(text, from);

	ck_assert_ptr_nonnull(at);
	text = mock_printf(b->m, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	make_file(record_file(b), text, strlen(text));
}

/* So many can be moved side by side. The lock that another program holds too long is not waited for. */
START_TEST(records_of_two_devices_do_not_wait_for_each_other)
{
	struct apply_fixture b = apply_fixture_new(VFIO);
	const struct record_key key = { .bus = "pci", .name = "0000:00:03.0", .inode = 7 };
	struct record record = { .state = STATE_PENDING };
	int log = memfd_create("stderr", MFD_CLOEXEC), lock;

	ck_assert_int_ge(dup2(log, STDERR_FILENO), 0);
	lock = record_lock_acquire(b.m->state, "pci", "0000:00:04.0");
	ck_assert_int_ge(lock, 0);
	ck_assert_int_eq(record_write(b.m->state, key, &record), 0);
	ck_assert_int_eq(lseek(log, 0, SEEK_END), 0);
	(void)close(lock);
	lock = record_lock_acquire(b.m->state, "pci", "0000:00:03.0");
	ck_assert_int_ge(lock, 0);
	ck_assert_int_eq(record_write(b.m->state, key, &record), 0);
	ck_assert_int_gt(lseek(log, 0, SEEK_END), 0);
	(void)close(lock);
	apply_fixture_done(&b);
}
END_TEST

START_TEST(fields_of_a_record)
{
	struct apply_fixture b = apply_fixture_new(VFIO);
	const char *text;

	mock_driver_add(b.m, "pci", "vfio-pci");
	apply_fixture_apply(&b);
	ck_assert(mock_record(b.m, b.device, &b.record));
	ck_assert_str_eq(b.record.owned_override, "vfio-pci");
	ck_assert_str_eq(b.record.driver_by_override, "");
	ck_assert_str_eq(b.record.decision, "vfio-pci");
	ck_assert_str_eq(b.record.cause, "rule");
	ck_assert_str_eq(b.record.rule, "my gpu");
	ck_assert_uint_eq(b.record.rule_id, rule_id(b.policy->rules[0]));
	ck_assert_str_eq(b.record.source, mock_printf(b.m, "%s/10-a.conf:1", b.m->conf[MOCK_ETC]));
	ck_assert_int_eq(b.record.state, b.outcome.state);
	ck_assert_str_eq(b.record.reason, b.outcome.reason);

	text = mock_read(b.m, record_file(&b));
	ck_assert_ptr_nonnull(strstr(text, "VERSION=1\n"));
	ck_assert_ptr_nonnull(strstr(text, mock_printf(b.m, "BOOT_ID=%s\n", boot_id())));
	apply_fixture_done(&b);
}
END_TEST

START_TEST(unknown_keys_are_passed_over)
{
	struct apply_fixture b = apply_fixture_new(VFIO);

	apply_fixture_apply(&b);
	edit_record(&b, "SET=", "SETTING=x\nNEW KEY\nSET=");
	ck_assert(mock_record(b.m, b.device, &b.record));
	ck_assert_str_eq(b.record.owned_override, "vfio-pci");
	apply_fixture_done(&b);
}
END_TEST

START_TEST(unknown_state_counts_for_none_and_is_kept)
{
	struct apply_fixture b = apply_fixture_new(VFIO);
	const char *state_dir = b.m->settings.state_dir;
	struct sysfs_device *d;
	struct sysfs sysfs;

	apply_fixture_apply(&b);
	edit_record(&b, "STATE=pending", "STATE=frozen");
	sysfs_init(&sysfs, &b.m->settings);
	ck_assert_int_eq(sysfs_device_new(&sysfs, b.device, "pci", &d), 0);
	ck_assert_int_eq(record_set_first_probe(state_dir, sysfs_device_key(d), FIRST_PROBE_GUARANTEED), 0);
	ck_assert(mock_record(b.m, b.device, &b.record));
	ck_assert_int_eq(b.record.state, STATE_UNKNOWN);
	ck_assert_str_eq(record_state_text(&b.record), "frozen");
	sysfs_device_free(d);
	apply_fixture_done(&b);
}
END_TEST

START_TEST(each_state_has_its_word)
{
	static const char *const words[] = { "",	"unmanaged", "foreign", "enforced", "held",
					     "pending", "blocked",   "failed",	"stuck" };

	for (enum device_state state = STATE_UNKNOWN; state <= STATE_STUCK; state++) {
		ck_assert_str_eq(device_state_to_string(state), words[state]);
		ck_assert_int_eq(device_state_from_string(words[state]), state);
		ck_assert(device_state_is(words[state], state));
	}
	ck_assert_int_eq(device_state_from_string("Enforced"), STATE_UNKNOWN);
	ck_assert_int_eq(device_state_from_string("enforced "), STATE_UNKNOWN);
}
END_TEST

/* A void record: the override is nobody's that we know, and must stay. */
static void is_void(struct apply_fixture *b)
{
	ck_assert(!mock_record(b->m, b->device, &b->record));
	apply_fixture_set_policy(b, "[device gpu]\nName=0000:00:03.0\nDriver=none\n");
	apply_fixture_apply(b);
	ck_assert_int_eq(b->outcome.state, STATE_FOREIGN);
	ck_assert_str_eq(mock_override(b->m, b->device), "vfio-pci");
	apply_fixture_done(b);
}

START_TEST(record_of_another_boot_is_void)
{
	struct apply_fixture b = apply_fixture_new(VFIO);

	apply_fixture_apply(&b);
	edit_record(&b, boot_id(), "00000000-0000-0000-0000-000000000000");
	is_void(&b);
}
END_TEST

START_TEST(record_of_another_version_is_void)
{
	struct apply_fixture b = apply_fixture_new(VFIO);

	apply_fixture_apply(&b);
	edit_record(&b, "VERSION=1", "VERSION=2");
	is_void(&b);
}
END_TEST

START_TEST(record_of_another_device_under_the_name_is_void)
{
	struct apply_fixture b = apply_fixture_new(VFIO);

	apply_fixture_apply(&b);
	mock_remove(b.m, b.device);
	b.device = mock_pci_add(b.m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);

	mock_attr(b.m, b.device, "driver_override", "vfio-pci");
	is_void(&b);
}
END_TEST

/* udev is done with the last one when the next one has been decided about already. */
START_TEST(who_is_late_leaves_the_record_of_a_successor_alone)
{
	struct apply_fixture b = apply_fixture_new(VFIO);
	const char *state_dir = b.m->settings.state_dir;
	struct sysfs_device *last;
	struct record late = {};
	struct sysfs sysfs;

	apply_fixture_apply(&b);
	sysfs_init(&sysfs, &b.m->settings);
	ck_assert_int_eq(sysfs_device_new(&sysfs, b.device, "pci", &last), 0);
	ck_assert_int_eq(record_set_first_probe(state_dir, sysfs_device_key(last), FIRST_PROBE_GUARANTEED),
			 0);
	last->inode++; /* not the one that is there */
	late.state = STATE_FAILED;
	ck_assert_int_eq(record_write(state_dir, sysfs_device_key(last), &late), 0);
	ck_assert_int_eq(record_remove(state_dir, sysfs_device_key(last)), 0);
	ck_assert(mock_record(b.m, b.device, &b.record));
	ck_assert_str_eq(first_probe_to_string(b.record.first_probe), "guaranteed");
	ck_assert_str_eq(b.record.decision, "vfio-pci");

	/* The other way round the record is of one that has gone. */
	last->inode--;
	edit_record(&b, "INODE=", "INODE=1");
	ck_assert_int_eq(record_write(state_dir, sysfs_device_key(last), &late), 0);
	ck_assert(mock_record(b.m, b.device, &b.record));
	ck_assert_int_eq(b.record.state, STATE_FAILED);
	edit_record(&b, "INODE=", "INODE=1");
	ck_assert_int_eq(record_remove(state_dir, sysfs_device_key(last)), 0);
	ck_assert_int_ne(access(record_file(&b), F_OK), 0);
	sysfs_device_free(last);
	apply_fixture_done(&b);
}
END_TEST

START_TEST(empty_or_cut_record_is_void)
{
	struct apply_fixture b = apply_fixture_new(VFIO);

	apply_fixture_apply(&b);
	make_file(record_file(&b), "VERS", 4);
	is_void(&b);
}
END_TEST

START_TEST(record_longer_than_any_is_void)
{
	struct apply_fixture b = apply_fixture_new(VFIO);
	const char *text;

	apply_fixture_apply(&b);
	text = mock_printf(b.m, "%s%65536s\n", mock_read(b.m, record_file(&b)), "X=");
	make_file(record_file(&b), text, strlen(text));
	is_void(&b);
}
END_TEST

START_TEST(what_does_not_change_is_not_written_again)
{
	struct apply_fixture b = apply_fixture_new(VFIO);
	struct stat before, after;

	apply_fixture_apply(&b);
	apply_fixture_apply(&b);
	ck_assert_int_eq(stat(record_file(&b), &before), 0);
	apply_fixture_apply(&b);
	ck_assert_int_eq(stat(record_file(&b), &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	apply_fixture_done(&b);
}
END_TEST

/* Releases the device; the text of what went wrong is not looked at. */
static int release(struct apply_fixture *b)
{
	struct sysfs sysfs;
	struct sysfs_device *d;
	char reason[512];
	int r;

	sysfs_init(&sysfs, &b->m->settings);
	d = mock_device(&sysfs, b->device);
	r = apply_release(d, reason, sizeof(reason));
	sysfs_device_free(d);
	return r;
}

START_TEST(release_clears_what_is_ours)
{
	struct apply_fixture b = apply_fixture_new(VFIO);

	ck_assert_int_eq(release(&b), 0);
	apply_fixture_apply(&b);
	ck_assert_int_eq(release(&b), 1);
	ck_assert_str_eq(mock_override(b.m, b.device), "\n");
	ck_assert_str_eq(apply_fixture_probed(&b), "0000:00:03.0");
	ck_assert(!mock_record(b.m, b.device, &b.record));
	ck_assert_int_eq(release(&b), 0);
	apply_fixture_done(&b);
}
END_TEST

START_TEST(release_leaves_what_is_not_ours)
{
	struct apply_fixture b = apply_fixture_new(VFIO);

	apply_fixture_apply(&b);
	mock_attr(b.m, b.device, "driver_override", "foreign\n");
	apply_fixture_watch(&b);
	ck_assert_int_eq(release(&b), 0);
	ck_assert(!apply_fixture_was_written(&b));
	ck_assert_str_eq(apply_fixture_probed(&b), "");
	apply_fixture_done(&b);
}
END_TEST

START_TEST(release_leaves_a_bound_driver)
{
	struct apply_fixture b = apply_fixture_new(VFIO);

	apply_fixture_apply(&b);
	mock_bind(b.m, b.device, "vfio-pci");
	ck_assert_int_eq(release(&b), 1);
	ck_assert_str_eq(apply_fixture_probed(&b), "");
	apply_fixture_done(&b);
}
END_TEST

START_TEST(stuck_device_keeps_what_was_set)
{
	struct apply_fixture b = apply_fixture_new(VFIO);
	struct sysfs sysfs;
	struct sysfs_device *d;

	apply_fixture_apply(&b);
	sysfs_init(&sysfs, &b.m->settings);
	d = mock_device(&sysfs, b.device);
	apply_record_stuck(d, "reading driver_override of pci 0000:00:03.0");
	sysfs_device_free(d);
	ck_assert(mock_record(b.m, b.device, &b.record));
	ck_assert_int_eq(b.record.state, STATE_STUCK);
	ck_assert_str_eq(b.record.owned_override, "vfio-pci");
	ck_assert_ptr_nonnull(strstr(b.record.reason, "driver_override"));
	apply_fixture_done(&b);
}
END_TEST

START_TEST(present_list_never_changes)
{
	struct apply_fixture b = apply_fixture_new("");
	struct sysfs sysfs;
	struct sysfs_device *first, *second;

	sysfs_init(&sysfs, &b.m->settings);
	first = mock_device(&sysfs, b.device);
	ck_assert_int_lt(first->device.ops->was_present(&first->device), 0);
	ck_assert_int_eq(boot_devices_write(b.m->state, &first->inode, 1, true), 1);

	second = mock_device(&sysfs, mock_platform_add(b.m, "later", NULL));
	ck_assert_int_eq(boot_devices_write(b.m->state, &second->inode, 1, true), 0);
	ck_assert_int_eq(first->device.ops->was_present(&first->device), 1);
	ck_assert_int_eq(second->device.ops->was_present(&second->device), 0);
	sysfs_device_free(first);
	sysfs_device_free(second);
	sysfs_done(&sysfs);
	apply_fixture_done(&b);
}
END_TEST

START_TEST(present_list_is_open_until_it_is_completed)
{
	struct apply_fixture b = apply_fixture_new("");
	static const uint64_t first[] = { 5, 3 }, second[] = { 9, 5 };
	struct boot_devices list = {};

	ck_assert_int_eq(boot_devices_find(&list, 3), -ENODATA); /* it was not read */
	ck_assert_int_eq(boot_devices_write(b.m->state, first, 2, false), 1);
	ck_assert_int_eq(boot_devices_write(b.m->state, second, 2, false), 0);
	ck_assert_int_eq(boot_devices_load(&list, b.m->state), 0);
	ck_assert(!list.complete);
	ck_assert_int_eq(boot_devices_find(&list, 3), 1);
	ck_assert_int_eq(boot_devices_find(&list, 4), 1);
	boot_devices_done(&list);

	ck_assert_int_eq(boot_devices_write(b.m->state, second, 2, true), 1);
	ck_assert_int_eq(boot_devices_write(b.m->state, first, 2, true), 0);
	ck_assert_int_eq(boot_devices_load(&list, b.m->state), 0);
	ck_assert(list.complete);
	for (uint64_t inode = 1; inode < 12; inode++)
		ck_assert_int_eq(boot_devices_find(&list, inode), inode == 3 || inode == 5 || inode == 9);
	boot_devices_done(&list);
	apply_fixture_done(&b);
}
END_TEST

START_TEST(present_list_of_another_boot_counts_for_nothing)
{
	struct apply_fixture b = apply_fixture_new("");
	struct boot_devices list = {};
	char path[PATH_MAX];

	ck_assert_int_eq(boot_devices_path(b.m->state, path, sizeof(path)), 0);
	make_dirs(b.m->state);
	make_file(path, "00000000-0000-0000-0000-000000000000\n1\n", 39);
	ck_assert_int_eq(boot_devices_has(&list, b.m->state, 1), -ENODATA);
	ck_assert_int_eq(boot_devices_write(b.m->state, NULL, 0, true), 1);
	ck_assert_int_eq(boot_devices_has(&list, b.m->state, 1), 0);
	boot_devices_done(&list);
	apply_fixture_done(&b);
}
END_TEST

START_TEST(first_probe_is_refined_and_never_raised)
{
	static const char *const all[] = { "", "unknown", "won", "guaranteed", "lost" };
	/* The claim of before is the row, the one that comes is the column. */
	static const char *const expected[5][5] = {
		{ "", "unknown", "won", "guaranteed", "lost" },
		{ "unknown", "unknown", "unknown", "guaranteed", "lost" },
		{ "won", "won", "won", "guaranteed", "lost" },
		{ "guaranteed", "guaranteed", "guaranteed", "guaranteed", "lost" },
		{ "lost", "lost", "lost", "lost", "lost" },
	};
	struct apply_fixture b = apply_fixture_new(VFIO);
	struct sysfs_device *d;
	struct record record;
	struct sysfs sysfs;

	sysfs_init(&sysfs, &b.m->settings);
	ck_assert_int_eq(sysfs_device_new(&sysfs, b.device, "pci", &d), 0);
	/* A newer version's word claims nothing that this one would understand. */
	ck_assert_int_eq(first_probe_from_string("observed"), FIRST_PROBE_UNKNOWN);
	for (size_t i = 0; i < ELEMENTSOF(all); i++) {
		for (size_t k = 0; k < ELEMENTSOF(all); k++) {
			enum first_probe old = first_probe_from_string(all[i]),
					 new = first_probe_from_string(all[k]);

			ck_assert_str_eq(first_probe_to_string(first_probe_merge(old, new)), expected[i][k]);
			for (int alone = 0; alone < 2; alone++) {
				record = (struct record){ .inode = d->inode };
				ck_assert_int_eq(record_remove(b.m->state, sysfs_device_key(d)), 0);
				(void)unlink(
					mock_printf(b.m, "%s/first-probes/pci:0000:00:03.0", b.m->state));
				record.first_probe = old;
				ck_assert_int_eq(record_write(b.m->state, sysfs_device_key(d), &record), 0);
				record.first_probe = new;
				ck_assert_int_eq(
					alone ? record_set_first_probe(b.m->state, sysfs_device_key(d), new)
					      : record_write(b.m->state, sysfs_device_key(d), &record),
					0);
				ck_assert(mock_record(b.m, b.device, &record));
				ck_assert_str_eq(first_probe_to_string(record.first_probe), expected[i][k]);
			}
		}
	}
	sysfs_device_free(d);
	apply_fixture_done(&b);
}
END_TEST

SUITE_MAIN("state", 20, first_probe_is_refined_and_never_raised, fields_of_a_record,
	   records_of_two_devices_do_not_wait_for_each_other, unknown_keys_are_passed_over,
	   unknown_state_counts_for_none_and_is_kept, each_state_has_its_word, record_of_another_boot_is_void,
	   record_of_another_version_is_void, record_of_another_device_under_the_name_is_void,
	   who_is_late_leaves_the_record_of_a_successor_alone, empty_or_cut_record_is_void,
	   record_longer_than_any_is_void, what_does_not_change_is_not_written_again,
	   release_clears_what_is_ours, release_leaves_what_is_not_ours, release_leaves_a_bound_driver,
	   stuck_device_keeps_what_was_set, present_list_never_changes,
	   present_list_is_open_until_it_is_completed, present_list_of_another_boot_counts_for_nothing)
