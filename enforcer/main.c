/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The enforcer's command line: driver-override VERB, called by udev, by the boot unit, by the service. */
#include "enforcer/verbs.h"
#include "base/log.h"
#include "base/text.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

static void usage(FILE *f)
{
	(void)fputs(
		"driver-override [OPTIONS] event [DEVICE]      decide about a device that was added (from "
		"udev)\n"
		"driver-override [OPTIONS] sweep               enforce the policy on all devices present\n"
		"driver-override [OPTIONS] release [DEVICE…]   clear the overrides that were set by policy\n"
		"driver-override [OPTIONS] rebind DEVICE       make a device as the policy says, unbound if "
		"need "
		"be\n"
		"\n"
		"DEVICE: a path in sysfs, BUS/NAME, or a name\n"
		"  --conf-dir DIR    policy files are here (repeat: first wins)\n"
		"  --sysfs DIR       a sysfs tree other than /sys\n"
		"  --state-dir DIR   state other than in /run/driver-overrides\n"
		"  --version, --help\n"
		"sweep:\n"
		"  --boot                   nothing has loaded a driver yet: the unit that runs before udev\n"
		"rebind:\n"
		"  --rebind no|safe|force   instead of the rule's Rebind=\n"
		"  --overwrite              replace an override that somebody else has set, too\n"
		"  --only-if-changed        leave what was enforced before, and changed by others since\n"
		"  --dry-run                change nothing, tell what would be done\n"
		"  --timeout SECONDS        for all of it (15)\n",
		f);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		SETTINGS_LONG_OPTIONS,
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		REBIND_LONG_OPTIONS,
		{ "boot", no_argument, NULL, OPTION_BOOT },
		{},
	};
	struct rebind_options rebind = REBIND_OPTIONS_INIT;
	bool for_rebind = false, at_boot = false;
	struct settings settings;
	const char *verb;
	int c, r, n;

	settings_init(&settings);
	while ((c = getopt_long(argc, argv, "hV", options, NULL)) >= 0) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (c == 'V') {
			puts("driver-overrides " PROJECT_VERSION);
			return 0;
		}
		if (c == OPTION_BOOT) {
			at_boot = true;
			continue;
		}
		r = rebind_option(&rebind, c, optarg);
		if (r > 0) {
			for_rebind = true;
			continue;
		}
		if (r == 0)
			r = settings_option(&settings, c, optarg);
		if (r <= 0) {
			if (r < 0 && c < OPTION_REBIND)
				(void)fprintf(stderr, "driver-override: %s\n",
					      r == -E2BIG ? "too many --conf-dir"
							  : "an option has an empty argument");
			usage(stderr);
			return 2;
		}
	}
	verb = optind < argc ? argv[optind] : "";
	n = argc - optind - 1;
	/* From udev: whatever stderr is, nobody reads it. On a mock tree, a test does. */
	log_init("driver-override",
		 streq(verb, "event") && !settings.sysfs_given ? LOG_TO_JOURNAL : LOG_TO_STDERR);

	if (!(streq(verb, "event") && n <= 1) && !(streq(verb, "sweep") && n == 0) &&
	    !streq(verb, "release") && !(streq(verb, "rebind") && n == 1)) {
		usage(stderr);
		return 2;
	}
	if (at_boot && !streq(verb, "sweep")) {
		usage(stderr);
		return 2;
	}
	if (streq(verb, "rebind"))
		return verb_rebind(&settings, &rebind, argv[optind + 1]);
	if (for_rebind) {
		usage(stderr);
		return 2;
	}
	if (settings_turned_off(&settings)) {
		/* Not from each of a thousand events: the sweep and the guard have said it once. */
		if (!streq(verb, "event"))
			log_line(LOG_NOTICE, "turned off by driver_overrides=off on the kernel command line");
		return 0;
	}
	if (streq(verb, "event"))
		return verb_event(&settings, n == 1 ? argv[optind + 1] : NULL);
	if (streq(verb, "sweep"))
		return verb_sweep(&settings, at_boot);
	return verb_release(&settings, argv + optind + 1, (size_t)n);
}
