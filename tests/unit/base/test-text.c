/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Short texts: escaping, numbers, UTF-8; and hashes of them. */
#include "base/arena.h"
#include "base/hash.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

START_TEST(names_are_escaped_for_files)
{
	char buf[64];

	ck_assert_int_eq(name_escape("0000:03:00.0_-A", buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "0000:03:00.0_-A");
	ck_assert_int_eq(name_escape("a/b c\\", buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "a\\x2fb\\x20c\\x5c");
	ck_assert_int_eq(name_escape("..", buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "\\x2e.");
	ck_assert_int_eq(name_escape("\xc3", buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "\\xc3");
	ck_assert_int_eq(name_escape("abc", buf, 4), 0);
	ck_assert_int_eq(name_escape("abcd", buf, 4), -ENAMETOOLONG);
	ck_assert_int_eq(name_escape("/", buf, 5), 0);
	ck_assert_int_eq(name_escape("/", buf, 4), -ENAMETOOLONG);
}
END_TEST

START_TEST(names_come_back_from_files)
{
	for (int c = 1; c < 256; c++) {
		const char name[] = { '.', (char)c, 'x', (char)c, '\0' };
		char buf[64];

		ck_assert_int_eq(name_escape(name, buf, sizeof(buf)), 0);
		ck_assert(is_file_name(buf) && buf[0] != '.');
		ck_assert(text_unescape(buf));
		ck_assert_str_eq(buf, name);
	}
}
END_TEST

START_TEST(escapes_are_decoded)
{
	static const struct {
		const char *text, *decoded;
		bool whole;
	} cases[] = {
		{ "", "", true },
		{ "plain", "plain", true },
		{ "a\\x2fb", "a/b", true },
		{ "\\x2F\\xFf", "/\xff", true },
		{ "a\\040b\\134", "a b\\", true }, /* as in mountinfo */
		{ "\\377", "\xff", true },
		{ "\\477", "\\477", false },
		{ "\\x2", "\\x2", false },
		{ "\\x", "\\x", false },
		{ "\\xg0", "\\xg0", false },
		{ "\\", "\\", false },
		{ "\\04", "\\04", false },
		{ "\\n\\x41", "\\nA", false },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		char buf[64];

		(void)strcpy(buf, cases[i].text);
		ck_assert_int_eq(text_unescape(buf), cases[i].whole);
		ck_assert_str_eq(buf, cases[i].decoded);
	}
}
END_TEST

START_TEST(numbers_and_texts)
{
	char buf[16], cut[4];

	ck_assert_str_eq(number_to_text(0, buf), "0");
	ck_assert_str_eq(number_to_text(907, buf), "907");
	ck_assert_str_eq(number_to_text(UINT32_MAX, buf), "4294967295");
	ck_assert_uint_eq(text_to_number("18446744073709551615"), UINT64_MAX);
	ck_assert_uint_eq(text_to_number("12x"), 12);
	ck_assert_uint_eq(text_to_number("x"), 0);
	text_copy(cut, sizeof(cut), "abcdef");
	ck_assert_str_eq(cut, "abc");
	ck_assert_str_eq(startswith("abc", "ab"), "c");
	ck_assert_str_eq(startswith("ab", "ab"), "");
	ck_assert_ptr_null(startswith("a", "ab"));
	ck_assert_int_eq(hex_digit('a'), 10);
	ck_assert_int_eq(hex_digit('F'), 15);
	ck_assert_int_eq(hex_digit('9'), 9);
	ck_assert_int_eq(hex_digit('g'), -1);
	ck_assert_int_eq(hex_digit('@'), -1);
	ck_assert_int_eq(hex_digit('`'), -1);
	ck_assert_int_eq(hex_digit('\x10'), -1); /* with 0x20 it would be '0' */
}
END_TEST

START_TEST(messages_quote_what_they_show)
{
	struct arena a = {};
	char text[128];

	ck_assert_str_eq(quoted(&a, "plain"), "\"plain\"");
	ck_assert_str_eq(quoted(&a, "a\n\xff"), "\"a\\x0a\\xff\"");
	ck_assert_str_eq(quoted(&a, NULL), "\"\"");
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ck_assert_uint_eq(strlen(quoted(&a, text)), 60 + strlen("\"…\""));
	memset(text, '\n', 61);
	ck_assert_uint_eq(strlen(quoted(&a, text)), 4 * 60 + strlen("\"…\""));
	arena_done(&a);
}
END_TEST

static const struct {
	const char *text;
	size_t length; /* of its first character; 0: none */
} characters[] = {
	{ "a", 1 },
	{ "\x7f", 1 },
	{ "\xc2\x80", 2 },
	{ "\xdf\xbf", 2 },
	{ "\xe0\xa0\x80", 3 },
	{ "\xed\x9f\xbf", 3 },
	{ "\xef\xbf\xbf", 3 },
	{ "\xf0\x90\x80\x80", 4 },
	{ "\xf4\x8f\xbf\xbf", 4 },
	{ "\x80", 0 },
	{ "\xbf", 0 },
	{ "\xc0\xaf", 0 }, /* overlong */
	{ "\xc1\xbf", 0 },
	{ "\xe0\x9f\xbf", 0 },
	{ "\xf0\x8f\xbf\xbf", 0 },
	{ "\xed\xa0\x80", 0 },	   /* a surrogate */
	{ "\xf4\x90\x80\x80", 0 }, /* beyond Unicode */
	{ "\xf5\x80\x80\x80", 0 },
	{ "\xff", 0 },
	{ "\xc3", 0 }, /* cut */
	{ "\xe2\x82", 0 },
	{ "\xf0\x90\x80", 0 },
	{ "\xe2\x82\x41", 0 },
};

START_TEST(characters_of_utf8)
{
	for (size_t i = 0; i < ELEMENTSOF(characters); i++) {
		const char *s = characters[i].text;

		ck_assert_uint_eq(utf8_length(s, strlen(s)), characters[i].length);
		/* What is behind a given end is not looked at. */
		for (size_t n = 0; n < characters[i].length; n++)
			ck_assert_uint_eq(utf8_length(s, n), 0);
	}
}
END_TEST

START_TEST(prefix_ends_between_characters)
{
	static const char text[] = "a\xc3\xa4\xe2\x82\xac!";
	static const size_t expected[] = { 0, 1, 1, 3, 3, 3, 6, 7, 7, 7 };

	for (size_t most = 0; most < ELEMENTSOF(expected); most++)
		ck_assert_uint_eq(utf8_prefix(text, most), expected[most]);
	ck_assert_uint_eq(utf8_prefix("ab\xff"
				      "c",
				      10),
			  2);
}
END_TEST

START_TEST(bytes_become_utf8)
{
	static const struct {
		const char *bytes, *text;
	} cases[] = {
		{ "", "" },
		{ "a\xc3\xa4", "a\xc3\xa4" },
		{ "\xff\xc3", "\\xff\\xc3" },
		{ "a\nb\x1b", "a\\x0ab\\x1b" },
		{ "\xe2\x82"
		  "a",
		  "\\xe2\\x82a" },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		char *text = utf8_from_bytes(cases[i].bytes, strlen(cases[i].bytes));

		ck_assert_str_eq(text, cases[i].text);
		free(text);
	}
	char *cut = utf8_from_bytes("\xc3\xa4", 1);

	ck_assert_str_eq(cut, "\\xc3");
	free(cut);
}
END_TEST

START_TEST(paths_are_never_cut)
{
	char buf[8];

	ck_assert_int_eq(path_join(buf, sizeof(buf), "/ab", "/", "cde", NULL), 0);
	ck_assert_str_eq(buf, "/ab/cde");
	ck_assert_int_eq(path_join(buf, sizeof(buf), "/ab", "/", "cdef", NULL), -ENAMETOOLONG);
	ck_assert_str_eq(buf, "");
	ck_assert_int_eq(path_printf(buf, sizeof(buf), "/%s", "abcdef"), 0);
	ck_assert_int_eq(path_printf(buf, sizeof(buf), "/%s", "abcdefg"), -ENAMETOOLONG);
	ck_assert_int_eq(path_parent("/a/b", buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "/a");
	ck_assert_int_eq(path_parent("/abcdefg/b", buf, sizeof(buf)), -ENAMETOOLONG);
	ck_assert_int_eq(path_parent("/a", buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "/");
	ck_assert_int_eq(path_parent("a", buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, ".");
	ck_assert_str_eq(path_last("/a/b"), "b");
	ck_assert_str_eq(path_last("b"), "b");
	ck_assert(is_file_name("a.b") && is_file_name("...") && !is_file_name("") && !is_file_name(".") &&
		  !is_file_name("..") && !is_file_name("a/b"));
}
END_TEST

/* The values of the algorithm's authors: records of another version of us are compared by them. */
START_TEST(hashes_are_those_of_fnv)
{
	uint32_t h = FNV32_BASIS;

	ck_assert_uint_eq(fnv1a(FNV_BASIS, "", 0), UINT64_C(0xcbf29ce484222325));
	ck_assert_uint_eq(fnv1a(FNV_BASIS, "foobar", 6), UINT64_C(0x85944171f73967e8));
	ck_assert_uint_eq(fnv1a(fnv1a(FNV_BASIS, "foo", 3), "bar", 3), UINT64_C(0x85944171f73967e8));
	for (const char *s = "foobar"; *s; s++)
		h = fnv1a_32(h, (unsigned char)*s);
	ck_assert_uint_eq(h, UINT32_C(0xbf9cf968));
}
END_TEST

SUITE_MAIN("text", 20, names_are_escaped_for_files, names_come_back_from_files, escapes_are_decoded,
	   numbers_and_texts, messages_quote_what_they_show, characters_of_utf8,
	   prefix_ends_between_characters, bytes_become_utf8, paths_are_never_cut, hashes_are_those_of_fnv)
