/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of the boot's first sweep; see boot-devices.h. */
#include "state/boot-devices.h"
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

int boot_devices_path(const char *state_dir, char *buf, size_t size)
{
	return path_printf(buf, size, "%s/present", state_dir);
}

static int compare_inodes(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int boot_devices_load(struct boot_devices *list, const char *state_dir)
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
	}
	qsort(list->inodes, list->n, sizeof(*list->inodes), compare_inodes);
	list->known = true;
	return 0;
}

int boot_devices_has(struct boot_devices *list, const char *state_dir, uint64_t inode)
{
	int r = list->known ? 0 : boot_devices_load(list, state_dir);

	if (r < 0)
		return r;
	return bsearch(&inode, list->inodes, list->n, sizeof(*list->inodes), compare_inodes) != NULL;
}

void boot_devices_done(struct boot_devices *list)
{
	free(list->inodes);
	*list = (struct boot_devices){};
}

int boot_devices_write(const char *state_dir, const uint64_t *inodes, size_t n)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(fclosep) FILE *f = NULL;
	_cleanup_(closep) int lock = state_lock_acquire(state_dir);
	struct boot_devices list = {};
	char path[PATH_MAX];
	size_t size;
	int r;

	if (lock < 0)
		return lock;
	r = boot_devices_path(state_dir, path, sizeof(path));
	if (r < 0)
		return r;
	r = boot_devices_has(&list, state_dir, 0);
	boot_devices_done(&list);
	if (r != -ENODATA)
		return r < 0 ? r : 0;

	f = open_memstream(&text, &size);
	if (!f)
		return -ENOMEM;
	(void)fprintf(f, "%s\n", boot_id());
	for (size_t i = 0; i < n; i++)
		(void)fprintf(f, "%ju\n", (uintmax_t)inodes[i]);
	r = fclose(TAKE_PTR(f));
	if (r != 0)
		return -ENOMEM;

	r = state_file_replace(state_dir, "", path, text, size, NULL, 0644);
	return r < 0 ? r : 1;
}
