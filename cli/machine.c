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

static int machine_unpack_or_fail(const struct cli *cli, size_t i)
{
	char folder[64], why[256] = "";
	size_t line = 0;
	int r = path_printf(folder, sizeof(folder), "%s/%zu", machine_folder, i);

	if (r >= 0 && mkdir(folder, 0700) < 0)
		r = negative_errno();
	if (r < 0)
		return cli_fail("%s: %s", machine_folder, strerror(-r));
	r = snapshot_unpack(cli->machines[i], folder, &line, why);
	if (r < 0 && line > 0)
		return cli_fail("%s: line %zu: %s; nothing of it is used", cli->machines[i], line, why);
	if (r < 0)
		return cli_fail("%s: %s", cli->machines[i], why);
	return STATUS_DONE;
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
	int status = STATUS_DONE;
	pid_t pid;

	text_copy(machine_folder, sizeof(machine_folder), "/tmp/driver-overrides-XXXXXX");
	if (!mkdtemp(machine_folder))
		return cli_fail("making a folder in /tmp: %s", strerror(errno));
	for (size_t i = 0; i < ELEMENTSOF(ends); i++)
		before[i] = signal(ends[i], SIG_IGN);
	for (size_t i = 0; status == STATUS_DONE && i < cli->n_machines; i++)
		status = machine_unpack_or_fail(cli, i);
	pid = status == STATUS_DONE ? fork() : -1;
	if (pid == 0) {
		for (size_t i = 0; i < ELEMENTSOF(ends); i++)
			(void)signal(ends[i], before[i]);
		machine_settings(cli, 0, &first_tree, &cli->settings);
		return -1;
	}
	if (pid > 0)
		status = machine_wait(pid);
	else if (status == STATUS_DONE)
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
