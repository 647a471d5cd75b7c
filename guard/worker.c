/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads that take the kernel's events. Several wait on one socket, so that a device which makes its
 * thread sleep delays no other; one more thread makes further workers when the last idle one is busy.
 */
#include "guard/worker.h"
#include "base/arena.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/text.h"
#include "guard/memory.h"
#include "state/intent.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WORKERS_FIRST 3
#define WORKERS_MAX 64
/* A standby thread that is deciding at the same moment is done after so long; see device-add.c. */
#define WORKER_RECHECK_DELAY_USEC 1000U
/* What devices answer, those of a group as well; a few hundred bytes each. Only a group of dozens needs
 * more. */
#define WORKER_ARENA_BYTES (32U * 1024U)

static void worker_handle_add(struct worker *w, const struct uevent *e)
{
	struct guard *g = w->guard;

	/* A program asked for this event: no probe waits for it, and udev's event handles it. */
	if (e->synthetic)
		atomic_fetch_add(&g->n_synthetic, 1);
	else if (startswith(e->devpath, "/bus/")) {
		atomic_store(&g->buses_changed, true);
		guard_wake_main(g);
	} else if (e->subsystem) {
		worker_add_device(w, e);
		guard_rearm_hold(g);
	}
}

static void worker_handle_event(struct worker *w, const struct uevent *e)
{
	struct guard *g = w->guard;

	switch (e->action) {
	case UEVENT_ADD:
		worker_handle_add(w, e);
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
	case UEVENT_OTHER:
		/* "online" or "offline"; the thread that makes more workers looks which CPUs there are. */
		if (e->subsystem && streq(e->subsystem, "cpu"))
			(void)eventfd_write(g->more_workers, 1);
		break;
	case UEVENT_UNBIND:
	case UEVENT_MOVE:
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
	 * Once it has lost a message, the kernel drops all that follow until the queue has been read to its
	 * end. Until then no device may wait for the guard, and a sweep is worth while only after that.
	 */
	draining = atomic_load(&g->draining);
	if (draining)
		hold_release_all(g->hold);
	atomic_fetch_add(&g->n_idle, 1);
	r = uevent_receive(g->socket, w->message, &e, draining);
	if (atomic_fetch_sub(&g->n_idle, 1) == 1 && r == 1)
		(void)eventfd_write(g->more_workers, 1);
	if (r == 1)
		worker_handle_event(w, &e);
	else if (r == -ENOBUFS)
		atomic_store(&g->draining, true);
	else if (r == -EAGAIN && draining) {
		if (atomic_exchange(&g->draining, false)) {
			/* A device that was added since the release above may have lost its message as well.
			 */
			hold_release_all(g->hold);
			atomic_store(&g->messages_lost, true);
			guard_wake_main(g);
		}
	} else if (r < 0 && r != -EINTR && r != -EAGAIN)
		return r;
	return 0;
}

static void *worker_main(void *userdata)
{
	struct worker *w = userdata;
	int r;

	do
		r = worker_process_event(w);
	while (r == 0);
	log_errno(LOG_ERR, r,
		  "cannot read the kernel's events: %m, ending so that systemd starts another guard");
	_exit(EXIT_FAILURE);
}

struct worker *worker_new(struct guard *g)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w) {
		w->guard = g;
		w->recheck_delay_usec = WORKER_RECHECK_DELAY_USEC;
		sysfs_init(&w->sysfs, g->settings);
		w->sysfs.shuns_locks = true;
		sysfs_prepare(&w->sysfs);
		memory_touch(w->message, sizeof(w->message));
		memory_touch(w->override, sizeof(w->override));
		memory_touch(&w->cache, sizeof(w->cache));
		device_cache_init(&w->cache);
		w->sysfs.cache = &w->cache;
		/* The block stays when the arena is reset, which fills it with zeros: so it is there. */
		(void)arena_alloc(&w->arena, WORKER_ARENA_BYTES);
		arena_reset(&w->arena);
	}
	return w;
}

struct worker *worker_free(struct worker *w)
{
	if (w) {
		sysfs_done(&w->sysfs);
		device_cache_done(&w->cache);
		arena_done(&w->arena);
	}
	free(w);
	return NULL;
}

static int worker_start(struct guard *g)
{
	struct worker *w;
	int r = -EAGAIN;

	if (atomic_fetch_add(&g->n_workers, 1) < WORKERS_MAX) {
		w = worker_new(g);
		r = w ? thread_start(g->hold, worker_main, w, NULL) : -ENOMEM;
		if (r >= 0)
			return 0;
		worker_free(w);
	}
	atomic_fetch_sub(&g->n_workers, 1);
	return r;
}

/* Starting a thread takes time, which a worker that has just received an event does not have. */
static void *worker_factory_main(void *userdata)
{
	struct guard *g = userdata;
	eventfd_t ignored;
	int r;

	for (;;) {
		if (eventfd_read(g->more_workers, &ignored) < 0)
			continue;
		standby_follow_cpus(g);
		if (atomic_load(&g->n_idle) > 0)
			continue;
		r = worker_start(g);
		if (r < 0 && !atomic_exchange(&g->thread_failure_logged, true))
			log_errno(LOG_WARNING, r,
				  "cannot start another thread: %m, a device that hangs may delay the next");
	}
	return NULL;
}

int workers_start(struct guard *g)
{
	int r;

	standby_follow_cpus(g); /* before there are threads, which have this one's CPUs */
	g->more_workers = eventfd(0, EFD_CLOEXEC);
	r = g->more_workers < 0 ? negative_errno() : thread_start(g->hold, worker_factory_main, g, NULL);
	for (int i = 0; i < WORKERS_FIRST && r >= 0; i++)
		r = worker_start(g);
	return r;
}
