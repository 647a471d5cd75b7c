/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verbs of overridectl, and what they share. Each returns the exit status: 0; 1, failed; 2, wrong usage.
 */
#pragma once

#include "base/macro.h"
#include "policy/policy.h"
#include "policy/settings.h"

#include <stdbool.h>
#include <stddef.h>

struct cli {
	struct settings settings;
	bool json;
	bool no_legend;
};

int verb_check(const struct cli *cli, char *const *args, size_t n);
int verb_explain(const struct cli *cli, char *const *args, size_t n);

/* "overridectl: …" on stderr, with a newline. Returns 1, so that a verb can end with it. */
int cli_fail(const char *format, ...) _printf_(1, 2);
