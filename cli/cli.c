/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages of overridectl; see cli.h. */
#include "cli/cli.h"
#include "base/macro.h"
#include "cli/safe-text.h"

#include <stdarg.h>
#include <stdio.h>

static void _printf_(1, 0) cli_say(const char *format, va_list ap)
{
	_cleanup_(freep) char *text = NULL;

	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	(void)fputs("overridectl: ", stderr);
	safe_text_write(stderr, text ? text : "out of memory");
	(void)fputc('\n', stderr);
}

int cli_fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	cli_say(format, ap);
	va_end(ap);
	return STATUS_FAILED;
}

int cli_fail_usage(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	cli_say(format, ap);
	va_end(ap);
	return STATUS_USAGE;
}
