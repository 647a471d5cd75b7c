/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One device to apply decisions to; see applying.h. */
#include "applying.h"
#include "suite.h"

#include <fcntl.h>

struct bench bench_new(const char *policy)
{
	struct bench b = { .m = mock_new(), .occasion = OCCASION_ADDED };

	b.device = mock_pci_add(b.m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	new_policy(&b, policy);
	return b;
}

void bench_done(struct bench *b)
{
	policy_free(b->policy);
	mock_free(b->m);
}

void new_policy(struct bench *b, const char *text)
{
	policy_free(b->policy);
	mock_policy(b->m, MOCK_ETC, "10-a.conf", text);
	b->policy = mock_load(b->m);
	ck_assert_uint_eq(b->policy->n_errors, 0);
}

void apply_to(struct bench *b, const char *devpath)
{
	struct sysfs sysfs;
	struct sysfs_device *d;
	struct decision decision;

	sysfs_init(&sysfs, &b->m->settings);
	d = mock_device(&sysfs, devpath);
	ck_assert_int_eq(policy_decide(b->policy, &d->device, &decision), 0);
	apply_decision(&decision, b->occasion, &b->outcome);
	decision_done(&decision);
	sysfs_device_free(d);
	sysfs_done(&sysfs);
}

void apply(struct bench *b)
{
	apply_to(b, b->device);
}

void watch(struct bench *b)
{
	/* A time that no write can leave behind, so that a write within one clock tick shows. */
	const struct timespec past[2] = { { 1000, 0 }, { 1000, 0 } };
	const char *path = mock_path(b->m, b->device, "driver_override");

	ck_assert_int_eq(utimensat(AT_FDCWD, path, past, 0), 0);
	ck_assert_int_eq(stat(path, &b->watched), 0);
}

bool was_written(struct bench *b)
{
	struct stat now;

	ck_assert_int_eq(stat(mock_path(b->m, b->device, "driver_override"), &now), 0);
	return now.st_mtim.tv_sec != b->watched.st_mtim.tv_sec || now.st_ino != b->watched.st_ino ||
	       now.st_size != b->watched.st_size;
}

const char *probed(struct bench *b)
{
	return mock_read(b->m, mock_printf(b->m, "%s/bus/pci/drivers_probe", b->m->sysfs));
}
