/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stands for `driver-override rebind` on a mock tree, where no kernel binds anything: decides by the policy
 * as the real one does, changes files and links, keeps the record, says the same things. What it cannot find
 * out on such a tree the test tells it, in SYSFS/../faults: lines of "BUS/NAME ERROR REASON", "BUS/NAME wait"
 * (until that line is gone; "slow": also in a dry run; "dry-slow": only there; "half-way": with the override
 * cleared already), "BUS/NAME NotBegun REASON" (one of several, in a dry run if the reason says "dry run") or
 * "BUS/NAME silent", or "BUS/NAME module DRIVER": there is a module with that driver. Each call is a line in
 * SYSFS/../calls; of several devices one is dealt with after the other. The verb `event` binds nothing, so
 * the real enforcer does it, DRIVER_OVERRIDE in the environment; each call of it is a line in SYSFS/../notes.
 */
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "base/time.h"
#include "policy/program-options.h"
#include "enforce/apply-record.h"
#include "enforce/apply.h"
#include "enforcer/request.h"
#include "state/device-state.h"
#include "state/record.h"
#include "state/record-file.h"
#include "state/state-lock.h"
#include "state/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

/* The service gives up before. */
#define LOCK_USEC 120000000U

static struct settings settings;
static const char *device, *rebind_option = "", *trial = "";
static bool dry_run, look_only, overwrite, release, keep_released;
static bool has_others; /* several devices were named */
static uint64_t inode;
/* As they were given, one for each device. */
static uint64_t inodes[256];
static size_t n_inodes;

static void note_call(const char *file)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX], line[1024], of[32] = "";

	if (inode)
		(void)snprintf(of, sizeof(of), " inode %ju", (uintmax_t)inode);
	ignore_error(path_printf(path, sizeof(path), "%s/../%s", settings.sysfs, file));
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	(void)snprintf(line, sizeof(line), "%s%s%s%s%s%s%s%s\n", device, dry_run ? " dry-run" : "",
		       look_only ? " look-only" : "", overwrite ? " overwrite" : "",
		       release ? " release" : "", *rebind_option ? " " : "", rebind_option, of);
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		exit(3);
}

/* What the test wants of this and other devices, as it was when that was read: the test may take it back at
 * any time, and one call follows all of it or nothing. */
static char wanted[65536];

static void wanted_read(void)
{
	_cleanup_(fclosep) FILE *f = NULL;
	char path[PATH_MAX];

	ignore_error(path_printf(path, sizeof(path), "%s/../faults", settings.sysfs));
	f = fopen(path, "re");
	wanted[f ? fread(wanted, 1, sizeof(wanted) - 1, f) : 0] = '\0';
}

/* The fault that the test wants for this device; its text in buf, or NULL. */
static const char *fault(const char *what, char *buf, size_t size)
{
	for (const char *line = wanted, *rest; *line; line += strspn(line, "\n")) {
		text_copy(buf, size, line);
		buf[strcspn(buf, "\n")] = '\0';
		rest = startswith(buf, device);
		rest = rest && *rest == ' ' ? startswith(rest + 1, what) : NULL;
		if (rest)
			return *rest == ' ' ? rest + 1 : rest;
		line += strcspn(line, "\n");
	}
	return NULL;
}

/* As long as the test wants it. */
static bool fault_lasts(const char *what)
{
	char text[1024];

	wanted_read();
	return fault(what, text, sizeof(text)) != NULL;
}

static int log_service(const char *state, const char *error, const char *reason, const struct decision *d)
{
	printf("STATE=%s\nREASON=%s\n", state, reason);
	if (*error)
		printf("ERROR=%s\n", error);
	printf("DECISION=%s\nCHANGED=%d\n", d ? decision_text(d) : "", !*error && !dry_run);
	return *error ? 1 : 0;
}

static void write_override(const struct sysfs_device *d, const char *text)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX];

	(void)sysfs_device_path(d, "driver_override", path, sizeof(path));
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0 || dprintf(fd, "%s\n", *text ? text : "(null)") < 0)
		exit(3);
}

