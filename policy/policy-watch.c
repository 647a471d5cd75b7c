/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inotify on every directory in which a name is looked up on the way to a policy file: each step of the path
 * of a policy directory, and of what a link there leads to. Whatever is put in the place of one of these
 * names is heard of. See policy-watch.h.
 */
#include "policy/policy-watch.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/policy-in-force.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define DIRECTORY_EVENTS                                                                                     \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_CREATE | IN_DELETE_SELF | \
	 IN_MOVE_SELF | IN_ONLYDIR)

/* So many names may policy depend on. What is beyond that is not watched: the last of very many links. */
#define WATCHED_NAMES_MAX 1024
/* As many links in one path as the kernel follows, which also ends a loop of them. */
#define LINKS_MAX 40

enum watched_kind {
	WATCHED_NAME,	 /* one name, a step of a path */
	WATCHED_POLICY,	 /* the policy files of a directory */
	WATCHED_MODULES, /* what `vfio` means may change when modules are installed */
	WATCHED_NOTES,	 /* whatever is in a directory */
	WATCHED_NOTHING, /* the file at the end of a path: its name is a step */
};

struct watched {
	int wd;
	enum watched_kind kind;
	const char *name; /* with WATCHED_NAME; from the arena */
};

struct watch_list {
	struct watched *v;
	size_t n, allocated;
	struct arena arena;
};

struct policy_watch {
	const struct settings *settings;
	const char *notes; /* a directory of which all is watched; NULL: none */
	int fd;
	struct watch_list list;
};

static void watch_list_done(struct watch_list *list)
{
	free(list->v);
	arena_done(&list->arena);
	*list = (struct watch_list){};
}

static bool watch_list_has(const struct watch_list *list, int wd)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].wd == wd)
			return true;
	return false;
}

/* Whether what is watched of a directory is heard of already. */
static bool watched_includes(const struct watched *at, enum watched_kind kind, const char *name)
{
	if (kind == WATCHED_NAME && at->kind == WATCHED_POLICY)
		return settings_is_policy_name(name);
	return at->kind == kind && (kind != WATCHED_NAME || streq(at->name, name));
}

/* Watches a directory, for the sake of one name in it or all. False: it cannot be, or is none. */
static bool policy_watch_add_directory(struct policy_watch *w, const char *dir, enum watched_kind kind,
				       const char *name)
{
	struct watch_list *list = &w->list;
	/* Adding a watch that is there already changes nothing, and gives the same number. */
	int wd = inotify_add_watch(w->fd, dir, DIRECTORY_EVENTS);

	if (wd < 0)
		return false;
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].wd == wd && watched_includes(&list->v[i], kind, name))
			return true;
	if (kind == WATCHED_NAME)
		name = arena_strdup(&list->arena, name);
	if (list->n == WATCHED_NAMES_MAX || (kind == WATCHED_NAME && !name) ||
	    array_reserve(list->v, list->allocated, list->n) < 0) {
		/* A watch that stands in no list would never be taken off. */
		if (!watch_list_has(list, wd))
			(void)inotify_rm_watch(w->fd, wd);
		return false;
	}
	list->v[list->n++] = (struct watched){ wd, kind, name };
	return true;
}

/* Takes the first name off a path: false when there is none. */
static bool path_take_name(char *path, char name[static NAME_MAX + 1])
{
	const char *start = path + strspn(path, "/");
	size_t n = strcspn(start, "/");

	if (n == 0 || n > NAME_MAX)
		return false;
	memcpy(name, start, n);
	name[n] = '\0';
	memmove(path, start + n, strlen(start + n) + 1);
	return true;
}

/* Goes the way of a path, name by name, `left` being what is left of it, and watches each name on the way. */
static void policy_watch_add_path(struct policy_watch *w, const char *path, enum watched_kind kind)
{
	char at[PATH_MAX], next[PATH_MAX], left[PATH_MAX], target[PATH_MAX], name[NAME_MAX + 1];

	if (path_join(left, sizeof(left), path, NULL) < 0)
		return;
	(void)strcpy(at, *path == '/' ? "/" : "./");
	for (unsigned links = 0; path_take_name(left, name);) {
		int r;

		if (path_join(next, sizeof(next), at, name, NULL) < 0)
			return;
		/* The directory first: what takes the place of the name from here on is heard of. */
		if (!streq(name, ".") && !streq(name, "..") &&
		    !policy_watch_add_directory(w, at, WATCHED_NAME, name))
			return;
		r = read_link(next, target, sizeof(target));
		if (r == -EINVAL) { /* no link */
			if (path_join(at, sizeof(at), next, "/", NULL) < 0)
				return;
			continue;
		}
		if (r < 0 || ++links > LINKS_MAX ||
		    path_join(next, sizeof(next), target, "/", left, NULL) < 0)
			return;
		text_copy(left, sizeof(left), next);
		if (*target == '/')
			(void)strcpy(at, "/");
	}
	if (kind != WATCHED_NOTHING)
		(void)policy_watch_add_directory(w, at, kind, NULL);
}

