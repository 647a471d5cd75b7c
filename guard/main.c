/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * driver-override-guard: starts early at boot, hears of devices from the kernel, and lives until shutdown.
 * This thread does what is slow and rare: policy that changed, lost messages, records, status. It sleeps
 * unless there is something to do.
 */
#include "guard/guard.h"
#include "base/child.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/log.h"
#include "base/macro.h"
#include "guard/uevent.h"
#include "state/intent.h"
#include "state/store.h"
#include "policy/policy-watch.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * How long the kernel waits for us at most, per device. A decision takes 0.1 to 5 ms on an emulated machine;
 * one of which the host's CPUs were four times oversubscribed took 366 ms once in 120 plugs. What it costs is
 * paid by a machine whose guard is stopped: three such waits, no more, and the kernel complains of CPUs that
 * are kept for 20 s.
 */
#define LIMIT_USEC_DEFAULT 1000000U
#define LIMIT_USEC_MAX 2000000U

struct loop {
	struct guard guard;
	int signals;
	struct policy_watch *watch;   /* NULL: it cannot be watched */
	struct hold_counters counted; /* when the status was told last */
	const char *enforcer;
	pid_t sweep;	  /* 0: none is at work */
	bool sweep_again; /* messages were lost while it was */
};

/* One datagram to systemd; without it there is nobody to tell. */
static void _printf_(1, 2) notify(const char *format, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	union {
		struct sockaddr sa;
		struct sockaddr_un un;
	} address = { .un = { .sun_family = AF_UNIX } };
	_cleanup_(closep) int fd = -EBADF;
	char text[512];
	va_list ap;
	size_t n;

	if (!path || (n = strlen(path)) >= sizeof(address.un.sun_path))
		return;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	memcpy(address.un.sun_path, path, n);
	if (path[0] == '@')
		address.un.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, &address.sa,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

static void tell_status(struct loop *l)
{
	struct first_probe_counters f;
	struct hold_counters c;

	hold_count(l->guard.hold, &c);
	first_probe_watches_count(l->guard.first_probe_watches, &f);
	notify("STATUS=hold: %s; %llu holds, %llu reached the limit, longest %.1f ms; first probes: %u "
	       "guaranteed, %u won, "
	       "%u lost; %u events, %u synthetic",
	       guard_hold_text(&l->guard), (unsigned long long)c.holds, (unsigned long long)c.expired,
	       (double)c.longest_ns / 1e6, f.guaranteed, f.won, f.lost, atomic_load(&l->guard.handled),
	       atomic_load(&l->guard.noted));
	(void)guard_write_record(&l->guard, &c, &f);
	l->counted = c;
}

/* The enforcer's sweep, in a process of its own: devices that were added while nobody listened. */
static void sweep(struct loop *l)
{
	const char *argv[CONF_DIRS_MAX * 2 + 8] = { l->enforcer };
	const struct settings *s = l->guard.settings;
	size_t n = 1;
	const struct child_program program = { .argv = argv, .out = -1, .err = -1 };
	struct child child;
	int r;

	l->sweep_again = l->sweep != 0;
	if (l->sweep_again)
		return;
	for (size_t i = 0; s->conf_dirs_given && i < s->n_conf_dirs; i++) {
		argv[n++] = "--conf-dir";
		argv[n++] = s->conf_dirs[i];
	}
	argv[n++] = "--sysfs";
	argv[n++] = s->sysfs;
	argv[n++] = "--state-dir";
	argv[n++] = s->state_dir;
	argv[n++] = "sweep";
	r = child_start_program(&child, &program);
	if (r < 0) {
		log_line(LOG_ERR, "cannot start %s sweep: %s", argv[0], strerror(-r));
		return;
	}
	/* Its end comes as a signal; it is never killed. */
	l->sweep = child.pid;
	child_forget(&child);
}

static void sweep_ended(struct loop *l)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		l->sweep = 0;
	/* The sweep at the start has seen what our predecessor left. */
	if (l->sweep == 0)
		intents_forget_others(l->guard.intents);
	if (l->sweep == 0 && l->sweep_again)
		sweep(l);
}

