/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files are read to a limit and replaced as a whole. */
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* SUITE_DIR/name, in one of a few buffers. */
static const char *path_of(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % ELEMENTSOF(paths)];

	ck_assert_int_eq(path_printf(path, PATH_MAX, "%s/%s", suite_dir, name), 0);
	return path;
}

static void make_text_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_int_eq(write_full(fd, text, strlen(text)), 0);
	(void)close(fd);
}

START_TEST(names_in_a_folder)
{
	struct dir_reader dir;
	bool seen[200] = {};
	const char *name;
	unsigned n = 0;

	ck_assert_int_eq(dir_make(path_of("folder")), 0);
	ck_assert_int_eq(dir_make(path_of("folder")), 0); /* it is there */
	for (unsigned i = 0; i < ELEMENTSOF(seen); i++) { /* more than fit into its buffer */
		char text[64];

		(void)snprintf(text, sizeof(text), "folder/with-a-name-of-some-length-%u", i);
		make_text_file(path_of(text), "");
	}
	make_text_file(path_of("folder/.hidden"), "");
	ck_assert_int_eq(dir_open(&dir, path_of("folder")), 0);
	for (; (name = dir_next(&dir)); n++)
		seen[text_to_number(startswith(name, "with-a-name-of-some-length-"))] = true;
	dir_close(&dir);
	ck_assert_uint_eq(n, ELEMENTSOF(seen));
	for (unsigned i = 0; i < ELEMENTSOF(seen); i++)
		ck_assert(seen[i]);
	ck_assert_int_eq(dir_open(&dir, path_of("none")), -ENOENT);
	dir_close(&dir);
	ck_assert_int_eq(dir_make(path_of("none/below")), -ENOENT);
}
END_TEST

START_TEST(files_are_read_to_a_limit)
{
	static const size_t guesses[] = { 0, 1, 99, 100, 101, 5000 };
	char text[101], *got;
	size_t size;

	memset(text, 'x', sizeof(text) - 1);
	text[100] = '\0';
	make_text_file(path_of("file"), text);
	for (size_t i = 0; i < ELEMENTSOF(guesses); i++) {
		int fd = open(path_of("file"), O_RDONLY | O_CLOEXEC);

		ck_assert_int_eq(read_full(fd, guesses[i], 100, &got, &size), 0);
		ck_assert_uint_eq(size, 100);
		ck_assert_str_eq(got, text);
		free(got);
		ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
		got = NULL;
		size = 7;
		ck_assert_int_eq(read_full(fd, guesses[i], 99, &got, &size), -EFBIG);
		ck_assert(!got && size == 7);
		(void)close(fd);
	}
	ck_assert_int_eq(read_full(-1, 0, 99, &got, &size), -EBADF);
}
END_TEST

