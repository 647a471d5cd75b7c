/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel command line: how its words are told apart, and what a parameter is set to. */
#pragma once

#include "base/macro.h"

/*
 * All of a file such as /proc/cmdline; *ret is malloc()ed. 0 or negative errno.
 */
_must_check_ int kernel_command_line_read(const char *path, char **ret);

/*
 * The next word, without its quotation marks, which keep blanks together; it is written over the text at *at,
 * which is moved on. NULL: there are no more; what follows "--" is for init.
 */
char *kernel_command_line_next(char **at);

/* The value if the word sets this parameter, else NULL. '-' and '_' are the same in a parameter's name, as
 * they are to the kernel (parameq() in kernel/params.c). */
const char *kernel_parameter_value(const char *word, const char *parameter);
