/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loads modules; see module.h. */
#include "enforce/module.h"
#include "base/child.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int modprobe_find(const struct sysfs *sysfs, char *buf, size_t size)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX];
	ssize_t n;

	if (path_join(path, sizeof(path), sysfs->root, "/../proc/sys/kernel/modprobe", NULL) < 0)
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return negative_errno();
	n = read(fd, buf, size - 1);
	if (n < 0)
		return negative_errno();
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return buf[0] == '/' ? 0 : -ENOENT; /* empty: module loading is turned off */
}

static int module_run_program(const char *const *argv, int complaints)
{
	const struct child_program program = {
		.argv = argv, .out = -1, .err = complaints, .dies_with_parent = true
	};
	struct child child;
	int r = child_start_program(&child, &program);

	if (r < 0)
		return r;
	return child_wait(&child, UINT64_MAX).how == CHILD_OK ? 0 : -ENOENT;
}

/* The program's last line, for example "modprobe: ERROR: could not insert 'x': Key was rejected …". */
static void modprobe_take_message(int fd, char reterr_reason[MODULE_WHY_MAX])
{
	char text[4096], *line, *level;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	for (n = n > 0 ? n : 0; n > 0 && text[n - 1] == '\n'; n--)
		text[n - 1] = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	level = strstr(line, "FATAL: ");
	if (!level)
		level = strstr(line, "ERROR: ");
	if (*line)
		text_copy(reterr_reason, MODULE_WHY_MAX, level ? level + strlen("ERROR: ") : line);
}

int module_load(struct sysfs_device *d, enum module_by by, const char *name, bool dry_run,
		char reterr_reason[MODULE_WHY_MAX])
{
	/* A file, since a full pipe would have to be read while the program runs. */
	_cleanup_(closep) int complaints = reterr_reason ? memfd_create("modprobe", MFD_CLOEXEC) : -EBADF;
	char program[PATH_MAX], options[8] = "-", copy[PATH_MAX];
	const char *argv[5] = { program };
	size_t n = 1;
	int r = modprobe_find(d->sysfs, program, sizeof(program));

	if (r < 0) {
		if (reterr_reason)
			(void)snprintf(reterr_reason, MODULE_WHY_MAX, "%s",
				       r == -ENOENT ? "module loading is turned off in the kernel"
						    : strerror(-r));
		return r;
	}
	/* Without -q modprobe says why it fails. */
	(void)strcat(options, complaints < 0 ? "q" : "");
	if (by == MODULE_BY_ALIAS)
		(void)strcat(options, "b");
	(void)strcat(options, dry_run ? "n" : "");
	if (options[1])
		argv[n++] = options;
	argv[n++] = "--";
	argv[n] = copy;
	text_copy(copy, sizeof(copy), name);
	sysfs_progress(d, "loading the module", "of the driver");
	r = module_run_program(argv, complaints);
	if (r < 0 && reterr_reason) {
		(void)snprintf(reterr_reason, MODULE_WHY_MAX, "%.200s did not load it", program);
		if (complaints >= 0)
			modprobe_take_message(complaints, reterr_reason);
	}
	return r;
}
