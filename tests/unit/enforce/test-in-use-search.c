/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One search through all processes for several devices; see in-use-search.h. Nodes are those of this
 * machine's memory devices that hardly anybody opens: /dev/full is 1:7, /dev/random 1:8. */
#include "enforce/in-use-search.h"
#include "base/macro.h"
#include "tests/unit/fixtures/in-use-fixture.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICES 8U

struct search_fixture {
	struct in_use_fixture in_use; /* the check's own device is the first */
	struct sysfs sysfs;
	struct sysfs_device *devices[DEVICES];
	struct in_use_search *search;
	struct in_use_answer answer;
};

/* A sound card below a device. node: "full", or "random"; in the mock's dev it leads to that of this machine.
 */
static void card_add(struct in_use_fixture *s, const char *device, unsigned i, const char *number,
		     const char *node)
{
	const char *name = mock_printf(s->m, "controlC%u", i);

	mock_class_add(s->m, "sound", device, name);
	mock_attr(s->m, mock_printf(s->m, "%s/sound/%s", device, name), "dev", number);
	beside_link(s, mock_printf(s->m, "dev/%s", name), mock_printf(s->m, "/dev/%s", node));
}

static const char *search_fixture_device(struct search_fixture *f, unsigned i, const char *number,
					 const char *node)
{
	struct in_use_fixture *s = &f->in_use;
	const char *devpath = i == 0 ? s->device
				     : mock_pci_add(s->m, mock_printf(s->m, "0000:01:%02x.0", i), NULL,
						    0x1b36, 0x10, 0x040300);

	card_add(s, devpath, i, number, node);
	f->devices[i] = mock_device(&f->sysfs, devpath);
	return devpath;
}

/* The first has another node than the others. */
static void search_fixture_begin(struct search_fixture *f)
{
	*f = (struct search_fixture){ .in_use = in_use_fixture_new() };
	sysfs_init(&f->sysfs, &f->in_use.m->settings);
	for (unsigned i = 0; i < DEVICES; i++)
		(void)search_fixture_device(f, i, i ? "1:7\n" : "1:8\n", i ? "full" : "random");
	f->search = in_use_search_of(f->devices, DEVICES);
	ck_assert_ptr_nonnull(f->search);
	f->search->max_age_usec = UINT64_MAX;
}

static void search_fixture_end(struct search_fixture *f)
{
	(void)in_use_search_free(f->search);
	for (unsigned i = 0; i < DEVICES; i++)
		sysfs_device_free(f->devices[i]);
	sysfs_done(&f->sysfs);
	in_use_fixture_done(&f->in_use);
}

static int search_check(struct search_fixture *f, unsigned i)
{
	return in_use_check(f->devices[i], f->search, false, &f->answer);
}

START_TEST(one_search_serves_all_devices)
{
	struct search_fixture f;

	search_fixture_begin(&f);
	for (unsigned i = 0; i < DEVICES; i++)
		ck_assert_int_eq(search_check(&f, i), 0);
	/* So does a dry run for a user. */
	ck_assert_int_eq(in_use_check(f.devices[0], f.search, true, &f.answer), 0);
	ck_assert_uint_eq(f.search->n_searches, 1);
	search_fixture_end(&f);
}
END_TEST

/* Each has its own user, and a device that none has open is free. */
START_TEST(one_search_finds_the_users_of_all_devices)
{
	struct search_fixture f;

	search_fixture_begin(&f);
	process_opens(&f.in_use, 4711, "player", "/dev/full");
	ck_assert_int_eq(search_check(&f, 0), 0);
	for (unsigned i = 1; i < DEVICES; i++) {
		ck_assert_int_eq(search_check(&f, i), 1);
		ck_assert_str_eq(
			f.answer.reason,
			mock_printf(f.in_use.m, "/dev/controlC%u is open in player (process 4711)", i));
		ck_assert_str_eq(f.answer.wait_for, mock_printf(f.in_use.m, "/dev/controlC%u", i));
	}
	ck_assert_uint_eq(f.search->n_searches, 1);
	search_fixture_end(&f);
}
END_TEST

