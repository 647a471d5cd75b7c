/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The firmware's texts for the operating system ("OEM strings", structure 11 of SMBIOS), in which virtual
 * machines are given systemd's credentials: systemd.system-credentials(7). systemd takes them in itself; this
 * is for a boot image without it.
 */
#pragma once

#include "base/macro.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Calls take() with each text of a table of structures, which the kernel shows as it is in
 * /sys/firmware/dmi/tables/DMI. What is cut off ends the table.
 */
void smbios_each_text(const char *table, size_t size, void (*take)(void *userdata, const char *text),
		      void *userdata);

/*
 * Whether this may be a virtual machine whose memory is encrypted: then whoever runs the machine is not to
 * tell it anything, and systemd does not listen either.
 */
bool machine_may_be_confidential(void);

/* Decodes base64 in place, with "=" at the end or without. 0 or -EINVAL. */
_must_check_ int base64_decode(char *text, size_t *ret_size);
