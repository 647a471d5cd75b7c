/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log lines of the service; see service.h. */
#include "daemon/service.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

void log_service(int priority, const char *format, ...)
{
	static int to_journal = -1;
	char line[1024];
	va_list ap;

	if (to_journal < 0)
		to_journal = getenv("JOURNAL_STREAM") != NULL;
	if (priority == LOG_DEBUG && !to_journal)
		return;
	va_start(ap, format);
	(void)vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (to_journal)
		(void)fprintf(stderr, "<%d>%s\n", priority, line);
	else
		(void)fprintf(stderr, "driver-overrided: %s\n", line);
}
