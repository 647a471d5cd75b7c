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
void log_set_target(enum log_target target);

/* Lines that matter less than this priority are dropped: debug lines of a program that a person runs, until
 * it is set otherwise. */
int log_max_level(void);
void log_set_max_level(int priority);

/* The program's name, as log_init() was told. */
const char *log_program(void);

/* One line, without a newline; priority as in syslog(3). Never waits, never fails; errno stays. */
void log_line(int priority, const char *format, ...) _printf_(2, 3);

/*
 * The same for an error, an errno that is negative or not: its text stands where the format has %m, else
 * behind the line and a ": ". Returns it, negative.
 */
int log_errno(int priority, int error, const char *format, ...) _printf_(3, 4);
