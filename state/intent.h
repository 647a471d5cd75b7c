/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Overrides that the guard is about to write, or has written and not yet recorded. The kernel waits for it,
 * so there is no time for a record before the write; a store into memory that outlives the process is there:
 * STATE_DIR/writing, a file on a tmpfs that the guard has mapped. A program that finds an override
 * which no record explains looks here whether it is ours after all.
 */
#pragma once

#include "base/macro.h"

#include <stdbool.h>
#include <stddef.h>

struct intents;
struct intent;

/* Maps the file for writing; what others have left there stays. 0 or negative errno. */
_must_check_ int intents_open(const char *state_dir, struct intents **ret);

/* Forgets what processes before this one have left: everything has been looked at by now. */
void intents_forget_others(struct intents *intents);

/*
 * Says that `value` is being written as the override of a device. NULL when there is no room, or intents is
 * NULL; then nothing is said. Does not allocate, and calls nothing. From any thread.
 */
struct intent *intent_begin(struct intents *intents, const char *bus, const char *name, const char *value);

/*
 * Whether another thread of this process has begun an intent for the same device and has not ended it. When
 * two threads begin before they ask, at least one of them hears of the other. Costs nothing while there is no
 * other intent at all.
 */
bool intent_is_shared(struct intents *intents, const struct intent *own);

/* It is recorded, or was not written. NULL is fine. */
void intent_end(struct intent *intent);

/* It was written, and there is no other record of that: it stands until intents_forget(). NULL is fine. */
void intent_keep(struct intent *intent);

/* The device has gone, and with it the override that an intent was kept for. */
void intents_forget(struct intents *intents, const char *bus, const char *name);

/* Whether this very override of the device was written by us and not recorded. */
bool intent_is_pending(const char *state_dir, const char *bus, const char *name, const char *value);
