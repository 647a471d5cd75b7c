/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that a person is shown; see shown-command.h. */
#include "cli/shown-command.h"
#include "base/text.h"
#include "policy/settings.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* How a word is written: as it is, between quotation marks, or as $'…' with escapes. */
enum word_form {
	WORD_PLAIN,
	WORD_QUOTED,
	WORD_ESCAPED,
};

static enum word_form word_part_form(const char *part)
{
	for (const char *s = part; *s; s++)
		if (*s < ' ' || *s == 0x7f || (unsigned char)*s >= 0x80)
			return WORD_ESCAPED;
	return part[strspn(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@-")]
		       ? WORD_QUOTED
		       : WORD_PLAIN;
}

static void word_part_write(FILE *f, enum word_form form, const char *part)
{
	for (const char *s = part; *s; s++) {
		if (form == WORD_QUOTED && *s == '\'')
			(void)fputs("'\\''", f);
		else if (form == WORD_ESCAPED && (*s < ' ' || *s >= 0x7f || *s == '\'' || *s == '\\'))
			(void)fprintf(f, "\\%03o", (unsigned)(unsigned char)*s);
		else
			(void)fputc(*s, f);
	}
}

/* One word of several parts. A shell that does not know $'…' takes it for a word that names nothing. */
static void shell_word_write(FILE *f, const char *const *parts, size_t n)
{
	enum word_form form = WORD_PLAIN;
	size_t length = 0;

	for (size_t i = 0; i < n; i++) {
		enum word_form of_part = word_part_form(parts[i]);

		form = of_part > form ? of_part : form;
		length += strlen(parts[i]);
	}
	if (length == 0)
		form = WORD_QUOTED;
	(void)fputs(form == WORD_PLAIN ? "" : form == WORD_QUOTED ? "'" : "$'", f);
	for (size_t i = 0; i < n; i++)
		word_part_write(f, form, parts[i]);
	(void)fputs(form == WORD_PLAIN ? "" : "'", f);
}

void shown_command_begin(FILE *f, const struct cli *cli, const char *verb)
{
	struct settings usual;

	settings_init(&usual);
	(void)fputs("overridectl", f);
	if (cli && cli->host)
		shown_command_add_option(f, "host", cli->host);
	if (cli && cli->address)
		shown_command_add_option(f, "address", cli->address);
	/* A snapshot's tree is gone by the time that the command is typed. */
	if (cli && cli->n_machines == 0) {
		const struct settings *s = &cli->settings;

		if (s->sysfs_given)
			shown_command_add_option(f, "sysfs", s->sysfs);
		if (s->state_dir && !streq(s->state_dir, usual.state_dir))
			shown_command_add_option(f, "state-dir", s->state_dir);
		for (size_t i = 0; s->conf_dirs_given && i < s->n_conf_dirs; i++)
			shown_command_add_option(f, "conf-dir", s->conf_dirs[i]);
	}
	shown_command_add(f, verb);
}

void shown_command_add(FILE *f, const char *word)
{
	(void)fputc(' ', f);
	shell_word_write(f, &word, 1);
}

void shown_command_add_device(FILE *f, const char *bus, const char *name)
{
	(void)fputc(' ', f);
	shell_word_write(f, (const char *[]){ bus, "/", name }, 3);
}

void shown_command_add_option(FILE *f, const char *option, const char *value)
{
	(void)fprintf(f, " --%s%s", option, *value ? "=" : "");
	if (*value)
		shell_word_write(f, &value, 1);
}

/* Ends a stream of open_memstream(), and takes over its text. */
static const char *arena_take_stream(struct arena *arena, FILE *f, char **text)
{
	bool failed = fclose(f) != 0;
	const char *copy = failed ? NULL : arena_strdup(arena, *text);

	free(*text);
	return copy;
}

const char *shell_word(struct arena *arena, const char *word)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	shell_word_write(f, &word, 1);
	return arena_take_stream(arena, f, &text);
}

const char *shown_command_text(struct arena *arena, const struct cli *cli, const char *const *words)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	shown_command_begin(f, cli, words[0]);
	for (size_t i = 1; words[i]; i++)
		shown_command_add(f, words[i]);
	return arena_take_stream(arena, f, &text);
}
