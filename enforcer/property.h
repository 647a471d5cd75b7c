/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Properties for udev, as IMPORT{program} takes them. */
#pragma once

/* KEY=value, on stdout; nothing for "". */
void property_print(const char *key, const char *value);
