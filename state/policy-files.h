/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All files of a policy, kept together in one folder, from which it can be read as from a policy directory.
 */
#pragma once

#include "base/file.h"
#include "base/macro.h"
#include "policy/policy.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Makes a folder that has the files whose rules are in force, and no others; its parent must exist. A file
 * with errors is left out. durable: on the disk when this returns. 0 or negative errno; then some may be
 * missing.
 */
_must_check_ int policy_files_write(const struct policy *policy, const char *dir, bool durable);

/* The same with the policy files of another folder; "" has none. */
_must_check_ int policy_files_copy(const char *from, const char *to, bool durable);

/*
 * One file of such a folder, at once and whole; and one that is copied from another folder. Their times say
 * that they are complete. 0 or negative errno.
 */
_must_check_ int policy_folder_add(const char *dir, const char *name, const char *text, size_t size,
				   bool durable);
_must_check_ int policy_file_copy(const struct dir_reader *from, const char *name, const char *to,
				  bool durable);

/* Removes a folder with its files. */
void policy_folder_remove(const char *dir);

/* Removes the folders in `dir` that have another name than this one, with their files. */
void policy_folders_remove_others(const char *dir, const char *name);
