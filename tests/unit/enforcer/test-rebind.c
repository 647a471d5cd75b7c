/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override rebind`: what it prints, how it ends and when, and that there is one at a time for a
 * device. */
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

static struct mock *tree_new(const char **ret_device, const char *policy)
{
	struct mock *m = mock_new();

	*ret_device = mock_pci_add(m, NAME, NULL, 0x1b36, 0x0010, 0x010802);
	mock_policy(m, MOCK_ETC, "10-a.conf", policy);
	return m;
}

/* A driver that has a device, and a file by which it may be taken from it. */
static void device_bind_for_unbind(struct mock *m, const char *device, const char *driver)
{
	mock_bind(m, device, driver);
	make_file(mock_printf(m, "%s/bus/pci/drivers/%s/unbind", m->sysfs, driver), "", 0);
}

/* Every key once and in this order; the error only where there is one. */
static void assert_answer(const struct enforcer_result *r, const char *state, const char *error,
			  const char *out)
{
	const char *rest = r->out;

	ck_assert_msg(startswith(rest, "STATE=") && startswith(rest + 6, state), "%s%s", r->out, r->err);
	rest = strchr(rest, '\n') + 1;
	ck_assert_ptr_nonnull(startswith(rest, "REASON="));
	rest = strchr(rest, '\n') + 1;
	if (error[0]) {
		ck_assert_msg(startswith(rest, "ERROR=") && startswith(rest + 6, error), "%s", r->out);
		rest = strchr(rest, '\n') + 1;
	}
	ck_assert_str_eq(rest, out);
	ck_assert_int_eq(r->status, error[0] ? 1 : 0);
}

START_TEST(usage)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("none"));
	static const char *const wrong[] = { "--rebind=maybe", "--rebind=",    "--timeout=0",
					     "--timeout=-1",   "--timeout=1s", "--timeout=3601",
					     "--timeout=",     "--dry-run=1",  "--nonsense" };

	for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
		struct enforcer_result r = enforcer_run(m, "rebind", wrong[i], NAME, NULL);

		ck_assert_msg(r.status == 2, "%s: %d", wrong[i], r.status);
		ck_assert_str_eq(r.out, "");
	}
	ck_assert_int_eq(enforcer_run(m, "rebind", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "rebind", NAME, NAME, NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "--dry-run", "sweep", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "event", "--timeout", "5", device, NULL).status, 2);
	ck_assert_str_eq(mock_override(m, device), "(null)\n");
	mock_free(m);
}
END_TEST

START_TEST(answer_of_a_device_that_is_made_so)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("none"));
	const char *names[] = { NAME, "pci/" NAME, "00:03.0", device,
				mock_printf(m, "%s%s", m->sysfs, device) };
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

START_TEST(devices_that_there_are_not)
{
	static const char *const no[] = { "0000:00:09.0", "pci/..",    "..", "/devices/nowhere", "",
					  "\xff",	  "a\nSTATE=x" };
	const char *device, *usb;
	struct mock *m = tree_new(&device, RULE("none"));
	struct enforcer_result r;

	for (size_t i = 0; i < ELEMENTSOF(no); i++) {
		r = enforcer_run(m, "rebind", no[i], NULL);
		assert_answer(&r, "failed\n", "NoSuchDevice\n", "DRIVER=\nOVERRIDE=\nDECISION=\nCHANGED=0\n");
	}
	usb = mock_device_add(m, "usb", "/devices/pci0000:00/0000:00:14.0/usb1", "1-1", false);
	r = enforcer_run(m, "rebind", usb, NULL);
	assert_answer(&r, "failed\n", "NotSupported\n", "DRIVER=\nOVERRIDE=\nDECISION=\nCHANGED=0\n");

	(void)mock_device_add(m, "platform", "/devices/platform", NAME, true);
	r = enforcer_run(m, "rebind", NAME, NULL);
	assert_answer(&r, "failed\n", "Invalid\n", "DRIVER=\nOVERRIDE=\nDECISION=\nCHANGED=0\n");
	ck_assert_ptr_nonnull(strstr(r.out, "more than one bus"));
	mock_free(m);
}
END_TEST

START_TEST(policy_that_cannot_be_read_whole)
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

START_TEST(broken_file_s_last_good_copy_is_in_force)
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
	ck_assert_str_eq(record.state, "stuck");
	/* What it will be like was not done by others. */
	ck_assert_uint_eq(record.enforced, 0);

	/* Whoever comes by when it is over puts that right. */
	mock_unbind(m, device);
	r = enforcer_run(m, "rebind", NAME, NULL);
	assert_answer(&r, "enforced\n", "", "DRIVER=\nOVERRIDE=none\nDECISION=none\nCHANGED=0\n");
	ck_assert(mock_record(m, device, &record));
	ck_assert_str_eq(record.state, "enforced");
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
	ck_assert_str_eq(record.state, "enforced");
	ck_assert_str_eq(record.reason, "");
	mock_free(m);
}
END_TEST

START_TEST(everything_that_may_hang_is_waited_for_no_longer_than_said)
{
	static const struct {
		const char *bus_file, *attr, *doing;
	} files[] = {
		{ NULL, "driver_override", "driver_override" },
		{ NULL, "modalias", "modalias" },
		{ "/bus/pci", "drivers_probe", "(drivers_probe)" },
	};

	for (size_t i = 0; i < ELEMENTSOF(files); i++) {
		const char *device;
		struct mock *m = tree_new(&device, "[device x]\nId=1b36:0010\nDriver=vfio-pci\n");
		struct enforcer_result r;

		mock_driver_add(m, "pci", "vfio-pci");
		mock_attr_hangs(m, files[i].bus_file ? files[i].bus_file : device, files[i].attr);
		r = enforcer_run(m, "rebind", "--timeout=2", NAME, NULL);
		ck_assert_int_eq(r.status, 1);
		ck_assert_ptr_nonnull(strstr(r.out, "ERROR=Stuck\n"));
		ck_assert_msg(strstr(r.out, files[i].doing) != NULL, "%s", r.out);
		mock_free(m);
	}
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

static int device_lock(struct mock *m)
{
	const char *path = mock_printf(m, "%s/rebind/pci:" NAME, m->state);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	return fd;
}

START_TEST(one_at_a_time_for_a_device)
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
	ck_assert_str_eq(record.state, "enforced");
	/* Another device need not wait, and he who changes nothing neither. */
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

START_TEST(second_waits_for_the_first)
{
	const char *device;
	struct mock *m = tree_new(&device, RULE("none"));
	struct enforcer_result r;
	pid_t pid;
	int fd;

	ck_assert_int_eq(enforcer_run(m, "rebind", NAME, NULL).status, 0);
	fd = device_lock(m);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		(void)usleep(700000);
		_exit(0);
	}
	(void)close(fd); /* the child has it still */
	r = enforcer_run(m, "rebind", "--timeout=20", NAME, NULL);
	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_ge(r.usec, 300000);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
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

START_TEST(companions_are_decided_again_and_not_unbound)
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
	ck_assert_str_eq(record.state, "held");
	ck_assert_str_eq(mock_override(m, bound), "none");
	ck_assert_str_eq(mock_read(m, mock_printf(m, "%s/bus/pci/drivers/nvme/unbind", m->sysfs)), "");
	ck_assert(mock_record(m, bound, &record));
	ck_assert_str_eq(record.state, "pending");
	mock_free(m);
}
END_TEST

START_TEST(companion_that_hangs_changes_nothing_about_the_device)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nName=" NAME "\nDriver=none\nGroup=none\n");
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	struct enforcer_result r;

	mock_group(m, 7, device, other, NULL);
	mock_attr_hangs(m, other, "driver_override");
	r = enforcer_run(m, "rebind", "--timeout=2", NAME, NULL);
	assert_answer(&r, "enforced\n", "", "DRIVER=\nOVERRIDE=none\nDECISION=none\nCHANGED=1\n");
	ck_assert_ptr_nonnull(strstr(r.err, "reading driver_override of pci 0000:00:03.1 did not come back"));
	mock_free(m);
}
END_TEST

START_TEST(companion_that_hangs_does_not_lock_the_device)
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
		(void)enforcer_run(m, "rebind", "--timeout=12", NAME, NULL);
		_exit(0);
	}
	while (!mock_record(m, device, &record) || !streq(record.state, "enforced"))
		(void)usleep(10000);
	/* The first is with the companion now, and will be for long. */
	r = enforcer_run(m, "rebind", "--timeout=3", NAME, NULL);
	assert_answer(&r, "enforced\n", "", "DRIVER=\nOVERRIDE=none\nDECISION=none\nCHANGED=0\n");
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert(mock_record(m, other, &record));
	ck_assert_str_eq(record.state, "stuck");
	mock_free(m);
}
END_TEST

START_TEST(member_that_decides_and_hangs_is_named)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nId=dead:beef\nDriver=none\nGroup=none\n");
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	struct record record;
	struct enforcer_result r;

	mock_group(m, 7, device, other, NULL);
	mock_attr_hangs(m, other, "modalias");
	r = enforcer_run(m, "rebind", "--timeout=2", NAME, NULL);
	assert_answer(&r, "stuck\n", "Stuck\n", "DRIVER=\nOVERRIDE=\nDECISION=\nCHANGED=0\n");
	ck_assert_ptr_nonnull(strstr(r.out, "REASON=reading modalias of pci 0000:00:03.1 did not come back"));
	/* That is the one which is stuck. */
	ck_assert(mock_record(m, other, &record));
	ck_assert_str_eq(record.state, "stuck");
	ck_assert(!mock_record(m, device, &record));
	mock_free(m);
}
END_TEST

START_TEST(companion_by_its_name)
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

SUITE_MAIN("rebind", 60, companion_that_hangs_does_not_lock_the_device, usage,
	   answer_of_a_device_that_is_made_so, devices_that_there_are_not, policy_that_cannot_be_read_whole,
	   broken_file_s_last_good_copy_is_in_force, refusals_are_printed, unbind_that_does_not_come_back,
	   event_puts_a_stuck_record_right, everything_that_may_hang_is_waited_for_no_longer_than_said,
	   module_that_hangs, dry_run_that_hangs, one_at_a_time_for_a_device, second_waits_for_the_first,
	   state_directory_that_cannot_be_written, companions_are_decided_again_and_not_unbound,
	   companion_that_hangs_changes_nothing_about_the_device, member_that_decides_and_hangs_is_named,
	   companion_by_its_name)