START_TEST(node_opened_or_closed_since_is_searched_for_again)
{
	struct search_fixture f;
	int fd;

	search_fixture_begin(&f);
	ck_assert_int_eq(search_check(&f, 0), 0);
	ck_assert_int_eq(search_check(&f, 1), 0);
	ck_assert_uint_eq(f.search->n_searches, 1);
	fd = open("/dev/full", O_RDONLY | O_CLOEXEC);
	process_opens(&f.in_use, 4711, "player", "/dev/full");
	/* Not for a device that this is not about. */
	ck_assert_int_eq(search_check(&f, 0), 0);
	ck_assert_uint_eq(f.search->n_searches, 1);
	ck_assert_int_eq(search_check(&f, 1), 1);
	ck_assert_uint_eq(f.search->n_searches, 2);
	ck_assert_int_eq(search_check(&f, 2), 1);
	ck_assert_uint_eq(f.search->n_searches, 2);
	ck_assert_int_eq(close(fd), 0);
	process_closes(&f.in_use, 4711);
	ck_assert_int_eq(search_check(&f, 1), 0);
	ck_assert_uint_eq(f.search->n_searches, 3);
	search_fixture_end(&f);
}
END_TEST

/* Reads the name of a process, which is a FIFO, and opens a node while that is waited for. */
static pid_t node_opened_during_search(const char *fifo)
{
	pid_t pid = fork();

	if (pid == 0) {
		bool first = true;

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);

		for (;;) {
			int fd = open(fifo, O_WRONLY | O_CLOEXEC);

			if (first)
				(void)open("/dev/full", O_RDONLY | O_CLOEXEC);
			first = false;
			(void)!write(fd, "qemu\n", 5);
			(void)close(fd);
			(void)usleep(1000); /* until the reader is at its end, too */
		}
	}
	return pid;
}

START_TEST(node_opened_during_the_search_is_searched_for_again)
{
	struct search_fixture f;
	const char *fifo;
	pid_t pid;

	search_fixture_begin(&f);
	process_opens(&f.in_use, 4711, "qemu", "/dev/random");
	fifo = mock_printf(f.in_use.m, "%s/proc/4711/comm", f.in_use.m->root);
	ck_assert_int_eq(unlink(fifo), 0);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	pid = node_opened_during_search(fifo);
	ck_assert_int_eq(search_check(&f, 1), 0);
	ck_assert_uint_eq(f.search->n_searches, 2);
	(void)kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	search_fixture_end(&f);
}
END_TEST

/* There is no such file, or it is another device. */
START_TEST(node_that_is_not_below_dev_is_searched_for_each_time)
{
	static const char *const others[] = { NULL, "/dev/full" };

	for (size_t i = 0; i < ELEMENTSOF(others); i++) {
		struct search_fixture f;

		search_fixture_begin(&f);
		mock_attr(f.in_use.m, f.devices[4]->devpath, "sound/controlC4/dev", "1:9\n");
		ck_assert_int_eq(unlink(mock_printf(f.in_use.m, "%s/dev/controlC4", f.in_use.m->root)), 0);
		if (others[i])
			beside_link(&f.in_use, "dev/controlC4", others[i]);
		ck_assert_int_eq(search_check(&f, 4), 0);
		ck_assert_uint_eq(f.search->n_searches, 1);
		ck_assert_int_eq(search_check(&f, 1), 0);
		ck_assert_uint_eq(f.search->n_searches, 1);
		process_opens(&f.in_use, 4711, "player", "/dev/urandom");
		ck_assert_int_eq(search_check(&f, 4), 1);
		ck_assert_uint_eq(f.search->n_searches, 2);
		search_fixture_end(&f);
	}
}
END_TEST

START_TEST(node_that_was_made_anew_is_searched_for_each_time)
{
	struct search_fixture f;
	unsigned n = 0;

	search_fixture_begin(&f);
	ck_assert_int_eq(search_check(&f, 1), 0);
	/* What is told when a file that is watched is deleted. */
	for (size_t i = 0; i < f.search->n; i++)
		n += f.search->nodes[i].minor == 7 &&
		     inotify_rm_watch(f.search->inotify, f.search->watches[i].watch) == 0;
	ck_assert_uint_eq(n, 1);
	for (unsigned i = 2; i < DEVICES; i++) {
		ck_assert_int_eq(search_check(&f, i), 0);
		ck_assert_uint_eq(f.search->n_searches, i);
	}
	search_fixture_end(&f);
}
END_TEST

START_TEST(search_serves_for_some_time_only)
{
	struct search_fixture f;

	search_fixture_begin(&f);
	ck_assert_uint_eq(f.search->n_searches, 0);
	ck_assert_int_eq(search_check(&f, 0), 0);
	f.search->max_age_usec = 1;
	(void)usleep(10);
	process_opens(&f.in_use, 4711, "player", "/dev/full");
	ck_assert_int_eq(search_check(&f, 1), 1);
	search_fixture_end(&f);
}
END_TEST