/* "": unbinds. */
static void bind_to(const struct sysfs_device *d, const char *driver)
{
	char path[PATH_MAX], target[PATH_MAX], before[256] = "";

	ignore_error(sysfs_device_link(d, "driver", before, sizeof(before)));
	if (streq(before, driver))
		return;
	(void)sysfs_device_path(d, "driver", path, sizeof(path));
	(void)unlink(path);
	ignore_error(
		path_printf(target, sizeof(target), "%s/bus/%s/drivers/%s", d->sysfs->root, d->bus, driver));
	if (*driver && symlink(target, path) < 0)
		exit(3);
}

static bool driver_is_there(const struct sysfs_device *d, const char *driver)
{
	char path[PATH_MAX], text[1024];
	const char *module = fault("module", text, sizeof(text));

	ignore_error(path_printf(path, sizeof(path), "%s/bus/%s/drivers/%s", d->sysfs->root, d->bus, driver));
	return access(path, F_OK) == 0 || (module && streq(module, driver));
}

static void keep_record(struct sysfs_device *d, const struct decision *decision, const char *state,
			const char *reason)
{
	struct record record = {}, old = {};
	char text[1024];

	if (release || keep_released) {
		record = (struct record){ .inode = d->inode, .released = true, .state = STATE_UNMANAGED };
		if (record_write(settings.state_dir, sysfs_device_key(d), &record) < 0)
			exit(3);
		return;
	}
	if (record_set_released(settings.state_dir, sysfs_device_key(d), false) < 0)
		exit(3);
	/* What was not given back is still ours. */
	if (decision_is_nothing(decision) && !streq(state, "unmanaged"))
		return;
	if (decision_is_nothing(decision)) {
		if (record_remove(settings.state_dir, sysfs_device_key(d)) < 0)
			exit(3);
		return;
	}
	ignore_error(record_read(settings.state_dir, d->bus, d->name, d->inode, &old));
	record_describe(&record, decision);
	record.inode = d->inode;
	record.state = device_state_from_string(state);
	text_copy(record.reason, sizeof(record.reason), reason);
	if (fault("use-ends", text, sizeof(text)))
		text_copy(record.wait_for, sizeof(record.wait_for), fault("use-ends", text, sizeof(text)));
	text_copy(record.owned_override, sizeof(record.owned_override),
		  streq(state, "enforced") || streq(state, "held") ? decision->driver : old.owned_override);
	if (streq(state, "enforced") || (streq(state, "held") && decision->kind == DECISION_NONE))
		record.enforced = record_decision_id(&record);
	if (record_write(settings.state_dir, sysfs_device_key(d), &record) < 0)
		exit(3);
}

static int act(struct sysfs_device *d, const struct decision *decision)
{
	char own[256], override[OVERRIDE_MAX], driver[256], text[1024];
	struct record record;
	bool recorded = record_read(settings.state_dir, d->bus, d->name, d->inode, &record) >= 0;
	const char *state = decision_is_nothing(decision)					? "unmanaged"
			    : decision->kind == DECISION_NONE && decision->cause == CAUSE_GROUP ? "held"
												: "enforced";

	if (sysfs_device_link(d, "driver", driver, sizeof(driver)) < 0)
		driver[0] = '\0';
	if (sysfs_device_read(d, "own_driver", own, sizeof(own)) < 0)
		own[0] = '\0';
	(void)sysfs_device_override(d, override);
	if (override[0] && !streq(override, decision->driver) &&
	    !(recorded && streq(override, record.owned_override)) && !overwrite)
		return log_service("foreign", "Foreign", "driver_override is somebody else's", decision);
	if (decision->kind == DECISION_DRIVER && !driver_is_there(d, decision->driver))
		return log_service("pending", "NoSuchDriver", "no such driver", decision);
	if (streq(rebind_option, "no") ||
	    (!*rebind_option && decision->rule && decision->rule->rebind == REBIND_NO)) {
		if (!decision_is_nothing(decision) && driver[0] && !streq(driver, decision->driver)) {
			if (!dry_run) {
				write_override(d, decision->driver);
				keep_record(d, decision, "blocked", "Rebind=no");
			}
			return log_service("blocked", "", "Rebind=no", decision);
		}
	}
	if (dry_run)
		return log_service(state, "", "", decision);
	if (fault("half-way", text, sizeof(text))) {
		write_override(d, "");
		keep_record(d, decision, state, "half-way"); /* last, so that it is what is heard of */
	}
	while (fault_lasts("half-way"))
		(void)usleep(10000);
	if (decision_is_nothing(decision) || decision->kind == DECISION_DEFAULT) {
		write_override(d, "");
		bind_to(d, own);
	} else {
		write_override(d, decision->driver);
		bind_to(d, decision->kind == DECISION_NONE ? "" : decision->driver);
	}
	keep_record(d, decision, state, "");
	return log_service(state, "", "", decision);
}

