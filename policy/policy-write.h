/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a policy file is written by a program of ours. */
#pragma once

#include "base/file.h"
#include "base/macro.h"

/* Policy files end in .conf and do not begin with a dot, so nobody reads a temporary file as policy. */
#define POLICY_TEMPORARY_PREFIX ".set-"

/* Its content under a temporary name; its folder is made. 0 or negative errno. */
_must_check_ int policy_file_draft(const char *path, const char *text, struct file_draft *ret);

/*
 * Writes a file, or removes it if text is NULL; its folder is made. It is there whole or not at all, and a
 * crash does not undo it. 0 or negative errno.
 */
_must_check_ int policy_file_write(const char *path, const char *text);
