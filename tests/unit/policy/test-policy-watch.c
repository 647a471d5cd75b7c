/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changes of policy files are heard of, other changes beside them are not. */
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"
#include "policy/vfio-driver.h"
#include "policy/policy-watch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
	struct mock *m;
	struct policy_watch *watch;
	const char *etc; /* the first directory */
};

static struct place watched(bool exists)
{
	struct place p = { .m = mock_new() };

	/* The mock makes the state directory when it is first used. */
	ck_assert(mkdir(p.m->settings.state_dir, 0755) == 0 || errno == EEXIST);
	p.etc = mock_printf(p.m, "%s/of-policy/etc", p.m->settings.state_dir);
	ck_assert_int_eq(mkdir(mock_printf(p.m, "%s/of-policy", p.m->settings.state_dir), 0755), 0);
	if (exists)
		ck_assert_int_eq(mkdir(p.etc, 0755), 0);
	p.m->settings.n_conf_dirs = 1;
	p.m->settings.conf_dirs[0] = p.etc;
	ck_assert_int_eq(policy_watch_new(&p.m->settings, &p.watch), 0);
	ck_assert_int_ge(policy_watch_fd(p.watch), 0);
	ck_assert(!policy_watch_changed(p.watch));
	return p;
}

static void done(struct place *p)
{
	policy_watch_free(p->watch);
	mock_free(p->m);
}

static void put(const struct place *p, const char *name)
{
	FILE *f = fopen(mock_printf(p->m, "%s/%s", p->etc, name), "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs("# nothing\n", f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST(a_file_is_written_replaced_removed)
{
	struct place p = watched(true);
	const char *file = mock_printf(p.m, "%s/a.conf", p.etc);

	put(&p, "a.conf");
	ck_assert(policy_watch_changed(p.watch));
	ck_assert(!policy_watch_changed(p.watch));
	put(&p, "a.new");
	ck_assert(!policy_watch_changed(p.watch));
	ck_assert_int_eq(rename(mock_printf(p.m, "%s/a.new", p.etc), file), 0);
	ck_assert(policy_watch_changed(p.watch));
	ck_assert_int_eq(chmod(file, 0666), 0);
	ck_assert(policy_watch_changed(p.watch));
	ck_assert_int_eq(unlink(file), 0);
	ck_assert(policy_watch_changed(p.watch));
	ck_assert_int_eq(symlink("/dev/null", file), 0);
	ck_assert(policy_watch_changed(p.watch));
	done(&p);
}
END_TEST

START_TEST(what_is_beside_it_does_not_matter)
{
	struct place p = watched(true);

	put(&p, ".a.conf.swp");
	put(&p, "README");
	put(&p, ".conf");
	ck_assert_int_eq(mkdir(mock_printf(p.m, "%s/../other", p.etc), 0755), 0);
	ck_assert_int_eq(chmod(mock_printf(p.m, "%s/../other", p.etc), 0700), 0);
	ck_assert(!policy_watch_changed(p.watch));
	done(&p);
}
END_TEST

START_TEST(a_directory_that_comes_later_goes_and_comes_again)
{
	struct place p = watched(false);

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(mkdir(p.etc, 0755), 0);
		ck_assert(policy_watch_changed(p.watch));
		put(&p, "a.conf");
		ck_assert(policy_watch_changed(p.watch));
		ck_assert_int_eq(unlink(mock_printf(p.m, "%s/a.conf", p.etc)), 0);
		ck_assert_int_eq(rmdir(p.etc), 0);
		ck_assert(policy_watch_changed(p.watch));
		while (policy_watch_changed(p.watch))
			;
	}
	ck_assert_int_eq(mkdir(mock_printf(p.m, "%s.new", p.etc), 0755), 0);
	ck_assert(!policy_watch_changed(p.watch));
	ck_assert_int_eq(rename(mock_printf(p.m, "%s.new", p.etc), p.etc), 0);
	ck_assert(policy_watch_changed(p.watch));
	put(&p, "a.conf");
	ck_assert(policy_watch_changed(p.watch));
	done(&p);
}
END_TEST

/* By depmod, for whom a package has brought a driver. */
START_TEST(other_modules_may_mean_another_vfio_driver)
{
	struct mock *m = mock_new();
	struct policy_watch *watch;
	char dir[PATH_MAX];

	ck_assert_int_eq(vfio_aliases_dir(m->sysfs, dir, sizeof(dir)), 0);
	make_dirs(dir);
	ck_assert_int_eq(policy_watch_new(&m->settings, &watch), 0);
	make_file(mock_printf(m, "%s/modules.dep", dir), "", 0);
	ck_assert(!policy_watch_changed(watch));
	make_file(mock_printf(m, "%s/modules.alias.1.2", dir), "", 0);
	ck_assert(!policy_watch_changed(watch));
	ck_assert_int_eq(
		rename(mock_printf(m, "%s/modules.alias.1.2", dir), mock_printf(m, "%s/modules.alias", dir)),
		0);
	ck_assert(policy_watch_changed(watch));
	policy_watch_free(watch);
	mock_free(m);
}
END_TEST

SUITE_MAIN("watch", 20, a_file_is_written_replaced_removed, what_is_beside_it_does_not_matter,
	   a_directory_that_comes_later_goes_and_comes_again, other_modules_may_mean_another_vfio_driver)
