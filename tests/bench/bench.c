/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the benchmarks share; see bench.h. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

char top[64];

void die(const char *what)
{
	perror(what);
	exit(1);
}

static void remove_tree(void)
{
	char rm[] = "rm", rf[] = "-rf", *argv[] = { rm, rf, top, NULL };
	pid_t pid;

	if (posix_spawnp(&pid, "rm", NULL, NULL, argv, environ) == 0)
		(void)waitpid(pid, NULL, 0);
}

void bench_dir(const char *parent, const char *name)
{
	(void)snprintf(top, sizeof(top), "%s/%s.XXXXXX", parent, name);
	if (!mkdtemp(top))
		die(top);
	(void)atexit(remove_tree);
}

void write_file(const char *text, const char *format, ...)
{
	char path[PATH_MAX];
	va_list ap;
	FILE *f;

	va_start(ap, format);
	(void)vsnprintf(path, sizeof(path), format, ap);
	va_end(ap);
	f = fopen(path, "we");
	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		die(path);
}

void make_dir(const char *format, ...)
{
	char path[PATH_MAX];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(path, sizeof(path), format, ap);
	va_end(ap);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		die(path);
}

void make_link(const char *target, const char *path)
{
	if (symlink(target, path) < 0)
		die(path);
}

double clock_usec(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int compare_doubles(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}
