/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines on stderr: with priorities where it is the journal's stream, and only there. */
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file in the place of stderr, with JOURNAL_STREAM for it or for the inode beside it; "": without. */
static int replace_stderr(const char *journal_stream)
{
	int fd = memfd_create("stderr", MFD_CLOEXEC);
	char text[64];
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	if (streq(journal_stream, "own"))
		(void)snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	else if (streq(journal_stream, "inode of another"))
		(void)snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
	else if (streq(journal_stream, "device of another"))
		(void)snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)st.st_dev + 1, (uintmax_t)st.st_ino);
	else
		(void)snprintf(text, sizeof(text), "%s", journal_stream);
	ck_assert_int_eq(*text ? setenv("JOURNAL_STREAM", text, 1) : unsetenv("JOURNAL_STREAM"), 0);
	log_init("a-program", LOG_TO_STDERR);
	return fd;
}

static const char *written(int fd)
{
	static char text[4096];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	return text;
}

START_TEST(lines_in_the_journal_have_priorities)
{
	int fd = replace_stderr("own");

	log_line(LOG_WARNING, "one %d", 1);
	log_line(LOG_DEBUG, "two");
	ck_assert_str_eq(written(fd), "<4>one 1\n<7>two\n");
}
END_TEST

START_TEST(stream_of_another_is_no_journal)
{
	static const char *const streams[] = { "", "inode of another", "device of another", "nonsense",
					       "1:" };

	for (size_t i = 0; i < ELEMENTSOF(streams); i++) {
		int fd = replace_stderr(streams[i]);

		log_line(LOG_WARNING, "one");
		log_line(LOG_DEBUG, "not for a person");
		ck_assert_str_eq(written(fd), "a-program: one\n");
		(void)close(fd);
	}
}
END_TEST

START_TEST(line_stays_one_line)
{
	int fd = replace_stderr("own");

	log_line(LOG_ERR, "a\nb\tc\x1b[1m");
	ck_assert_str_eq(written(fd), "<3>a b c [1m\n");
}
END_TEST

START_TEST(errno_stands_where_the_line_has_it)
{
	int fd = replace_stderr("own");

	errno = EBUSY;
	ck_assert_int_eq(log_errno(LOG_ERR, -ENOENT, "%s: cannot be read: %m, going on", "a"), -ENOENT);
	ck_assert_int_eq(errno, EBUSY);
	ck_assert_str_eq(written(fd), "<3>a: cannot be read: No such file or directory, going on\n");
}
END_TEST

START_TEST(errno_is_appended_and_returned)
{
	int fd = replace_stderr("own");

	errno = EBUSY;
	ck_assert_int_eq(log_errno(LOG_ERR, -ENOENT, "%s: cannot be read", "a"), -ENOENT);
	ck_assert_int_eq(log_errno(LOG_ERR, ENODEV, "b"), -ENODEV);
	ck_assert_int_eq(errno, EBUSY);
	ck_assert_str_eq(written(fd),
			 "<3>a: cannot be read: No such file or directory\n<3>b: No such device\n");
}
END_TEST

START_TEST(long_line_is_cut)
{
	static char text[5000];
	int fd = replace_stderr("own");
	size_t n;

	memset(text, 'a', sizeof(text) - 1);
	(void)log_errno(LOG_ERR, -EIO, "%s", text);
	n = strlen(written(fd));
	ck_assert_uint_gt(n, 1000);
	ck_assert_uint_lt(n, 1300);
	ck_assert_int_eq(written(fd)[n - 1], '\n');
}
END_TEST

SUITE_MAIN("log", 20, lines_in_the_journal_have_priorities, stream_of_another_is_no_journal,
	   line_stays_one_line, errno_stands_where_the_line_has_it, errno_is_appended_and_returned,
	   long_line_is_cut)
