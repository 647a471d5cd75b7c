/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The error contract of this project.
 *
 * - A function that can fail returns a negative errno; 0, or a positive value that its comment explains, is
 *   success. A constructor without a choice of reasons may return NULL for "out of memory".
 * - `ret_…` is set on success only, and is untouched on failure. What is set on failure, the reason in
 *   words for example, is called `reterr_…`. A pointer behind either may be NULL where the comment says so.
 * - A function logs a failure or returns it, never both: a returned error is logged by the caller that
 *   decides what follows from it, with log_errno(), and only once. A function that logs and goes on returns
 *   void, or what it goes on with.
 * - A bool that means "go on" and leaves its reason elsewhere belongs to a function named `…_or_refuse`.
 * - What a child process came to is a struct child_result (base/child.h), never an errno whose sign has a
 *   meaning.
 * - assert() is for what only a bug of ours can get wrong, never for what a file, the kernel or a caller from
 *   outside can say.
 * - int functions of base/, policy/ and state/ whose failure the caller must handle are `_must_check_`. Where
 *   a failure does not matter after all, ignore_error() says so, and a comment beside it why.
 */
#pragma once

#include <errno.h>

/* errno as a result; negative for certain, which also spares a static analyser its doubts. */
static inline int negative_errno(void)
{
	int r = -errno;

	return r < 0 ? r : -EIO;
}

/* For the result of a `_must_check_` function; gcc is not content with a mere (void). */
static inline void ignore_error(int r)
{
	(void)r;
}
