/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl: options, and the table of verbs. */
#include "cli/cli.h"
#include "base/macro.h"
#include "base/text.h"
#include "policy/program-options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

static const struct verb {
	const char *name;
	const char *arguments;
	const char *help;
	size_t least, most;
	int (*run)(const struct cli *cli, char *const *args, size_t n);
} verbs[] = {
	{ "check", "[FILE...]", "errors and warnings of the policy", 0, SIZE_MAX, verb_check },
	{ "explain", "DEVICE", "which rules match a device, which of them decides, and why", 1, 1,
	  verb_explain },
};

int cli_fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)fputs("overridectl: ", stderr);
	(void)vfprintf(stderr, format, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	return 1;
}

static void usage(FILE *f)
{
	(void)fputs("overridectl [OPTIONS] VERB\n\n", f);
	for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
		(void)fprintf(f, "  %-8s %-10s  %s\n", verbs[i].name, verbs[i].arguments, verbs[i].help);
	(void)fputs("\nDEVICE: 0000:03:00.0, 03:00.0, pci/0000:03:00.0, a path in sysfs, a network "
		    "interface, a disk, a node below /dev\n\n"
		    "  --json            one JSON document instead of text\n"
		    "  --no-legend       no headings and no summary\n"
		    "  --conf-dir DIR    policy files are here (repeat: first wins)\n"
		    "  --sysfs DIR       a sysfs tree other than /sys\n"
		    "  --state-dir DIR   state other than in /run/driver-overrides\n"
		    "  --version, --help\n",
		    f);
}

enum { OPTION_JSON = 1, OPTION_NO_LEGEND };

static int cli_option(void *userdata, int option, const char *argument)
{
	struct cli *cli = userdata;

	(void)argument;
	if (option == OPTION_JSON)
		cli->json = true;
	else if (option == OPTION_NO_LEGEND)
		cli->no_legend = true;
	else
		return 0;
	return 1;
}

static int cli_run_verb(const struct cli *cli, char *const *args, size_t n)
{
	for (size_t i = 0; n > 0 && i < ELEMENTSOF(verbs); i++) {
		if (!streq(args[0], verbs[i].name))
			continue;
		if (n - 1 < verbs[i].least || n - 1 > verbs[i].most) {
			(void)cli_fail("usage: overridectl %s %s", verbs[i].name, verbs[i].arguments);
			return 2;
		}
		if (settings_turned_off(&cli->settings))
			(void)cli_fail("note: driver_overrides=off on the kernel command line, so nothing is "
				       "enforced");
		return verbs[i].run(cli, args + 1, n - 1);
	}
	if (n > 0)
		(void)cli_fail("unknown verb %s", args[0]);
	usage(stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option table[] = {
		PROGRAM_LONG_OPTIONS,
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "no-legend", no_argument, NULL, OPTION_NO_LEGEND },
		{},
	};
	struct cli cli = {};
	const struct program_options options = { "overridectl", table, usage, cli_option, &cli };
	int r = program_options_read(&options, &cli.settings, argc, argv);

	return r != PROGRAM_RUNS ? r : cli_run_verb(&cli, argv + optind, (size_t)(argc - optind));
}
