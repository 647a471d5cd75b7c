/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Driver=vfio where the aliases of the running kernel's modules have gone, as after an upgrade of its
 * package. */
#include "base/macro.h"
#include "tests/unit/fixtures/run-enforcer.h"
#include "tests/unit/fixtures/suite.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define CARD "0000:00:03.1"
#define VARIANT "mlx5_vfio_pci"
#define RULE "[device card]\nName=0000:00:03.1\nDriver=vfio\n"
#define ALIASES                                                                                              \
	"# Aliases\nalias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"                                            \
	"alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* " VARIANT "\n"

/* A card that has a variant, in a group of its own; *ret_aliases: the path of the aliases. */
static struct mock *card_new(const char **ret_card, const char **ret_aliases)
{
	struct mock *m = mock_new();

	*ret_card = mock_pci_add(m, CARD, NULL, 0x15b3, 0x101e, 0x020000);
	mock_attr(m, *ret_card, "modalias", "pci:v000015B3d0000101Esv000015B3sd00000001bc02sc00i00\n");
	mock_group(m, 1, *ret_card, NULL);
	*ret_aliases = mock_aliases(m, "/lib/modules", ALIASES);
	(void)mock_policy(m, MOCK_ETC, "10-a.conf", RULE);
	return m;
}

static void assert_said(const struct enforcer_result *r, const char *what)
{
	ck_assert_msg(strstr(r->err, "which VFIO driver was made for it is not known: there is no "
				     "modules.alias of kernel ") &&
			      strstr(r->err, what),
		      "\"%s\" is not in: %s", what, r->err);
}

static void event_stays(struct mock *m, const char *card, const char *driver, const char *said)
{
	struct enforcer_result r = enforcer_event(m, card);
	struct record record;

	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), driver);
	ck_assert_str_eq(mock_override(m, card), driver);
	ck_assert(mock_record(m, card, &record));
	ck_assert_str_eq(record.decision, driver);
	if (said) {
		assert_said(&r, said);
		ck_assert_ptr_nonnull(strstr(record.reason, said));
	} else
		ck_assert_str_eq(r.err, "");
}

START_TEST(what_was_chosen_stays_and_that_is_said_once)
{
	const char *card, *aliases;
	struct mock *m = card_new(&card, &aliases);
	struct enforcer_result r;

	event_stays(m, card, VARIANT, NULL);
	ck_assert_int_eq(unlink(aliases), 0);
	event_stays(m, card, VARIANT, "it keeps " VARIANT);
	event_stays(m, card, VARIANT, NULL);
	r = enforcer_run(m, "sweep", NULL);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(mock_override(m, card), VARIANT);

	/* The package of this kernel has come back. */
	(void)mock_aliases(m, "/lib/modules", ALIASES);
	r = enforcer_event(m, card);
	ck_assert_str_eq(r.err, "");
	ck_assert_str_eq(mock_override(m, card), VARIANT);
	mock_free(m);
}
END_TEST

START_TEST(a_sweep_says_it_as_well)
{
	const char *card, *aliases;
	struct mock *m = card_new(&card, &aliases);
	struct enforcer_result r;

	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	ck_assert_int_eq(unlink(aliases), 0);
	r = enforcer_run(m, "sweep", NULL);
	ck_assert_int_eq(r.status, 0);
	assert_said(&r, "it keeps " VARIANT);
	ck_assert_str_eq(mock_override(m, card), VARIANT);
	mock_free(m);
}
END_TEST

/* Nothing is recorded, but the driver that it has was bound for some reason. */
START_TEST(a_variant_that_is_bound_stays)
{
	const char *card, *aliases;
	struct mock *m = card_new(&card, &aliases);

	ck_assert_int_eq(unlink(aliases), 0);
	mock_bind(m, card, VARIANT);
	event_stays(m, card, VARIANT, "it keeps " VARIANT);
	mock_free(m);
}
END_TEST

/* What another rule has chosen is not the choice of this one. */
START_TEST(what_another_rule_chose_does_not_count)
{
	const char *card, *aliases;
	struct mock *m = card_new(&card, &aliases);

	(void)mock_policy(m, MOCK_ETC, "10-a.conf", "[device card]\nName=0000:00:03.1\nDriver=vfio-other\n");
	event_stays(m, card, "vfio-other", NULL);
	ck_assert_int_eq(unlink(aliases), 0);
	(void)mock_policy(m, MOCK_ETC, "10-a.conf", RULE);
	event_stays(m, card, "vfio-pci", "it gets vfio-pci, the plain one");
	mock_free(m);
}
END_TEST

/* It is kept from the host's driver all the same, and gets the variant when that is known. */
START_TEST(a_new_device_gets_the_plain_driver_until_it_is_known)
{
	const char *card, *aliases;
	struct mock *m = card_new(&card, &aliases);

	ck_assert_int_eq(unlink(aliases), 0);
	event_stays(m, card, "vfio-pci", "it gets vfio-pci, the plain one");
	(void)mock_aliases(m, "/lib/modules", ALIASES);
	event_stays(m, card, VARIANT, NULL);
	mock_free(m);
}
END_TEST

START_TEST(a_companion_keeps_what_its_group_gave)
{
	const char *card, *aliases, *gpu;
	struct mock *m = card_new(&card, &aliases);

	gpu = mock_pci_add(m, "0000:00:03.0", NULL, 0x10de, 0x1b80, 0x030000);
	mock_group(m, 1, gpu, NULL);
	(void)mock_policy(m, MOCK_ETC, "10-a.conf",
			  "[device gpu]\nName=0000:00:03.0\nDriver=vfio-pci\nGroup=vfio\n");
	event_stays(m, card, VARIANT, NULL);
	ck_assert_int_eq(unlink(aliases), 0);
	event_stays(m, card, VARIANT, "it keeps " VARIANT);
	mock_free(m);
}
END_TEST

/* A record that cannot be read may name the variant. */
START_TEST(nothing_is_written_while_the_record_cannot_be_read)
{
	const char *card, *aliases, *record;
	struct mock *m = card_new(&card, &aliases);
	struct enforcer_result r;

	event_stays(m, card, VARIANT, NULL);
	ck_assert_int_eq(unlink(aliases), 0);
	record = mock_printf(m, "%s/devices/pci:" CARD, m->state);
	ck_assert_int_eq(unlink(record), 0);
	ck_assert_int_eq(symlink("loop", record), 0);
	ck_assert_int_eq(symlink(record, mock_printf(m, "%s/devices/loop", m->state)), 0);
	mock_attr(m, card, "driver_override", "(null)\n");
	r = enforcer_event(m, card);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "");
	ck_assert_str_eq(mock_override(m, card), "(null)\n");
	mock_free(m);
}
END_TEST

SUITE_MAIN("vfio-unknown", 60, what_was_chosen_stays_and_that_is_said_once, a_sweep_says_it_as_well,
	   a_variant_that_is_bound_stays, what_another_rule_chose_does_not_count,
	   a_new_device_gets_the_plain_driver_until_it_is_known, a_companion_keeps_what_its_group_gave,
	   nothing_is_written_while_the_record_cannot_be_read)
