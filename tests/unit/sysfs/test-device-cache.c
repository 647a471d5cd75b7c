/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is kept of devices that are still there, and that nothing of it is taken for a successor's. */
#include "base/arena.h"
#include "base/macro.h"
#include "sysfs/device-cache.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* A physical function in a slot, whose virtual functions come from function 0 of device 0x10 on. */
struct card {
	struct mock *m;
	struct sysfs sysfs;
	struct device_cache cache;
	const char *port, *pf;
};

static const char *card_add_physfn(struct card *c, unsigned offset, unsigned stride)
{
	c->pf = mock_pci_add(c->m, "0000:03:00.0", c->port, 0x8086, 0x10c9, 0x020000);
	mock_sriov(c->m, c->pf, 8, offset, stride, 0x10ca);
	return c->pf;
}

static struct card *card_new(void)
{
	static struct card c;

	c = (struct card){ .m = mock_new() };
	c.port = mock_pci_add(c.m, "0000:00:1c.0", NULL, 0x8086, 0x1901, 0x060400);
	(void)card_add_physfn(&c, 0x80, 2);
	sysfs_init(&c.sysfs, &c.m->settings);
	device_cache_init(&c.cache);
	c.sysfs.cache = &c.cache;
	return &c;
}

static void card_free(struct card *c)
{
	device_cache_done(&c->cache);
	mock_free(c->m);
}

static const char *card_add_function(struct card *c, const char *name)
{
	return mock_pci_add(c->m, name, c->port, 0x8086, 0x10ca, 0x020000);
}

static const char *card_path_of(struct card *c, const char *devpath)
{
	struct sysfs_device *d = mock_device(&c->sysfs, devpath);
	const char *text = mock_printf(c->m, "%s", device_text(&d->device, FACT_PATH));

	sysfs_device_free(d);
	return text;
}

static size_t card_count_kept(const struct card *c)
{
	size_t n = 0;

	for (size_t i = 0; i < ELEMENTSOF(c->cache.physfns); i++)
		n += c->cache.physfns[i].inode != 0;
	return n;
}

/* Asks three times: of what was found the first time, the second keeps files that the third reads again. */
static void card_expect(struct card *c, const char *devpath, const char *path)
{
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(card_path_of(c, devpath), path);
}

START_TEST(physical_function_is_kept_and_its_numbers_are_read_again)
{
	struct card *c = card_new();
	const char *vf = card_add_function(c, "0000:03:10.4");

	card_expect(c, vf, "pci0000:00/1c.0/00.0/vf2");
	ck_assert_uint_eq(card_count_kept(c), 1);
	ck_assert_int_ge(c->cache.physfns[0].fds[PHYSFN_STRIDE], 0);
	ck_assert_int_eq(c->cache.physfns[0].vf_device, 0x10ca);
	/* The card's functions are made anew, with other distances. */
	mock_sriov(c->m, c->pf, 8, 0x80, 4, 0x10ca);
	card_expect(c, vf, "pci0000:00/1c.0/00.0/vf1");
	mock_sriov(c->m, c->pf, 8, 0x83, 1, 0x10ca);
	card_expect(c, vf, "pci0000:00/1c.0/00.0/vf1");
	mock_sriov(c->m, c->pf, 1, 0x83, 1, 0x10ca);
	card_expect(c, vf, "pci0000:00/1c.0/10.4");
	card_free(c);
}
END_TEST

START_TEST(card_that_takes_the_place_of_another_has_its_own_numbers)
{
	struct card *c = card_new();
	const char *vf = card_add_function(c, "0000:03:10.4");

	card_expect(c, vf, "pci0000:00/1c.0/00.0/vf2");
	mock_remove(c->m, c->pf);
	card_expect(c, vf, "pci0000:00/1c.0/10.4");
	(void)card_add_physfn(c, 0x84, 1);
	card_expect(c, vf, "pci0000:00/1c.0/00.0/vf0");
	/* One whose virtual functions are of another kind. */
	mock_remove(c->m, c->pf);
	mock_sriov(c->m, card_add_physfn(c, 0x80, 2), 8, 0x80, 2, 0x9999);
	card_expect(c, vf, "pci0000:00/1c.0/10.4");
	card_free(c);
}
END_TEST

START_TEST(device_is_looked_at_also_where_its_physical_function_is_kept)
{
	struct card *c = card_new();
	const char *vf = card_add_function(c, "0000:03:10.4"), *other;

	card_expect(c, vf, "pci0000:00/1c.0/00.0/vf2");
	/* It has functions of its own. */
	mock_sriov(c->m, vf, 8, 0x80, 2, 0x10ca);
	card_expect(c, vf, "pci0000:00/1c.0/10.4");
	/* Its link leads to another function, which both could be of. */
	other = mock_pci_add(c->m, "0000:03:00.1", c->port, 0x8086, 0x10c9, 0x020000);
	mock_sriov(c->m, other, 8, 0x7f, 2, 0x10ca);
	vf = card_add_function(c, "0000:03:10.6");
	mock_physfn(c->m, vf, other, 3);
	card_expect(c, vf, "pci0000:00/1c.0/00.1/vf3");
	card_expect(c, card_add_function(c, "0000:03:10.2"), "pci0000:00/1c.0/00.0/vf1");
	/* It is of another maker. */
	vf = mock_pci_add(c->m, "0000:03:11.0", c->port, 0x10ec, 0x10ca, 0x020000);
	card_expect(c, vf, "pci0000:00/1c.0/11.0");
	card_free(c);
}
END_TEST

