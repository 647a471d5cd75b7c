/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl: options, and the table of verbs. */
#include "cli/cli.h"
#include "base/macro.h"
#include "base/text.h"

#include <errno.h>
#include <getopt.h>
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
	{ "check", "[FILE…]", "errors and warnings of the policy", 0, SIZE_MAX, verb_check },
	{ "explain", "DEVICE", "which rules match a device, which one decides and why", 1, 1, verb_explain },
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
		    "interface, a block device\n\n"
		    "  --json            one JSON document instead of text\n"
		    "  --no-legend       no headings and no summary\n"
		    "  --conf-dir DIR    policy files are here (repeat: first wins)\n"
		    "  --sysfs DIR       a sysfs tree other than /sys\n"
		    "  --state-dir DIR   state other than in /run/driver-overrides\n"
		    "  --version, --help\n",
		    f);
}

int main(int argc, char **argv)
{
	enum { OPTION_JSON = 1, OPTION_NO_LEGEND };
	static const struct option options[] = {
		SETTINGS_LONG_OPTIONS,
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "no-legend", no_argument, NULL, OPTION_NO_LEGEND },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{},
	};
	struct cli cli = {};
	int c, r;

	settings_init(&cli.settings);
	while ((c = getopt_long(argc, argv, "hV", options, NULL)) >= 0) {
		switch (c) {
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			puts("driver-overrides " PROJECT_VERSION);
			return 0;
		case OPTION_JSON:
			cli.json = true;
			continue;
		case OPTION_NO_LEGEND:
			cli.no_legend = true;
			continue;
		default:
			break;
		}
		r = settings_option(&cli.settings, c, optarg);
		if (r <= 0) {
			if (r < 0)
				(void)cli_fail("%s", r == -E2BIG ? "too many --conf-dir"
								 : "an option has an empty argument");
			usage(stderr);
			return 2;
		}
	}
	for (size_t i = 0; optind < argc && i < ELEMENTSOF(verbs); i++) {
		size_t n = (size_t)(argc - optind - 1);

		if (!streq(argv[optind], verbs[i].name))
			continue;
		if (n < verbs[i].least || n > verbs[i].most) {
			(void)cli_fail("usage: overridectl %s %s", verbs[i].name, verbs[i].arguments);
			return 2;
		}
		if (settings_turned_off(&cli.settings))
			(void)cli_fail("note: driver_overrides=off on the kernel command line, so nothing is "
				       "enforced");
		return verbs[i].run(&cli, argv + optind + 1, n);
	}
	if (optind < argc)
		(void)cli_fail("unknown verb %s", argv[optind]);
	usage(stderr);
	return 2;
}