/* Whatever happened there, the policy is read again; the copies and the log are enforce/'s business. */
static void policy_changed(struct loop *l)
{
	struct policy_snapshot *p;

	p = policy_snapshot_load(l->guard.settings);
	if (!p) {
		log_line(LOG_ERR, "cannot read the policy again; the one before stays in force");
		return;
	}
	policy_copies_update(l->guard.settings->state_dir, p->policy);
	guard_set_policy(&l->guard, p);
	l->guard.loaded++;
}

static void check_hold(struct loop *l)
{
	struct hold_counters c;

	hold_count(l->guard.hold, &c);
	if (c.expired != l->counted.expired)
		log_line(LOG_WARNING,
			 "%llu holds reached the limit: those first probes were not waited for (hold %s)",
			 (unsigned long long)(c.expired - l->counted.expired), guard_hold_text(&l->guard));
}

static int run(struct loop *l)
{
	struct guard *g = &l->guard;
	int timeout = -1;

	for (;;) {
		struct pollfd p[] = { { .fd = l->signals, .events = POLLIN },
				      { .fd = g->wake, .events = POLLIN },
				      { .fd = l->watch ? policy_watch_fd(l->watch) : -1, .events = POLLIN } };
		eventfd_t n;
		uint64_t next;

		if (poll(p, ELEMENTSOF(p), timeout) < 0 && errno != EINTR)
			return negative_errno();
		if (p[0].revents) {
			struct signalfd_siginfo info;

			if (read(l->signals, &info, sizeof(info)) != sizeof(info))
				return negative_errno();
			if (info.ssi_signo != SIGCHLD)
				return 0;
			sweep_ended(l);
		}
		if (p[1].revents)
			(void)eventfd_read(g->wake, &n);
		/* A bus that has just been registered is one more to wait for. */
		if ((p[2].revents && policy_watch_changed(l->watch)) || atomic_exchange(&g->new_bus, false)) {
			policy_changed(l);
			tell_status(l);
		}
		if (atomic_exchange(&g->overflow, false)) {
			log_line(LOG_WARNING,
				 "the kernel's messages came faster than they were read; sweeping");
			sweep(l);
		}
		atomic_store(&g->settle, false);
		next = first_probe_watches_settle(g->first_probe_watches);
		timeout = next ? (int)(next / 1000) + 1 : -1;
		if (!next) {
			check_hold(l);
			tell_status(l);
		}
	}
}

static int start(struct loop *l, uint64_t limit_usec)
{
	static pthread_mutex_t policy_lock;
	static struct sysfs sysfs;
	struct guard *g = &l->guard;
	struct policy_snapshot *p;
	sigset_t mask;
	int r;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	l->signals = signalfd(-1, &mask, SFD_CLOEXEC);
	g->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (priority_lock_init(&policy_lock) < 0)
		return -ENOMEM;
	g->policy_lock = &policy_lock;
	(void)boot_id(); /* kept from now on; not to be read by two threads at once */

	g->socket = uevent_open();
	if (g->socket < 0) {
		log_line(LOG_ERR, "cannot listen to the kernel's events: %s", strerror(-g->socket));
		return g->socket;
	}
	r = policy_watch_new(g->settings, &l->watch);
	if (r < 0)
		log_line(LOG_ERR, "cannot watch the policy's directories, so changes are not noticed: %s",
			 strerror(-r));
	g->hold = hold_new(limit_usec);
	r = g->settings->state_dir ? intents_open(g->settings->state_dir, &g->intents) : 0;
	if (r < 0)
		log_line(LOG_WARNING,
			 "%s/writing: %s; if the guard is killed, an override that it is just writing will "
			 "be taken for another's",
			 g->settings->state_dir, strerror(-r));
	sysfs_init(&sysfs, g->settings);
	g->first_probe_watches = g->hold ? first_probe_watches_new(&sysfs, g->hold) : NULL;
	p = g->first_probe_watches ? policy_snapshot_load(g->settings) : NULL;
	if (!p)
		return -ENOMEM;
	/* All threads allocate from one arena: each of their own would be 132 KiB, locked, for next to
	 * nothing. */
	(void)mallopt(M_ARENA_MAX, 1);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		log_line(LOG_DEBUG, "memory is not locked: %m");
	g->policy_snapshot = p;
	g->loaded = 1;
	/*
	 * The threads inherit the real-time class, which this one then gives up, never to be in their way.
	 * Above the kernel's interrupt threads (50), in which PCIe hot-plug adds devices.
	 */
	if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 60 }) < 0)
		log_line(LOG_WARNING, "no real-time class, so holds may take longer: %m");
	r = guard_start(g);
	if (r < 0)
		return r;
	(void)sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){});
	/* From here on the kernel waits, and somebody is there to answer. */
	guard_hold(g);
	if (hold_why_not(g->hold))
		log_line(LOG_NOTICE, "no hold: %s; first probes are raced for", hold_why_not(g->hold));
	return 0;
}

