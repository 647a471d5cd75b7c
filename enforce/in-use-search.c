/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One search through all processes for several devices; see in-use-search.h. */
#include "enforce/in-use-search.h"
#include "base/errno.h"
#include "base/path.h"
#include "base/text.h"
#include "base/time.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define MAX_AGE_USEC 1000000U
/* A search takes milliseconds. If it takes so long, another child searches by itself. */
#define LOCK_SECONDS 1
/* How often one who asks searches while the node is opened and closed all the time. */
#define TURNS_MAX 3

static bool search_init(struct in_use_search *s)
{
	pthread_mutexattr_t attributes;
	bool done;

	s->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->inotify < 0)
		return false;
	if (pthread_mutexattr_init(&attributes) != 0)
		return false;
	/* A child that is killed leaves the lock to the next one. */
	done = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0 &&
	       pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0 &&
	       pthread_mutex_init(&s->lock, &attributes) == 0;
	(void)pthread_mutexattr_destroy(&attributes);
	return done;
}

struct in_use_search *in_use_search_new(const char *root)
{
	struct in_use_search *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		return NULL;
	s->root = root;
	s->max_age_usec = MAX_AGE_USEC;
	return search_init(s) ? s : in_use_search_free(s);
}

struct in_use_search *in_use_search_free(struct in_use_search *s)
{
	if (!s)
		return NULL;
	if (s->inotify >= 0)
		(void)close(s->inotify);
	(void)munmap(s, sizeof(*s));
	return NULL;
}

static bool search_lock(struct in_use_search *s)
{
	struct timespec until;
	int r;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LOCK_SECONDS;
	r = pthread_mutex_timedlock(&s->lock, &until);
	if (r == EOWNERDEAD) {
		/* It was killed in the midst of it, and may have read an event that it has not noted. */
		s->since = 0;
		r = pthread_mutex_consistent(&s->lock);
	}
	return r == 0;
}

static void search_take_event(struct in_use_search *s, const struct inotify_event *event)
{
	if (event->mask & IN_Q_OVERFLOW)
		s->since = 0;
	for (size_t i = 0; i < s->n; i++) {
		if (s->watches[i].watch != event->wd)
			continue;
		s->watches[i].changed = true;
		if (event->mask & IN_IGNORED) /* the node has gone */
			s->watches[i].watch = -1;
	}
}

static void search_take_events(struct in_use_search *s)
{
	_Alignas(struct inotify_event) char buf[4096];
	ssize_t n;

	while ((n = read(s->inotify, buf, sizeof(buf))) > 0)
		for (const char *at = buf; at < buf + n;) {
			const struct inotify_event *event = (const void *)at;

			search_take_event(s, event);
			at += sizeof(*event) + event->len;
		}
	if (n < 0 && errno != EAGAIN)
		s->since = 0;
}

static bool nodes_are_equal(const struct node *a, const struct node *b)
{
	return a->type == b->type && a->major == b->major && a->minor == b->minor &&
	       a->needs_login == b->needs_login;
}

/* The node below /dev, if it is that device. -1: nothing is watched. */
static int search_watch_node(const struct in_use_search *s, const struct node *node)
{
	char path[PATH_MAX];
	struct stat st;
	int watch;

	if (!node->name || path_join(path, sizeof(path), s->root, "/../dev/", node->name, NULL) < 0)
		return -1;
	watch = inotify_add_watch(s->inotify, path, IN_OPEN | IN_CLOSE);
	/* Asked after that, so that what is watched is what was asked about, or has gone. */
	if (watch >= 0 && stat(path, &st) >= 0 && (st.st_mode & S_IFMT) == node->type &&
	    major(st.st_rdev) == node->major && minor(st.st_rdev) == node->minor)
		return watch;
	return -1;
}

int in_use_search_add(struct in_use_search *s, const struct node *node)
{
	size_t i = 0;

	while (i < s->n && !nodes_are_equal(&s->nodes[i], node))
		i++;
	if (i == IN_USE_SEARCH_NODES_MAX)
		return -ENOSPC;
	if (i == s->n) {
		s->nodes[i] = *node;
		s->watches[i] = (struct in_use_search_node){ search_watch_node(s, node), true };
		s->nodes[i].name = NULL; /* which only this process has */
		s->n++;
	}
	return (int)i;
}

static void search_run(struct in_use_search *s)
{
	uint64_t now = now_usec();

	for (size_t i = 0; i < s->n; i++)
		s->watches[i].changed = false;
	s->since = 0; /* a child that is killed here has completed nothing */
	fd_users_find_openers(s->root, s->nodes, s->n, s->users);
	s->since = now;
	s->n_searches++;
}

/* places: of u's nodes. */
static bool search_serves(const struct in_use_search *s, const int *places, size_t n)
{
	if (s->since == 0 || now_usec() - s->since > s->max_age_usec)
		return false;
	for (size_t i = 0; i < n; i++)
		if (s->watches[places[i]].changed)
			return false;
	return true;
}

static bool search_can_watch(const struct in_use_search *s, const int *places, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s->watches[places[i]].watch < 0)
			return false;
	return true;
}

/* With the lock. 1: open; 0: not; or negative errno. */
static int search_find_locked(struct in_use_search *s, const struct node *nodes, size_t n, int *places,
			      char *buf, size_t *ret_i)
{
	if (s->add_expected)
		s->add_expected(s);
	s->add_expected = NULL;
	for (size_t i = 0; i < n; i++) {
		places[i] = in_use_search_add(s, &nodes[i]);
		if (places[i] < 0)
			return places[i];
	}
	search_take_events(s);
	if (!search_can_watch(s, places, n))
		s->since = 0;
	for (int turn = 0; turn < TURNS_MAX && !search_serves(s, places, n); turn++) {
		search_run(s);
		search_take_events(s);
	}
	for (size_t i = 0; i < n; i++)
		if (s->users[places[i]][0]) {
			text_copy(buf, FD_USER_MAX, s->users[places[i]]);
			*ret_i = i;
			return 1;
		}
	return 0;
}

/* For these nodes alone. 1: open; 0: not; or -ENOMEM. */
static int search_alone(const char *root, const struct node *nodes, size_t n, char *buf, size_t *ret_i)
{
	char(*users)[FD_USER_MAX] = calloc(n, sizeof(*users));
	size_t i = 0;

	if (!users)
		return -ENOMEM;
	fd_users_find_openers(root, nodes, n, users);
	while (i < n && !users[i][0])
		i++;
	if (i < n) {
		text_copy(buf, FD_USER_MAX, users[i]);
		*ret_i = i;
	}
	free(users);
	return i < n;
}

int in_use_search_find(struct in_use_search *s, const char *root, const struct node *nodes, size_t n,
		       char buf[static FD_USER_MAX], size_t *ret_i)
{
	int *places, r = -EAGAIN;

	if (n == 0)
		return 0;
	places = s ? calloc(n, sizeof(*places)) : NULL;
	if (places && search_lock(s)) {
		r = search_find_locked(s, nodes, n, places, buf, ret_i);
		(void)pthread_mutex_unlock(&s->lock);
	}
	free(places);
	return r >= 0 ? r : search_alone(root, nodes, n, buf, ret_i);
}
