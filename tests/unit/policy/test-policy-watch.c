/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changes of policy files are heard of, behind links, too; other changes beside them are not. */
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"
#include "policy/vfio-driver.h"
#include "policy/policy-watch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

static const char *in_place(const struct place *p, const char *name)
{
	return mock_printf(p->m, "%s/of-policy/%s", p->m->settings.state_dir, name);
}

static void write_at(const struct place *p, const char *name, const char *text)
{
	make_file(in_place(p, name), text, strlen(text));
}

static void make_folder(const struct place *p, const char *name)
{
	ck_assert_int_eq(mkdir(in_place(p, name), 0755), 0);
}

/* Puts a link in the place of whatever is there, in one step. */
static void switch_link(const struct place *p, const char *name, const char *target)
{
	const char *temporary = in_place(p, "new-link");

	ck_assert_int_eq(symlink(target, temporary), 0);
	ck_assert_int_eq(rename(temporary, in_place(p, name)), 0);
}

/* Takes in all that has happened: what comes next is heard by itself. */
static bool heard(const struct place *p)
{
	bool changed = false;

	while (policy_watch_changed(p->watch))
		changed = true;
	return changed;
}

static unsigned n_watches(const struct place *p)
{
	const char *s = mock_read(p->m, mock_printf(p->m, "/proc/self/fdinfo/%d", policy_watch_fd(p->watch)));
	unsigned n = 0;

	while ((s = strstr(s, "inotify wd:"))) {
		s++;
		n++;
	}
	return n;
}

/* As stow does it. */
START_TEST(what_a_linked_file_leads_to_is_edited_replaced_removed_and_comes_again)
{
	struct place p = watched(true);

	make_folder(&p, "store");
	write_at(&p, "store/a", "# 1\n");
	switch_link(&p, "etc/a.conf", "../store/a");
	ck_assert(heard(&p));
	write_at(&p, "store/a", "# 2\n");
	ck_assert(heard(&p));
	write_at(&p, "store/beside", "# 1\n");
	ck_assert(!heard(&p));
	ck_assert_int_eq(rename(in_place(&p, "store/beside"), in_place(&p, "store/a")), 0);
	ck_assert(heard(&p));
	write_at(&p, "store/a", "# 3\n");
	ck_assert(heard(&p));
	ck_assert_int_eq(chmod(in_place(&p, "store/a"), 0666), 0);
	ck_assert(heard(&p));
	ck_assert_int_eq(unlink(in_place(&p, "store/a")), 0);
	ck_assert(heard(&p));
	write_at(&p, "store/a", "# 4\n");
	ck_assert(heard(&p));
	/* Without the link, it is nobody's policy. */
	ck_assert_int_eq(unlink(in_place(&p, "etc/a.conf")), 0);
	ck_assert(heard(&p));
	write_at(&p, "store/a", "# 5\n");
	ck_assert(!heard(&p));
	done(&p);
}
END_TEST

START_TEST(what_a_link_leads_to_is_heard_of_from_the_second_step_on)
{
	struct place p = watched(true);

	make_folder(&p, "store");
	write_at(&p, "store/a", "# 1\n");
	switch_link(&p, "etc/a.conf", "../store/a");
	ck_assert(policy_watch_take_events(p.watch));
	ck_assert(!policy_watch_take_events(p.watch));
	policy_watch_follow(p.watch);
	ck_assert(!policy_watch_take_events(p.watch));
	write_at(&p, "store/a", "# 2\n");
	ck_assert(policy_watch_take_events(p.watch));
	done(&p);
}
END_TEST

