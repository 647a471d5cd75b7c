/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* IOMMU groups on a mock tree: one device's view, the view of all devices at once, and what is remembered. */
#include "base/arena.h"
#include "base/macro.h"
#include "base/text.h"
#include "state/boot-devices.h"
#include "tests/unit/fixtures/apply-fixture.h"
#include "tests/unit/fixtures/suite.h"

#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#define HOLD "[device gpu]\nName=0000:00:03.0\nDriver=vfio-pci\nGroup=hold\n"

/* b.device is the GPU; these are beside it. */
static struct apply_fixture group_fixture_new(const char *policy, const char **sound, const char **bridge)
{
	struct apply_fixture f = apply_fixture_new(policy);

	*sound = mock_pci_add(f.m, "0000:00:03.1", NULL, 0x10de, 0x10f0, 0x040300);
	*bridge = mock_pci_add(f.m, "0000:00:02.0", NULL, 0x8086, 0x1901, 0x060400);
	mock_group(f.m, 1, f.device, *sound, *bridge, NULL);
	return f;
}

/* The boot's first sweep, which saw the devices of the list. */
static void first_sweep_write(struct apply_fixture *f, const char *const *devpaths, size_t n)
{
	struct sysfs_device *d;
	uint64_t inodes[8];
	struct sysfs sysfs;

	sysfs_init(&sysfs, &f->m->settings);
	for (size_t i = 0; i < n; i++) {
		d = mock_device(&sysfs, devpaths[i]);
		inodes[i] = d->inode;
		sysfs_device_free(d);
	}
	ck_assert_int_eq(boot_devices_write(f->m->state, inodes, n, true), 1);
}

/* What all devices at once say about one: as the sweep decides. */
static const char *decision_of_sweep(struct apply_fixture *f, const char *devpath)
{
	struct sysfs sysfs;
	struct sysfs_device **v;
	const char *text = NULL;
	size_t n;

	sysfs_init(&sysfs, &f->m->settings);
	ck_assert_int_eq(sysfs_enumerate(&sysfs, &v, &n), 0);
	for (size_t i = 0; i < n; i++) {
		struct decision d;

		if (!streq(v[i]->devpath, devpath))
			continue;
		ck_assert_int_eq(policy_decide(f->policy, &v[i]->device, &d), 0);
		text = mock_printf(f->m, "%s", decision_text(&d));
		decision_done(&d);
	}
	sysfs_devices_free(v, n);
	sysfs_done(&sysfs);
	ck_assert_ptr_nonnull(text);
	return text;
}

/* The device as the guard asks about it: where it has prepared memory, no other is used. */
static void assert_decided_in_scratch(struct apply_fixture *f, const char *devpath, const char *bus,
				      const char *expected)
{
	struct decision decision;
	struct sysfs_device d;
	struct arena lent = {};
	struct sysfs sysfs;

	ck_assert_ptr_nonnull(arena_alloc(&lent, 32768));
	arena_reset(&lent);
	sysfs_init(&sysfs, &f->m->settings);
	for (int round = 0; round < 2; round++) {
		const struct arena before = lent;

		sysfs_device_init(&d, &sysfs, devpath, bus);
		d.device.scratch = &lent;
		ck_assert_int_eq(policy_decide(f->policy, &d.device, &decision), 0);
		ck_assert_str_eq(decision_text(&decision), expected);
		ck_assert_ptr_null(d.device.arena.blocks);
		ck_assert_ptr_eq(lent.blocks, before.blocks);
		ck_assert_uint_lt(lent.left, before.left);
		decision_done(&decision);
		sysfs_device_reset(&d);
		arena_reset(&lent);
	}
	sysfs_done(&sysfs);
	arena_done(&lent);
}

/* What one device's event says, which must be the same. */
static const char *decision_of_event(struct apply_fixture *f, const char *devpath)
{
	struct sysfs sysfs;
	struct sysfs_device *d;
	struct decision decision;
	const char *text;

	sysfs_init(&sysfs, &f->m->settings);
	d = mock_device(&sysfs, devpath);
	ck_assert_int_eq(policy_decide(f->policy, &d->device, &decision), 0);
	text = mock_printf(f->m, "%s", decision_text(&decision));
	decision_done(&decision);
	assert_decided_in_scratch(f, devpath, d->bus, text);
	sysfs_device_free(d);
	sysfs_done(&sysfs);
	ck_assert_str_eq(decision_of_sweep(f, devpath), text);
	return text;
}

