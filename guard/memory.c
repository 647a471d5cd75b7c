/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that is there when it is needed; see memory.h. */
#include "guard/memory.h"
#include "base/log.h"
#include "base/system.h"

#include <stddef.h>
#include <sys/mman.h>

/* No page of any machine is smaller. */
#define PAGE_MIN 4096U
/* Most is for the paths below which `Driver=vfio` looks for modules.alias (22 KiB), and a standby thread's
 * own (9 KiB). */
#define STACK_TOUCHED (40U * 1024U)

void memory_lock(void)
{
	system_share_arena();
	if (mlockall(MCL_CURRENT) < 0 || mlockall(MCL_FUTURE | MCL_ONFAULT) < 0)
		log_line(LOG_DEBUG, "cannot lock memory: %m, page faults may make holds longer");
}

void memory_touch(void *p, size_t size)
{
	volatile char *page = p;

	for (size_t i = 0; i < size; i += PAGE_MIN)
		page[i] = 0;
	if (size > 0)
		page[size - 1] = 0;
}

__attribute__((noinline)) void memory_touch_stack(void)
{
	char stack[STACK_TOUCHED];

	memory_touch(stack, sizeof(stack));
}
