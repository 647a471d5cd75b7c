/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log lines to stderr, the journal, or the kernel log; see log.h. */
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct {
	const char *program;
	enum log_target target;
	bool stderr_is_journal;
	int max_level;
} logger = { .program = "driver-override", .max_level = LOG_INFO };

/*
 * systemd.exec(5): JOURNAL_STREAM has the device and the inode of the stream. The variable alone says
 * nothing, since it is inherited by what a service starts, whatever stderr is there.
 */
static bool log_is_journal_stream(int fd)
{
	const char *e = getenv("JOURNAL_STREAM");
	char text[64];
	struct stat st;

	if (!e || fstat(fd, &st) < 0)
		return false;
	(void)snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return streq(e, text);
}

void log_init(const char *program, enum log_target target)
{
	logger.program = program;
	logger.target = target;
	logger.stderr_is_journal = log_is_journal_stream(STDERR_FILENO);
	logger.max_level = target == LOG_TO_JOURNAL || logger.stderr_is_journal ? LOG_DEBUG : LOG_INFO;
}

enum log_target log_target(void)
{
	return logger.target;
}

void log_set_target(enum log_target target)
{
	logger.target = target;
}

int log_max_level(void)
{
	return logger.max_level;
}

void log_set_max_level(int priority)
{
	logger.max_level = priority;
}

const char *log_program(void)
{
	return logger.program;
}

/* The journal's own protocol: fields, a line each, in one datagram. */
static bool log_to_journal(int priority, const char *text)
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
	n = snprintf(message, sizeof(message), "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nMESSAGE=%s\n", priority,
		     logger.program, text);
	if (n < 0 || (size_t)n >= sizeof(message))
		n = (int)sizeof(message) - 1;
	return sendto(fd, message, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT, &address.sa, sizeof(address.un)) ==
	       n;
}

static bool log_to_kernel(int priority, const char *text)
{
	_cleanup_(closep) int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	return fd >= 0 && dprintf(fd, "<%d>%s: %s\n", LOG_DAEMON | priority, logger.program, text) > 0;
}

/* Control characters become blanks: nothing that a line quotes may begin another one. */
static void log_write(int priority, char *text)
{
	if (priority > logger.max_level)
		return;
	for (char *s = text; *s; s++)
		if ((unsigned char)*s < ' ')
			*s = ' ';

	if (logger.target == LOG_TO_JOURNAL &&
	    (log_to_journal(priority, text) || log_to_kernel(priority, text)))
		;
	else if (logger.stderr_is_journal)
		(void)fprintf(stderr, "<%d>%s\n", priority, text);
	else
		(void)fprintf(stderr, "%s: %s\n", logger.program, text);
}

void log_line(int priority, const char *format, ...)
{
	int saved = errno;
	char text[1200];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	log_write(priority, text);
	errno = saved;
}

int log_errno(int priority, int error, const char *format, ...)
{
	int saved = errno, positive = error < 0 ? -error : error;
	char text[1200];
	va_list ap;
	size_t n;

	/* UBSan checks what strstr() below is given, and so gcc would doubt it here. */
	assert(format);
	errno = positive; /* what %m is */
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	n = strlen(text);
	if (!strstr(format, "%m"))
		(void)snprintf(text + n, sizeof(text) - n, ": %s", strerror(positive));
	log_write(priority, text);
	errno = saved;
	return -positive;
}
