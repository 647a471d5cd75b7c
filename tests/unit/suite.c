/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs the tests of one program; see suite.h. */
#include "suite.h"

#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>

char suite_dir[PATH_MAX];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	(void)remove(path);
	return 0;
}

void remove_tree(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int suite_run(const char *name, const TTest *const *tests, size_t n, double timeout)
{
	const char *tmp = getenv("TMPDIR");
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);
	SRunner *runner;
	int failed;

	/* Who calls with another mask must not make policy files group-writable. */
	(void)umask(022);
	(void)snprintf(suite_dir, PATH_MAX, "%s/driver-overrides-%s-XXXXXX", tmp ? tmp : "/tmp", name);
	if (!mkdtemp(suite_dir)) {
		perror(suite_dir);
		return 2;
	}

	tcase_set_timeout(tcase, timeout);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	remove_tree(suite_dir);
	return failed ? 1 : 0;
}
