/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said of a boot that runs with another policy than that of the policy directories. */
#pragma once

#include "policy/policy-in-force.h"
#include "policy/settings.h"

#include <stdbool.h>

/* A line for the log, and for whoever looks at the console. */
void boot_tell(const struct settings *settings, const char *format, ...) _printf_(2, 3);

/* Counts the boot, and tells where the last good policy is in force. may_fail: another try will be made, so
 * that it could not be counted is nothing that a person needs to know. */
void boot_begin_or_log(const struct settings *settings, bool may_fail);

/*
 * The last good policy is in force in place of one that has failed, which the boot image may still have: a
 * device that has its driver by that one gets the one that it has now. Logs what fails.
 */
void last_good_give_back(const struct settings *settings);
