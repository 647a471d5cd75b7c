/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The option loop of every program; see program-options.h. */
#include "policy/program-options.h"

#include "base/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define EXIT_USAGE 2

static int program_options_fail(const struct program_options *p, int r)
{
	if (r < 0)
		(void)fprintf(stderr, "%s: %s\n", p->program,
			      r == -E2BIG ? "too many --conf-dir" : "an option has an empty argument");
	p->usage(stderr);
	return EXIT_USAGE;
}

int program_options_read(const struct program_options *p, struct settings *settings, int argc, char **argv)
{
	int c, r;

	settings_init(settings);
	while ((c = getopt_long(argc, argv, "hV", p->table, NULL)) >= 0) {
		switch (c) {
		case 'h':
			p->usage(stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("driver-overrides " PROJECT_VERSION);
			return EXIT_SUCCESS;
		default:
			break;
		}
		r = settings_option(settings, c, optarg);
		if (r < 0)
			return program_options_fail(p, r);
		if (r == 0 && p->take(p->userdata, c, optarg) <= 0)
			return program_options_fail(p, 0);
	}
	if (settings->sysfs_given)
		log_set_journal_beside(settings->state_dir);
	return PROGRAM_RUNS;
}
