/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A rehearsal by the command line that the next boot has, where that is another one than this boot's: its
 * rules are written to a folder in place of the runtime directory, as the first program of that boot does.
 */
#include "base/errno.h"
#include "base/file.h"
#include "base/kernel-command-line.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/rehearsal.h"
#include "state/boot-rules.h"
#include "state/policy-files.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The words that are ours, each with a newline behind it; malloc()ed. NULL: out of memory. */
static char *own_words(const char *line)
{
	_cleanup_(freep) char *copy = strdup(line);
	char *text = NULL, *at = copy;
	size_t size;
	FILE *f = copy ? open_memstream(&text, &size) : NULL;

	if (!f)
		return NULL;
	for (const char *word; (word = kernel_command_line_next(&at));)
		if (kernel_parameter_value(word, "driver_overrides") ||
		    kernel_parameter_value(word, "driver_overrides.rule"))
			(void)fprintf(f, "%s\n", word);
	if (fclose(f) != 0)
		free(TAKE_PTR(text));
	return text;
}

static bool is_as_in_this_boot(const struct settings *settings, const char *next)
{
	_cleanup_(freep) char *now = NULL, *words_now = NULL, *words_next = own_words(next);

	if (settings_command_line_read(settings, &now) < 0)
		return true; /* a tree that has none: there is nothing to compare */
	words_now = own_words(now);
	return !words_now || !words_next || streq(words_now, words_next);
}

/* Its rules, beside what credentials this boot has. */
static int runtime_folder_make(struct rehearsal *h, char *line)
{
	const char *runtime = h->next_settings.conf_dirs[CONF_DIR_RUNTIME];
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	_cleanup_(freep) char *text = NULL;
	size_t size;
	int r = boot_rules_to_text(line, &text, &size);

	if (r >= 0)
		r = path_join(h->runtime, sizeof(h->runtime), "/tmp/overridectl-XXXXXX", NULL);
	if (r >= 0 && !mkdtemp(h->runtime)) {
		r = negative_errno();
		h->runtime[0] = '\0';
	}
	if (r >= 0 && text)
		r = policy_folder_add(h->runtime, BOOT_FILE_COMMAND_LINE, text, size, false);
	if (r < 0 || dir_open(&dir, runtime) < 0)
		return r;
	for (const char *name; r >= 0 && (name = dir_next(&dir));)
		if (startswith(name, BOOT_FILE_CREDENTIAL) && settings_is_policy_name(name))
			r = policy_file_copy(&dir, name, h->runtime, false);
	return r;
}

int rehearsal_take_command_line(struct rehearsal *h)
{
	_cleanup_(next_command_line_done) struct next_command_line next = {};
	_cleanup_(freep) char *copy = NULL;
	int r;

	if (h->next_settings.n_conf_dirs <= CONF_DIR_RUNTIME ||
	    next_command_line_find(&h->next_settings, &next) < 0 ||
	    is_as_in_this_boot(&h->next_settings, next.text))
		return 0;
	copy = strdup(next.text);
	if (!copy)
		return -ENOMEM;
	text_copy(h->command_line, sizeof(h->command_line), next.from);
	if (cmdline_turns_off(copy)) {
		h->next_settings.n_conf_dirs = 0;
		return 0;
	}
	r = runtime_folder_make(h, next.text);
	if (r >= 0)
		h->next_settings.conf_dirs[CONF_DIR_RUNTIME] = h->runtime;
	return r;
}

void rehearsal_command_line_done(struct rehearsal *h)
{
	if (h->runtime[0])
		policy_folder_remove(h->runtime);
	h->runtime[0] = '\0';
}