START_TEST(first_line_of_a_file)
{
	char buf[8];

	make_text_file(path_of("lines"), "first\nsecond\n");
	ck_assert_int_eq(read_first_line(path_of("lines"), buf, sizeof(buf)), 5);
	ck_assert_str_eq(buf, "first");
	make_text_file(path_of("lines"), "longer than that");
	ck_assert_int_eq(read_first_line(path_of("lines"), buf, sizeof(buf)), 7);
	ck_assert_str_eq(buf, "longer ");
	make_text_file(path_of("lines"), "");
	ck_assert_int_eq(read_first_line(path_of("lines"), buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "");
	(void)strcpy(buf, "before");
	ck_assert_int_eq(read_first_line(path_of("none"), buf, sizeof(buf)), -ENOENT);
	ck_assert_str_eq(buf, "before");
	ck_assert_uint_eq(strlen(boot_id()), 36);
}
END_TEST

START_TEST(links_are_read_whole)
{
	char buf[12];

	ck_assert_int_eq(symlink("../../driver", path_of("link")), 0);
	ck_assert_int_eq(read_link_name(path_of("link"), buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "driver");
	ck_assert_int_eq(read_link_name(path_of("link"), buf, 7), 0);
	ck_assert_int_eq(read_link_name(path_of("link"), buf, 6), -ENAMETOOLONG);
	ck_assert_int_eq(read_link(path_of("link"), buf, sizeof(buf)), -ENAMETOOLONG);
	ck_assert_int_eq(symlink("driver", path_of("short")), 0);
	ck_assert_int_eq(read_link(path_of("short"), buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "driver");
	ck_assert_int_eq(read_link_name(path_of("short"), buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "driver");
	ck_assert_int_eq(read_link(path_of("none"), buf, sizeof(buf)), -ENOENT);
}
END_TEST

static const char *text_of(const char *path)
{
	static char text[64];

	return read_first_line(path, text, sizeof(text)) < 0 ? NULL : text;
}

static unsigned files_beside(const char *dir)
{
	struct dir_reader reader;
	unsigned n = 0;

	ck_assert_int_eq(dir_open(&reader, dir), 0);
	while (dir_next(&reader))
		n++;
	dir_close(&reader);
	return n;
}

START_TEST(file_is_replaced_as_a_whole)
{
	const struct timespec times[2] = { { 1000, 5 }, { 2000, 7 } };
	char path[PATH_MAX], temporary[PATH_MAX];
	struct file_replacement how = { .path = path, .temporary = temporary, .mode = 0600 };
	struct stat before, st;
	int reader;

	ck_assert_int_eq(dir_make(path_of("replaced")), 0);
	text_copy(path, sizeof(path), path_of("replaced/file"));
	text_copy(temporary, sizeof(temporary), path_of("replaced/new-XXXXXX"));
	for (int durable = 0; durable <= 1; durable++) {
		how.durable = durable;
		how.times = NULL;
		ck_assert_int_eq(file_replace(&how, "one", 3), 0);
		ck_assert_str_eq(text_of(path), "one");
		ck_assert_int_eq(stat(path, &before), 0);
		ck_assert_uint_eq(before.st_mode & 07777, 0600);

		/* A reader that has the old file open has all of it; the new one is another file. */
		reader = open(path, O_RDONLY | O_CLOEXEC);
		how.times = times;
		ck_assert_int_eq(file_replace(&how, "three", 5), 0);
		ck_assert_str_eq(text_of(path), "three");
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_uint_ne(st.st_ino, before.st_ino);
		ck_assert_int_eq(st.st_mtim.tv_sec, 2000);
		ck_assert_int_eq(st.st_mtim.tv_nsec, 7);
		ck_assert_int_eq(fstat(reader, &st), 0);
		ck_assert_int_eq(st.st_size, 3);
		(void)close(reader);
	}
	ck_assert_uint_eq(files_beside(path_of("replaced")), 1);
}
END_TEST

START_TEST(failed_replacement_leaves_the_file_and_no_other)
{
	char path[PATH_MAX], temporary[PATH_MAX], none[PATH_MAX];
	struct file_replacement how = { .path = path, .temporary = temporary, .mode = 0644 };

	ck_assert_int_eq(dir_make(path_of("kept")), 0);
	ck_assert_int_eq(dir_make(path_of("kept/folder")), 0);
	text_copy(path, sizeof(path), path_of("kept/folder"));
	text_copy(temporary, sizeof(temporary), path_of("kept/new-XXXXXX"));
	text_copy(none, sizeof(none), path_of("nowhere/new-XXXXXX"));
	ck_assert_int_eq(file_replace(&how, "one", 3), -EISDIR); /* rename(2) */
	ck_assert_uint_eq(files_beside(path_of("kept")), 1);
	how.temporary = none;
	ck_assert_int_eq(file_replace(&how, "one", 3), -ENOENT);
	ck_assert_uint_eq(files_beside(path_of("kept")), 1);
	ck_assert_int_eq(dir_sync(path_of("kept")), 0);
	ck_assert_int_eq(dir_sync(path_of("nowhere")), -ENOENT);
	ck_assert_int_eq(write_full(-1, "a", 1), -EBADF);
}
END_TEST

SUITE_MAIN("file", 20, names_in_a_folder, files_are_read_to_a_limit, first_line_of_a_file,
	   links_are_read_whole, file_is_replaced_as_a_whole, failed_replacement_leaves_the_file_and_no_other)
