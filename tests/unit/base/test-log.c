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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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

/* A folder with a state directory, and beside it the socket of a journal. */
static int journal_bind(char *folder, char *state_dir, size_t size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(state_dir, size, "%s/systemd", folder);
	ck_assert_int_eq(mkdir(state_dir, 0700), 0);
	(void)snprintf(state_dir, size, "%s/systemd/journal", folder);
	ck_assert_int_eq(mkdir(state_dir, 0700), 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/systemd/journal/socket", folder);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	(void)snprintf(state_dir, size, "%s/state", folder);
	ck_assert_int_eq(mkdir(state_dir, 0700), 0);
	return fd;
}

static const char *received(int fd)
{
	static char text[8192];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

START_TEST(fields_go_to_the_journal_and_nowhere_else)
{
	char folder[] = "/tmp/test-log-XXXXXX", state_dir[128];
	const struct log_field fields[] = { { "A_NAME", "one\ntwo=3" }, { "EMPTY", "" }, { "NONE", NULL } };
	int journal = journal_bind(folder, state_dir, sizeof(state_dir));
	int fd = replace_stderr("own");

	log_set_journal_beside(state_dir);
	ck_assert(log_keeps_fields());
	log_line_with_fields(LOG_INFO, fields, ELEMENTSOF(fields), "a\nb %d", 1);
	ck_assert_str_eq(received(journal),
			 "PRIORITY=6\nSYSLOG_IDENTIFIER=a-program\nMESSAGE=a b 1\nA_NAME=one two=3\n");
	/* Without fields, the stream does. */
	log_line(LOG_INFO, "two");
	ck_assert_str_eq(received(journal), "");
	ck_assert_str_eq(written(fd), "<6>two\n");

	/* Nobody listens any more. */
	(void)close(journal);
	log_line_with_fields(LOG_INFO, fields, ELEMENTSOF(fields), "three");
	ck_assert_str_eq(written(fd), "<6>two\n<6>three\n");
	/* A person reads it. */
	(void)close(fd);
	fd = replace_stderr("");
	ck_assert(!log_keeps_fields());
	log_line_with_fields(LOG_INFO, fields, ELEMENTSOF(fields), "four");
	ck_assert_str_eq(written(fd), "a-program: four\n");
}
END_TEST

START_TEST(field_without_room_is_left_out_whole)
{
	static char long_text[4000];
	char folder[] = "/tmp/test-log-XXXXXX", state_dir[128];
	const struct log_field fields[] = { { "LONG", long_text }, { "SHORT", "1" } };
	int journal = journal_bind(folder, state_dir, sizeof(state_dir));

	(void)replace_stderr("own");
	log_set_journal_beside(state_dir);
	memset(long_text, 'a', sizeof(long_text) - 1);
	log_line_with_fields(LOG_INFO, fields, ELEMENTSOF(fields), "text");
	ck_assert_str_eq(received(journal),
			 "PRIORITY=6\nSYSLOG_IDENTIFIER=a-program\nMESSAGE=text\nSHORT=1\n");
}
END_TEST

SUITE_MAIN("log", 20, lines_in_the_journal_have_priorities, stream_of_another_is_no_journal,
	   line_stays_one_line, errno_stands_where_the_line_has_it, errno_is_appended_and_returned,
	   long_line_is_cut, fields_go_to_the_journal_and_nowhere_else, field_without_room_is_left_out_whole)
