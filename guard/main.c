/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * driver-override-guard starts early at boot, hears of devices from the kernel, and lives until shutdown.
 * Here are its options and the order in which it starts; guard.c has the loop that follows.
 */
#include "guard/guard.h"
#include "guard/limit.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/path.h"
#include "policy/program-options.h"
#include "guard/background.h"
#include "guard/boot-wait.h"
#include "guard/memory.h"
#include "guard/own-view.h"
#include "guard/uevent.h"
#include "guard/worker.h"
#include "policy/policy-watch.h"
#include "state/boot-devices.h"
#include "state/intent.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Above the kernel's interrupt threads (50), in which PCIe hot-plug adds devices. */
#define WORKER_PRIORITY 60

/* An old guard that has been told to end settles what it has seen. */
#define PREDECESSOR_ENDS_USEC 3000000U

struct options {
	struct settings settings;
	const char *enforcer;
	uint64_t limit_usec; /* 0: as the guard finds right */
	bool limit_is_wrong;
	bool no_hold;
	bool is_relief;	    /* it lives until another guard comes, whatever becomes of the root */
	bool is_background; /* the same, in a boot image without systemd */
};

/* The kernel's uevents, signals, and the eventfd of the main thread. 0; negative errno with what failed. */
static int guard_open_descriptors(struct guard *g, const char **reterr_what)
{
	sigset_t mask;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	g->loop.signals = signalfd(-1, &mask, SFD_CLOEXEC);
	g->main_wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->loop.signals < 0 || g->main_wakeup < 0) {
		*reterr_what = "cannot make the main thread's descriptors";
		return negative_errno();
	}
	g->socket = uevent_open();
	if (g->socket < 0) {
		*reterr_what = "cannot listen to the kernel's events";
		return g->socket;
	}
	return 0;
}

/* What the guard can do without, in part; then the log says what follows from that. */
static void guard_open_files(struct guard *g)
{
	const char *state_dir = g->settings->state_dir;
	/* The files of a boot image are deleted in the end, which is no change of the policy. */
	int r = g->loop.in_image ? 0 : policy_watch_new(g->settings, &g->loop.watch);

	if (r < 0)
		log_errno(LOG_ERR, r,
			  "cannot watch the policy's directories: %m, changes will not be noticed");
	r = state_dir ? boot_devices_watch(state_dir) : 0;
	if (r < 0)
		log_errno(LOG_WARNING, r,
			  "cannot watch %s: %m, so Group=hold leaves members that are added later to udev's "
			  "events",
			  state_dir);
	g->loop.boot_watch = r;
	r = state_dir ? intents_open(state_dir, &g->intents) : 0;
	if (r < 0)
		log_errno(LOG_WARNING, r,
			  "cannot open %s/writing: %m, an override that is being written when the guard is "
			  "killed will be taken for foreign",
			  state_dir);
}

/* Without it the old guard, if there is one, is not told to end. */
static void guard_find_predecessors(struct guard *g)
{
	int r = g->settings->state_dir ? hand_over_join(g->settings->state_dir, &g->loop.hand_over) : 0;

	if (r < 0)
		log_errno(LOG_WARNING, r,
			  "cannot find out whether another guard runs: %m, it will not be told to end");
	atomic_store(&g->has_predecessor, g->loop.hand_over.n_predecessors > 0);
	/* It guards meanwhile, so systemd may wait. Given up when it has just ended the other, this guard
	 * would leave none. */
	if (g->loop.hand_over.n_predecessors > 0)
		notify_systemd("EXTEND_TIMEOUT_USEC=90000000");
}

/* From here on nothing of the kernel and of other programs is missed. 0; negative errno with what failed. */
static int guard_open(struct guard *g, const char **reterr_what)
{
	int r;

	guard_find_predecessors(g);
	r = guard_open_descriptors(g, reterr_what);
	if (r < 0)
		return r;
	(void)boot_id(); /* it is read once and kept, which two threads must not do at the same time */
	guard_open_files(g);
	return 0;
}

/* Everything that threads need, before there are any. 0; negative errno with what failed. */
static int guard_prepare(struct guard *g, uint64_t limit_usec, const char **reterr_what)
{
	static struct sysfs sysfs;

	sysfs_init(&sysfs, g->settings);
	g->hold = hold_new(limit_usec);
	g->first_probe_watches = g->hold ? first_probe_watches_new(&sysfs, g->hold) : NULL;
	g->policy_snapshot = g->first_probe_watches ? policy_snapshot_load(g->settings) : NULL;
	if (!g->policy_snapshot || priority_lock_init(&g->policy_lock) < 0) {
		*reterr_what = "cannot prepare the guard";
		return -ENOMEM;
	}
	g->loop.n_policy_loads = 1;
	return 0;
}

