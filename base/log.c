/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log lines to stderr, the journal, or the kernel log; see log.h. */
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

static struct {
	const char *program;
	enum log_target target;
	bool stderr_is_journal, stderr_is_kernel_log;
	int max_level;
	char journal[PATH_MAX]; /* its socket */
} logger = { .program = "driver-override", .max_level = LOG_INFO, .journal = "/run/systemd/journal/socket" };

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

/* A script of a boot image has no better place for it. There each line has its priority, or the console shows
 * none of them. */
static bool log_is_kernel_log(int fd)
{
	struct stat st;

	return fstat(fd, &st) >= 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 11);
}

void log_init(const char *program, enum log_target target)
{
	logger.program = program;
	logger.target = target;
	logger.stderr_is_journal = log_is_journal_stream(STDERR_FILENO);
	logger.stderr_is_kernel_log = log_is_kernel_log(STDERR_FILENO);
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

void log_set_journal_beside(const char *state_dir)
{
	if (path_join(logger.journal, sizeof(logger.journal), state_dir, "/../systemd/journal/socket", NULL) <
	    0)
		logger.journal[0] = '\0'; /* nobody listens there */
}

bool log_keeps_fields(void)
{
	return logger.target == LOG_TO_JOURNAL || logger.stderr_is_journal;
}

const char *log_program(void)
{
	return logger.program;
}

/* Control characters become blanks: nothing that a line quotes may begin another one. */
static void text_to_one_line(char *text)
{
	for (char *s = text; *s; s++)
		if ((unsigned char)*s < ' ')
			*s = ' ';
}

/* One entry in the journal's own protocol: NAME=VALUE, a line each. */
struct journal_entry {
	size_t n;
	char text[3072];
};

/* A field for which there is no room is left out. */
static void journal_entry_add(struct journal_entry *entry, const char *name, const char *value)
{
	char *at = entry->text + entry->n;
	size_t size = sizeof(entry->text) - entry->n;
	int n;

	if (!value || !*value)
		return;
	n = snprintf(at, size, "%s=%s\n", name, value);
	if (n < 0 || (size_t)n >= size)
		return;
	at[n - 1] = '\0';
	text_to_one_line(at);
	at[n - 1] = '\n';
	entry->n += (size_t)n;
}

static bool log_to_journal(int priority, const char *text, const struct log_field *fields, size_t n)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const char digit[] = { (char)('0' + priority), '\0' };
	struct journal_entry entry = {};
	union {
		struct sockaddr sa;
		struct sockaddr_un un;
	} address = { .un = { .sun_family = AF_UNIX } };

	if (fd < 0 || strlen(logger.journal) >= sizeof(address.un.sun_path))
		return false;
	(void)strcpy(address.un.sun_path, logger.journal);
	journal_entry_add(&entry, "PRIORITY", digit);
	journal_entry_add(&entry, "SYSLOG_IDENTIFIER", logger.program);
	journal_entry_add(&entry, "MESSAGE", text);
	for (size_t i = 0; i < n; i++)
		journal_entry_add(&entry, fields[i].name, fields[i].value);
	return sendto(fd, entry.text, entry.n, MSG_NOSIGNAL | MSG_DONTWAIT, &address.sa,
		      sizeof(address.un)) == (ssize_t)entry.n;
}

/* Not by dprintf(), which writes nothing with glibc 2.36 (findings/dprintf-kernel-log.sh). */
static bool log_to_kernel(int priority, const char *text)
{
	_cleanup_(closep) int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char line[1400];
	int n = snprintf(line, sizeof(line), "<%d>%s: %s\n", LOG_DAEMON | priority, logger.program, text);

	if (n >= (int)sizeof(line))
		n = (int)sizeof(line) - 1;
	return fd >= 0 && n > 0 && write(fd, line, (size_t)n) == n;
}

/* stderr of a unit is a stream into the journal, which has no fields. */
static void log_write(int priority, char *text, const struct log_field *fields, size_t n)
{
	if (priority > logger.max_level)
		return;
	text_to_one_line(text);
	if (logger.target == LOG_TO_JOURNAL || (logger.stderr_is_journal && n > 0)) {
		if (log_to_journal(priority, text, fields, n))
			return;
		if (logger.target == LOG_TO_JOURNAL && log_to_kernel(priority, text))
			return;
	}
	if (logger.stderr_is_kernel_log && log_to_kernel(priority, text))
		return;
	if (logger.stderr_is_journal)
		(void)fprintf(stderr, "<%d>%s\n", priority, text);
	else
		(void)fprintf(stderr, "%s: %s\n", logger.program, text);
}

static void _printf_(4, 0)
	log_format(int priority, const struct log_field *fields, size_t n, const char *format, va_list ap)
{
	int saved = errno;
	char text[1200];

	(void)vsnprintf(text, sizeof(text), format, ap);
	log_write(priority, text, fields, n);
	errno = saved;
}

void log_line(int priority, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_format(priority, NULL, 0, format, ap);
	va_end(ap);
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
	log_write(priority, text, NULL, 0);
	errno = saved;
	return -positive;
}

void log_line_with_fields(int priority, const struct log_field *fields, size_t n, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_format(priority, fields, n, format, ap);
	va_end(ap);
}
