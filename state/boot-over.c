/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The boot is over; see boot-over.h. */
#include "state/boot-over.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "state/state-file.h"

#include <limits.h>
#include <stdbool.h>

#define BOOT_OVER "boot-over"

int boot_over_note(const char *state_dir)
{
	return state_write(state_dir, BOOT_OVER, boot_id());
}

bool boot_is_over(const char *state_dir)
{
	char path[PATH_MAX], line[64];

	return path_join(path, sizeof(path), state_dir, "/" BOOT_OVER, NULL) >= 0 &&
	       read_first_line(path, line, sizeof(line)) >= 0 && streq(line, boot_id());
}
