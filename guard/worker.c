/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads that hear the kernel. Several wait on one socket, so that a device which lets one of them sleep
 * delays no other; one makes more of them when the last is busy; two stand by for devices whose hold takes
 * too long.
 */
#include "guard/worker.h"
#include "base/arena.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "state/intent.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS_FIRST 6
#define THREADS_MAX 64
/* See worker.h. Who stands by would rather find a slow one done; a hold lasts a second. */
#define PATIENCE_USEC 1000U
#define LATE_PATIENCE_USEC 40000U
#define THREAD_STACK (256U * 1024U)
/* What devices answer, a group's as well; a few hundred bytes each. Only a group of dozens needs more. */
#define WORKER_MEMORY (32U * 1024U)

static void handle(struct worker *w, const struct uevent *e)
{
	struct guard *g = w->guard;

	switch (e->action) {
	case UEVENT_ADD:
		/* What somebody asks for again is udev's affair, and no probe waits for it. */
		if (e->synthetic)
			atomic_fetch_add(&g->noted, 1);
		else if (startswith(e->devpath, "/bus/")) {
			atomic_store(&g->new_bus, true);
			guard_wake_main(g);
		} else if (e->subsystem) {
			worker_add_device(w, e);
			guard_rearm_hold(g);
		}
		break;
	case UEVENT_BIND:
		if (e->driver && !e->synthetic)
			first_probe_watch_bind(g->first_probe_watches, e->devpath, e->driver, e->seqnum);
		break;
	case UEVENT_REMOVE:
		if (!e->synthetic) {
			first_probe_watch_remove(g->first_probe_watches, e->devpath);
			if (e->subsystem)
				intents_forget(g->intents, e->subsystem, strrchr(e->devpath, '/') + 1);
		}
		break;
	case UEVENT_UNBIND:
	case UEVENT_MOVE:
	case UEVENT_OTHER:
		break;
	}
}

int worker_process_event(struct worker *w)
{
	struct guard *g = w->guard;
	struct uevent e;
	bool draining;
	int r;

	/*
	 * Once it has lost a message the kernel drops all that follow, until the queue has been read
	 * to its end: until then nobody shall wait for us, and only then is it worth while to sweep.
	 */
	draining = atomic_load(&g->draining);
	if (draining)
		hold_release_all(g->hold);
	atomic_fetch_add(&g->idle, 1);
	r = uevent_receive(g->socket, w->buf, &e, draining);
	if (atomic_fetch_sub(&g->idle, 1) == 1 && r == 1)
		(void)eventfd_write(g->more, 1);
	if (r == 1)
		handle(w, &e);
	else if (r == -ENOBUFS)
		atomic_store(&g->draining, true);
	else if (r == -EAGAIN && draining) {
		if (atomic_exchange(&g->draining, false)) {
			/* Of those that came since, one may have been the last to lose its message. */
			hold_release_all(g->hold);
			atomic_store(&g->overflow, true);
			guard_wake_main(g);
		}
	} else if (r < 0 && r != -EINTR && r != -EAGAIN)
		return r;
	return 0;
}

/*
 * Descriptors of its own for a thread that may sleep in the kernel, without those that keep the hold's
 * programs attached: a process that is killed lives on in such a thread, and its open files with it.
 */
static void own_files(struct guard *g)
{
	if (unshare(CLONE_FILES) >= 0)
		hold_disown(g->hold);
}

static void *run(void *userdata)
{
	struct worker *w = userdata;
	int r;

	own_files(w->guard);
	do
		r = worker_process_event(w);
	while (r == 0);
	/* Deaf: systemd shall start another. */
	log_line(LOG_ERR, "reading the kernel's events: %s", strerror(-r));
	_exit(EXIT_FAILURE);
}

struct worker *worker_new(struct guard *g)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w) {
		w->guard = g;
		w->fd = -EBADF;
		w->recheck_delay_usec = PATIENCE_USEC;
		sysfs_init(&w->sysfs, g->settings);
		sysfs_prepare(&w->sysfs);
		(void)arena_alloc(&w->arena, WORKER_MEMORY);
		arena_reset(&w->arena);
	}
	return w;
}

struct worker *worker_free(struct worker *w)
{
	if (w) {
		sysfs_done(&w->sysfs);
		arena_done(&w->arena);
	}
	free(w);
	return NULL;
}

static int start_thread(void *(*function)(void *), void *userdata, const cpu_set_t *cpus, size_t cpus_size)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, THREAD_STACK);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (cpus)
		(void)pthread_attr_setaffinity_np(&attr, cpus_size, cpus);
	r = -pthread_create(&thread, &attr, function, userdata);
	(void)pthread_attr_destroy(&attr);
	return r;
}

static int spawn(struct guard *g)
{
	struct worker *w;
	int r;

	if (atomic_fetch_add(&g->threads, 1) >= THREADS_MAX) {
		atomic_fetch_sub(&g->threads, 1);
		return -EAGAIN;
	}
	w = worker_new(g);
	if (!w) {
		atomic_fetch_sub(&g->threads, 1);
		return -ENOMEM;
	}
	r = start_thread(run, w, NULL, 0);
	if (r < 0) {
		atomic_fetch_sub(&g->threads, 1);
		worker_free(w);
	}
	return r;
}

