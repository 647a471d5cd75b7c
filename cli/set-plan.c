/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `set` is about to do; see set-plan.h. All of it goes to stderr, like the question. */
#include "cli/set-plan.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/device-rows.h"
#include "cli/safe-text.h"
#include "cli/set-needs.h"
#include "policy/settings.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The rule is as it would be without these, so a device that has it already needs no question. */
static bool set_has_options(const struct cli *cli)
{
	static const enum verb_option options[] = { VERB_RUNTIME, VERB_BY,  VERB_GROUP,	    VERB_REBIND,
						    VERB_MODULE,  VERB_TRY, VERB_ANY_DEVICE };

	for (size_t i = 0; i < ELEMENTSOF(options); i++)
		if (cli->option[options[i]])
			return true;
	return false;
}

static bool change_is_made_already(const struct change *change)
{
	const char *const *field = change->before.field;

	return !change->is_absent && streq(field[ROW_DECISION], change->driver) &&
	       streq(field[ROW_STATE], "enforced") && startswith(path_last(field[ROW_SOURCE]), "10-set-");
}

static bool person_is_there(void)
{
	return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

static bool set_is_to_ask(const struct change *v, size_t n)
{
	const struct cli *cli = v->cli;
	bool all_made = !set_has_options(cli);

	for (size_t i = 0; i < n && all_made; i++)
		all_made = change_is_made_already(&v[i]);
	return !all_made && !cli->option[VERB_YES] && !cli->option[VERB_DRY_RUN] && !cli->json &&
	       person_is_there();
}

static const char *driver_in_words(const char *driver)
{
	if (streq(driver, "none"))
		return "no driver";
	if (streq(driver, "default"))
		return "its own driver";
	return streq(driver, "vfio") ? "the VFIO driver made for it" : driver;
}

/* The file that the service would write; contract: 10-set-BUS-KEY, 05-run-BUS-KEY. */
static void plan_write_file(const struct change *change)
{
	const struct cli *cli = change->cli;
	const bool runtime = cli->option[VERB_RUNTIME] || cli->option[VERB_TRY];
	const char *by = cli->option[VERB_BY] ? cli->option[VERB_BY] : "name", *kind = "", *key;
	const struct settings *settings = &cli->settings;
	char bus[64], value[PATH_MAX];

	key = change->device->name;
	if (streq(by, "path")) {
		kind = "path-";
		key = change->before.field[ROW_PATH];
	} else if (streq(by, "id")) {
		kind = "id-";
		key = "";
	}
	if (settings->n_conf_dirs <= (size_t)runtime ||
	    name_escape(change->device->bus, bus, sizeof(bus)) < 0 ||
	    name_escape(key, value, sizeof(value)) < 0)
		return;
	(void)fprintf(stderr, "  writes %s/%s-%s-%s%s.conf", settings->conf_dirs[runtime],
		      runtime ? "05-run" : "10-set", bus, kind, *key ? value : "*");
	if (cli->option[VERB_TRY])
		(void)fprintf(stderr, ", which goes back in %s unless confirmed", cli->option[VERB_TRY]);
	else if (runtime)
		(void)fputs(", until the next boot", stderr);
	(void)fputc('\n', stderr);
}

/* The other members of its group, and which of them keep it from a guest. */
static void plan_write_group(const struct change *change, const struct device_rows *rows)
{
	const struct device_row *row = &change->before;
	const char *group = row->field[ROW_GROUP];
	size_t n = 0;

	for (size_t i = 0; *group && i < rows->n; i++) {
		const struct device_row *other = &rows->v[i];

		if (!streq(other->field[ROW_GROUP], group) ||
		    (streq(other->field[ROW_NAME], row->field[ROW_NAME]) &&
		     streq(other->field[ROW_BUS], row->field[ROW_BUS])))
			continue;
		(void)fprintf(stderr, n++ == 0 ? "  shares group %s with " : ", ", group);
		safe_text_write(stderr, other->field[ROW_BUS]);
		(void)fputc('/', stderr);
		safe_text_write(stderr, other->field[ROW_NAME]);
		(void)fputs(" (", stderr);
		safe_text_write(stderr, *other->field[ROW_DRIVER] ? other->field[ROW_DRIVER] : "no driver");
		(void)fputs(other->blocks ? ", blocks it)" : ")", stderr);
	}
	if (n > 0)
		(void)fputc('\n', stderr);
}

static void plan_write(const struct change *change, const struct device_rows *rows)
{
	const char *driver = change->before.field[ROW_DRIVER];

	change_write_device(stderr, change);
	(void)fputs(": ", stderr);
	safe_text_write(stderr, change->is_absent ? "absent" : *driver ? driver : "no driver");
	(void)fputs(" -> ", stderr);
	safe_text_write(stderr, driver_in_words(change->driver));
	if (!change->is_absent)
		(void)fprintf(stderr, ", would be %s", change->state);
	(void)fputc('\n', stderr);
	plan_write_file(change);
	plan_write_group(change, rows);
}

static bool person_agrees(void)
{
	char line[64];

	(void)fputs("Go on? [y/N] ", stderr);
	(void)fflush(stderr);
	if (!fgets(line, sizeof(line), stdin)) {
		(void)fputc('\n', stderr);
		return false;
	}
	line[strcspn(line, "\n")] = '\0';
	return strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0;
}

/* The same as a dry run: what is refused is refused here. */
static int plan_try_or_fail(struct change *v, size_t n, struct service_client *c)
{
	int status;

	for (size_t i = 0; i < n; i++)
		v[i].is_tried = true;
	status = changes_send_or_fail(v, n, c);
	for (size_t i = 0; i < n; i++)
		v[i].is_tried = false;
	return status;
}

int set_plan_ask_or_fail(struct change *v, size_t n, struct service_client *c)
{
	_cleanup_(device_rows_done) struct device_rows rows = {};
	const struct cli *cli = v->cli;
	/* With --force it is said, too. */
	const bool takes_needs =
		!cli->option[VERB_DRY_RUN] && set_needs_are_lost(v, n) && !cli->option[VERB_FORCE];
	int r, status;

	if (takes_needs && (!person_is_there() || cli->json))
		return cli_fail("nothing was changed; --force does it all the same");
	if (!takes_needs && !set_is_to_ask(v, n))
		return STATUS_DONE;
	status = plan_try_or_fail(v, n, c);
	if (status != STATUS_DONE)
		return status;
	r = device_rows_read_service(&rows, c);
	if (r < 0)
		return cli_fail("%s", service_error_text(c, r));
	for (size_t i = 0; i < n; i++)
		plan_write(&v[i], &rows);
	return person_agrees() ? STATUS_DONE : cli_fail("nothing was changed");
}
