/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of changes that are on trial; see trial.h. */
#include "state/trial.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "state/state-file.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int trial_path(const char *state_dir, const char *bus, const char *name, char *buf, size_t size)
{
	return state_device_path(state_dir, "/trials/", bus, name, buf, size);
}

void trial_done(struct trial *trial)
{
	free(trial->text);
	*trial = (struct trial){};
}

static void trial_take_line(struct trial *trial, const char *line)
{
	const struct {
		const char *key, **value;
	} keys[] = {
		{ "ID=", &trial->id },	       { "BUS=", &trial->bus },	      { "NAME=", &trial->name },
		{ "DRIVER=", &trial->driver }, { "BY=", &trial->by },	      { "GROUP=", &trial->group },
		{ "REBIND=", &trial->rebind }, { "MODULE=", &trial->module },
	};
	const char *value;

	for (size_t i = 0; i < ELEMENTSOF(keys); i++)
		if ((value = startswith(line, keys[i].key)))
			*keys[i].value = value;
	if ((value = startswith(line, "UNTIL=")))
		trial->until = text_to_number(value);
	trial->force = trial->force || streq(line, "FORCE=1");
	trial->any_device = trial->any_device || streq(line, "ANY_DEVICE=1");
	trial->is_back = trial->is_back || streq(line, "BACK=1");
}

/*
 * The lines of a file that follow its mark, each behind a sign. They are moved to where the mark was, which
 * is before them, so that they are one text. Returns what comes after them.
 */
static char *trial_take_text(char *at, char sign, const char **ret)
{
	char *to = at, *next = at + strcspn(at, "\n");

	*ret = to;
	next += *next == '\n';
	while (*next == sign) {
		size_t n = strcspn(next, "\n");
		const bool ends = next[n] == '\n';

		memmove(to, next + 1, n);
		to += n - 1;
		*to++ = '\n';
		next += n + ends;
	}
	/* The mark is longer than this one byte. */
	*to = '\0';
	return next;
}

static int trial_parse_lines(struct trial *trial)
{
	for (char *at = trial->text; *at;) {
		char *next = at + strcspn(at, "\n");
		struct trial_file *f = trial->n > 0 ? &trial->files[trial->n - 1] : NULL;
		const bool is_before = startswith(at, "BEFORE\n"), is_after = startswith(at, "AFTER\n");

		if ((is_before || is_after) && !f)
			return -EBADMSG;
		if (is_before || is_after) {
			at = trial_take_text(at, is_before ? '-' : '+', is_before ? &f->before : &f->after);
			continue;
		}
		if (*next)
			*next++ = '\0';
		if (startswith(at, "FILE=") && trial->n == TRIAL_FILES_MAX)
			return -EBADMSG;
		if (startswith(at, "FILE="))
			trial->files[trial->n++].path = at + strlen("FILE=");
		else
			trial_take_line(trial, at);
		at = next;
	}
	return trial->id && trial->bus && trial->name && trial->driver && trial->by ? 0 : -EBADMSG;
}

int trial_parse(char *text, struct trial *ret)
{
	struct trial trial = { .text = text };
	int r = trial_parse_lines(&trial);

	if (r < 0)
		trial_done(&trial);
	else
		*ret = trial;
	return r;
}

int trial_read(const char *path, struct trial *ret)
{
	char *text;
	int r = state_file_read(path, &text);

	return r < 0 ? r : trial_parse(text, ret);
}

static void trial_put_text(FILE *f, const char *mark, char sign, const char *text)
{
	if (!text)
		return;
	(void)fprintf(f, "%s\n", mark);
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");

		(void)fprintf(f, "%c%.*s\n", sign, (int)n, line);
		line += n + (line[n] == '\n');
	}
}

int trial_each(const char *state_dir,
	       int (*each)(const char *path, const struct trial *trial, int r, void *userdata),
	       void *userdata)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char folder[PATH_MAX], path[PATH_MAX] = "";
	const char *name;
	int result = 0;

	if (path_join(folder, sizeof(folder), state_dir, "/trials", NULL) < 0 || dir_open(&dir, folder) < 0)
		return 0;
	while (result == 0 && (name = dir_next(&dir))) {
		_cleanup_(trial_done) struct trial trial = {};
		int r = path_join(path, sizeof(path), folder, "/", name, NULL);

		if (r >= 0)
			r = trial_read(path, &trial);
		if (r != -ENOENT)
			result = each(path, r < 0 ? NULL : &trial, r, userdata);
	}
	return result;
}

char *trial_text(const struct trial *trial)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	(void)fprintf(f, "ID=%s\nUNTIL=%ju\nBUS=%s\nNAME=%s\nDRIVER=%s\nBY=%s\n", trial->id,
		      (uintmax_t)trial->until, trial->bus, trial->name, trial->driver, trial->by);
	if (trial->group)
		(void)fprintf(f, "GROUP=%s\n", trial->group);
	if (trial->rebind)
		(void)fprintf(f, "REBIND=%s\n", trial->rebind);
	if (trial->module)
		(void)fprintf(f, "MODULE=%s\n", trial->module);
	if (trial->force)
		(void)fputs("FORCE=1\n", f);
	if (trial->any_device)
		(void)fputs("ANY_DEVICE=1\n", f);
	if (trial->is_back)
		(void)fputs("BACK=1\n", f);
	for (size_t i = 0; i < trial->n; i++) {
		(void)fprintf(f, "FILE=%s\n", trial->files[i].path);
		trial_put_text(f, "BEFORE", '-', trial->files[i].before);
		trial_put_text(f, "AFTER", '+', trial->files[i].after);
	}
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
