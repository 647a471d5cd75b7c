/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of overridectl: options for all verbs, options of one verb, and the verb's arguments. */
#pragma once

#include "policy/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum json_mode {
	JSON_OFF,
	JSON_SHORT, /* one line */
	JSON_PRETTY,
};

/* Options that only some verbs have. */
enum verb_option {
	VERB_ABSENT,
	VERB_ALL,
	VERB_ANY_DEVICE,
	VERB_BUS,
	VERB_BY,
	VERB_DRY_RUN,
	VERB_EXEC,
	VERB_FORCE,
	VERB_GROUP,
	VERB_MACHINE,
	VERB_MODULE,
	VERB_PRIVATE,
	VERB_REBIND,
	VERB_RETRY,
	VERB_ROOT,
	VERB_RULE,
	VERB_RUNTIME,
	VERB_STATE,
	VERB_TIMEOUT,
	VERB_TRY,
	VERB_WHY,
	VERB_WRITE,
	VERB_YES,
	VERB_OPTION_COUNT,
};

#define MACHINES_MAX 256

struct cli {
	struct settings settings;
	enum json_mode json;
	bool no_legend, no_pager;
	bool help, version;		       /* asked for instead of anything else */
	const char *host;		       /* NULL: this machine */
	const char *address;		       /* of the bus that is asked; NULL: the system's */
	const char *option[VERB_OPTION_COUNT]; /* NULL: not given; "" where it takes no argument */
	const char *machines[MACHINES_MAX];    /* all that --machine has named */
	size_t n_machines;
};

struct verb {
	const char *name;
	const char *arguments; /* "DEVICE DRIVER" */
	const char *help;
	size_t least, most; /* arguments */
	unsigned options;   /* bits: 1 << enum verb_option */
	bool local;	    /* --host makes no sense */
	int (*run)(const struct cli *cli, char *const *args, size_t n);
	bool many_machines; /* --machine may be repeated */
};

/*
 * Fills in *ret; the arguments that are left follow from optind on. 0, or STATUS_USAGE, and that was said.
 */
int command_line_read(struct cli *ret, int argc, char **argv);

/* Options and number of arguments are what the verb takes. 0, or STATUS_USAGE, and that was said. */
int command_line_check(const struct cli *cli, const struct verb *verb, size_t n);

/* The verb's options, with what they mean; of NULL: the options of all verbs. */
void command_line_help(FILE *f, const struct verb *verb);

/* "90", "90s", "2min", "1h", "100ms", "1min 30s" in microseconds. False: it is none. */
bool time_span_parse(const char *text, unsigned long long *ret_usec);
