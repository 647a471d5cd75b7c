/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hears when policy files change, which policy has failed, and the modules' aliases, by which `vfio` finds
 * its driver; for programs that stay: one descriptor to poll, and whether what happened there concerns the
 * policy. Directories of policy may come and go. Both they and files in them may be symbolic links: what
 * these lead to is watched, too, and each link on the way, so that it is heard of when one of them leads
 * elsewhere.
 */
#pragma once

#include "base/macro.h"
#include "policy/settings.h"

#include <stdbool.h>

struct policy_watch;

/* Watches the directories of the settings, which must outlive it. 0 or negative errno. */
_must_check_ int policy_watch_new(const struct settings *settings, struct policy_watch **ret);

/* Also hears of whatever happens in another directory, which may come later; dir is borrowed. */
void policy_watch_add_notes(struct policy_watch *w, const char *dir);

struct policy_watch *policy_watch_free(struct policy_watch *w);

/* Becomes readable when something has happened. */
_must_check_ int policy_watch_fd(const struct policy_watch *w);

/*
 * Takes in what has happened, without waiting. True: policy files may have changed; what is read after this
 * call is newer than the change.
 */
bool policy_watch_changed(struct policy_watch *w);

/*
 * The same in two steps, for a caller that has no time now and reads later. The first only takes in what has
 * happened; the second goes the ways of all paths anew, and comes before the reading.
 */
bool policy_watch_take_events(struct policy_watch *w);
void policy_watch_follow(struct policy_watch *w);
