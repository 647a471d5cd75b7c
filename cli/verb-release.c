/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl release DEVICE… or --all: gives devices back whatever policy says. */
#include "cli/cli.h"
#include "cli/state-calls.h"

#include <stdbool.h>
#include <stddef.h>

int verb_release(const struct cli *cli, char *const *args, size_t n)
{
	static const struct state_method release = { .verb = "release",
						     .one = "Release",
						     .all = "ReleaseAll",
						     .none = "No device has a decision, or anything of ours.",
						     .tells_reason = true };
	const bool all = cli->option[VERB_ALL], named = n > 0 || cli->option[VERB_RULE];

	/* All devices of a machine are not given back because a word was forgotten. */
	if (all == named)
		return cli_fail_usage(all ? "release takes devices or --all, not both"
					  : "release takes devices, or --all");
	return state_calls_run(cli, &release, args, n, all);
}
