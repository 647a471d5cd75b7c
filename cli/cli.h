/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the verbs of overridectl are given, and how they say what went wrong. Each verb is a file, and returns
 * the exit status: 0, done; 1, refused or failed, with the reason on stderr; 2, wrong usage.
 */
#pragma once

#include "base/macro.h"
#include "cli/command-line.h"

#include <stddef.h>

#define STATUS_DONE 0
#define STATUS_FAILED 1
#define STATUS_USAGE 2

int verb_apply(const struct cli *cli, char *const *args, size_t n);
int verb_check(const struct cli *cli, char *const *args, size_t n);
int verb_confirm(const struct cli *cli, char *const *args, size_t n);
int verb_explain(const struct cli *cli, char *const *args, size_t n);
int verb_groups(const struct cli *cli, char *const *args, size_t n);
int verb_import(const struct cli *cli, char *const *args, size_t n);
int verb_list(const struct cli *cli, char *const *args, size_t n);
int verb_monitor(const struct cli *cli, char *const *args, size_t n);
int verb_rehearse(const struct cli *cli, char *const *args, size_t n);
int verb_release(const struct cli *cli, char *const *args, size_t n);
int verb_reload(const struct cli *cli, char *const *args, size_t n);
int verb_set(const struct cli *cli, char *const *args, size_t n);
int verb_show(const struct cli *cli, char *const *args, size_t n);
int verb_snapshot(const struct cli *cli, char *const *args, size_t n);
int verb_unset(const struct cli *cli, char *const *args, size_t n);
int verb_wait(const struct cli *cli, char *const *args, size_t n);

/*
 * "overridectl: …" on stderr, with a newline; bytes that would do something to a terminal as \xHH. Returns
 * STATUS_FAILED, so that a verb can end with it.
 */
int cli_fail(const char *format, ...) _printf_(1, 2);
/* The same, STATUS_USAGE. */
int cli_fail_usage(const char *format, ...) _printf_(1, 2);
