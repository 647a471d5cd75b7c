/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The logger of all programs. Run by a person or by a unit, stderr is where lines belong; where it is the
 * journal's stream, each line begins with its priority as <N>. udev shows what its programs write to stderr
 * at debug level only: the lines of these go to the journal's socket, and to the kernel log before there is
 * one.
 */
#pragma once

#include "base/macro.h"

#include <syslog.h>

enum log_target {
	LOG_TO_STDERR,
	LOG_TO_JOURNAL, /* or, where nobody listens, the kernel log */
};

/* Chooses where lines go, and by which program's name; the name is borrowed. */
void log_init(const char *program, enum log_target target);

enum log_target log_target(void);

/*
 * One line, without a newline; priority as in syslog(3). Debug lines do not go to a person's stderr. Never
 * waits, never fails; errno stays.
 */
void log_line(int priority, const char *format, ...) _printf_(2, 3);

/* The same with ": " and the reason behind; error is an errno, negative or not. Returns it, negative. */
int log_errno(int priority, int error, const char *format, ...) _printf_(3, 4);
