/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a rule matches a device: every match key, on devices that exist nowhere. */
#include "tests/unit/fixtures/fake-device.h"
#include "policy/match.h"
#include "tests/unit/fixtures/parse-policy.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* What `keys` (lines) say about a device. */
static enum match match(struct fake *f, const char *keys)
{
	char text[1024];

	(void)snprintf(text, sizeof(text), "[device x]\n%s\nDriver=b\n", keys);
	return rule_match(one_rule(text), &f->device, NULL);
}

/* One fact with one value against one key. */
static bool holds(enum fact fact, const char *value, const char *key)
{
	struct fake f;
	enum match m;

	fake_init(&f);
	fake_add(&f, fact, value);
	m = match(&f, key);
	ck_assert_int_ne(m, MATCH_UNKNOWN);
	fake_done(&f);
	return m == MATCH_YES;
}

#define HOLDS(fact, value, key) ck_assert_msg(holds(fact, value, key), "%s does not match %s", key, value)
#define FAILS(fact, value, key) ck_assert_msg(!holds(fact, value, key), "%s matches %s", key, value)

START_TEST(bus)
{
	HOLDS(FACT_BUS, "pci", "Bus=pci");
	HOLDS(FACT_BUS, "fsl-mc", "Bus=*");
	HOLDS(FACT_BUS, "platform", "Bus=p*m");
	FAILS(FACT_BUS, "platform", "Bus=Platform");
	FAILS(FACT_BUS, "pci", "Bus=pc");
	FAILS(FACT_BUS, "pci", "Bus=pcie");
}
END_TEST

START_TEST(name)
{
	HOLDS(FACT_NAME, "0000:03:00.0", "Name=0000:03:00.0");
	HOLDS(FACT_NAME, "0000:03:00.0", "Name=0000:03:*");
	HOLDS(FACT_NAME, "0000:03:00.0", "Name=0000:03:00.[0-3]");
	FAILS(FACT_NAME, "0000:03:00.4", "Name=0000:03:00.[0-3]");
	FAILS(FACT_NAME, "0000:03:00.0", "Name=0000:03:00.[!0-3]");
	FAILS(FACT_NAME, "0000:03:00.0", "Name=3:00");
	HOLDS(FACT_NAME, "fff51000.ethernet", "Name=fff51000.ethernet");
	HOLDS(FACT_NAME, "0000:0a:00.0", "Name=0000:0A:00.0");
	HOLDS(FACT_NAME, "0000:0a:00.0", "Name=*:0A:00.?");
	FAILS(FACT_NAME, "Serial", "Name=serial");
	FAILS(FACT_NAME, "", "Name=?*");
}
END_TEST

START_TEST(space_in_a_name_is_matched_by_a_question_mark)
{
	HOLDS(FACT_NAME, "my device", "Name=my?device");
	FAILS(FACT_NAME, "my device", "Name=my device");
}
END_TEST

START_TEST(backslash_is_a_character)
{
	HOLDS(FACT_NAME, "a\\b", "Name=a\\b");
	HOLDS(FACT_NAME, "a\\bc", "Name=a\\b*");
	FAILS(FACT_NAME, "ab*", "Name=ab\\*");
	HOLDS(FACT_NAME, "ab\\c", "Name=ab\\*");
}
END_TEST

START_TEST(unclosed_bracket_is_a_character)
{
	HOLDS(FACT_NAME, "a[b", "Name=a[b");
	FAILS(FACT_NAME, "ab", "Name=a[b");
}
END_TEST

START_TEST(path_where_an_asterisk_stops_at_a_slash)
{
	HOLDS(FACT_PATH, "pci0000:00/1c.0/00.0", "Path=pci0000:00/1c.0/00.0");
	HOLDS(FACT_PATH, "pci0000:00/1c.0/00.0", "Path=pci0000:00/*/00.0");
	HOLDS(FACT_PATH, "pci0000:00/1c.0/00.0", "Path=*/*/*");
	FAILS(FACT_PATH, "pci0000:00/1c.0/00.0", "Path=*");
	FAILS(FACT_PATH, "pci0000:00/1c.0/00.0", "Path=pci0000:00/*");
	FAILS(FACT_PATH, "pci0000:00/1c.0/00.0/00.0", "Path=pci0000:00/*/00.0");
	FAILS(FACT_PATH, "pci0000:00/1c.0/00.0", "Path=pci0000:00?1c.0/00.0");
	HOLDS(FACT_PATH, "pci0000:00/1c.0/00.0", "Path=PCI0000:00/1C.0/00.0");
	HOLDS(FACT_PATH, "pci0000:00/1c.0/00.0", "Path=pci0000:00/1[C]*/00.0");
	HOLDS(FACT_PATH, "pci0000:00/1c.0/00.0/vf3", "Path=pci0000:00/1c.0/00.0/vf*");
}
END_TEST

