/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inotify on the policy directories, and on their parents for those that are not there yet; see
 * policy-watch.h. */
#include "policy/policy-watch.h"
#include "base/errno.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define IN_DIRECTORY                                                                                         \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_CREATE | IN_DELETE_SELF | \
	 IN_MOVE_SELF | IN_ONLYDIR | IN_MASK_ADD)

struct policy_watch {
	const struct settings *settings;
	int fd;
	struct {
		int dir, parent;  /* watch descriptors; -1: not there */
		const char *name; /* of the directory in its parent */
	} at[CONF_DIRS_MAX];
	int modules; /* what `vfio` means may change when modules are installed */
};

/* Adding a watch that is there already changes nothing. */
static void policy_watch_add_all(struct policy_watch *w)
{
	char modules[PATH_MAX];

	for (size_t i = 0; i < w->settings->n_conf_dirs; i++) {
		const char *dir = w->settings->conf_dirs[i];
		const char *slash = strrchr(dir, '/');
		char parent[PATH_MAX] = ".";

		if (slash && path_printf(parent, sizeof(parent), "%.*s", (int)(slash - dir + 1), dir) < 0)
			continue;
		w->at[i].name = slash ? slash + 1 : dir;
		/* The parent first: a directory that is made in between is seen by it. */
		w->at[i].parent = inotify_add_watch(
			w->fd, parent, IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR | IN_MASK_ADD);
		w->at[i].dir = inotify_add_watch(w->fd, dir, IN_DIRECTORY);
	}
	w->modules = vfio_aliases_dir(w->settings->sysfs, modules, sizeof(modules)) < 0
			     ? -1
			     : inotify_add_watch(w->fd, modules,
						 IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR | IN_MASK_ADD);
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

struct policy_watch *policy_watch_free(struct policy_watch *w)
{
	if (w) {
		(void)close(w->fd);
		free(w);
	}
	return NULL;
}

int policy_watch_fd(const struct policy_watch *w)
{
	return w->fd;
}

static bool name_is_policy_file(const char *name)
{
	const size_t n = strlen(name);

	return n > strlen(".conf") && streq(name + n - strlen(".conf"), ".conf");
}

/* Whether an event concerns the policy; *ret_rewatch: a directory has come or gone. */
static bool event_concerns_policy(const struct policy_watch *w, const struct inotify_event *e,
				  bool *ret_rewatch)
{
	const char *name = e->len > 0 ? e->name : "";

	if (e->mask & IN_Q_OVERFLOW) {
		*ret_rewatch = true;
		return true;
	}
	if (e->wd == w->modules && vfio_aliases_are_in(name))
		return true;
	for (size_t i = 0; i < w->settings->n_conf_dirs; i++) {
		if (e->wd == w->at[i].dir) {
			/* An event without a name is about the directory itself. */
			if (*name == '\0')
				*ret_rewatch = true;
			if (*name == '\0' || name_is_policy_file(name))
				return true;
		}
		if (e->wd == w->at[i].parent && streq(name, w->at[i].name)) {
			*ret_rewatch = true;
			return true;
		}
	}
	return false;
}

bool policy_watch_changed(struct policy_watch *w)
{
	char buf[8192] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool changed = false, rewatch = false;
	ssize_t n;

	while ((n = read(w->fd, buf, sizeof(buf))) > 0)
		for (char *at = buf; at < buf + n;) {
			const struct inotify_event *e = (const struct inotify_event *)(void *)at;

			changed = event_concerns_policy(w, e, &rewatch) || changed;
			at += sizeof(*e) + e->len;
		}
	if (rewatch)
		policy_watch_add_all(w);
	return changed;
}