/* Starts the threads, and only then makes the kernel wait. 0; negative errno with what failed. */
static int guard_start(struct guard *g, const char **reterr_what)
{
	int r;

	memory_lock();
	/* Threads inherit the real-time class; the main thread then leaves it, so as not to be in their way.
	 */
	if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = WORKER_PRIORITY }) < 0)
		log_line(LOG_WARNING, "cannot enter the real-time class: %m, holds may take longer");
	r = workers_start(g);
	if (r < 0) {
		*reterr_what = "cannot start threads";
		return r;
	}
	(void)sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){});
	guard_apply_buses(g);
	/* From here on this guard holds every device, and handles it. */
	if (g->loop.hand_over.n_predecessors > 0)
		atomic_store(&g->inherited_seqnum, uevent_latest(g->settings->sysfs) + 1);
	if (hold_why_not(g->hold))
		log_line(LOG_NOTICE, "no hold: %s, other drivers may probe first", hold_why_not(g->hold));
	return 0;
}

/* A guard that cannot have its own view is good until the root changes. */
static void guard_enter_view(struct guard *g)
{
	static struct own_view view;
	char folder[PATH_MAX];
	int r = path_join(folder, sizeof(folder), g->settings->state_dir, "/view", NULL);

	if (r >= 0)
		r = own_view_enter(&view, folder);
	if (r >= 0)
		g->loop.view = &view;
	else {
		g->loop.from_image = false; /* so that no guard of the new root relies on this one */
		log_errno(LOG_WARNING, r,
			  "cannot have a view of the system of its own: %m, the guard will not last over "
			  "a change of the root");
	}
}

/* This guard is there: ends those before it. What they leave is looked at by the sweep that follows. */
static void guard_take_over(struct guard *g)
{
	size_t n_left;

	if (g->loop.hand_over.n_predecessors == 0)
		return;
	n_left = hand_over_wait(&g->loop.hand_over, PREDECESSOR_ENDS_USEC);
	if (n_left > 0)
		log_line(LOG_WARNING, "%zu guards before this one did not end, and were killed", n_left);
	atomic_store(&g->has_predecessor, false);
	/* The other may have removed it. */
	g->loop.status[0] = '\0';
	guard_report_status(g);
}

/* Everything from the start to the end. ready: for background_ready(). 0; negative errno with what failed. */
static int guard_live(struct guard *g, const struct options *o, int ready, const char **reterr_what)
{
	int r;

	r = guard_open(g, reterr_what);
	/* A relief is there for those who wait until it holds. One that must not hold ends what others do at
	 * once; on a mock tree nobody holds. */
	if (r >= 0 && !o->is_relief && (!o->no_hold || o->settings.sysfs_given)) {
		*reterr_what = "cannot wait for the end of the boot";
		r = guard_wait_for_boot(g);
		if (r == 0) {
			/* Nobody is to follow, or has followed already. */
			hand_over_dismiss(&g->loop.hand_over);
			/* The next one must not find it, as if it held. */
			(void)hand_over_wait(&g->loop.hand_over, PREDECESSOR_ENDS_USEC);
			return 0;
		}
	}
	if (r >= 0)
		r = guard_prepare(g, o->no_hold ? 0 : guard_first_limit(g, o->limit_usec), reterr_what);
	if (r >= 0 && o->is_relief && !o->settings.sysfs_given)
		guard_enter_view(g);
	if (r >= 0)
		r = guard_start(g, reterr_what);
	if (r < 0)
		return r;
	hand_over_dismiss(&g->loop.hand_over);
	guard_report_status(g);
	notify_systemd("READY=1");
	if (ready >= 0)
		background_ready(ready);
	guard_take_over(g);
	/* For devices that were added after the boot's sweep and before the guard listened. */
	guard_start_sweep(g);
	r = guard_run(g);
	if (r < 0)
		*reterr_what = "cannot wait for events";
	else
		guard_finish(g);
	return r;
}

static void usage(FILE *f)
{
	(void)fputs("driver-override-guard [--relief|--boot-image] [--hold-limit-ms MS] [--no-hold] "
		    "[--conf-dir DIR] [--sysfs DIR] [--state-dir DIR]\n",
		    f);
}

enum { OPTION_LIMIT = 1, OPTION_NO_HOLD, OPTION_ENFORCER, OPTION_RELIEF, OPTION_BOOT_IMAGE };

