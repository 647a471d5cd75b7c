/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loads modules; see module.h. */
#include "module.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static int find_program(const struct sysfs *sysfs, char *buf, size_t size)
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

/* fork() and no more: this process is a child already, which its parent may leave behind with all of this. */
static int run(char *const *argv)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return negative_errno();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)execv(argv[0], argv);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return negative_errno();
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ENOENT;
}

int module_load(struct sysfs_device *d, enum module_by by, const char *name, bool dry_run)
{
	char program[PATH_MAX], options[8] = "-q", copy[PATH_MAX];
	char end[] = "--", *argv[] = { program, options, end, copy, NULL };
	int r = find_program(d->sysfs, program, sizeof(program));

	if (r < 0)
		return r;
	if (by == MODULE_BY_ALIAS)
		(void)strcat(options, "b");
	if (dry_run)
		(void)strcat(options, "n");
	text_copy(copy, sizeof(copy), name);
	sysfs_progress(d, "loading the module", "of the driver");
	return run(argv);
}