static pid_t search_is_locked_by_other(struct in_use_search *search, bool dies)
{
	int ready[2];
	char c;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)pthread_mutex_lock(&search->lock);
		if (dies)
			_exit(0);
		(void)!write(ready[1], "", 1);
		for (;;)
			(void)pause();
	}
	if (dies)
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	else
		ck_assert_int_eq(read(ready[0], &c, 1), 1);
	(void)close(ready[0]);
	(void)close(ready[1]);
	return pid;
}

START_TEST(search_of_a_child_that_was_killed_counts_for_nothing)
{
	struct search_fixture f;

	search_fixture_begin(&f);
	ck_assert_int_eq(search_check(&f, 0), 0);
	(void)search_is_locked_by_other(f.search, true);
	process_opens(&f.in_use, 4711, "player", "/dev/full");
	for (unsigned i = 1; i < DEVICES; i++)
		ck_assert_int_eq(search_check(&f, i), 1);
	ck_assert_uint_eq(f.search->n_searches, 2);
	search_fixture_end(&f);
}
END_TEST

START_TEST(search_that_does_not_come_back_keeps_no_other_waiting)
{
	struct search_fixture f;
	pid_t pid;

	search_fixture_begin(&f);
	pid = search_is_locked_by_other(f.search, false);
	process_opens(&f.in_use, 4711, "player", "/dev/full");
	ck_assert_int_eq(search_check(&f, 1), 1);
	ck_assert_uint_eq(f.search->n_searches, 0);
	(void)kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	search_fixture_end(&f);
}
END_TEST

/* A function that is not moved itself is asked about with each of those that share its slot. */
START_TEST(functions_of_one_slot_are_searched_for_together)
{
	struct search_fixture f;
	struct sysfs_device *second;
	const char *devpath;

	search_fixture_begin(&f);
	devpath = mock_pci_add(f.in_use.m, "0000:00:03.1", NULL, 0x1b36, 0x11, 0x040300);
	card_add(&f.in_use, devpath, DEVICES, "1:7\n", "full");
	mock_group(f.in_use.m, 1, f.in_use.device, devpath, NULL);
	sysfs_device_free(f.devices[0]);
	f.devices[0] = mock_device(&f.sysfs, f.in_use.device);
	f.search->n_devices = 1;
	ck_assert_int_eq(search_check(&f, 0), 0);
	second = mock_device(&f.sysfs, devpath);
	ck_assert_int_eq(in_use_check(second, f.search, false, &f.answer), 0);
	ck_assert_uint_eq(f.search->n_searches, 1);
	sysfs_device_free(second);
	/* A device that nobody had told of, and its node. */
	ck_assert_int_eq(unlink(mock_printf(f.in_use.m, "%s/dev/controlC2", f.in_use.m->root)), 0);
	beside_link(&f.in_use, "dev/controlC2", "/dev/urandom");
	mock_attr(f.in_use.m, f.devices[2]->devpath, "sound/controlC2/dev", "1:9\n");
	process_opens(&f.in_use, 4711, "player", "/dev/urandom");
	ck_assert_int_eq(search_check(&f, 2), 1);
	search_fixture_end(&f);
}
END_TEST

START_TEST(more_nodes_than_there_is_room_for_are_searched_for_alone)
{
	struct search_fixture f;

	search_fixture_begin(&f);
	for (unsigned i = 0; i < IN_USE_SEARCH_NODES_MAX; i++)
		ck_assert_int_eq(in_use_search_add(f.search, &(struct node){ S_IFCHR, 300, i, NULL, false }),
				 i);
	ck_assert_int_eq(in_use_search_add(f.search, &(struct node){ S_IFCHR, 301, 0, NULL, false }),
			 -ENOSPC);
	process_opens(&f.in_use, 4711, "player", "/dev/random");
	ck_assert_int_eq(search_check(&f, 0), 1);
	ck_assert_str_eq(f.answer.reason, "/dev/controlC0 is open in player (process 4711)");
	search_fixture_end(&f);
}
END_TEST

SUITE_MAIN("in-use-search", 60, one_search_serves_all_devices, one_search_finds_the_users_of_all_devices,
	   node_opened_or_closed_since_is_searched_for_again,
	   node_opened_during_the_search_is_searched_for_again,
	   node_that_is_not_below_dev_is_searched_for_each_time,
	   node_that_was_made_anew_is_searched_for_each_time, search_serves_for_some_time_only,
	   search_of_a_child_that_was_killed_counts_for_nothing,
	   search_that_does_not_come_back_keeps_no_other_waiting,
	   functions_of_one_slot_are_searched_for_together,
	   more_nodes_than_there_is_room_for_are_searched_for_alone)
