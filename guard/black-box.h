/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The black box: where the guard's threads were when a hold was about to reach its limit. The first hold that
 * does is explained in the journal, once in the guard's life. All but black_box_want() are for the main
 * thread.
 */
#pragma once

struct guard;

/* A hold has lasted so long that it may reach its limit: the main thread is to look. From any thread. */
void black_box_want(struct guard *g);

/* Looks at the threads, if that is wanted. */
void black_box_follow(struct guard *g);

/* A hold has reached its limit. */
void black_box_log(struct guard *g);