START_TEST(hold_before_and_after_the_first_sweep)
{
	const char *sound, *bridge, *early[2];
	struct apply_fixture f = group_fixture_new(HOLD, &sound, &bridge);

	ck_assert_str_eq(decision_of_event(&f, sound), ""); /* no sweep yet: nobody can tell */
	early[0] = f.device;
	early[1] = bridge;
	first_sweep_write(&f, early, 2);
	ck_assert_str_eq(decision_of_event(&f, sound), "none");
	ck_assert_str_eq(decision_of_event(&f, bridge), "");
	ck_assert_str_eq(decision_of_event(&f, f.device), "vfio-pci");
	apply_fixture_apply_to(&f, sound);
	ck_assert_int_eq(f.outcome.state, STATE_HELD);
	ck_assert_str_eq(mock_override(f.m, sound), "none");
	apply_fixture_apply_to(&f, bridge);
	ck_assert_int_eq(f.outcome.state, STATE_UNMANAGED);
	apply_fixture_done(&f);
}
END_TEST

START_TEST(hold_leaves_what_was_present)
{
	const char *sound, *bridge, *early[3];
	struct apply_fixture f = group_fixture_new(HOLD, &sound, &bridge);

	early[0] = f.device;
	early[1] = sound;
	early[2] = bridge;
	first_sweep_write(&f, early, 3);
	ck_assert_str_eq(decision_of_event(&f, sound), "");
	apply_fixture_apply_to(&f, sound);
	ck_assert(!f.outcome.wrote);
	ck_assert_str_eq(mock_override(f.m, sound), "(null)\n");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(kept_when_the_member_is_unplugged)
{
	const char *sound, *bridge, *gpu;
	struct apply_fixture f = group_fixture_new(HOLD, &sound, &bridge);

	gpu = f.device;
	first_sweep_write(&f, NULL, 0);
	apply_fixture_apply_to(&f, sound);
	ck_assert_str_eq(mock_override(f.m, sound), "none");
	mock_remove(f.m, gpu);
	ck_assert_str_eq(decision_of_event(&f, sound), "none");

	/* Until it is unplugged itself, */
	mock_remove(f.m, sound);
	sound = mock_pci_add(f.m, "0000:00:03.1", NULL, 0x10de, 0x10f0, 0x040300);
	mock_group(f.m, 1, sound, NULL);
	ck_assert_str_eq(decision_of_event(&f, sound), "");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(kept_until_released)
{
	const char *sound, *bridge;
	struct apply_fixture f = group_fixture_new(HOLD, &sound, &bridge);
	struct sysfs sysfs;
	struct sysfs_device *d;
	char reason[512];

	first_sweep_write(&f, NULL, 0);
	apply_fixture_apply_to(&f, sound);
	mock_remove(f.m, f.device);
	ck_assert_str_eq(decision_of_event(&f, sound), "none");
	sysfs_init(&sysfs, &f.m->settings);
	d = mock_device(&sysfs, sound);
	ck_assert_int_eq(apply_release(d, reason, sizeof(reason)), 1);
	sysfs_device_free(d);
	ck_assert_str_eq(decision_of_event(&f, sound), "");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(kept_until_policy_changes)
{
	const char *sound, *bridge;
	struct apply_fixture f = group_fixture_new(HOLD, &sound, &bridge);

	first_sweep_write(&f, NULL, 0);
	apply_fixture_apply_to(&f, sound);
	mock_remove(f.m, f.device);
	ck_assert_str_eq(decision_of_event(&f, sound), "none");
	apply_fixture_set_policy(&f, "# a comment changes no rule\n" HOLD);
	ck_assert_str_eq(decision_of_event(&f, sound), "none");
	apply_fixture_set_policy(&f, HOLD "Rebind=force\n");
	ck_assert_str_eq(decision_of_event(&f, sound), "");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(own_rule_is_not_kept)
{
	const char *sound, *bridge;
	struct apply_fixture f =
		group_fixture_new("[device snd]\nAttr.x=1\nDriver=none\nGroup=none\n", &sound, &bridge);

	mock_attr(f.m, sound, "x", "1\n");
	apply_fixture_apply_to(&f, sound);
	ck_assert_int_eq(f.outcome.state, STATE_ENFORCED);
	mock_attr(f.m, sound, "x", "0\n");
	ck_assert_str_eq(decision_of_event(&f, sound), "");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(member_without_driver_override_matches_no_rule)
{
	const char *sound, *bridge, *other;
	struct apply_fixture f =
		group_fixture_new("[device dma]\nName=dma0\nDriver=none\nGroup=none\n" HOLD, &sound, &bridge);

	/* The contract knows devices by their driver_override; a rule cannot match what is none. */
	other = mock_device_add(f.m, "odd", "/devices/platform", "dma0", false);
	mock_group(f.m, 1, other, NULL);
	first_sweep_write(&f, &sound, 1);
	ck_assert_str_eq(decision_of_event(&f, sound), "");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(group_over_two_buses)
{
	const char *sound, *bridge, *soc;
	struct apply_fixture f = group_fixture_new(
		"[device gpu]\nName=0000:00:03.0\nDriver=vfio\nGroup=vfio\n", &sound, &bridge);

	soc = mock_platform_add(f.m, "fff51000.ethernet", NULL);
	mock_group(f.m, 1, soc, NULL);
	ck_assert_str_eq(decision_of_event(&f, sound), "vfio-pci");
	ck_assert_str_eq(decision_of_event(&f, soc), "vfio-platform");
	apply_fixture_done(&f);
}
END_TEST

START_TEST(device_of_another_group_is_not_concerned)
{
	const char *sound, *bridge, *other;
	struct apply_fixture f = group_fixture_new(
		"[device gpu]\nName=0000:00:03.0\nDriver=vfio\nGroup=none\n", &sound, &bridge);

	other = mock_pci_add(f.m, "0000:00:04.0", NULL, 0x10de, 0x10f0, 0x040300);
	ck_assert_str_eq(decision_of_event(&f, other), "");
	mock_group(f.m, 11, other, NULL);
	ck_assert_str_eq(decision_of_event(&f, other), "");
	apply_fixture_done(&f);
}
END_TEST

/* Members arrive one after another, each with its event, in every order. */
START_TEST(order_of_arrival_makes_no_difference)
{
	static const char *const names[] = { "0000:00:04.0", "0000:00:04.1", "0000:00:04.2" };
	static const unsigned orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					      { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

	for (size_t o = 0; o < ELEMENTSOF(orders); o++) {
		struct apply_fixture f =
			apply_fixture_new("[device a]\nName=0000:00:04.0\nDriver=vfio-pci\nGroup=hold\n"
					  "[device b]\nName=0000:00:04.1\nDriver=none\nGroup=pci-stub\n");
		const char *devices[3] = {};

		first_sweep_write(&f, NULL, 0);
		for (size_t i = 0; i < 3; i++) {
			unsigned k = orders[o][i];

			devices[k] = mock_pci_add(f.m, names[k], NULL, 0x10de, 0x1b80 + k, 0x030000);
			mock_group(f.m, 4, devices[k], NULL);
			for (size_t all = 0; all < 3; all++) /* an event re-decides the others, too */
				if (devices[all])
					apply_fixture_apply_to(&f, devices[all]);
		}
		ck_assert_str_eq(mock_override(f.m, devices[0]), "vfio-pci");
		ck_assert_str_eq(mock_override(f.m, devices[1]), "none");
		ck_assert_str_eq(mock_override(f.m, devices[2]), "none");
		apply_fixture_done(&f);
	}
}
END_TEST

/* A companion that was given `none` was released to its host driver when its class could not be read. */
START_TEST(companion_that_cannot_be_read_keeps_what_it_was_given)
{
	const char *sound, *bridge;
	struct apply_fixture f = group_fixture_new(HOLD, &sound, &bridge);

	first_sweep_write(&f, &f.device, 1);
	apply_fixture_apply_to(&f, sound);
	ck_assert_str_eq(mock_override(f.m, sound), "none");
	ck_assert_int_eq(unlink(mock_path(f.m, sound, "modalias")), 0);
	ck_assert_int_eq(symlink("modalias", mock_path(f.m, sound, "modalias")), 0);
	ck_assert_str_eq(decision_of_event(&f, sound), "unknown");
	apply_fixture_apply_to(&f, sound);
	ck_assert_int_eq(f.outcome.state, STATE_PENDING);
	ck_assert_ptr_nonnull(strstr(f.outcome.reason, "whether it is a bridge cannot be read"));
	ck_assert_str_eq(mock_override(f.m, sound), "none");
	apply_fixture_done(&f);
}
END_TEST

SUITE_MAIN("group", 20, companion_that_cannot_be_read_keeps_what_it_was_given,
	   hold_before_and_after_the_first_sweep, hold_leaves_what_was_present,
	   kept_when_the_member_is_unplugged, kept_until_released, kept_until_policy_changes,
	   own_rule_is_not_kept, member_without_driver_override_matches_no_rule, group_over_two_buses,
	   device_of_another_group_is_not_concerned, order_of_arrival_makes_no_difference)