START_TEST(functions_of_other_folders_are_not_asked)
{
	struct card *c = card_new();
	const char *vf = card_add_function(c, "0000:03:10.4"), *port, *elsewhere;

	card_expect(c, vf, "pci0000:00/1c.0/00.0/vf2");
	port = mock_pci_add(c->m, "0000:00:1d.0", NULL, 0x8086, 0x1901, 0x060400);
	elsewhere = mock_pci_add(c->m, "0000:03:10.2", port, 0x8086, 0x10ca, 0x020000);
	card_expect(c, elsewhere, "pci0000:00/1d.0/10.2");
	/* Nor are those below a folder beside it. */
	elsewhere = mock_pci_add(c->m, "0000:03:10.6", NULL, 0x8086, 0x10ca, 0x020000);
	card_expect(c, elsewhere, "pci0000:00/10.6");
	card_free(c);
}
END_TEST

START_TEST(more_physical_functions_than_there_is_room_for_take_turns)
{
	struct card *c = card_new();
	struct rlimit few = { .rlim_cur = 72, .rlim_max = 72 };

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int round = 0; round < 6; round++)
		for (unsigned i = 0; i < KEPT_PHYSFNS_MAX + 3; i++) {
			const char *pf = mock_printf(c->m, "0000:%02x:00.0", 0x20 + i),
				   *vf = mock_printf(c->m, "0000:%02x:12.0", 0x20 + i);

			if (round == 0) {
				pf = mock_pci_add(c->m, pf, c->port, 0x8086, 0x10c9, 0x020000);
				mock_sriov(c->m, pf, 8, 0x90 - i % 8, 1, 0x10ca);
				(void)card_add_function(c, vf);
			}
			ck_assert_str_eq(card_path_of(c, mock_printf(c->m, "%s/%s", c->port, vf)),
					 mock_printf(c->m, "pci0000:00/1c.0/00.0/vf%u", i % 8));
		}
	card_free(c);
}
END_TEST

/* Who is in its group besides: "0000:03:00.0 8086:10c9" and a newline for each, or what another fact is. */
static const char *card_ask_companions(struct card *c, const char *devpath, enum fact fact)
{
	struct arena arena = {};
	struct sysfs_device d;
	struct device **members;
	const char *text = "";
	size_t n = 0;

	sysfs_device_init(&d, &c->sysfs, devpath, "pci");
	d.device.scratch = &arena;
	if (d.device.ops->group(&d.device, &members, &n) < 0)
		text = "no group";
	for (size_t i = 0; i < n; i++)
		if (members[i] != &d.device)
			text = mock_printf(c->m, "%s%s %.*s\n", text, to_sysfs_device(members[i])->name,
					   fact == FACT_ID ? 9 : 200, device_text(members[i], fact));
	sysfs_device_reset(&d);
	arena_done(&arena);
	return text;
}

static const char *card_companions_of(struct card *c, const char *devpath)
{
	return card_ask_companions(c, devpath, FACT_ID);
}

static void card_expect_companions(struct card *c, const char *devpath, const char *companions)
{
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(card_companions_of(c, devpath), companions);
}

START_TEST(companion_is_kept_and_its_successor_is_another)
{
	struct card *c = card_new();
	const char *own = card_add_function(c, "0000:03:00.1");

	mock_group(c->m, 7, c->pf, own, NULL);
	card_expect_companions(c, own, "0000:03:00.0 8086:10c9\n");
	ck_assert_int_ge(c->cache.groups[0].fd, 0);
	ck_assert_str_eq(c->cache.members[0].devpath, c->pf);
	ck_assert_ptr_ne(strstr(c->cache.members[0].modalias, "d000010C9"), NULL);
	mock_remove(c->m, c->pf);
	card_expect_companions(c, own, "");
	c->pf = mock_pci_add(c->m, "0000:03:00.0", c->port, 0x10de, 0x1eb8, 0x030000);
	card_expect_companions(c, own, "");
	mock_group(c->m, 7, c->pf, NULL);
	card_expect_companions(c, own, "0000:03:00.0 10de:1eb8\n");
	card_free(c);
}
END_TEST

