/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl apply [DEVICE…]: makes the named devices, or all, as the policy says. */
#include "cli/cli.h"
#include "cli/state-calls.h"

#include <stddef.h>

int verb_apply(const struct cli *cli, char *const *args, size_t n)
{
	static const struct state_method apply = {
		.verb = "apply", .one = "Apply", .all = "ApplyAll", .none = "No device has a decision."
	};

	return state_calls_run(cli, &apply, args, n, n == 0 && !cli->option[VERB_RULE]);
}
