/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commands that a person is shown, and may paste into a shell as they are: names in them may have any bytes,
 * and none of those may do anything but be part of a word; and the machine, the bus and the places that were
 * asked are those that the command asks.
 */
#pragma once

#include "base/arena.h"
#include "cli/command-line.h"

#include <stdio.h>

/* "overridectl --host=h VERB"; without a cli: on whichever machine it will be typed. */
void shown_command_begin(FILE *f, const struct cli *cli, const char *verb);
/* " WORD", " BUS/NAME" and " --OPTION=VALUE"; a value of "": the option takes none. */
void shown_command_add(FILE *f, const char *word);
void shown_command_add_device(FILE *f, const char *bus, const char *name);
void shown_command_add_option(FILE *f, const char *option, const char *value);

/* A word as a shell takes it, from the arena; NULL: out of memory. */
const char *shell_word(struct arena *arena, const char *word);
/* A command of a verb and words, which end with a NULL, from the arena; NULL: out of memory. */
const char *shown_command_text(struct arena *arena, const struct cli *cli, const char *const *words);
