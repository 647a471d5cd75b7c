/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What bench-guard sees of the guard from outside: when an override is written, when its device is released,
 * and whether memory was allocated until then. Takes the place of functions of guard/hold-none.c, and of the
 * C library's malloc(), recvmsg() and pwrite().
 */
#pragma once

extern double written_usec;	  /* when the first pwrite() since watch_start() returned */
extern double released_usec;	  /* when hold_release() returned last */
extern unsigned long allocations; /* since watch_start(), until hold_release() */

void watch_start(void);
