/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log lines of the enforcer. udev shows what its programs write to stderr at debug level only, so lines go
 * to the journal's socket, and to the kernel log before there is one. Run by a person or by a unit, stderr
 * is where they belong; on a mock tree, too.
 */
#pragma once

#include "base/macro.h"
#include "policy/settings.h"

#include <stdbool.h>
#include <syslog.h>

enum log_target {
	LOG_TO_STDERR,
	LOG_TO_JOURNAL, /* or, where nobody listens, the kernel log */
};

/* Chooses where lines go; from_udev: whatever stderr is, nobody reads it. */
void log_init(const struct settings *settings, bool from_udev);

enum log_target log_target(void);

/* One line, without a newline; priority as in syslog(3). Never waits, never fails; errno stays. */
void log_line(int priority, const char *format, ...) _printf_(2, 3);
