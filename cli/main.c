/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl: the table of verbs. */
#include "base/macro.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/command-line.h"
#include "cli/machine.h"
#include "cli/near-miss.h"
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HAS(option) (1U << VERB_##option)
#define HAS_SET                                                                                              \
	(HAS(RUNTIME) | HAS(BY) | HAS(GROUP) | HAS(REBIND) | HAS(MODULE) | HAS(FORCE) | HAS(DRY_RUN) |       \
	 HAS(TRY) | HAS(ABSENT) | HAS(ANY_DEVICE) | HAS(YES))

/* The first is what is done where no verb is given. */
static const struct verb verbs[] = {
	{ "list", "", "devices with a decision or an override", 0, 0, HAS(ALL) | HAS(BUS) | HAS(MACHINE),
	  false, verb_list },
	{ "show", "DEVICE", "all that is known of a device", 0, 1, HAS(RULE), false, verb_show },
	{ "set", "DEVICE... DRIVER", "choose the driver of devices, now and from now on", 2, SIZE_MAX,
	  HAS_SET, false, verb_set },
	{ "confirm", "[DEVICE...]", "make what set --try has changed last", 0, SIZE_MAX,
	  HAS(FORCE) | HAS(DRY_RUN), false, verb_confirm },
	{ "unset", "DEVICE", "remove what set wrote, and give the device back", 1, 1,
	  HAS(RUNTIME) | HAS(BY) | HAS(FORCE) | HAS(DRY_RUN) | HAS(ABSENT), false, verb_unset },
	{ "explain", "DEVICE", "which rules match a device, which of them decides, and why", 1, 1,
	  HAS(MACHINE), false, verb_explain },
	{ "apply", "[DEVICE...]", "make devices as the policy says, now", 0, SIZE_MAX,
	  HAS(RULE) | HAS(DRY_RUN) | HAS(FORCE), false, verb_apply },
	{ "release", "[DEVICE...]", "give devices back whatever policy says, until apply or a boot", 0,
	  SIZE_MAX, HAS(ALL) | HAS(RULE) | HAS(DRY_RUN) | HAS(FORCE), false, verb_release },
	{ "groups", "[GROUP...]", "IOMMU groups, and what keeps them from a guest", 0, SIZE_MAX,
	  HAS(MACHINE) | HAS(WHY), false, verb_groups },
	{ "check", "[FILE...]", "errors and warnings of the policy", 0, SIZE_MAX, HAS(MACHINE), true,
	  verb_check, true },
	{ "monitor", "", "follow what happens", 0, 0, HAS(EXEC), false, verb_monitor },
	{ "wait", "DEVICE...", "until devices are as decided", 0, SIZE_MAX,
	  HAS(RULE) | HAS(STATE) | HAS(TIMEOUT), false, verb_wait },
	{ "rehearse", "", "what the next boot will do, and what it needs", 0, 0, HAS(ALL), true,
	  verb_rehearse },
	{ "import", "SOURCE [FILE...]", "rules for what driverctl, modprobe, libvirt were told; adopt", 1,
	  SIZE_MAX, HAS(ROOT) | HAS(WRITE), true, verb_import },
	{ "snapshot", "FILE", "what decisions need of this machine, for --machine", 1, 1, HAS(PRIVATE), true,
	  verb_snapshot },
	{ "reload", "", "read the policy again", 0, 0, HAS(RETRY), false, verb_reload },
};

static void usage(FILE *f)
{
	(void)fputs("overridectl [OPTIONS] [VERB]\n\n", f);
	for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
		(void)fprintf(f, "  %-8s %-14s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].help);
	(void)fputs("\nDEVICE: 0000:03:00.0, 03:00.0, pci/0000:03:00.0, 'pci/0000:03:*', a path in sysfs, a "
		    "network interface,\n  a disk, a node below /dev\n\n",
		    f);
	command_line_help(f, NULL);
}

static void verb_usage(const struct verb *verb)
{
	printf("overridectl %s [OPTIONS]%s%s\n\n  %s\n\n", verb->name, *verb->arguments ? " " : "",
	       verb->arguments, verb->help);
	command_line_help(stdout, verb);
	puts("\nOptions of all verbs: overridectl --help");
}

static const struct verb *verb_find(const char *name)
{
	struct near_miss near = near_miss_of(name);

	for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
		if (streq(verbs[i].name, name))
			return &verbs[i];
		near_miss_try(&near, verbs[i].name);
	}
	if (near.n > 0)
		(void)cli_fail("unknown verb %s; did you mean %s?", name, near.names[0]);
	else
		(void)cli_fail("unknown verb %s; see overridectl --help", name);
	return NULL;
}

/* A program that finds its standard files closed must not take others, such as a socket, for them. */
static bool standard_files_open(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_NOCTTY) != fd)
			return false;
	return true;
}

/* Also of an earlier write, whose errno is lost: a pipe without a reader, and a connection that the other
 * side has closed, stay so. */
static bool output_has_no_reader(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

	return poll(&out, 1, 0) > 0 && (out.revents & (POLLERR | POLLHUP));
}

/* A reader that has gone, as `head` has, has read what it wanted. */
static int output_finish(int status)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	if (errno == EPIPE || output_has_no_reader())
		return status;
	return cli_fail("writing: %s", errno ? strerror(errno) : "the output is not complete");
}

static int verb_run(struct cli *cli, char *const *args, size_t n)
{
	const struct verb *verb = n > 0 ? verb_find(args[0]) : &verbs[0];
	int status;

	if (!verb)
		return STATUS_USAGE;
	if (cli->help) {
		if (n > 0)
			verb_usage(verb);
		else
			usage(stdout);
		return STATUS_DONE;
	}
	if (n > 0) {
		args++;
		n--;
	}
	status = command_line_check(cli, verb, n);
	if (status != STATUS_DONE)
		return status;
	if (!cli->host && cli->n_machines == 0 && settings_turned_off(&cli->settings))
		(void)cli_fail("note: driver_overrides=off on the kernel command line, so nothing is "
			       "enforced");
	if (cli->n_machines > 0) {
		status = machines_enter(cli);
		if (status >= 0)
			return status;
	}
	terminal_start();
	return verb->run(cli, args, n);
}

int main(int argc, char **argv)
{
	struct cli cli;
	int status;

	if (!standard_files_open())
		return STATUS_FAILED;
	(void)setlocale(LC_CTYPE, "");
	status = command_line_read(&cli, argc, argv);
	if (status == STATUS_DONE && cli.version)
		puts("driver-overrides " PROJECT_VERSION);
	else if (status == STATUS_DONE)
		status = verb_run(&cli, argv + optind, (size_t)(argc - optind));
	status = output_finish(status);
	terminal_finish();
	return status;
}
