/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One device to move; see moving.h. */
#include "moving.h"
#include "suite.h"

#include <sys/stat.h>

struct stage stage_new(const char *policy)
{
	struct stage s = { .b = bench_new(policy) };

	s.m = s.b.m;
	s.device = s.b.device;
	kernel_start(s.m, "nvme");
	kernel_driver_add(s.m, "vfio-pci");
	kernel_bind(s.m, s.device, "nvme");
	mock_group(s.m, 1, s.device, NULL);
	return s;
}

void stage_done(struct stage *s)
{
	bench_done(&s->b);
}

void move_with(struct stage *s, struct move_options options)
{
	struct sysfs sysfs;
	struct sysfs_device *d;
	struct decision decision;

	sysfs_init(&sysfs, &s->m->settings);
	d = mock_device(&sysfs, s->device);
	ck_assert_int_eq(policy_decide(s->b.policy, &d->device, &decision), 0);
	kernel_answers(true);
	move_device(&decision, &options, &s->moved);
	kernel_answers(false);
	decision_done(&decision);
	sysfs_device_free(d);
	sysfs_done(&sysfs);
}

void event(struct stage *s)
{
	kernel_answers(true);
	apply(&s->b);
	kernel_answers(false);
}

void move(struct stage *s)
{
	move_with(s, (struct move_options){});
}

void assert_moved(struct stage *s, const char *state, const char *error, const char *driver,
	const char *override, bool changed)
{
	ck_assert_msg(streq(state_to_string(s->moved.state), state) &&
			      streq(move_error_to_string(s->moved.error), error),
		"%s %s: %s", state_to_string(s->moved.state), move_error_to_string(s->moved.error),
		s->moved.reason);
	ck_assert_str_eq(s->moved.driver, driver);
	ck_assert_str_eq(s->moved.override, override);
	ck_assert_int_eq(s->moved.changed, changed);
}

const struct record *record_of(struct stage *s)
{
	ck_assert(mock_record(s->m, s->device, &s->record));
	return &s->record;
}

void modprobe(struct stage *s, const char *script)
{
	const char *path = mock_printf(s->m, "%s/modprobe", s->m->root);
	const char *text =
		mock_printf(s->m, "#!/bin/sh\necho \"$*\" >>%s/loaded\ndrivers=%s/bus/pci/drivers\n%s\n",
			s->m->root, s->m->sysfs, script);

	make_file(path, text, strlen(text));
	ck_assert_int_eq(chmod(path, 0755), 0);
	make_dirs(mock_printf(s->m, "%s/proc/sys/kernel", s->m->root));
	text = mock_printf(s->m, "%s\n", path);
	make_file(mock_printf(s->m, "%s/proc/sys/kernel/modprobe", s->m->root), text, strlen(text));
}

const char *loaded(struct stage *s)
{
	const char *path = mock_printf(s->m, "%s/loaded", s->m->root);

	return access(path, F_OK) == 0 ? mock_read(s->m, path) : "";
}

void use(struct stage *s)
{
	mock_class_add(s->m, "net", s->device, "eth0");
	mock_attr_link(s->m, mock_printf(s->m, "%s/net/eth0", s->device), "master", "../../br0");
}
