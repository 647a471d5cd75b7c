/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What bench-guard sees of the guard from outside: when an override is written and its device let go, and
 * whether memory was allocated until then. Takes the place of guard/hold.c, and of the C library's
 * malloc(), recvmsg() and pwrite().
 */
#pragma once

extern double written_usec;	  /* when the first pwrite() since watch_start() came back */
extern double let_go_usec;	  /* when hold_release() came back last */
extern unsigned long allocations; /* since watch_start(), until hold_release() */

void watch_start(void);
