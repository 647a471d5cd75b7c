/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules that come with the boot: from the kernel command line (driver_overrides.rule=KEY=VALUE,KEY=VALUE) and
 * from systemd's credentials (driver-overrides.NAME, the text of a drop-in). The first program of a boot
 * writes them as files of the runtime policy directory; from there they are policy like any other. Each is
 * written once in a boot, so what an administrator makes of the file stays.
 */
#pragma once

#include "base/macro.h"
#include "policy/settings.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Writes what has not been written in this boot, and logs it. On a mock tree the command line is the one
 * beside that sysfs; credentials are those of $CREDENTIALS_DIRECTORY, and on the running system also those
 * that systemd has taken in for all units (/run/credentials/@system, systemd.exec(5) and systemd(1)). Where
 * there is no systemd, as in some boot images, those in the firmware's tables are taken from there.
 */
void boot_rules_write(const struct settings *settings);

/*
 * The rules of a command line, which is written over, as the text of a drop-in; *ret is malloc()ed, NULL:
 * there are none. 0 or -ENOMEM.
 */
_must_check_ int boot_rules_to_text(char *line, char **ret, size_t *ret_size);

/* Whether that has been done in this boot. */
bool boot_rules_are_written(const struct settings *settings);
