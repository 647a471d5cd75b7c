/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override rebind` when the kernel, a program or another rebind does not come back in time. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/unit/fixtures/run-enforcer.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RULE(driver) "[device x]\nName=0000:00:03.0\nDriver=" driver "\n"
#define NAME "0000:00:03.0"

static int device_lock(struct mock *m)
{
	const char *path = mock_printf(m, "%s/rebind/pci:" NAME, m->state);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	return fd;
}

/* A file of the device, or of the bus if `folder` says so, does not answer: the reason names it. */
static void assert_stuck_at(const char *folder, const char *attr, const char *doing)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nId=1b36:0010\nDriver=vfio-pci\n");
	struct enforcer_result r;

	mock_driver_add(m, "pci", "vfio-pci");
	mock_attr_hangs(m, folder ? folder : device, attr);
	r = enforcer_run(m, "rebind", "--timeout=4", NAME, NULL);
	ck_assert_int_eq(r.status, 1);
	ck_assert_ptr_nonnull(strstr(r.out, "ERROR=Stuck\n"));
	ck_assert_msg(strstr(r.out, doing) != NULL, "%s", r.out);
	mock_free(m);
}

START_TEST(unbind_that_does_not_come_back)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("none"));
	struct record record;
	struct enforcer_result r;

	ck_assert_int_eq(enforcer_run(m, "rebind", NAME, NULL).status, 0);
	ck_assert(mock_record(m, device, &record));
	ck_assert_uint_ne(record.enforced, 0);
	device_bind_for_unbind(m, device, "nvme");
	mock_attr_hangs(m, "/bus/pci/drivers/nvme", "unbind");
	r = enforcer_run(m, "rebind", "--timeout=4", NAME, NULL);
	assert_answer(&r, "stuck\n", "Stuck\n", "DRIVER=nvme\nOVERRIDE=none\nDECISION=none\nCHANGED=0\n");
	ck_assert_uint_ge(r.usec, 4000000);
	ck_assert_ptr_nonnull(strstr(r.out, "(unbind) of pci " NAME " did not come back"));
	ck_assert(mock_record(m, device, &record));
	ck_assert_int_eq(record.state, STATE_STUCK);
	/* What it will be like was not done by others. */
	ck_assert_uint_eq(record.enforced, 0);

	/* The next call, when the first is over, puts that right. */
	mock_unbind(m, device);
	r = enforcer_run(m, "rebind", NAME, NULL);
	assert_answer(&r, "enforced\n", "", "DRIVER=\nOVERRIDE=none\nDECISION=none\nCHANGED=0\n");
	ck_assert(mock_record(m, device, &record));
	ck_assert_int_eq(record.state, STATE_ENFORCED);
	mock_free(m);
}
END_TEST

START_TEST(event_puts_a_stuck_record_right)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("none"));
	struct record record;

	device_bind_for_unbind(m, device, "nvme");
	mock_attr_hangs(m, "/bus/pci/drivers/nvme", "unbind");
	ck_assert_int_eq(enforcer_run(m, "rebind", "--timeout=4", NAME, NULL).status, 1);
	mock_unbind(m, device);
	ck_assert_int_eq(enforcer_event(m, device).status, 0);
	ck_assert(mock_record(m, device, &record));
	ck_assert_int_eq(record.state, STATE_ENFORCED);
	ck_assert_str_eq(record.reason, "");
	mock_free(m);
}
END_TEST

START_TEST(override_that_hangs)
{
	assert_stuck_at(NULL, "driver_override", "driver_override");
}
END_TEST

START_TEST(modalias_that_hangs)
{
	assert_stuck_at(NULL, "modalias", "modalias");
}
END_TEST

START_TEST(probe_that_hangs)
{
	assert_stuck_at("/bus/pci", "drivers_probe", "(drivers_probe)");
}
END_TEST

START_TEST(module_that_hangs)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("vfio-pci"));
	const char *program = mock_printf(m, "%s/modprobe", m->root), *text = "#!/bin/sh\nexec sleep 25\n";
	struct enforcer_result r;

	make_file(program, text, strlen(text));
	ck_assert_int_eq(chmod(program, 0755), 0);
	make_dirs(mock_printf(m, "%s/proc/sys/kernel", m->root));
	make_file(mock_printf(m, "%s/proc/sys/kernel/modprobe", m->root), program, strlen(program));
	r = enforcer_run(m, "rebind", "--timeout=4", NAME, NULL);
	assert_answer(&r, "stuck\n", "Stuck\n", "DRIVER=\nOVERRIDE=\nDECISION=vfio-pci\nCHANGED=0\n");
	ck_assert_ptr_nonnull(strstr(r.out, "loading the module"));
	mock_free(m);
}
END_TEST

/* A dry run that hangs leaves no record either. */
START_TEST(dry_run_that_hangs)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("vfio-pci"));
	struct record record;
	struct enforcer_result r;

	mock_attr_hangs(m, device, "driver_override");
	r = enforcer_run(m, "rebind", "--dry-run", "--timeout=4", NAME, NULL);
	ck_assert_ptr_nonnull(strstr(r.out, "ERROR=Stuck\n"));
	ck_assert(!mock_record(m, device, &record));
	mock_free(m);
}
END_TEST

#define EIGHT(slot)                                                                                          \
	"0000:01:" slot ".0", "0000:01:" slot ".1", "0000:01:" slot ".2", "0000:01:" slot ".3",              \
		"0000:01:" slot ".4", "0000:01:" slot ".5", "0000:01:" slot ".6", "0000:01:" slot ".7"

/* The devices with these numbers, counted in eights. */
static const char *devices_that_hang(struct mock *m, unsigned n)
{
	const char *device = NULL;

	for (unsigned i = 0; i < n; i++) {
		device = mock_pci_add(m, mock_printf(m, "0000:01:%02x.%u", i / 8, i % 8), NULL, 0x1b36,
				      0x0010, 0x010802);
		mock_attr_hangs(m, device, "driver_override");
	}
	return device;
}

/* More than are at work side by side. */
START_TEST(devices_that_hang_keep_no_others_from_being_moved)
{
	static const char *const names[] = { EIGHT("00"), EIGHT("01"), "0000:01:02.0" };
	const char *device, *other;
	struct mock *m = tree_new(&device, "[device all]\nBus=pci\nDriver=none\n");
	struct enforcer_result r;

	(void)devices_that_hang(m, ELEMENTSOF(names));
	other = mock_pci_add(m, "0000:00:09.0", NULL, 0x1b36, 0x0010, 0x010802);
	r = enforcer_run(m, "rebind", "--timeout=12", EIGHT("00"), EIGHT("01"), "0000:01:02.0",
			 "0000:00:09.0", NAME, NULL);
	ck_assert_int_eq(r.status, 1);
	/* In the order of the arguments. */
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		ck_assert_ptr_nonnull(strstr(r.out, mock_printf(m, "DEVICE=%s\nSTATE=stuck\n", names[i])));
	ck_assert_ptr_nonnull(strstr(r.out, "DEVICE=0000:00:09.0\nSTATE=enforced\n"));
	ck_assert_ptr_nonnull(strstr(r.out, "DEVICE=" NAME "\nSTATE=enforced\n"));
	ck_assert(strstr(r.out, "DEVICE=0000:01:00.0\n") < strstr(r.out, "DEVICE=0000:00:09.0\n"));
	ck_assert(strstr(r.out, "DEVICE=0000:00:09.0\n") < strstr(r.out, "DEVICE=" NAME "\n"));
	ck_assert_str_eq(mock_override(m, other), "none");
	ck_assert_str_eq(mock_override(m, device), "none");
	mock_free(m);
}
END_TEST

/* 16 are at work, and 16 others when these have been slow for a second; then too little time is left. */
START_TEST(device_is_not_begun_if_there_is_no_time_to_end)
{
	const char *device, *last;
	struct mock *m = tree_new(&device, "[device all]\nBus=pci\nDriver=none\n");
	struct record record;
	struct enforcer_result r;

	last = devices_that_hang(m, 33);
	r = enforcer_run(m, "rebind", "--timeout=3", EIGHT("00"), EIGHT("01"), EIGHT("02"), EIGHT("03"),
			 "0000:01:04.0", NULL);
	ck_assert_int_eq(r.status, 1);
	ck_assert_ptr_nonnull(strstr(r.out, "DEVICE=0000:01:00.0\nSTATE=stuck\n"));
	ck_assert_ptr_nonnull(strstr(r.out, "DEVICE=0000:01:04.0\nSTATE=pending\n"
					    "REASON=other devices took all the time; nothing was done\n"
					    "ERROR=NotBegun\n"));
	ck_assert(!mock_record(m, last, &record));
	mock_free(m);
}
END_TEST

START_TEST(device_is_rebound_by_one_process_at_a_time)
{
	const char *device, *other;
	struct mock *m = tree_new(&device, "[device all]\nBus=pci\nDriver=none\n");
	struct record record;
	struct enforcer_result r;
	int fd;

	other = mock_pci_add(m, "0000:00:04.0", NULL, 0x1b36, 0x0010, 0x010802);
	ck_assert_int_eq(enforcer_run(m, "rebind", NAME, NULL).status, 0);
	mock_attr(m, device, "driver_override", "(null)\n");
	fd = device_lock(m);
	r = enforcer_run(m, "rebind", "--timeout=4", NAME, NULL);
	assert_answer(&r, "stuck\n", "Stuck\n", "DRIVER=\nOVERRIDE=\nDECISION=\nCHANGED=0\n");
	ck_assert_ptr_nonnull(strstr(r.out, "another rebind"));
	/* What the other one writes down is its own affair. */
	ck_assert(mock_record(m, device, &record));
	ck_assert_int_eq(record.state, STATE_ENFORCED);
	/* A call for another device need not wait, and neither need one that changes nothing. */
	ck_assert_int_eq(enforcer_run(m, "rebind", "--timeout=5", "0000:00:04.0", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, other), "none");
	ck_assert_int_eq(enforcer_run(m, "rebind", "--dry-run", "--timeout=5", NAME, NULL).status, 0);
	ck_assert_str_eq(mock_override(m, device), "(null)\n");
	(void)close(fd);
	ck_assert_int_eq(enforcer_run(m, "rebind", NAME, NULL).status, 0);
	ck_assert_str_eq(mock_override(m, device), "none");
	mock_free(m);
}
END_TEST

START_TEST(member_that_hangs_does_not_lock_the_device)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nName=" NAME "\nDriver=none\nGroup=none\n");
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	struct record record = {};
	struct enforcer_result r;
	pid_t pid;

	mock_group(m, 7, device, other, NULL);
	mock_attr_hangs(m, other, "driver_override");
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		(void)enforcer_run(m, "rebind", "--timeout=60", NAME, NULL);
		_exit(0);
	}
	while (!mock_record(m, device, &record) || record.state != STATE_ENFORCED)
		(void)usleep(10000);
	/* The first rebind is busy with the other member now. */
	r = enforcer_run(m, "rebind", "--timeout=4", NAME, NULL);
	assert_answer(&r, "enforced\n", "", "DRIVER=\nOVERRIDE=none\nDECISION=none\nCHANGED=0\n");
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	mock_attr_comes_back(m, other, "driver_override", "(null)\n");
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	mock_free(m);
}
END_TEST

START_TEST(member_that_hangs_changes_nothing_about_the_device)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nName=" NAME "\nDriver=none\nGroup=none\n");
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	struct enforcer_result r = {};
	struct record record;

	mock_group(m, 7, device, other, NULL);
	mock_attr_hangs(m, other, "driver_override");
	/* On a machine that is very slow the time may be up before the member is known to be stuck. */
	for (int tries = 0; tries < 5; tries++) {
		mock_attr(m, device, "driver_override", "(null)\n");
		r = enforcer_run(m, "rebind", "--timeout=4", NAME, NULL);
		if (mock_record(m, other, &record) && record.state == STATE_STUCK)
			break;
	}
	assert_answer(&r, "enforced\n", "", "DRIVER=\nOVERRIDE=none\nDECISION=none\nCHANGED=1\n");
	ck_assert_ptr_nonnull(strstr(r.err, "timed out while reading driver_override of pci 0000:00:03.1"));
	ck_assert(mock_record(m, other, &record));
	ck_assert_int_eq(record.state, STATE_STUCK);
	mock_free(m);
}
END_TEST

START_TEST(member_that_hangs_is_named_where_the_group_decides)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nId=dead:beef\nDriver=none\nGroup=none\n");
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	struct record record;
	struct enforcer_result r;

	mock_group(m, 7, device, other, NULL);
	mock_attr_hangs(m, other, "modalias");
	r = enforcer_run(m, "rebind", "--timeout=4", NAME, NULL);
	assert_answer(&r, "stuck\n", "Stuck\n", "DRIVER=\nOVERRIDE=\nDECISION=\nCHANGED=0\n");
	ck_assert_ptr_nonnull(strstr(r.out, "REASON=reading modalias of pci 0000:00:03.1 did not come back"));
	/* That is the one which is stuck. */
	ck_assert(mock_record(m, other, &record));
	ck_assert_int_eq(record.state, STATE_STUCK);
	ck_assert(!mock_record(m, device, &record));
	mock_free(m);
}
END_TEST

SUITE_MAIN_AT_ONCE("rebind-deadline", 60, unbind_that_does_not_come_back, event_puts_a_stuck_record_right,
		   override_that_hangs, modalias_that_hangs, probe_that_hangs, module_that_hangs,
		   dry_run_that_hangs, devices_that_hang_keep_no_others_from_being_moved,
		   device_is_not_begun_if_there_is_no_time_to_end, device_is_rebound_by_one_process_at_a_time,
		   member_that_hangs_does_not_lock_the_device,
		   member_that_hangs_changes_nothing_about_the_device,
		   member_that_hangs_is_named_where_the_group_decides)
