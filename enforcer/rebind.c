/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verb `rebind`: makes devices as the policy says, unbinding them if needed, for a person or a service
 * that waits. Children do it (rebind-workers.h) and may be left behind; the parent answers within the
 * deadline, in KEY=value lines on stdout; for several devices with a line DEVICE= before those of each.
 */
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "base/time.h"
#include "enforcer/rebind-workers.h"
#include "enforcer/verbs.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define TIMEOUT_MAX 3600U

/* Control characters become spaces: an override is anybody's text and must not begin another line. */
static void answer_print_line(const char *key, const char *value)
{
	(void)printf("%s=", key);
	for (const char *s = value; *s; s++)
		(void)putchar((unsigned char)*s < ' ' ? ' ' : *s);
	(void)putchar('\n');
}

static int answer_print(const struct move_result *m)
{
	answer_print_line("STATE", device_state_to_string(m->state));
	answer_print_line("REASON", m->reason);
	if (m->error != MOVE_DONE)
		answer_print_line("ERROR", move_error_to_string(m->error));
	answer_print_line("DRIVER", m->driver);
	answer_print_line("OVERRIDE", m->override);
	answer_print_line("DECISION", m->decision);
	answer_print_line("CHANGED", m->changed ? "1" : "0");
	return m->error == MOVE_DONE ? 0 : 1;
}

static int rebind_option_mode(struct rebind_options *o, const char *argument)
{
	return rebind_from_string(argument, &o->move.rebind) < 0 ? -EINVAL : 1;
}

static int rebind_option_inode(struct rebind_options *o, const char *argument)
{
	char *end;

	uint64_t inode, *v;

	errno = 0;
	inode = strtoull(argument, &end, 10);
	if (argument[0] < '0' || argument[0] > '9' || *end || errno || !inode)
		return -EINVAL;
	v = reallocarray(o->inodes, o->n_inodes + 1, sizeof(*v));
	if (!v)
		return -EINVAL;
	o->inodes = v;
	o->inodes[o->n_inodes++] = inode;
	return 1;
}

static int rebind_option_timeout(struct rebind_options *o, const char *argument)
{
	char *end;
	unsigned long seconds = strtoul(argument, &end, 10);

	if (argument[0] < '0' || argument[0] > '9' || *end || seconds < 1 || seconds > TIMEOUT_MAX)
		return -EINVAL;
	o->timeout_usec = seconds * 1000000U;
	return 1;
}

int rebind_option(struct rebind_options *o, int option, const char *argument)
{
	if (option < OPTION_REBIND || option > OPTION_TIMEOUT)
		return 0;
	switch ((enum rebind_option)option) {
	case OPTION_REBIND:
		return rebind_option_mode(o, argument);
	case OPTION_OVERWRITE:
		o->move.overwrite = true;
		break;
	case OPTION_ONLY_IF_CHANGED:
		o->move.only_if_changed = true;
		break;
	case OPTION_RELEASE:
		o->move.release = true;
		break;
	case OPTION_KEEP_RELEASED:
		o->move.keep_released = true;
		break;
	case OPTION_DRY_RUN:
		o->move.dry_run = true;
		break;
	case OPTION_LOOK_ONLY:
		o->move.look_only = true;
		break;
	case OPTION_INODE:
		return rebind_option_inode(o, argument);
	case OPTION_TIMEOUT:
		return rebind_option_timeout(o, argument);
	}
	return 1;
}

static int rebind_answer(const struct rebind_run *run)
{
	int status = 0;

	for (size_t i = 0; i < run->n; i++) {
		if (run->n > 1)
			answer_print_line("DEVICE", run->targets[i].name);
		status |= answer_print(&run->targets[i].report->moved);
	}
	return status;
}

/* The reports, in memory shared with the children, which is not given back: one of them may be left behind.
 */
static int rebind_devices(const struct settings *settings, const struct rebind_options *options,
			  char *const *devices, size_t n, struct rebind_report **ret)
{
	struct rebind_report *reports =
		mmap(NULL, n * sizeof(*reports), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	_cleanup_(freep) struct rebind_target *targets = calloc(n, sizeof(*targets));
	struct rebind_run run = { .settings = settings,
				  .options = &options->move,
				  .targets = targets,
				  .n = n,
				  .deadline = now_usec() + options->timeout_usec };

	if (reports == MAP_FAILED || !targets) {
		log_line(LOG_ERR, "rebind: %m");
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		targets[i] = (struct rebind_target){ .name = devices[i],
						     .inode = options->n_inodes ? options->inodes[i] : 0,
						     .report = &reports[i] };
		if (settings_turned_off(settings))
			move_result_set(&reports[i].moved, STATE_UNMANAGED, MOVE_DONE,
					"turned off by driver_overrides=off on the kernel command line");
	}
	if (!settings_turned_off(settings))
		rebind_run_named(&run);
	*ret = reports;
	return rebind_answer(&run);
}

int verb_rebind(const struct settings *settings, const struct rebind_options *options, char *const *devices,
		size_t n)
{
	struct rebind_report *reports;
	int status = rebind_devices(settings, options, devices, n, &reports);

	return status < 0 ? 1 : status;
}

enum move_error verb_rebind_device(const struct settings *settings, const struct rebind_options *options,
				   char *device)
{
	struct rebind_report *reports;
	int status = rebind_devices(settings, options, &device, 1, &reports);

	return status < 0 ? MOVE_FAILED : reports[0].moved.error;
}
