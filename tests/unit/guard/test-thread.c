/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The descriptors of the guard's threads, in the tables that the kernel keeps. */
#include "guard/thread.h"
#include "tests/unit/fixtures/fake-hold.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the first thread and the one that it starts have found. */
struct threads {
	struct hold *hold;
	int link, done;
	ino_t own_inode;
	bool first_has_link, second_has_own, second_has_link;
	int started;
};

static bool has_file(int fd, ino_t inode)
{
	struct stat st;

	return fstat(fd, &st) >= 0 && st.st_ino == inode;
}

static void *second_thread(void *userdata)
{
	struct threads *t = userdata;

	t->second_has_own = has_file(t->link, t->own_inode);
	(void)eventfd_write(t->done, 1);
	return NULL;
}

static void *first_thread(void *userdata)
{
	struct threads *t = userdata;
	struct stat st;
	int fd = -EBADF;

	t->first_has_link = fcntl(t->link, F_GETFD) >= 0;
	/* A file of its own, which gets the number that the link had. */
	if (!t->first_has_link && stat("/", &st) >= 0) {
		fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && fd != t->link)
			(void)dup2(fd, t->link);
		t->own_inode = st.st_ino;
	}
	t->started = thread_start(t->hold, second_thread, t, NULL);
	if (t->started < 0)
		(void)eventfd_write(t->done, 1);
	return NULL;
}

START_TEST(a_thread_closes_the_links_of_the_hold_once_and_no_file_of_its_successors)
{
	struct threads t = { .hold = hold_new(1000), .done = eventfd(0, EFD_CLOEXEC) };
	struct stat before, after;
	eventfd_t n;

	t.link = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(t.link, 0);
	ck_assert_int_ge(fstat(t.link, &before), 0);
	fake_hold_set_link(t.hold, t.link);
	ck_assert_int_eq(thread_start(t.hold, first_thread, &t, NULL), 0);
	ck_assert_int_eq(eventfd_read(t.done, &n), 0);
	ck_assert_int_eq(t.started, 0);
	ck_assert(!t.first_has_link);
	ck_assert_msg(t.second_has_own, "the second thread has closed a file that is not the hold's");
	ck_assert_uint_eq(fake_hold_disowned(t.hold), 1);
	/* This thread, the main one, keeps it: the hold lasts as long as the process. */
	ck_assert_int_ge(fstat(t.link, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	hold_free(t.hold);
}
END_TEST

static void *third_thread(void *userdata)
{
	struct threads *t = userdata;

	t->second_has_link = fcntl(t->link, F_GETFD) >= 0;
	(void)eventfd_write(t->done, 1);
	return NULL;
}

START_TEST(each_thread_that_the_main_thread_starts_is_without_the_links)
{
	struct threads t = { .hold = hold_new(1000), .done = eventfd(0, EFD_CLOEXEC) };
	eventfd_t n;

	t.link = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(t.link, 0);
	fake_hold_set_link(t.hold, t.link);
	for (unsigned i = 1; i <= 2; i++) {
		t.second_has_link = true;
		ck_assert_int_eq(thread_start(t.hold, third_thread, &t, NULL), 0);
		ck_assert_int_eq(eventfd_read(t.done, &n), 0);
		ck_assert(!t.second_has_link);
		ck_assert_uint_eq(fake_hold_disowned(t.hold), i);
	}
	hold_free(t.hold);
}
END_TEST

SUITE_MAIN("thread", 30, a_thread_closes_the_links_of_the_hold_once_and_no_file_of_its_successors,
	   each_thread_that_the_main_thread_starts_is_without_the_links)
