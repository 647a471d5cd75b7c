/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs the built enforcer on a mock tree; see program.h. */
#include "program.h"
#include "bounded.h"
#include "suite.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/wait.h>

#define MOST 32

/* What the sanitizers need, and nothing else of this process's environment. */
static size_t base_env(const char **env)
{
	static const char *const keep[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
		"LD_LIBRARY_PATH" };
	size_t n = 0;

	for (size_t i = 0; i < ELEMENTSOF(keep); i++) {
		static char text[ELEMENTSOF(keep)][512];
		const char *value = getenv(keep[i]);

		if (!value)
			continue;
		(void)snprintf(text[i], sizeof(text[i]), "%s=%s", keep[i], value);
		env[n++] = text[i];
	}
	return n;
}

/*
 * Without what AddressSanitizer says about a process on a stack of its own (bounded.c), which is no fault:
 * three lines, of which the first has the mark.
 */
static const char *without_sanitizer(struct mock *m, const char *text)
{
	const char *all = "";

	while (*text) {
		int n = (int)strcspn(text, "\n") + 1;

		if (strstr(text, "ASan is ignoring requested __asan_handle_no_return") &&
			strstr(text, "ASan is ignoring requested __asan_handle_no_return") < text + n) {
			for (int i = 0; i < 3 && *text; i++)
				text += strcspn(text, "\n") + (text[strcspn(text, "\n")] == '\n');
			continue;
		}
		if (text[n - 1] == '\0')
			n--;
		all = mock_printf(m, "%s%.*s", all, n, text);
		text += n;
	}
	return all;
}

static struct ran start(struct mock *m, const char **argv, const char *const *more_env)
{
	const char *err = mock_printf(m, "%s/stderr", m->root), *env[MOST] = {};
	size_t n = base_env(env), size;
	struct ran r = {};
	uint64_t begin = now_usec();
	int fds[2], status;
	char *text = NULL;
	pid_t pid;

	argv[0] = getenv("DRIVER_OVERRIDE");
	ck_assert_msg(argv[0] != NULL, "DRIVER_OVERRIDE, the path of the enforcer, is not set");
	for (; more_env && *more_env; more_env++)
		env[n++] = *more_env;
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	make_file(err, "", 0);

	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		int fd = open(err, O_WRONLY | O_APPEND | O_CLOEXEC),
		    null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		(void)dup2(null, STDIN_FILENO);
		(void)dup2(fds[1], STDOUT_FILENO);
		(void)dup2(fd, STDERR_FILENO);
		(void)alarm(30); /* that it hangs for ever must not hang us */
		execve(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
		_exit(127);
	}
	(void)close(fds[1]);
	/* To the end of the pipe, as udev reads: nobody may be left who holds it open. */
	ck_assert_int_eq(read_full(fds[0], 4096, 1U << 20, &text, &size), 0);
	(void)close(fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	r.usec = now_usec() - begin;
	r.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	r.out = mock_printf(m, "%s", text);
	free(text);
	r.err = without_sanitizer(m, mock_read(m, err));
	for (const char *s = r.err; *s; s++)
		r.n_lines += *s == '\n';
	return r;
}

static size_t places(struct mock *m, const char **argv)
{
	size_t n = 1;

	argv[n++] = "--sysfs";
	argv[n++] = m->sysfs;
	argv[n++] = "--state-dir";
	argv[n++] = m->state;
	for (size_t i = 0; i < MOCK_DIRS; i++) {
		argv[n++] = "--conf-dir";
		argv[n++] = m->conf[i];
	}
	return n;
}

static void take_arguments(const char **argv, size_t n, va_list ap)
{
	while ((argv[n] = va_arg(ap, const char *)))
		ck_assert_uint_lt(++n, MOST);
}

struct ran run(struct mock *m, ...)
{
	const char *argv[MOST] = {};
	va_list ap;

	va_start(ap, m);
	take_arguments(argv, places(m, argv), ap);
	va_end(ap);
	return start(m, argv, NULL);
}

struct ran run_bare(struct mock *m, ...)
{
	const char *argv[MOST] = {};
	va_list ap;

	va_start(ap, m);
	take_arguments(argv, 1, ap);
	va_end(ap);
	return start(m, argv, NULL);
}

struct ran event(struct mock *m, const char *devpath)
{
	return run(m, "event", devpath, NULL);
}

struct ran event_env(struct mock *m, const char *const *env)
{
	const char *argv[MOST] = {};

	argv[places(m, argv)] = "event";
	return start(m, argv, env);
}

const char *property(struct mock *m, const struct ran *r, const char *key)
{
	size_t n = strlen(key);

	for (const char *line = r->out; *line; line += strcspn(line, "\n") + 1)
		if (strncmp(line, key, n) == 0 && line[n] == '=')
			return mock_printf(m, "%.*s", (int)(strcspn(line, "\n") - n - 1), line + n + 1);
	return "";
}