START_TEST(firmware_where_an_asterisk_stops_at_a_slash)
{
	HOLDS(FACT_FIRMWARE, "\\_SB_.PCI0.GPP0", "Firmware=\\_SB_.PCI0.*");
	HOLDS(FACT_FIRMWARE, "/soc/ethernet@1", "Firmware=/soc/*");
	FAILS(FACT_FIRMWARE, "/soc/bus/ethernet@1", "Firmware=/soc/*");
	FAILS(FACT_FIRMWARE, "/soc/ethernet@a", "Firmware=/soc/ethernet@A");
}
END_TEST

START_TEST(id_of_two_parts)
{
	HOLDS(FACT_ID, "10de:1b80:1043:85aa", "Id=10de:1b80");
	HOLDS(FACT_ID, "10de:1b80:1043:85aa", "Id=10DE:1B80");
	HOLDS(FACT_ID, "10de:1b80:1043:85aa", "Id=10de:*");
	HOLDS(FACT_ID, "10de:1b80:1043:85aa", "Id=10de:1b[89]?");
	HOLDS(FACT_ID, "10de:1b80:1043:85aa", "Id=*:1b80");
	FAILS(FACT_ID, "10de:1b80:1043:85aa", "Id=10de:1b81");
	FAILS(FACT_ID, "10de:1b80:1043:85aa", "Id=1043:85aa");
	FAILS(FACT_ID, "10de:1b80:1043:85aa", "Id=*:85aa");
}
END_TEST

START_TEST(id_of_four_parts)
{
	HOLDS(FACT_ID, "10de:1b80:1043:85aa", "Id=10de:1b80:1043:85aa");
	HOLDS(FACT_ID, "10de:1b80:1043:85aa", "Id=10de:1b80:1043:*");
	HOLDS(FACT_ID, "10de:1b80:1043:85aa", "Id=10DE:*:*:85AA");
	FAILS(FACT_ID, "10de:1b80:1043:85aa", "Id=10de:1b80:1043:85ab");
	FAILS(FACT_ID, "10de:1b80:1043:85aa", "Id=10de:1b80:0000:*");
}
END_TEST

START_TEST(class_is_a_prefix)
{
	HOLDS(FACT_CLASS, "030200", "Class=03");
	HOLDS(FACT_CLASS, "030200", "Class=0302");
	HOLDS(FACT_CLASS, "030200", "Class=030200");
	HOLDS(FACT_CLASS, "0c0330", "Class=0C03");
	FAILS(FACT_CLASS, "030200", "Class=0300");
	FAILS(FACT_CLASS, "030200", "Class=02");
	HOLDS(FACT_CLASS, "030200", "Class=0[23]");
	HOLDS(FACT_CLASS, "030200", "Class=03*");
	HOLDS(FACT_CLASS, "030200", "Class=03??00");
	HOLDS(FACT_CLASS, "0c0330", "Class=0[C]03");
	FAILS(FACT_CLASS, "030200", "Class=0[45]*");
}
END_TEST

START_TEST(modalias)
{
	static const char alias[] = "pci:v000010DEd00001B80sv00001043sd000085AAbc03sc00i00";

	HOLDS(FACT_MODALIAS, alias, "Modalias=pci:v000010DEd00001B80sv*");
	HOLDS(FACT_MODALIAS, alias, "Modalias=pci:v000010ded00001b80sv00001043sd000085aabc03sc00i00");
	HOLDS(FACT_MODALIAS, alias, "Modalias=*bc03*");
	FAILS(FACT_MODALIAS, alias, "Modalias=pci:v000010DE");
	HOLDS(FACT_MODALIAS, "of:Nsoc/a", "Modalias=of:N*");
}
END_TEST

START_TEST(compatible)
{
	struct fake f;

	fake_init(&f);
	fake_add(&f, FACT_COMPATIBLE, "vendor,new-thing");
	fake_add(&f, FACT_COMPATIBLE, "vendor,thing");
	ck_assert_int_eq(match(&f, "Compatible=vendor,thing"), MATCH_YES);
	ck_assert_int_eq(match(&f, "Compatible=vendor,new-thing"), MATCH_YES);
	ck_assert_int_eq(match(&f, "Compatible=vendor,*"), MATCH_YES);
	ck_assert_int_eq(match(&f, "Compatible=Vendor,thing"), MATCH_NO);
	ck_assert_int_eq(match(&f, "Compatible=thing"), MATCH_NO);
	fake_done(&f);
}
END_TEST

