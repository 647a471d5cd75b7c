/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every test program's main() does: runs its tests, each in a process of its own unless CK_FORK=no,
 * in a folder that is gone afterwards. The exit status is the verdict.
 */
#pragma once

#include <check.h>

#include "util.h"

/* A fresh folder for this run; what tests make, they make below it. */
extern char suite_dir[];

int suite_run(const char *name, const TTest *const *tests, size_t n, double timeout);

/* The names of the tests, which START_TEST made into pointers. A test that stands in no list is a warning. */
#define SUITE_MAIN(name, timeout, ...)                                                                       \
	int main(void)                                                                                       \
	{                                                                                                    \
		const TTest *const tests[] = { __VA_ARGS__ };                                                \
		return suite_run(name, tests, ELEMENTSOF(tests), timeout);                                   \
	}

/* Removes a folder and what is below it, without following links. */
void remove_tree(const char *path);