START_TEST(modalias_of_a_companion_is_read_when_it_is_asked_for)
{
	struct card *c = card_new();
	const char *own = card_add_function(c, "0000:03:00.1");
	char modalias[sizeof(((struct kept_member *)NULL)->modalias) + 8];

	mock_group(c->m, 7, c->pf, own, NULL);
	ck_assert_str_eq(card_ask_companions(c, own, FACT_BUS), "0000:03:00.0 pci\n");
	ck_assert_str_eq(card_ask_companions(c, own, FACT_BUS), "0000:03:00.0 pci\n");
	(void)memset(modalias, 'x', sizeof(modalias));
	modalias[sizeof(modalias) - 1] = '\0';
	/* One that is too long is read each time. */
	mock_attr(c->m, c->pf, "modalias", modalias);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(card_ask_companions(c, own, FACT_MODALIAS),
				 mock_printf(c->m, "0000:03:00.0 %s\n", modalias));
	ck_assert_str_eq(c->cache.members[0].modalias, "");
	modalias[sizeof(c->cache.members[0].modalias) - 1] = '\0';
	mock_attr(c->m, c->pf, "modalias", modalias);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(card_ask_companions(c, own, FACT_MODALIAS),
				 mock_printf(c->m, "0000:03:00.0 %s\n", modalias));
	ck_assert_str_eq(c->cache.members[0].modalias, modalias);
	card_free(c);
}
END_TEST

START_TEST(companion_that_is_no_business_of_ours_is_left_out)
{
	struct card *c = card_new();
	const char *own = card_add_function(c, "0000:03:00.1");

	mock_group(c->m, 7, c->pf, own, NULL);
	mock_attr_remove(c->m, c->pf, "driver_override");
	card_expect_companions(c, own, "");
	card_free(c);
}
END_TEST

START_TEST(group_that_takes_the_number_of_another_has_its_own_members)
{
	struct card *c = card_new();
	const char *own = card_add_function(c, "0000:03:00.1"), *other;

	mock_group(c->m, 7, c->pf, own, NULL);
	card_expect_companions(c, own, "0000:03:00.0 8086:10c9\n");
	mock_remove(c->m, own);
	/* The kernel takes the old one's links away when it goes, and nobody sees its folder any more. */
	ck_assert_int_eq(rename(mock_printf(c->m, "%s/kernel/iommu_groups/7", c->m->sysfs),
				mock_printf(c->m, "%s/gone", c->m->root)),
			 0);
	own = card_add_function(c, "0000:03:00.1");
	card_expect_companions(c, own, "no group");
	other = mock_pci_add(c->m, "0000:03:00.2", c->port, 0x8086, 0x10cb, 0x020000);
	mock_group(c->m, 7, own, other, NULL);
	card_expect_companions(c, own, "0000:03:00.2 8086:10cb\n");
	card_free(c);
}
END_TEST

START_TEST(function_of_the_same_slot_may_be_in_another_group)
{
	struct card *c = card_new();
	const char *own = card_add_function(c, "0000:03:00.1"), *other, *third;

	mock_group(c->m, 7, c->pf, own, NULL);
	card_expect_companions(c, own, "0000:03:00.0 8086:10c9\n");
	other = mock_pci_add(c->m, "0000:03:00.2", c->port, 0x8086, 0x10cb, 0x020000);
	third = mock_pci_add(c->m, "0000:04:00.0", c->port, 0x8086, 0x10cc, 0x020000);
	mock_group(c->m, 8, other, third, NULL);
	card_expect_companions(c, other, "0000:04:00.0 8086:10cc\n");
	card_expect_companions(c, third, "0000:03:00.2 8086:10cb\n");
	card_expect_companions(c, own, "0000:03:00.0 8086:10c9\n");
	card_free(c);
}
END_TEST

START_TEST(more_groups_than_there_is_room_for_take_turns)
{
	struct card *c = card_new();
	struct rlimit few = { .rlim_cur = 40, .rlim_max = 40 };

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int round = 0; round < 6; round++)
		for (unsigned i = 0; i < KEPT_MEMBERS_MAX + 3; i++) {
			const char *own = mock_printf(c->m, "%s/0000:%02x:00.1", c->port, 0x20 + i);

			if (round == 0) {
				own = card_add_function(c, mock_printf(c->m, "0000:%02x:00.1", 0x20 + i));
				mock_group(c->m, i, own,
					   mock_pci_add(c->m, mock_printf(c->m, "0000:%02x:00.0", 0x20 + i),
							c->port, 0x8086, 0x1000 + i, 0x020000),
					   NULL);
			}
			ck_assert_str_eq(
				card_companions_of(c, own),
				mock_printf(c->m, "0000:%02x:00.0 8086:%04x\n", 0x20 + i, 0x1000 + i));
		}
	card_free(c);
}
END_TEST

SUITE_MAIN("device-cache", 30, physical_function_is_kept_and_its_numbers_are_read_again,
	   card_that_takes_the_place_of_another_has_its_own_numbers,
	   device_is_looked_at_also_where_its_physical_function_is_kept,
	   functions_of_other_folders_are_not_asked,
	   more_physical_functions_than_there_is_room_for_take_turns,
	   companion_is_kept_and_its_successor_is_another,
	   modalias_of_a_companion_is_read_when_it_is_asked_for,
	   companion_that_is_no_business_of_ours_is_left_out,
	   group_that_takes_the_number_of_another_has_its_own_members,
	   function_of_the_same_slot_may_be_in_another_group, more_groups_than_there_is_room_for_take_turns)
