/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The enforcer's command line: driver-override VERB, called by udev, by the boot unit and by the service. */
#include "enforcer/request.h"
#include "enforcer/verbs.h"
#include "base/log.h"
#include "base/text.h"
#include "policy/program-options.h"
#include "state/boot-rules.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void usage(FILE *f)
{
	(void)fputs(
		"driver-override [OPTIONS] event [DEVICE]      decide about a device that was added (from "
		"udev)\n"
		"driver-override [OPTIONS] node                who may open a VFIO or UIO node, and its "
		"links (from udev)\n"
		"driver-override [OPTIONS] sweep               enforce the policy on all devices present\n"
		"driver-override [OPTIONS] release [DEVICE…]   clear the overrides that were set by policy\n"
		"driver-override [OPTIONS] rebind DEVICE…      apply the policy to devices, unbinding them "
		"if "
		"needed\n"
		"driver-override [OPTIONS] undo BUS/NAME       end a trial: policy goes back to what it was "
		"(from a "
		"timer)\n"
		"driver-override [OPTIONS] boot begin|complete|retry    count boots until one is complete "
		"(from "
		"units)\n"
		"driver-override [OPTIONS] image files|modules|digest   what a boot image needs of the "
		"policy\n"
		"driver-override [OPTIONS] image note KERNEL   the image of this kernel has the policy as it "
		"is "
		"now\n"
		"\n"
		"DEVICE: a path in sysfs, BUS/NAME, or a name\n"
		"  --conf-dir DIR    read policy files from here (may be repeated, the first one wins)\n"
		"  --sysfs DIR       use a sysfs tree other than /sys\n"
		"  --state-dir DIR   keep state in a directory other than /run/driver-overrides\n"
		"  --version, --help\n"
		"event DEVICE:\n"
		"  --written-by PROGRAM     this other program has written the override\n"
		"sweep:\n"
		"  --boot                   nothing has loaded a driver yet: the unit that runs before udev\n"
		"  --settled                udev has worked off the coldplug: only record what is present\n"
		"  --last-good              in a boot image, the root does not come: go back to the last "
		"good "
		"policy\n"
		"undo:\n"
		"  --trial ID               this trial, and no other\n"
		"rebind:\n"
		"  --rebind no|safe|force   instead of the rule's Rebind=\n"
		"  --overwrite              replace an override that was set by somebody else, too\n"
		"  --only-if-changed        leave a device that was as decided and was changed by others "
		"since\n"
		"  --release                give it back, whatever policy says, and leave it alone until the "
		"next "
		"rebind or boot\n"
		"  --keep-released          leave a device that was released so\n"
		"  --dry-run                change nothing, print what would be done\n"
		"  --look-only              with --dry-run: open nothing exclusively\n"
		"  --inode INODE            refuse a device whose folder in sysfs has another inode; once "
		"for each "
		"device\n"
		"  --timeout SECONDS        answer within this time (15)\n"
		"  --wait                   wait for the command line at stdin (from the service)\n",
		f);
}

struct command_line {
	struct settings settings;
	struct rebind_options rebind;
	bool for_rebind;		  /* an option of rebind was given */
	bool at_boot, settled, last_good; /* of sweep */
	bool waits;			  /* of rebind */
	const char *writer;		  /* NULL: not given */
	const char *trial;		  /* NULL: not given */
	const char *verb;		  /* "": none */
	char *const *arguments;
	int n;
};

static int command_line_take(void *userdata, int option, const char *argument)
{
	struct command_line *c = userdata;
	int r;

	if (option == OPTION_BOOT) {
		c->at_boot = true;
		return 1;
	}
	if (option == OPTION_SETTLED) {
		c->settled = true;
		return 1;
	}
	if (option == OPTION_LAST_GOOD) {
		c->last_good = true;
		return 1;
	}
	if (option == OPTION_WAIT) {
		c->waits = true;
		return 1;
	}
	if (option == OPTION_WRITTEN_BY) {
		c->writer = argument;
		return 1;
	}
	if (option == OPTION_TRIAL) {
		c->trial = argument;
		return 1;
	}
	r = rebind_option(&c->rebind, option, argument);
	c->for_rebind = c->for_rebind || r > 0;
	return r;
}

/* PROGRAM_RUNS, or the exit status if the program has nothing more to do. */
static int command_line_parse(struct command_line *ret, int argc, char **argv)
{
	static const struct option table[] = {
		PROGRAM_LONG_OPTIONS,
		REBIND_LONG_OPTIONS,
		{ "boot", no_argument, NULL, OPTION_BOOT },
		{ "settled", no_argument, NULL, OPTION_SETTLED },
		{ "last-good", no_argument, NULL, OPTION_LAST_GOOD },
		{ "trial", required_argument, NULL, OPTION_TRIAL },
		{ "wait", no_argument, NULL, OPTION_WAIT },
		{ "written-by", required_argument, NULL, OPTION_WRITTEN_BY },
		{},
	};
	const struct program_options options = { "driver-override", table, usage, command_line_take, ret };
	int r;

	*ret = (struct command_line){ .rebind = REBIND_OPTIONS_INIT };
	optind = 0; /* also where this is the second one */
	r = program_options_read(&options, &ret->settings, argc, argv);
	if (r != PROGRAM_RUNS)
		return r;
	ret->verb = optind < argc ? argv[optind] : "";
	ret->arguments = argv + optind + 1;
	ret->n = argc - optind - 1;
	return PROGRAM_RUNS;
}