/* As NixOS does it: a link for each file, all of them through one that is switched. */
START_TEST(a_link_in_the_middle_of_a_chain_leads_elsewhere)
{
	struct place p = watched(true);

	make_folder(&p, "one");
	make_folder(&p, "one/sub");
	make_folder(&p, "two");
	make_folder(&p, "two/sub");
	write_at(&p, "one/sub/a", "# 1\n");
	write_at(&p, "two/sub/a", "# 2\n");
	switch_link(&p, "static", "one");
	switch_link(&p, "etc/a.conf", in_place(&p, "static/sub/../sub/./a"));
	ck_assert(heard(&p));
	switch_link(&p, "static", in_place(&p, "two/"));
	ck_assert(heard(&p));
	write_at(&p, "one/sub/a", "# 3\n");
	ck_assert(!heard(&p));
	write_at(&p, "two/sub/a", "# 4\n");
	ck_assert(heard(&p));
	/* The end of the chain is one more link. */
	switch_link(&p, "two/sub/a", "../../one/sub/a");
	ck_assert(heard(&p));
	write_at(&p, "one/sub/a", "# 5\n");
	ck_assert(heard(&p));
	ck_assert_int_eq(rename(in_place(&p, "one/sub"), in_place(&p, "one/gone")), 0);
	ck_assert(heard(&p));
	done(&p);
}
END_TEST

START_TEST(a_linked_directory_is_switched)
{
	struct place p = watched(false);
	unsigned n;

	make_folder(&p, "one");
	make_folder(&p, "two");
	switch_link(&p, "etc", "one");
	ck_assert(heard(&p));
	n = n_watches(&p);
	for (unsigned i = 0; i < 50; i++) {
		const char *now = i % 2 ? "one" : "two", *before = i % 2 ? "two" : "one";

		switch_link(&p, "etc", now);
		ck_assert(heard(&p));
		write_at(&p, mock_printf(p.m, "%s/a.conf", now), "# 1\n");
		ck_assert(heard(&p));
		write_at(&p, mock_printf(p.m, "%s/a.conf", before), "# 2\n");
		ck_assert(!heard(&p));
		/* Watches of what is no policy any more are given back. */
		ck_assert_uint_eq(n_watches(&p), n);
	}
	done(&p);
}
END_TEST

START_TEST(what_a_link_leads_to_comes_later)
{
	struct place p = watched(true);

	switch_link(&p, "etc/a.conf", "../store/sub/a");
	ck_assert(heard(&p));
	make_folder(&p, "other");
	ck_assert(!heard(&p));
	make_folder(&p, "store");
	ck_assert(heard(&p));
	make_folder(&p, "store/sub");
	ck_assert(heard(&p));
	write_at(&p, "store/sub/a", "# 1\n");
	ck_assert(heard(&p));
	write_at(&p, "store/sub/a", "# 2\n");
	ck_assert(heard(&p));
	done(&p);
}
END_TEST

START_TEST(loops_of_links_do_no_harm)
{
	struct place p = watched(true);

	switch_link(&p, "etc/a.conf", "b.conf");
	switch_link(&p, "etc/b.conf", "a.conf");
	switch_link(&p, "etc/c.conf", "../around/c");
	switch_link(&p, "around", "around");
	ck_assert(heard(&p));
	ck_assert(!heard(&p));
	/* One that ends is a link like others. */
	ck_assert_int_eq(unlink(in_place(&p, "around")), 0);
	make_folder(&p, "around");
	ck_assert(heard(&p));
	write_at(&p, "around/c", "# 1\n");
	ck_assert(heard(&p));
	/* The directory itself. */
	ck_assert_int_eq(rename(p.etc, in_place(&p, "away")), 0);
	switch_link(&p, "etc", "etc");
	ck_assert(heard(&p));
	ck_assert_int_eq(unlink(p.etc), 0);
	ck_assert_int_eq(rename(in_place(&p, "away"), p.etc), 0);
	ck_assert(heard(&p));
	write_at(&p, "around/c", "# 2\n");
	ck_assert(heard(&p));
	done(&p);
}
END_TEST

/* A thousand disks that come are a thousand files in /dev. */
START_TEST(masks_are_not_followed)
{
	struct place p = watched(true);
	unsigned n = n_watches(&p);

	switch_link(&p, "etc/a.conf", "/dev/null");
	ck_assert(heard(&p));
	ck_assert_uint_eq(n_watches(&p), n);
	done(&p);
}
END_TEST

