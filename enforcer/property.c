/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Properties for udev; see property.h. */
#include "enforcer/property.h"

#include <stdbool.h>
#include <stdio.h>

/* udev removes quotation marks at both ends; a value that begins with one needs another pair around it. */
void property_print(const char *key, const char *value)
{
	bool quote = *value == '"' || *value == '\'' || *value == ' ';

	if (!*value)
		return;
	(void)fputs(key, stdout);
	(void)fputs(quote ? "=\"" : "=", stdout);
	(void)fputs(value, stdout);
	(void)fputs(quote ? "\"\n" : "\n", stdout);
}
