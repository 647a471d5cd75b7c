/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options of overridectl; see command-line.h. */
#include "cli/command-line.h"
#include "base/macro.h"
#include "base/text.h"
#include "cli/cli.h"
#include "policy/program-options.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum {
	GLOBAL_JSON = 0x2000,
	GLOBAL_NO_LEGEND,
	GLOBAL_NO_PAGER,
	GLOBAL_ADDRESS,
	FIRST_OF_VERB,
};

static const struct verb_option_spec {
	const char *name;
	const char *argument; /* NULL: it takes none */
	const char *help;
} verb_options[VERB_OPTION_COUNT] = {
	[VERB_ABSENT] = { "absent", NULL, "the device may not be there, and is named in full" },
	[VERB_ANY_DEVICE] = { "any-device", NULL, "whatever sits in that place, not only what does now" },
	[VERB_YES] = { "yes", NULL, "do not ask whether to go on" },
	[VERB_ALL] = { "all", NULL, "all devices" },
	[VERB_BUS] = { "bus", "BUS", "only devices of this bus" },
	[VERB_BY] = { "by", "name|path|id", "what the rule knows the device by (name)" },
	[VERB_DRY_RUN] = { "dry-run", NULL, "say what would come of it, change nothing" },
	[VERB_EXEC] = { "exec", "CMD", "run CMD by the shell for each event" },
	[VERB_FORCE] = { "force", NULL,
			 "also if the device is in use, or the override is another program's" },
	[VERB_GROUP] = { "group", "G", "for the IOMMU group: leave, hold, none, vfio or a driver" },
	[VERB_MACHINE] = { "machine", "FILE", "decide for the machine of this snapshot" },
	[VERB_MODULE] = { "module", "M", "the module that has the driver" },
	[VERB_PRIVATE] = { "private", NULL, "also numbers and addresses that only this machine has" },
	[VERB_REBIND] = { "rebind", "no|safe|force", "what to do if it has another driver (safe)" },
	[VERB_RETRY] = { "retry", NULL, "have a policy that has failed tried again" },
	[VERB_ROOT] = { "root", "DIR", "the machine whose root this is" },
	[VERB_RULE] = { "rule", "LABEL", "the devices that the rule [device LABEL] decides about" },
	[VERB_RUNTIME] = { "runtime", NULL, "until the next boot only" },
	[VERB_STATE] = { "state", "STATE[,STATE...]", "wait for this (enforced,held)" },
	[VERB_TRY] = { "try", "TIME", "it goes back after TIME, as 90s, unless confirmed" },
	[VERB_TIMEOUT] = { "timeout", "TIME", "give up after TIME, as 90s or 2min" },
	[VERB_WRITE] = { "write", NULL, "write what is shown" },
	[VERB_WHY] = { "why", NULL, "say how a group that is not viable can be made so" },
};

static const struct option global_options[] = {
	PROGRAM_LONG_OPTIONS,
	{ "json", optional_argument, NULL, GLOBAL_JSON },
	{ "no-legend", no_argument, NULL, GLOBAL_NO_LEGEND },
	{ "no-pager", no_argument, NULL, GLOBAL_NO_PAGER },
	{ "host", required_argument, NULL, 'H' },
	{ "address", required_argument, NULL, GLOBAL_ADDRESS },
};

static bool json_mode_parse(const char *text, enum json_mode *ret)
{
	if (!text || streq(text, "short"))
		*ret = JSON_SHORT;
	else if (streq(text, "pretty"))
		*ret = JSON_PRETTY;
	else if (streq(text, "off"))
		*ret = JSON_OFF;
	else
		return false;
	return true;
}

/* 1: taken; 0: that is no option, and getopt_long() has said so; negative errno: a wrong argument. */
static int option_store(struct cli *cli, int option, const char *argument)
{
	if (option >= FIRST_OF_VERB) {
		if (argument && !*argument)
			return -EINVAL;
		if (option - FIRST_OF_VERB == VERB_MACHINE) {
			if (cli->n_machines == MACHINES_MAX)
				return -ENOSPC;
			cli->machines[cli->n_machines++] = argument;
		}
		cli->option[option - FIRST_OF_VERB] = argument ? argument : "";
		return 1;
	}
	switch (option) {
	case 'h':
		cli->help = true;
		return 1;
	case 'V':
		cli->version = true;
		return 1;
	case 'H':
		cli->host = argument;
		return *argument ? 1 : -EINVAL;
	case GLOBAL_JSON:
		return json_mode_parse(argument, &cli->json) ? 1 : -EDOM;
	case GLOBAL_NO_LEGEND:
		cli->no_legend = true;
		return 1;
	case GLOBAL_NO_PAGER:
		cli->no_pager = true;
		return 1;
	case GLOBAL_ADDRESS:
		cli->address = argument;
		return *argument ? 1 : -EINVAL;
	default:
		return settings_option(&cli->settings, option, argument);
	}
}

