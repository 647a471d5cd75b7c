/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* --machine FILE: a verb that runs on the trees of snapshots in the place of this machine's. */
#pragma once

#include "base/macro.h"
#include "cli/command-line.h"

#include <stddef.h>

/*
 * Unpacks the snapshots of cli->machines into a folder that only this user can read, and has a process of its
 * own run the verb there; the folder is removed when that ends, however it does. The exit status; or -1 in
 * that process, where cli->settings are those of the first machine.
 */
int machines_enter(struct cli *cli);

/* Where the tree of a machine is, once they are entered. */
struct machine_tree {
	char sysfs[64], state_dir[64];
};
void machine_settings(const struct cli *cli, size_t i, struct machine_tree *tree, struct settings *ret);