static bool command_line_is_of_image(const struct command_line *c)
{
	const char *what = c->n > 0 ? c->arguments[0] : "";

	return (c->n == 1 && (streq(what, "files") || streq(what, "modules") || streq(what, "digest"))) ||
	       (c->n == 2 && streq(what, "note"));
}

/* Whether the verb exists, and takes these options and so many arguments. */
static bool command_line_is_valid(const struct command_line *c)
{
	if ((c->at_boot || c->settled || c->last_good) && !streq(c->verb, "sweep"))
		return false;
	if (c->at_boot + c->settled + c->last_good > 1)
		return false;
	if (c->writer && (!streq(c->verb, "event") || c->n != 1))
		return false;
	if ((c->trial != NULL) != streq(c->verb, "undo"))
		return false;
	if ((c->for_rebind || c->waits) && !streq(c->verb, "rebind"))
		return false;
	if (c->waits)
		return c->n == 0 && !c->for_rebind;
	return (streq(c->verb, "event") && c->n <= 1) ||
	       ((streq(c->verb, "sweep") || streq(c->verb, "node")) && c->n == 0) ||
	       (streq(c->verb, "image") && command_line_is_of_image(c)) ||
	       (streq(c->verb, "boot") && c->n == 1 &&
		(streq(c->arguments[0], "begin") || streq(c->arguments[0], "complete") ||
		 streq(c->arguments[0], "retry"))) ||
	       streq(c->verb, "release") || (streq(c->verb, "undo") && c->n == 1) ||
	       (streq(c->verb, "rebind") && c->n >= 1 &&
		(c->rebind.n_inodes == 0 || c->rebind.n_inodes == (size_t)c->n));
}

/* Nobody reads the stderr of a program that udev runs. */
static bool command_line_is_for_udev(const struct command_line *c)
{
	return streq(c->verb, "event") || streq(c->verb, "node");
}

static int command_line_run(const struct command_line *c)
{
	if (!command_line_is_valid(c)) {
		usage(stderr);
		return 2;
	}
	/* What a person has tried goes back, whatever else is turned off. */
	if (streq(c->verb, "undo"))
		return verb_undo(&c->settings, c->arguments[0], c->trial);
	if (streq(c->verb, "rebind"))
		return verb_rebind(&c->settings, &c->rebind, c->arguments, (size_t)c->n);
	/* The next boot may be one with policy. */
	if (streq(c->verb, "image"))
		return verb_image(&c->settings, c->arguments[0], c->n == 2 ? c->arguments[1] : NULL);
	if (streq(c->verb, "boot") && streq(c->arguments[0], "retry"))
		return verb_boot(&c->settings, c->arguments[0]);
	if (settings_turned_off(&c->settings)) {
		/* The sweep and the guard have logged this once; a thousand events need not repeat it. */
		if (!command_line_is_for_udev(c))
			log_line(LOG_NOTICE, "turned off by driver_overrides=off on the kernel command line");
		return 0;
	}
	/* The sweep comes first where there is one, and again on the real root, where there may be
	 * credentials that the boot image did not have. */
	if (streq(c->verb, "sweep") || (streq(c->verb, "event") && !boot_rules_are_written(&c->settings)))
		boot_rules_write(&c->settings);
	if (streq(c->verb, "event"))
		return verb_event(&c->settings, c->n == 1 ? c->arguments[0] : NULL,
				  c->writer ? c->writer : "");
	if (streq(c->verb, "node"))
		return verb_node(&c->settings);
	if (streq(c->verb, "sweep") && c->settled)
		return verb_sweep_settled(&c->settings);
	if (streq(c->verb, "sweep") && c->last_good)
		return verb_sweep_last_good(&c->settings);
	if (streq(c->verb, "boot"))
		return verb_boot(&c->settings, c->arguments[0]);
	if (streq(c->verb, "sweep"))
		return verb_sweep(&c->settings, c->at_boot);
	return verb_release_overrides(&c->settings, c->arguments, (size_t)c->n);
}

/* The command line that comes by stdin takes the place of the one that had us wait for it. */
static int command_line_run_request(char *program)
{
	struct command_line c;
	char **argv;
	int r = request_read(STDIN_FILENO, program, &argv);

	if (r == 0)
		return 0;
	if (r < 0) {
		log_errno(LOG_ERR, r, "rebind: reading what is to be done: %m");
		return 1;
	}
	r = command_line_parse(&c, r, argv);
	if (r == PROGRAM_RUNS && c.waits)
		r = 2;
	if (r == PROGRAM_RUNS)
		r = command_line_run(&c);
	free(c.rebind.inodes);
	free(argv);
	return r;
}

int main(int argc, char **argv)
{
	struct command_line c;
	int r = command_line_parse(&c, argc, argv);

	if (r == PROGRAM_RUNS) {
		/* On a mock tree, a test reads it. */
		log_init("driver-override", command_line_is_for_udev(&c) && !c.settings.sysfs_given
						    ? LOG_TO_JOURNAL
						    : LOG_TO_STDERR);
		r = c.waits && command_line_is_valid(&c) ? command_line_run_request(argv[0])
							 : command_line_run(&c);
	}
	free(c.rebind.inodes);
	return r;
}
