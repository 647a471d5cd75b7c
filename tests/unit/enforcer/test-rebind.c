/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override rebind`: what it prints, and how it ends. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/unit/fixtures/run-enforcer.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RULE(driver) "[device x]\nName=0000:00:03.0\nDriver=" driver "\n"
#define NAME "0000:00:03.0"

static int device_lock(struct mock *m, const char *name)
{
	const char *path = mock_printf(m, "%s/rebind/pci:%s", m->state, name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	return fd;
}

START_TEST(usage)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("none"));
	static const char *const wrong[] = { "--rebind=maybe", "--rebind=",    "--timeout=0",
					     "--timeout=-1",   "--timeout=1s", "--timeout=3601",
					     "--timeout=",     "--dry-run=1",  "--nonsense",
					     "--inode=0",      "--inode=x",    "--inode=" };

	for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
		struct enforcer_result r = enforcer_run(m, "rebind", wrong[i], NAME, NULL);

		ck_assert_msg(r.status == 2, "%s: %d", wrong[i], r.status);
		ck_assert_str_eq(r.out, "");
	}
	ck_assert_int_eq(enforcer_run(m, "rebind", NULL).status, 2);
	/* One for each device, or none. */
	ck_assert_int_eq(enforcer_run(m, "rebind", "--inode", "1", NAME, NAME, NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "--dry-run", "sweep", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "event", "--timeout", "5", device, NULL).status, 2);
	ck_assert_str_eq(mock_override(m, device), "(null)\n");
	mock_free(m);
}
END_TEST

/* What the service sends to one that it has started ahead of need. */
static struct enforcer_result rebind_request(struct mock *m, const char *request, size_t size)
{
	const char *path = mock_printf(m, "%s/request", m->root), *real = getenv("DRIVER_OVERRIDE");
	const char *program = mock_printf(m, "%s/enforcer", m->root);
	const char *text = mock_printf(m, "#!/bin/sh\nexec %s \"$@\" <%s\n", real, path);
	struct enforcer_result r;

	real = mock_printf(m, "%s", real);
	make_file(path, request, size);
	make_file(program, text, strlen(text));
	ck_assert_int_eq(chmod(program, 0755), 0);
	ck_assert_int_eq(setenv("DRIVER_OVERRIDE", program, 1), 0);
	r = enforcer_run_bare(m, "rebind", "--wait", NULL);
	ck_assert_int_eq(setenv("DRIVER_OVERRIDE", real, 1), 0);
	return r;
}

START_TEST(command_line_may_come_by_stdin)
{
	static const char again[] = "rebind\0--wait\0";
	const char *device;
	struct mock *m = tree_new(&device, RULE("none"));
	const char *text =
		mock_printf(m, "--sysfs %s --state-dir %s --conf-dir %s rebind --timeout 20 " NAME " ",
			    m->sysfs, m->state, m->conf[MOCK_ETC]);
	const size_t size = strlen(text);
	char *request = malloc(size + 1);
	struct enforcer_result r;

	ck_assert_ptr_nonnull(request);
	memcpy(request, text, size + 1);
	for (size_t i = 0; i < size; i++)
		if (request[i] == ' ')
			request[i] = '\0';
	/* Nobody needs it any more. */
	r = rebind_request(m, "", 0);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(r.out, "");
	/* Cut off between two arguments, and within one. */
	r = rebind_request(m, request, size);
	ck_assert_int_eq(r.status, 1);
	ck_assert_str_eq(r.out, "");
	ck_assert_int_eq(rebind_request(m, request, size - 3).status, 1);
	ck_assert_int_eq(rebind_request(m, again, sizeof(again)).status, 2);
	ck_assert_str_eq(mock_override(m, device), "(null)\n");
	r = rebind_request(m, request, size + 1);
	assert_answer(&r, "enforced\n", "", "DRIVER=\nOVERRIDE=none\nDECISION=none\nCHANGED=1\n");
	ck_assert_str_eq(mock_override(m, device), "none");
	ck_assert_int_eq(enforcer_run(m, "rebind", "--wait", NAME, NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--wait", NULL).status, 2);
	free(request);
	mock_free(m);
}
END_TEST

/* How often the folder of a process's open files was opened: once for each search. */
static unsigned count_opens(int inotify)
{
	_Alignas(struct inotify_event) char buf[16384];
	unsigned n = 0;
	ssize_t size;

	while ((size = read(inotify, buf, sizeof(buf))) > 0)
		for (const char *at = buf; at < buf + size;) {
			const struct inotify_event *event = (const void *)at;

			n += (event->mask & IN_OPEN) != 0;
			at += sizeof(*event) + event->len;
		}
	return n;
}

/* /dev/full (1:7) stands for the nodes. */
START_TEST(users_of_several_devices_are_searched_for_at_once)
{
	const char *device, *names[8] = { NAME };
	struct mock *m = tree_new(&device, "[device all]\nClass=0108\nDriver=none\n");
	const char *files = mock_printf(m, "%s/proc/4711/fd", m->root);
	int inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	make_dirs(mock_printf(m, "%s/dev/snd", m->root));
	make_dirs(files);
	for (unsigned i = 0; i < ELEMENTSOF(names); i++) {
		names[i] = mock_printf(m, "0000:00:%02x.0", i + 3);
		if (i > 0)
			device = mock_pci_add(m, names[i], NULL, 0x1b36, 0x0010, 0x010802);
		mock_bind(m, device, "nvme");
		mock_class_add(m, "sound", device, mock_printf(m, "card%u", i));
		mock_attr(m, device, mock_printf(m, "sound/card%u/dev", i), "1:7\n");
		ck_assert_int_eq(symlink("/dev/full", mock_printf(m, "%s/dev/card%u", m->root, i)), 0);
	}
	/* The one that has them open, and the one where looks are counted. */
	for (int used = 0; used < 2; used++) {
		struct enforcer_result r;
		unsigned n;

		if (used)
			ck_assert_int_eq(symlink("/dev/full", mock_printf(m, "%s/7", files)), 0);
		/* Two opens without a close in between are told as one. */
		ck_assert_int_ge(inotify_add_watch(inotify, files, IN_OPEN | IN_CLOSE), 0);
		(void)count_opens(inotify);
		r = enforcer_run(m, "rebind", "--dry-run", names[0], names[1], names[2], names[3], names[4],
				 names[5], names[6], names[7], NULL);
		n = count_opens(inotify);
		ck_assert_int_eq(r.status, used);
		ck_assert_msg((strstr(r.out, "ERROR=InUse") != NULL) == used, "%s", r.out);
		/* A search serves for a second. */
		ck_assert_msg(n >= 1 && n <= 1 + r.usec / 1000000, "%u searches in %ju us", n,
			      (uintmax_t)r.usec);
	}
	ck_assert_int_eq(close(inotify), 0);
	mock_free(m);
}
END_TEST

START_TEST(several_devices_have_an_answer_each)
{
	const char *device, *other;
	struct mock *m = tree_new(&device, "[device all]\nName=0000:00:03.0 0000:00:04.0\nDriver=none\n");
	struct enforcer_result r;
	struct stat st;

	other = mock_pci_add(m, "0000:00:04.0", NULL, 0x1b36, 0x0010, 0x010802);
	r = enforcer_run(m, "rebind", NAME, "0000:00:0f.0", "0000:00:04.0", NULL);
	ck_assert_int_eq(r.status, 1);
	ck_assert_str_eq(r.out, "DEVICE=" NAME "\nSTATE=enforced\nREASON=\nDRIVER=\nOVERRIDE=none\n"
				"DECISION=none\nCHANGED=1\n"
				"DEVICE=0000:00:0f.0\nSTATE=failed\nREASON=0000:00:0f.0: no such device\n"
				"ERROR=NoSuchDevice\nDRIVER=\nOVERRIDE=\nDECISION=\nCHANGED=0\n"
				"DEVICE=0000:00:04.0\nSTATE=enforced\nREASON=\nDRIVER=\nOVERRIDE=none\n"
				"DECISION=none\nCHANGED=1\n");
	ck_assert_str_eq(mock_override(m, device), "none");
	ck_assert_str_eq(mock_override(m, other), "none");
	/* The inode of each is compared. */
	ck_assert_int_eq(stat(mock_printf(m, "%s%s", m->sysfs, other), &st), 0);
	r = enforcer_run(m, "rebind", "--inode", "1", "--inode", mock_printf(m, "%ju", (uintmax_t)st.st_ino),
			 NAME, "0000:00:04.0", NULL);
	ck_assert_ptr_nonnull(strstr(r.out, "another device has the name pci " NAME " now\n"));
	ck_assert_ptr_nonnull(strstr(r.out, "DEVICE=0000:00:04.0\nSTATE=enforced\n"));
	mock_free(m);
}
END_TEST

START_TEST(answer_for_a_device_that_is_moved)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("none"));
	static const char with_bus[] = "pci/" NAME;
	const char *names[] = { NAME, with_bus, "00:03.0", device, mock_printf(m, "%s%s", m->sysfs, device) };
	struct enforcer_result r = enforcer_run(m, "rebind", "--dry-run", NAME, NULL);

	assert_answer(&r, "enforced\n", "", "DRIVER=\nOVERRIDE=\nDECISION=none\nCHANGED=1\n");
	ck_assert_str_eq(mock_override(m, device), "(null)\n");
	r = enforcer_run(m, "rebind", "--rebind", "force", "--overwrite", "--only-if-changed", "--timeout",
			 "20", NAME, NULL);
	assert_answer(&r, "enforced\n", "", "DRIVER=\nOVERRIDE=none\nDECISION=none\nCHANGED=1\n");
	ck_assert_str_eq(r.err, "");
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		r = enforcer_run(m, "rebind", names[i], NULL);
		assert_answer(&r, "enforced\n", "", "DRIVER=\nOVERRIDE=none\nDECISION=none\nCHANGED=0\n");
	}
	ck_assert_ptr_nonnull(strstr(r.out, "REASON=\n"));
	mock_free(m);
}
END_TEST

START_TEST(devices_that_do_not_exist)
{
	static const char *const no[] = { "0000:00:09.0", "pci/..",    "..", "/devices/nowhere", "",
					  "\xff",	  "a\nSTATE=x" };
	const char *device, *usb, *inode;
	struct mock *m = tree_new(&device, RULE("none"));
	struct enforcer_result r;
	struct stat st;

	for (size_t i = 0; i < ELEMENTSOF(no); i++) {
		r = enforcer_run(m, "rebind", no[i], NULL);
		assert_answer(&r, "failed\n", "NoSuchDevice\n", "DRIVER=\nOVERRIDE=\nDECISION=\nCHANGED=0\n");
	}
	usb = mock_device_add(m, "usb", "/devices/pci0000:00/0000:00:14.0/usb1", "1-1", false);
	r = enforcer_run(m, "rebind", usb, NULL);
	assert_answer(&r, "failed\n", "NotSupported\n", "DRIVER=\nOVERRIDE=\nDECISION=\nCHANGED=0\n");

	/* Another device has the name by now. */
	ck_assert_int_eq(stat(mock_printf(m, "%s%s", m->sysfs, device), &st), 0);
	inode = mock_printf(m, "%ju", (uintmax_t)st.st_ino);
	mock_remove(m, device);
	(void)mock_pci_add(m, NAME, NULL, 0x10de, 0x1b80, 0x030000);
	r = enforcer_run(m, "rebind", "--inode", inode, NAME, NULL);
	assert_answer(&r, "failed\n", "NoSuchDevice\n", "DRIVER=\nOVERRIDE=\nDECISION=\nCHANGED=0\n");
	ck_assert_str_eq(mock_override(m, device), "(null)\n");
	ck_assert_int_eq(stat(mock_printf(m, "%s%s", m->sysfs, device), &st), 0);
	inode = mock_printf(m, "%ju", (uintmax_t)st.st_ino);
	r = enforcer_run(m, "rebind", "--inode", inode, NAME, NULL);
	assert_answer(&r, "enforced\n", "", "DRIVER=\nOVERRIDE=none\nDECISION=none\nCHANGED=1\n");

	(void)mock_device_add(m, "platform", "/devices/platform", NAME, true);
	r = enforcer_run(m, "rebind", NAME, NULL);
	assert_answer(&r, "failed\n", "Invalid\n", "DRIVER=\nOVERRIDE=\nDECISION=\nCHANGED=0\n");
	ck_assert_ptr_nonnull(strstr(r.out, "more than one bus"));
	mock_free(m);
}
END_TEST

START_TEST(incomplete_policy_is_refused)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("none"));
	struct enforcer_result r;

	/* Perhaps it had a rule that comes first. */
	ck_assert_int_eq(rmdir(m->conf[MOCK_RUN]), 0);
	ck_assert_int_eq(symlink(m->conf[MOCK_RUN], m->conf[MOCK_RUN]), 0);
	r = enforcer_run(m, "rebind", NAME, NULL);
	assert_answer(&r, "failed\n", "PolicyInvalid\n", "DRIVER=\nOVERRIDE=\nDECISION=\nCHANGED=0\n");
	ck_assert_ptr_nonnull(
		strstr(r.out, mock_printf(m, "REASON=%s: cannot be listed: ", m->conf[MOCK_RUN])));
	ck_assert_str_eq(mock_override(m, device), "(null)\n");
	mock_free(m);
}
END_TEST

START_TEST(last_good_copy_of_a_broken_file_is_in_force)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("none"));
	struct enforcer_result r = enforcer_run(m, "rebind", NAME, NULL);

	mock_policy(m, MOCK_ETC, "10-a.conf", "nonsense\n");
	r = enforcer_run(m, "rebind", NAME, NULL);
	assert_answer(&r, "enforced\n", "", "DRIVER=\nOVERRIDE=none\nDECISION=none\nCHANGED=0\n");
	mock_free(m);
}
END_TEST

START_TEST(refusals_are_printed)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("nonsense"));
	struct enforcer_result r;

	device_bind_for_unbind(m, device, "nvme");
	r = enforcer_run(m, "rebind", NAME, NULL);
	assert_answer(&r, "failed\n", "NoSuchDriver\n",
		      "DRIVER=nvme\nOVERRIDE=\nDECISION=nonsense\nCHANGED=0\n");
	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("none"));
	mock_class_add(m, "net", device, "eth0");
	mock_attr_link(m, mock_printf(m, "%s/net/eth0", device), "master", "../br\n0");
	r = enforcer_run(m, "rebind", NAME, NULL);
	assert_answer(&r, "blocked\n", "InUse\n", "DRIVER=nvme\nOVERRIDE=\nDECISION=none\nCHANGED=0\n");
	ck_assert_ptr_nonnull(strstr(r.out, "REASON=in use: eth0 is a port of br 0\n"));
	/* No kernel is here to do what is written. */
	r = enforcer_run(m, "rebind", "--rebind=force", NAME, NULL);
	assert_answer(&r, "failed\n", "Failed\n", "DRIVER=nvme\nOVERRIDE=\nDECISION=none\nCHANGED=0\n");
	ck_assert_str_eq(mock_read(m, mock_printf(m, "%s/bus/pci/drivers/nvme/unbind", m->sysfs)), NAME);
	mock_attr(m, device, "driver_override", "foreign\n");
	r = enforcer_run(m, "rebind", NAME, NULL);
	assert_answer(&r, "foreign\n", "Foreign\n",
		      "DRIVER=nvme\nOVERRIDE=foreign\nDECISION=none\nCHANGED=0\n");
	mock_free(m);
}
END_TEST

START_TEST(second_rebind_waits_for_the_first)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("none"));
	const char *ended = mock_printf(m, "%s/ended", m->root);
	pid_t pid;
	int fd;

	ck_assert_int_eq(enforcer_run(m, "rebind", NAME, NULL).status, 0);
	fd = device_lock(m, NAME);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		(void)usleep(200000);
		make_file(ended, "", 0);
		_exit(0);
	}
	(void)close(fd); /* the child has it still */
	ck_assert_int_eq(enforcer_run(m, "rebind", "--timeout=30", NAME, NULL).status, 0);
	ck_assert_int_eq(access(ended, F_OK), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	mock_free(m);
}
END_TEST

/*
 * The policy changes while the first devices are at work: each of them has a program for its module run,
 * which brings the new file. The last device's turn comes after that.
 */
START_TEST(each_device_is_moved_by_the_policy_of_its_turn)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nName=0000:00:0*\nDriver=vfio-pci\n");
	const char *program = mock_printf(m, "%s/modprobe", m->root),
		   *new = mock_printf(m, "%s/new", m->root);
	const char *text =
		mock_printf(m, "#!/bin/sh\n! mv %s %s/10-a.conf 2>/dev/null\n", new, m->conf[MOCK_ETC]);
	const char *last;
	struct enforcer_result r;
	pid_t pid;
	int fd;

	for (unsigned i = 4; i < 9; i++)
		last = mock_pci_add(m, mock_printf(m, "0000:00:0%u.0", i), NULL, 0x8086, 0x10d3, 0x020000);
	make_file(program, text, strlen(text));
	ck_assert_int_eq(chmod(program, 0755), 0);
	make_dirs(mock_printf(m, "%s/proc/sys/kernel", m->root));
	make_file(mock_printf(m, "%s/proc/sys/kernel/modprobe", m->root), program, strlen(program));
	text = "[device x]\nName=0000:00:0*\nDriver=none\n";
	make_file(new, text, strlen(text));
	make_dirs(mock_printf(m, "%s/rebind", m->state));
	/* Whoever is so quick as to have the last device's turn before has to wait for the new file. */
	fd = device_lock(m, "0000:00:08.0");
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		while (access(new, F_OK) == 0)
			(void)usleep(1000);
		_exit(0);
	}
	(void)close(fd); /* the child has it still */
	r = enforcer_run(m, "rebind", "--timeout=60", NAME, "0000:00:04.0", "0000:00:05.0", "0000:00:06.0",
			 "0000:00:07.0", "0000:00:08.0", NULL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_ptr_nonnull(strstr(r.out, "DEVICE=0000:00:08.0\nSTATE=enforced\n"));
	ck_assert_str_eq(mock_override(m, last), "none");
	mock_free(m);
}
END_TEST

START_TEST(state_directory_that_cannot_be_written)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("none"));
	struct enforcer_result r;

	make_file(m->state, "", 0);
	r = enforcer_run(m, "rebind", NAME, NULL);
	assert_answer(&r, "failed\n", "Failed\n", "DRIVER=\nOVERRIDE=\nDECISION=\nCHANGED=0\n");
	ck_assert_ptr_nonnull(strstr(r.out, "REASON=locking it"));
	ck_assert_str_eq(mock_override(m, device), "(null)\n");
	mock_free(m);
}
END_TEST

START_TEST(other_members_are_decided_again_and_not_unbound)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nName=" NAME "\nDriver=none\nGroup=none\n");
	const char *bound = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	const char *bare = mock_pci_add(m, "0000:00:03.2", NULL, 0x1b36, 0x0010, 0x010802);
	struct record record;
	struct enforcer_result r;

	mock_group(m, 7, device, bound, bare, NULL);
	device_bind_for_unbind(m, bound, "nvme");
	r = enforcer_run(m, "rebind", "--dry-run", NAME, NULL);
	ck_assert_str_eq(mock_override(m, bare), "(null)\n");
	r = enforcer_run(m, "rebind", "--rebind=force", NAME, NULL);
	assert_answer(&r, "enforced\n", "", "DRIVER=\nOVERRIDE=none\nDECISION=none\nCHANGED=1\n");
	ck_assert_str_eq(mock_override(m, bare), "none");
	ck_assert(mock_record(m, bare, &record));
	ck_assert_int_eq(record.state, STATE_HELD);
	ck_assert_str_eq(mock_override(m, bound), "none");
	ck_assert_str_eq(mock_read(m, mock_printf(m, "%s/bus/pci/drivers/nvme/unbind", m->sysfs)), "");
	ck_assert(mock_record(m, bound, &record));
	ck_assert_int_eq(record.state, STATE_PENDING);
	mock_free(m);
}
END_TEST

START_TEST(group_member_may_be_named)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nName=" NAME "\nDriver=vfio-pci\nGroup=none\n");
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	struct enforcer_result r;

	mock_group(m, 7, device, other, NULL);
	r = enforcer_run(m, "rebind", "0000:00:03.1", NULL);
	assert_answer(&r, "held\n", "", "DRIVER=\nOVERRIDE=none\nDECISION=none\nCHANGED=1\n");
	mock_free(m);
}
END_TEST

/* It is unplugged while its module is loaded: no step has failed then. */
START_TEST(device_that_goes_while_it_is_moved)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("vfio-pci"));
	const char *program = mock_printf(m, "%s/modprobe", m->root);
	const char *text = mock_printf(m, "#!/bin/sh\nmkdir %s/bus/pci/drivers/vfio-pci\nexec rm -r %s%s\n",
				       m->sysfs, m->sysfs, device);
	struct enforcer_result r;

	make_file(program, text, strlen(text));
	ck_assert_int_eq(chmod(program, 0755), 0);
	make_dirs(mock_printf(m, "%s/proc/sys/kernel", m->root));
	make_file(mock_printf(m, "%s/proc/sys/kernel/modprobe", m->root), program, strlen(program));
	r = enforcer_run(m, "rebind", NAME, NULL);
	assert_answer(&r, "failed\n", "NoSuchDevice\n", "DRIVER=\nOVERRIDE=\nDECISION=vfio-pci\nCHANGED=0\n");
	mock_free(m);
}
END_TEST

START_TEST(functions_of_a_card_move_together_or_not_at_all)
{
	const char *device, *other;
	struct mock *m = tree_new(&device, "[device card]\nName=0000:00:03.*\nDriver=none\n");
	struct enforcer_result r;

	other = mock_pci_add(m, "0000:00:03.1", NULL, 0x8086, 0x10d3, 0x020000);
	mock_group(m, 1, device, other, NULL);
	mock_bind(m, device, "nvme");
	mock_bind(m, other, "e1000e");
	mock_class_add(m, "net", other, "eth0");
	mock_attr_link(m, mock_printf(m, "%s/net/eth0", other), "master", "../../virtual/net/br0");
	r = enforcer_run(m, "rebind", "--dry-run", NAME, NULL);
	ck_assert_int_eq(r.status, 1);
	ck_assert_str_eq(printed_property(m, &r, "REASON"),
			 "in use: 0000:00:03.1, which shares its slot: eth0 is a port of br0");
	mock_free(m);
}
END_TEST

SUITE_MAIN("rebind", 60, command_line_may_come_by_stdin, device_that_goes_while_it_is_moved, usage,
	   users_of_several_devices_are_searched_for_at_once, several_devices_have_an_answer_each,
	   answer_for_a_device_that_is_moved, devices_that_do_not_exist, incomplete_policy_is_refused,
	   last_good_copy_of_a_broken_file_is_in_force, refusals_are_printed,
	   second_rebind_waits_for_the_first, each_device_is_moved_by_the_policy_of_its_turn,
	   state_directory_that_cannot_be_written, other_members_are_decided_again_and_not_unbound,
	   group_member_may_be_named, functions_of_a_card_move_together_or_not_at_all)
