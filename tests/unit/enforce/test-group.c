/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* IOMMU groups on a mock tree: one device's view, the view of all devices at once, and what is remembered. */
#include "tests/unit/fixtures/apply-fixture.h"
#include "state/store.h"
#include "tests/unit/fixtures/suite.h"

#define HOLD "[device gpu]\nName=0000:00:03.0\nDriver=vfio-pci\nGroup=hold\n"

/* b.device is the GPU; these are beside it. */
static struct bench bench(const char *policy, const char **sound, const char **bridge)
{
	struct bench b = bench_new(policy);

	*sound = mock_pci_add(b.m, "0000:00:03.1", NULL, 0x10de, 0x10f0, 0x040300);
	*bridge = mock_pci_add(b.m, "0000:00:02.0", NULL, 0x8086, 0x1901, 0x060400);
	mock_group(b.m, 1, b.device, *sound, *bridge, NULL);
	return b;
}

/* The boot's first sweep, which saw the devices of the list. */
static void first_sweep(struct bench *b, const char *const *devpaths, size_t n)
{
	struct sysfs_device *v[8];
	struct sysfs sysfs;

	sysfs_init(&sysfs, &b->m->settings);
	for (size_t i = 0; i < n; i++)
		v[i] = mock_device(&sysfs, devpaths[i]);
	ck_assert_int_eq(boot_devices_write(b->m->state, v, n), 1);
	for (size_t i = 0; i < n; i++)
		sysfs_device_free(v[i]);
}

/* What all devices at once say about one: as the sweep decides. */
static const char *in_sweep(struct bench *b, const char *devpath)
{
	struct sysfs sysfs;
	struct sysfs_device **v;
	const char *text = NULL;
	size_t n;

	sysfs_init(&sysfs, &b->m->settings);
	ck_assert_int_eq(sysfs_enumerate(&sysfs, &v, &n), 0);
	for (size_t i = 0; i < n; i++) {
		struct decision d;

		if (!streq(v[i]->devpath, devpath))
			continue;
		ck_assert_int_eq(policy_decide(b->policy, &v[i]->device, &d), 0);
		text = mock_printf(b->m, "%s", decision_text(&d));
		decision_done(&d);
	}
	sysfs_devices_free(v, n);
	sysfs_done(&sysfs);
	ck_assert_ptr_nonnull(text);
	return text;
}