int main(int argc, char **argv)
{
	enum { OPTION_LIMIT = 1, OPTION_NO_HOLD, OPTION_ENFORCER };
	static const struct option options[] = {
		SETTINGS_LONG_OPTIONS,
		{ "hold-limit-ms", required_argument, NULL, OPTION_LIMIT },
		{ "no-hold", no_argument, NULL, OPTION_NO_HOLD },
		{ "enforcer", required_argument, NULL, OPTION_ENFORCER },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{},
	};
	static struct settings settings;
	static struct loop l;
	uint64_t limit = LIMIT_USEC_DEFAULT;
	bool no_hold = false;
	int c, r;

	settings_init(&settings);
	l.enforcer = ENFORCER_PATH;
	while ((c = getopt_long(argc, argv, "hV", options, NULL)) >= 0) {
		if (c == OPTION_LIMIT)
			limit = strtoull(optarg, NULL, 10) * 1000;
		else if (c == OPTION_NO_HOLD)
			no_hold = true;
		else if (c == OPTION_ENFORCER)
			l.enforcer = optarg;
		else if (c == 'V') {
			puts("driver-overrides " PROJECT_VERSION);
			return 0;
		} else if (settings_option(&settings, c, optarg) <= 0 || c == 'h') {
			(void)fprintf(
				c == 'h' ? stdout : stderr,
				"driver-override-guard [--hold-limit-ms MS] [--no-hold] [--conf-dir DIR] "
				"[--sysfs DIR] [--state-dir DIR]\n");
			return c == 'h' ? 0 : 2;
		}
	}
	if (optind < argc || limit == 0 || limit > LIMIT_USEC_MAX) {
		(void)fputs("driver-override-guard: no arguments; a hold's limit is 1 to 2000 ms\n", stderr);
		return 2;
	}
	log_init(&settings, false);
	if (settings_turned_off(&settings)) {
		log_line(LOG_NOTICE, "turned off by driver_overrides=off on the kernel command line");
		return 0;
	}
	l.guard.settings = &settings;
	r = start(&l, no_hold ? 0 : limit);
	if (r >= 0) {
		/* Devices that came after the boot's sweep and before we listened. */
		sweep(&l);
		notify("READY=1");
		tell_status(&l);
		r = run(&l);
	}
	notify("STOPPING=1");
	if (r < 0)
		log_line(LOG_ERR, "%s", strerror(-r));
	if (settings.state_dir)
		(void)state_remove(settings.state_dir, "guard");
	/* systemd starts another at once; one that cannot be started at all shall not keep the machine busy.
	 */
	if (r < 0)
		(void)sleep(1);
	/* The other threads run on until the process ends; with it the hold's links are closed. */
	_exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}
