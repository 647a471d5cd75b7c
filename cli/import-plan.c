/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Collects what an import would add; see import-plan.h. */
#include "cli/import-plan.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/lint.h"
#include "cli/shown-command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The places of a machine whose root is a folder. */
static int import_settings_of_root(struct import_plan *plan, const char *root)
{
	static const char *const folders[] = { "/etc/driver-overrides.d", "/run/driver-overrides.d",
					       "/usr/lib/driver-overrides.d" };
	struct settings *s = &plan->settings;

	for (size_t i = 0; i < ELEMENTSOF(folders) && !s->conf_dirs_given; i++) {
		s->conf_dirs[i] = arena_printf(&plan->arena, "%s%s", root, folders[i]);
		if (!s->conf_dirs[i])
			return -ENOMEM;
	}
	if (!s->sysfs_given) {
		s->sysfs = arena_printf(&plan->arena, "%s/sys", root);
		s->state_dir = arena_printf(&plan->arena, "%s/run/driver-overrides", root);
	}
	s->sysfs_given = true;
	return s->sysfs && s->state_dir ? 0 : -ENOMEM;
}

/* The file as it is; that it is not there is no error. */
static int import_read_before_or_fail(struct import_plan *plan)
{
	_cleanup_(closep) int fd = open(plan->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_cleanup_(freep) char *text = NULL;
	const char *file = plan->file;
	size_t n;
	int r = policy_load_files(&file, fd >= 0, &plan->before);

	if (r < 0)
		return cli_fail("%s: %s", plan->file, strerror(-r));
	if (plan->before->n_errors > 0)
		return cli_fail("%s:%u: %s; nothing is added to a file with an error", plan->file,
				plan->before->errors[0].line, plan->before->errors[0].text);
	if (fd < 0)
		return errno == ENOENT ? STATUS_DONE : cli_fail("%s: %s", plan->file, strerror(errno));
	r = read_full(fd, 4096, POLICY_FILE_MAX, &text, &n);
	plan->text_before = r >= 0 ? arena_strndup(&plan->arena, text, n) : NULL;
	if (!plan->text_before)
		return cli_fail("%s: %s", plan->file, strerror(r < 0 ? -r : ENOMEM));
	for (const char *s = plan->text_before; *s; s++)
		plan->lines_before += *s == '\n' || !s[1];
	return STATUS_DONE;
}

static int compare_devices(const void *a, const void *b)
{
	const struct sysfs_device *x = *(struct sysfs_device *const *)a,
				  *y = *(struct sysfs_device *const *)b;
	int r = strcmp(x->bus, y->bus);

	return r ? r : strcmp(x->name, y->name);
}

int import_plan_open_or_fail(struct import_plan *plan, const struct cli *cli, const char *source)
{
	const char *root = cli->option[VERB_ROOT];
	int r = 0;

	*plan = (struct import_plan){
		.source = source, .cli = cli, .settings = cli->settings, .shown_root = ""
	};
	sysfs_init(&plan->sysfs, &plan->settings);
	if (root && !streq(root, "/"))
		r = import_settings_of_root(plan, root);
	/* What belongs to a tree is beside it. */
	if (r >= 0 && root)
		r = path_join(plan->root, sizeof(plan->root), streq(root, "/") ? "" : root, NULL);
	if (r >= 0 && root)
		plan->shown_root = plan->root;
	if (r >= 0 && !root && plan->settings.sysfs_given)
		r = path_join(plan->root, sizeof(plan->root), plan->settings.sysfs, "/..", NULL);
	if (r >= 0)
		r = path_join(plan->file, sizeof(plan->file), plan->settings.conf_dirs[0], "/20-import-",
			      source, ".conf", NULL);
	if (r < 0)
		return cli_fail("%s: %s", source, strerror(-r));
	sysfs_init(&plan->sysfs, &plan->settings);
	plan->sysfs.settled = true;
	/* A root without a sysfs is one of a machine that is not running. */
	if (sysfs_enumerate(&plan->sysfs, &plan->devices, &plan->n_devices) < 0)
		plan->n_devices = 0;
	if (plan->n_devices > 0)
		qsort(plan->devices, plan->n_devices, sizeof(*plan->devices), compare_devices);
	return import_read_before_or_fail(plan);
}

void import_plan_done(struct import_plan *plan)
{
	lint_done(&plan->findings);
	if (plan->devices)
		sysfs_devices_free(plan->devices, plan->n_devices);
	sysfs_done(&plan->sysfs);
	plan->before = policy_free(plan->before);
	free(plan->sections);
	free(plan->aliases);
	strings_done(&plan->modaliases);
	for (size_t i = 0; i < IMPORT_NOTE_KINDS; i++)
		free(plan->notes[i].v);
	arena_done(&plan->arena);
}

int import_path(const struct import_plan *plan, const char *path, char *buf, size_t size)
{
	return path_join(buf, size, plan->root, path, NULL);
}

void import_list(struct import_plan *plan, const char *folder, struct strings *ret)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char path[PATH_MAX];
	const char *name;

	if (import_path(plan, folder, path, sizeof(path)) < 0 || dir_open(&dir, path) < 0)
		return;
	while ((name = dir_next(&dir))) {
		name = arena_strdup(&plan->arena, name);
		if (!name || strings_add(ret, name) < 0)
			plan->r = -ENOMEM;
	}
	strings_sort(ret);
}

void import_note(struct import_plan *plan, enum import_note_kind kind, const char *from, const char *format,
		 ...)
{
	struct import_notes *to = &plan->notes[kind];
	_cleanup_(freep) char *text = NULL;
	const char *copy;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);
	copy = text ? arena_strdup(&plan->arena, text) : NULL;
	from = arena_strdup(&plan->arena, from);
	if (!copy || !from || array_reserve(to->v, to->allocated, to->n) < 0)
		plan->r = -ENOMEM;
	else
		to->v[to->n++] = (struct import_note){ from, copy };
}

const char *import_command(struct import_plan *plan, const char *const *words)
{
	/* What is said of another root is done where that is the root. */
	const struct cli *cli = *plan->shown_root ? NULL : plan->cli;
	const char *command = shown_command_text(&plan->arena, cli, words);

	if (!command)
		plan->r = -ENOMEM;
	return command ? command : "";
}

size_t import_plan_new(const struct import_plan *plan)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n; i++)
		n += !plan->sections[i].kept;
	return n;
}

const char *import_plan_text(struct import_plan *plan)
{
	_cleanup_(freep) char *text = NULL;
	const char *before = plan->text_before;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	if (before)
		(void)fprintf(f, "%s%s", before, *before && before[strlen(before) - 1] != '\n' ? "\n" : "");
	else
		(void)fprintf(
			f,
			"# Written by `overridectl import %s`, which adds to it what is missing, and leaves "
			"alone what is here.\n",
			plan->source);
	for (size_t i = 0; i < plan->n; i++)
		if (!plan->sections[i].kept)
			(void)fprintf(f, "\n%s", plan->sections[i].written);
	return fclose(f) == 0 ? arena_strdup(&plan->arena, text) : NULL;
}