START_TEST(ancestor)
{
	struct fake f;

	fake_init(&f);
	fake_add(&f, FACT_ANCESTOR, "pci0000:c0");
	fake_add(&f, FACT_ANCESTOR, "0000:c0:01.0");
	ck_assert_int_eq(match(&f, "Ancestor=0000:c0:01.0"), MATCH_YES);
	ck_assert_int_eq(match(&f, "Ancestor=0000:C0:01.0"), MATCH_YES);
	ck_assert_int_eq(match(&f, "Ancestor=pci0000:c0"), MATCH_YES);
	ck_assert_int_eq(match(&f, "Ancestor=0000:c0:02.0 0000:c0:01.?"), MATCH_YES);
	ck_assert_int_eq(match(&f, "Ancestor=0000:c0:02.0"), MATCH_NO);
	fake_done(&f);
}
END_TEST

START_TEST(host_bridge_compares_without_case)
{
	HOLDS(FACT_ANCESTOR, "pci0000:c0", "Ancestor=pci0000:C0");
	HOLDS(FACT_PATH, "pci0000:c0/01.0", "Path=pci0000:C0/01.0");
}
END_TEST

START_TEST(physfn)
{
	/* A host bridge on the way, whatever number the rule or the device was given. */
	HOLDS(FACT_PATH, "pci0000:00/0e.0/pci*/06.0/00.0", "Path=pci0000:00/0e.0/pci*/06.0/00.0");
	HOLDS(FACT_PATH, "pci0000:00/0e.0/pci*/06.0/00.0", "Path=pci0000:00/0e.0/pci10001:e0/06.0/00.0");
	FAILS(FACT_PATH, "pci0000:00/0e.0/pci*/06.0/00.0", "Path=pci0000:00/0e.0/pci*/07.0/00.0");
	FAILS(FACT_PATH, "pci0000:01/06.0", "Path=pci0000:00/06.0");
	HOLDS(FACT_PHYSFN, "0000:0a:00.0", "PhysFn=0000:0A:00.0");
	FAILS(FACT_PHYSFN, "0000:0a:00.0", "PhysFn=0000:0a:00.1");
}
END_TEST

START_TEST(attr)
{
	struct fake f;

	fake_init(&f);
	fake_attr(&f, "numa_node", "1");
	ck_assert_int_eq(match(&f, "Attr.numa_node=1"), MATCH_YES);
	ck_assert_int_eq(match(&f, "Attr.numa_node=0 1"), MATCH_YES);
	ck_assert_int_eq(match(&f, "Attr.numa_node=0"), MATCH_NO);
	ck_assert_int_eq(match(&f, "Attr.other=1"), MATCH_NO);
	ck_assert_int_eq(match(&f, "Attr.other=*"), MATCH_NO);
	ck_assert_int_eq(match(&f, "Attr.numa_node=1\nAttr.other=1"), MATCH_NO);
	ck_assert_uint_eq(f.facts[FACT_ATTR].asked, 2);
	fake_done(&f);
	HOLDS(FACT_NAME, "a", "Name=a");
}
END_TEST

START_TEST(hexadecimal_attribute_compares_without_case)
{
	struct fake f;

	fake_init(&f);
	fake_attr(&f, "vendor", "0x10de");
	ck_assert_int_eq(match(&f, "Attr.vendor=0x10DE"), MATCH_YES);
	ck_assert_int_eq(match(&f, "Attr.vendor=0x10D*"), MATCH_YES);
	ck_assert_int_eq(match(&f, "Attr.vendor=10de"), MATCH_NO);
	fake_done(&f);
}
END_TEST

START_TEST(any_value_will_do)
{
	HOLDS(FACT_NAME, "b", "Name=a b c");
	HOLDS(FACT_NAME, "c", "Name=a\nName=b c");
	FAILS(FACT_NAME, "d", "Name=a b c");
}
END_TEST

START_TEST(all_keys_must_match)
{
	struct fake f;

	fake_pci(&f, "0000:03:00.0", "10de:1b80:1043:85aa", "030000");
	ck_assert_int_eq(match(&f, "Bus=pci\nId=10de:1b80\nName=0000:03:*\nClass=03"), MATCH_YES);
	ck_assert_int_eq(match(&f, "Bus=pci\nId=10de:1b80\nName=0000:04:*\nClass=03"), MATCH_NO);
	ck_assert_int_eq(match(&f, "Bus=platform\nId=10de:1b80\nName=0000:03:*\nClass=03"), MATCH_NO);
	ck_assert_int_eq(match(&f, "Bus=pci\nId=10de:1b80\nClass=02"), MATCH_NO);
	fake_done(&f);
}
END_TEST