static int rebind(void)
{
	static const struct {
		const char *name, *state;
	} errors[] = {
		{ "NoSuchDevice", "failed" }, { "InUse", "blocked" }, { "Stuck", "stuck" },
		{ "NotBegun", "pending" },    { "Failed", "failed" },
	};
	/* Kept until the process ends; static, so that they are not taken for lost. */
	static struct sysfs_device *d;
	static struct decision decision;
	static struct policy *policy;
	static struct sysfs sysfs;
	_cleanup_(closep) int lock = -EBADF;
	char text[1024];
	const char *s;
	bool is_stuck;

	note_call("calls");
	sysfs_init(&sysfs, &settings);
	if (sysfs_device_lookup(&sysfs, device, &d) < 0)
		return log_service("", "NoSuchDevice", "no such device", NULL);
	if (inode && d->inode != inode)
		return log_service("", "NoSuchDevice", "another device", NULL);
	/* So whoever has it last knows the last policy. What is stuck has left it locked. */
	is_stuck = fault_lasts("Stuck");
	if (!dry_run && !is_stuck)
		lock = device_lock_acquire(settings.state_dir, d->bus, d->name, now_usec() + LOCK_USEC);
	if (lock < 0 && !dry_run && !is_stuck)
		return log_service("stuck", "Stuck", "another rebind of it has not come back", NULL);
	if (policy_load(&settings, &policy) < 0 || policy_decide(policy, &d->device, &decision) < 0)
		return 3;
	keep_released = keep_released && apply_is_released(d);
	if (release || keep_released)
		decision = (struct decision){ .device = &d->device, .missing.fact = FACT_COUNT };
	while (fault_lasts(dry_run ? "dry-slow" : "wait") || fault_lasts("slow"))
		(void)usleep(10000);
	if (fault("silent", text, sizeof(text)))
		return 1;
	for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
		const char *name = errors[i].name;

		s = fault(name, text, sizeof(text));
		if (!s || (streq(name, "InUse") && (overwrite || streq(rebind_option, "force"))) ||
		    (streq(name, "Failed") && dry_run) ||
		    (streq(name, "NotBegun") && (!has_others || dry_run != (strstr(s, "dry run") != NULL))))
			continue;
		if (!dry_run && !release && !streq(name, "NotBegun"))
			keep_record(d, &decision, errors[i].state, s);
		return log_service(errors[i].state, name, s, &decision);
	}
	s = fault("Held", text, sizeof(text));
	if (s && !dry_run) { /* the kernel has refused it its driver */
		write_override(d, decision.driver);
		keep_record(d, &decision, "held", s);
		return log_service("held", "", s, &decision);
	}
	return act(d, &decision);
}

/* A trial has ended: the policy goes back, and the device. Each call is a line in SYSFS/../undos. */
static int undo(void)
{
	static char named[512];
	char bus[64] = "";
	bool force = false;
	int r;

	text_copy(named, sizeof(named), device);
	device = named;
	if (!text_unescape(named))
		return 2;
	note_call("undos");
	text_copy(bus, sizeof(bus), device);
	bus[strcspn(bus, "/")] = '\0';
	r = trial_undo(&settings, bus, device + strlen(bus) + 1, trial, now_usec() + 60000000U, &force);
	if (r <= 0)
		return r < 0 ? 1 : 0;
	overwrite = force;
	r = rebind();
	if (r == 0 &&
	    trial_undo_finish(&settings, bus, device + strlen(bus) + 1, trial, now_usec() + 60000000U) < 0)
		return 1;
	return r;
}