/* The device as the guard asks about it: where it has prepared memory, no other is used. */
static void in_lent_memory(struct bench *b, const char *devpath, const char *bus, const char *expected)
{
	struct decision decision;
	struct sysfs_device d;
	struct arena lent = {};
	struct sysfs sysfs;

	ck_assert_ptr_nonnull(arena_alloc(&lent, 32768));
	arena_reset(&lent);
	sysfs_init(&sysfs, &b->m->settings);
	for (int round = 0; round < 2; round++) {
		const struct arena before = lent;

		sysfs_device_init(&d, &sysfs, devpath, bus);
		d.device.scratch = &lent;
		ck_assert_int_eq(policy_decide(b->policy, &d.device, &decision), 0);
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
static const char *decided(struct bench *b, const char *devpath)
{
	struct sysfs sysfs;
	struct sysfs_device *d;
	struct decision decision;
	const char *text;

	sysfs_init(&sysfs, &b->m->settings);
	d = mock_device(&sysfs, devpath);
	ck_assert_int_eq(policy_decide(b->policy, &d->device, &decision), 0);
	text = mock_printf(b->m, "%s", decision_text(&decision));
	decision_done(&decision);
	in_lent_memory(b, devpath, d->bus, text);
	sysfs_device_free(d);
	sysfs_done(&sysfs);
	ck_assert_str_eq(in_sweep(b, devpath), text);
	return text;
}

START_TEST(hold_before_and_after_the_first_sweep)
{
	const char *sound, *bridge, *early[2];
	struct bench b = bench(HOLD, &sound, &bridge);

	ck_assert_str_eq(decided(&b, sound), ""); /* no sweep yet: nobody can tell */
	early[0] = b.device;
	early[1] = bridge;
	first_sweep(&b, early, 2);
	ck_assert_str_eq(decided(&b, sound), "none");
	ck_assert_str_eq(decided(&b, bridge), "");
	ck_assert_str_eq(decided(&b, b.device), "vfio-pci");
	apply_to(&b, sound);
	ck_assert_int_eq(b.outcome.state, STATE_HELD);
	ck_assert_str_eq(mock_override(b.m, sound), "none");
	apply_to(&b, bridge);
	ck_assert_int_eq(b.outcome.state, STATE_UNMANAGED);
	bench_done(&b);
}
END_TEST

START_TEST(hold_leaves_what_was_present)
{
	const char *sound, *bridge, *early[3];
	struct bench b = bench(HOLD, &sound, &bridge);

	early[0] = b.device;
	early[1] = sound;
	early[2] = bridge;
	first_sweep(&b, early, 3);
	ck_assert_str_eq(decided(&b, sound), "");
	apply_to(&b, sound);
	ck_assert(!b.outcome.wrote);
	ck_assert_str_eq(mock_override(b.m, sound), "(null)\n");
	bench_done(&b);
}
END_TEST

START_TEST(kept_when_the_member_is_unplugged)
{
	const char *sound, *bridge, *gpu;
	struct bench b = bench(HOLD, &sound, &bridge);

	gpu = b.device;
	first_sweep(&b, NULL, 0);
	apply_to(&b, sound);
	ck_assert_str_eq(mock_override(b.m, sound), "none");
	mock_remove(b.m, gpu);
	ck_assert_str_eq(decided(&b, sound), "none");

	/* Until it is unplugged itself, */
	mock_remove(b.m, sound);
	sound = mock_pci_add(b.m, "0000:00:03.1", NULL, 0x10de, 0x10f0, 0x040300);
	mock_group(b.m, 1, sound, NULL);
	ck_assert_str_eq(decided(&b, sound), "");
	bench_done(&b);
}
END_TEST

START_TEST(kept_until_released)
{
	const char *sound, *bridge;
	struct bench b = bench(HOLD, &sound, &bridge);
	struct sysfs sysfs;
	struct sysfs_device *d;
	char reason[512];

	first_sweep(&b, NULL, 0);
	apply_to(&b, sound);
	mock_remove(b.m, b.device);
	ck_assert_str_eq(decided(&b, sound), "none");
	sysfs_init(&sysfs, &b.m->settings);
	d = mock_device(&sysfs, sound);
	ck_assert_int_eq(apply_release(d, reason, sizeof(reason)), 1);
	sysfs_device_free(d);
	ck_assert_str_eq(decided(&b, sound), "");
	bench_done(&b);
}
END_TEST

START_TEST(kept_until_policy_changes)
{
	const char *sound, *bridge;
	struct bench b = bench(HOLD, &sound, &bridge);

	first_sweep(&b, NULL, 0);
	apply_to(&b, sound);
	mock_remove(b.m, b.device);
	ck_assert_str_eq(decided(&b, sound), "none");
	new_policy(&b, "# a comment changes no rule\n" HOLD);
	ck_assert_str_eq(decided(&b, sound), "none");
	new_policy(&b, HOLD "Rebind=force\n");
	ck_assert_str_eq(decided(&b, sound), "");
	bench_done(&b);
}
END_TEST

START_TEST(own_rule_is_not_kept)
{
	const char *sound, *bridge;
	struct bench b = bench("[device snd]\nAttr.x=1\nDriver=none\nGroup=none\n", &sound, &bridge);

	mock_attr(b.m, sound, "x", "1\n");
	apply_to(&b, sound);
	ck_assert_int_eq(b.outcome.state, STATE_ENFORCED);
	mock_attr(b.m, sound, "x", "0\n");
	ck_assert_str_eq(decided(&b, sound), "");
	bench_done(&b);
}
END_TEST

START_TEST(member_without_the_file_is_no_device)
{
	const char *sound, *bridge, *other;
	struct bench b = bench("[device dma]\nName=dma0\nDriver=none\nGroup=none\n" HOLD, &sound, &bridge);

	/* The contract knows devices by their driver_override; a rule cannot match what is none. */
	other = mock_device_add(b.m, "odd", "/devices/platform", "dma0", false);
	mock_group(b.m, 1, other, NULL);
	first_sweep(&b, &sound, 1);
	ck_assert_str_eq(decided(&b, sound), "");
	bench_done(&b);
}
END_TEST

START_TEST(group_over_two_buses)
{
	const char *sound, *bridge, *soc;
	struct bench b = bench("[device gpu]\nName=0000:00:03.0\nDriver=vfio\nGroup=vfio\n", &sound, &bridge);

	soc = mock_platform_add(b.m, "fff51000.ethernet", NULL);
	mock_group(b.m, 1, soc, NULL);
	ck_assert_str_eq(decided(&b, sound), "vfio-pci");
	ck_assert_str_eq(decided(&b, soc), "vfio-platform");
	bench_done(&b);
}
END_TEST

START_TEST(device_of_another_group_is_no_companion)
{
	const char *sound, *bridge, *other;
	struct bench b = bench("[device gpu]\nName=0000:00:03.0\nDriver=vfio\nGroup=none\n", &sound, &bridge);

	other = mock_pci_add(b.m, "0000:00:04.0", NULL, 0x10de, 0x10f0, 0x040300);
	ck_assert_str_eq(decided(&b, other), "");
	mock_group(b.m, 11, other, NULL);
	ck_assert_str_eq(decided(&b, other), "");
	bench_done(&b);
}
END_TEST

/* Members arrive one after another, each with its event, in every order. */
START_TEST(order_of_arrival_makes_no_difference)
{
	static const char *const names[] = { "0000:00:04.0", "0000:00:04.1", "0000:00:04.2" };
	static const unsigned orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					      { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

	for (size_t o = 0; o < ELEMENTSOF(orders); o++) {
		struct bench b = bench_new("[device a]\nName=0000:00:04.0\nDriver=vfio-pci\nGroup=hold\n"
					   "[device b]\nName=0000:00:04.1\nDriver=none\nGroup=pci-stub\n");
		const char *devices[3] = {};

		first_sweep(&b, NULL, 0);
		for (size_t i = 0; i < 3; i++) {
			unsigned k = orders[o][i];

			devices[k] = mock_pci_add(b.m, names[k], NULL, 0x10de, 0x1b80 + k, 0x030000);
			mock_group(b.m, 4, devices[k], NULL);
			for (size_t all = 0; all < 3; all++) /* an event re-decides the others, too */
				if (devices[all])
					apply_to(&b, devices[all]);
		}
		ck_assert_str_eq(mock_override(b.m, devices[0]), "vfio-pci");
		ck_assert_str_eq(mock_override(b.m, devices[1]), "none");
		ck_assert_str_eq(mock_override(b.m, devices[2]), "none");
		bench_done(&b);
	}
}
END_TEST

SUITE_MAIN("group", 20, hold_before_and_after_the_first_sweep, hold_leaves_what_was_present,
	   kept_when_the_member_is_unplugged, kept_until_released, kept_until_policy_changes,
	   own_rule_is_not_kept, member_without_the_file_is_no_device, group_over_two_buses,
	   device_of_another_group_is_no_companion, order_of_arrival_makes_no_difference)