START_TEST(device_without_a_fact_does_not_match)
{
	static const char *const keys[] = { "Path=*",	  "Id=*:*",	  "Class=*",
					    "Modalias=*", "Compatible=*", "Firmware=*",
					    "Ancestor=*", "PhysFn=*",	  "Attr.x=*" };
	struct fake f;

	fake_init(&f);
	fake_add(&f, FACT_NAME, "a");
	for (size_t i = 0; i < ELEMENTSOF(keys); i++)
		ck_assert_msg(match(&f, keys[i]) == MATCH_NO, "%s", keys[i]);
	fake_done(&f);
}
END_TEST

START_TEST(unknown_fact)
{
	struct fake f;
	struct missing missing = { .fact = FACT_COUNT };

	fake_pci(&f, "0000:03:00.0", "10de:1b80:1043:85aa", "030000");
	fake_unknown(&f, FACT_ID, -EAGAIN);
	ck_assert_int_eq(rule_match(one_rule("[device x]\nId=10de:1b80\nDriver=b\n"), &f.device, &missing),
			 MATCH_UNKNOWN);
	ck_assert_int_eq(missing.fact, FACT_ID);
	fake_done(&f);

	/* Whatever goes wrong in asking is no answer. */
	fake_init(&f);
	fake_unknown(&f, FACT_MODALIAS, -EIO);
	ck_assert_int_eq(match(&f, "Modalias=*"), MATCH_UNKNOWN);
	fake_done(&f);

	fake_init(&f);
	fake_attr(&f, "a", "1");
	fake_unknown(&f, FACT_ATTR, -ENODEV);
	ck_assert_int_eq(match(&f, "Attr.a=1"), MATCH_UNKNOWN);
	fake_done(&f);
}
END_TEST

START_TEST(a_no_wins_over_an_unknown_fact)
{
	struct fake f;
	struct missing missing = { .fact = FACT_COUNT };

	fake_pci(&f, "0000:03:00.0", "10de:1b80:1043:85aa", "030000");
	fake_unknown(&f, FACT_ID, -EAGAIN);
	/* Before and behind the one that is missing. */
	ck_assert_int_eq(match(&f, "Id=10de:1b80\nName=0000:04:00.0"), MATCH_NO);
	ck_assert_int_eq(
		rule_match(one_rule("[device x]\nId=10de:1b80\nClass=02\nDriver=b\n"), &f.device, &missing),
		MATCH_NO);
	ck_assert_int_eq(missing.fact, FACT_COUNT);
	ck_assert_int_eq(match(&f, "Id=10de:1b80\nClass=03"), MATCH_UNKNOWN);
	fake_done(&f);
}
END_TEST

START_TEST(facts_are_asked_once_and_only_if_needed)
{
	struct fake f;

	fake_pci(&f, "0000:03:00.0", "10de:1b80:1043:85aa", "030000");
	ck_assert_int_eq(match(&f, "Name=0000:0f:00.0\nId=10de:1b80\nModalias=*"), MATCH_NO);
	ck_assert_uint_eq(f.facts[FACT_ID].asked, 0);
	ck_assert_uint_eq(f.facts[FACT_MODALIAS].asked, 0);
	ck_assert_int_eq(match(&f, "Id=10de:1b80"), MATCH_YES);
	ck_assert_int_eq(match(&f, "Id=10de:1b81"), MATCH_NO);
	ck_assert_uint_eq(f.facts[FACT_ID].asked, 1);
	fake_done(&f);
}
END_TEST

SUITE_MAIN("match", 20, bus, name, space_in_a_name_is_matched_by_a_question_mark, backslash_is_a_character,
	   unclosed_bracket_is_a_character, path_where_an_asterisk_stops_at_a_slash,
	   firmware_where_an_asterisk_stops_at_a_slash, id_of_two_parts, id_of_four_parts, class_is_a_prefix,
	   modalias, compatible, ancestor, host_bridge_compares_without_case, physfn, attr,
	   hexadecimal_attribute_compares_without_case, any_value_will_do, all_keys_must_match,
	   device_without_a_fact_does_not_match, unknown_fact, a_no_wins_over_an_unknown_fact,
	   facts_are_asked_once_and_only_if_needed)
