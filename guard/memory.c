/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that is there when it is needed; see memory.h. */
#include "guard/memory.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/system.h"
#include "base/text.h"

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* No page of any machine is smaller. */
#define PAGE_MIN 4096U
/* Most is for the paths below which `Driver=vfio` looks for modules.alias (22 KiB), and a standby thread's
 * own (9 KiB). */
#define STACK_TOUCHED (40U * 1024U)

/* What memory_spare() was told of, whole pages of it. */
static uintptr_t spared_start, spared_end;

static uintptr_t page_size(void)
{
	return (uintptr_t)sysconf(_SC_PAGESIZE);
}

void memory_spare(const void *p, size_t size)
{
	spared_start = ((uintptr_t)p + page_size() - 1) / page_size() * page_size();
	spared_end = ((uintptr_t)p + size) / page_size() * page_size();
}

/* Code and constants, whole pages of them: they are in a file, and come from there if they are used after
 * all. */
static void memory_drop(uintptr_t start, uintptr_t end)
{
	if (start < end && munlock((const void *)start, end - start) >= 0)
		(void)madvise((void *)start, end - start, MADV_DONTNEED);
}

/* Libraries that libbpf needs to load programs, and nobody afterwards. */
static bool library_is_done(const char *path)
{
	static const char *const names[] = { "libelf", "libz", "libzstd", "liblzma", "libbz2" };
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		const char *rest = startswith(name, names[i]);

		if (rest && (*rest == '.' || *rest == '-'))
			return true;
	}
	return false;
}

int memory_lock_object(struct dl_phdr_info *object, size_t size, void *userdata)
{
	const bool is_done = library_is_done(object->dlpi_name);
	const uintptr_t page = page_size();

	(void)size;
	(void)userdata;
	/* The first segment goes last: the list of them is in it. */
	for (size_t i = object->dlpi_phnum; i-- > 0;) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		const uintptr_t start = (object->dlpi_addr + segment->p_vaddr) / page * page,
				end = object->dlpi_addr + segment->p_vaddr + segment->p_memsz;

		if (segment->p_type != PT_LOAD)
			continue;
		if (!is_done)
			(void)mlock((const void *)start, end - start);
		else if (!(segment->p_flags & PF_W))
			memory_drop(start, (end + page - 1) / page * page);
	}
	return 0;
}

void memory_lock(void)
{
	system_share_arena();
	/* Not all of it is fetched: the rest of the main thread's stack and holes in the heap are not used.
	 */
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		log_line(LOG_DEBUG, "cannot lock memory: %m, page faults may make holds longer");
	(void)dl_iterate_phdr(memory_lock_object, NULL);
	memory_drop(spared_start, spared_end);
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
