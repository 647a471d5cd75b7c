/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the benchmarks share: a tree of files of their own, a clock. What cannot be done ends the program. */
#pragma once

/* The folder of all, once bench_dir() has made it; it goes when the program ends. */
extern char top[64];

void die(const char *what) __attribute__((noreturn));

/* Makes the folder in `parent`. */
void bench_dir(const char *parent, const char *name);

void write_file(const char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One that may be there already. */
void make_dir(const char *format, ...) __attribute__((format(printf, 1, 2)));
void make_link(const char *target, const char *path);

double clock_usec(void);

/* For qsort(), of doubles. */
int compare_doubles(const void *a, const void *b);
