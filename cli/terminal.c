/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The terminal and its pager; see terminal.h. */
#include "cli/terminal.h"
#include "base/macro.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	bool is_terminal, has_colors, is_dumb;
	size_t width;
	pid_t pager;
} terminal;

static size_t width_find(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;

	if (columns && text_to_number(columns) > 0)
		return (size_t)text_to_number(columns);
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void terminal_start(void)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

	terminal.is_terminal = isatty(STDOUT_FILENO);
	terminal.is_dumb = !term || streq(term, "dumb");
	terminal.has_colors = terminal.is_terminal && !terminal.is_dumb && !(no_color && *no_color);
	terminal.width = terminal.is_terminal ? width_find() : 0;
}

size_t terminal_width(void)
{
	return terminal.width;
}

bool terminal_has_colors(void)
{
	return terminal.has_colors;
}

/* As systemd's tools choose it; NULL: less, if there is one. */
static const char *pager_of_environment(void)
{
	const char *pager = getenv("SYSTEMD_PAGER");

	return pager ? pager : getenv("PAGER");
}

/* In the child. Where there is no less, the text goes by unread. */
static void pager_run(const char *pager, int in)
{
	const char *less = getenv("SYSTEMD_LESS");

	(void)dup2(in, STDIN_FILENO);
	(void)setenv("LESS", less ? less : "FRSXMK", 1);
	/* A user who may run this by sudo may not therefore run a shell from its pager. */
	(void)setenv("LESSSECURE", "1", 0);
	(void)signal(SIGPIPE, SIG_DFL);
	if (pager)
		(void)execlp("sh", "sh", "-c", pager, NULL);
	else
		(void)execlp("less", "less", NULL);
	(void)execlp("cat", "cat", NULL);
	_exit(EXIT_FAILURE);
}

void terminal_start_pager(const struct cli *cli)
{
	const char *pager = pager_of_environment();
	int fds[2];

	if (!terminal.is_terminal || terminal.is_dumb || cli->no_pager || terminal.pager > 0 ||
	    (pager && (!*pager || streq(pager, "cat"))) || pipe2(fds, O_CLOEXEC) < 0)
		return;
	(void)fflush(stdout);
	terminal.pager = fork();
	if (terminal.pager == 0)
		pager_run(pager, fds[0]);
	if (terminal.pager > 0)
		(void)dup2(fds[1], STDOUT_FILENO);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

void terminal_finish(void)
{
	if (terminal.pager <= 0)
		return;
	(void)fclose(stdout);
	while (waitpid(terminal.pager, NULL, 0) < 0 && errno == EINTR)
		;
}
