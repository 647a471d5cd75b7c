/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was seen of the first probe of a device that has no record any more: STATE_DIR/first-probes/BUS:NAME,
 * one line "BOOT_ID INODE WORD". A device is probed first only once, so this outlives a rule that is taken
 * out and put back. The caller holds the lock of the state directory.
 */
#pragma once

#include "base/macro.h"
#include "state/record-file.h"

/* 0 or negative errno. */
_must_check_ int first_probe_keep(const char *state_dir, const struct record_key *key,
				  enum first_probe claim);

/* What is kept of this very device; FIRST_PROBE_UNSEEN: nothing. */
enum first_probe first_probe_kept(const char *state_dir, const struct record_key *key);

/* A record has it again. */
void first_probe_forget(const char *state_dir, const struct record_key *key);