START_TEST(very_many_links_do_not_take_all_watches)
{
	struct place p = watched(true);
	unsigned n;

	/* Each link leads through a hundred folders. */
	for (unsigned i = 0; i < 11; i++) {
		const char *path = mock_printf(p.m, "store/%u", i);

		for (unsigned k = 0; k < 100; k++)
			path = mock_printf(p.m, "%s/d", path);
		make_dirs(in_place(&p, path));
		switch_link(&p, mock_printf(p.m, "etc/%u.conf", i), mock_printf(p.m, "../%s/a", path));
	}
	ck_assert(heard(&p));
	n = n_watches(&p);
	ck_assert_uint_gt(n, 300);
	ck_assert_uint_le(n, 1024);
	/* The directory itself is heard in any case. */
	put(&p, "a.conf");
	ck_assert(heard(&p));
	ck_assert_uint_eq(n_watches(&p), n);
	done(&p);
}
END_TEST

/* What somebody else does while paths are followed: before the call of that number, or after it. */
static struct {
	const struct place *place;
	const char *link;
	unsigned calls, at;
	bool after;
} meanwhile;

static void do_meanwhile(void)
{
	const struct place *p = meanwhile.place;

	meanwhile.place = NULL;
	switch_link(p, meanwhile.link, "../new/a");
	write_at(p, "new/a", "new");
}

/* Takes the place of the C library's, which is the same without what happens meanwhile. */
int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	const bool now = meanwhile.place && meanwhile.calls++ == meanwhile.at;
	long r;

	if (now && !meanwhile.after)
		do_meanwhile();
	r = syscall(SYS_inotify_add_watch, fd, path, mask);
	if (now && meanwhile.after)
		do_meanwhile();
	return (int)r;
}

/* The text that a program has read in the end, which reads whenever it hears of a change. */
static const char *text_last_read(const struct place *p)
{
	const char *seen = "";

	while (policy_watch_changed(p->watch))
		seen = mock_read(p->m, in_place(p, "etc/a.conf"));
	return seen;
}

/* A link leads to a folder that was not watched, and a link in there is switched at whatever moment. */
START_TEST(no_switch_is_missed_while_paths_are_followed)
{
	struct place p = watched(true);
	unsigned n = 0;

	make_folder(&p, "old");
	make_folder(&p, "new");
	write_at(&p, "old/a", "old");
	switch_link(&p, "etc/a.conf", "../current/a");
	for (bool happened = true; happened; n++) {
		const char *folder = mock_printf(p.m, "folder%u", n);

		make_folder(&p, folder);
		meanwhile.link = mock_printf(p.m, "%s/a", folder);
		switch_link(&p, meanwhile.link, "../old/a");
		write_at(&p, "new/a", "before");
		ck_assert(heard(&p) || n > 0);
		meanwhile.calls = 0;
		meanwhile.at = n / 2;
		meanwhile.after = n % 2;
		meanwhile.place = &p;
		switch_link(&p, "current", folder);
		ck_assert_str_eq(text_last_read(&p), meanwhile.place ? "old" : "new");
		happened = !meanwhile.place;
		meanwhile.place = NULL;
		write_at(&p, "new/a", "newer");
		ck_assert_msg(streq(text_last_read(&p), happened ? "newer" : ""), "%s call %u",
			      meanwhile.after ? "after" : "before", meanwhile.at);
	}
	ck_assert_uint_gt(n, 10);
	done(&p);
}
END_TEST

SUITE_MAIN("watch", 60, a_file_is_written_replaced_removed, what_is_beside_it_does_not_matter,
	   a_directory_that_comes_later_goes_and_comes_again, other_modules_may_mean_another_vfio_driver,
	   what_a_linked_file_leads_to_is_edited_replaced_removed_and_comes_again,
	   what_a_link_leads_to_is_heard_of_from_the_second_step_on,
	   a_link_in_the_middle_of_a_chain_leads_elsewhere, a_linked_directory_is_switched,
	   what_a_link_leads_to_comes_later, loops_of_links_do_no_harm, masks_are_not_followed,
	   very_many_links_do_not_take_all_watches, no_switch_is_missed_while_paths_are_followed)