int command_line_read(struct cli *ret, int argc, char **argv)
{
	struct option table[ELEMENTSOF(global_options) + VERB_OPTION_COUNT + 1] = {};
	int c, r;

	memcpy(table, global_options, sizeof(global_options));
	for (int i = 0; i < VERB_OPTION_COUNT; i++)
		table[ELEMENTSOF(global_options) + (size_t)i] =
			(struct option){ verb_options[i].name,
					 verb_options[i].argument ? required_argument : no_argument, NULL,
					 FIRST_OF_VERB + i };
	*ret = (struct cli){};
	settings_init(&ret->settings);
	while ((c = getopt_long(argc, argv, "hVH:", table, NULL)) >= 0) {
		r = option_store(ret, c, optarg);
		if (r == 0) /* getopt_long() has said why */
			return STATUS_USAGE;
		if (r < 0)
			return cli_fail_usage("%s", r == -E2BIG	   ? "too many --conf-dir"
						    : r == -ENOSPC ? "too many --machine"
						    : r == -EDOM   ? "--json= takes pretty, short or off"
								   : "an option has an empty argument");
	}
	return STATUS_DONE;
}

/* What would tell a verb of another machine than the one that --machine means. */
static int command_line_check_machine(const struct cli *cli, const struct verb *verb)
{
	struct settings usual;

	settings_init(&usual);
	if (cli->host || cli->address || cli->settings.sysfs_given ||
	    !streq(cli->settings.state_dir, usual.state_dir))
		return cli_fail_usage("--machine does not go with --host, --address, --sysfs or --state-dir");
	if (cli->n_machines > 1 && !verb->many_machines)
		return cli_fail_usage("%s takes one --machine", verb->name);
	return STATUS_DONE;
}

int command_line_check(const struct cli *cli, const struct verb *verb, size_t n)
{
	unsigned long long usec;

	for (unsigned i = 0; i < VERB_OPTION_COUNT; i++)
		if (cli->option[i] && !(verb->options & (1U << i)))
			return cli_fail_usage("%s has no option --%s", verb->name, verb_options[i].name);
	if (cli->option[VERB_TRY] && !time_span_parse(cli->option[VERB_TRY], &usec))
		return cli_fail_usage("--try takes a time, as 90s or 2min");
	if (cli->host && (verb->local || cli->settings.sysfs_given))
		return cli_fail_usage("--host does not go with %s", verb->local ? verb->name : "--sysfs");
	if (n < verb->least || n > verb->most)
		return cli_fail_usage("usage: overridectl %s%s%s", verb->name, *verb->arguments ? " " : "",
				      verb->arguments);
	return cli->n_machines > 0 ? command_line_check_machine(cli, verb) : STATUS_DONE;
}

static void help_line(FILE *f, const char *name, const char *argument, const char *help)
{
	char option[64];

	(void)snprintf(option, sizeof(option), "--%s%s%s", name, argument ? "=" : "",
		       argument ? argument : "");
	(void)fprintf(f, "  %-24s %s\n", option, help);
}

void command_line_help(FILE *f, const struct verb *verb)
{
	for (unsigned i = 0; verb && i < VERB_OPTION_COUNT; i++)
		if (verb->options & (1U << i))
			help_line(f, verb_options[i].name, verb_options[i].argument, verb_options[i].help);
	if (verb)
		return;
	(void)fputs("  --json[=pretty|short|off]  JSON instead of text (without a mode: short)\n"
		    "  --no-legend              no headings, notes or summary\n"
		    "  --no-pager               do not show long output by less\n"
		    "  -H, --host=[USER@]HOST   ask the service of another machine, by ssh\n"
		    "  --conf-dir=DIR           policy files are here (repeat: first wins)\n"
		    "  --sysfs=DIR              a sysfs tree other than /sys\n"
		    "  --state-dir=DIR          state other than in /run/driver-overrides\n"
		    "  --address=ADDRESS        the bus whose service is asked\n"
		    "  -h, --help               this, or of a verb\n"
		    "  -V, --version\n",
		    f);
}

bool time_span_parse(const char *text, unsigned long long *ret_usec)
{
	static const struct {
		const char *name;
		unsigned long long usec;
	} units[] = { { "", 1000000 },	    { "ms", 1000 },	   { "s", 1000000 },
		      { "sec", 1000000 },   { "min", 60000000 },   { "m", 60000000 },
		      { "h", 3600000000U }, { "hr", 3600000000U }, { "d", 86400000000U } };
	unsigned long long sum = 0;

	text += strspn(text, " ");
	do {
		size_t digits = strspn(text, "0123456789"), n, i;

		if (digits == 0 || digits > 9)
			return false;
		n = strcspn(text + digits, " 0123456789");
		for (i = 0; i < ELEMENTSOF(units); i++)
			if (strlen(units[i].name) == n && strncmp(units[i].name, text + digits, n) == 0)
				break;
		if (i == ELEMENTSOF(units))
			return false;
		sum += text_to_number(text) * units[i].usec;
		text += digits + n;
		text += strspn(text, " ");
	} while (*text);
	*ret_usec = sum;
	return true;
}