static int guard_option(void *userdata, int option, const char *argument)
{
	struct options *o = userdata;

	if (option == OPTION_LIMIT) {
		o->limit_usec = strtoull(argument, NULL, 10) * 1000;
		o->limit_is_wrong = o->limit_usec == 0 || o->limit_usec > LIMIT_USEC_MAX;
	} else if (option == OPTION_NO_HOLD)
		o->no_hold = true;
	else if (option == OPTION_ENFORCER)
		o->enforcer = argument;
	else if (option == OPTION_RELIEF)
		o->is_relief = true;
	else if (option == OPTION_BOOT_IMAGE)
		o->is_relief = o->is_background = true;
	else
		return 0;
	return 1;
}

/* PROGRAM_RUNS, or the exit status. */
static int options_parse(struct options *o, int argc, char **argv)
{
	static const struct option table[] = {
		PROGRAM_LONG_OPTIONS,
		{ "hold-limit-ms", required_argument, NULL, OPTION_LIMIT },
		{ "no-hold", no_argument, NULL, OPTION_NO_HOLD },
		{ "enforcer", required_argument, NULL, OPTION_ENFORCER },
		{ "relief", no_argument, NULL, OPTION_RELIEF },
		{ "boot-image", no_argument, NULL, OPTION_BOOT_IMAGE },
		{},
	};
	const struct program_options options = { "driver-override-guard", table, usage, guard_option, o };
	int r = program_options_read(&options, &o->settings, argc, argv);

	if (r != PROGRAM_RUNS)
		return r;
	if (optind < argc || o->limit_is_wrong) {
		(void)fputs("driver-override-guard: no arguments; a hold's limit is 1 to 2000 ms\n", stderr);
		return 2;
	}
	return PROGRAM_RUNS;
}

/*
 * What has no guard to follow it yet, must not be killed with what else belongs to the image or to the
 * userspace that ends: systemd spares a process whose name begins with this character.
 */
static void options_spare_from_kill(const struct options *o, char **argv)
{
	if (o->is_relief && argv[0][0])
		argv[0][0] = '@';
}

/* Where there is systemd, it is what waits for the guard. */
static int options_enter_background(const struct options *o, int *ret_ready)
{
	return o->is_background && !getenv("NOTIFY_SOCKET") ? background_enter(ret_ready) : 0;
}

/*
 * Turned off by a command line that has `on` before `off`, so that the unit's condition holds: a guard that
 * ended would be started again and again. It stays, and takes what the kernel tells off systemd's socket.
 */
static void guard_stay_off(void)
{
	int fd = passed_socket(AF_NETLINK);
	char buf[4096];

	while (fd >= 0 && (recv(fd, buf, sizeof(buf), 0) >= 0 || errno == ENOBUFS || errno == EINTR))
		;
	(void)pause();
}

int main(int argc, char **argv)
{
	static struct options options = { .enforcer = ENFORCER_PATH };
	static struct guard guard;
	const char *what = "cannot go to the background";
	int r, ready = -EBADF;

	r = options_parse(&options, argc, argv);
	if (r != PROGRAM_RUNS)
		return r;
	/* Its unit is ordered beside nothing, not even the journal. */
	log_init("driver-override-guard", options.is_relief ? LOG_TO_JOURNAL : LOG_TO_STDERR);
	if (settings_turned_off(&options.settings)) {
		log_line(LOG_NOTICE, "turned off by driver_overrides=off on the kernel command line");
		notify_systemd("READY=1");
		if (getenv("NOTIFY_SOCKET") && !options.is_relief)
			guard_stay_off();
		return EXIT_SUCCESS;
	}
	options_spare_from_kill(&options, argv);
	guard.settings = &options.settings;
	guard.loop.enforcer = options.enforcer;
	guard.loop.in_image =
		options.is_background || (options.is_relief && access("/etc/initrd-release", F_OK) >= 0);
	guard.loop.from_image = guard.loop.in_image;
	r = options_enter_background(&options, &ready);
	if (r >= 0)
		r = guard_live(&guard, &options, ready, &what);
	if (guard.hold)
		hold_let_go(guard.hold);
	notify_systemd("STOPPING=1");
	if (r < 0)
		log_errno(LOG_ERR, r, "%s: %m, ending", what);
	guard_withdraw_status(&guard);
	/* systemd restarts the guard at once; one that cannot start must not keep the machine busy. */
	if (r < 0)
		(void)sleep(1);
	/* The other threads run on until the process ends; its end also closes the hold's links. */
	_exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}
