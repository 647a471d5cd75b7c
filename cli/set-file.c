/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The policy files that `set` writes; see set-file.h. */
#include "cli/set-file.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/settings.h"

#include <stddef.h>
#include <string.h>

const char *set_file_beaten_where(const char *source)
{
	const char *file = path_last(source);

	/* What `set` writes takes the place of what it wrote earlier. */
	if (strcmp(file, SET_FILE) >= 0)
		return NULL;
	if (startswith(file, BOOT_FILE_COMMAND_LINE))
		return "on the kernel command line";
	return startswith(file, BOOT_FILE_CREDENTIAL) ? "in the credential" : "there";
}
