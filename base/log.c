/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log lines to stderr, the journal, or the kernel log; see log.h. */
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static enum log_target target = LOG_TO_STDERR;
static bool stderr_is_journal;

/* systemd tells a service which stream its stderr is: then priorities are put in front of lines. */
static bool is_journal_stream(int fd)
{
	const char *e = getenv("JOURNAL_STREAM");
	char text[64];
	struct stat st;

	if (!e || fstat(fd, &st) < 0)
		return false;
	(void)snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return streq(e, text);
}

void log_init(const struct settings *settings, bool from_udev)
{
	stderr_is_journal = is_journal_stream(STDERR_FILENO);
	target = from_udev && !settings->sysfs_given ? LOG_TO_JOURNAL : LOG_TO_STDERR;
}

enum log_target log_target(void)
{
	return target;
}

/* The journal's own protocol: fields, a line each, in one datagram. */
static bool to_journal(int priority, const char *text)
{
	static const union {
		struct sockaddr sa;
		struct sockaddr_un un;
	} address = { .un = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" } };
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char message[1400];
	int n;

	if (fd < 0)
		return false;
	n = snprintf(message, sizeof(message), "PRIORITY=%d\nSYSLOG_IDENTIFIER=driver-override\nMESSAGE=%s\n",
		     priority, text);
	if (n < 0 || (size_t)n >= sizeof(message))
		n = (int)sizeof(message) - 1;
	return sendto(fd, message, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT, &address.sa, sizeof(address.un)) ==
	       n;
}

static bool to_kernel(int priority, const char *text)
{
	_cleanup_(closep) int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	return fd >= 0 && dprintf(fd, "<%d>driver-override: %s\n", LOG_DAEMON | priority, text) > 0;
}

void log_line(int priority, const char *format, ...)
{
	int saved = errno;
	char text[1200];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	for (char *s = text; *s; s++)
		if ((unsigned char)*s < ' ')
			*s = ' ';

	if (target == LOG_TO_JOURNAL && (to_journal(priority, text) || to_kernel(priority, text)))
		;
	else if (stderr_is_journal)
		(void)fprintf(stderr, "<%d>%s\n", priority, text);
	else if (priority < LOG_DEBUG)
		(void)fprintf(stderr, "driver-override: %s\n", text);
	errno = saved;
}
