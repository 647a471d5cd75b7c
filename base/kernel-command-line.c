/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel command line; see kernel-command-line.h. */
#include "base/kernel-command-line.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

/* COMMAND_LINE_SIZE is 2048 or 4096 on most architectures, 65536 at most. */
#define COMMAND_LINE_MAX 65536

int kernel_command_line_read(const char *path, char **ret)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t size;

	return fd < 0 ? negative_errno() : read_full(fd, 4096, COMMAND_LINE_MAX, ret, &size);
}

static bool is_word_space(char c)
{
	return is_blank(c) || c == '\n';
}

char *kernel_command_line_next(char **at)
{
	char *word, *end, *from = *at;
	bool quoted = false;

	while (is_word_space(*from))
		from++;
	if (!*from)
		return NULL;
	word = end = from;
	for (; *from && (quoted || !is_word_space(*from)); from++)
		if (*from == '"')
			quoted = !quoted;
		else
			*end++ = *from;
	*at = *from ? from + 1 : from;
	*end = '\0';
	return streq(word, "--") ? NULL : word;
}

const char *kernel_parameter_value(const char *word, const char *parameter)
{
	for (; *parameter; word++, parameter++)
		if (*word != *parameter && !(*word == '-' && *parameter == '_'))
			return NULL;
	return *word == '=' ? word + 1 : NULL;
}