/* What the links among the policy files of a directory lead to. */
static void policy_watch_add_links(struct policy_watch *w, const char *dir)
{
	_cleanup_(dir_close) struct dir_reader reader = { .fd = -EBADF };
	char path[PATH_MAX], target[PATH_MAX];
	const char *name;

	if (dir_open(&reader, dir) < 0)
		return;
	while ((name = dir_next(&reader)))
		/* A mask is complete in itself, and /dev is no quiet folder. */
		if (settings_is_policy_name(name) &&
		    path_join(path, sizeof(path), dir, "/", name, NULL) >= 0 &&
		    read_link(path, target, sizeof(target)) >= 0 && !streq(target, "/dev/null"))
			policy_watch_add_path(w, path, WATCHED_NOTHING);
}

/* Takes the watches off that only the old list has. */
static void policy_watch_remove_others(struct policy_watch *w, const struct watch_list *old)
{
	for (size_t i = 0; i < old->n; i++)
		/* Those of one directory stand for one watch. That it has gone already is no matter. */
		if (!watch_list_has(&w->list, old->v[i].wd))
			(void)inotify_rm_watch(w->fd, old->v[i].wd);
}

/* Follows all paths anew. What stays is watched throughout, so nothing is missed meanwhile. */
static void policy_watch_add_all(struct policy_watch *w)
{
	struct watch_list old = w->list;
	char modules[PATH_MAX], failed[PATH_MAX];

	w->list = (struct watch_list){};
	for (size_t i = 0; i < w->settings->n_conf_dirs; i++)
		policy_watch_add_path(w, w->settings->conf_dirs[i], WATCHED_POLICY);
	if (w->settings->state_dir &&
	    path_join(failed, sizeof(failed), w->settings->state_dir, "/" FAILED_POLICY, NULL) >= 0)
		policy_watch_add_path(w, failed, WATCHED_NOTHING);
	if (vfio_aliases_dir(w->settings->sysfs, modules, sizeof(modules)) >= 0)
		policy_watch_add_path(w, modules, WATCHED_MODULES);
	if (w->notes)
		policy_watch_add_path(w, w->notes, WATCHED_NOTES);
	/* Last, so that many links cannot take the place of a directory. */
	for (size_t i = 0; i < w->settings->n_conf_dirs; i++)
		policy_watch_add_links(w, w->settings->conf_dirs[i]);
	policy_watch_remove_others(w, &old);
	watch_list_done(&old);
}

int policy_watch_new(const struct settings *settings, struct policy_watch **ret)
{
	struct policy_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->settings = settings;
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->fd < 0) {
		int r = negative_errno();

		free(w);
		return r;
	}
	policy_watch_add_all(w);
	*ret = w;
	return 0;
}

void policy_watch_add_notes(struct policy_watch *w, const char *dir)
{
	w->notes = dir;
	policy_watch_add_all(w);
}

struct policy_watch *policy_watch_free(struct policy_watch *w)
{
	if (w) {
		(void)close(w->fd);
		watch_list_done(&w->list);
		free(w);
	}
	return NULL;
}

int policy_watch_fd(const struct policy_watch *w)
{
	return w->fd;
}

static bool event_concerns_policy(const struct policy_watch *w, const struct inotify_event *e)
{
	const char *name = e->len > 0 ? e->name : "";

	if (e->mask & IN_Q_OVERFLOW)
		return true;
	for (size_t i = 0; i < w->list.n; i++) {
		const struct watched *at = &w->list.v[i];

		if (at->wd != e->wd)
			continue;
		/* An event without a name is about the directory itself: it has gone, or its mode has
		 * changed. */
		if (*name == '\0')
			return true;
		switch (at->kind) {
		case WATCHED_NAME:
			if (streq(name, at->name))
				return true;
			break;
		case WATCHED_POLICY:
			if (settings_is_policy_name(name))
				return true;
			break;
		case WATCHED_MODULES:
			if (vfio_aliases_are_in(name))
				return true;
			break;
		case WATCHED_NOTES:
			return true;
		case WATCHED_NOTHING:
			break;
		}
	}
	return false;
}

bool policy_watch_take_events(struct policy_watch *w)
{
	char buf[8192] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool changed = false;
	ssize_t n;

	while ((n = read(w->fd, buf, sizeof(buf))) > 0)
		for (char *at = buf; at < buf + n;) {
			const struct inotify_event *e = (const struct inotify_event *)(void *)at;

			changed = changed || event_concerns_policy(w, e);
			at += sizeof(*e) + e->len;
		}
	return changed;
}

/* Any change may be one of what links lead to. The caller reads after this: watched first, then read. */
void policy_watch_follow(struct policy_watch *w)
{
	policy_watch_add_all(w);
}

bool policy_watch_changed(struct policy_watch *w)
{
	if (!policy_watch_take_events(w))
		return false;
	policy_watch_follow(w);
	return true;
}