/* A thread takes its time to make, and whoever is the last to hear the kernel has none to spare. */
static void *make_more(void *userdata)
{
	struct guard *g = userdata;
	eventfd_t n;

	own_files(g);
	for (;;) {
		if (eventfd_read(g->more, &n) < 0)
			continue;
		if (atomic_load(&g->idle) > 0)
			continue;
		if (spawn(g) < 0 && !atomic_exchange(&g->told_alone, true))
			log_line(LOG_WARNING,
				 "cannot start another thread: a device that hangs may delay the next");
	}
	return NULL;
}

struct standby {
	struct guard *guard;
	struct hold_late *late;
	unsigned recheck_delay_usec;
};

/* The device by the name that the kernel waits for, as an event would tell of it. 1; 0: it is not there. */
static int find_late(const struct worker *w, const struct hold_key *key, char path[static PATH_MAX],
		     struct uevent *ret)
{
	const char *root = w->sysfs.root;
	char link[PATH_MAX];

	if (path_printf(link, sizeof(link), "%s/bus/%s/devices/%s", root, key->bus.name, key->name) < 0 ||
	    !realpath(link, path) || !startswith(path, root))
		return 0;
	*ret = (struct uevent){ .action = UEVENT_ADD,
				.devpath = path + strlen(root),
				.subsystem = key->bus.name,
				.seqnum = uevent_latest(root) };
	return 1;
}

/*
 * Where the kernel does not preempt itself, the thread that has a device in hand may have slept for a moment,
 * on a lock say, and have been woken on the CPU that waits for it, where it gets no time before the wait is
 * over. Those who stand by are on two halves of the CPUs, so one of them runs. Whoever comes second writes
 * nothing.
 */
static void *stand_by(void *userdata)
{
	struct standby *s = userdata;
	struct worker *w = worker_new(s->guard);
	char path[PATH_MAX];
	struct hold_key key;
	struct uevent e;
	int r = w ? 0 : -ENOMEM;

	if (w) {
		w->recheck_delay_usec = s->recheck_delay_usec;
		w->is_standby = true;
	}
	own_files(s->guard);
	while (r >= 0) {
		r = hold_late_wait(s->late, &key);
		if (r == 1 && hold_ticket(s->guard->hold, key.bus.name, key.name) &&
		    find_late(w, &key, path, &e)) {
			atomic_fetch_add(&s->guard->late, 1);
			worker_add_device(w, &e);
		}
	}
	log_line(LOG_WARNING, "nobody stands by for late holds: %s", strerror(-r));
	return NULL;
}

static bool start_one_standby(struct guard *g, unsigned recheck_delay_usec, const cpu_set_t *cpus,
			      size_t size)
{
	struct standby *s = calloc(1, sizeof(*s));

	if (!s)
		return false;
	s->guard = g;
	s->recheck_delay_usec = recheck_delay_usec;
	s->late = hold_late_new(g->hold);
	if (!s->late || start_thread(stand_by, s, cpus, size) < 0) {
		free(s);
		return false;
	}
	return true;
}

/* One on every second CPU, one on the others; with a single CPU nobody could help. */
static void start_standby(struct guard *g)
{
	/* Of a machine that may have more than the C library's type has room for the kernel says EINVAL. */
	for (int room = CPU_SETSIZE; room <= 1 << 17; room *= 2) {
		const size_t size = CPU_ALLOC_SIZE(room);
		cpu_set_t *all = CPU_ALLOC(room), *half[2] = { CPU_ALLOC(room), CPU_ALLOC(room) };
		bool is_enough = all && half[0] && half[1] && sched_getaffinity(0, size, all) >= 0;

		if (is_enough && CPU_COUNT_S(size, all) >= 2) {
			int n = 0;

			CPU_ZERO_S(size, half[0]);
			CPU_ZERO_S(size, half[1]);
			for (int cpu = 0; cpu < room; cpu++)
				if (CPU_ISSET_S(cpu, size, all))
					CPU_SET_S(cpu, size, half[n++ % 2]);
			for (size_t i = 0; i < ELEMENTSOF(half); i++)
				if (!start_one_standby(g, (unsigned)(i + 1) * LATE_PATIENCE_USEC, half[i],
						       size))
					break;
		}
		CPU_FREE(all);
		CPU_FREE(half[0]);
		CPU_FREE(half[1]);
		if (is_enough || errno != EINVAL)
			return;
	}
}

int guard_start(struct guard *g)
{
	int r;

	g->more = eventfd(0, EFD_CLOEXEC);
	r = g->more < 0 ? negative_errno() : start_thread(make_more, g, NULL, 0);
	for (int i = 0; i < THREADS_FIRST && r >= 0; i++)
		r = spawn(g);
	if (r >= 0)
		start_standby(g);
	return r;
}
