/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The logger of all programs. Run by a person or by a unit, stderr is where lines belong; where it is the
 * journal's stream, each line begins with its priority as <N>. udev shows what its programs write to stderr
 * at debug level only: the lines of these go to the journal's socket, and to the kernel log before there is
 * one.
 */
#pragma once

#include "base/macro.h"

#include <stdbool.h>
#include <stddef.h>
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

/* For tests on a mock tree: the journal's socket is `../systemd/journal/socket` from this folder, not /run's.
 */
void log_set_journal_beside(const char *state_dir);

/* Whether lines go to a journal, which keeps fields beside their text. */
bool log_keeps_fields(void);

/* One line, without a newline; priority as in syslog(3). Never waits, never fails; errno stays. */
void log_line(int priority, const char *format, ...) _printf_(2, 3);

/*
 * The same for an error, an errno that is negative or not: its text stands where the format has %m, else
 * behind the line and a ": ". Returns it, negative.
 */
int log_errno(int priority, int error, const char *format, ...) _printf_(3, 4);

/* As systemd.journal-fields(7) has it. NULL and "" are left out. */
struct log_field {
	const char *name, *value;
};

/* log_line() with n fields, where the journal is there to keep them. */
void log_line_with_fields(int priority, const struct log_field *fields, size_t n, const char *format, ...)
	_printf_(4, 5);
