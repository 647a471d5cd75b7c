/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of the devices that were present at boot; see boot-devices.h. */
#include "state/boot-devices.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "state/state-file.h"
#include "state/state-lock.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define LIST_NAME "present"
/* The line that the list has once it is complete. */
#define COMPLETE "complete"

int boot_devices_path(const char *state_dir, char *buf, size_t size)
{
	return path_printf(buf, size, "%s/" LIST_NAME, state_dir);
}

static int compare_inodes(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int boot_devices_read(struct boot_devices *list, const char *state_dir)
{
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX];
	size_t n, lines = 0;

	int r = boot_devices_path(state_dir, path, sizeof(path));

	if (r >= 0)
		r = state_file_read(path, &text);
	/* These say nothing about the list. */
	if (r == -ELOOP || r == -EIO || r == -ENFILE || r == -EMFILE || r == -ENOMEM)
		return r;
	if (r < 0)
		return -ENODATA;
	n = strcspn(text, "\n");
	if (n == 0 || !startswith(text, boot_id()) || n != strlen(boot_id()))
		return -ENODATA;
	for (const char *s = text; *s; s++)
		lines += *s == '\n';
	list->inodes = calloc(lines + 1, sizeof(*list->inodes));
	if (!list->inodes)
		return -ENOMEM;
	for (const char *s = text + n; *s; s += strcspn(s, "\n")) {
		s++;
		if (*s >= '0' && *s <= '9')
			list->inodes[list->n++] = strtoull(s, NULL, 10);
		else if (startswith(s, COMPLETE "\n"))
			list->complete = true;
	}
	qsort(list->inodes, list->n, sizeof(*list->inodes), compare_inodes);
	list->known = true;
	return 0;
}

int boot_devices_load(struct boot_devices *list, const char *state_dir)
{
	if (!list->known)
		list->error = boot_devices_read(list, state_dir);
	return list->error;
}

int boot_devices_find(const struct boot_devices *list, uint64_t inode)
{
	if (!list->known)
		return list->error < 0 ? list->error : -ENODATA;
	/* While the boot is going on, whatever is there was present at it. */
	return !list->complete ||
	       bsearch(&inode, list->inodes, list->n, sizeof(*list->inodes), compare_inodes) != NULL;
}

int boot_devices_has(struct boot_devices *list, const char *state_dir, uint64_t inode)
{
	int r = boot_devices_load(list, state_dir);

	return r < 0 ? r : boot_devices_find(list, inode);
}

void boot_devices_done(struct boot_devices *list)
{
	free(list->inodes);
	*list = (struct boot_devices){};
}

int boot_devices_write(const char *state_dir, const uint64_t *inodes, size_t n, bool complete)
{
	_cleanup_(boot_devices_done) struct boot_devices before = {};
	_cleanup_(freep) char *text = NULL;
	_cleanup_(fclosep) FILE *f = NULL;
	_cleanup_(closep) int lock = state_lock_acquire(state_dir);
	char path[PATH_MAX];
	size_t size;
	int r;

	if (lock < 0)
		return lock;
	r = boot_devices_path(state_dir, path, sizeof(path));
	if (r < 0)
		return r;
	r = boot_devices_load(&before, state_dir);
	if (r < 0 && r != -ENODATA)
		return r;
	if (before.known && (before.complete || !complete))
		return 0;

	f = open_memstream(&text, &size);
	if (!f)
		return -ENOMEM;
	(void)fprintf(f, "%s\n%s", boot_id(), complete ? COMPLETE "\n" : "");
	/* A device that is in both is there twice, which changes nothing. */
	for (size_t i = 0; i < before.n; i++)
		(void)fprintf(f, "%ju\n", (uintmax_t)before.inodes[i]);
	for (size_t i = 0; i < n; i++)
		(void)fprintf(f, "%ju\n", (uintmax_t)inodes[i]);
	r = fclose(TAKE_PTR(f));
	if (r != 0)
		return -ENOMEM;

	r = state_file_replace(state_dir, "", path, text, size, NULL, 0644);
	return r < 0 ? r : 1;
}

int boot_devices_watch(const char *state_dir)
{
	int fd, r = state_dir_make(state_dir, "");

	if (r < 0)
		return r;
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	/* The list is written as a whole and renamed. */
	if (fd >= 0 && inotify_add_watch(fd, state_dir, IN_MOVED_TO | IN_ONLYDIR) < 0) {
		r = negative_errno();
		(void)close(fd);
		return r;
	}
	return fd >= 0 ? fd : negative_errno();
}

bool boot_devices_watch_changed(int fd)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool changed = false;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (char *at = buf; at < buf + n;) {
			const struct inotify_event *e = (const struct inotify_event *)(void *)at;

			changed = changed || (e->mask & IN_Q_OVERFLOW) ||
				  (e->len > 0 && streq(e->name, LIST_NAME));
			at += sizeof(*e) + e->len;
		}
	return changed;
}