static int event(char **argv)
{
	const char *real = getenv("DRIVER_OVERRIDE");

	note_call("notes");
	if (!real)
		return 3;
	(void)execv(real, argv);
	return 3;
}

enum {
	OPTION_REBIND = 1,
	OPTION_OVERWRITE,
	OPTION_DRY_RUN,
	OPTION_LOOK_ONLY,
	OPTION_INODE,
	OPTION_TIMEOUT,
	OPTION_WRITTEN_BY,
	OPTION_RELEASE,
	OPTION_KEEP_RELEASED,
	OPTION_TRIAL
};

static bool take_option(int c, const char *argument)
{
	switch (c) {
	case OPTION_REBIND:
		rebind_option = argument;
		return true;
	case OPTION_OVERWRITE:
		overwrite = true;
		return true;
	case OPTION_RELEASE:
		release = true;
		return true;
	case OPTION_KEEP_RELEASED:
		keep_released = true;
		return true;
	case OPTION_DRY_RUN:
		dry_run = true;
		return true;
	case OPTION_LOOK_ONLY:
		look_only = true;
		return true;
	case OPTION_INODE:
		inodes[n_inodes++ % ELEMENTSOF(inodes)] = strtoull(argument, NULL, 10);
		return true;
	case OPTION_TRIAL:
		trial = argument;
		return true;
	case OPTION_TIMEOUT:
	case OPTION_WRITTEN_BY:
		return true;
	default:
		return settings_option(&settings, c, argument) > 0;
	}
}

/* Each in a process of its own, which knows of one device only. */
static int rebind_all(char **devices, size_t n)
{
	int all = 0, status;

	if (n == 1) {
		inode = inodes[0];
		return rebind();
	}
	has_others = true;
	for (size_t i = 0; i < n; i++) {
		printf("DEVICE=%s\n", devices[i]);
		(void)fflush(stdout);
		device = devices[i];
		inode = inodes[i];
		if (fork() == 0)
			exit(rebind());
		if (wait(&status) < 0 || !WIFEXITED(status))
			return 3;
		all |= WEXITSTATUS(status);
	}
	return all;
}

static int take_arguments(int argc, char **argv)
{
	static const struct option options[] = {
		PROGRAM_LONG_OPTIONS,
		{ "rebind", required_argument, NULL, OPTION_REBIND },
		{ "overwrite", no_argument, NULL, OPTION_OVERWRITE },
		{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
		{ "look-only", no_argument, NULL, OPTION_LOOK_ONLY },
		{ "inode", required_argument, NULL, OPTION_INODE },
		{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
		{ "release", no_argument, NULL, OPTION_RELEASE },
		{ "keep-released", no_argument, NULL, OPTION_KEEP_RELEASED },
		{ "trial", required_argument, NULL, OPTION_TRIAL },
		{ "written-by", required_argument, NULL, OPTION_WRITTEN_BY },
		{},
	};
	int c;

	settings_init(&settings);
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
		if (!take_option(c, optarg))
			return 2;
	/* Never on the running system. */
	if (argc - optind < 2 || !settings.sysfs_given)
		return 2;
	device = argv[optind + 1];
	if (streq(argv[optind], "event"))
		return event(argv);
	if (streq(argv[optind], "undo"))
		return undo();
	return streq(argv[optind], "rebind") ? rebind_all(argv + optind + 1, (size_t)(argc - optind - 1)) : 2;
}

/* Started ahead of need: the arguments come by stdin; each such call is a line in SYSFS/../waits. */
static int wait_for_arguments(char *program)
{
	char **argv;
	int n = request_read(STDIN_FILENO, program, &argv), r;

	if (n <= 0)
		return n < 0;
	r = take_arguments(n, argv);
	if (device)
		note_call("waits");
	return r;
}

int main(int argc, char **argv)
{
	if (argc == 3 && streq(argv[1], "rebind") && streq(argv[2], "--wait"))
		return wait_for_arguments(argv[0]);
	return take_arguments(argc, argv);
}
