/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Trees of snapshots for verbs; see machine.h. */
#include "cli/machine.h"
#include "base/errno.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/snapshot-unpack.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REMOVE_DESCRIPTORS = 16 };

/* What the verb sees; the process that unpacks and removes has the same. */
static char machine_folder[48];
static struct machine_tree first_tree;

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	(void)remove(path);
	return 0;
}

static void machine_folder_remove(void)
{
	(void)nftw(machine_folder, entry_remove, REMOVE_DESCRIPTORS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int machine_unpack(const struct cli *cli, size_t i, size_t *reterr_line, char reterr_text[static 256])
{
	char folder[64];
	int r = path_printf(folder, sizeof(folder), "%s/%zu", machine_folder, i);

	*reterr_line = 0;
	if (r >= 0 && mkdir(folder, 0700) < 0)
		r = negative_errno();
	if (r < 0) {
		(void)snprintf(reterr_text, 256, "%s: %s", machine_folder, strerror(-r));
		return r;
	}
	return snapshot_unpack(cli->machines[i], folder, reterr_line, reterr_text);
}

/*
 * All of them, into a folder in memory, which takes a hundredth of the time that a disk may take for so many
 * small files; where that has no room, as in a container, into one in /tmp.
 */
static int machines_unpack_or_fail(const struct cli *cli)
{
	static const char *const places[] = { "/dev/shm", "/tmp" };
	char why[256] = "";
	size_t line = 0, i = 0;
	int r = -ENOENT;

	for (size_t place = 0; r < 0 && place < ELEMENTSOF(places); place++) {
		(void)snprintf(machine_folder, sizeof(machine_folder), "%s/driver-overrides-XXXXXX",
			       places[place]);
		if (!mkdtemp(machine_folder)) {
			(void)snprintf(why, sizeof(why), "making a folder in %s: %s", places[place],
				       strerror(errno));
			continue;
		}
		for (i = 0, r = 0; r >= 0 && i < cli->n_machines; i++)
			r = machine_unpack(cli, i, &line, why);
		if (r >= 0)
			return STATUS_DONE;
		machine_folder_remove();
		if (r != -ENOSPC && r != -EDQUOT)
			break;
	}
	if (i == 0)
		return cli_fail("%s", why);
	if (line > 0)
		return cli_fail("%s: line %zu: %s; nothing of it is used", cli->machines[i - 1], line, why);
	return cli_fail("%s: %s", cli->machines[i - 1], why);
}

/* The process that removes the folder outlives an interrupt, which is meant for the verb. */
static int machine_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return STATUS_FAILED;
	return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_FAILED;
}

int machines_enter(struct cli *cli)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
	void (*before[ELEMENTSOF(ends)])(int);
	int status;
	pid_t pid;

	for (size_t i = 0; i < ELEMENTSOF(ends); i++)
		before[i] = signal(ends[i], SIG_IGN);
	status = machines_unpack_or_fail(cli);
	if (status != STATUS_DONE)
		return status;
	pid = fork();
	if (pid == 0) {
		for (size_t i = 0; i < ELEMENTSOF(ends); i++)
			(void)signal(ends[i], before[i]);
		machine_settings(cli, 0, &first_tree, &cli->settings);
		return -1;
	}
	if (pid > 0)
		status = machine_wait(pid);
	else
		status = cli_fail("%s", strerror(errno));
	machine_folder_remove();
	return status;
}

void machine_settings(const struct cli *cli, size_t i, struct machine_tree *tree, struct settings *ret)
{
	*ret = cli->settings;
	(void)snprintf(tree->sysfs, sizeof(tree->sysfs), "%s/%zu/sys", machine_folder, i);
	(void)snprintf(tree->state_dir, sizeof(tree->state_dir), "%s/%zu/state", machine_folder, i);
	ret->sysfs = tree->sysfs;
	ret->state_dir = tree->state_dir;
	ret->sysfs_given = true;
}
