/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The policy files that `set` writes, as others see them (contract: 10-set-BUS-KEY, 05-run-BUS-KEY). */
#pragma once

#define SET_FILE "10-set-"
/* With --runtime. */
#define SET_FILE_RUNTIME "05-run-"

/*
 * Where a rule has to be changed that stands before all that lasts of what `set` writes, and so beats it: "on
 * the kernel command line". NULL: it does not stand before that. source: the rule's FILE:LINE.
 */
const char *set_file_beaten_where(const char *source);
